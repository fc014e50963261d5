// `wsctl engine`: shows the state of the engine, which keeps history.
#pragma once

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

// Returns OK if control answers, whether or not the engine is healthy.
absl::Status RunEngineStatus(AdminClient& admin, Output& out);

}  // namespace fanwire::cli
