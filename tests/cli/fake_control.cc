#include "tests/cli/fake_control.h"

#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/rpc_warning.h"

namespace fanwire::cli {

class FakeControl::AdminFace : public v1::Admin::Service {
 public:
  explicit AdminFace(FakeControl* control) : control_(control) {}

#define FANWIRE_UNARY(Name, Request, Response)                                \
  grpc::Status Name(grpc::ServerContext* context, const v1::Request* request, \
                    v1::Response* response) override {                        \
    return Take(context, #Name, *request, response);                          \
  }
  FANWIRE_UNARY(HealthCheck, ToolRequest, ToolResponse)
  FANWIRE_UNARY(GetStatus, ToolRequest, ToolResponse)
  FANWIRE_UNARY(ListRooms, ToolRequest, ToolResponse)
  FANWIRE_UNARY(GetMetrics, ToolRequest, ToolResponse)
  FANWIRE_UNARY(BroadcastTestEvent, BroadcastTestEventRequest, ToolResponse)
  FANWIRE_UNARY(ListServices, ListServicesRequest, ListServicesResponse)
  FANWIRE_UNARY(ListChannels, ListChannelsRequest, ListChannelsResponse)
  FANWIRE_UNARY(GetChannel, GetChannelRequest, ChannelInfo)
  FANWIRE_UNARY(GetHistory, GetHistoryRequest, GetHistoryResponse)
  FANWIRE_UNARY(ListPresence, ListPresenceRequest, ListPresenceResponse)
  FANWIRE_UNARY(ListConnections, ListConnectionsRequest, ListConnectionsResponse)
  FANWIRE_UNARY(GetConnection, GetConnectionRequest, ConnectionInfo)
  FANWIRE_UNARY(Disconnect, DisconnectRequest, DisconnectResponse)
  FANWIRE_UNARY(ListWorkers, ListWorkersRequest, ListWorkersResponse)
  FANWIRE_UNARY(GetLedger, GetLedgerRequest, GetLedgerResponse)
  FANWIRE_UNARY(GetEngineStatus, GetEngineStatusRequest, GetEngineStatusResponse)
  FANWIRE_UNARY(GetCatalog, GetCatalogRequest, GetCatalogResponse)
  FANWIRE_UNARY(GetConfig, GetConfigRequest, GetConfigResponse)
  FANWIRE_UNARY(CheckConfig, CheckConfigRequest, CheckConfigResponse)
  FANWIRE_UNARY(ReloadConfig, ReloadConfigRequest, ReloadConfigResponse)
  FANWIRE_UNARY(SetLogLevel, SetLogLevelRequest, SetLogLevelResponse)
  FANWIRE_UNARY(GetVersion, GetVersionRequest, GetVersionResponse)
#undef FANWIRE_UNARY

  grpc::Status DrainWorker(grpc::ServerContext* context, const v1::DrainWorkerRequest* request,
                           grpc::ServerWriter<v1::DrainWorkerProgress>* writer) override {
    return Send(context, "DrainWorker", *request, writer);
  }
  grpc::Status RestartWorkers(grpc::ServerContext* context,
                              const v1::RestartWorkersRequest* request,
                              grpc::ServerWriter<v1::RestartWorkersProgress>* writer) override {
    return Send(context, "RestartWorkers", *request, writer);
  }
  grpc::Status Tail(grpc::ServerContext* context, const v1::TailRequest* request,
                    grpc::ServerWriter<v1::TailResponse>* writer) override {
    return Send(context, "Tail", *request, writer);
  }

 private:
  template <typename Request, typename Response>
  grpc::Status Take(grpc::ServerContext* context, const char* method, const Request& request,
                    Response* response) {
    control_->Note(*context, method);
    control_->Remember(request);
    control_->NextAnswer(response);
    control_->AddWarning(context);
    return control_->End(*context);
  }

  template <typename Request, typename Response>
  grpc::Status Send(grpc::ServerContext* context, const char* method, const Request& request,
                    grpc::ServerWriter<Response>* writer) {
    control_->Note(*context, method);
    control_->Remember(request);
    for (const Response& response : control_->AllAnswers<Response>()) writer->Write(response);
    return control_->End(*context);
  }

  FakeControl* const control_;
};

class FakeControl::PublisherFace : public v1::Publisher::Service {
 public:
  explicit PublisherFace(FakeControl* control) : control_(control) {}

