#include "cli/admin_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/from_proto.h"
#include "cli/rpc_channel.h"
#include "common/json_depth.h"
#include "common/json_parse.h"
#include "common/mutex.h"
#include "common/proto_time.h"
#include "common/rpc_warning.h"
#include "fanwire/v1/admin.grpc.pb.h"

namespace fanwire::cli {
namespace {

constexpr uint32_t kPageSize = 1000;

class GrpcAdminClient : public AdminClient {
 public:
  explicit GrpcAdminClient(std::shared_ptr<RpcChannel> channel)
      : channel_(std::move(channel)), stub_(v1::Admin::NewStub(channel_->grpc_channel())) {}

  absl::StatusOr<std::string> CallTool(Tool tool, const ToolRequest& request) override {
    v1::ToolRequest message;
    message.set_service(request.service);
    message.set_default_service(request.default_service);
    const absl::StatusOr<v1::ToolResponse> response = Call(MethodOf(tool), message);
    if (!response.ok()) return response.status();
    return response->json();
  }

  std::vector<std::string> TakeWarnings() override { return std::exchange(warnings_, {}); }

  absl::StatusOr<std::string> BroadcastTestEvent(const TestEvent& event) override {
    v1::BroadcastTestEventRequest message;
    message.set_service(event.service);
    message.set_event_type(event.event_type);
    message.set_room(event.room);
    if (!event.data.empty()) {
      if (JsonDepth(event.data) > kMaxJsonDepth) {
        return absl::InvalidArgumentError(absl::StrCat("data: nested deeper than ", kMaxJsonDepth));
      }
      if (!ParseJson(event.data).is_object()) {
        return absl::InvalidArgumentError("data: not a JSON object");
      }
      message.set_data(event.data);
    }
    const absl::StatusOr<v1::ToolResponse> response =
        Call(&v1::Admin::Stub::BroadcastTestEvent, message);
    if (!response.ok()) return response.status();
    return response->json();
  }

  absl::StatusOr<std::vector<ServiceInfo>> ListServices() override {
    const auto response = Call(&v1::Admin::Stub::ListServices, v1::ListServicesRequest());
    if (!response.ok()) return response.status();
    std::vector<ServiceInfo> services = All<ServiceInfo>(response->services());
    for (const v1::ResponderInfo& responder : response->responders()) {
      for (ServiceInfo& service : services) {
        if (service.name != responder.service()) continue;
        service.responders.push_back(
            {.id = responder.id(),
             .requests = {responder.requests().begin(), responder.requests().end()},
             .outstanding = responder.outstanding(),
             .max_concurrent = responder.max_concurrent(),
             .leaving = responder.leaving()});
      }
    }
    return services;
  }

  absl::StatusOr<ChannelList> ListChannels(const ChannelQuery& query) override {
    v1::ListChannelsRequest message;
    message.set_service(query.service);
    message.set_pattern(query.pattern);
    message.set_sort(SortOf(query.sort));
    message.set_page_token(query.page_token);
    ChannelList list;
    while (true) {
      const int64_t wanted =
          query.limit == 0 ? kPageSize : query.limit - static_cast<int64_t>(list.channels.size());
      message.set_page_size(static_cast<uint32_t>(std::min<int64_t>(wanted, kPageSize)));
      const auto response = Call(&v1::Admin::Stub::ListChannels, message);
      if (!response.ok()) return response.status();
      for (const v1::ChannelInfo& channel : response->channels()) {
        list.channels.push_back(FromProto(channel));
      }
      list.total = response->total();
      list.next_page_token = response->next_page_token();
      const bool enough =
          query.limit != 0 && static_cast<int64_t>(list.channels.size()) >= query.limit;
      if (enough || response->next_page_token().empty()) return list;
      message.set_page_token(response->next_page_token());
    }
  }

