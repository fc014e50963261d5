// What wsctl exits with (docs/cli.md): 0 done, 2 usage, 64 + the gRPC code otherwise.
#pragma once

#include "absl/status/status.h"

namespace fanwire::cli {

inline constexpr int kExitUsage = 2;

// A command was asked for in a way that it does not offer; exits with 2.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);

// stdout's reader has gone away: nothing more to do, and nobody to tell.  Exits with 0.
absl::Status BrokenPipe();
bool IsBrokenPipe(const absl::Status& status);

int ExitCode(const absl::Status& status);

}  // namespace fanwire::cli
