#include "fanout/net/socket.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace fanwire::fanout {

namespace {

constexpr uint8_t kIpv4Prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr size_t kMaxIovecs = 64;

// The kernel takes nothing now, but will.  Out of memory is told apart from a broken connection.
bool IsNotNow(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM;
}

void SetIntOption(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));
}

ssize_t SendBytes(int fd, const char* data, size_t size) {
  ssize_t sent = 0;
  do {
    sent = ::send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return IsNotNow(errno) ? 0 : -errno;
}

// The same for several buffers.
ssize_t SendParts(int fd, iovec* parts, size_t count) {
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return IsNotNow(errno) ? 0 : -errno;
}

}  // namespace

PeerAddress PeerAddress::From(const sockaddr* address) {
  PeerAddress peer;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    std::memcpy(peer.bytes, kIpv4Prefix, sizeof(kIpv4Prefix));
    std::memcpy(peer.bytes + sizeof(kIpv4Prefix), &v4->sin_addr, 4);
    peer.port = ntohs(v4->sin_port);
  } else if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    std::memcpy(peer.bytes, &v6->sin6_addr, 16);
    peer.port = ntohs(v6->sin6_port);
  }
  return peer;
}

std::string PeerAddress::Host() const {
  char text[INET6_ADDRSTRLEN] = {};
  const bool v4 = std::memcmp(bytes, kIpv4Prefix, sizeof(kIpv4Prefix)) == 0;
  ::inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes + sizeof(kIpv4Prefix) : bytes, text,
              sizeof(text));
  return text;
}

std::string PeerAddress::ToString() const {
  const std::string host = Host();
  if (host.find(':') == std::string::npos) return absl::StrCat(host, ":", port);
  return absl::StrCat("[", host, "]:", port);
}

void ConfigureSocket(int fd, const SocketOptions& options) {
  if (options.no_delay) SetIntOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.notsent_lowat_bytes > 0) {
    SetIntOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options.notsent_lowat_bytes);
  }
  if (options.send_buffer_bytes > 0) {
    SetIntOption(fd, SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes);
  }
}

void SendTable::Open(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= slots_.size()) slots_.resize(std::max(index + 1, 2 * index));
  slots_[index] = Slot();
  ++open_sockets_;
}

void SendTable::Close(int fd) {
  slot(fd).direct = false;
  --open_sockets_;
}

ssize_t SendTable::Send(int fd, const Frame& frame) {
  const ssize_t sent = SendBytes(fd, frame.data(), frame.size());
  if (sent > 0) {
    Slot& entry = slot(fd);
    entry.bytes += static_cast<uint64_t>(sent);
    if (static_cast<size_t>(sent) == frame.size()) entry.messages += frame.messages();
  }
  return sent;
}

// Frames not yet out, oldest first.
struct Socket::Queue {
  static constexpr size_t kNone = SIZE_MAX;

  std::vector<FramePtr> frames;  // those before `head` are out, and null
  size_t head = 0;
  size_t offset = 0;  // bytes of frames[head] that are out
  size_t bytes = 0;   // all that is left
  uint64_t messages = 0;
  std::array<size_t, 2> urgent = {kNone, kNone};  // index of the last frame of each kind

  void Push(FramePtr frame) {
    bytes += frame->size();
    messages += frame->messages();
    frames.push_back(std::move(frame));
  }

  // Gives back the room of frames that are out, now and then.
  void Compact() {
    if (head < 64 || head < frames.size() / 2) return;
    frames.erase(frames.begin(), frames.begin() + static_cast<ptrdiff_t>(head));
    for (size_t& index : urgent) index = index != kNone && index >= head ? index - head : kNone;
    head = 0;
  }
};

Socket::Socket(int fd, SendTable* table) : table_(table), fd_(fd) { table_->Open(fd); }

Socket::~Socket() {
  table_->Close(fd_);
  ::close(fd_);
}

SendOutcome Socket::Send(FramePtr frame) {
  if (last_sent_ || broken_) return SendOutcome::kClosed;
  if (queue_ != nullptr) {
    queue_->Push(std::move(frame));
    return SendOutcome::kQueued;
  }
  const size_t size = frame->size();
  const ssize_t sent = table_->Send(fd_, *frame);
  if (sent == static_cast<ssize_t>(size)) return SendOutcome::kSent;
  return Continue(std::move(frame), sent);
}

SendOutcome Socket::SendAll(absl::Span<const FramePtr> frames) {
  if (last_sent_ || broken_) return SendOutcome::kClosed;
  if (queue_ != nullptr) {
    for (const FramePtr& frame : frames) queue_->Push(frame);
    return SendOutcome::kQueued;
  }
  SendTable::Slot& slot = table_->slot(fd_);
  while (!frames.empty()) {
    iovec parts[kMaxIovecs];
    const size_t count = std::min(frames.size(), kMaxIovecs);
    for (size_t i = 0; i < count; ++i) {
      parts[i] = {const_cast<char*>(frames[i]->data()), frames[i]->size()};
    }
    const ssize_t sent = SendParts(fd_, parts, count);
    if (sent < 0) {
      Break();
      return SendOutcome::kClosed;
    }
    auto left = static_cast<size_t>(sent);
    slot.bytes += left;
    size_t out = 0;  // whole ones
    for (; out < count && left >= frames[out]->size(); ++out) {
      left -= frames[out]->size();
      slot.messages += frames[out]->messages();
    }
    frames.remove_prefix(out);
    if (out == count) continue;
    Hold();
    for (const FramePtr& frame : frames) queue_->Push(frame);
    queue_->offset = left;
    queue_->bytes -= left;
    return SendOutcome::kQueued;
  }
  return SendOutcome::kSent;
}