  absl::StatusOr<ChannelInfo> GetChannel(absl::string_view service,
                                         absl::string_view channel) override {
    v1::GetChannelRequest message;
    message.set_service(std::string(service));
    message.set_channel(std::string(channel));
    const auto response = Call(&v1::Admin::Stub::GetChannel, message);
    if (!response.ok()) return response.status();
    return FromProto(*response);
  }

  absl::StatusOr<History> GetHistory(const HistoryQuery& query) override {
    v1::GetHistoryRequest message;
    message.set_service(query.service);
    message.set_channel(query.channel);
    message.set_reverse(query.reverse);
    if (query.since.exists()) ToProto(query.since, message.mutable_since());
    if (query.before.exists()) ToProto(query.before, message.mutable_before());
    History all;
    int64_t bytes = 0;
    // Control cuts an answer at 1 MiB: the next one continues behind it.
    while (true) {
      message.set_limit(query.limit - static_cast<uint32_t>(all.publications.size()));
      const auto page = Call(&v1::Admin::Stub::GetHistory, message);
      if (!page.ok()) return page.status();
      const Position head = FromProto(page->head());
      if (!all.publications.empty()) {
        // The channel has a new epoch, so this answer does not continue the publications that were
        // read.
        if (head.epoch != all.head.epoch) return all;
        // A control that does not know `before` begins again at its newest publication.
        if (page->publications_size() > 0) {
          const int64_t last = all.publications.back().position.offset;
          const int64_t next = page->publications(0).position().offset();
          if (query.reverse ? next >= last : next <= last) return all;
        }
      }
      all.head = head;
      all.more = page->more();
      if (all.incomplete_reason.empty()) all.incomplete_reason = page->reason();
      for (const v1::Publication& publication : page->publications()) {
        bytes += static_cast<int64_t>(publication.envelope().size());
        all.publications.push_back(FromProto(publication));
      }
      const bool enough = query.max_bytes > 0 && bytes >= query.max_bytes;
      if (!all.more || page->publications().empty() || all.publications.size() >= query.limit ||
          enough) {
        return all;
      }
      ToProto(all.publications.back().position,
              query.reverse ? message.mutable_before() : message.mutable_since());
    }
  }

  absl::StatusOr<PresenceList> ListPresence(const PresenceQuery& query) override {
    v1::ListPresenceRequest message;
    message.set_service(query.service);
    message.set_channel(query.channel);
    PresenceList list;
    while (true) {
      if (query.limit != 0) {
        message.set_page_size(query.limit - static_cast<uint32_t>(list.members.size()));
      }
      const auto response = Call(&v1::Admin::Stub::ListPresence, message);
      if (!response.ok()) return response.status();
      for (const v1::PresenceMember& member : response->members()) {
        list.members.push_back(FromProto(member));
      }
      list.total = response->total();
      list.users = response->users();
      const bool enough = query.limit != 0 && list.members.size() >= query.limit;
      if (enough || response->next_page_token().empty()) return list;
      message.set_page_token(response->next_page_token());
    }
  }

  absl::StatusOr<ConnectionList> ListConnections(const ConnectionQuery& query) override {
    v1::ListConnectionsRequest message;
    ToProto(query.filter, message.mutable_filter());
    message.set_sort(SortOf(query.sort));
    message.set_limit(query.limit);
    const auto response = Call(&v1::Admin::Stub::ListConnections, message);
    if (!response.ok()) return response.status();
    return ConnectionList{.connections = All<ConnectionInfo>(response->connections()),
                          .total = response->total(),
                          .workers_total = response->workers_total(),
                          .workers_answered = response->workers_answered()};
  }

  absl::StatusOr<ConnectionInfo> GetConnection(absl::string_view id) override {
    v1::GetConnectionRequest message;
    message.set_id(std::string(id));
    const auto response = Call(&v1::Admin::Stub::GetConnection, message);
    if (!response.ok()) return response.status();
    return FromProto(*response);
  }

