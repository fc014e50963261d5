#include "control/config/config_loader.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/yaml_check.h"
#include "control/config/config_keys.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
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
  EXPECT_THAT(
      Load("log: {level: loud, format: xml}\nworkers: some\n").errors,
      UnorderedElementsAre("f.yaml:1:7: log.level: expected debug, info, warning or error, found "
                           "\"loud\"",
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

TEST(ConfigLoaderTest, AFileWithoutSettingsSaysSo) {
  for (const char* text : {"", "# nothing\n", "---\n", "limits:\n", "~\n"}) {
    EXPECT_THAT(Load(text).errors, ElementsAre(StartsWith("f.yaml: the file has no settings; it "
                                                          "needs at least one service")))
        << text;
  }
}

TEST(ConfigLoaderTest, WhatCannotBeInAMessageIsRefusedWhereverItComesFrom) {
  const std::string text = absl::StrCat("limits: {max_batch: 1}\n", kService);
  const auto refused = ElementsAre(HasSubstr("byte 0xE9 (byte 4 of the text) is not UTF-8"));
  EXPECT_THAT(Load(text, {.settings = {"services.a.welcome_message=caf\xe9"}}).errors, refused);
  EXPECT_THAT(Load(text, {.variables = {"FANWIRE_SERVICES__A__WELCOME_MESSAGE=caf\xe9"}}).errors,
              refused);
  EXPECT_THAT(Load("services: [{name: a, port: 1, welcome_message: \"${W}\"}]",
                   {.environment = [](const std::string&) { return "caf\xe9"; }})
                  .errors,
              refused);
  EXPECT_THAT(Load("services:\n- name: a\n  port: 1\n  welcome_message: \"caf\xe9\"\n").errors,
              ElementsAre("f.yaml:4:24: byte 0xE9 is not UTF-8; save the file in UTF-8"));
  // Nor may a fault have such bytes.
  for (const char* setting : {"caf\xe9", "caf\xe9=1", "services.caf\xe9.port=1"}) {
    const LoadedConfig loaded = Load(text, {.settings = {setting}});
    ASSERT_THAT(loaded.errors, SizeIs(1));
    EXPECT_THAT(loaded.errors[0], HasSubstr("caf\\xe9"));
  }
}

TEST(ConfigLoaderTest, AConfigurationThatIsPrintedLoadsAgainAsTheSame) {
  std::vector<std::string> files = {
      kService, "limits: {message_rate_limit: 0, message_rate_burst: 5}\n" + std::string(kService),
      "services: [{name: a, port: 1, message_rate_limit: 3}, {name: b, listeners: [{port: 0}]}]"};
  const auto shipped = ReadConfigFile(FANWIRE_SOURCE_DIR "/deploy/config/fanwire.yaml");
  ASSERT_OK(shipped);
  files.push_back(*shipped);
  // Each key by itself, with a value other than its default.
  const std::map<std::string, std::string> values = {
      {"workers", "'3'"},
      {"control.grpc_listen", "'127.0.0.1:1'"},
      {"control.socket", "/tmp/x/y.sock"},
      {"control.ops_listen", "'[::1]:2'"},
      {"worker.ops_listen", "'127.0.0.1:3'"},
      {"worker.reconnect_after_min", "2s"},
      {"auth.required", "false"},  // true needs a key, which is not printed
      {"default_service", "a"},
      {"log.level", "debug"},
      {"log.format", "json"},
  };
  int checked = 0;
  for (const KeyPlace& key : AllKeys()) {
    if (absl::StrContains(key.path, "[") && key.path != "services[0].port") continue;
    const auto value = values.find(key.path);
    std::string text;
    if (value != values.end()) {
      text = value->second;
    } else if (IsDuration(key.field)) {
      text = "7s";
    } else if (key.field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL) {
      text = "true";
    } else if (key.field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_ENUM) {
      text = "memory";
    } else {
      text = KeyOf(RangeKeyOf(key.field)).min();
    }
    if (key.path == "services[0].port") {
      files.push_back("services: [{name: a, port: 7}]");
    } else {
      std::string file = key.File(text);
      file.insert(file.size() - 1, absl::StrCat(", ", absl::StripSuffix(kService, "\n")));
      files.push_back(file);
    }
    ++checked;
  }
  EXPECT_GT(checked, 50);
  // Each key of a service and of what it contains.
  files.push_back(R"(
channels: [{pattern: "g:*", history_size: 0, history_ttl: 0s, backlog_policy: latest,
            conflate_field: f, gap_policy: close}]
auth: {allowed_origins: ["https://a.example", "*"]}
services:
- name: a
  listeners: [{host: "[::1]", port: 5, dialect: session_buddy, auth_required: false,
               allowed_origins: ["https://b.example"]}]
  server_name: "$${S}"
  welcome_message: "tab\t quote\" $${W} é"
  max_connections: 5
  message_rate_limit: 0.5
  message_rate_burst: 2.25
  session_backlog_bytes: 2KiB
  max_channels_per_session: 6
  max_event_bytes: 7
  max_channels: 8
  max_unpublished_channels: 11
  permissions: [{prefix: "p:", any_of: [x, "y z"]}]
  admin_permissions: [adm]
  channels: [{pattern: "s:*", history_size: 3}]
  mirrors: [{events: ["e.*"], if_field: k, to: "m:{k}"}]
  events: [{name: e, channels: ["c:{k}"], data: {k: s, "odd key: ": "i?"}}]
  catalog_check: enforce
  correlation: echo
  subscribe_by_component_id: true
  update_interval: 20ms
  read_permission_reads_all: true
  token_in_header: false
  token_in_query: false
  status_requests:
  - request: one
    argument: pool_id
    initial: {l: [], n: 1.5, t: "1", z: ~, "a b": {c: true}}
    missing: {status: none}
    events: [{event: e, key: $k, set: {s: "${V}"}, add: {n: -1}, append: {list: l, value: $d},
              upsert: {list: m, by: i, value: {i: 1}}, remove: {list: m, by: i}, merge_data: true,
              forget: true}]
    max_entities: 5
    kind: ""
    any_of: [x]
  - request: two
    recent: {events: [e], list: l, max: 5, filter_field: f, filter_default: all}
    feeds: ["c:x"]
)");
  for (const std::string& file : files) {
    const LoadedConfig loaded = Load(file);
    ASSERT_THAT(loaded.errors, IsEmpty()) << file;
    const std::string printed = ConfigToYaml(*loaded.config);
    const LoadedConfig again = Load(printed);
    ASSERT_THAT(again.errors, IsEmpty()) << printed;
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*loaded.config, *again.config))
        << printed;
  }
}

