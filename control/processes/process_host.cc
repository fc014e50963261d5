#include "control/processes/process_host.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/check.h"

namespace fanwire::control {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;

  int get() const { return fd_; }

 private:
  int fd_;
};

// glibc 2.36 declares its functions for these without extern "C".
int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }
int PidfdSendSignal(int fd, int signal) {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0));
}

// The signals, descriptors and session that a child starts with; see the header.
class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawnattr_init(&attributes_);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) sigaddset(&signals, signal);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  const posix_spawnattr_t* attributes() const { return &attributes_; }
  const posix_spawn_file_actions_t* files() const { return &files_; }

 private:
  posix_spawnattr_t attributes_;
  posix_spawn_file_actions_t files_;
};

// Returns whether a process holds the lock.  Takes a free lock for a moment.  That disturbs nobody:
// only the caller starts workers, and it is not doing so now.
bool IsLocked(int fd) {
  if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
    flock(fd, LOCK_UN);
    return false;
  }
  return errno == EWOULDBLOCK;
}

// Returns the process id in the file, or 0 if it has none that could be a worker's.
pid_t ReadPid(int fd) {
  char text[32];
  const ssize_t size = pread(fd, text, sizeof(text), 0);
  pid_t pid = 0;
  if (size <= 0 || text[size - 1] != '\n' ||
      !absl::SimpleAtoi(absl::StripAsciiWhitespace(absl::string_view(text, size)), &pid)) {
    return 0;
  }
  return pid > 1 && pid != getpid() ? pid : 0;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Reads from a thread's status file how often the thread has gone to sleep by itself.
int64_t VoluntarySwitches(const std::string& path) {
  std::ifstream file(path);
  int64_t count = 0;
  for (std::string line; std::getline(file, line);) {
    absl::string_view text = line;
    if (!absl::ConsumePrefix(&text, "voluntary_ctxt_switches:")) continue;
    return absl::SimpleAtoi(text, &count) ? count : 0;
  }
  return 0;
}

// Reads from a thread's stat file how many clock ticks the thread has run so far.
int64_t TicksRun(const std::string& path) {
  const std::string line = FirstLine(path);
  // The name of the thread, in parentheses, may contain anything.
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(line).substr(line.rfind(')') + 1), ' ', absl::SkipEmpty());
  int64_t user = 0;
  int64_t system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) ||
      !absl::SimpleAtoi(fields[12], &system)) {
    return 0;
  }
  return user + system;
}

class PosixProcessHost final : public ProcessHost {
 public:
  PosixProcessHost() { signal(SIGCHLD, SIG_DFL); }

  absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command) override {
    FANWIRE_CHECK(!command.empty());
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& argument : command) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    const SpawnSettings settings;
    pid_t pid = 0;
    const int error = posix_spawn(&pid, arguments[0], settings.files(), settings.attributes(),
                                  arguments.data(), environ);
    if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", command[0]));
    children_.push_back(pid);
    return pid;
  }

  absl::StatusOr<pid_t> AdoptHolder(const std::string& lock_path) override {
    const Descriptor file(open(lock_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.get() < 0 && errno == ENOENT) return 0;
    if (file.get() < 0) {
      return absl::UnavailableError(
          absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", lock_path)).message());
    }
    if (!IsLocked(file.get())) return 0;
    const pid_t pid = ReadPid(file.get());
    if (pid == 0) {
      return absl::UnavailableError(
          absl::StrCat(lock_path, " is locked, but has no process id in it"));
    }
    if (IsChild(pid)) return pid;
    Descriptor process(PidfdOpen(pid));
    if (process.get() < 0) {
      return absl::UnavailableError(
          absl::ErrnoToStatus(errno, absl::StrCat(lock_path, " is locked by process ", pid,
                                                  ", which cannot be watched"))
              .message());
    }
    // The descriptor is certainly the holder's only if the same process held the lock before and
    // after the descriptor was opened.
    if (!IsLocked(file.get())) return 0;
    if (ReadPid(file.get()) != pid) {
      return absl::UnavailableError(
          absl::StrCat(lock_path, " was locked by another process meanwhile"));
    }
    adopted_.insert_or_assign(pid, std::make_unique<Descriptor>(std::move(process)));
    return pid;
  }

  absl::Status Kill(pid_t pid, int signal) override {
    int result = 0;
    if (const auto it = adopted_.find(pid); it != adopted_.end()) {
      result = PidfdSendSignal(it->second->get(), signal);
    } else if (IsChild(pid)) {
      result = kill(pid, signal);  // a child keeps its id until it is waited for
    } else {
      return absl::NotFoundError(absl::StrCat("process ", pid, " is not watched"));
    }
    if (result == 0) return absl::OkStatus();
    const std::string what = absl::StrCat("process ", pid);
    return errno == ESRCH ? absl::NotFoundError(absl::StrCat(what, " has ended"))
                          : absl::ErrnoToStatus(errno, what);
  }

  int64_t Activity(pid_t pid) override {
    const std::string tasks = absl::StrCat("/proc/", pid, "/task");
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(tasks.c_str()), closedir);
    if (folder == nullptr) return 0;
    int64_t all = 0;
    while (const dirent* const entry = readdir(folder.get())) {
      const std::string task = absl::StrCat(tasks, "/", entry->d_name);
      const int64_t activity = VoluntarySwitches(task + "/status") + TicksRun(task + "/stat");
      if (FirstLine(task + "/comm") == "loop") return activity;
      all += activity;
    }
    return all;  // an older worker, whose loop has no name, or another program
  }

  std::vector<ProcessExit> Poll() override {
    std::vector<ProcessExit> exits;
    std::erase_if(children_, [&](pid_t pid) {
      int status = 0;
      const pid_t got = waitpid(pid, &status, WNOHANG);
      if (got == 0 || (got < 0 && errno == EINTR)) return false;
      ProcessExit exit{.pid = pid, .known = got == pid};
      if (exit.known && WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
      if (exit.known && WIFEXITED(status)) exit.code = WEXITSTATUS(status);
      exits.push_back(exit);
      return true;
    });
    std::erase_if(adopted_, [&](const auto& entry) {
      pollfd watched{.fd = entry.second->get(), .events = POLLIN, .revents = 0};
      if (poll(&watched, 1, 0) <= 0) return false;
      exits.push_back({.pid = entry.first, .known = false});
      return true;
    });
    return exits;
  }

 private:
  bool IsChild(pid_t pid) const {
    return std::find(children_.begin(), children_.end(), pid) != children_.end();
  }

  std::vector<pid_t> children_;
  std::map<pid_t, std::unique_ptr<Descriptor>> adopted_;
};

}  // namespace

std::unique_ptr<ProcessHost> ProcessHost::Make() { return std::make_unique<PosixProcessHost>(); }

}  // namespace fanwire::control
