#include "control/config/config_loader.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

TEST(ConfigLoaderTest, AFlagBeatsAVariableWhichBeatsTheFile) {
  const std::string text = absl::StrCat("limits: {max_batch: 1}\n", kService);
  ConfigOverrides overrides;
  overrides.variables = {"FANWIRE_LIMITS__MAX_BATCH=2", "LIMITS__MAX_BATCH=9"};
  EXPECT_EQ(Load(text, overrides).config->limits().max_batch(), 2u);
  overrides.settings = {"limits.max_batch=3"};
  EXPECT_EQ(Load(text, overrides).config->limits().max_batch(), 3u);
  EXPECT_EQ(Load(text).config->limits().max_batch(), 1u);
}

TEST(ConfigLoaderTest, SettingsThatCannotBeReadAreFaults) {
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_batch"}}).errors,
              ElementsAre("--set limits.max_batch: expected key=value"));
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_batches=1"}}).errors,
              ElementsAre(HasSubstr("limits.max_batch")));
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_batch=x"}}).errors, SizeIs(1));
  EXPECT_THAT(Load(kService, {.variables = {"FANWIRE_LIMITS__NONE=1"}}).errors, SizeIs(1));
}

TEST(ConfigLoaderTest, FaultsNameTheirPlaceAndAllOfThemAreFound) {
  const LoadedConfig loaded = Load(R"(limits:
  max_batch: 0x
  max_chanels: 7
services: [{name: a, port: 8690}]
)");
  EXPECT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.errors, UnorderedElementsAre(StartsWith("f.yaml:2:14: limits.max_batch"),
                                                  StartsWith("f.yaml:3:3: limits.max_chanels")));
  EXPECT_EQ(loaded.ErrorText(), absl::StrJoin(loaded.errors, "\n"));
  EXPECT_THAT(Load("log: {level: loud, format: xml}\nworkers: some\n").errors,
              UnorderedElementsAre(StartsWith("f.yaml:1:7: log.level: \"loud\" is none of"),
                                   HasSubstr("log.format"), HasSubstr("workers"),
                                   HasSubstr("at least one service is needed")));
}

TEST(ConfigLoaderTest, AVerdictIsJsonForPrograms) {
  const LoadedConfig good = Load("services: [{name: a, port: 1}]\n");
  const auto verdict = nlohmann::json::parse(good.ToJson());
  EXPECT_EQ(verdict["ok"], true);
  EXPECT_TRUE(verdict["errors"].empty());
  EXPECT_THAT(verdict["resolved_yaml"].get<std::string>(), HasSubstr("name: \"a\""));
  const LoadedConfig bad = Load("services: 5\n");
  const auto refusal = nlohmann::json::parse(bad.ToJson());
  EXPECT_EQ(refusal["ok"], false);
  EXPECT_EQ(refusal["errors"].get<std::vector<std::string>>(), bad.errors);
  EXPECT_FALSE(refusal.contains("resolved_yaml"));
}

TEST(ConfigLoaderTest, ReadsAFileAndNamesOneThatCannotBeRead) {
  char folder[] = "/tmp/fanwire-options-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = absl::StrCat(folder, "/fanwire.yaml");
  std::ofstream(path) << "a: 1\n";
  const auto text = ReadConfigFile(path);
  ASSERT_OK(text);
  EXPECT_EQ(*text, "a: 1\n");
  unlink(path.c_str());
  EXPECT_THAT(ReadConfigFile(path), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  rmdir(folder);
}

}  // namespace
}  // namespace fanwire::control