SendOutcome Socket::Continue(FramePtr frame, ssize_t taken) {
  if (last_sent_ || broken_) return SendOutcome::kClosed;
  if (taken < 0) {
    Break();
    return SendOutcome::kClosed;
  }
  FANWIRE_CHECK(queue_ == nullptr || taken == 0);
  Hold();
  queue_->Push(std::move(frame));
  if (taken > 0) {
    queue_->offset = static_cast<size_t>(taken);
    queue_->bytes -= static_cast<size_t>(taken);
  }
  return SendOutcome::kQueued;
}

SendOutcome Socket::SendUrgent(FramePtr frame, Urgent kind) {
  if (queue_ == nullptr || last_sent_ || broken_) return Send(std::move(frame));
  Queue& queue = *queue_;
  size_t& last = queue.urgent[static_cast<size_t>(kind)];
  const size_t first_unsent = queue.head + (queue.offset > 0 ? 1 : 0);
  queue.bytes += frame->size();
  if (last != Queue::kNone && last >= first_unsent) {
    queue.bytes -= queue.frames[last]->size();
    queue.frames[last] = std::move(frame);
    return SendOutcome::kQueued;
  }
  queue.frames.insert(queue.frames.begin() + static_cast<ptrdiff_t>(first_unsent),
                      std::move(frame));
  for (size_t& index : queue.urgent) {
    if (index != Queue::kNone && index >= first_unsent) ++index;
  }
  last = first_unsent;
  return SendOutcome::kQueued;
}

SendOutcome Socket::SendLast(FramePtr frame) {
  const SendOutcome outcome = Send(std::move(frame));
  last_sent_ = true;
  UpdateDirect();
  return outcome;
}

void Socket::Hold() {
  if (queue_ != nullptr) return;
  queue_ = std::make_unique<Queue>();
  UpdateDirect();
}

SendOutcome Socket::Flush() {
  if (broken_) return SendOutcome::kClosed;
  while (queue_ != nullptr && queue_->bytes > 0) {
    switch (WriteSome()) {
      case Write::kAll:
        break;
      case Write::kSome:
        return SendOutcome::kQueued;
      case Write::kBroken:
        Break();
        return SendOutcome::kClosed;
    }
  }
  queue_.reset();
  UpdateDirect();
  return SendOutcome::kSent;
}

Socket::Write Socket::WriteSome() {
  const Queue& queue = *queue_;
  iovec parts[kMaxIovecs];
  const size_t count = std::min(queue.frames.size() - queue.head, kMaxIovecs);
  size_t offered = 0;
  for (size_t i = 0; i < count; ++i) {
    const Frame& frame = *queue.frames[queue.head + i];
    const size_t skip = i == 0 ? queue.offset : 0;
    parts[i] = {const_cast<char*>(frame.data()) + skip, frame.size() - skip};
    offered += parts[i].iov_len;
  }
  const ssize_t sent = SendParts(fd_, parts, count);
  if (sent < 0) return Write::kBroken;
  MarkSent(static_cast<size_t>(sent));
  return static_cast<size_t>(sent) == offered ? Write::kAll : Write::kSome;
}

void Socket::MarkSent(size_t sent) {
  Queue& queue = *queue_;
  SendTable::Slot& slot = table_->slot(fd_);
  slot.bytes += sent;
  queue.bytes -= sent;
  queue.offset += sent;
  while (queue.head < queue.frames.size() && queue.offset >= queue.frames[queue.head]->size()) {
    const FramePtr done = std::move(queue.frames[queue.head]);
    queue.offset -= done->size();
    queue.messages -= done->messages();
    slot.messages += done->messages();
    ++queue.head;
  }
  queue.Compact();
}

uint64_t Socket::DropUnsent() {
  if (queue_ == nullptr) return 0;
  Queue& queue = *queue_;
  const size_t keep = queue.head + (queue.offset > 0 ? 1 : 0);
  uint64_t dropped = 0;
  for (size_t i = keep; i < queue.frames.size(); ++i) {
    dropped += queue.frames[i]->messages();
    queue.bytes -= queue.frames[i]->size();
  }
  queue.messages -= dropped;
  queue.frames.resize(keep);
  queue.urgent.fill(Queue::kNone);
  if (queue.bytes == 0) queue_.reset();
  UpdateDirect();
  return dropped;
}

ssize_t Socket::Read(absl::Span<uint8_t> buffer) {
  ssize_t count = 0;
  do {
    count = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return count >= 0 ? count : -errno;
}

void Socket::ShutdownSend() {
  last_sent_ = true;
  UpdateDirect();
  ::shutdown(fd_, SHUT_WR);
}

void Socket::Break() {
  broken_ = true;
  UpdateDirect();
  ::shutdown(fd_, SHUT_RDWR);
}

void Socket::set_direct_allowed(bool allowed) {
  direct_allowed_ = allowed;
  UpdateDirect();
}

size_t Socket::unacknowledged_bytes() const {
  int bytes = 0;
  return ::ioctl(fd_, SIOCOUTQ, &bytes) == 0 ? static_cast<size_t>(bytes) : 0;
}

absl::Duration Socket::since_acknowledgement() const {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (::getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return absl::ZeroDuration();
  return absl::Milliseconds(info.tcpi_last_ack_recv);
}

size_t Socket::queued_bytes() const { return queue_ != nullptr ? queue_->bytes : 0; }

uint64_t Socket::queued_messages() const { return queue_ != nullptr ? queue_->messages : 0; }

void Socket::UpdateDirect() {
  table_->slot(fd_).direct = direct_allowed_ && queue_ == nullptr && !last_sent_ && !broken_;
}

}  // namespace fanwire::fanout
