// `wsctl completion bash|zsh|fish`: a shell's completion script.  The scripts call
// `wsctl __complete WORDS…` for the completions, so that they never lag behind wsctl.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/command.h"
#include "cli/invocation.h"

namespace fanwire::cli {

// Returns the completion script of `shell`.
//   a usage error  `shell` is not bash, zsh or fish
absl::StatusOr<std::string> CompletionScript(absl::string_view shell);

// Prints the completions of the last of `words`, one a line.  The line ":files" tells the shell to
// offer file names.  If control cannot be reached, leaves out the values that only control knows
// and returns OK.
absl::Status RunComplete(const std::vector<std::string>& words, const CommandTree& tree,
                         Invocation& run);

}  // namespace fanwire::cli