  absl::StatusOr<DisconnectResult> Disconnect(const DisconnectRequest& request) override {
    v1::DisconnectRequest message;
    ToProto(request.filter, message.mutable_filter());
    message.set_code(request.code);
    message.set_reason(request.reason);
    const auto response = Call(&v1::Admin::Stub::Disconnect, message);
    if (!response.ok()) return response.status();
    return DisconnectResult{.disconnected = response->disconnected(),
                            .workers_total = response->workers_total(),
                            .workers_answered = response->workers_answered()};
  }

  absl::StatusOr<WorkerList> ListWorkers() override {
    const auto response = Call(&v1::Admin::Stub::ListWorkers, v1::ListWorkersRequest());
    if (!response.ok()) return response.status();
    return WorkerList{.workers = All<WorkerInfo>(response->workers()),
                      .config_version = response->config_version()};
  }

  absl::Status DrainWorker(const DrainRequest& request,
                           const std::function<void(int64_t)>& on_remaining) override {
    v1::DrainWorkerRequest message;
    message.set_id(request.worker);
    message.set_unless_last(request.unless_last);
    if (request.window.has_value()) SetDuration(*request.window, message.mutable_window());
    if (request.deadline.has_value()) SetDuration(*request.deadline, message.mutable_deadline());
    bool done = false;
    const absl::Status status = Stream<v1::DrainWorkerProgress>(
        &v1::Admin::Stub::DrainWorker, message, [&](const v1::DrainWorkerProgress& progress) {
          done = progress.done();
          on_remaining(progress.remaining());
          return true;
        });
    return Ended(status, done, "the drain");
  }

  absl::Status RestartWorkers(
      const RestartRequest& request,
      const std::function<void(const RestartProgress&)>& on_progress) override {
    v1::RestartWorkersRequest message;
    for (const std::string& worker : request.workers) message.add_ids(worker);
    message.set_only_stopped(request.only_stopped);
    bool done = false;
    const absl::Status status = Stream<v1::RestartWorkersProgress>(
        &v1::Admin::Stub::RestartWorkers, message, [&](const v1::RestartWorkersProgress& progress) {
          done = progress.done();
          if (!progress.id().empty()) {
            on_progress({.worker = progress.id(), .state = progress.state()});
          }
          return true;
        });
    return Ended(status, done, "the restart");
  }

  absl::Status Tail(const TailRequest& request,
                    const std::function<bool(const TailUpdate&)>& on_update) override {
    v1::TailRequest message;
    message.set_service(request.service);
    message.set_pattern(request.pattern);
    for (const std::string& event : request.events) message.add_events(event);
    message.set_max_per_second(request.max_per_second);
    absl::Status status = Stream<v1::TailResponse>(
        &v1::Admin::Stub::Tail, message,
        [&](const v1::TailResponse& response) {
          return on_update({.publications = All<Publication>(response.publications()),
                            .left_out = response.left_out()});
        },
        request.max_time);
    const bool reached = channel_->grpc_channel()->GetState(/*try_to_connect=*/false) ==
                         grpc_connectivity_state::GRPC_CHANNEL_READY;
    if (absl::IsDeadlineExceeded(status) && reached) return absl::OkStatus();
    return status;
  }

  absl::StatusOr<std::vector<LedgerEntry>> GetLedger(absl::string_view service) override {
    v1::GetLedgerRequest message;
    message.set_service(std::string(service));
    const auto response = Call(&v1::Admin::Stub::GetLedger, message);
    if (!response.ok()) return response.status();
    return All<LedgerEntry>(response->entries());
  }

  absl::StatusOr<EngineStatus> GetEngineStatus() override {
    const auto response = Call(&v1::Admin::Stub::GetEngineStatus, v1::GetEngineStatusRequest());
    if (!response.ok()) return response.status();
    return EngineStatus{.kind = response->kind(),
                        .healthy = response->healthy(),
                        .reason = response->reason(),
                        .path = response->path(),
                        .history_bytes = response->history_bytes(),
                        .max_history_bytes = response->max_history_bytes(),
                        .disk_bytes = response->disk_bytes(),
                        .waiting_publications = response->waiting_publications(),
                        .lag = ToDuration(response->lag())};
  }

