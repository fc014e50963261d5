#include "fanout/net/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/file_limit.h"
#include "common/token_bucket.h"

namespace fanwire::fanout {

namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr size_t kMostDiscarded = size_t{16} * 1024;
constexpr absl::Duration kErrorPause = absl::Milliseconds(100);

int OpenSpare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

absl::Status ErrnoStatus(int error, absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", std::strerror(error));
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(message);
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(message);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

// Answers 503 to a request that nobody has read, and closes.  What has come of the request is taken
// first, because the kernel resets a connection that is closed with bytes unread, and the client
// might not get the answer then.
void RefuseAtOnce(int fd) {
  static const std::string* const response = [] {
    const absl::string_view body = kNoConnectionsLeft;
    return new std::string(
        absl::StrCat("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                     "Content-Length: ",
                     body.size(), "\r\nRetry-After: 1\r\nConnection: close\r\n\r\n", body));
  }();
  char request[kMostDiscarded];
  (void)::recv(fd, request, sizeof(request), MSG_DONTWAIT);
  (void)::send(fd, response->data(), response->size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(fd, SHUT_WR);
  ::close(fd);
}

struct BindAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

absl::StatusOr<BindAddress> ParseAddress(const ListenerOptions& options) {
  const std::string host = options.address == "localhost" ? "127.0.0.1" : options.address;
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(options.port).c_str(), &hints, &found) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("listen address \"", options.address, "\": not an IPv4 or IPv6 address"));
  }
  BindAddress address;
  address.size = found->ai_addrlen;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  return address;
}

class TcpListener final : public Listener, public Watcher {
 public:
  TcpListener(int fd, uint16_t port, const ListenerOptions& options, EventLoop* loop,
              const SendTable* sockets, AcceptFn accept, AcceptFn refuse)
      : options_(options),
        loop_(loop),
        sockets_(sockets),
        accept_(std::move(accept)),
        refuse_(std::move(refuse)),
        fd_(fd),
        spare_(OpenSpare()),
        port_(port),
        bucket_(BurstSize(), loop->Now()) {
    loop_->Watch(fd_, kReadable, this);
  }

  ~TcpListener() override { Close(); }

  void Close() override {
    if (fd_ < 0) return;
    loop_->Cancel(resume_);
    loop_->Cancel(close_);
    loop_->Unwatch(fd_);
    ::close(std::exchange(fd_, -1));
    if (spare_ >= 0) ::close(std::exchange(spare_, -1));
  }

  void Drain(absl::Duration at_most) override {
    if (fd_ < 0 || std::exchange(draining_, true)) return;
    if (at_most != absl::InfiniteDuration()) {
      close_ = loop_->RunAfter(at_most, [this] { Close(); });
    }
    loop_->Cancel(resume_);
    loop_->ChangeInterest(fd_, kReadable);
    OnReady(kReadable);
  }

  bool open() const override { return fd_ >= 0; }

  void Update(double accepts_per_second, const SocketOptions& socket) override {
    options_.accepts_per_second = accepts_per_second;
    options_.socket = socket;
    bucket_.Limit(BurstSize());
    if (fd_ >= 0) ConfigureSocket(fd_, socket);
  }

  uint16_t port() const override { return port_; }
  const ListenerCounters& counters() const override { return counters_; }

