// FakeAsker is a gRPC server that stands in for control's ServeRequests: it sends requests to the
// responder that is connected and keeps the answers.
//
// Threading: safe from every thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "fanwire/v1/publish.grpc.pb.h"

namespace fanwire::client {

class FakeAsker {
 public:
  FakeAsker();
  ~FakeAsker();
  FakeAsker(const FakeAsker&) = delete;
  FakeAsker& operator=(const FakeAsker&) = delete;

  std::string target() const { return "unix:" + folder_ + "/control.sock"; }

  // Sends a request to the responder, which must be connected.  Returns its id.
  uint64_t Ask(const std::string& name, const std::string& data = "{}");
  // Waits for the answer.
  v1::RequestAnswer Answer(uint64_t id);
  size_t answers();

  void Send(const v1::ServeRequestsResponse& message);
  // Ends the stream with this status, and every later one at its hello until it is OK.
  void End(const grpc::Status& status);

  std::vector<v1::ResponderHello> hellos();
  // Whether a responder is connected and wants requests.
  bool connected();

 private:
  class Service;
  using GrpcStream = grpc::ServerReaderWriter<v1::ServeRequestsResponse, v1::ServeRequestsRequest>;

  grpc::Status Serve(grpc::ServerContext* context, GrpcStream* stream);
  // Takes a message; returns whether the responder has left and has answered everything.
  bool Take(const v1::ServeRequestsRequest& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  std::string folder_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;

  Mutex mu_;
  GrpcStream* stream_ ABSL_GUARDED_BY(mu_) = nullptr;
  grpc::ServerContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool leaving_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<uint64_t> outstanding_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, v1::RequestAnswer> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::ResponderHello> hellos_ ABSL_GUARDED_BY(mu_);
  grpc::Status end_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::client
