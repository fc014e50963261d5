// bench_floor is the least a fan-out server can do: an epoll loop that writes the same pre-framed
// bytes to every connection but the one that sent them.  What Fanwire is measured against.
//
//   bench_floor PORT send     one send() per message and connection
//   bench_floor PORT joined   all messages of one read in one send() per connection
//
// Each text message of a client is a publication.  Nothing is checked, nothing is queued: a
// connection whose socket is full loses the rest of the message, and is closed.

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
#include <vector>

namespace {

struct Client {
  int fd;
  bool open = false;
  uint32_t index = 0;
  std::string rest;
};

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

std::string ServerFrame(const char* payload, size_t size) {
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
  frame.append(payload, size);
  return frame;
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

void SendToAll(const Client* from, const std::string& bytes) {
  for (const Client* client : open_clients) {
    if (client != from) send(client->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
}

// Takes the masked frames off the front of `client->rest`; returns false to drop the client.
bool TakeFrames(Client* client, bool joined) {
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
    const std::string frame = ServerFrame(payload, size);
    if (joined) {
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
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_floor PORT send|joined\n");
    return 2;
  }
  const bool joined = std::string(argv[2]) == "joined";
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

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
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
          auto* accepted = new Client{.fd = fd, .rest = {}};
          event.data.ptr = accepted;
          epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
        continue;
      }
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
      if (!TakeFrames(client, joined)) Drop(client);
    }
  }
}