class ConfigFileOnDiskTest : public ::testing::Test {
 protected:
  ConfigFileOnDiskTest() {
    char folder[] = "/tmp/fanwire-options-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  ~ConfigFileOnDiskTest() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ + "/fanwire.yaml"; }

  std::string folder_;
};

TEST_F(ConfigFileOnDiskTest, IsReadOrNamed) {
  std::ofstream(path()) << "a: 1\n";
  const auto text = ReadConfigFile(path());
  ASSERT_OK(text);
  EXPECT_EQ(*text, "a: 1\n");
  unlink(path().c_str());
  EXPECT_THAT(ReadConfigFile(path()), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path())));
  EXPECT_THAT(LoadConfigFile(path(), {}).errors, ElementsAre(HasSubstr("cannot read the file")));
}

TEST_F(ConfigFileOnDiskTest, WhatIsNotAFileSaysWhatItIs) {
  const auto invalid = [](const std::string& why) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why));
  };
  EXPECT_THAT(ReadConfigFile(folder_),
              invalid(folder_ + ": this is a directory; expected a YAML file"));
  // Its open would wait for somebody who writes.
  ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
  EXPECT_THAT(ReadConfigFile(path()), invalid("this is a named pipe; expected a YAML file"));
  EXPECT_THAT(ReadConfigFile("/dev/zero"), invalid("this is a device"));
  unlink(path().c_str());
  std::ofstream(path()).close();
  EXPECT_THAT(ReadConfigFile(path()), invalid(path() + ": the file is empty"));
  std::ofstream(path()) << std::string(kMaxConfigBytes + 1, '#');
  EXPECT_THAT(ReadConfigFile(path()), invalid("the file has more than 1048576 bytes"));
}

TEST_F(ConfigFileOnDiskTest, ANameThatIsNotUtf8IsQuotedInFaults) {
  const std::string odd = folder_ + "/caf\xe9.yaml";
  EXPECT_THAT(LoadConfigFile(odd, {}).errors, ElementsAre(HasSubstr("caf\\xe9.yaml\": cannot")));
  std::ofstream(odd) << "workers: [1]\n";
  EXPECT_THAT(LoadConfigFile(odd, {}).errors, ElementsAre(HasSubstr("caf\\xe9.yaml\":1:10: ")));
}

TEST_F(ConfigFileOnDiskTest, MayBeAPipeThatThisProcessHasOpen) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "a: 1\n", 5), 5);
  close(ends[1]);
  const auto text = ReadConfigFile(absl::StrCat("/dev/fd/", ends[0]));
  ASSERT_OK(text);
  EXPECT_EQ(*text, "a: 1\n");
  close(ends[0]);
}

}  // namespace
}  // namespace fanwire::control
