// `wsctl ledger`: counts the deliveries of each service by their outcome.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunLedger(const std::string& service, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
