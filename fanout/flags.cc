#include "fanout/flags.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/version.h"

namespace fanwire::fanout {

WorkerOptions ParseWorkerOptions(int argc, char** argv, int* exit) {
  *exit = -1;
  WorkerOptions options;
  std::string level = "info";
  CLI::App app{
      "fanwire-fanout holds the WebSocket connections of clients and delivers to them what "
      "control\n"
      "routes here.  Listeners, limits, keys and policies come from control.",
      "fanwire-fanout"};
  app.set_version_flag("--version", absl::StrCat("fanwire-fanout ", kVersion));
  app.add_option("--control", options.control,
                 "Address of control: unix:PATH or HOST:PORT.  Default: the socket of this user's "
                 "control");
  app.add_option("--worker-id", options.worker_id,
                 "Name that is unique and stays the same over restarts.  Default: worker-SLOT");
  app.add_option("--slot", options.slot, "Number of this worker on this machine, from 0")
      ->capture_default_str();
  app.add_option("--runtime-dir", options.runtime_dir,
                 "Folder where the slot's lock is held for the life of the process");
  app.add_flag("--supervised", options.supervised, "Started and watched by control")->group("");
  app.add_option("--log-level", level, "debug, info, warning or error")
      ->capture_default_str()
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    *exit = code == 0 ? 0 : 2;
    return options;
  }
  if (options.control.empty()) {
    options.control = absl::StrCat("unix:", DefaultRuntimeDir(), "/control.sock");
  }
  if (const auto address = ParseAddress(options.control); !address.ok()) {
    std::cerr << "--control: " << address.status().message() << "\n";
    *exit = 2;
  }
  if (options.worker_id.empty()) options.worker_id = absl::StrCat("worker-", options.slot);
  ParseLogLevel(level, &options.log_level);
  return options;
}

absl::StatusOr<SlotLock> SlotLock::Take(const std::string& runtime_dir, uint32_t slot) {
  if (runtime_dir.empty()) return SlotLock(-1);
  const std::string path = absl::StrCat(runtime_dir, "/worker-", slot, ".lock");
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  SlotLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": another worker holds this slot"));
  }
  const std::string text = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 ||
      write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  return lock;
}

SlotLock::SlotLock(SlotLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

SlotLock& SlotLock::operator=(SlotLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

SlotLock::~SlotLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace fanwire::fanout