  void OnReady(uint32_t) override {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      // `accept_` may have closed this listener.
      if (fd_ < 0 || !TakeToken()) return;
      switch (AcceptOne()) {
        case Accepted::kOne:
          break;
        case Accepted::kLater:
          return;
        case Accepted::kNoneWaits:
          // Nothing comes between the look at the backlog and the end of it.
          if (draining_) Close();
          return;
      }
    }
    LookAgainIfDraining();
  }

 private:
  enum class Accepted {
    kOne,        // or one that failed: go on
    kLater,      // not in this turn
    kNoneWaits,  // the backlog is empty
  };

  double BurstSize() const { return std::max(1.0, options_.accepts_per_second / 10); }

  // Whether pacing lets one more in; if not, sets when it will.
  bool TakeToken() {
    const double rate = options_.accepts_per_second;
    if (rate <= 0 || draining_) return true;
    if (bucket_.Take(rate, BurstSize(), loop_->Now())) return true;
    ++counters_.paced;
    Pause(std::max(absl::Milliseconds(10), absl::Seconds(bucket_.SecondsToNext(rate))));
    return false;
  }

  Accepted AcceptOne() {
    sockaddr_storage address;
    socklen_t size = sizeof(address);
    const int fd =
        ::accept4(fd_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      const PeerAddress peer = PeerAddress::From(reinterpret_cast<const sockaddr*>(&address));
      if (const size_t open = sockets_->open_sockets(); open >= options_.max_open) {
        ++counters_.refused_cap;
        if (refuse_ && open - options_.max_open < kMaxRefusing) {
          refuse_(fd, peer);
        } else {
          RefuseAtOnce(fd);
        }
        return Accepted::kOne;
      }
      ++counters_.accepted;
      accept_(fd, peer);
      return Accepted::kOne;
    }
    const int error = errno;
    // Nobody has come in: the token was not used.
    bucket_.GiveBack();
    if (error == EMFILE || error == ENFILE) return RefuseWithSpare();
    return Failed(error);
  }

  // accept4() has failed with `error`.
  Accepted Failed(int error) {
    if (error == EAGAIN) return Accepted::kNoneWaits;
    ++counters_.errors;
    switch (error) {
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        Pause(kErrorPause);
        return Accepted::kLater;
      default:
        // That one connection failed before it was accepted (accept(2)): the next may be well.
        return Accepted::kOne;
    }
  }

  // Out of descriptors: gives the spare one up for as long as it takes to accept and answer.
  Accepted RefuseWithSpare() {
    if (spare_ >= 0) ::close(spare_);
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    const int error = errno;
    if (fd >= 0) {
      ++counters_.refused_descriptors;
      RefuseAtOnce(fd);
    }
    spare_ = OpenSpare();
    if (spare_ < 0) {
      Pause(kErrorPause);  // the next try would spin
      return Accepted::kLater;
    }
    return fd >= 0 ? Accepted::kOne : Failed(error);
  }

  void Pause(absl::Duration delay) {
    loop_->ChangeInterest(fd_, 0);
    resume_ = loop_->RunAfter(delay, [this] {
      loop_->ChangeInterest(fd_, kReadable);
      LookAgainIfDraining();
    });
  }

  // The loop does not tell that nothing waits any more.
  void LookAgainIfDraining() {
    if (draining_ && fd_ >= 0) loop_->CallAgain(fd_);
  }

  ListenerOptions options_;
  EventLoop* const loop_;
  const SendTable* const sockets_;
  AcceptFn accept_;
  AcceptFn refuse_;
  int fd_;
  int spare_;  // -1 while it could not be opened again
  const uint16_t port_;
  TokenBucket<double> bucket_;
  EventLoop::TimerId resume_ = 0;
  EventLoop::TimerId close_ = 0;  // ends a drain
  bool draining_ = false;
  ListenerCounters counters_;
};

}  // namespace

size_t MaxConnections(size_t reserved) {
  const uint64_t limit = RaiseFileLimit();
  return limit > reserved + 1 ? static_cast<size_t>(limit) - reserved : 1;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(const ListenerOptions& options,
                                                         EventLoop* loop, const SendTable* sockets,
                                                         AcceptFn accept, AcceptFn refuse) {
  absl::StatusOr<BindAddress> address = ParseAddress(options);
  if (!address.ok()) return address.status();
  auto* bind_address = reinterpret_cast<sockaddr*>(&address->storage);
  const std::string what = absl::StrCat("listen on ", PeerAddress::From(bind_address).ToString());

  const int fd = ::socket(bind_address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, what);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  ConfigureSocket(fd, options.socket);
  sockaddr_storage bound;
  socklen_t bound_size = sizeof(bound);
  if (::bind(fd, bind_address, address->size) != 0 || ::listen(fd, options.backlog) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) {
    const absl::Status status = ErrnoStatus(errno, what);
    ::close(fd);
    return status;
  }
  const uint16_t port = PeerAddress::From(reinterpret_cast<const sockaddr*>(&bound)).port;
  return std::make_unique<TcpListener>(fd, port, options, loop, sockets, std::move(accept),
                                       std::move(refuse));
}

}  // namespace fanwire::fanout
