// idle_memory tells what one idle connection of the WebSocket layer costs: resident bytes of user
// space, and CPU time for its handshake.  The clients are a second process, so only the server's
// half is counted.
//
//   idle_memory [CONNECTIONS]     default 10000; at most what the limit of open files lets
//
// Prints one JSON object.  Kernel memory (about 5 kB a socket) is not in it.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "fanout/net/connection.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/listener.h"

namespace fanwire::fanout {

namespace {

constexpr char kRequest[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: idle_memory\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n";

// The smallest application: it counts, and keeps 8 bytes a connection.
class CountingHost final : public ConnectionHost, public ConnectionHandler {
 public:
  ConnectionHandler* OnUpgrade(Connection*, const HttpRequest&, HttpResponse*) override {
    ++open;
    return this;
  }
  bool OnHttpRequest(const HttpRequest&, HttpResponse*) override { return false; }
  void OnOpen() override {}
  void OnText(absl::string_view) override {}
  void OnBinary(absl::string_view) override {}
  void OnDrained() override {}
  void OnClosed(const CloseInfo&) override { --open; }

  size_t open = 0;
};

long ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  long total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// Opens the connections one after the other, and holds them until it is killed.
[[noreturn]] void RunClients(uint16_t port, size_t count) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (size_t i = 0; i < count; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char response[512];
    if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        send(fd, kRequest, strlen(kRequest), 0) < 0 ||
        recv(fd, response, sizeof(response), 0) <= 0) {
      std::perror("client");
      _exit(1);
    }
  }
  while (true) pause();
}

int Run(size_t count) {
  count = std::min(count, MaxConnections());
  EventLoop loop;
  SendTable table;
  CountingHost host;
  ConnectionGroup group(ConnectionOptions(), &loop, &table, &host);
  auto listener = Listener::Open(
      {}, &loop, &table, [&group](int fd, const PeerAddress& peer) { group.Add(fd, peer); });
  if (!listener.ok()) return 1;

  const pid_t clients = fork();
  if (clients == 0) {
    MaxConnections();  // raises the limit
    RunClients((*listener)->port(), count);
  }
  const auto run_until = [&](size_t open) {
    while (host.open < open) loop.RunTurn(absl::Milliseconds(200));
  };
  run_until(count / 10);  // what is paid once
  const long resident = ResidentBytes();
  const double cpu = CpuSeconds();
  const size_t before = host.open;
  run_until(count);
  const auto measured = static_cast<double>(count - before);
  std::printf(
      "{\"connections\": %zu, \"resident_bytes_per_connection\": %.0f, "
      "\"handshake_cpu_us\": %.1f, \"sizeof_connection\": %zu}\n",
      count, static_cast<double>(ResidentBytes() - resident) / measured,
      1e6 * (CpuSeconds() - cpu) / measured, sizeof(Connection));
  kill(clients, SIGKILL);
  waitpid(clients, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace fanwire::fanout

int main(int argc, char** argv) {
  return fanwire::fanout::Run(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10000);
}
