#include "control/socket_watch.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "common/log.h"
#include "control/runtime_dir.h"

namespace fanwire::control {

SocketWatch::SocketWatch(std::string path, RuntimeDir* folder, std::function<absl::Status()> bind)
    : path_(std::move(path)), folder_(folder), bind_(std::move(bind)) {}

void SocketWatch::Check() {
  MutexLock lock(&mu_);
  struct stat info = {};
  if (stopped_ || lstat(path_.c_str(), &info) == 0 || (errno != ENOENT && errno != ENOTDIR)) return;
  const absl::Status status = MakeAgain();
  if (status.ok()) {
    LogWarning("socket.made_again", {{"socket", path_}, {"reason", "its file was deleted"}});
  } else if (!failed_) {
    LogError("socket.missing", {{"socket", path_}, {"reason", status}});
  }
  failed_ = !status.ok();
}

void SocketWatch::Stop() {
  MutexLock lock(&mu_);
  stopped_ = true;
}

absl::Status SocketWatch::MakeAgain() {
  if (absl::Status status = folder_->Restore(); !status.ok()) return status;
  return bind_();
}

}  // namespace fanwire::control
