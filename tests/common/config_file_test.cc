#include "common/config_file.h"

#include <google/protobuf/util/message_differencer.h>

#include <map>
#include <string>

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
      ElementsAre(
          "f.yaml:2:3: limits.max_event_byte: unknown key; did you mean "
          "\"max_event_bytes\"?",
          "f.yaml:5:11: services[0].port: expected a whole number from 0 to 4294967295, found "
          "\"many\"",
          "f.yaml:6:5: services[0].port: given twice",
          "f.yaml:7:5: services[1].nmae: unknown key; did you mean \"name\"?",
          "f.yaml:8:10: workers: expected a single value, found a list; put a text that begins "
          "with \"[\" in quotes, as in \"[::1]\""));
}

TEST(ConfigFileTest, RefusesWrongTypes) {
  const auto fault = [](const std::string& text) {
    const Parsed parsed = Parse(text);
    return parsed.faults.empty() ? std::string("none") : parsed.faults[0];
  };
  EXPECT_THAT(fault("control: 5"), HasSubstr("expected keys and values, found \"5\""));
  EXPECT_THAT(fault("services: {a: 1}"), HasSubstr("expected a list, found keys and values"));
  EXPECT_THAT(fault("services: [{keys: }, 5]"),
              HasSubstr("[1]: expected keys and values, found \"5\""));
  EXPECT_THAT(fault("control: {allow_insecure: yes}"),
              HasSubstr("expected true or false, found \"yes\""));
  EXPECT_THAT(fault("control: {adopt_window: 5}"), HasSubstr("expected a duration"));
  EXPECT_THAT(fault("control: {adopt_window: -5s}"), HasSubstr("negative"));
  EXPECT_THAT(fault("control: {adopt_window: inf}"), HasSubstr("expected a duration"));
  EXPECT_THAT(fault("control: {adopt_window: [1]}"), HasSubstr("expected a duration"));
  EXPECT_THAT(fault("limits: {max_event_bytes: 5XB}"), HasSubstr("expected a size such as"));
  EXPECT_THAT(fault("limits: {max_event_bytes: -1}"), HasSubstr("expected a size such as"));
  EXPECT_THAT(fault("limits: {max_message_bytes: 99999999999999GiB}"),
              HasSubstr("expected a size such as"));
  EXPECT_THAT(fault("limits: {message_rate_limit: nan}"), HasSubstr("expected a number"));
  EXPECT_THAT(fault("limits: {max_channels: 5000000000}"), HasSubstr("expected a whole number"));
  EXPECT_THAT(fault("engine: {kind: memry}"), HasSubstr("did you mean \"memory\"?"));
  EXPECT_THAT(fault("services: [{status_requests: [{initial: 5}]}]"),
              HasSubstr("expected keys and values"));
  EXPECT_THAT(fault("a: [1"), HasSubstr("not valid YAML: "));
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

TEST(ConfigFileTest, ADefaultMayHaveVariablesOfItsOwn) {
  const std::string text = "services: [{welcome_message: \"${A:-${B}}\"}]";
  EXPECT_EQ(Parse(text, {{"B", "b"}}).config.services(0).welcome_message(), "b");
  EXPECT_EQ(Parse(text, {{"A", "a"}}).config.services(0).welcome_message(), "a");
  EXPECT_THAT(Parse(text).faults, ElementsAre("f.yaml:1:30: services[0].welcome_message: "
                                              "environment variable B is not set; \"${B:-}\" "
                                              "would allow that"));
}

TEST(ConfigFileTest, TextsThatAreNotUtf8AreRefusedWithTheirPlace) {
  EXPECT_THAT(Parse("services:\n- name: a\n  welcome_message: \"caf\xe9\"\n").faults,
              ElementsAre("f.yaml:3:24: byte 0xE9 is not UTF-8; save the file in UTF-8"));
  EXPECT_THAT(Parse("# caf\xe9\nworkers: auto\n").faults, ElementsAre(HasSubstr("f.yaml:1:6: ")));
  EXPECT_THAT(Parse("workers: \"${W}\"\n", {{"W", "caf\xe9"}}).faults,
              ElementsAre("f.yaml:1:10: workers: environment variable W: byte 0xE9 (byte 4 of the "
                          "text) is not UTF-8"));
  // Escapes that make such texts.
  EXPECT_THAT(Parse("workers: \"\\ud800\"\n").faults,
              ElementsAre(HasSubstr("invalid unicode: 55296")));
  for (const char* nul : {"workers: \"a\\0b\"", "services: [{events: [{data: {\"a\\0\": s}}]}]",
                          "services: [{status_requests: [{initial: {x: \"\\x00\"}}]}]",
                          "services: [{status_requests: [{initial: {\"\\x00\": x}}]}]",
                          "services: [{status_requests: [{initial: {x: [\"\\u0000\"]}}]}]"}) {
    EXPECT_THAT(Parse(nul).faults, ElementsAre(HasSubstr("NUL character"))) << nul;
  }
  EXPECT_EQ(
      Parse("services: [{welcome_message: \"caf\\xe9\"}]").config.services(0).welcome_message(),
      "caf\xc3\xa9");
}

TEST(ConfigFileTest, WhatIsNoTreeIsRefusedWithItsPlace) {
  EXPECT_THAT(
      Parse("services:\n- status_requests:\n  - {request: x, argument: id, initial: &x {a: *x}}\n")
          .faults,
      ElementsAre("f.yaml:3:48: the alias stands for a value that contains the alias itself"));
  EXPECT_THAT(Parse("a: 1\n---\nb: 2\n").faults,
              ElementsAre(HasSubstr("a second YAML document begins here")));
}

TEST(ConfigFileTest, KeysOfAnyYamlAreCheckedLikeOthers) {
  const auto initial = [](const std::string& yaml) {
    return Parse("services: [{status_requests: [{initial: " + yaml + "}]}]").faults;
  };
  EXPECT_THAT(initial("{a: 1, a: 2}"), ElementsAre(HasSubstr("initial.a: given twice")));
  EXPECT_THAT(initial("{[a]: 1}"), ElementsAre(HasSubstr("a key must be a text")));
  EXPECT_THAT(initial("{~: 1}"), ElementsAre(HasSubstr("a key must be a text")));
  EXPECT_THAT(initial("{a: {b: 1}, c: &c [1], d: *c}"), IsEmpty());
}

TEST(ConfigFileTest, AWholeNumberThatWouldLoseDigitsIsRefused) {
  const auto initial = [](const std::string& yaml) {
    return Parse("services: [{status_requests: [{initial: {a: " + yaml + "}}]}]").faults;
  };
  for (const char* good : {"9007199254740991", "-9007199254740991", "1e30", "0.1",
                           "\"123456789012345678901234567890\""}) {
    EXPECT_THAT(initial(good), IsEmpty()) << good;
  }
  for (const char* bad : {"9007199254740992", "9007199254740993", "-18446744073709551616",
                          "[12345678901234567890]"}) {
    EXPECT_THAT(initial(bad), ElementsAre(HasSubstr("would lose digits"))) << bad;
  }
}

TEST(ConfigFileTest, TheVariablesOfAFileMayNotMakeItHuge) {
  std::string text = "services: [";
  for (int i = 0; i < 20; ++i) text += "{welcome_message: \"${BIG}\"},";
  const Parsed parsed = Parse(text + "]", {{"BIG", std::string(100'000, 'x')}});
  ASSERT_FALSE(parsed.faults.empty());
  EXPECT_THAT(parsed.faults[0],
              HasSubstr("services[10].welcome_message: the configuration has more than 1048576 "
                        "bytes after its variables are replaced"));
}

TEST(ConfigFileTest, OfVeryManyFaultsTheFirstAreNamed) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "key" + std::to_string(i) + ": 1\n";
  const Parsed parsed = Parse(text);
  ASSERT_EQ(parsed.faults.size(), kMaxConfigFaults + 1);
  EXPECT_EQ(parsed.faults.back(), "f.yaml: there are more faults than these 100");
  // And each is short, whatever the text has.
  for (const std::string& fault : Parse("? " + std::string(200'000, 'k') + "\n: 1\nworkers: [\"" +
                                        std::string(200'000, 'x') + "\"]\n")
                                      .faults) {
    EXPECT_LT(fault.size(), 400u);
  }
}

TEST(ConfigFileTest, AnAddressWithoutQuotesGetsAHint) {
  EXPECT_THAT(Parse("services: [{listeners: [{host: [::1]}]}]").faults,
              ElementsAre(HasSubstr("in quotes, as in \"[::1]\"")));
  EXPECT_THAT(Parse("control:\n  grpc_listen: [::1]:8701\n").faults,
              ElementsAre(HasSubstr("put an IPv6 address in quotes: \"[::1]:8701\"")));
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

TEST(ConfigFileTest, PrintsWhatItReads) {
  const std::string text = R"(
control: {adopt_window: 1.5s}
limits: {message_rate_limit: 0.1}
services:
- name: a
  welcome_message: "$${X} $$${Y} é \"q\" \x07 \n tail "
  server_name: "null"
  mirrors: [{events: [x, "y: z"], to: z}]
  events: [{name: e, data: {k: s, "~": s, "": s, "a: b": s, "<<": s, "1": s}}]
  status_requests:
  - request: r
    initial: {a: [1, true, null, t, [], {}], b: {c: 2, "<<": "x", "~": ~, "": 1}, n: "5", m: "${V}"}
    missing: {}
    kind: ""
    events: [{event: e, add: {n: -1, z: 0}, upsert: {list: l, value: "$${x"}}]
  channels: [{pattern: "**", backlog_policy: drop_oldest, history_size: 0, history_ttl: 0s}]
)";
  const Parsed first = Parse(text);
  ASSERT_THAT(first.faults, IsEmpty());
  EXPECT_EQ(first.config.services(0).welcome_message(), "${X} $${Y} é \"q\" \x07 \n tail ");
  const std::string yaml = ConfigToYaml(first.config);
  EXPECT_THAT(yaml, HasSubstr("backlog_policy: drop_oldest"));
  const Parsed second = Parse(yaml);
  ASSERT_THAT(second.faults, IsEmpty());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(first.config, second.config))
      << yaml;
}

TEST(ConfigFileTest, HidesSecrets) {
  const Parsed parsed = Parse("services: [{keys: [{secret: hush-hush-hush-hush}]}]");
  const std::string yaml = ConfigToYaml(parsed.config);
  EXPECT_THAT(yaml, Not(HasSubstr("hush")));
  EXPECT_THAT(yaml, HasSubstr("secret: \"***\""));
}

}  // namespace
}  // namespace fanwire
