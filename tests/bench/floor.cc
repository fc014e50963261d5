// bench_floor is the least a fan-out server can do: an epoll loop that writes the same pre-framed
// bytes to every connection but the one that sent them.  What Fanwire is measured against.
//
//   bench_floor PORT send     one send() per message and connection
//   bench_floor PORT joined   all messages of one read in one send() per connection
//
// Each text message of a client is a publication, and is passed on as it is, but for "subscribe…",
// which everybody does here anyway.  With three numbers more the floor does what Fanwire's protocol
// and sockets ask for:
//
//   bench_floor PORT send|joined ENVELOPE SEND_BUFFER NOTSENT_LOWAT
//
//   ENVELOPE                    bytes of JSON around each message, as its event envelope
//   SEND_BUFFER, NOTSENT_LOWAT  SO_SNDBUF and TCP_NOTSENT_LOWAT of each connection
//
// Nothing is checked and nothing bounded: what a full socket does not take waits in a string.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

// What a message that is no publication begins with.
constexpr std::string_view kSubscribe = "subscribe";

struct Client {
  int fd;
  bool open = false;
  uint32_t index = 0;
  std::string rest;
  std::string unsent;
};

struct Options {
  bool joined = false;
  size_t envelope_bytes = 0;
  int send_buffer_bytes = 0;    // 0: the kernel's choice
  int notsent_lowat_bytes = 0;  // 0: the kernel's choice
};

int epoll = -1;
std::vector<Client*> open_clients;

std::string AcceptKey(const std::string& request) {
  const char kHeader[] = "Sec-WebSocket-Key: ";
  const size_t at = request.find(kHeader);
  if (at == std::string::npos) return "";
  const size_t start = at + sizeof kHeader - 1;
  const std::string key = request.substr(start, request.find("\r\n", start) - start) +
                          "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest);
  unsigned char text[64];
  const int length = EVP_EncodeBlock(text, digest, sizeof digest);
  return std::string(reinterpret_cast<char*>(text), static_cast<size_t>(length));
}

// `{"envelope":"xx…","data":PAYLOAD}`, so many bytes longer than PAYLOAD.
std::string Enveloped(const char* payload, size_t size, size_t envelope_bytes) {
  const std::string head = "{\"envelope\":\"", middle = "\",\"data\":", tail = "}";
  const size_t least = head.size() + middle.size() + tail.size();
  std::string text = head;
  if (envelope_bytes > least) text.append(envelope_bytes - least, 'x');
  text += middle;
  text.append(payload, size);
  return text + tail;
}

std::string ServerFrame(const std::string& payload) {
  const size_t size = payload.size();
  std::string frame;
  frame.push_back(static_cast<char>(0x81));
  if (size < 126) {
    frame.push_back(static_cast<char>(size));
  } else if (size < 65536) {
    frame.push_back(126);
    frame.push_back(static_cast<char>(size >> 8));
    frame.push_back(static_cast<char>(size));
  } else {
    frame.push_back(127);
    for (int shift = 56; shift >= 0; shift -= 8) {
      frame.push_back(static_cast<char>(static_cast<uint64_t>(size) >> shift));
    }
  }
  return frame + payload;
}

void Drop(Client* client) {
  if (client->open) {
    open_clients[client->index] = open_clients.back();
    open_clients[client->index]->index = client->index;
    open_clients.pop_back();
  }
  close(client->fd);
  delete client;
}

void WatchFor(Client* client, uint32_t what) {
  epoll_event event = {};
  event.events = what;
  event.data.ptr = client;
  epoll_ctl(epoll, EPOLL_CTL_MOD, client->fd, &event);
}

void SendUnsent(Client* client) {
  const ssize_t sent =
      send(client->fd, client->unsent.data(), client->unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) client->unsent.erase(0, static_cast<size_t>(sent));
  if (client->unsent.empty()) WatchFor(client, EPOLLIN);
}

void SendToAll(const Client* from, const std::string& bytes) {
  for (Client* client : open_clients) {
    if (client == from) continue;
    ssize_t sent = 0;
    if (client->unsent.empty()) {
      sent = send(client->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent == static_cast<ssize_t>(bytes.size())) continue;
      WatchFor(client, EPOLLIN | EPOLLOUT);
    }
    client->unsent.append(bytes, static_cast<size_t>(sent > 0 ? sent : 0), std::string::npos);
  }
}

