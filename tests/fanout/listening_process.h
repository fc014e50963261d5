// ListeningProcess is another process that listens with SO_REUSEPORT, as workers do.
//
// Ownership: ends the process.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "gtest/gtest.h"

namespace fanwire::fanout {

class ListeningProcess {
 public:
  // `host` is an IPv4 or IPv6 literal; the kernel chooses the port.
  explicit ListeningProcess(const char* host) {
    int told[2];
    EXPECT_EQ(pipe(told), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const uint16_t port = Listen(host);
      _exit(write(told[1], &port, sizeof(port)) == sizeof(port) ? pause() : 1);
    }
    close(told[1]);
    EXPECT_EQ(read(told[0], &port_, sizeof(port_)), static_cast<ssize_t>(sizeof(port_)));
    close(told[0]);
    EXPECT_NE(port_, 0);
  }
  ~ListeningProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  ListeningProcess(const ListeningProcess&) = delete;
  ListeningProcess& operator=(const ListeningProcess&) = delete;

  pid_t pid() const { return pid_; }
  uint16_t port() const { return port_; }

 private:
  // Returns the port, or 0 if that fails.
  static uint16_t Listen(const char* host) {
    sockaddr_in6 v6 = {};
    sockaddr_in v4 = {};
    v6.sin6_family = AF_INET6;
    v4.sin_family = AF_INET;
    const bool is_v6 = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
    inet_pton(AF_INET, host, &v4.sin_addr);
    auto* const address =
        is_v6 ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
    socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
    const int fd = socket(address->sa_family, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, address, size) != 0 || listen(fd, 1) != 0 ||
        getsockname(fd, address, &size) != 0) {
      return 0;
    }
    return ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
  }

  pid_t pid_ = 0;
  uint16_t port_ = 0;
};

}  // namespace fanwire::fanout
