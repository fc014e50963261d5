#include "control/events/typed_event.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire/wire_writer.h"
#include "tests/control/config/catalog_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kTime[] = "2026-02-10T20:00:00.123456+00:00";
constexpr char kMahavishnu[] = "fanwire.catalog.v1.mahavishnu.";

class TypedEventTest : public ::testing::Test {
 protected:
  // The message's bytes, from protobuf's text format.
  std::string Bytes(const std::string& message, const std::string& text) {
    const Catalog::Message* const type = catalog_.FindMessage(message);
    EXPECT_NE(type, nullptr) << message;
    if (type == nullptr) return "";
    const std::unique_ptr<google::protobuf::Message> made(type->prototype->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, made.get())) << text;
    return made->SerializeAsString();
  }
  absl::Status MakeOf(const std::string& message, const std::string& bytes,
                      absl::string_view channel = "", absl::string_view name = "") {
    url_ = absl::StrCat("type.googleapis.com/", message);
    bytes_ = bytes;
    Event event;
    event.service = "s";
    event.channel = channel;
    event.event = name;
    event.typed_url = url_;
    event.typed_bytes = bytes_;
    event.typed_message = true;
    return MakeTypedEvent(catalog_, event, kTime, &out_);
  }
  absl::Status Make(const std::string& message, const std::string& text,
                    absl::string_view channel = "", absl::string_view name = "") {
    return MakeOf(message, Bytes(message, text), channel, name);
  }

  Catalog catalog_ = BuiltInCatalogOf("mahavishnu");
  std::string url_, bytes_;
  TypedEvent out_;
};

TEST_F(TypedEventTest, NameChannelAndKeysComeFromTheMessage) {
  ASSERT_OK(Make(absl::StrCat(kMahavishnu, "WorkflowStarted"),
                 "workflow_id: 'wf_1' total_stages: 9007199254740993"));
  EXPECT_EQ(out_.event, "workflow.started");
  EXPECT_EQ(out_.channel, "workflow:wf_1");
  EXPECT_THAT(out_.copies, IsEmpty());
  EXPECT_THAT(out_.warnings, IsEmpty());
  EXPECT_EQ(out_.json,
            absl::StrCat(R"({"workflow_id":"wf_1","total_stages":9007199254740993,"timestamp":")",
                         kTime, R"("})"));
}

TEST_F(TypedEventTest, TheKeysOfAnObjectAreWrittenBesideItIfTheConfigurationSaysSo) {
  const std::string pool = absl::StrCat(kMahavishnu, "PoolStatusChanged");
  const std::string text =
      "pool_id: 'p' timestamp: 'then' status { "
      "fields { key: 'worker_count' value { number_value: 3 } } "
      "fields { key: 'queue_size' value { number_value: 0 } } "
      "fields { key: 'pool_id' value { string_value: 'another' } } "
      "fields { key: 'timestamp' value { null_value: NULL_VALUE } } }";
  const std::string plain =
      R"({"pool_id":"p","status":{"pool_id":"another","queue_size":0,"timestamp":null,)"
      R"("worker_count":3},"timestamp":"then")";
  ASSERT_OK(Make(pool, text));
  EXPECT_EQ(out_.json, plain + "}");
  catalog_ = BuiltInCatalogOf("mahavishnu", {.event = "pool.status_changed", .field = "status"});
  ASSERT_OK(Make(pool, text));
  EXPECT_EQ(out_.json, plain + R"(,"queue_size":0,"worker_count":3})");
  // Without the object there is nothing to repeat; other events are as before.
  ASSERT_OK(Make(pool, "pool_id: 'p' timestamp: 'then'"));
  EXPECT_EQ(out_.json, R"({"pool_id":"p","status":{},"timestamp":"then"})");
  ASSERT_OK(Make(absl::StrCat(kMahavishnu, "PoolClosed"), "pool_id: 'p' timestamp: 'then'"));
  EXPECT_EQ(out_.json, R"({"pool_id":"p","timestamp":"then"})");
}

TEST_F(TypedEventTest, OfARepeatedObjectAFieldsKeyIsNeverTaken) {
  catalog_ = CatalogOf(R"(
message Inner { int64 a = 1; int64 b = 2; optional string c = 3; }
message Outer {
  option (fanwire.catalog.v1.event) = { name: "outer" channels: "x" };
  Inner inner = 1;
  optional string a = 2;
})",
                       {.event = "outer", .field = "inner"});
  ASSERT_OK(Make("test.Outer", "inner { a: 1 b: 9007199254740993 }"));
  EXPECT_EQ(out_.json, R"({"inner":{"a":1,"b":9007199254740993},"b":9007199254740993})");
  // A field that is not known is told once.
  ASSERT_OK(MakeOf("test.Outer", "\x0a\x04\x08\x01\x48\x07"));
  EXPECT_THAT(out_.warnings, SizeIs(1));
}

