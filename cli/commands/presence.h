// `wsctl presence`: who is on a channel.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunPresence(const PresenceQuery& query, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