  grpc::Status Publish(grpc::ServerContext* context, const v1::PublishRequest* request,
                       v1::PublishResponse* response) override {
    control_->Note(*context, "Publish");
    control_->Remember(*request);
    control_->NextAnswer(response);
    return control_->End(*context);
  }

  grpc::Status PublishStream(grpc::ServerContext* context, PublishStreamServer* stream) override {
    control_->Note(*context, "PublishStream");
    std::function<grpc::Status(PublishStreamServer*)> run;
    {
      MutexLock lock(&control_->mu_);
      run = control_->on_publish_stream_;
    }
    if (run) return run(stream);
    int64_t offset = 0;
    for (v1::PublishStreamRequest request; stream->Read(&request);) {
      control_->Remember(request);
      v1::PublishStreamResponse response;
      if (request.has_hello()) response.mutable_welcome()->set_credit(100);
      for (const v1::PublishItem& item : request.items().items()) {
        v1::ItemReceipt* receipt = response.mutable_receipts()->add_receipts();
        receipt->set_seq(item.seq());
        receipt->mutable_receipt()->set_id(absl::StrCat("id-", item.seq()));
        receipt->mutable_receipt()->set_level(v1::RECEIPT_LEVEL_ACCEPTED);
        receipt->mutable_receipt()->mutable_position()->set_epoch("e1");
        receipt->mutable_receipt()->mutable_position()->set_offset(++offset);
      }
      stream->Write(response);
    }
    return control_->End(*context);
  }

 private:
  FakeControl* const control_;
};

FakeControl::FakeControl(const std::string& address,
                         std::shared_ptr<grpc::ServerCredentials> credentials)
    : admin_(std::make_unique<AdminFace>(this)), publisher_(std::make_unique<PublisherFace>(this)) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(
      address, credentials == nullptr ? grpc::InsecureServerCredentials() : credentials, &port);
  builder.RegisterService(admin_.get());
  builder.RegisterService(publisher_.get());
  server_ = builder.BuildAndStart();
  FANWIRE_CHECK(server_ != nullptr, "cannot listen on " + address);
  address_ = absl::StartsWith(address, "unix:") ? address : absl::StrCat("127.0.0.1:", port);
}

FakeControl::~FakeControl() { Stop(); }

void FakeControl::Stop() { server_->Shutdown(std::chrono::system_clock::now()); }

void FakeControl::Fail(const grpc::Status& status) {
  MutexLock lock(&mu_);
  failure_ = status;
}

void FakeControl::Hang() {
  MutexLock lock(&mu_);
  hangs_ = true;
}

void FakeControl::OnPublishStream(std::function<grpc::Status(PublishStreamServer*)> run) {
  MutexLock lock(&mu_);
  on_publish_stream_ = std::move(run);
}

std::string FakeControl::method() {
  MutexLock lock(&mu_);
  return method_;
}

std::string FakeControl::authorization() {
  MutexLock lock(&mu_);
  return authorization_;
}

std::string FakeControl::user_agent() {
  MutexLock lock(&mu_);
  return user_agent_;
}

std::optional<absl::Duration> FakeControl::patience() {
  MutexLock lock(&mu_);
  return patience_;
}

void FakeControl::Warn(const std::string& warning) {
  MutexLock lock(&mu_);
  warning_ = warning;
}

void FakeControl::AddWarning(grpc::ServerContext* context) {
  MutexLock lock(&mu_);
  if (!warning_.empty()) context->AddTrailingMetadata(kRpcWarning, warning_);
}

void FakeControl::Note(const grpc::ServerContext& context, const std::string& method) {
  const auto metadata = [&](const char* name) -> std::string {
    const auto found = context.client_metadata().find(name);
    if (found == context.client_metadata().end()) return "";
    return {found->second.data(), found->second.size()};
  };
  MutexLock lock(&mu_);
  method_ = method;
  authorization_ = metadata("authorization");
  user_agent_ = metadata("user-agent");
  const absl::Time deadline = absl::FromChrono(context.deadline());
  const absl::Duration patience = deadline - absl::Now();
  patience_ = patience > absl::Hours(1000) ? std::nullopt : std::optional(patience);
}

grpc::Status FakeControl::End(const grpc::ServerContext& context) {
  bool hangs = false;
  {
    MutexLock lock(&mu_);
    hangs = hangs_;
  }
  while (hangs && !context.IsCancelled()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  MutexLock lock(&mu_);
  return failure_;
}

}  // namespace fanwire::cli
