// A Redis server of the test's own, on a loopback port, that keeps nothing on the disk.  It dies
// with the test.
//
// The binary is that of Debian's package redis-tools, which is the server if it is called so; the
// package redis-server would start one on the machine.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace fanwire::control {

class RedisServer {
 public:
  // Starts it, and waits until it answers.  `arguments` follow the test's own: "--appendonly yes".
  explicit RedisServer(std::vector<std::string> arguments = {});
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  std::string address() const;  // HOST:PORT
  int port() const { return port_; }

  void Kill();
  // Starts it again at the same port, with the same folder.
  void Start();
  void Freeze();
  void Thaw();

  // Sends a command, and returns its answer as text: an integer or a text; "" for anything else.
  std::string Call(const std::vector<std::string>& command);

 private:
  void Launch();
  bool Answers();

  const std::vector<std::string> arguments_;
  std::string folder_;
  int port_ = 0;
  pid_t pid_ = 0;
};

}  // namespace fanwire::control
