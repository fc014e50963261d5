#include "tests/clients/cpp/fake_asker.h"

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "gtest/gtest.h"
#include "tests/testing/wait_for.h"

namespace fanwire::client {

class FakeAsker::Service final : public v1::Publisher::Service {
 public:
  explicit Service(FakeAsker* owner) : owner_(owner) {}

  grpc::Status ServeRequests(grpc::ServerContext* context, GrpcStream* stream) override {
    return owner_->Serve(context, stream);
  }

 private:
  FakeAsker* const owner_;
};

FakeAsker::FakeAsker() : service_(std::make_unique<Service>(this)) {
  char folder[] = "/tmp/fanwire-asker-XXXXXX";
  folder_ = mkdtemp(folder);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(target(), grpc::InsecureServerCredentials());
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
}

FakeAsker::~FakeAsker() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  std::filesystem::remove_all(folder_);
}

grpc::Status FakeAsker::Serve(grpc::ServerContext* context, GrpcStream* stream) {
  v1::ServeRequestsRequest message;
  if (!stream->Read(&message)) return {grpc::StatusCode::CANCELLED, "no hello"};
  {
    MutexLock lock(&mu_);
    hellos_.push_back(message.hello());
    if (!end_.ok()) return end_;
    v1::ServeRequestsResponse welcome;
    welcome.mutable_welcome()->set_max_concurrent(8);
    stream->Write(welcome);
    stream_ = stream;
    context_ = context;
    leaving_ = false;
  }
  bool done = false;
  while (!done && stream->Read(&message)) {
    MutexLock lock(&mu_);
    done = Take(message);
  }
  MutexLock lock(&mu_);
  stream_ = nullptr;
  outstanding_.clear();
  return end_;
}

bool FakeAsker::Take(const v1::ServeRequestsRequest& message) {
  if (message.has_go_away()) leaving_ = true;
  for (const v1::RequestAnswer& answer : message.answers().answers()) {
    EXPECT_EQ(outstanding_.erase(answer.request_id()), 1U) << answer.request_id();
    answers_[answer.request_id()] = answer;
  }
  return leaving_ && outstanding_.empty();
}

uint64_t FakeAsker::Ask(const std::string& name, const std::string& data) {
  EXPECT_TRUE(WaitFor([this] { return connected(); }));
  MutexLock lock(&mu_);
  v1::ServeRequestsResponse message;
  v1::IncomingRequest* request = message.mutable_requests()->add_requests();
  request->set_request_id(++last_id_);
  request->set_request(name);
  request->set_data(data);
  request->mutable_remaining()->set_seconds(30);
  request->set_connection_id("conn");
  request->set_user_id("user");
  request->add_permissions("a:read");
  request->add_permissions("b:read");
  request->set_attempt(2);
  outstanding_.insert(last_id_);
  if (stream_ != nullptr) stream_->Write(message);
  return last_id_;
}

v1::RequestAnswer FakeAsker::Answer(uint64_t id) {
  v1::RequestAnswer answer;
  EXPECT_TRUE(WaitFor([&] {
    MutexLock lock(&mu_);
    const auto found = answers_.find(id);
    if (found == answers_.end()) return false;
    answer = found->second;
    return true;
  }));
  return answer;
}

size_t FakeAsker::answers() {
  MutexLock lock(&mu_);
  return answers_.size();
}

void FakeAsker::Send(const v1::ServeRequestsResponse& message) {
  MutexLock lock(&mu_);
  if (stream_ != nullptr) stream_->Write(message);
}

void FakeAsker::End(const grpc::Status& status) {
  MutexLock lock(&mu_);
  end_ = status;
  if (stream_ != nullptr && !status.ok()) context_->TryCancel();
}

std::vector<v1::ResponderHello> FakeAsker::hellos() {
  MutexLock lock(&mu_);
  return hellos_;
}

bool FakeAsker::connected() {
  MutexLock lock(&mu_);
  return stream_ != nullptr && !leaving_;
}

}  // namespace fanwire::client
