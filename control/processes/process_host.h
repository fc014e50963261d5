// ProcessHost starts worker processes, watches them and the processes that an earlier control
// started, and sends them signals.
//
// A child leads a session of its own, so that signals to control's process group (Ctrl-C on its
// terminal, `kill -- -PGID`) and the end of a terminal do not reach it.  It does not end when
// control ends.  It starts with /dev/null as its input, with control's output and error, without
// other descriptors, and with the default disposition of TERM, INT, HUP and PIPE.  Only HUP is
// blocked: a program that has just started does not handle HUP yet, and would be ended by it.
//
// Threading: one thread at a time.
// Ownership: owns no process: processes go on running when this object is destroyed.
// Cost:      Poll() makes one wait or poll system call for each process.  Spawn() takes about a
//            millisecond; it returns when the program has started.
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
  bool known = true;  // false: the process was not a child, so the system does not tell its end
  int code = 0;       // if `signal` is 0
  int signal = 0;
};

class ProcessHost {
 public:
  // Makes a host that uses the operating system.  Sets SIGCHLD to its default disposition, because
  // the system discards the exit codes of children if the signal is ignored.
  static std::unique_ptr<ProcessHost> Make();

  virtual ~ProcessHost() = default;

  // Starts the program at the path command[0] with the other texts as its arguments, and watches
  // it.
  //   NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED, …  the system's error, with the program's
  //                                                        name
  virtual absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command) = 0;

  // Watches the process that holds the flock on `lock_path`, a file with the holder's process id.
  // Returns the id, or 0 if nobody holds the lock.
  //   UNAVAILABLE  the lock is held, and the file does not (yet) name a running process
  virtual absl::StatusOr<pid_t> AdoptHolder(const std::string& lock_path) = 0;

  // Sends `signal` to a watched process, and never to another process that has got the same id
  // later.
  //   NOT_FOUND          the process is not watched, or has ended
  //   PERMISSION_DENIED  the process was adopted and belongs to another user
  virtual absl::Status Kill(pid_t pid, int signal) = 0;

  // How often the event loop of a watched worker has gone to sleep so far, plus the clock ticks
  // that it has run: a loop under full load never sleeps.  The number stands still while the
  // process is stopped, or its loop waits for something that does not come.  0: unknown.
  virtual int64_t Activity(pid_t pid) = 0;

  // Returns the watched processes that have ended since the last call, and stops watching them.
  virtual std::vector<ProcessExit> Poll() = 0;
};

}  // namespace fanwire::control
