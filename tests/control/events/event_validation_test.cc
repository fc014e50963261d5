#include "control/events/event_validation.h"

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/event_name.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class EventCheckTest : public ::testing::Test {
 protected:
  // The service `under` describes, with these lines beside name and port.
  void Use(const std::string& lines, const std::string& globals = "") {
    const LoadedConfig loaded =
        LoadConfig(absl::StrCat("services:\n- name: mahavishnu\n  port: 8690\n", lines, globals),
                   "t.yaml", {});
    ASSERT_THAT(loaded.errors, IsEmpty());
    table_ = ServiceTable::Make(*loaded.config);
  }

  static Event MakeEvent(absl::string_view json = "{}") {
    Event event;
    event.service = "mahavishnu";
    event.channel = "workflow:1";
    event.event = "workflow.started";
    event.json = json;
    return event;
  }
  absl::Status Check(const Event& event) {
    return CheckEvent(event, *table_->Find("mahavishnu"), &checked_);
  }
  uint64_t ConflateKey(const Event& event) {
    EXPECT_OK(Check(event));
    return checked_.conflate_key;
  }

  void SetUp() override { Use(""); }

  std::shared_ptr<const ServiceTable> table_;
  CheckedEvent checked_;
};

TEST_F(EventCheckTest, DataThatIsAbsentIsAnEmptyObject) {
  EXPECT_OK(Check(MakeEvent("")));
  EXPECT_EQ(checked_.data, "{}");
  EXPECT_THAT(checked_.mirrors, IsEmpty());
  EXPECT_THAT(checked_.warnings, IsEmpty());
  EXPECT_NE(checked_.conflate_key, 0u);
}

TEST_F(EventCheckTest, DataStaysAsThePublisherWroteIt) {
  const std::string json = "{ \"b\" : 1.0,\"a\":\"\\u00e4\" }";
  EXPECT_OK(Check(MakeEvent(json)));
  EXPECT_EQ(checked_.data.data(), json.data());
  EXPECT_EQ(checked_.data, json);
}

TEST_F(EventCheckTest, RefusesWhatIsNoConcreteChannel) {
  for (const std::string& channel :
       {std::string(), std::string("workflow:*"), std::string("**"), std::string(" a"),
        std::string("a "), std::string(":a"), std::string("a\nb"), std::string("\xff"),
        std::string(257, 'a')}) {
    Event event = MakeEvent();
    event.channel = channel;
    EXPECT_THAT(Check(event), StatusIs(kInvalid, StartsWith("channel"))) << channel;
  }
}

TEST_F(EventCheckTest, TheConfiguredLengthOfChannelsHolds) {
  Use("", "limits: {max_channel_bytes: 10}\n");
  Event event = MakeEvent();
  event.channel = "0123456789";
  EXPECT_OK(Check(event));
  event.channel = "0123456789a";
  EXPECT_THAT(Check(event), StatusIs(kInvalid, HasSubstr("10")));
}

TEST_F(EventCheckTest, AnEventsNameIsOneTo128BytesOfCleanText) {
  Event event = MakeEvent();
  const std::string longest(kMaxEventNameBytes, 'e'), longer(kMaxEventNameBytes + 1, 'e');
  event.event = longest;
  EXPECT_OK(Check(event));
  event.event = longer;
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "event: 129 bytes, at most 128 allowed"));
  event.event = "";
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "event: empty"));
  event.event = "a\tb";
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "event: control character at byte 1"));
  event.event = "a\x7f";
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "event: control character at byte 1"));
  event.event = "a\xff";
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "event: not UTF-8"));
}

TEST_F(EventCheckTest, ANameIsCheckedAlsoIfAnAlikeOneWasAcceptedBefore) {
  Event event = MakeEvent();
  const auto check = [&](absl::string_view name) {
    event.event = name;
    return Check(event);
  };
  for (int i = 0; i < 2; ++i) {
    for (const char* good : {"server.draining2", "a.b", "a.bc", "a", "a.b"}) {
      EXPECT_OK(check(good)) << good;
      EXPECT_OK(check(good)) << good;
      for (const char* bad : {"", "server.draining", "a.\x01", "a.\xff", "a.*", "a.b*"}) {
        EXPECT_THAT(check(bad), StatusIs(kInvalid, StartsWith("event: "))) << bad;
      }
    }
  }
  std::thread([&] { EXPECT_THAT(check(""), StatusIs(kInvalid, "event: empty")); }).join();
}

