#include "common/config_file.h"

#include <map>

#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Parsed {
  v1::Config config;
  ConfigSource source{"f.yaml"};
  std::vector<std::string> faults;
};

Parsed Parse(const std::string& text, std::map<std::string, std::string> variables = {}) {
  Parsed parsed;
  parsed.faults = ParseConfig(
      text,
      [variables](const std::string& name) -> const char* {
        const auto it = variables.find(name);
        return it == variables.end() ? nullptr : it->second.c_str();
      },
      &parsed.config, &parsed.source);
  return parsed;
}

TEST(ConfigFileTest, ReadsEveryKindOfField) {
  const Parsed parsed = Parse(R"(
workers: auto
control: {grpc_listen: "127.0.0.1:1", allow_insecure: true, adopt_window: 1m30s}
limits: {max_message_bytes: 2MiB, max_event_bytes: 1000, message_rate_limit: 12.5}
services:
  - name: a
    port: 8690
    listeners: [{port: 1, dialect: session_buddy, auth_required: false}]
    channels: [{pattern: "x:*", history_size: 0, backlog_policy: latest}]
    events: [{name: e, channels: ["x:{id}"], data: {id: s, n: "i?"}}]
    status_requests:
      - request: get
        initial: {list: [1, two, true, null], deep: {x: 1.5}, quoted: "7"}
        events: [{event: e, upsert: {list: l, by: id, value: {id: $id}}, add: {n: -1}}]
)");
  ASSERT_THAT(parsed.faults, IsEmpty());
  const v1::Config& config = parsed.config;
  EXPECT_EQ(config.workers(), "auto");
  EXPECT_TRUE(config.control().allow_insecure());
  EXPECT_EQ(config.control().adopt_window().seconds(), 90);
  EXPECT_EQ(config.limits().max_message_bytes(), 2u << 20);
  EXPECT_EQ(config.limits().max_event_bytes(), 1000u);
  EXPECT_EQ(config.limits().message_rate_limit(), 12.5);
  const v1::ServiceConfig& service = config.services(0);
  EXPECT_EQ(service.listeners(0).dialect(), v1::DIALECT_SESSION_BUDDY);
  EXPECT_TRUE(service.listeners(0).has_auth_required());
  EXPECT_TRUE(service.channels(0).has_history_size());
  EXPECT_EQ(service.channels(0).backlog_policy(), v1::BACKLOG_POLICY_LATEST);
  EXPECT_EQ(service.events(0).data().at("n"), "i?");
  const auto& initial = service.status_requests(0).initial().fields();
  EXPECT_EQ(initial.at("list").list_value().values(0).number_value(), 1);
  EXPECT_EQ(initial.at("list").list_value().values(1).string_value(), "two");
  EXPECT_TRUE(initial.at("list").list_value().values(2).bool_value());
  EXPECT_EQ(initial.at("list").list_value().values(3).kind_case(),
            google::protobuf::Value::kNullValue);
  EXPECT_EQ(initial.at("deep").struct_value().fields().at("x").number_value(), 1.5);
  EXPECT_EQ(initial.at("quoted").string_value(), "7");
  EXPECT_EQ(service.status_requests(0).events(0).add().at("n"), -1);
}

TEST(ConfigFileTest, FaultsNameLineColumnPathAndKey) {
  const Parsed parsed = Parse(
      "limits:\n"
      "  max_event_byte: 5\n"
      "services:\n"
      "  - name: a\n"
      "    port: many\n"
      "    port: 3\n"
      "  - nmae: b\n"
      "workers: [1]\n");
  EXPECT_THAT(
      parsed.faults,
      ElementsAre("f.yaml:2:3: limits.max_event_byte: unknown key; did you mean "
                  "\"max_event_bytes\"?",
                  "f.yaml:5:11: services[0].port: \"many\" is no whole number from 0 to 4294967295",
                  "f.yaml:6:5: services[0].port: given twice",
                  "f.yaml:7:5: services[1].nmae: unknown key; did you mean \"name\"?",
                  "f.yaml:8:10: workers: expected a single value"));
}

