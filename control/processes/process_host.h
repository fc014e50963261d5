// ProcessHost starts worker processes, watches those and others that somebody else started, and
// sends them signals.
//
// A child leads a session of its own: signals to control's process group (Ctrl-C on its terminal,
// `kill -- -PGID`) do not reach it, and no terminal's end does.  Nothing ties its life to
// control's. It begins with /dev/null as its input, control's output and error, no other
// descriptor, no signal blocked, and TERM, INT, HUP and PIPE in their default disposition.
//
// Threading: one thread at a time.
// Ownership: owns no process: what still runs at its end goes on.
// Cost:      a wait or poll system call per process and Poll(); Spawn() takes until the program is
//            executed, a millisecond or so.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fanwire::control {

// How a process ended.
struct ProcessExit {
  pid_t pid = 0;
  bool known = true;  // false: it was no child, so the system does not tell
  int code = 0;       // if `signal` is 0
  int signal = 0;
};

class ProcessHost {
 public:
  // The real one.  Gives SIGCHLD its default disposition: where it is ignored, children's exit
  // codes are lost.
  static std::unique_ptr<ProcessHost> Make();

  virtual ~ProcessHost() = default;

  // Starts command[0], a path, with the other texts as its arguments; it is watched from then on.
  //   NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED, …  as the system says, naming the program
  virtual absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command) = 0;

  // Watches the process that holds the flock on `lock_path`, a file with the holder's process id.
  // Returns the id, or 0 if nobody holds the lock.
  //   UNAVAILABLE  it is held, but by whom is not told (yet)
  virtual absl::StatusOr<pid_t> AdoptHolder(const std::string& lock_path) = 0;

  // Sends `signal` to a watched process; never to another one that has got its id since.
  //   NOT_FOUND          it is not watched, or has ended
  //   PERMISSION_DENIED  an adopted process of another user
  virtual absl::Status Kill(pid_t pid, int signal) = 0;

  // What has ended since the last call, and is watched no more.
  virtual std::vector<ProcessExit> Poll() = 0;
};

}  // namespace fanwire::control
