#include "tests/testing/ws_client.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace fanwire {
namespace {

constexpr timeval kPatience = {5, 0};
constexpr char kMask[] = {0x37, static_cast<char>(0xfa), 0x21, 0x3d};

void AppendBigEndian(uint64_t value, int bytes, std::string* out) {
  for (int i = bytes - 1; i >= 0; --i) out->push_back(static_cast<char>(value >> (8 * i)));
}

}  // namespace

std::string Encode(const ClientFrame& frame) {
  const uint64_t size = frame.claimed_size.value_or(frame.payload.size());
  int length_bytes = frame.length_bytes;
  if (length_bytes < 0) length_bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
  std::string bytes;
  bytes.push_back(
      static_cast<char>((frame.fin ? 0x80 : 0) | frame.reserved_bits << 4 | frame.opcode));
  const uint64_t short_size = length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127;
  bytes.push_back(static_cast<char>((frame.masked ? 0x80 : 0) | short_size));
  AppendBigEndian(size, length_bytes, &bytes);
  if (!frame.masked) return bytes + frame.payload;
  bytes.append(kMask, sizeof(kMask));
  for (size_t i = 0; i < frame.payload.size(); ++i) {
    bytes.push_back(static_cast<char>(frame.payload[i] ^ kMask[i % sizeof(kMask)]));
  }
  return bytes;
}

uint16_t ServerFrame::close_code() const {
  if (payload.size() < 2) return 1005;
  return static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                               static_cast<uint8_t>(payload[1]));
}

WsClient::WsClient(uint16_t port, int receive_buffer_bytes, const char* host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* address = nullptr;
  if (::getaddrinfo(host, std::to_string(port).c_str(), &hints, &address) != 0) return;
  fd_ = ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (receive_buffer_bytes > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  if (::connect(fd_, address->ai_addr, address->ai_addrlen) != 0) Close();
  ::freeaddrinfo(address);
}

WsClient::WsClient(WsClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      ended_(other.ended_),
      buffer_(std::move(other.buffer_)),
      response_head_(std::move(other.response_head_)) {}

WsClient::~WsClient() { Close(); }

std::string WsClient::UpgradeRequest(absl::string_view target, absl::string_view extra_headers) {
  return absl::StrCat("GET ", target,
                      " HTTP/1.1\r\n"
                      "Host: 127.0.0.1:8690\r\n"
                      "Upgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                      "Sec-WebSocket-Version: 13\r\n",
                      extra_headers, "\r\n");
}

bool WsClient::Handshake(absl::string_view target, absl::string_view extra_headers) {
  if (!SendRaw(UpgradeRequest(target, extra_headers))) return false;
  response_head_ = ReadHead();
  return absl::StartsWith(response_head_, "HTTP/1.1 101 ");
}

bool WsClient::SendRaw(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool WsClient::SendText(absl::string_view payload) {
  ClientFrame frame;
  frame.payload = std::string(payload);
  return Send(frame);
}

bool WsClient::SendClose(uint16_t code, absl::string_view reason) {
  ClientFrame frame;
  frame.opcode = 8;
  AppendBigEndian(code, 2, &frame.payload);
  absl::StrAppend(&frame.payload, reason);
  return Send(frame);
}

bool WsClient::Fill() {
  if (ended_ || fd_ < 0) return false;
  char chunk[64 * 1024];
  ssize_t count = 0;
  do {
    count = ::recv(fd_, chunk, sizeof(chunk), 0);
  } while (count < 0 && errno == EINTR);
  if (count == 0 || (count < 0 && errno != EAGAIN)) ended_ = true;
  if (count <= 0) return false;
  buffer_.append(chunk, static_cast<size_t>(count));
  return true;
}

std::string WsClient::ReadHead() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) return "";
  }
  std::string head = buffer_.substr(0, end + 4);
  buffer_.erase(0, end + 4);
  return head;
}

std::optional<ServerFrame> WsClient::ReadFrame() {
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(buffer_[i]); };
  while (buffer_.size() < 2) {
    if (!Fill()) return std::nullopt;
  }
  size_t header_size = 2;
  if ((byte(1) & 0x7f) == 126) header_size = 4;
  if ((byte(1) & 0x7f) == 127) header_size = 10;
  while (buffer_.size() < header_size) {
    if (!Fill()) return std::nullopt;
  }
  uint64_t size = byte(1) & 0x7f;
  if (header_size > 2) {
    size = 0;
    for (size_t i = 2; i < header_size; ++i) size = size << 8 | byte(i);
  }
  while (buffer_.size() < header_size + size) {
    if (!Fill()) return std::nullopt;
  }
  ServerFrame frame;
  frame.opcode = byte(0) & 0x0f;
  frame.fin = (byte(0) & 0x80) != 0;
  frame.payload = buffer_.substr(header_size, size);
  buffer_.erase(0, header_size + size);
  return frame;
}

std::optional<std::string> WsClient::ReadText() {
  std::string message;
  while (true) {
    const std::optional<ServerFrame> frame = ReadFrame();
    if (!frame.has_value() || frame->opcode == 8) return std::nullopt;
    if (frame->opcode > 8) continue;
    message += frame->payload;
    if (frame->fin) return message;
  }
}

std::string WsClient::ReadToEnd() {
  while (Fill()) {
  }
  return std::exchange(buffer_, "");
}

bool WsClient::ReadEnd() {
  while (buffer_.empty() && Fill()) {
  }
  return buffer_.empty() && ended_;
}

void WsClient::ShutdownSend() { ::shutdown(fd_, SHUT_WR); }

void WsClient::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void WsClient::Reset() {
  const linger now = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

}  // namespace fanwire
