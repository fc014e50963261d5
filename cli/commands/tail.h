// `wsctl tail SERVICE [PATTERN]`: shows publications as control accepts them, until Ctrl-C.
#pragma once

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

// Prints each publication on one line, also under --output json.  Prints to stderr how many
// publications control left out because they exceeded the rate or wsctl read too slowly.
absl::Status RunTail(const TailRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
