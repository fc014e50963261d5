#include "cli/context.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kTwoServers[] = R"(
current: local
servers:
  - name: local
    address: unix:/run/x.sock
  - name: production
    address: control.example.org:8701
    tls: true
    ca_file: /etc/ca.pem
    cert_file: wsctl.pem
    key_file: wsctl.key
    token_env: PRODUCTION_TOKEN
  - name: staging
    address: 127.0.0.1:9000
    token_file: token
)";

TEST(ParseContextsTest, ReadsServersWithTheirCredentials) {
  const auto contexts = ParseContexts(kTwoServers, "/home/ana/wsctl.yaml");
  ASSERT_OK(contexts);
  EXPECT_EQ(contexts->current, "local");
  ASSERT_EQ(contexts->servers.size(), 3u);
  EXPECT_EQ(contexts->servers[0].target.address, "unix:/run/x.sock");
  EXPECT_FALSE(contexts->servers[0].target.tls);
  const NamedServer& production = contexts->servers[1];
  EXPECT_EQ(production.name, "production");
  EXPECT_EQ(production.target.source, "context production");
  EXPECT_TRUE(production.target.tls);
  EXPECT_EQ(production.target.ca_file, "/etc/ca.pem");
  EXPECT_EQ(production.target.cert_file,
            "/home/ana/wsctl.pem");  // in the folder of the contexts file
  EXPECT_EQ(production.target.key_file, "/home/ana/wsctl.key");
  EXPECT_EQ(production.token_env, "PRODUCTION_TOKEN");
  EXPECT_EQ(contexts->servers[2].token_file, "/home/ana/token");
}

TEST(ParseContextsTest, AFileThatIsNotUtf8IsRefused) {
  EXPECT_THAT(ParseContexts("current: a\nservers: [{name: caf\xe9}]", "f"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "f:2:21: byte 0xE9 is not UTF-8; save the file in UTF-8"));
}

TEST(ParseContextsTest, AnEmptyFileHasNoServers) {
  const auto contexts = ParseContexts("", "f");
  ASSERT_OK(contexts);
  EXPECT_TRUE(contexts->servers.empty());
}

