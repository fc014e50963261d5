// Server is the control process: it builds its parts, starts them in order and stops them in order.
//
// Threading: all functions belong to the thread that made it.
// Source:    docs/architecture.md, "Processes"
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/config/config_loader.h"

namespace fanwire::control {

class Engine;

struct ServerOptions {
  std::string config_file;  // empty: there is no file, and nothing to reload
  ConfigOverrides overrides;
  std::string worker_program;  // path of fanwire-fanout
  // For tests.  Null: the engine of the configuration.
  std::function<std::unique_ptr<Engine>()> make_engine = nullptr;
};

class Server {
 public:
  // Starts control with `config`, which LoadConfig() has made from the file.
  //   FAILED_PRECONDITION  another control uses the same socket; an address cannot be listened on
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       LoadedConfig config);

  virtual ~Server() = default;

  // Reads the configuration again, as `wsctl config reload` does, and logs the result.
  virtual void Reload() = 0;

  // Refuses publishers, drains the workers, finishes receipts and ends.  Takes at most
  // control.shutdown_timeout.
  virtual void Stop() = 0;
};

}  // namespace fanwire::control
