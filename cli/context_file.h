// Changes the contexts file, whose form cli/context.h describes.
//
// Threading: pure functions, but for UseContext(), which replaces the file.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/context.h"

namespace fanwire::cli {

// Reads the contexts file.
//   NOT_FOUND         there is no such file
//   INVALID_ARGUMENT  file:line:column: what is wrong
absl::StatusOr<Contexts> ReadContexts(const Environment& environment);

// Returns `text`, the text of a contexts file, with `current: NAME`.  All else, comments too, stays
// as it is.
//   NOT_FOUND         no server of this name
//   INVALID_ARGUMENT  a bad file
//   UNIMPLEMENTED     `current` is written in a form that only an editor can change
absl::StatusOr<std::string> WithCurrent(absl::string_view text, const std::string& file,
                                        const std::string& name);

// Makes `name` the current context: writes a new file and renames it, so that the file is never
// half written.  Its permissions stay.
absl::Status UseContext(const std::string& name, const Environment& environment);

}  // namespace fanwire::cli