TEST_F(TypedEventTest, ATimestampThatIsSetStays) {
  ASSERT_OK(Make(absl::StrCat(kMahavishnu, "PoolClosed"), "pool_id: 'p' timestamp: 'then'"));
  EXPECT_EQ(out_.json, R"({"pool_id":"p","timestamp":"then"})");
}

TEST_F(TypedEventTest, FieldsThatAreNotOptionalAreWrittenWithTheirDefaults) {
  ASSERT_OK(Make(absl::StrCat(kMahavishnu, "TeamParsed"), "goal: 'g' timestamp: 't'"));
  EXPECT_EQ(out_.json, R"({"goal":"g","intent":"","skills":[],"confidence":0,"timestamp":"t"})");
  ASSERT_OK(
      Make(absl::StrCat(kMahavishnu, "WorkflowCompleted"), "workflow_id: 'w' timestamp: 't'"));
  EXPECT_EQ(out_.json, R"({"workflow_id":"w","result":{},"timestamp":"t"})");
  // The original writes null where there is no reason.
  ASSERT_OK(Make(absl::StrCat(kMahavishnu, "AdapterEnabled"),
                 "adapter_id: 'a' adapter_name: 'n' enabled: true timestamp: 't'"));
  EXPECT_EQ(
      out_.json,
      R"({"adapter_id":"a","adapter_name":"n","enabled":true,"reason":null,"timestamp":"t"})");
}

TEST_F(TypedEventTest, WhatIsSpreadStandsBesideTheFieldsAndReplacesNone) {
  ASSERT_OK(Make(absl::StrCat(kMahavishnu, "WorkflowStarted"),
                 "workflow_id: 'w' metadata { fields { key: 'zeta' value { number_value: 1 } }"
                 " fields { key: 'adapter' value { string_value: 'agno' } }"
                 " fields { key: 'workflow_id' value { string_value: 'x' } }"
                 " fields { key: 'timestamp' value { string_value: 'own' } } }"));
  EXPECT_EQ(out_.json, R"({"workflow_id":"w","adapter":"agno","timestamp":"own","zeta":1})");
}

TEST_F(TypedEventTest, FurtherTemplatesMakeCopiesIfTheirFieldsAreSet) {
  const std::string message = absl::StrCat(kMahavishnu, "TeamError");
  ASSERT_OK(Make(message, "team_id: 't' user_id: 'ana'"));
  EXPECT_EQ(out_.channel, "goal-teams");
  EXPECT_THAT(out_.copies, ElementsAre("goal-teams:ana"));
  EXPECT_THAT(out_.json, Not(HasSubstr("ana")));
  ASSERT_OK(Make(message, "team_id: 't'"));
  EXPECT_THAT(out_.copies, IsEmpty());
  // Where the publisher names the channel it is the only one.
  ASSERT_OK(Make(message, "team_id: 't' user_id: 'ana'", "goal-teams:ana"));
  EXPECT_EQ(out_.channel, "goal-teams:ana");
  EXPECT_THAT(out_.copies, IsEmpty());
}

TEST_F(TypedEventTest, AnIdThatBringsTheKindIsNotGivenItTwice) {
  const std::string message = absl::StrCat(kMahavishnu, "PoolScaled");
  ASSERT_OK(Make(message, "pool_id: 'pool:local' worker_count: 3"));
  EXPECT_EQ(out_.channel, "pool:local");
  EXPECT_THAT(out_.json, HasSubstr(R"("pool_id":"pool:local","worker_count":3)"));
  EXPECT_OK(Make(message, "pool_id: 'pool:local'", "pool:local"));
}

