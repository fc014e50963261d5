#include "tests/bench/subscribers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/bench/frame_reader.h"
#include "tests/bench/process_stats.h"

namespace fanwire::bench {

struct Subscribers::Client {
  enum class State : uint8_t { kConnecting, kUpgrading, kOpening, kReady, kDead };
  int fd = -1;
  uint32_t index = 0;
  State state = State::kConnecting;
  bool never_read = false;
  bool said_goodbye = false;  // the server sent a close frame
  int frames = 0;
  int64_t started = 0;
  std::vector<uint32_t> last;  // number of the last publication, by channel; empty: none came
  int64_t deliveries = 0;
  std::string response;
  FrameReader reader;
};

std::string ClientFrame(absl::string_view payload) {
  std::string frame;
  frame.push_back(static_cast<char>(0x81));
  if (payload.size() < 126) {
    frame.push_back(static_cast<char>(0x80 | payload.size()));
  } else if (payload.size() < 65536) {
    frame.push_back(static_cast<char>(0x80 | 126));
    frame.push_back(static_cast<char>(payload.size() >> 8));
    frame.push_back(static_cast<char>(payload.size()));
  } else {
    frame.push_back(static_cast<char>(0x80 | 127));
    for (int shift = 56; shift >= 0; shift -= 8) {
      frame.push_back(static_cast<char>(static_cast<uint64_t>(payload.size()) >> shift));
    }
  }
  frame.append(4, '\0');  // a mask of zeros: RFC 6455 asks for one, not for a good one
  frame.append(payload.data(), payload.size());
  return frame;
}

Subscribers::Subscribers() : epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(256 * 1024) {}

Subscribers::~Subscribers() {
  for (const auto& client : clients_) {
    if (client->fd >= 0) close(client->fd);
  }
  close(epoll_);
}

bool Subscribers::StartConnect(const Target& target, const ConnectOptions& options, size_t index) {
  auto client = std::make_unique<Client>();
  client->index = static_cast<uint32_t>(index);
  client->never_read = index >= static_cast<size_t>(options.connections - options.never_read);
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (client->fd < 0) {
    error_ = absl::StrCat("socket: ", strerror(errno));
    return false;
  }
  if (client->never_read && options.never_read_buffer_bytes > 0) {
    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &options.never_read_buffer_bytes,
               sizeof options.never_read_buffer_bytes);
  }
  const int on = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // One address has some 28,000 free ports for one destination: spread over 127.0.0.2 to .9.
  if (target.host == "127.0.0.1") {
    sockaddr_in from = {};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<uint32_t>(index % 8));
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    bind(client->fd, reinterpret_cast<sockaddr*>(&from), sizeof from);
  }
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(target.port));
  inet_pton(AF_INET, target.host.c_str(), &to.sin_addr);
  client->started = MonotonicNs();
  if (connect(client->fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 &&
      errno != EINPROGRESS) {
    error_ = absl::StrCat("connect: ", strerror(errno));
    return false;
  }
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = client.get();
  epoll_ctl(epoll_, EPOLL_CTL_ADD, client->fd, &event);
  clients_.push_back(std::move(client));
  ++under_way_;
  return true;
}

std::string Subscribers::Connect(const Target& target, const ConnectOptions& options) {
  request_ = absl::StrCat("GET ", target.path, " HTTP/1.1\r\nHost: ", target.host, ":", target.port,
                          "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n");
  subscribe_ = options.subscribe;
  mix_ = options.mix;
  frames_before_ready_ = options.frames_before_ready;
  many_per_frame_ = options.many_per_frame;
  const int64_t deadline = MonotonicNs() + static_cast<int64_t>(options.timeout_seconds * 1e9);
  const size_t wanted = clients_.size() + static_cast<size_t>(options.connections);
  const size_t first = clients_.size();
  while (ready_ < wanted && error_.empty()) {
    while (clients_.size() < wanted && under_way_ < static_cast<size_t>(options.in_flight)) {
      if (!StartConnect(target, options, clients_.size() - first)) break;
    }
    Poll(100);
    if (MonotonicNs() > deadline) {
      error_ = absl::StrCat("only ", ready_, " of ", wanted, " connections were ready in time");
    }
  }
  return error_;
}

void Subscribers::Fail(Client& client) {
  if (client.state != Client::State::kReady) {
    --under_way_;
    if (error_.empty()) {
      error_ = absl::StrCat("connection ", client.index,
                            " ended before it was ready: ", client.response.substr(0, 200));
    }
  }
  client.state = Client::State::kDead;
  ++closed_;
  close(client.fd);
  client.fd = -1;
}