  absl::StatusOr<std::vector<ServiceCatalog>> GetCatalog(absl::string_view service) override {
    v1::GetCatalogRequest message;
    message.set_service(std::string(service));
    const auto response = Call(&v1::Admin::Stub::GetCatalog, message);
    if (!response.ok()) return response.status();
    return All<ServiceCatalog>(response->services());
  }

  absl::StatusOr<ConfigText> GetConfig() override {
    const auto response = Call(&v1::Admin::Stub::GetConfig, v1::GetConfigRequest());
    if (!response.ok()) return response.status();
    return ConfigText{
        .yaml = response->yaml(), .file = response->file(), .version = response->version()};
  }

  absl::StatusOr<ConfigVerdict> CheckConfig(absl::string_view yaml,
                                            absl::string_view file_name) override {
    v1::CheckConfigRequest message;
    message.set_yaml(std::string(yaml));
    message.set_file_name(std::string(file_name));
    const auto response = Call(&v1::Admin::Stub::CheckConfig, message);
    if (!response.ok()) return response.status();
    return ConfigVerdict{.ok = response->ok(),
                         .errors = {response->errors().begin(), response->errors().end()},
                         .warnings = {response->warnings().begin(), response->warnings().end()},
                         .resolved_yaml = response->resolved_yaml()};
  }

  absl::StatusOr<ReloadResult> ReloadConfig() override {
    const auto response = Call(&v1::Admin::Stub::ReloadConfig, v1::ReloadConfigRequest());
    if (!response.ok()) return response.status();
    ReloadResult result{
        .version = response->version(),
        .applied = {response->applied().begin(), response->applied().end()},
        .needs_restart = {response->needs_restart().begin(), response->needs_restart().end()},
        .workers = {}};
    for (const v1::WorkerConfigState& worker : response->workers()) {
      result.workers.push_back({.id = worker.id(),
                                .version = worker.version(),
                                .error = worker.error(),
                                .pending = worker.pending()});
    }
    return result;
  }

  absl::StatusOr<std::string> SetLogLevel(absl::string_view level) override {
    v1::SetLogLevelRequest message;
    message.set_level(std::string(level));
    const auto response = Call(&v1::Admin::Stub::SetLogLevel, message);
    if (!response.ok()) return response.status();
    return response->previous();
  }

  absl::StatusOr<ServerVersion> GetVersion() override {
    const auto response = Call(&v1::Admin::Stub::GetVersion, v1::GetVersionRequest());
    if (!response.ok()) return response.status();
    return ServerVersion{.version = response->version(),
                         .build = response->build(),
                         .started_at = TimeOrNever(response->started_at()),
                         .pid = response->pid(),
                         .engine = response->engine()};
  }

  void Cancel() override {
    MutexLock lock(&mu_);
    cancelled_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }

 private:
  template <typename Request, typename Response>
  using Unary = grpc::Status (v1::Admin::Stub::*)(grpc::ClientContext*, const Request&, Response*);
  template <typename Request, typename Response>
  using ServerStream = std::unique_ptr<grpc::ClientReader<Response>> (v1::Admin::Stub::*)(
      grpc::ClientContext*, const Request&);

  // While it lives, Cancel() cancels the call that `context` belongs to.
  class CallScope {
   public:
    CallScope(GrpcAdminClient* client, grpc::ClientContext* context) : client_(client) {
      MutexLock lock(&client_->mu_);
      client_->context_ = context;
      if (client_->cancelled_) context->TryCancel();
    }
    ~CallScope() {
      MutexLock lock(&client_->mu_);
      client_->context_ = nullptr;
    }
    CallScope(const CallScope&) = delete;
    CallScope& operator=(const CallScope&) = delete;

