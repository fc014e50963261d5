#include "cli/commands/contexts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class ContextsTest : public testing::Test {
 protected:
  ContextsTest() {
    char path[] = "/tmp/wsctl_contexts_XXXXXX";
    folder_ = mkdtemp(path);
    mkdir((folder_ + "/fanwire").c_str(), 0700);
    wsctl_.environment["XDG_CONFIG_HOME"] = folder_;
    std::ofstream(File()) << "current: local\n"
                             "servers:\n"
                             "  - {name: local, address: unix:/run/x.sock}\n"
                             "  - {name: production, address: 'control:8701', tls: true,\n"
                             "     token_env: TOKEN}\n"
                             "  - {name: lab, address: 'lab:8701', token: very-secret}\n";
  }
  ~ContextsTest() override { EXPECT_EQ(std::system(absl::StrCat("rm -r ", folder_).c_str()), 0); }

  std::string File() const { return folder_ + "/fanwire/wsctl.yaml"; }

  std::string folder_;
  CliRunner wsctl_;
};

TEST_F(ContextsTest, ListMarksTheCurrentOneAndHidesTokens) {
  const Outcome outcome = wsctl_.Run({"context", "list"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out,
            "CURRENT  NAME        ADDRESS           TLS  TOKEN\n"
            "*        local       unix:/run/x.sock  no   -\n"
            "         production  control:8701      yes  TOKEN\n"
            "         lab         lab:8701          no   in the file\n");
  EXPECT_EQ(wsctl_.Run({"context"}).out, outcome.out);
  EXPECT_EQ(nlohmann::json::parse(wsctl_.Run({"context", "list", "-o", "json"}).out),
            nlohmann::json::parse(
                R"([{"name": "local", "address": "unix:/run/x.sock", "tls": false, "current": true},
                    {"name": "production", "address": "control:8701", "tls": true,
                     "current": false},
                    {"name": "lab", "address": "lab:8701", "tls": false, "current": false}])"));
}

TEST_F(ContextsTest, UseChoosesTheControlOfLaterRuns) {
  const Outcome outcome = wsctl_.Run({"context", "use", "lab"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "current context: lab\n");
  wsctl_.Run({"services", "list"});
  EXPECT_EQ(wsctl_.server.address, "lab:8701");
  EXPECT_EQ(wsctl_.Run({"context", "use", "local", "-o", "json"}).out, "{\"current\":\"local\"}\n");
  const Outcome unknown = wsctl_.Run({"context", "use", "nobody"});
  EXPECT_EQ(unknown.code, 69);
  EXPECT_THAT(unknown.err, HasSubstr("known are: local, production, lab"));
}

TEST_F(ContextsTest, NamesAreCompletedWithoutControl) {
  EXPECT_EQ(wsctl_.Run({"__complete", "--", "--context", ""}).out, "lab\nlocal\nproduction\n");
  EXPECT_EQ(wsctl_.Run({"__complete", "--", "--context=p"}).out, "--context=production\n");
  EXPECT_EQ(wsctl_.Run({"__complete", "--", "context", "use", "l"}).out, "lab\nlocal\n");
  EXPECT_EQ(wsctl_.server.address, "");
  unlink(File().c_str());
  EXPECT_EQ(wsctl_.Run({"__complete", "--", "--context", ""}).out, "");
}

TEST_F(ContextsTest, WithoutAFileThereAreNoContexts) {
  unlink(File().c_str());
  EXPECT_EQ(wsctl_.Run({"context", "list"}).out, absl::StrCat("no contexts in ", File(), "\n"));
  EXPECT_EQ(wsctl_.Run({"context", "list", "-o", "json"}).out, "[]\n");
  EXPECT_EQ(wsctl_.Run({"context", "use", "lab"}).code, 69);
}

TEST_F(ContextsTest, ABadFileIsTold) {
  std::ofstream(File()) << "servers: 5\n";
  const Outcome outcome = wsctl_.Run({"context", "list"});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_THAT(outcome.err, HasSubstr("wsctl.yaml:1:10: servers: not a list"));
}

}  // namespace
}  // namespace fanwire::cli
