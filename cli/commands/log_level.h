// `wsctl log-level LEVEL`: changes control's log level.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunLogLevel(const std::string& level, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
