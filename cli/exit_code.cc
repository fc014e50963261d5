#include "cli/exit_code.h"

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace fanwire::cli {
namespace {

constexpr char kUsageMark[] = "fanwire.dev/usage";
constexpr char kBrokenPipeMark[] = "fanwire.dev/broken-pipe";
constexpr char kToldMark[] = "fanwire.dev/told";

}  // namespace

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsageMark, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) { return status.GetPayload(kUsageMark).has_value(); }

absl::Status BrokenPipe() {
  absl::Status status = absl::CancelledError("nobody reads the output any more");
  status.SetPayload(kBrokenPipeMark, absl::Cord());
  return status;
}

bool IsBrokenPipe(const absl::Status& status) {
  return status.GetPayload(kBrokenPipeMark).has_value();
}

absl::Status Told(absl::Status status) {
  status.SetPayload(kToldMark, absl::Cord());
  return status;
}

bool IsTold(const absl::Status& status) { return status.GetPayload(kToldMark).has_value(); }

int ExitCode(const absl::Status& status) {
  if (status.ok() || IsBrokenPipe(status)) return 0;
  if (IsUsageError(status)) return kExitUsage;
  return 64 + status.raw_code();
}

}  // namespace fanwire::cli
