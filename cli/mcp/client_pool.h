// ClientPool lends clients of control to calls that run at the same time, and keeps those that come
// back, so that a call finds a connection that stands already.
//
// Threading: safe from every thread.
// Ownership: a client belongs to the call that took it, until it is given back.
// Cost:      as many clients as calls ever ran at the same time; over gRPC they share a connection.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/invocation.h"
#include "common/mutex.h"

namespace fanwire::cli {

class ClientPool {
 public:
  using Make = std::function<absl::StatusOr<Clients>()>;

  explicit ClientPool(Make make) : make_(std::move(make)) {}

  // Fails as `make` does.
  absl::StatusOr<Clients> Take();
  // Do not give back a client that was cancelled: it refuses every later call.
  void GiveBack(Clients clients);
  // Forgets the clients that are here, because control was not reached.  The next call chooses its
  // address again: the local socket may exist by then.
  void Forget();

 private:
  const Make make_;
  Mutex mu_;
  std::vector<Clients> idle_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::cli