TEST_F(EventCheckTest, NobodyPublishesWhatOnlyTheServerSays) {
  for (const char* name : {"channel.skipped", "channel.unsubscribed", "server.draining",
                           "token.expiring", "presence.joined", "presence.left"}) {
    Event event = MakeEvent();
    event.event = name;
    EXPECT_THAT(Check(event),
                StatusIs(kInvalid, absl::StrCat("event: \"", name,
                                                "\" is reserved: only Fanwire itself sends it")));
  }
  Event event = MakeEvent();
  event.event = "session.created";
  EXPECT_OK(Check(event));
}

TEST_F(EventCheckTest, AWildcardIsNoEventsName) {
  Event event = MakeEvent();
  for (const char* name : {"*", "workflow.*", "a*b"}) {
    event.event = name;
    EXPECT_THAT(Check(event), StatusIs(kInvalid, HasSubstr("'*'"))) << name;
  }
}

TEST_F(EventCheckTest, IdsAndKeysAndExcludedConnectionsAreBounded) {
  const std::string longest(256, 'x'), longer(257, 'x');
  Event event = MakeEvent();
  event.id = event.idempotency_key = event.exclude_connection = longest;
  EXPECT_OK(Check(event));
  event.id = longer;
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "id: 257 bytes, at most 256 allowed"));
  event.id = "a\n";
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "id: control character at byte 1"));
  event.id = "";
  event.idempotency_key = longer;
  EXPECT_THAT(Check(event), StatusIs(kInvalid, "idempotency_key: 257 bytes, at most 256 allowed"));
  event.idempotency_key = "";
  event.exclude_connection = longer;
  EXPECT_THAT(Check(event),
              StatusIs(kInvalid, "exclude_connection: 257 bytes, at most 256 allowed"));
}

TEST_F(EventCheckTest, ATimeToLiveIsPositive) {
  Event event = MakeEvent();
  for (const absl::Duration ttl : {absl::ZeroDuration(), -absl::Seconds(1)}) {
    event.ttl = ttl;
    EXPECT_THAT(Check(event), StatusIs(kInvalid, "ttl: not positive"));
  }
  event.ttl = absl::Nanoseconds(1);
  EXPECT_OK(Check(event));
}

TEST_F(EventCheckTest, DataMayHaveAsManyBytesAsTheServiceAllows) {
  Use("  max_event_bytes: 20\n");
  EXPECT_OK(Check(MakeEvent(R"({"a":"0123456789ab"})")));
  EXPECT_THAT(Check(MakeEvent(R"({"a":"0123456789abc"})")),
              StatusIs(kInvalid, "data: 21 bytes, at most 20 allowed"));
}

TEST_F(EventCheckTest, DataMustBeAJsonObject) {
  EXPECT_THAT(Check(MakeEvent("[]")), StatusIs(kInvalid, "data: not a JSON object"));
  EXPECT_THAT(Check(MakeEvent(R"({"a":NaN})")), StatusIs(kInvalid, StartsWith("data: ")));
  EXPECT_THAT(
      Check(MakeEvent("{\"a\":" + std::string(50'000, '[') + "1" + std::string(10'000, ']') + "}")),
      StatusIs(kInvalid, StartsWith("data: ")));
}

// ------------------------------------------------------------------------------- catalog

constexpr char kEvents[] =
    "  events: [{name: workflow.started, channels: ['workflow:{id}'], data: {id: s}}]\n";

TEST_F(EventCheckTest, ACatalogThatEnforcesRefuses) {
  Use(absl::StrCat("  catalog_check: enforce\n", kEvents));
  EXPECT_OK(Check(MakeEvent(R"({"id":"1"})")));
  EXPECT_THAT(Check(MakeEvent()),
              StatusIs(kInvalid, HasSubstr("data.id: expected a text, found nothing")));
  Event event = MakeEvent(R"({"id":1})");
  event.channel = "pool:1";
  EXPECT_THAT(
      Check(event),
      StatusIs(kInvalid, AllOf(HasSubstr("not on \"pool:1\""),
                               HasSubstr("data.id: expected a text, found a whole number"))));
}

TEST_F(EventCheckTest, ACatalogThatWarnsLetsPassAndOneThatIsOffSaysNothing) {
  Use(absl::StrCat("  catalog_check: warn\n", kEvents));
  EXPECT_OK(Check(MakeEvent()));
  EXPECT_THAT(checked_.warnings, ElementsAre(HasSubstr("data.id: expected a text, found nothing")));
  EXPECT_OK(Check(MakeEvent(R"({"id":"1"})")));
  EXPECT_THAT(checked_.warnings, IsEmpty());
  Use(kEvents);
  EXPECT_OK(Check(MakeEvent()));
  EXPECT_THAT(checked_.warnings, IsEmpty());
}

// ------------------------------------------------------------------------------- mirrors

TEST_F(EventCheckTest, MirrorsFollowTheEventsNameAndItsFields) {
  Use(R"(  mirrors:
  - {events: ["workflow.*"], to: global}
  - {events: [workflow.started, task.done], if_field: worker_id, to: "worker:{worker_id}"}
  - {events: [other], to: other}
)");
  EXPECT_OK(Check(MakeEvent(R"({"worker_id":"w1"})")));
  EXPECT_THAT(checked_.mirrors, ElementsAre("global", "worker:w1"));
  EXPECT_OK(Check(MakeEvent(R"({"worker_id":17})")));
  EXPECT_THAT(checked_.mirrors, ElementsAre("global", "worker:17"));
  for (const char* json :
       {"{}", R"({"worker_id":null})", R"({"worker_id":1.5})", R"({"worker_id":{"a":1}})"}) {
    EXPECT_OK(Check(MakeEvent(json)));
    EXPECT_THAT(checked_.mirrors, ElementsAre("global")) << json;
  }
}

TEST_F(EventCheckTest, AnIdThatBringsItsKindDoesNotGetItTwice) {
  Use(R"(  mirrors:
  - {events: ["*"], to: "worker:{worker_id}"}
  - {events: ["*"], to: "worker:{pool_id}:{worker_id}"}
  - {events: ["*"], to: "all-{worker_id}"}
)");
  EXPECT_OK(Check(MakeEvent(R"({"worker_id":"worker:w1","pool_id":"pool:a"})")));
  EXPECT_THAT(checked_.mirrors,
              ElementsAre("worker:w1", "worker:pool:a:worker:w1", "all-worker:w1"));
}

TEST_F(EventCheckTest, AFieldThatMakesNoChannelMakesNoMirror) {
  Use("  mirrors: [{events: [workflow.started], to: \"worker:{worker_id}\"}]\n");
  for (const std::string& value :
       {std::string(" "), std::string("*"), std::string("a\\u0001"), std::string(300, 'x')}) {
    EXPECT_OK(Check(MakeEvent(absl::StrCat(R"({"worker_id":")", value, "\"}"))));
    EXPECT_THAT(checked_.mirrors, IsEmpty()) << value;
  }
}

