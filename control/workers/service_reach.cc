#include "control/workers/service_reach.h"

#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

ServiceReach ServiceReach::Of(absl::string_view service,
                              const std::vector<v1::WorkerInfo>& workers) {
  // For each host and configured port, why it is not open; empty if a worker has it open.
  std::map<std::pair<std::string, uint32_t>, std::string> ports;
  int serving = 0;
  for (const v1::WorkerInfo& worker : workers) {
    if (worker.state() != v1::WORKER_STATE_READY &&
        worker.state() != v1::WORKER_STATE_CATCHING_UP) {
      continue;
    }
    ++serving;
    for (const v1::BoundListener& listener : worker.listeners()) {
      if (listener.service() != service) continue;
      const auto [it, first] =
          ports.try_emplace({listener.host(), listener.configured_port()}, listener.error());
      if (first && !listener.error().empty()) {
        const Address address{.host = listener.host(),
                              .port = static_cast<uint16_t>(listener.configured_port()),
                              .unix_path = ""};
        it->second = absl::StrCat(address.ToString(), " is not open in ", worker.id(), ": ",
                                  listener.error());
      } else if (listener.error().empty()) {
        it->second.clear();
      }
    }
  }
  if (serving == 0)
    return {.open = false, .error = "no worker serves clients; see the list of workers"};
  if (ports.empty())
    return {.open = false, .error = "no worker has opened its ports; see the list of workers"};
  for (const auto& [port, error] : ports) {
    if (!error.empty()) return {.open = false, .error = error};
  }
  return {.open = true, .error = ""};
}

}  // namespace fanwire::control