TEST_F(TypedEventTest, NameAndChannelMustBeThoseOfTheMessage) {
  const std::string message = absl::StrCat(kMahavishnu, "PoolScaled");
  EXPECT_OK(Make(message, "pool_id: 'p'", "pool:p", "pool.scaled"));
  EXPECT_THAT(Make(message, "pool_id: 'p'", "", "pool.closed"),
              StatusIs(kInvalid, HasSubstr("is event \"pool.scaled\", not \"pool.closed\"")));
  EXPECT_THAT(Make(message, "pool_id: 'p'", "pool:q"),
              StatusIs(kInvalid, HasSubstr("belongs on pool:p, not on \"pool:q\"")));
  EXPECT_THAT(Make(message, "worker_count: 1"),
              StatusIs(kInvalid, HasSubstr("field pool_id is empty, and the channel "
                                           "pool:{pool_id} needs it")));
  EXPECT_THAT(Make(message, "pool_id: 'pool:'"), StatusIs(kInvalid, HasSubstr("is empty")));
}

TEST_F(TypedEventTest, AMessageOfAnotherCatalogIsRefused) {
  EXPECT_THAT(MakeOf("fanwire.catalog.v1.akosha.PatternDetected", ""),
              StatusIs(kInvalid, HasSubstr("the catalog of service \"s\" has no message "
                                           "\"fanwire.catalog.v1.akosha.PatternDetected\"")));
}

TEST_F(TypedEventTest, MalformedBytesAreRefused) {
  const std::string message = absl::StrCat(kMahavishnu, "PoolClosed");
  for (const std::string& bytes : {std::string("\xff\xff"), std::string("\x0a\x05pool")}) {
    EXPECT_THAT(MakeOf(message, bytes), StatusIs(kInvalid, HasSubstr("malformed")));
  }
  EXPECT_THAT(MakeOf(message, "\x0a\x01\xff"), StatusIs(kInvalid, HasSubstr("malformed")));
}

TEST_F(TypedEventTest, AFieldThatIsNotKnownHereIsToldOf) {
  const std::string message = absl::StrCat(kMahavishnu, "PoolClosed");
  ASSERT_OK(MakeOf(message, Bytes(message, "pool_id: 'p' timestamp: 't'") + "\xf8\x07\x01"));
  EXPECT_EQ(out_.json, R"({"pool_id":"p","timestamp":"t"})");
  EXPECT_THAT(out_.warnings, ElementsAre(HasSubstr("field 127 of fanwire.catalog.v1.mahavishnu."
                                                   "PoolClosed is not known here")));
}

// ------------------------------------------------------------------------------- values

class TypedValueTest : public TypedEventTest {
 protected:
  TypedValueTest() {
    catalog_ = CatalogOf(R"(
message Point { double x = 1; optional double y = 2; }
message Tree { string name = 1; repeated Tree children = 2; }
message Values {
  option (fanwire.catalog.v1.event) = { name: "values" };
  enum Mode { LOW = 0; HIGH = 1; }
  optional int64 i64 = 1;
  optional uint64 u64 = 2;
  optional int32 i32 = 3;
  optional uint32 u32 = 4;
  optional double number = 5;
  optional float small = 6;
  optional string text = 7;
  optional Mode mode = 8;
  optional Point point = 9;
  repeated Point points = 10 [(fanwire.catalog.v1.key).optional = true];
  map<string, int64> counts = 11 [(fanwire.catalog.v1.key).optional = true];
  map<int32, bool> flags = 12 [(fanwire.catalog.v1.key).optional = true];
  optional google.protobuf.Value any = 13;
  optional google.protobuf.ListValue list = 14;
  optional google.protobuf.Timestamp at = 15;
  repeated int64 numbers = 16 [(fanwire.catalog.v1.key).optional = true];
  optional Tree tree = 18;
  oneof choice { string a = 19; int32 b = 20; }
}
message Flat {
  option (fanwire.catalog.v1.event) = { name: "flat" };
  Point flat = 1 [(fanwire.catalog.v1.key).spread = true];
}
message Stamped {
  option (fanwire.catalog.v1.event) = { name: "stamped" channels: "at:{n}" };
  google.protobuf.Timestamp timestamp = 1;
  int64 n = 2;
})");
  }

  std::string Json(const std::string& text) {
    EXPECT_OK(Make("test.Values", text, "c"));
    return out_.json;
  }
};

