#include "cli/input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fanwire::cli {
namespace {

absl::Status CannotRead(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("cannot read \"", name, "\": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::string> ReadDescriptor(int fd, absl::string_view name) {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got == 0) return text;
    if (got > 0) {
      text.append(buffer, static_cast<size_t>(got));
      if (text.size() > kMaxInputBytes) {
        return absl::ResourceExhaustedError(
            absl::StrCat("\"", name, "\": longer than ", kMaxInputBytes >> 20, " MiB"));
      }
    } else if (errno == EAGAIN) {
      pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return CannotRead(name);
    }
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotRead(path);
  absl::StatusOr<std::string> text = ReadDescriptor(fd, path);
  close(fd);
  return text;
}

absl::Status CheckStandardInput(int stdin_fd) {
  if (stdin_fd >= 0) return absl::OkStatus();
  return absl::NotFoundError("cannot read standard input: it is closed");
}

absl::StatusOr<std::string> ReadStandardInput(int stdin_fd) {
  absl::Status open = CheckStandardInput(stdin_fd);
  if (!open.ok()) return open;
  return ReadDescriptor(stdin_fd, "standard input");
}

absl::StatusOr<std::string> ReadArgument(const std::string& argument, int stdin_fd) {
  if (argument == "-") return ReadStandardInput(stdin_fd);
  if (absl::StartsWith(argument, "@")) return ReadFile(argument.substr(1));
  return argument;
}

}  // namespace fanwire::cli
