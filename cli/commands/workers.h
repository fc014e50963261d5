// `wsctl workers list|show|drain|restart`: lists, shows, drains and restarts the fan-out processes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunWorkersList(AdminClient& admin, Output& out);

//   NOT_FOUND  no such worker
absl::Status RunWorkersShow(const std::string& id, AdminClient& admin, Output& out);

struct DrainOptions {
  DrainRequest request;
  bool force = false;  // drain even the last worker that serves clients
};

// Returns when the worker has exited.  It stays stopped until it is restarted.
//   FAILED_PRECONDITION  no other worker serves clients, and `force` is not set
absl::Status RunDrain(const DrainOptions& options, AdminClient& admin, Output& out);

// Returns when every requested worker is ready again.
absl::Status RunRestart(const RestartRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
