#include "cli/commands/log_level.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/invocation.h"

namespace fanwire::cli {

absl::Status RunLogLevel(const std::string& level, AdminClient& admin, Output& out) {
  const absl::StatusOr<std::string> previous = admin.SetLogLevel(level);
  if (!previous.ok()) return previous.status();
  if (out.json()) {
    out.Json({{"previous", *previous}, {"level", level}});
  } else {
    out.Line(absl::StrCat(*previous, " -> ", level));
  }
  return absl::OkStatus();
}

void AddLogLevelCommand(Command root) {
  auto level = std::make_shared<std::string>();
  root.AddCommand("log-level", "Change control's log level", "wsctl log-level debug",
                  [level](Invocation& run) {
                    return run.WithAdmin(
                        [&](AdminClient& admin) { return RunLogLevel(*level, admin, run.out()); });
                  })
      .Argument("LEVEL", level.get(), "debug, info, warning or error", Values::kLogLevels);
}

}  // namespace fanwire::cli
