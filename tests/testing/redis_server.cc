#include "tests/testing/redis_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/engine/redis_connection.h"
#include "gtest/gtest.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

constexpr char kProgram[] = "/usr/bin/redis-check-rdb";

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

RedisServer::RedisServer(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {
  folder_ = testing::TempDir() + "redis-XXXXXX";
  EXPECT_NE(mkdtemp(folder_.data()), nullptr);
  for (int attempt = 0; attempt < 5; ++attempt) {
    port_ = FreePort();
    Launch();
    if (WaitFor([this] { return Answers() || waitpid(pid_, nullptr, WNOHANG) == pid_; }) &&
        Answers()) {
      return;
    }
    Kill();  // somebody else has taken the port
  }
  ADD_FAILURE() << "no Redis server has started; is the package redis-tools installed?";
}

RedisServer::~RedisServer() {
  Kill();
  std::filesystem::remove_all(folder_);
}

std::string RedisServer::address() const { return absl::StrCat("127.0.0.1:", port_); }

void RedisServer::Launch() {
  std::vector<std::string> all = {"redis-server",  "--port",    std::to_string(port_),
                                  "--bind",        "127.0.0.1", "--dir",
                                  folder_,         "--save",    "",
                                  "--loglevel",    "warning",   "--logfile",
                                  folder_ + "/log"};
  all.insert(all.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  argv.reserve(all.size() + 1);
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execv(kProgram, argv.data());
  _exit(127);
}

bool RedisServer::Answers() { return Call({"PING"}) == "PONG"; }

void RedisServer::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void RedisServer::Start() {
  Launch();
  EXPECT_TRUE(WaitFor([this] { return Answers(); }));
}

void RedisServer::Freeze() { kill(pid_, SIGSTOP); }
void RedisServer::Thaw() { kill(pid_, SIGCONT); }

std::string RedisServer::Call(const std::vector<std::string>& command) {
  RedisConnection connection({.server = address()});
  if (!connection.Connect().ok()) return "";
  const std::vector<absl::string_view> texts(command.begin(), command.end());
  const auto answer = connection.Call(texts);
  if (!answer.ok()) return "";
  const RedisReply reply = **answer;
  return reply.text().empty() ? absl::StrCat(reply.integer()) : std::string(reply.text());
}

}  // namespace fanwire::control
