#include "cli/rpc_channel.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "cli/admin_client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/fake_control.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Makes one call to `target` and returns its status.
absl::Status Ask(const ServerTarget& target, absl::Duration timeout = absl::Seconds(20)) {
  auto channel = RpcChannel::Make(target, timeout, std::nullopt);
  if (!channel.ok()) return channel.status();
  return MakeAdminClient(*std::move(channel))->ListServices().status();
}

// Provides a folder that is removed after the test.
class RpcChannelTest : public testing::Test {
 protected:
  RpcChannelTest() {
    char path[] = "/tmp/wsctl_rpc_XXXXXX";
    folder_ = mkdtemp(path);
  }
  ~RpcChannelTest() override { EXPECT_EQ(std::system(absl::StrCat("rm -r ", folder_).c_str()), 0); }

  std::string Read(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(folder_ + "/" + name).rdbuf();
    return text.str();
  }
  // Makes a self-signed certificate for localhost: folder_/NAME.pem and NAME.key.
  void MakeCertificate(const std::string& name) {
    const std::string base = folder_ + "/" + name;
    ASSERT_EQ(std::system(absl::StrCat("openssl req -x509 -newkey ec -pkeyopt "
                                       "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=",
                                       name, " -addext subjectAltName=DNS:localhost,IP:127.0.0.1",
                                       " -keyout ", base, ".key -out ", base, ".pem 2>/dev/null")
                              .c_str()),
              0);
  }

  std::string folder_;
};

TEST_F(RpcChannelTest, OverTcpAndOverAUnixSocket) {
  FakeControl tcp;
  EXPECT_OK(Ask({.address = tcp.address(), .source = "--server"}));
  EXPECT_THAT(tcp.user_agent(), StartsWith("wsctl "));
  FakeControl local(absl::StrCat("unix:", folder_, "/control.sock"));
  EXPECT_OK(Ask({.address = local.address(), .source = "--server"}));
  EXPECT_EQ(local.authorization(), "");
}

TEST_F(RpcChannelTest, ThePathOfASocketMayBeAnyBytes) {
  FakeControl control(absl::StrCat("unix:", folder_, "/control.sock"));
  for (const char* name : {"with space", "caf\u00e9", "caf\xe9", "100%41", "a#b?c"}) {
    const std::string path = absl::StrCat(folder_, "/", name);
    ASSERT_EQ(symlink("control.sock", path.c_str()), 0);
    EXPECT_OK(Ask({.address = absl::StrCat("unix:", path), .source = "--server"})) << name;
  }
}

TEST_F(RpcChannelTest, AProxyOfTheWebIsNoneForControl) {
  FakeControl control;
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  setenv("grpc_proxy", "http://127.0.0.1:1", 1);
  EXPECT_OK(Ask({.address = control.address(), .source = "--server"}));
  unsetenv("http_proxy");
  unsetenv("grpc_proxy");
}

TEST_F(RpcChannelTest, ACallHasADeadline) {
  FakeControl control;
  EXPECT_OK(Ask({.address = control.address(), .source = "--server"}, absl::Seconds(30)));
  ASSERT_TRUE(control.patience().has_value());
  EXPECT_GT(*control.patience(), absl::Seconds(5));
  EXPECT_LE(*control.patience(), absl::Seconds(31));
}

TEST_F(RpcChannelTest, NoAnswerInTimeSaysWhatToTry) {
  FakeControl control;
  control.Hang();
  EXPECT_THAT(Ask({.address = control.address(), .source = "--server"}, absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr(control.address()), HasSubstr("a longer --timeout"))));
}

TEST_F(RpcChannelTest, AStreamHasADeadlineOnlyIfAskedFor) {
  FakeControl control;
  const ServerTarget target = {.address = control.address(), .source = "--server"};
  const auto nothing = [](const TailUpdate&) { return true; };
  EXPECT_OK(MakeAdminClient(*RpcChannel::Make(target, absl::Seconds(1), std::nullopt))
                ->Tail({}, nothing));
  EXPECT_FALSE(control.patience().has_value());
  // The end of its time is the end of a tail, not a failure.
  const auto client =
      MakeAdminClient(*RpcChannel::Make(target, absl::Seconds(20), absl::Milliseconds(50)));
  EXPECT_OK(client->ListServices());
  control.Hang();
  EXPECT_OK(client->Tail({}, nothing));
  EXPECT_THAT(client->DrainWorker({}, [](int64_t) {}),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("--timeout")));
}

TEST_F(RpcChannelTest, ATailThatNeverReachesControlFailsInTime) {
  // Listens, but never answers.
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const ServerTarget target = {.address = absl::StrCat("127.0.0.1:", ntohs(address.sin_port)),
                               .source = "--server"};
  EXPECT_THAT(MakeAdminClient(*RpcChannel::Make(target, absl::Seconds(1), absl::Milliseconds(50)))
                  ->Tail({}, [](const TailUpdate&) { return true; }),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("--timeout")));
  close(listener);
}

