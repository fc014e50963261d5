// bench_flood opens clients that send as much as the server takes, until it is killed or --seconds
// are over, and prints one JSON object of what was sent and received.
//
//   bench_flood --port 8690 --kind messages --connections 50 --seconds 5
//
// --kind messages  JSON pings, one behind the other
// --kind pings     WebSocket pings
// --kind history   requests for --limit entries of --channel, the next one after each answer
// --kind sink      as messages, but to a thread of this program that throws all away: what the
//                  generator itself costs others, without a server
//
// --announce: writes "measuring" to stderr when all are open and flooding.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/subscribers.h"

namespace fanwire::bench {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

struct Options {
  int port = 0;
  std::string kind = "messages";
  int connections = 50;
  double seconds = 5;
  std::string channel = "flood";
  int limit = 1000;
  bool announce = false;
};

struct Client {
  int fd = -1;
  bool open = false;     // upgraded
  std::string head;      // of the response, until it is complete
  size_t offset = 0;     // of the flood that is out
  bool may_send = true;  // history: the answer has come
  uint64_t skip = 0;     // bytes of the frame that is being received
  std::string header;    // of the next frame, while incomplete
};

class Flood {
 public:
  explicit Flood(const Options& options) : options_(options), buffer_(256 << 10) {
    std::string one;
    if (options.kind == "pings") {
      one = std::string("\x89\x80\x01\x02\x03\x04", 6);
    } else if (options.kind == "history") {
      one = ClientFrame(
          absl::StrCat(R"({"type":"request","id":"h","event":"history","data":{"channel":")",
                       options.channel, R"(","limit":)", options.limit, "}}"));
    } else {
      one = ClientFrame(R"({"type":"ping","id":"f"})");
    }
    flood_ = one;
    while (options.kind != "history" && flood_.size() < kChunkBytes) flood_ += one;
    one_bytes_ = one.size();
  }

  // Returns an empty text, or what went wrong.
  std::string Run();

 private:
  bool asks() const { return options_.kind == "history"; }
  void Send(Client* client);
  void Receive(Client* client);
  // Counts frames, and lets a client ask again when an answer has come.
  void OnBytes(Client* client, const char* data, size_t size);

  const Options options_;
  std::vector<Client> clients_;
  std::vector<char> buffer_;
  std::string flood_;
  size_t one_bytes_ = 0;
  int64_t sent_bytes_ = 0;
  int64_t received_bytes_ = 0;
  int64_t frames_ = 0;
  int64_t closed_ = 0;
};

int Dial(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  ::close(fd);
  return -1;
}

// Accepts everybody, answers the handshake, and throws away what comes.
int StartSink() {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 4096) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return -1;
  }
  std::thread([listener] {
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {.events = EPOLLIN, .data = {.fd = listener}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    std::vector<char> buffer(256 << 10);
    while (true) {
      epoll_event events[64];
      const int count = ::epoll_wait(epoll, events, 64, -1);
      for (int i = 0; i < count; ++i) {
        if (events[i].data.fd == listener) {
          const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
          if (fd < 0) continue;
          const std::string head = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
          if (::send(fd, head.data(), head.size(), MSG_NOSIGNAL) < 0) continue;
          event = {.events = EPOLLIN, .data = {.fd = fd}};
          ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        } else if (::recv(events[i].data.fd, buffer.data(), buffer.size(), 0) <= 0) {
          ::close(events[i].data.fd);
        }
      }
    }
  }).detach();
  return ntohs(address.sin_port);
}

void Flood::Send(Client* client) {
  if (!client->open || (asks() && !client->may_send)) return;
  // A few times in a row: the others want to be served, too.
  for (int i = 0; i < 4; ++i) {
    const ssize_t count = ::send(client->fd, flood_.data() + client->offset,
                                 flood_.size() - client->offset, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count <= 0) return;
    sent_bytes_ += count;
    client->offset = (client->offset + static_cast<size_t>(count)) % flood_.size();
    if (asks() && client->offset == 0) {
      client->may_send = false;
      return;
    }
  }
}

