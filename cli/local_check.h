// Checks a configuration with the fanwire-control of this machine, for when none runs that could be
// asked: the check is control's code, which wsctl does not contain.
//
// Threading: blocks until the program has ended.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

// fanwire-control beside this program; its bare name, to be found in PATH, if there is none.
std::string ControlProgram();

// As AdminClient::CheckConfig(), but ${NAME} means the variables of this process.  `name` is what
// faults call the text.
//   UNAVAILABLE  the program cannot be started, or ends without a verdict
absl::StatusOr<ConfigVerdict> CheckConfigWith(const std::string& program, absl::string_view yaml,
                                              absl::string_view name);

}  // namespace fanwire::cli