TEST(ParseContextsTest, FaultsNameFileLineAndColumn) {
  const struct {
    const char* text;
    const char* message;
  } cases[] = {
      {"- a", "f:1:1: not a mapping"},
      {"curent: a", "f:1:1: curent: no such key; known are current, servers"},
      {"current: [a]", "f:1:10: current: not a name"},
      {"servers: a", "f:1:10: servers: not a list"},
      {"servers: [a]", "f:1:11: servers: not a mapping with `name` and `address`"},
      {"servers: [{address: a:1}]", "servers: an entry without `name`"},
      {"servers: [{name: a}]", "servers: a has no `address`"},
      {"servers: [{name: a, adress: b}]", "f:1:21: servers: adress: no such key"},
      {"servers: [{name: [a]}]", "name: not a string"},
      {"servers: [{name: a, address: b:1, tls: yes}]", "tls: neither true nor false"},
      {"servers: [{name: a, address: b:1}, {name: a, address: c:1}]", "servers: duplicate name a"},
      {"servers: [{name: a, address: b:1, ca_file: c}]",
       "servers: a has TLS files, but not `tls: true`"},
      {"servers: [{name: a, address: b:1, tls: true, cert_file: c}]",
       "servers: a: `cert_file` and `key_file` belong together"},
      {"servers: [{name: a, address: b:1, token: c, token_env: D}]",
       "servers: a has more than one of `token`, `token_env` and `token_file`"},
      {"servers: [\n", "f:2:"},
      {"current: a\n---\nservers: []\n", "f:2:1: a second YAML document begins here"},
      {"servers: &a [*a]", "f:1:14: the alias stands for a value that contains the alias itself"},
      {"current: \"caf\xe9\"", "f:1:14: byte 0xE9 is not UTF-8"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ParseContexts(text, "f"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << text;
  }
}

// Runs with an empty home folder of its own.
class ChooseServerTest : public testing::Test {
 protected:
  ChooseServerTest() {
    char path[] = "/tmp/wsctl_context_XXXXXX";
    home_ = mkdtemp(path);
    variables_["HOME"] = home_;
    variables_["XDG_RUNTIME_DIR"] = home_ + "/run";
  }
  ~ChooseServerTest() override {
    if (socket_ >= 0) close(socket_);
    const int removed = std::system(absl::StrCat("rm -r ", home_).c_str());
    EXPECT_EQ(removed, 0);
  }

  void WriteContexts(const std::string& text) {
    mkdir((home_ + "/.config").c_str(), 0700);
    mkdir((home_ + "/.config/fanwire").c_str(), 0700);
    std::ofstream(home_ + "/.config/fanwire/wsctl.yaml") << text;
  }

  void MakeSocket(const std::string& path) {
    socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }

  absl::StatusOr<ServerTarget> Choose(const ServerChoice& choice = {}) {
    return ChooseServer(choice, [this](const std::string& name) -> const char* {
      const auto found = variables_.find(name);
      return found == variables_.end() ? nullptr : found->second.c_str();
    });
  }

  std::string home_;
  std::map<std::string, std::string> variables_;
  int socket_ = -1;
};

TEST_F(ChooseServerTest, TheFlagPrevailsOverEverything) {
  WriteContexts(kTwoServers);
  variables_["FANWIRE_SERVER"] = "other:1";
  const auto target = Choose({.server = "mine:1", .context = "production"});
  ASSERT_OK(target);
  EXPECT_EQ(target->address, "mine:1");
  EXPECT_EQ(target->source, "--server");
}

TEST_F(ChooseServerTest, ANamedContextPrevailsOverTheVariable) {
  WriteContexts(kTwoServers);
  variables_["FANWIRE_SERVER"] = "other:1";
  variables_["PRODUCTION_TOKEN"] = "secret";
  const auto target = Choose({.server = "", .context = "production"});
  ASSERT_OK(target);
  EXPECT_EQ(target->address, "control.example.org:8701");
  EXPECT_EQ(target->token, "secret");
}

TEST_F(ChooseServerTest, TheVariablePrevailsOverTheCurrentContext) {
  WriteContexts(kTwoServers);
  variables_["FANWIRE_SERVER"] = "other:1";
  EXPECT_EQ(Choose()->address, "other:1");
}

TEST_F(ChooseServerTest, TheCurrentContextNeedsNoCredentialsOfOthers) {
  WriteContexts(kTwoServers);  // PRODUCTION_TOKEN and staging's token file do not exist
  const auto target = Choose();
  ASSERT_OK(target);
  EXPECT_EQ(target->address, "unix:/run/x.sock");
}

TEST_F(ChooseServerTest, XdgConfigHomePrevailsOverHome) {
  WriteContexts(kTwoServers);
  variables_["XDG_CONFIG_HOME"] = home_ + "/.config";
  variables_["HOME"] = "/nonexistent";
  EXPECT_EQ(Choose()->address, "unix:/run/x.sock");
}

TEST_F(ChooseServerTest, ATokenFileIsReadWithoutTheWhiteSpaceAroundIt) {
  WriteContexts(kTwoServers);
  EXPECT_THAT(Choose({.server = "", .context = "staging"}),
              StatusIs(absl::StatusCode::kNotFound,
                       StartsWith("context staging: token_file: cannot read")));
  std::ofstream(home_ + "/.config/fanwire/token") << "abc\n";
  const auto target = Choose({.server = "", .context = "staging"});
  ASSERT_OK(target);
  EXPECT_EQ(target->token, "abc");
}

TEST_F(ChooseServerTest, AMissingTokenVariableIsSaid) {
  WriteContexts(kTwoServers);
  EXPECT_THAT(Choose({.server = "", .context = "production"}),
              StatusIs(absl::StatusCode::kNotFound,
                       "context production: token_env: PRODUCTION_TOKEN is not set"));
}

TEST_F(ChooseServerTest, ATokenThatCannotBeSentIsSaid) {
  WriteContexts(kTwoServers);
  for (const char* token : {"caf\xe9", "caf\u00e9", "two\nlines", "\x1b"}) {
    variables_["PRODUCTION_TOKEN"] = token;
    EXPECT_THAT(Choose({.server = "", .context = "production"}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         "context production: the token of PRODUCTION_TOKEN has a character that "
                         "is not printable ASCII, and so cannot be sent"));
  }
}

TEST_F(ChooseServerTest, AnUnknownContextNamesThoseThereAre) {
  WriteContexts(kTwoServers);
  EXPECT_THAT(
      Choose({.server = "", .context = "prod"}),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("known are: local, production, staging")));
}

TEST_F(ChooseServerTest, AContextWithoutContextsFileIsAnError) {
  EXPECT_THAT(Choose({.server = "", .context = "local"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot read")));
  variables_.erase("HOME");
  EXPECT_THAT(Choose({.server = "", .context = "local"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("neither XDG_CONFIG_HOME nor HOME")));
}

TEST_F(ChooseServerTest, ABadContextsFileIsAnErrorEvenIfNoContextWasNamed) {
  WriteContexts("servers: 5");
  EXPECT_THAT(Choose(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("wsctl.yaml:1:10")));
}

TEST_F(ChooseServerTest, TheUsersOwnSocketIsFound) {
  mkdir((home_ + "/run").c_str(), 0700);
  mkdir((home_ + "/run/fanwire").c_str(), 0700);
  MakeSocket(home_ + "/run/fanwire/control.sock");
  const auto target = Choose();
  ASSERT_OK(target);
  EXPECT_EQ(target->address, absl::StrCat("unix:", home_, "/run/fanwire/control.sock"));
  EXPECT_EQ(target->source, "the local socket");
}

TEST_F(ChooseServerTest, AUnitsRuntimeDirectoryPrevailsOverTheSessions) {
  variables_["RUNTIME_DIRECTORY"] = home_;
  MakeSocket(home_ + "/control.sock");
  EXPECT_EQ(Choose()->address, absl::StrCat("unix:", home_, "/control.sock"));
}

TEST_F(ChooseServerTest, AnotherUsersSocketInTmpIsNotTrusted) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a socket away";
  variables_["RUNTIME_DIRECTORY"] = home_;
  MakeSocket(home_ + "/control.sock");
  ASSERT_EQ(chown((home_ + "/control.sock").c_str(), 12345, 12345), 0);
  EXPECT_NE(Choose()->address, absl::StrCat("unix:", home_, "/control.sock"));
}

TEST_F(ChooseServerTest, WithoutAnythingItIsTheDefaultPort) {
  if (access("/run/fanwire/control.sock", F_OK) == 0) GTEST_SKIP() << "a control runs here";
  const auto target = Choose();
  ASSERT_OK(target);
  EXPECT_EQ(target->address, "127.0.0.1:8701");
  EXPECT_EQ(target->source, "the default");
}

}  // namespace
}  // namespace fanwire::cli