TEST(ConfigFileTest, RefusesWrongTypes) {
  const auto fault = [](const std::string& text) {
    const Parsed parsed = Parse(text);
    return parsed.faults.empty() ? std::string("none") : parsed.faults[0];
  };
  EXPECT_THAT(fault("control: 5"), HasSubstr("expected keys and values"));
  EXPECT_THAT(fault("services: {a: 1}"), HasSubstr("expected a list"));
  EXPECT_THAT(fault("control: {allow_insecure: yes}"), HasSubstr("neither true nor false"));
  EXPECT_THAT(fault("control: {adopt_window: 5}"), HasSubstr("no duration"));
  EXPECT_THAT(fault("control: {adopt_window: -5s}"), HasSubstr("negative"));
  EXPECT_THAT(fault("control: {adopt_window: inf}"), HasSubstr("no duration"));
  EXPECT_THAT(fault("control: {adopt_window: [1]}"), HasSubstr("expected a duration"));
  EXPECT_THAT(fault("limits: {max_event_bytes: 5XB}"), HasSubstr("no size"));
  EXPECT_THAT(fault("limits: {max_event_bytes: -1}"), HasSubstr("no size"));
  EXPECT_THAT(fault("limits: {max_message_bytes: 99999999999999GiB}"), HasSubstr("no size"));
  EXPECT_THAT(fault("limits: {message_rate_limit: nan}"), HasSubstr("no number"));
  EXPECT_THAT(fault("limits: {max_channels: 5000000000}"), HasSubstr("no whole number"));
  EXPECT_THAT(fault("engine: {kind: memry}"), HasSubstr("did you mean \"memory\"?"));
  EXPECT_THAT(fault("services: [{status_requests: [{initial: 5}]}]"),
              HasSubstr("expected keys and values"));
  EXPECT_THAT(fault("a: [1"), HasSubstr("no YAML"));
  EXPECT_THAT(fault("just text"), HasSubstr("expected keys and values"));
  EXPECT_EQ(fault(""), "none");
}

TEST(ConfigFileTest, VariablesStandInTexts) {
  const Parsed parsed = Parse(
      "services: [{name: \"${NAME}\", welcome_message: \"a${EMPTY:-b}c $${X}\", port: "
      "\"${PORT:-7}\"}]",
      {{"NAME", "n"}, {"EMPTY", ""}});
  ASSERT_THAT(parsed.faults, IsEmpty());
  EXPECT_EQ(parsed.config.services(0).name(), "n");
  EXPECT_EQ(parsed.config.services(0).welcome_message(), "abc ${X}");
  EXPECT_EQ(parsed.config.services(0).port(), 7u);
  EXPECT_THAT(Parse("workers: \"${NONE}\"").faults,
              ElementsAre(HasSubstr("environment variable NONE is not set")));
  EXPECT_THAT(Parse("workers: \"${NONE\"").faults, ElementsAre(HasSubstr("without \"}\"")));
}

TEST(ConfigFileTest, LaterChecksFindWhereAValueStood) {
  const Parsed parsed = Parse("services:\n  - name: a\n    port: 3\n");
  EXPECT_EQ(parsed.source.Where("services[0].port"), "f.yaml:3:5");
  EXPECT_EQ(parsed.source.Where("services[0].listeners[2].host"), "f.yaml:2:5");
  EXPECT_EQ(parsed.source.Where("limits.max_channels"), "f.yaml");
  EXPECT_EQ(parsed.source.Message("services[0].port", "no"), "f.yaml:3:5: services[0].port: no");
}

TEST(ConfigFileTest, AKeyIsGivenIfItHasAValueBeItZero) {
  const Parsed parsed = Parse("limits: {max_channels: 0, max_batch: }\nservices: [{port: 0}]\n");
  EXPECT_TRUE(parsed.source.Given("limits"));
  EXPECT_TRUE(parsed.source.Given("limits.max_channels"));
  EXPECT_TRUE(parsed.source.Given("services[0].port"));
  EXPECT_FALSE(parsed.source.Given("limits.max_batch"));
  EXPECT_FALSE(parsed.source.Given("services[1].port"));
}

TEST(ConfigFileTest, PrintsWhatItReadsAndHidesSecrets) {
  const std::string text =
      "control: {adopt_window: 1.5s}\n"
      "services: [{name: a, keys: [{secret: hush-hush-hush-hush}], mirrors: [{events: [x, y], to: "
      "z}], events: [{name: e, data: {k: s}}], status_requests: [{request: r, initial: {a: [1, "
      "true, null, t], b: {c: 2}}}], channels: [{pattern: \"**\", backlog_policy: "
      "drop_oldest}]}]\n";
  const Parsed first = Parse(text);
  ASSERT_THAT(first.faults, IsEmpty());
  const std::string yaml = ConfigToYaml(first.config);
  EXPECT_THAT(yaml, Not(HasSubstr("hush")));
  EXPECT_THAT(yaml, HasSubstr("secret: \"***\""));
  EXPECT_THAT(yaml, HasSubstr("backlog_policy: drop_oldest"));
  const Parsed second = Parse(yaml);
  ASSERT_THAT(second.faults, IsEmpty());
  EXPECT_EQ(ConfigToYaml(second.config), yaml);
}

}  // namespace
}  // namespace fanwire
