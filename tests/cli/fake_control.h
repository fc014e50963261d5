// FakeControl is a real gRPC server that stands in for control in tests: it records the requests
// and returns prepared answers.
//
// Threading: safe from every thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "fanwire/v1/admin.grpc.pb.h"
#include "fanwire/v1/publish.grpc.pb.h"

namespace fanwire::cli {

class FakeControl {
 public:
  using PublishStreamServer =
      grpc::ServerReaderWriter<v1::PublishStreamResponse, v1::PublishStreamRequest>;

  // Listens on a free port of 127.0.0.1 or on `address`, with `credentials` if they are given.
  explicit FakeControl(const std::string& address = "127.0.0.1:0",
                       std::shared_ptr<grpc::ServerCredentials> credentials = nullptr);
  ~FakeControl();
  FakeControl(const FakeControl&) = delete;
  FakeControl& operator=(const FakeControl&) = delete;

  // The address to pass to --server.
  const std::string& address() const { return address_; }

  // Stops the server: current calls end with UNAVAILABLE, later ones fail to connect.
  void Stop();

  // Appends an answer.  Each call with this response type returns the next answer; the last one is
  // repeated.  A stream sends all answers.
  template <typename Message>
  void Answer(const Message& message) {
    MutexLock lock(&mu_);
    answers_[Message::descriptor()->full_name()].push_back(message.SerializeAsString());
  }
  // Makes every call end with this status.
  void Fail(const grpc::Status& status);
  // Makes every unary call of Admin warn.
  void Warn(const std::string& warning);
  // Makes calls give no answer and streams not end until the caller gives up.
  void Hang();
  // Replaces what PublishStream does; by default it answers each item with its receipt.
  void OnPublishStream(std::function<grpc::Status(PublishStreamServer*)> run);

  // The requests of this type that have been received.
  template <typename Message>
  std::vector<Message> Asked() {
    MutexLock lock(&mu_);
    std::vector<Message> messages;
    for (const std::string& bytes : asked_[Message::descriptor()->full_name()]) {
      messages.emplace_back().ParseFromString(bytes);
    }
    return messages;
  }
  // Properties of the last call: its method, `authorization`, user agent and the time until its
  // deadline (absent: no deadline).
  std::string method();
  std::string authorization();
  std::string user_agent();
  std::optional<absl::Duration> patience();

 private:
  class AdminFace;
  class PublisherFace;

  void Note(const grpc::ServerContext& context, const std::string& method);
  void AddWarning(grpc::ServerContext* context);
  // Returns the status that the call ends with.  After Hang(), waits until the caller gives up.
  grpc::Status End(const grpc::ServerContext& context);

  template <typename Message>
  void Remember(const Message& message) {
    MutexLock lock(&mu_);
    asked_[Message::descriptor()->full_name()].push_back(message.SerializeAsString());
  }
  template <typename Message>
  void NextAnswer(Message* message) {
    MutexLock lock(&mu_);
    std::vector<std::string>& waiting = answers_[Message::descriptor()->full_name()];
    if (waiting.empty()) return;
    message->ParseFromString(waiting.front());
    if (waiting.size() > 1) waiting.erase(waiting.begin());
  }
  template <typename Message>
  std::vector<Message> AllAnswers() {
    MutexLock lock(&mu_);
    std::vector<Message> messages;
    for (const std::string& bytes : answers_[Message::descriptor()->full_name()]) {
      messages.emplace_back().ParseFromString(bytes);
    }
    return messages;
  }

  std::string address_;
  Mutex mu_;
  std::map<std::string, std::vector<std::string>> answers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<std::string>> asked_ ABSL_GUARDED_BY(mu_);
  grpc::Status failure_ ABSL_GUARDED_BY(mu_);
  std::string warning_ ABSL_GUARDED_BY(mu_);
  bool hangs_ ABSL_GUARDED_BY(mu_) = false;
  std::function<grpc::Status(PublishStreamServer*)> on_publish_stream_ ABSL_GUARDED_BY(mu_);
  std::string method_ ABSL_GUARDED_BY(mu_);
  std::string authorization_ ABSL_GUARDED_BY(mu_);
  std::string user_agent_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Duration> patience_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<AdminFace> admin_;
  std::unique_ptr<PublisherFace> publisher_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace fanwire::cli
