#include "control/connection_listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mutex.h"

namespace fanwire::control {

namespace {

constexpr int kBacklog = 1024;
// How long nothing is accepted after accept() has failed.
constexpr absl::Duration kErrorPause = absl::Milliseconds(100);
// How often held connections are looked at while the limit is reached.
constexpr absl::Duration kSweepInterval = absl::Milliseconds(100);

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

absl::Status ErrnoStatus(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// The number of the socket or file behind a descriptor; nothing if it is closed.
std::optional<ino_t> InodeOf(int fd) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return std::nullopt;
  return info.st_ino;
}

// Tells a file from others that had or get its name.
struct FileIdentity {
  static FileIdentity Of(const std::string& path) {
    struct stat info = {};
    if (lstat(path.c_str(), &info) != 0) return {};
    return {info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec};
  }
  bool operator==(const FileIdentity&) const = default;

  ino_t inode = 0;
  int64_t changed = 0, changed_ns = 0;  // numbers of files are used again
};

// Whether errno says that this machine does not have an address, as "::1" where IPv6 is off.
bool NoSuchAddress() { return errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT; }

// "port 8701 of ::1"
std::string Describe(const sockaddr* address, socklen_t size, uint16_t port) {
  char host[NI_MAXHOST] = "";
  getnameinfo(address, size, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
  return absl::StrCat("port ", port, " of ", host);
}

// A bound and listening TCP socket; `port` of 0 becomes the one that the kernel chose.
//   NOT_FOUND    this machine does not have the address
//   UNAVAILABLE  any other reason
absl::StatusOr<int> BindTcp(sockaddr* address, socklen_t size, uint16_t* port) {
  const auto failure = [&] {
    const bool none = NoSuchAddress();
    const absl::Status status = ErrnoStatus(Describe(address, size, *port));
    return none ? absl::NotFoundError(status.message()) : status;
  };
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failure();
  const int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // accepted sockets inherit it
  in_port_t* bound_port = nullptr;
  if (address->sa_family == AF_INET6) {
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(address);
    const bool any = IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
    bound_port = &v6->sin6_port;
  } else {
    bound_port = &reinterpret_cast<sockaddr_in*>(address)->sin_port;
  }
  *bound_port = htons(*port);
  if (bind(fd, address, size) != 0 || listen(fd, kBacklog) != 0 ||
      getsockname(fd, address, &size) != 0) {
    const absl::Status status = failure();
    close(fd);
    return status;
  }
  *port = ntohs(*bound_port);
  return fd;
}

// Whether an address comes before `each` in the list that starts with `first`: /etc/hosts may name
// one twice.
bool IsRepeated(const addrinfo* first, const addrinfo* each) {
  for (; first != each; first = first->ai_next) {
    if (first->ai_addrlen == each->ai_addrlen &&
        std::memcmp(first->ai_addr, each->ai_addr, each->ai_addrlen) == 0) {
      return true;
    }
  }
  return false;
}

class SocketListener final : public ConnectionListener {
 public:
  SocketListener(size_t max_tcp, HandOver hand_over)
      : max_tcp_(max_tcp),
        hand_over_(std::move(hand_over)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        spare_(OpenSpare()) {
    FANWIRE_CHECK(wake_ >= 0);
  }

  ~SocketListener() override {
    Stop();
    for (const int fd : tcp_) close(fd);
    if (spare_ >= 0) close(spare_);
    close(wake_);
  }

  absl::StatusOr<uint16_t> ListenTcp(const Address& address) override {
    const size_t before = tcp_.size();
    absl::StatusOr<uint16_t> port = ListenOnEach(address);
    if (port.ok()) return port;
    for (size_t i = before; i < tcp_.size(); ++i) close(tcp_[i]);
    tcp_.resize(before);
    return port;
  }

  absl::Status ListenUnix(const std::string& path) override {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    if (path.size() >= sizeof(address.sun_path)) {
      return absl::UnavailableError(absl::StrCat(path, ": longer than a unix socket's name"));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return ErrnoStatus(path);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        chmod(path.c_str(), 0660) != 0 || listen(fd, kBacklog) != 0) {
      absl::Status status = ErrnoStatus(path);
      close(fd);
      return status;
    }
    MutexLock lock(&mu_);
    if (unix_ >= 0) former_unix_.push_back(unix_);  // the thread may be using it
    unix_ = fd;
    unix_path_ = path;
    unix_file_ = FileIdentity::Of(path);
    eventfd_write(wake_, 1);
    return absl::OkStatus();
  }

  void Start() override {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "grpc_accept");
      Run();
    });
  }

