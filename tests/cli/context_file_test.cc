#include "cli/context_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

constexpr char kServers[] =
    "servers:  # mine\n"
    "  - {name: local, address: unix:/run/x.sock}\n"
    "  - {name: production, address: 'a:1', tls: true}\n"
    "  - {name: 'yes: no', address: 'b:1'}\n";

TEST(WithCurrentTest, ChangesTheNameAndNothingElse) {
  const std::pair<const char*, const char*> cases[] = {
      {"current: local\n", "current: production\n"},
      {"current: local  # here\n", "current: production  # here\n"},
      {"# first\ncurrent: \"local\"\n", "# first\ncurrent: production\n"},
      {"current:   'local'\n", "current:   production\n"},
      {"current: production\n", "current: production\n"},
      {"", "current: production\n"},
      {"# only a remark\n", "current: production\n# only a remark\n"},
  };
  for (const auto& [before, after] : cases) {
    const auto changed = WithCurrent(absl::StrCat(before, kServers), "f", "production");
    ASSERT_OK(changed) << before;
    EXPECT_EQ(*changed, absl::StrCat(after, kServers)) << before;
  }
  const auto after = WithCurrent(absl::StrCat(kServers, "current: local"), "f", "production");
  ASSERT_OK(after);
  EXPECT_EQ(*after, absl::StrCat(kServers, "current: production"));
}

TEST(WithCurrentTest, ANameThatNeedsQuotesGetsThem) {
  const auto changed = WithCurrent(absl::StrCat("current: local\n", kServers), "f", "yes: no");
  ASSERT_OK(changed);
  const auto contexts = ParseContexts(*changed, "f");
  ASSERT_OK(contexts);
  EXPECT_EQ(contexts->current, "yes: no");
}

TEST(WithCurrentTest, WhatCannotBeChangedIsRefused) {
  EXPECT_THAT(WithCurrent(kServers, "f", "staging"),
              StatusIs(absl::StatusCode::kNotFound,
                       "no context \"staging\" in f; known are: local, production, yes: no"));
  EXPECT_THAT(WithCurrent("current: [", "f", "x"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f:")));
  // These forms are valid, but nobody writes them.
  for (const char* text : {"{servers: [{name: a, address: 'b:1'}]}",
                           "current: >-\n  a\nservers: [{name: a, address: 'b:1'}]\n",
                           "--- \nservers: [{name: a, address: 'b:1'}]\n"}) {
    const auto changed = WithCurrent(text, "f", "a");
    if (changed.ok()) {
      EXPECT_EQ(ParseContexts(*changed, "f")->current, "a") << text;
    } else {
      EXPECT_THAT(changed, StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("with an editor")));
    }
  }
}

class UseContextTest : public testing::Test {
 protected:
  UseContextTest() {
    char path[] = "/tmp/wsctl_contexts_XXXXXX";
    folder_ = mkdtemp(path);
    mkdir((folder_ + "/fanwire").c_str(), 0700);
    file_ = folder_ + "/fanwire/wsctl.yaml";
    environment_ = [this](const std::string& name) -> const char* {
      return name == "XDG_CONFIG_HOME" ? folder_.c_str() : nullptr;
    };
  }
  ~UseContextTest() override { EXPECT_EQ(std::system(absl::StrCat("rm -r ", folder_).c_str()), 0); }

  std::string Text() {
    std::ostringstream text;
    text << std::ifstream(file_).rdbuf();
    return text.str();
  }

  std::string folder_;
  std::string file_;
  Environment environment_;
};

TEST_F(UseContextTest, ReplacesTheFileAndKeepsItsPermissions) {
  std::ofstream(file_) << "current: local\n" << kServers;
  ASSERT_EQ(chmod(file_.c_str(), 0600), 0);
  EXPECT_OK(UseContext("production", environment_));
  EXPECT_EQ(Text(), absl::StrCat("current: production\n", kServers));
  struct stat entry;
  ASSERT_EQ(stat(file_.c_str(), &entry), 0);
  EXPECT_EQ(entry.st_mode & 0777, 0600u);
  const auto contexts = ReadContexts(environment_);
  ASSERT_OK(contexts);
  EXPECT_EQ(contexts->current, "production");
}

TEST_F(UseContextTest, ALinkStaysALink) {
  std::ofstream(folder_ + "/real.yaml") << kServers;
  ASSERT_EQ(symlink("../real.yaml", file_.c_str()), 0);
  EXPECT_OK(UseContext("local", environment_));
  struct stat entry;
  ASSERT_EQ(lstat(file_.c_str(), &entry), 0);
  EXPECT_TRUE(S_ISLNK(entry.st_mode));
  EXPECT_EQ(Text(), absl::StrCat("current: local\n", kServers));
}

TEST_F(UseContextTest, WithoutAFileThereIsNothingToChange) {
  EXPECT_THAT(UseContext("local", environment_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("wsctl.yaml")));
  EXPECT_THAT(UseContext("local", [](const std::string&) -> const char* { return nullptr; }),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("neither XDG_CONFIG_HOME nor HOME")));
}

TEST_F(UseContextTest, AnUnknownNameChangesNothing) {
  std::ofstream(file_) << "current: local\n" << kServers;
  EXPECT_THAT(UseContext("nobody", environment_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("known are: local")));
  EXPECT_EQ(Text(), absl::StrCat("current: local\n", kServers));
}

}  // namespace
}  // namespace fanwire::cli