TEST_F(TypedValueTest, NumbersKeepAllTheirDigits) {
  EXPECT_EQ(Json("i64: -9223372036854775808 u64: 18446744073709551615 i32: -7 u32: 4294967295"),
            R"({"i64":-9223372036854775808,"u64":18446744073709551615,"i32":-7,"u32":4294967295})");
  EXPECT_EQ(Json("number: 0.1"), R"({"number":0.1})");
  EXPECT_EQ(Json("number: 5"), R"({"number":5})");
  EXPECT_EQ(Json("number: 1e300"), R"({"number":1e+300})");
  EXPECT_EQ(Json("small: 0.1"), R"({"small":0.1})");
  for (const char* text : {"number: inf", "number: nan", "small: inf", "any { number_value: -inf }",
                           "point { x: nan }"}) {
    EXPECT_THAT(Make("test.Values", text, "c"),
                StatusIs(kInvalid, HasSubstr("a number that JSON does not have")))
        << text;
  }
}

TEST_F(TypedValueTest, EachTypeHasItsJson) {
  EXPECT_EQ(Json("text: 'a\"\\n\\303\\244'"), "{\"text\":\"a\\\"\\n\xc3\xa4\"}");
  EXPECT_EQ(Json("mode: HIGH"), R"({"mode":"HIGH"})");
  EXPECT_EQ(Json("point { y: 2 }"), R"({"point":{"x":0,"y":2}})");
  EXPECT_EQ(Json("numbers: [1, 2]"), R"({"numbers":[1,2]})");
  EXPECT_EQ(Json("counts { key: 'b' value: 2 } counts { key: 'a' value: 1 }"),
            R"({"counts":{"a":1,"b":2}})");
  EXPECT_EQ(Json("flags { key: 7 value: true }"), R"({"flags":{"7":true}})");
  EXPECT_EQ(Json("any { null_value: NULL_VALUE }"), R"({"any":null})");
  EXPECT_EQ(Json("any {}"), R"({"any":null})");
  EXPECT_EQ(Json("any { list_value { values { bool_value: true } values { struct_value {} } } }"),
            R"({"any":[true,{}]})");
  EXPECT_EQ(Json("list {}"), R"({"list":[]})");
  EXPECT_EQ(Json("at { seconds: 1770753600 nanos: 123456789 }"),
            R"({"at":"2026-02-10T20:00:00.123456+00:00"})");
  EXPECT_EQ(Json("tree { name: 'a' children { name: 'b' } }"),
            R"({"tree":{"name":"a","children":[{"name":"b","children":[]}]}})");
  EXPECT_EQ(Json("b: 0"), R"({"b":0})");
  EXPECT_THAT(Make("test.Values", "mode: 7", "c"),
              StatusIs(kInvalid, HasSubstr("7 is not a value of test.Values.Mode")));
  EXPECT_THAT(Make("test.Values", "at { seconds: 253402300800 }", "c"),
              StatusIs(kInvalid, HasSubstr("not between the years 1 and 9999")));
}

TEST_F(TypedValueTest, TheFieldsOfAMessageCanBeSpread) {
  ASSERT_OK(Make("test.Flat", "flat { x: 1 y: 2 }", "c"));
  EXPECT_EQ(out_.json, R"({"x":1,"y":2})");
  ASSERT_OK(Make("test.Flat", "", "c"));
  EXPECT_EQ(out_.json, R"({"x":0})");
}

TEST_F(TypedValueTest, AMessageWithoutTemplatesNeedsAChannelAndTakesAnyOne) {
  EXPECT_OK(Make("test.Values", "", "any:channel"));
  EXPECT_EQ(out_.channel, "any:channel");
  EXPECT_THAT(Make("test.Values", ""), StatusIs(kInvalid, HasSubstr("the event must name one")));
}

TEST_F(TypedValueTest, ATimestampMayBeAMessageAndAChannelANumber) {
  ASSERT_OK(Make("test.Stamped", "n: 0"));
  EXPECT_EQ(out_.channel, "at:0");
  EXPECT_EQ(out_.json, absl::StrCat(R"({"timestamp":")", kTime, R"(","n":0})"));
}

TEST_F(TypedValueTest, MoreThanAnEventMayHoldIsRefusedBeforeObjectsAreMade) {
  // Each point takes two bytes here, and an object of protobuf's if it were made.
  std::string many;
  for (int i = 0; i < (1 << 20) + 1; ++i) many += std::string("\x52\x00", 2);
  EXPECT_THAT(MakeOf("test.Values", many, "c"),
              StatusIs(kInvalid, HasSubstr("more fields or text")));
  EXPECT_THAT(
      MakeOf("test.Values",
             Bytes("test.Values", absl::StrCat("text: '", std::string(1 << 20, 'x'), "'")), "c"),
      StatusIs(kInvalid, HasSubstr("more fields or text")));
}

}  // namespace
}  // namespace fanwire::control
