// Invocation gives one run of wsctl its input, its output and its clients.  The clients are made at
// first use.
//
// Threading: main thread.
// Ownership: owns the clients.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/admin_client.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/publish_client.h"
#include "common/clock.h"

namespace fanwire::cli {

// Flags of every command.
struct GlobalOptions {
  ServerChoice server;
  Format format = Format::kTable;
  std::optional<absl::Duration> timeout;  // absent: 10 s for calls, none for streams
  bool no_color = false;
  bool verbose = false;
  bool wide = false;    // of commands that print a table
  std::string columns;  // of commands that print a table; empty: all columns
};

struct Clients {
  std::unique_ptr<AdminClient> admin;
  std::unique_ptr<PublishClient> publish;
};

using LocalCheck = std::function<absl::StatusOr<ConfigVerdict>(absl::string_view yaml,
                                                               absl::string_view file_name)>;

using ReadCatalog =
    std::function<absl::StatusOr<std::vector<ServiceCatalog>>(const std::string& config_file)>;

// Everything outside wsctl that it uses; tests pass their own.
struct World {
  Sink* results = nullptr;
  Sink* notes = nullptr;
  bool results_terminal = false;
  bool notes_terminal = false;
  int width = 0;     // columns of the terminal; 0: stdout is no terminal
  int stdin_fd = 0;  // -1: standard input is closed
  Environment environment;
  const Clock* clock = nullptr;
  // Makes the clients.  Makes no connection yet.
  std::function<absl::StatusOr<Clients>(const ServerTarget&, const GlobalOptions&)> connect;
  // Checks a configuration without control, as CheckConfigWith() does.
  LocalCheck check_config;
  // Reads the catalogs of a configuration without control, as ReadCatalogWith() does.
  ReadCatalog read_catalog;
};

class Invocation {
 public:
  // `world` and `options` must outlive the invocation.
  Invocation(const World* world, const GlobalOptions* options);

  Output& out() { return out_; }
  int stdin_fd() const { return world_->stdin_fd; }
  const Environment& environment() const { return world_->environment; }
  const GlobalOptions& options() const { return *options_; }
  const LocalCheck& check_config() const { return world_->check_config; }
  const ReadCatalog& read_catalog() const { return world_->read_catalog; }

  // Calls `use` with the client and returns its status.  If the client cannot be made, returns why.
  absl::Status WithAdmin(const std::function<absl::Status(AdminClient&)>& use);
  absl::Status WithPublisher(const std::function<absl::Status(PublishClient&)>& use);

  // Makes further clients for a command that makes several calls at the same time for an agent (see
  // ServerTarget::for_agent).  May be called from any thread.  Makes no connection yet.
  absl::StatusOr<Clients> MakeClients() const;

 private:
  absl::Status Connect();

  const World* const world_;
  const GlobalOptions* const options_;
  Output out_;
  bool connected_ = false;
  Clients clients_;
};

}  // namespace fanwire::cli
