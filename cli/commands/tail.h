// `wsctl tail SERVICE [PATTERN]`: publications as control accepts them, until Ctrl-C.
#pragma once

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

// Under --output json one publication a line.  What control left out because this was too slow is
// counted on stderr.
absl::Status RunTail(const TailRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