void Subscribers::OnReady(Client& client) {
  if (client.state == Client::State::kConnecting) {
    if (send(client.fd, request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size())) {
      Fail(client);
      return;
    }
    client.state = Client::State::kUpgrading;
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.ptr = &client;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
    return;
  }
  const ssize_t got = recv(client.fd, buffer_.data(), buffer_.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    Fail(client);
    return;
  }
  bytes_ += got;
  absl::string_view bytes(buffer_.data(), static_cast<size_t>(got));
  std::string after_response;
  if (client.state == Client::State::kUpgrading) {
    client.response.append(bytes.data(), bytes.size());
    const size_t end = client.response.find("\r\n\r\n");
    if (end == std::string::npos) return;
    if (!absl::StartsWith(client.response, "HTTP/1.1 101")) {
      Fail(client);
      return;
    }
    after_response = client.response.substr(end + 4);
    std::string().swap(client.response);
    client.state = Client::State::kOpening;
    if (mix_ != nullptr || !subscribe_.empty()) {
      const std::string text =
          mix_ != nullptr ? mix_->SubscribeText(client.index)
                          : absl::StrReplaceAll(subscribe_, {{"%d", absl::StrCat(client.index)}});
      const std::string frame = ClientFrame(text);
      if (send(client.fd, frame.data(), frame.size(), MSG_NOSIGNAL) < 0) {
        Fail(client);
        return;
      }
    }
    bytes = after_response;
  }
  client.reader.Feed(bytes, [&](uint8_t opcode, absl::string_view payload) {
    OnMessage(client, opcode, payload);
  });
  if (client.said_goodbye) {
    Fail(client);
    return;
  }
  if (client.state == Client::State::kOpening && client.frames >= frames_before_ready_) {
    client.state = Client::State::kReady;
    setup_.Add(MonotonicNs() - client.started);
    ++ready_;
    --under_way_;
    if (client.never_read) epoll_ctl(epoll_, EPOLL_CTL_DEL, client.fd, nullptr);
  }
}

namespace {

// The number behind `marker`, which is looked for at `*hint` first.
bool FindNumber(absl::string_view text, absl::string_view marker, size_t* hint, int64_t* value) {
  size_t at = *hint;
  if (at + marker.size() > text.size() || text.substr(at, marker.size()) != marker) {
    at = text.find(marker);
    if (at == absl::string_view::npos) return false;
    *hint = at;
  }
  int64_t number = 0;
  for (size_t i = at + marker.size(); i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    number = number * 10 + (text[i] - '0');
  }
  *value = number;
  return true;
}

}  // namespace

void Subscribers::OnMessage(Client& client, uint8_t opcode, absl::string_view payload) {
  if (opcode == 9) {  // ping
    ++pings_;
    std::string pong = ClientFrame(payload);
    pong[0] = static_cast<char>(0x8a);
    send(client.fd, pong.data(), pong.size(), MSG_NOSIGNAL);
    return;
  }
  if (opcode == 8) client.said_goodbye = true;
  if (opcode != 1 && opcode != 2) return;
  ++client.frames;
  const int64_t before = deliveries_;
  absl::string_view rest = TakePublication(client, payload);
  while (many_per_frame_ && !rest.empty()) {
    hint_ = 0;
    rest = TakePublication(client, rest);
  }
  if (deliveries_ == before) ++other_;
}

absl::string_view Subscribers::TakePublication(Client& client, absl::string_view payload) {
  int64_t seq = 0;
  if (!FindNumber(payload, "\"q\":", &hint_, &seq)) return {};
  int64_t sent = 0;
  size_t at = 0;
  const absl::string_view rest = payload.substr(hint_ + 4);
  if (FindNumber(rest, "\"t\":", &at, &sent) && sent > 0) {
    const int64_t latency = MonotonicNs() - sent;
    latency_.Add(latency);
    max_latency_ = std::max(max_latency_, latency);
  }
  CheckOrder(client, seq);
  ++client.deliveries;
  ++deliveries_;
  return rest;
}

void Subscribers::CheckOrder(Client& client, int64_t seq) {
  size_t place = 0;
  if (mix_ != nullptr) {
    place = mix_->PlaceOf(client.index, seq);
    seq = mix_->NumberOnChannel(seq);
  }
  if (client.last.empty()) client.last.resize(mix_ == nullptr ? 1 : mix_->places());
  if (place >= client.last.size()) {  // a channel that it did not subscribe to
    ++duplicates_;
    return;
  }
  uint32_t& last = client.last[place];
  if (seq <= last) {
    ++duplicates_;
    return;
  }
  if (last > 0) gaps_ += seq - last - 1;
  last = static_cast<uint32_t>(seq);
}

int Subscribers::Poll(int timeout_ms) {
  epoll_event events[512];
  const int count = epoll_wait(epoll_, events, 512, timeout_ms);
  for (int i = 0; i < count; ++i) OnReady(*static_cast<Client*>(events[i].data.ptr));
  return count;
}

void Subscribers::StartMeasuring() {
  latency_.Clear();
  deliveries_ = gaps_ = duplicates_ = bytes_ = other_ = pings_ = max_latency_ = 0;
  for (const auto& client : clients_) client->deliveries = 0;
}

std::vector<Endpoint> Subscribers::never_reading() const {
  std::vector<Endpoint> found;
  for (const auto& client : clients_) {
    sockaddr_in own = {};
    socklen_t length = sizeof own;
    if (!client->never_read ||
        getsockname(client->fd, reinterpret_cast<sockaddr*>(&own), &length) != 0) {
      continue;
    }
    found.emplace_back(ntohl(own.sin_addr.s_addr), ntohs(own.sin_port));
  }
  return found;
}

Received Subscribers::received() const {
  Received result;
  result.deliveries = deliveries_;
  result.gaps = gaps_;
  result.duplicates = duplicates_;
  result.bytes = bytes_;
  result.other = other_;
  result.pings = pings_;
  result.closed = closed_;
  result.min_per_connection = INT64_MAX;
  for (const auto& client : clients_) {
    if (client->never_read) continue;
    result.min_per_connection = std::min(result.min_per_connection, client->deliveries);
    result.max_per_connection = std::max(result.max_per_connection, client->deliveries);
  }
  if (result.min_per_connection == INT64_MAX) result.min_per_connection = 0;
  return result;
}

}  // namespace fanwire::bench