  void Stop() override {
    stopping_.store(true, std::memory_order_relaxed);
    eventfd_write(wake_, 1);
    if (thread_.joinable()) thread_.join();
    for (const int fd : tcp_) close(fd);
    tcp_.clear();
    MutexLock lock(&mu_);
    CloseFormer();
    if (unix_ < 0) return;
    close(std::exchange(unix_, -1));
    // Only our own: another control may have taken the place.
    if (FileIdentity::Of(unix_path_) == unix_file_) unlink(unix_path_.c_str());
  }

  Counts counts() const override {
    return {.tcp_open = tcp_open_.load(std::memory_order_relaxed),
            .refused_limit = refused_limit_.load(std::memory_order_relaxed),
            .refused_descriptors = refused_descriptors_.load(std::memory_order_relaxed)};
  }

 private:
  struct Held {
    int fd;
    ino_t inode;
  };

  // ListenTcp(); in case of an error some sockets may be open.
  absl::StatusOr<uint16_t> ListenOnEach(const Address& address) {
    uint16_t port = address.port;
    if (address.host == "0.0.0.0" || address.host == "::") {
      // They mean both families where the machine has both.
      sockaddr_in6 any = {};
      any.sin6_family = AF_INET6;
      any.sin6_addr = in6addr_any;
      const absl::Status status =
          Add(BindTcp(reinterpret_cast<sockaddr*>(&any), sizeof(any), &port));
      if (status.ok()) return port;
      if (!absl::IsNotFound(status)) return status;
    }
    addrinfo hints = {};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
    addrinfo* list = nullptr;
    if (const int error = getaddrinfo(address.host.c_str(), "0", &hints, &list); error != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", address.host, "\": ", gai_strerror(error)));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, &freeaddrinfo);
    absl::Status last;
    bool any = false;
    for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
      if (IsRepeated(list, each)) continue;
      const absl::Status status = Add(BindTcp(each->ai_addr, each->ai_addrlen, &port));
      if (status.ok()) {
        any = true;
        continue;
      }
      last = status;
      // Clients may try either address and must not find another program there.  Which port is used
      // does not matter where none is configured.
      if (!absl::IsNotFound(status) && address.port != 0) return status;
    }
    if (any) return port;
    return absl::UnavailableError(last.message());
  }

  absl::Status Add(const absl::StatusOr<int>& fd) {
    if (fd.ok()) tcp_.push_back(*fd);
    return fd.status();
  }

  // ---- the thread

  void Run() {
    while (!stopping_.load(std::memory_order_relaxed)) {
      const int unix_socket = TakeUnix();
      std::vector<pollfd> ready = {{.fd = wake_, .events = POLLIN, .revents = 0},
                                   {.fd = unix_socket, .events = POLLIN, .revents = 0}};
      for (const int fd : tcp_) ready.push_back({.fd = fd, .events = POLLIN, .revents = 0});
      const absl::Duration left = resume_at_ - clock_->Now();
      if (left > absl::ZeroDuration()) ready.resize(1);
      const int timeout =
          left > absl::ZeroDuration() ? static_cast<int>(absl::ToInt64Milliseconds(left)) + 1 : -1;
      if (poll(ready.data(), ready.size(), timeout) <= 0) continue;
      if (ready[0].revents != 0) {
        eventfd_t ignored;
        eventfd_read(wake_, &ignored);
      }
      for (size_t i = 1; i < ready.size(); ++i) {
        if (ready[i].revents != 0) Accept(ready[i].fd, /*tcp=*/i > 1);
      }
    }
  }

  int TakeUnix() {
    MutexLock lock(&mu_);
    CloseFormer();
    return unix_;
  }

  void CloseFormer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    for (const int fd : former_unix_) close(fd);
    former_unix_.clear();
  }

  void Accept(int listener, bool tcp) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) return Take(fd, tcp);
    switch (errno) {
      case EMFILE:
      case ENFILE:
        return RefuseWithSpare(listener);
      case ENOBUFS:
      case ENOMEM:
        resume_at_ = clock_->Now() + kErrorPause;
        return;
      default:
        return;  // that connection ended before it was accepted
    }
  }

  void Take(int fd, bool tcp) {
    if (tcp) {
      if (held_.size() >= max_tcp_) Sweep();
      if (held_.size() >= max_tcp_) {
        refused_limit_.fetch_add(1, std::memory_order_relaxed);
        close(fd);
        static LogLimiter limiter(absl::Minutes(1));
        if (int64_t left_out = 0; limiter.Admit(&left_out)) {
          LogWarning("grpc.connections_full", {{"limit", max_tcp_},
                                               {"left_out", left_out},
                                               {"setting", "control.grpc_max_connections"}});
        }
        return;
      }
      if (const std::optional<ino_t> inode = InodeOf(fd)) held_.push_back({fd, *inode});
      tcp_open_.store(static_cast<int64_t>(held_.size()), std::memory_order_relaxed);
    }
    hand_over_(fd);
  }

  // Forgets the connections that were closed.  Their descriptors may mean other things by now.
  void Sweep() {
    if (clock_->Now() < next_sweep_) return;
    next_sweep_ = clock_->Now() + kSweepInterval;
    std::erase_if(held_, [](const Held& held) { return InodeOf(held.fd) != held.inode; });
    tcp_open_.store(static_cast<int64_t>(held_.size()), std::memory_order_relaxed);
  }

  void RefuseWithSpare(int listener) {
    if (spare_ >= 0) close(spare_);
    if (const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); fd >= 0) {
      refused_descriptors_.fetch_add(1, std::memory_order_relaxed);
      close(fd);
      static LogLimiter limiter(absl::Minutes(1));
      if (int64_t left_out = 0; limiter.Admit(&left_out)) {
        LogError("grpc.out_of_descriptors",
                 {{"left_out", left_out}, {"advice", "raise the limit of open files (ulimit -n)"}});
      }
    }
    spare_ = OpenSpare();
    // Without a spare the next try would spin.
    if (spare_ < 0) resume_at_ = clock_->Now() + kErrorPause;
  }

  const size_t max_tcp_;
  const HandOver hand_over_;
  const Clock* const clock_ = Clock::Real();
  const int wake_;
  std::vector<int> tcp_;  // unchanged while the thread runs

  Mutex mu_;  // a leaf
  int unix_ ABSL_GUARDED_BY(mu_) = -1;
  std::vector<int> former_unix_ ABSL_GUARDED_BY(mu_);
  std::string unix_path_ ABSL_GUARDED_BY(mu_);
  FileIdentity unix_file_ ABSL_GUARDED_BY(mu_);

  // Of the thread.
  int spare_;  // -1 while it could not be opened again
  std::vector<Held> held_;
  absl::Duration resume_at_ = -absl::InfiniteDuration();
  absl::Duration next_sweep_ = -absl::InfiniteDuration();

  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> tcp_open_{0};
  std::atomic<int64_t> refused_limit_{0};
  std::atomic<int64_t> refused_descriptors_{0};
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ConnectionListener> ConnectionListener::Make(size_t max_tcp, HandOver hand_over) {
  return std::make_unique<SocketListener>(max_tcp, std::move(hand_over));
}

}  // namespace fanwire::control
