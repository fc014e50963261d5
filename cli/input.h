// What a command reads: files, standard input, secrets.
//
// Threading: none.  Cost: everything is held in memory, up to kMaxInputBytes.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire::cli {

inline constexpr size_t kMaxInputBytes = size_t{16} << 20;

//   NOT_FOUND           cannot read "x": why
//   RESOURCE_EXHAUSTED  longer than kMaxInputBytes
absl::StatusOr<std::string> ReadFile(const std::string& path);
absl::StatusOr<std::string> ReadDescriptor(int fd, absl::string_view name);

// An argument that stands for a text: "-" all of standard input, "@FILE" a file, else itself.
absl::StatusOr<std::string> ReadArgument(const std::string& argument, int stdin_fd);

}  // namespace fanwire::cli
