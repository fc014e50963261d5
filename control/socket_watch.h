// SocketWatch notices that the file of control's unix socket was deleted, as cleaners of /tmp do,
// and makes it again.  Without the file, workers that restart cannot attach.
//
// Threading: safe from every thread; Stop() waits for a Check() that runs.
// Ownership: borrows the folder, which only Check() touches from now on.
// Cost:      one lstat() for each check.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "common/mutex.h"

namespace fanwire::control {

class RuntimeDir;

class SocketWatch {
 public:
  // `bind` makes the socket `path` and listens on it.
  SocketWatch(std::string path, RuntimeDir* folder, std::function<absl::Status()> bind);

  // Makes the socket again if its file is missing.  Does not touch another file in its place.
  void Check();

  // The socket is not made again when this has returned.
  void Stop();

 private:
  absl::Status MakeAgain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string path_;
  RuntimeDir* const folder_;
  const std::function<absl::Status()> bind_;

  // Held while the socket is made, so that Stop() waits.
  Mutex mu_{LockRank::kStreams};
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;  // the last check failed, which was logged
};

}  // namespace fanwire::control
