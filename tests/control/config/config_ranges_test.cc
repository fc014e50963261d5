#include "control/config/config_ranges.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/proto_time.h"
#include "control/config/config_keys.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/config/config_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The value of an option: "64KiB" is 65536.
struct Bound {
  Bound(const std::string& text, const FieldDescriptor* field) {
    const std::unique_ptr<Message> message(google::protobuf::MessageFactory::generated_factory()
                                               ->GetPrototype(field->containing_type())
                                               ->New());
    SetFromText(text, field, message.get());
    const google::protobuf::Reflection* const reflection = message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      number = reflection->GetUInt32(*message, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
      number = static_cast<int64_t>(reflection->GetUInt64(*message, field));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
      number = static_cast<int64_t>(reflection->GetDouble(*message, field));
    } else {
      google::protobuf::Duration duration;
      duration.CopyFrom(reflection->GetMessage(*message, field));
      time = ToDuration(duration);
    }
  }
  int64_t number = 0;
  absl::Duration time;
};

TEST(ConfigRangesTest, ANumberBesideItsRangeIsRefusedWithKeyValueAndRange) {
  int checked = 0;
  for (const KeyPlace& key : AllKeys()) {
    if (!IsNumber(key.field) || IsDuration(key.field)) continue;
    const FieldDescriptor* const ranged = RangeKeyOf(key.field);
    const int64_t low = Bound(KeyOf(ranged).min(), ranged).number;
    const int64_t high = Bound(KeyOf(ranged).max(), ranged).number;
    const std::string range = absl::StrCat(" is not between ", low, " and ", high);
    // Beside the range of the type the text itself is refused.
    const auto refused = [&](int64_t value) {
      return Contains(
          AllOf(StartsWith("f.yaml:1:"), HasSubstr(absl::StrCat(": ", key.path, ": ")),
                AnyOf(HasSubstr(absl::StrCat(value, range)),
                      HasSubstr(absl::StrCat("from 0 to 4294967295, found \"", value, "\"")),
                      HasSubstr(absl::StrCat("or 1MiB, found \"", value, "\"")))));
    };
    // A service's 0 takes the value of `limits`.
    const bool zero_inherits = ranged != key.field && low == 1;
    if (!zero_inherits) {
      EXPECT_THAT(Load(key.File(absl::StrCat(low - 1))).errors, refused(low - 1));
    }
    EXPECT_THAT(Load(key.File(absl::StrCat(high + 1))).errors, refused(high + 1));
    for (const int64_t good : {low, high}) {
      EXPECT_THAT(Load(key.File(absl::StrCat(good))).errors, Each(Not(HasSubstr("is not between"))))
          << key.path;
    }
    ++checked;
  }
  EXPECT_GT(checked, 30);
}

TEST(ConfigRangesTest, ADurationBelowItsRangeIsRefusedWithKeyValueAndRange) {
  int checked = 0;
  for (const KeyPlace& key : AllKeys()) {
    if (!IsDuration(key.field)) continue;
    const absl::Duration low = Bound(KeyOf(key.field).min(), key.field).time;
    const std::string value = absl::FormatDuration(low - absl::Milliseconds(1));
    const std::string reason =
        low == absl::ZeroDuration()
            ? absl::StrCat("expected a duration that is not negative, found \"", value, "\"")
        : KeyOf(key.field).max().empty()
            ? absl::StrCat(value, " is less than ", absl::FormatDuration(low))
            : absl::StrCat(value, " is not between ", absl::FormatDuration(low), " and ",
                           KeyOf(key.field).max());
    EXPECT_THAT(Load(key.File(value)).errors,
                Contains(AllOf(StartsWith("f.yaml:1:"),
                               HasSubstr(absl::StrCat(": ", key.path, ": ", reason)))));
    EXPECT_THAT(Load(key.File(KeyOf(key.field).min())).errors,
                Each(AllOf(Not(HasSubstr("is less than")), Not(HasSubstr("is not between")))))
        << key.path;
    ++checked;
  }
  EXPECT_GT(checked, 15);
}

