// wsctl's exit codes (docs/cli.md): 0 done, 2 usage error, otherwise 64 + the gRPC status code.
#pragma once

#include "absl/status/status.h"
#include "common/arguments.h"

namespace fanwire::cli {

// Makes the status of a command line that is wrong; wsctl exits with kExitUsage.
absl::Status UsageError(absl::string_view message);
bool IsUsageError(const absl::Status& status);

// Makes the status of a run whose reader of stdout went away; wsctl exits with 0, silently.
absl::Status BrokenPipe();
bool IsBrokenPipe(const absl::Status& status);

// Marks an error whose text was written to stderr already: wsctl only exits with its code.
absl::Status Told(absl::Status status);
bool IsTold(const absl::Status& status);

int ExitCode(const absl::Status& status);

}  // namespace fanwire::cli
