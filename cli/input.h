// Reads the input of a command: files and standard input.
//
// Threading: safe from every thread.
// Cost:      holds the whole input in memory, up to kMaxInputBytes.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire::cli {

inline constexpr size_t kMaxInputBytes = size_t{16} << 20;

// Returns everything that can be read.  `name` stands for the descriptor in error messages.
//   NOT_FOUND           the file cannot be opened or read; the message says why
//   RESOURCE_EXHAUSTED  longer than kMaxInputBytes
absl::StatusOr<std::string> ReadFile(const std::string& path);
absl::StatusOr<std::string> ReadDescriptor(int fd, absl::string_view name);

// Whether standard input can be read.
//   NOT_FOUND  `stdin_fd` is negative: standard input is closed
absl::Status CheckStandardInput(int stdin_fd);

// Returns all of standard input.  Fails as CheckStandardInput() and ReadDescriptor() do.
absl::StatusOr<std::string> ReadStandardInput(int stdin_fd);

// Returns the text that `argument` stands for: all of standard input for "-", the file's content
// for "@FILE", otherwise `argument` itself.  Fails as ReadFile() and
// ReadStandardInput() do.
absl::StatusOr<std::string> ReadArgument(const std::string& argument, int stdin_fd);

}  // namespace fanwire::cli
