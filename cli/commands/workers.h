// `wsctl workers list|drain|restart`: lists, drains and restarts the fan-out processes.
#pragma once

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunWorkersList(AdminClient& admin, Output& out);

// Returns when the worker has exited.  It stays stopped until it is restarted.
absl::Status RunDrain(const DrainRequest& options, AdminClient& admin, Output& out);

// Returns when every requested worker is ready again.
absl::Status RunRestart(const RestartRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
