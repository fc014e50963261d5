#include "control/admin/admin_service.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/config_file.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/rpc_status.h"
#include "common/rpc_warning.h"
#include "common/utf8.h"
#include "common/version.h"
#include "control/admin/admin_messages.h"
#include "control/admin/admin_streams.h"
#include "control/admin/agent_tools.h"
#include "control/admin/catalog_messages.h"
#include "control/admin/channel_listings.h"
#include "control/admin/control_process.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/processes/worker_processes.h"
#include "control/requests/presence.h"
#include "control/requests/request_dispatcher.h"
#include "control/routing/channel_info.h"
#include "control/routing/channel_queries.h"
#include "control/workers/ledger.h"
#include "control/workers/query_all_workers.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.grpc.pb.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

constexpr uint32_t kDefaultHistory = 100;
constexpr uint32_t kMaxHistory = 1000;
constexpr uint32_t kMaxPresencePage = 1000;

using Unary = grpc::ServerUnaryReactor;

Unary* Finish(Unary* reactor, const absl::Status& status = absl::OkStatus()) {
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// Puts the tool's JSON into the response and ends the call.
AgentTools::Done ToolDone(Unary* reactor, v1::ToolResponse* response) {
  return [reactor, response](absl::StatusOr<std::string> json) {
    if (!json.ok()) {
      Finish(reactor, json.status());
      return;
    }
    response->set_json(*std::move(json));
    Finish(reactor);
  };
}

Position ToPosition(const v1::Position& position) {
  Position out{.epoch = {}, .offset = position.offset()};
  if (!Epoch::Parse(position.epoch(), &out.epoch)) out.epoch = Epoch();
  return out;
}

v1::Query RoomsOf(const std::string& service) {
  v1::Query query;
  query.mutable_rooms()->set_service(service);
  return query;
}

v1::Query ConnectionsThat(const v1::ConnectionFilter& filter) {
  v1::Query query;
  *query.mutable_connections()->mutable_filter() = filter;
  return query;
}

// Adds a warning if subscribers are not counted because their worker is away.
void TellAbsentWorkers(const QueryResult& result, grpc::CallbackServerContext* context) {
  if (result.workers_answered >= result.workers_total) return;
  context->AddTrailingMetadata(kRpcWarning,
                               absl::StrCat("incomplete: only ", result.workers_answered, " of ",
                                            result.workers_total, " workers answered"));
}

absl::Status NoSuchConnection(const std::string& id, const QueryResult& result) {
  if (result.workers_answered < result.workers_total) {
    return absl::UnavailableError(absl::StrCat(
        "no connection \"", id, "\" on the ", result.workers_answered, " of ", result.workers_total,
        " workers that answered: the others are away, try again"));
  }
  return absl::NotFoundError(absl::StrCat("no connection \"", id, "\""));
}

class AdminService final : public v1::Admin::CallbackService {
 public:
  explicit AdminService(const AdminParts& parts) : parts_(parts) {}

  // ------------------------------------------------------------------------------- tools

  Unary* HealthCheck(grpc::CallbackServerContext* context, const v1::ToolRequest* request,
                     v1::ToolResponse* response) override {
    return CallTool(Tool::kHealthCheck, context, *request, response);
  }
  Unary* GetStatus(grpc::CallbackServerContext* context, const v1::ToolRequest* request,
                   v1::ToolResponse* response) override {
    return CallTool(Tool::kGetStatus, context, *request, response);
  }
  Unary* ListRooms(grpc::CallbackServerContext* context, const v1::ToolRequest* request,
                   v1::ToolResponse* response) override {
    return CallTool(Tool::kListRooms, context, *request, response);
  }
  Unary* GetMetrics(grpc::CallbackServerContext* context, const v1::ToolRequest* request,
                    v1::ToolResponse* response) override {
    return CallTool(Tool::kGetMetrics, context, *request, response);
  }

  Unary* BroadcastTestEvent(grpc::CallbackServerContext* context,
                            const v1::BroadcastTestEventRequest* request,
                            v1::ToolResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    parts_.tools->BroadcastTestEvent({.service = request->service(),
                                      .event_type = request->event_type(),
                                      .room = request->room(),
                                      .channel = request->channel(),
                                      .data = request->data()},
                                     ToolDone(reactor, response));
    return reactor;
  }

  // ------------------------------------------------------------------------------- services

  Unary* ListServices(grpc::CallbackServerContext* context, const v1::ListServicesRequest*,
                      v1::ListServicesResponse* response) override {
    const ConfigInForce in_force = parts_.host->config();
    for (const v1::ServiceConfig& service : in_force.config->services()) {
      ToProto(service, parts_.queries->Counts(service.name()), parts_.ledger->Get(service.name()),
              response->add_services());
    }
    for (const RequestDispatcher::ResponderInfo& info : parts_.dispatcher->Responders()) {
      v1::ResponderInfo* const responder = response->add_responders();
      responder->set_service(info.service);
      responder->set_id(info.id);
      for (const std::string& request : info.requests) responder->add_requests(request);
      responder->set_outstanding(info.outstanding);
      responder->set_max_concurrent(info.max_concurrent);
      responder->set_leaving(info.leaving);
    }
    return Finish(context->DefaultReactor());
  }

  Unary* GetLedger(grpc::CallbackServerContext* context, const v1::GetLedgerRequest* request,
                   v1::GetLedgerResponse* response) override {
    // Services that are not configured any more may still have counts.
    std::map<std::string, ServiceCounts> counts = parts_.ledger->All();
    for (const auto& spec : parts_.host->config().services->services()) {
      counts.try_emplace(spec->name);
    }
    if (!request->service().empty() && !counts.contains(request->service())) {
      return Finish(context->DefaultReactor(), NoSuchService(request->service()));
    }
    for (const auto& [service, each] : counts) {
      if (!request->service().empty() && service != request->service()) continue;
      ToProto(service, parts_.queries->Counts(service), each, response->add_entries());
    }
    return Finish(context->DefaultReactor());
  }

  // ------------------------------------------------------------------------------- channels

  Unary* ListChannels(grpc::CallbackServerContext* context, const v1::ListChannelsRequest* request,
                      v1::ListChannelsResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    if (!v1::ChannelSort_IsValid(request->sort())) {
      return Finish(reactor, absl::InvalidArgumentError(absl::StrCat(
                                 "unknown sort order ", static_cast<int>(request->sort()))));
    }
    if (!IsConfigured(request->service())) {
      return Finish(reactor, NoSuchService(request->service()));
    }
    if (parts_.listings->Continue(*request, *parts_.host->config().services, response)) {
      return Finish(reactor);
    }
    if (request->sort() == v1::CHANNEL_SORT_NAME) {
      return Finish(reactor, BeginListing(*request, {}, response));
    }
    QueryAllWorkers(
        parts_.registry, RoomsOf(request->service()),
        [this, context, reactor, request, response](const absl::StatusOr<QueryResult>& rooms) {
          absl::Status status = rooms.status();
          if (rooms.ok()) {
            TellAbsentWorkers(*rooms, context);
            status = BeginListing(*request, CountSubscribers(*rooms), response);
          }
          Finish(reactor, status);
        });
    return reactor;
  }

  Unary* GetChannel(grpc::CallbackServerContext* context, const v1::GetChannelRequest* request,
                    v1::ChannelInfo* response) override {
    Unary* const reactor = context->DefaultReactor();
    const absl::StatusOr<ChannelSummary> channel =
        parts_.queries->GetChannel(request->service(), request->channel());
    if (!channel.ok()) return Finish(reactor, channel.status());
    ToProto(*channel, *parts_.host->config().services, response);
    QueryAllWorkers(parts_.registry, RoomsOf(request->service()),
                    [context, reactor, response](const absl::StatusOr<QueryResult>& rooms) {
                      if (rooms.ok()) {
                        TellAbsentWorkers(*rooms, context);
                        const SubscriberCounts counts = CountSubscribers(*rooms);
                        const auto it = counts.find({response->service(), response->channel()});
                        response->set_subscribers(it == counts.end() ? 0 : it->second);
                      }
                      Finish(reactor, rooms.status());
                    });
    return reactor;
  }

  Unary* GetHistory(grpc::CallbackServerContext* context, const v1::GetHistoryRequest* request,
                    v1::GetHistoryResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    HistoryRequest asked;
    asked.service = request->service();
    asked.channel = request->channel();
    asked.limit = request->limit() == 0 ? kDefaultHistory : std::min(request->limit(), kMaxHistory);
    asked.reverse = request->reverse();
    // A text that is not an epoch counts as an unknown epoch: all history is after it, nothing
    // before.
    if (request->has_since()) asked.since = ToPosition(request->since());
    if (request->has_before()) asked.before = ToPosition(request->before());
    parts_.queries->ReadHistory(
        asked, [reactor, request, response](const absl::StatusOr<HistorySlice>& slice) {
          if (slice.ok()) {
            ToProto(slice->head, response->mutable_head());
            for (const PublicationPtr& publication : slice->publications) {
              ToProto(request->service(), request->channel(), *publication,
                      response->add_publications());
            }
            response->set_more(slice->more);
            response->set_reason(slice->incomplete_reason);
            response->set_complete(response->reason().empty());
          }
          Finish(reactor, slice.status());
        });
    return reactor;
  }

  Unary* ListPresence(grpc::CallbackServerContext* context, const v1::ListPresenceRequest* request,
                      v1::ListPresenceResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    const absl::StatusOr<PresencePlace> place = ToPlace(request->page_token());
    if (!place.ok()) return Finish(reactor, place.status());
    const uint32_t size = request->page_size();
    const absl::StatusOr<PresencePage> page =
        parts_.presence->List(request->service(), request->channel(), *place,
                              size == 0 ? kMaxPresencePage : std::min(size, kMaxPresencePage));
    if (!page.ok()) return Finish(reactor, page.status());
    ToProto(*page, response);
    return Finish(reactor);
  }

  grpc::ServerWriteReactor<v1::TailResponse>* Tail(grpc::CallbackServerContext*,
                                                   const v1::TailRequest* request) override {
    return StartTail(parts_, *request);
  }

  // ------------------------------------------------------------------------------- connections

  // If some workers do not answer, the call does not fail, because some connections are better than
  // none.  workers_answered tells the caller that the list is incomplete.
  Unary* ListConnections(grpc::CallbackServerContext* context,
                         const v1::ListConnectionsRequest* request,
                         v1::ListConnectionsResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    if (!v1::ListConnectionsRequest::Sort_IsValid(request->sort())) {
      return Finish(reactor, absl::InvalidArgumentError(absl::StrCat(
                                 "unknown sort order ", static_cast<int>(request->sort()))));
    }
    if (!IsConfigured(request->filter().service())) {
      return Finish(reactor, NoSuchService(request->filter().service()));
    }
    parts_.registry->QueryAll(ConnectionsThat(request->filter()), kQueryTimeout,
                              [reactor, request, response](QueryResult result) {
                                MakeConnectionList(*request, &result, response);
                                Finish(reactor);
                              });
    return reactor;
  }

  Unary* GetConnection(grpc::CallbackServerContext* context,
                       const v1::GetConnectionRequest* request,
                       v1::ConnectionInfo* response) override {
    Unary* const reactor = context->DefaultReactor();
    if (request->id().empty()) return Finish(reactor, NoSuchConnection("", QueryResult()));
    v1::ConnectionFilter filter;
    filter.set_id(request->id());
    QueryAllWorkers(parts_.registry, ConnectionsThat(filter),
                    [reactor, id = request->id(), response](absl::StatusOr<QueryResult> result) {
                      if (!result.ok()) return void(Finish(reactor, result.status()));
                      for (v1::QueryReply& reply : result->replies) {
                        if (reply.connections().empty()) continue;
                        response->Swap(reply.mutable_connections(0));
                        return void(Finish(reactor));
                      }
                      Finish(reactor, NoSuchConnection(id, *result));
                    });
    return reactor;
  }

  Unary* Disconnect(grpc::CallbackServerContext* context, const v1::DisconnectRequest* request,
                    v1::DisconnectResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    v1::Query query;
    absl::Status status = ReadDisconnect(*request, query.mutable_disconnect());
    if (status.ok() && !IsConfigured(request->filter().service())) {
      status = NoSuchService(request->filter().service());
    }
    if (!status.ok()) return Finish(reactor, status);
    parts_.registry->QueryAll(query, kQueryTimeout, [reactor, response](const QueryResult& result) {
      int64_t disconnected = 0;
      for (const v1::QueryReply& reply : result.replies) disconnected += reply.affected();
      response->set_disconnected(disconnected);
      response->set_workers_total(result.workers_total);
      response->set_workers_answered(result.workers_answered);
      Finish(reactor);
    });
    return reactor;
  }

  // ------------------------------------------------------------------------------- workers

  Unary* ListWorkers(grpc::CallbackServerContext* context, const v1::ListWorkersRequest*,
                     v1::ListWorkersResponse* response) override {
    for (v1::WorkerInfo& worker :
         MergeWorkers(parts_.registry->Workers(), parts_.host->LocalWorkers())) {
      response->add_workers()->Swap(&worker);
    }
    response->set_config_version(parts_.host->config().version);
    return Finish(context->DefaultReactor());
  }

  grpc::ServerWriteReactor<v1::DrainWorkerProgress>* DrainWorker(
      grpc::CallbackServerContext*, const v1::DrainWorkerRequest* request) override {
    return StartDrain(parts_, *request);
  }

  grpc::ServerWriteReactor<v1::RestartWorkersProgress>* RestartWorkers(
      grpc::CallbackServerContext*, const v1::RestartWorkersRequest* request) override {
    return StartRestart(parts_, *request);
  }

  // ------------------------------------------------------------------------------- the process

  Unary* GetEngineStatus(grpc::CallbackServerContext* context, const v1::GetEngineStatusRequest*,
                         v1::GetEngineStatusResponse* response) override {
    ToProto(parts_.engine->name(), parts_.engine->Health(), parts_.engine->status(), response);
    return Finish(context->DefaultReactor());
  }

  Unary* GetCatalog(grpc::CallbackServerContext* context, const v1::GetCatalogRequest* request,
                    v1::GetCatalogResponse* response) override {
    const ConfigInForce in_force = parts_.host->config();
    if (!request->service().empty() && in_force.services->Find(request->service()) == nullptr) {
      return Finish(context->DefaultReactor(), NoSuchService(request->service()));
    }
    for (const auto& service : in_force.services->services()) {
      if (!request->service().empty() && service->name != request->service()) continue;
      ToProto(*service, response->add_services());
    }
    return Finish(context->DefaultReactor());
  }

  Unary* GetConfig(grpc::CallbackServerContext* context, const v1::GetConfigRequest*,
                   v1::GetConfigResponse* response) override {
    const ConfigInForce in_force = parts_.host->config();
    response->set_yaml(ConfigToYaml(*in_force.config));
    response->set_file(ToUtf8(in_force.file));
    response->set_version(in_force.version);
    return Finish(context->DefaultReactor());
  }

  Unary* CheckConfig(grpc::CallbackServerContext* context, const v1::CheckConfigRequest* request,
                     v1::CheckConfigResponse* response) override {
    // The text is meant for where the configuration in force lies.
    ConfigOverrides overrides = parts_.host->config_overrides();
    overrides.folder = FolderOf(parts_.host->config().file);
    const LoadedConfig loaded = LoadConfig(
        request->yaml(), request->file_name().empty() ? "config" : request->file_name(), overrides);
    response->set_ok(loaded.ok());
    for (const std::string& error : loaded.errors) response->add_errors(error);
    for (const std::string& warning : loaded.warnings) response->add_warnings(warning);
    if (loaded.ok()) response->set_resolved_yaml(ConfigToYaml(*loaded.config));
    return Finish(context->DefaultReactor());
  }

  Unary* ReloadConfig(grpc::CallbackServerContext* context, const v1::ReloadConfigRequest*,
                      v1::ReloadConfigResponse* response) override {
    Unary* const reactor = context->DefaultReactor();
    parts_.host->Reload([reactor, response](absl::StatusOr<v1::ReloadConfigResponse> result) {
      if (!result.ok()) {
        Finish(reactor, result.status());
        return;
      }
      *response = *std::move(result);
      Finish(reactor);
    });
    return reactor;
  }

  Unary* SetLogLevel(grpc::CallbackServerContext* context, const v1::SetLogLevelRequest* request,
                     v1::SetLogLevelResponse* response) override {
    LogLevel level;
    if (!ParseLogLevel(request->level(), &level)) {
      return Finish(context->DefaultReactor(), absl::InvalidArgumentError(absl::StrCat(
                                                   "level: expected debug, info, warning or error, "
                                                   "found ",
                                                   QuotedText(request->level()))));
    }
    response->set_previous(std::string(LogLevelName(GetLogLevel())));
    fanwire::SetLogLevel(level);
    LogInfo("log.level", {{"from", response->previous()}, {"to", request->level()}});
    return Finish(context->DefaultReactor());
  }

  Unary* GetVersion(grpc::CallbackServerContext* context, const v1::GetVersionRequest*,
                    v1::GetVersionResponse* response) override {
    response->set_version(std::string(kVersion));
    response->set_build(BuildInfo());
    if (parts_.started_at != absl::InfinitePast()) {
      SetTimestamp(parts_.started_at, response->mutable_started_at());
    }
    response->set_pid(static_cast<uint32_t>(getpid()));
    response->set_engine(std::string(parts_.engine->name()));
    return Finish(context->DefaultReactor());
  }

 private:
  // Returns whether a request may name this service.  Empty means all services.
  bool IsConfigured(const std::string& service) const {
    return service.empty() || parts_.host->config().services->Find(service) != nullptr;
  }

  absl::Status NoSuchService(const std::string& service) const {
    return parts_.host->config().services->NoSuchService(service);
  }

  Unary* CallTool(Tool tool, grpc::CallbackServerContext* context, const v1::ToolRequest& request,
                  v1::ToolResponse* response) {
    Unary* const reactor = context->DefaultReactor();
    parts_.tools->Call(tool,
                       {.service = request.service(), .default_service = request.default_service()},
                       ToolDone(reactor, response));
    return reactor;
  }

  absl::Status BeginListing(const v1::ListChannelsRequest& request, SubscriberCounts subscribers,
                            v1::ListChannelsResponse* response) {
    return parts_.listings->Begin(request, std::move(subscribers), *parts_.host->config().services,
                                  response);
  }

  const AdminParts parts_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(const AdminParts& parts) {
  return std::make_unique<AdminService>(parts);
}

}  // namespace fanwire::control
