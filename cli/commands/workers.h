// `wsctl workers list|drain|restart`: the fan-out processes.
#pragma once

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunWorkersList(AdminClient& admin, Output& out);

// Returns when the worker is gone; its slot stays stopped until a restart.
absl::Status RunDrain(const DrainRequest& options, AdminClient& admin, Output& out);

// Returns when every worker asked for is ready again.
absl::Status RunRestart(const RestartRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