TEST_F(RpcChannelTest, WhereNobodyListensTheAddressAndItsSourceAreNamed) {
  FakeControl control;
  const std::string address = control.address();
  control.Stop();
  EXPECT_THAT(
      Ask({.address = address, .source = "FANWIRE_SERVER"}),
      StatusIs(absl::StatusCode::kUnavailable,
               AllOf(HasSubstr("not reachable at " + address + " (FANWIRE_SERVER)"),
                     HasSubstr("is fanwire-control running?"), HasSubstr("Connection refused"))));
  EXPECT_THAT(Ask({.address = absl::StrCat("unix:", folder_, "/none"), .source = "--server"}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not reachable at unix:")));
}

TEST_F(RpcChannelTest, WhatControlItselfSaysIsLeftAsItIs) {
  FakeControl control;
  control.Fail({grpc::StatusCode::UNAVAILABLE, "control is stopping"});
  EXPECT_THAT(Ask({.address = control.address(), .source = "--server"}),
              StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
}

TEST_F(RpcChannelTest, AnOlderControlIsSuspectedWhenACallIsUnknown) {
  FakeControl control;
  control.Fail({grpc::StatusCode::UNIMPLEMENTED, ""});
  EXPECT_THAT(Ask({.address = control.address(), .source = "--server"}),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("compare `wsctl version`")));
}

TEST_F(RpcChannelTest, AnAgentIsAdvisedWhatItCanDo) {
  FakeControl control;
  const ServerTarget target = {
      .address = control.address(), .source = "--server", .for_agent = true};
  control.Fail({grpc::StatusCode::UNIMPLEMENTED, ""});
  EXPECT_THAT(Ask(target), StatusIs(absl::StatusCode::kUnimplemented,
                                    HasSubstr("another version than this wsctl, ")));
  control.Hang();
  EXPECT_THAT(Ask(target, absl::Milliseconds(50)),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr("ask for less"), Not(HasSubstr("--timeout")))));
  control.Stop();
  EXPECT_THAT(Ask(target), StatusIs(absl::StatusCode::kUnavailable,
                                    AllOf(HasSubstr("ask the user whether fanwire-control runs"),
                                          HasSubstr("`wsctl mcp --server ADDR`"))));
}

TEST_F(RpcChannelTest, ABadAddressSaysWhereItCameFrom) {
  EXPECT_THAT(Ask({.address = "http://localhost", .source = "context production"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("server address of context production")));
}

TEST_F(RpcChannelTest, TheTokenIsSentToThisMachine) {
  FakeControl control;
  EXPECT_OK(Ask({.address = control.address(), .source = "--server", .token = "abc"}));
  EXPECT_EQ(control.authorization(), "Bearer abc");
}

TEST_F(RpcChannelTest, TheTokenIsNotSentInTheClearToAnother) {
  EXPECT_THAT(
      Ask({.address = "control.example.org:8701", .source = "context production", .token = "abc"}),
      StatusIs(
          absl::StatusCode::kFailedPrecondition,
          AllOf(HasSubstr("in the clear to control.example.org:8701"), Not(HasSubstr("abc")))));
}

TEST_F(RpcChannelTest, TlsWithAnAuthorityOfOnesOwn) {
  MakeCertificate("control");
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs = {{Read("control.key"), Read("control.pem")}};
  FakeControl control("127.0.0.1:0", grpc::SslServerCredentials(options));
  EXPECT_OK(Ask({.address = control.address(),
                 .source = "--server",
                 .token = "abc",
                 .tls = true,
                 .ca_file = folder_ + "/control.pem"}));
  EXPECT_EQ(control.authorization(), "Bearer abc");
  // With an authority that the client does not know, and without TLS, the call fails.
  MakeCertificate("other");
  EXPECT_THAT(Ask({.address = control.address(),
                   .source = "--server",
                   .tls = true,
                   .ca_file = folder_ + "/other.pem"}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not reachable")));
  EXPECT_THAT(Ask({.address = control.address(), .source = "--server"}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not reachable")));
}

TEST_F(RpcChannelTest, MutualTlsShowsItsCertificate) {
  MakeCertificate("control");
  MakeCertificate("ana");
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = Read("ana.pem");
  options.pem_key_cert_pairs = {{Read("control.key"), Read("control.pem")}};
  FakeControl control("127.0.0.1:0", grpc::SslServerCredentials(options));
  ServerTarget target = {.address = control.address(),
                         .source = "--server",
                         .tls = true,
                         .ca_file = folder_ + "/control.pem"};
  EXPECT_THAT(Ask(target), StatusIs(absl::StatusCode::kUnavailable, testing::_));
  target.cert_file = folder_ + "/ana.pem";
  target.key_file = folder_ + "/ana.key";
  EXPECT_OK(Ask(target));
}

TEST_F(RpcChannelTest, ACertificateThatCannotBeReadIsNamed) {
  EXPECT_THAT(
      Ask({.address = "127.0.0.1:1", .source = "--server", .tls = true, .ca_file = "/none.pem"}),
      StatusIs(absl::StatusCode::kNotFound, "cannot read \"/none.pem\""));
}

}  // namespace
}  // namespace fanwire::cli