void Flood::OnBytes(Client* client, const char* data, size_t size) {
  while (size > 0) {
    const size_t skipped = std::min<uint64_t>(client->skip, size);
    client->skip -= skipped;
    data += skipped;
    size -= skipped;
    if (size == 0) return;
    client->header += *data++;
    --size;
    const std::string& header = client->header;
    if (header.size() < 2) continue;
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(header[i]); };
    uint64_t length = byte(1) & 0x7f;
    const size_t wanted = length == 126 ? 4 : length == 127 ? 10 : 2;
    if (header.size() < wanted) continue;
    if (wanted > 2) {
      length = 0;
      for (size_t i = 2; i < wanted; ++i) length = length << 8 | byte(i);
    }
    if ((byte(0) & 0x0f) == 1) {
      ++frames_;
      client->may_send = true;
    }
    client->skip = length;
    client->header.clear();
  }
}

void Flood::Receive(Client* client) {
  const ssize_t count = ::recv(client->fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) {
    ++closed_;
    ::close(client->fd);
    client->fd = -1;
    return;
  }
  received_bytes_ += count;
  const char* data = buffer_.data();
  auto size = static_cast<size_t>(count);
  if (!client->open) {
    client->head.append(data, size);
    const size_t end = client->head.find("\r\n\r\n");
    if (end == std::string::npos) return;
    client->open = true;
    OnBytes(client, client->head.data() + end + 4, client->head.size() - end - 4);
    return;
  }
  OnBytes(client, data, size);
}

std::string Flood::Run() {
  const int port = options_.kind == "sink" ? StartSink() : options_.port;
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  clients_.resize(static_cast<size_t>(options_.connections));
  const std::string request =
      absl::StrCat("GET / HTTP/1.1\r\nHost: 127.0.0.1:", port,
                   "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  for (size_t i = 0; i < clients_.size(); ++i) {
    Client& client = clients_[i];
    client.fd = Dial(port);
    if (client.fd < 0) return absl::StrCat("cannot connect to port ", port);
    if (::send(client.fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return "cannot send";
    epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data = {.u64 = i}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, client.fd, &event);
  }
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(options_.seconds);
  bool announced = !options_.announce;
  while (Clock::now() < end) {
    epoll_event events[64];
    const int count = ::epoll_wait(epoll, events, 64, 10);
    for (int i = 0; i < count; ++i) {
      Client& client = clients_[events[i].data.u64];
      if (client.fd >= 0 && (events[i].events & EPOLLIN) != 0) Receive(&client);
      if (client.fd >= 0 && (events[i].events & EPOLLOUT) != 0) Send(&client);
      if (client.fd < 0 || !asks() || !client.open) continue;
      // Awake for output only when there is something to ask.
      epoll_event event = {.events = EPOLLIN | (client.may_send ? uint32_t{EPOLLOUT} : 0),
                           .data = {.u64 = events[i].data.u64}};
      ::epoll_ctl(epoll, EPOLL_CTL_MOD, client.fd, &event);
    }
    if (announced) continue;
    size_t open = 0;
    for (const Client& client : clients_) open += client.open ? 1 : 0;
    if (open < clients_.size()) continue;
    announced = true;
    std::fprintf(stderr, "measuring\n");
  }
  std::printf("%s\n",
              absl::StrFormat(R"({"connections":%d,"sent_per_second":%.0f,)"
                              R"("received_bytes_per_second":%.0f,"answers_per_second":%.1f,)"
                              R"("closed":%d})",
                              options_.connections,
                              static_cast<double>(sent_bytes_) / static_cast<double>(one_bytes_) /
                                  options_.seconds,
                              static_cast<double>(received_bytes_) / options_.seconds,
                              static_cast<double>(frames_) / options_.seconds, closed_)
                  .c_str());
  return "";
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Opens clients that flood a server.");
  app.add_option("--port", options.port);
  app.add_option("--kind", options.kind)
      ->check(CLI::IsMember({"messages", "pings", "history", "sink"}));
  app.add_option("--connections", options.connections);
  app.add_option("--seconds", options.seconds);
  app.add_option("--channel", options.channel);
  app.add_option("--limit", options.limit);
  app.add_flag("--announce", options.announce);
  CLI11_PARSE(app, argc, argv);
  const std::string error = Flood(options).Run();
  if (error.empty()) return 0;
  std::fprintf(stderr, "%s\n", error.c_str());
  return 1;
}

}  // namespace
}  // namespace fanwire::bench

int main(int argc, char** argv) { return fanwire::bench::Main(argc, argv); }
