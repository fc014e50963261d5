// `wsctl completion bash|zsh|fish`: a shell's completion script.  The scripts ask wsctl itself what
// could stand at the cursor (`wsctl __complete WORDS…`), so that they never fall behind it.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/command.h"
#include "cli/invocation.h"

namespace fanwire::cli {

//   a usage error  for no or another shell
absl::StatusOr<std::string> CompletionScript(absl::string_view shell);

// Prints what could stand for the last of `words`, one a line; ":files" asks the shell for its own
// file names.  Without control it knows less, and does not fail.
absl::Status RunComplete(const std::vector<std::string>& words, const CommandTree& tree,
                         Invocation& run);

}  // namespace fanwire::cli