TEST_F(EventCheckTest, NoChannelGetsTwoCopiesAndTheOriginGetsNone) {
  Use(R"(  mirrors:
  - {events: ["*"], to: "workflow:1"}
  - {events: ["*"], to: global}
  - {events: [workflow.started], to: "{where}"}
)");
  EXPECT_OK(Check(MakeEvent(R"({"where":"global"})")));
  EXPECT_THAT(checked_.mirrors, ElementsAre("global"));
}

TEST_F(EventCheckTest, AnEventHasAtMostFifteenMirrors) {
  std::string rules = "  mirrors:\n";
  for (int i = 0; i < 20; ++i) absl::StrAppend(&rules, "  - {events: [\"*\"], to: m", i, "}\n");
  Use(rules);
  EXPECT_OK(Check(MakeEvent()));
  EXPECT_THAT(checked_.mirrors, SizeIs(kMaxMirrors));
}

// ------------------------------------------------------------------------------- conflating

TEST_F(EventCheckTest, EventsOfOneNameConflateWithoutAField) {
  EXPECT_EQ(ConflateKey(MakeEvent(R"({"id":1})")), ConflateKey(MakeEvent(R"({"id":2})")));
  Event other = MakeEvent();
  other.event = "workflow.ended";
  EXPECT_NE(ConflateKey(MakeEvent()), ConflateKey(other));
}

TEST_F(EventCheckTest, AFieldOfTheChannelsRuleTellsConflatingEventsApart) {
  Use("  channels: [{pattern: \"workflow:*\", conflate_field: id}]\n");
  EXPECT_EQ(ConflateKey(MakeEvent(R"({"id":1,"x":1})")),
            ConflateKey(MakeEvent(R"({"x":2, "id": 1})")));
  EXPECT_NE(ConflateKey(MakeEvent(R"({"id":1})")), ConflateKey(MakeEvent(R"({"id":2})")));
  EXPECT_NE(ConflateKey(MakeEvent(R"({"id":1})")), ConflateKey(MakeEvent(R"({"id":"1"})")));
  EXPECT_EQ(ConflateKey(MakeEvent()), ConflateKey(MakeEvent(R"({"x":1})")));
  Event elsewhere = MakeEvent(R"({"id":1})"), elsewhere_too = MakeEvent(R"({"id":2})");
  elsewhere.channel = elsewhere_too.channel = "pool:1";
  EXPECT_EQ(ConflateKey(elsewhere), ConflateKey(elsewhere_too));
}

}  // namespace
}  // namespace fanwire::control
