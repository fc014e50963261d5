// `wsctl version`: shows the versions of wsctl and of control.
#pragma once

#include "absl/status/status.h"
#include "cli/invocation.h"

namespace fanwire::cli {

struct VersionOptions {
  bool client_only = false;
};

// Prints wsctl's version even if control cannot be asked; then returns the call's error.
absl::Status RunVersion(const VersionOptions& options, Invocation& run);

}  // namespace fanwire::cli