// Takes the masked frames off the front of `client->rest`; returns false to drop the client.
bool TakeFrames(Client* client, const Options& options) {
  std::string& in = client->rest;
  std::string out;
  size_t taken = 0;
  bool going_on = true;
  while (in.size() - taken >= 6) {
    const auto* head = reinterpret_cast<const uint8_t*>(in.data()) + taken;
    size_t header = 6;
    uint64_t size = head[1] & 0x7f;
    if (size == 126) {
      header = 8;
      if (in.size() - taken < header) break;
      size = static_cast<uint64_t>(head[2]) << 8 | head[3];
    } else if (size == 127) {
      header = 14;
      if (in.size() - taken < header) break;
      size = 0;
      for (int i = 2; i < 10; ++i) size = size << 8 | head[i];
    }
    if (in.size() - taken < header + size) break;
    char* payload = in.data() + taken + header;
    const uint8_t* mask = head + header - 4;
    for (uint64_t i = 0; i < size; ++i) payload[i] = static_cast<char>(payload[i] ^ mask[i & 3]);
    const int opcode = head[0] & 0x0f;
    taken += header + size;
    if (opcode == 8) {
      going_on = false;
      break;
    }
    if (opcode != 1) continue;
    if (size >= kSubscribe.size() &&
        std::memcmp(payload, kSubscribe.data(), kSubscribe.size()) == 0) {
      continue;
    }
    const std::string frame =
        ServerFrame(options.envelope_bytes > 0 ? Enveloped(payload, size, options.envelope_bytes)
                                               : std::string(payload, size));
    if (options.joined) {
      out += frame;
    } else {
      SendToAll(client, frame);
    }
  }
  in.erase(0, taken);
  if (!out.empty()) SendToAll(client, out);
  return going_on;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 6) {
    std::fprintf(stderr,
                 "usage: bench_floor PORT send|joined [ENVELOPE SEND_BUFFER NOTSENT_LOWAT]\n");
    return 2;
  }
  Options options = {.joined = std::string(argv[2]) == "joined"};
  if (argc == 6) {
    options.envelope_bytes = static_cast<size_t>(std::atoi(argv[3]));
    options.send_buffer_bytes = std::atoi(argv[4]);
    options.notsent_lowat_bytes = std::atoi(argv[5]);
  }
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 4096) != 0) {
    std::perror("bench_floor: listen");
    return 1;
  }
  socklen_t length = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  std::printf("port %d\n", ntohs(address.sin_port));
  std::fflush(stdout);

  epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  std::vector<char> buffer(1 << 20);
  epoll_event events[512];
  while (true) {
    const int count = epoll_wait(epoll, events, 512, -1);
    for (int i = 0; i < count; ++i) {
      auto* client = static_cast<Client*>(events[i].data.ptr);
      if (client == nullptr) {
        int fd;
        while ((fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          if (options.send_buffer_bytes > 0) {
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &options.send_buffer_bytes, sizeof(int));
          }
          if (options.notsent_lowat_bytes > 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &options.notsent_lowat_bytes,
                       sizeof(int));
          }
          auto* accepted = new Client{.fd = fd, .rest = {}, .unsent = {}};
          event.data.ptr = accepted;
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
      if ((events[i].events & EPOLLOUT) != 0) SendUnsent(client);
      if ((events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) == 0) continue;
      const ssize_t got = recv(client->fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        Drop(client);
        continue;
      }
      client->rest.append(buffer.data(), static_cast<size_t>(got));
      if (!client->open) {
        const size_t end = client->rest.find("\r\n\r\n");
        if (end == std::string::npos) continue;
        const std::string response =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: " +
            AcceptKey(client->rest) + "\r\n\r\n";
        send(client->fd, response.data(), response.size(), MSG_NOSIGNAL);
        client->rest.erase(0, end + 4);
        client->open = true;
        client->index = static_cast<uint32_t>(open_clients.size());
        open_clients.push_back(client);
      }
      if (!TakeFrames(client, options)) Drop(client);
    }
  }
}
