// GrpcServer is where publishers, workers and operators connect to control: gRPC's server over a
// unix socket and a TCP port.
//
// Keepalive: a client may send a ping every 10 s, with and without calls.  A connection that does
// not speak HTTP/2 within 20 s is closed.
//
// Threading: all functions belong to one thread, except those that say otherwise.
// Ownership: borrows the services, which must outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace fanwire {
class MetricSink;
}  // namespace fanwire

namespace fanwire::v1 {
class ControlConfig;
}  // namespace fanwire::v1

namespace fanwire::control {

class GrpcServer {
 public:
  // Listens at control.socket and control.grpc_listen and serves.  Raises the limit of open files.
  //   FAILED_PRECONDITION  an address cannot be listened on; the message names its key
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(
      const v1::ControlConfig& config, const std::vector<grpc::Service*>& services);

  virtual ~GrpcServer() = default;  // Stop()

  // Makes the unix socket at `path` again, after somebody has deleted its file.
  //   UNAVAILABLE  the file cannot be made
  virtual absl::Status ListenAgain(const std::string& path) = 0;

  // The connections.  Safe from every thread.
  virtual void CollectMetrics(MetricSink& sink) const = 0;

  // Stops accepting connections and ends all calls, after at most 300 ms.
  virtual void Stop() = 0;
};

}  // namespace fanwire::control
