// `wsctl context list|use`: the servers of the contexts file.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/context.h"
#include "cli/output.h"

namespace fanwire::cli {

// Lists the contexts, without their tokens.
absl::Status RunContextList(const Environment& environment, Output& out);

// Makes `name` the current context.
//   NOT_FOUND  no such context
absl::Status RunContextUse(const std::string& name, const Environment& environment, Output& out);

}  // namespace fanwire::cli
