// ServiceReach tells whether clients can connect to a service: whether each of its ports is open in
// a worker that is attached and is not draining.
//
// Threading: a pure function and a value.
// Cost:      O(workers times ports).
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire::v1 {
class WorkerInfo;
}  // namespace fanwire::v1

namespace fanwire::control {

struct ServiceReach {
  bool open = false;
  std::string error;  // why it is not open: "127.0.0.1:8690 is not open in worker-0: …"

  // `workers` is what WorkerRegistry::Workers() returns.
  static ServiceReach Of(absl::string_view service, const std::vector<v1::WorkerInfo>& workers);
};

}  // namespace fanwire::control