   private:
    GrpcAdminClient* const client_;
  };

  static Unary<v1::ToolRequest, v1::ToolResponse> MethodOf(Tool tool) {
    switch (tool) {
      case Tool::kHealthCheck:
        return &v1::Admin::Stub::HealthCheck;
      case Tool::kGetStatus:
        return &v1::Admin::Stub::GetStatus;
      case Tool::kListRooms:
        return &v1::Admin::Stub::ListRooms;
      case Tool::kGetMetrics:
        break;
    }
    return &v1::Admin::Stub::GetMetrics;
  }

  static v1::ChannelSort SortOf(ChannelSort sort) {
    switch (sort) {
      case ChannelSort::kName:
        break;
      case ChannelSort::kSubscribers:
        return v1::CHANNEL_SORT_SUBSCRIBERS;
      case ChannelSort::kPublications:
        return v1::CHANNEL_SORT_PUBLICATIONS;
      case ChannelSort::kRecent:
        return v1::CHANNEL_SORT_RECENT;
    }
    return v1::CHANNEL_SORT_NAME;
  }

  static v1::ListConnectionsRequest::Sort SortOf(ConnectionSort sort) {
    switch (sort) {
      case ConnectionSort::kAge:
        break;
      case ConnectionSort::kBacklog:
        return v1::ListConnectionsRequest::SORT_BACKLOG;
      case ConnectionSort::kDrops:
        return v1::ListConnectionsRequest::SORT_DROPS;
    }
    return v1::ListConnectionsRequest::SORT_AGE;
  }

  template <typename Value, typename Repeated>
  static std::vector<Value> All(const Repeated& messages) {
    std::vector<Value> values;
    values.reserve(static_cast<size_t>(messages.size()));
    for (const auto& message : messages) values.push_back(FromProto(message));
    return values;
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Unary<Request, Response> method, const Request& request) {
    grpc::ClientContext context;
    channel_->PrepareCall(&context);
    const CallScope scope(this, &context);
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return channel_->ToStatus(status);
    const auto [begin, end] = context.GetServerTrailingMetadata().equal_range(kRpcWarning);
    for (auto it = begin; it != end; ++it) {
      warnings_.emplace_back(it->second.data(), it->second.size());
    }
    return response;
  }

  // Reads messages until the stream ends, `on_message` returns false or Cancel() is called.
  template <typename Response, typename Request, typename OnMessage>
  absl::Status Stream(ServerStream<Request, Response> method, const Request& request,
                      const OnMessage& on_message,
                      absl::Duration max_time = absl::InfiniteDuration()) {
    grpc::ClientContext context;
    channel_->PrepareStream(&context, max_time);
    const CallScope scope(this, &context);
    const auto reader = (stub_.get()->*method)(&context, request);
    bool stopped = false;
    for (Response response; reader->Read(&response);) {
      if (on_message(response)) continue;
      stopped = true;
      context.TryCancel();
      break;
    }
    const grpc::Status status = reader->Finish();
    MutexLock lock(&mu_);
    if (status.ok() || stopped || cancelled_) return absl::OkStatus();
    return channel_->ToStatus(status);
  }

  static absl::Status Ended(const absl::Status& status, bool done, absl::string_view what) {
    if (!status.ok() || done) return status;
    return absl::UnavailableError(absl::StrCat("control stopped reporting before ", what,
                                               " was done: see the list of workers"));
  }

  const std::shared_ptr<RpcChannel> channel_;
  const std::unique_ptr<v1::Admin::Stub> stub_;
  Mutex mu_;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;  // of the current call
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> warnings_;
};

}  // namespace

std::unique_ptr<AdminClient> MakeAdminClient(std::shared_ptr<RpcChannel> channel) {
  return std::make_unique<GrpcAdminClient>(std::move(channel));
}

}  // namespace fanwire::cli
