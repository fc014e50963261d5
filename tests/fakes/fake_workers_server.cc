#include "tests/fakes/fake_workers_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/mutex.h"
#include "common/proto_time.h"
#include "common/rpc_status.h"
#include "fanwire/v1/worker.grpc.pb.h"

namespace fanwire::fanout {

class FakeWorkersServer::Impl final : public v1::Workers::Service {
 public:
  using Reader = grpc::ServerReaderWriter<v1::ControlMessage, v1::WorkerMessage>;

  grpc::Status Attach(grpc::ServerContext* context, Reader* stream) override {
    v1::WorkerMessage message;
    if (!stream->Read(&message)) return grpc::Status::OK;
    uint64_t number = 0;
    {
      MutexLock lock(&mu);
      if (!refusal.ok()) {
        ++attachments;
        return ToGrpcStatus(refusal);
      }
      number = ++attachments;
      context_ = context;
      stream_ = stream;
      messages = {message};
      if (welcomes) {
        v1::ControlMessage welcome;
        SetDuration(absl::Milliseconds(interval_ms),
                    welcome.mutable_welcome()->mutable_heartbeat_interval());
        stream->Write(welcome);
      }
      WaitUntilReading(context);
    }
    while (stream->Read(&message)) {
      MutexLock lock(&mu);
      if (number == attachments) messages.push_back(message);
      AnswerHeartbeats(message, stream);
      WaitUntilReading(context);
    }
    MutexLock lock(&mu);
    if (stream_ == stream) {
      stream_ = nullptr;
      context_ = nullptr;
    }
    return grpc::Status::OK;
  }

  // As control does, so that a worker does not leave it as silent.
  static void AnswerHeartbeats(const v1::WorkerMessage& message, Reader* stream) {
    for (const v1::WorkerItem& item : message.items()) {
      if (!item.has_heartbeat()) continue;
      v1::ControlMessage answer;
      answer.mutable_heartbeat()->set_seq(item.heartbeat().seq());
      stream->Write(answer);
    }
  }

  void WaitUntilReading(grpc::ServerContext* context) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    while (!reads && !context->IsCancelled()) {
      changed.WaitWithTimeout(&mu, absl::Milliseconds(5));
    }
  }

  void Start() {
    grpc::ServerBuilder builder;
    int bound = 0;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(),
                             &bound);
    builder.RegisterService(this);
    server = builder.BuildAndStart();
    FANWIRE_CHECK(server != nullptr && bound != 0);
    port = bound;
  }

  void Stop() {
    if (server == nullptr) return;
    server->Shutdown(std::chrono::system_clock::now());
    server->Wait();
    server = nullptr;
  }

  mutable Mutex mu;
  CondVar changed;
  absl::Status refusal ABSL_GUARDED_BY(mu);
  bool welcomes ABSL_GUARDED_BY(mu) = true;
  bool reads ABSL_GUARDED_BY(mu) = true;
  int64_t interval_ms ABSL_GUARDED_BY(mu) = 1000;
  uint64_t attachments ABSL_GUARDED_BY(mu) = 0;
  std::vector<v1::WorkerMessage> messages ABSL_GUARDED_BY(mu);
  grpc::ServerContext* context_ ABSL_GUARDED_BY(mu) = nullptr;
  Reader* stream_ ABSL_GUARDED_BY(mu) = nullptr;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

FakeWorkersServer::FakeWorkersServer() : impl_(std::make_unique<Impl>()) { impl_->Start(); }

FakeWorkersServer::~FakeWorkersServer() {
  set_reads(true);
  impl_->Stop();
}

std::string FakeWorkersServer::address() const { return absl::StrCat("127.0.0.1:", impl_->port); }

void FakeWorkersServer::Stop() { impl_->Stop(); }
void FakeWorkersServer::Start() { impl_->Start(); }

void FakeWorkersServer::set_refusal(absl::Status refusal) {
  MutexLock lock(&impl_->mu);
  impl_->refusal = std::move(refusal);
}

void FakeWorkersServer::set_welcomes(bool welcomes) {
  MutexLock lock(&impl_->mu);
  impl_->welcomes = welcomes;
}

void FakeWorkersServer::set_reads(bool reads) {
  MutexLock lock(&impl_->mu);
  impl_->reads = reads;
  impl_->changed.SignalAll();
}

void FakeWorkersServer::set_heartbeat_interval_ms(int64_t ms) {
  MutexLock lock(&impl_->mu);
  impl_->interval_ms = ms;
}

bool FakeWorkersServer::Send(const v1::ControlMessage& message) {
  MutexLock lock(&impl_->mu);
  return impl_->stream_ != nullptr && impl_->stream_->Write(message);
}

void FakeWorkersServer::Drop() {
  MutexLock lock(&impl_->mu);
  if (impl_->context_ != nullptr) impl_->context_->TryCancel();
}

int FakeWorkersServer::attachments() const {
  MutexLock lock(&impl_->mu);
  return static_cast<int>(impl_->attachments);
}

std::vector<v1::WorkerMessage> FakeWorkersServer::messages() const {
  MutexLock lock(&impl_->mu);
  return impl_->messages;
}

std::vector<v1::WorkerItem> FakeWorkersServer::items() const {
  std::vector<v1::WorkerItem> items;
  for (const v1::WorkerMessage& message : messages()) {
    items.insert(items.end(), message.items().begin(), message.items().end());
  }
  return items;
}

int64_t FakeWorkersServer::Count(const std::function<bool(const v1::WorkerItem&)>& fits) const {
  MutexLock lock(&impl_->mu);
  int64_t count = 0;
  for (const v1::WorkerMessage& message : impl_->messages) {
    count += std::count_if(message.items().begin(), message.items().end(), fits);
  }
  return count;
}

}  // namespace fanwire::fanout