TEST(ConfigRangesTest, AZeroThatWasWrittenIsRefusedWhereItMeansNothing) {
  EXPECT_THAT(Faults("limits:\n  max_batch: 0\n"),
              ElementsAre("f.yaml:2:3: limits.max_batch: 0 is not between 1 and 1000000"));
  EXPECT_THAT(Load(kService, {.settings = {"limits.max_event_bytes=0"}}).errors,
              ElementsAre("--set limits.max_event_bytes: limits.max_event_bytes: "
                          "0 is not between 1 and 1000000"));
  EXPECT_THAT(Load(kService, {.variables = {"FANWIRE_LIMITS__MAX_CHANNELS=0"}}).errors,
              ElementsAre(HasSubstr("limits.max_channels: 0 is not between")));
  EXPECT_THAT(ServiceFaults("  status_requests: [{request: r, argument: a, max_entities: 0}]\n"),
              ElementsAre(HasSubstr("services[0].status_requests[0].max_entities: 0 is not")));
}

TEST(ConfigRangesTest, AZeroOutOfTheRangeIsRefusedOfEveryKeyAndFromEverywhere) {
  int checked = 0;
  for (const KeyPlace& key : AllKeys()) {
    if (!IsNumber(key.field) || RangeKeyOf(key.field) != key.field) continue;
    const std::string& min = KeyOf(key.field).min();
    if (min == "0" || min == "0s") continue;
    const std::string zero = IsDuration(key.field) ? "0s" : "0";
    EXPECT_THAT(Load(key.File(zero)).errors, Contains(HasSubstr(key.path + ": 0"))) << key.path;
    if (absl::StrContains(key.path, "[")) continue;
    EXPECT_THAT(Load(kService, {.settings = {absl::StrCat(key.path, "=", zero)}}).errors,
                ElementsAre(HasSubstr(key.path + ": 0")));
    EXPECT_THAT(
        Load(kService,
             {.variables = {absl::StrCat(
                  "FANWIRE_", absl::StrReplaceAll(absl::AsciiStrToUpper(key.path), {{".", "__"}}),
                  "=", zero)}})
            .errors,
        ElementsAre(HasSubstr(key.path + ": 0")));
    ++checked;
  }
  EXPECT_GT(checked, 20);
}

TEST(ConfigRangesTest, AKeyWithoutAValueIsNotAZero) {
  EXPECT_THAT(Faults("limits: {max_batch: , message_rate_limit: ~}\n"), IsEmpty());
  EXPECT_EQ(Good("limits: {max_batch: , message_rate_limit: ~}\n").limits().message_rate_limit(),
            100);
}

TEST(ConfigRangesTest, AServicesZeroIsTheLimitOfAll) {
  const v1::Config config = LoadGood(R"(
limits: {max_connections: 7, max_event_bytes: 1000, message_rate_limit: 10}
services:
- {name: a, port: 1, max_connections: 0, max_event_bytes: 0, message_rate_limit: 0}
)");
  EXPECT_EQ(config.services(0).max_connections(), 7u);
  EXPECT_EQ(config.services(0).max_event_bytes(), 1000u);
  EXPECT_EQ(config.services(0).message_rate_limit(), 10);
}

TEST(ConfigRangesTest, AServiceOutOfTheRangeOfAllIsToldAtTheService) {
  const LoadedConfig loaded = Load("services: [{name: a, port: 1}, {name: b, port: 2}]\n",
                                   {.settings = {"services.b.max_event_bytes=1000001"}});
  EXPECT_THAT(loaded.errors, ElementsAre("--set services.b.max_event_bytes: "
                                         "services[1].max_event_bytes: 1000001 is not between 1 "
                                         "and 1000000"));
  // A limit that is wrong for all is told once.
  EXPECT_THAT(Faults("limits: {max_event_bytes: 1000001}\n"),
              ElementsAre(HasSubstr("limits.max_event_bytes: 1000001 is not between")));
}

TEST(ConfigRangesTest, NoDurationIsNegative) {
  for (const char* setting :
       {"control: {idempotency_window: -1s}", "control: {max_receipt_wait: -1s}",
        "control: {shutdown_timeout: -1s}", "engine: {channel_idle_ttl: -1s}",
        "worker: {orphan_timeout: -1s}", "worker: {fanout_slice_time: -1s}",
        "channels: [{pattern: a, history_ttl: -1s}]"}) {
    EXPECT_THAT(Faults(absl::StrCat(setting, "\n")), Not(IsEmpty())) << setting;
  }
}

}  // namespace
}  // namespace fanwire::control
