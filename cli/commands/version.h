// `wsctl version`: this program's version and control's.
#pragma once

#include "absl/status/status.h"
#include "cli/invocation.h"

namespace fanwire::cli {

struct VersionOptions {
  bool client_only = false;
};

// Shows the client's version even if control cannot be asked.
absl::Status RunVersion(const VersionOptions& options, Invocation& run);

}  // namespace fanwire::cli
