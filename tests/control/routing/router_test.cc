// Publishing: what is refused, positions, mirrors, idempotency, receipts, observers.
// What workers get of it is subscriptions_test.cc; many threads at once, router_threads_test.cc.
#include "control/routing/router.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/events/fingerprint.h"
#include "control/routing/channel_info.h"
#include "control/routing/delivery_report.h"
#include "proto/policies.h"
#include "proto/wire/wire_writer.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kMirrors[] =
    "  mirrors: [{events: ['*'], to: global}, {events: ['*'], to: 'worker:{worker}'}]\n";

class RouterTest : public RouterFixture, public ::testing::WithParamInterface<EngineKind> {
 protected:
  RouterTest() : RouterFixture(GetParam()) {}

  std::vector<Json> History(const std::string& channel) {
    const auto slice = ReadHistory({.service = "s", .channel = channel});
    EXPECT_OK(slice);
    std::vector<Json> envelopes;
    if (slice.ok()) {
      for (const PublicationPtr& publication : slice->publications) {
        envelopes.push_back(
            Json::parse(publication->envelope().begin(), publication->envelope().end()));
      }
    }
    return envelopes;
  }
  // One by one, so that each WRITTEN receipt can be awaited.
  void Begin(const Event& event, FakeReceiptSink* sink, uint64_t tag = 0,
             ReceiptLevel level = ReceiptLevel::kWritten,
             absl::Duration wait = absl::ZeroDuration()) {
    const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
    run->Publish(event, {.level = level, .wait = wait}, sink, tag);
    Settle();
  }
  void Report(const FakeWorker& worker, uint64_t tracking_id, int64_t written, bool final = true) {
    DeliveryReport report;
    report.tracking_id = tracking_id;
    report.counts.matched = report.counts.written = written;
    report.first_written_us = 5;
    report.last_written_us = 9;
    report.final = final;
    routing_->receipts.OnReport(worker.link->id(), report);
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, RouterTest, AllEngines(), EngineName);

// What holds only if the engine keeps a publication at once.
using RouterAtOnceTest = RouterFixture;

// ------------------------------------------------------------------------------- positions

TEST_P(RouterTest, PositionsCountFromOneInEachChannelUnderItsEpoch) {
  const FakeReceiptSink::Receipt first = Publish(MakeEvent("x"));
  ASSERT_OK(first.outcome.status);
  EXPECT_EQ(first.outcome.position.offset, 1);
  EXPECT_EQ(first.outcome.position.epoch.ToText(), EpochOf("x"));
  EXPECT_EQ(first.outcome.level, ReceiptLevel::kAccepted);
  EXPECT_FALSE(first.outcome.duplicate);
  EXPECT_GT(first.outcome.stages.accepted, 0);
  EXPECT_EQ(first.outcome.stages.routed, 0);
  EXPECT_THAT(first.id, MatchesRegex("[0-9a-f-]{36}"));
  EXPECT_EQ(Publish(MakeEvent("x")).outcome.position.offset, 2);
  const FakeReceiptSink::Receipt other = Publish(MakeEvent("y"));
  EXPECT_EQ(other.outcome.position.offset, 1);
  EXPECT_NE(other.outcome.position.epoch, first.outcome.position.epoch);
  EXPECT_EQ(routing_->queries->Counts("s").accepted, 3);
  EXPECT_EQ(routing_->queries->Counts("s").channels, 2);
}

TEST_P(RouterTest, TheEnvelopeIsWhatThePublisherSaid) {
  Event event = MakeEvent("x", R"({"n" : 1})");
  event.id = "my-id";
  event.occurred_at = absl::FromUnixMicros(1'700'000'000'123'456);
  EXPECT_EQ(Publish(event).id, "my-id");
  const std::vector<Json> history = History("x");
  ASSERT_THAT(history, SizeIs(1));
  EXPECT_EQ(history[0]["id"], "my-id");
  EXPECT_EQ(history[0]["event"], "thing.happened");
  EXPECT_EQ(history[0]["room"], "x");
  EXPECT_EQ(history[0]["data"], Json({{"n", 1}}));
  EXPECT_EQ(history[0]["timestamp"], "2023-11-14T22:13:20.123456+00:00");
  EXPECT_EQ(history[0]["offset"], 1);
  EXPECT_EQ(history[0]["epoch"], EpochOf("x"));
}

TEST_P(RouterTest, WhatWorkersGetCarriesWhatTheyNeed) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Event event = MakeEvent("x");
  event.exclude_connection = "conn-7";
  event.ttl = absl::Milliseconds(2500);
  Publish(event);
  Publish("x");
  const std::vector<v1::Deliver> deliveries = worker->TakeDeliveries();
  ASSERT_THAT(deliveries, SizeIs(2));
  EXPECT_EQ(deliveries[0].exclude_connection(), "conn-7");
  EXPECT_EQ(deliveries[0].ttl_ms(), 2500);
  EXPECT_NE(deliveries[0].conflate_key(), 0u);
  EXPECT_EQ(deliveries[0].publication_id(), 0u);
  EXPECT_EQ(deliveries[0].received_us(), absl::ToUnixMicros(clock_.WallNow()));
  // The object may be used again: nothing stays from the one before.
  EXPECT_EQ(deliveries[1].exclude_connection(), "");
  EXPECT_EQ(deliveries[1].ttl_ms(), 0);
}

TEST_P(RouterTest, AnEventWithoutHistoryIsFannedOutWithoutAPosition) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Event cursor = MakeEvent("x");
  cursor.skip_history = true;
  const FakeReceiptSink::Receipt receipt = Publish(cursor);
  ASSERT_OK(receipt.outcome.status);
  EXPECT_EQ(receipt.outcome.position, Position());
  EXPECT_THAT(History("x"), IsEmpty());
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x~thing.happened", "x#1"));
}

TEST_P(RouterTest, ANoticeReachesTheWorkersThatWantTheChannelAndNobodyElse) {
  const auto worker = MakeWorker();
  const auto other = MakeWorker();
  Want(*worker, "x");
  Publish("x");
  worker->TakeDeliveries();
  routing_->router->PublishNotice({.service = "s",
                                   .channel = "x",
                                   .event = "presence.joined",
                                   .data = R"({"channel":"x"})",
                                   .exclude_connection = "c1",
                                   .conflate_key = 7});
  routing_->router->PublishNotice(
      {.service = "s", .channel = "unknown", .event = "e", .data = "{}", .exclude_connection = ""});
  routing_->router->PublishNotice(
      {.service = "none", .channel = "x", .event = "e", .data = "{}", .exclude_connection = ""});
  const std::vector<v1::Deliver> deliveries = worker->TakeDeliveries();
  ASSERT_THAT(deliveries, SizeIs(1));
  EXPECT_EQ(deliveries[0].offset(), 0);
  EXPECT_NE(deliveries[0].event(), 0u);  // filters hold for it
  EXPECT_EQ(deliveries[0].exclude_connection(), "c1");
  EXPECT_EQ(deliveries[0].conflate_key(), 7u);
  const Json envelope = Json::parse(deliveries[0].envelope());
  EXPECT_EQ(envelope["event"], "presence.joined");
  EXPECT_EQ(envelope["room"], "x");
  EXPECT_EQ(envelope["data"], Json({{"channel", "x"}}));
  EXPECT_FALSE(envelope.contains("offset"));
  EXPECT_THAT(other->TakeDeliveries(), IsEmpty());
  EXPECT_THAT(History("x"), SizeIs(1));
  EXPECT_EQ(Publish(MakeEvent("x")).outcome.position.offset, 2);
  EXPECT_EQ(routing_->queries->Counts("s").accepted, 2);
}

TEST_F(RouterAtOnceTest, ARunOfManyPublicationsReachesTheWorkersWhileItLasts) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
  FakeReceiptSink sink;
  for (int i = 0; i < 32; ++i) run->Publish(MakeEvent("x"), {}, &sink, 0);
  EXPECT_TRUE(worker->writing());
  worker->Drain();
  EXPECT_EQ(worker->delivered(), 32);
  run->Publish(MakeEvent("x"), {}, &sink, 0);
  EXPECT_FALSE(worker->writing());
  run->Flush();
  EXPECT_TRUE(worker->writing());
}

TEST_F(RouterAtOnceTest,
       APublicationOfARunIsReceivedWhenTheLastWasAnsweredOrWhenSomethingElseWasDone) {
  const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
  FakeReceiptSink sink;
  const auto accepted_us = [&] {
    run->Publish(MakeEvent("x"), {}, &sink, 0);
    return sink.last().outcome.stages.accepted;
  };
  EXPECT_EQ(accepted_us(), 1);  // nothing takes less
  clock_.Advance(absl::Milliseconds(5));
  EXPECT_EQ(accepted_us(), 5000);
  clock_.Advance(absl::Milliseconds(5));
  run->CountDuplicate(MakeEvent("x"));
  EXPECT_EQ(accepted_us(), 1);
  clock_.Advance(absl::Milliseconds(5));
  FakeReceiptSink refusals;
  run->Refuse(MakeEvent("x"), absl::InvalidArgumentError("bad"), &refusals, 0);
  EXPECT_EQ(accepted_us(), 1);
}

// ------------------------------------------------------------------------------- refusals

TEST_P(RouterTest, ARefusedEventLeavesNothingBehind) {
  const auto worker = MakeWorker();
  WantPattern(*worker, "**");
  Event event = MakeEvent("x", "[]");
  event.id = "mine";
  event.idempotency_key = "key";
  const FakeReceiptSink::Receipt receipt = Publish(event, ReceiptLevel::kWritten);
  EXPECT_THAT(receipt.outcome.status,
              StatusIs(absl::StatusCode::kInvalidArgument, "data: not a JSON object"));
  EXPECT_EQ(receipt.id, "mine");
  EXPECT_THAT(worker->Take(), IsEmpty());
  EXPECT_FALSE(routing_->queries->GetChannel("s", "x").ok());
  EXPECT_EQ(routing_->queries->Counts("s").refused.total(), 1);
  EXPECT_EQ(routing_->queries->Counts("s").accepted, 0);
  // The key is free for the corrected one.
  event.json = "{}";
  EXPECT_FALSE(Publish(event).outcome.duplicate);
}

TEST_P(RouterTest, AnUnknownServiceIsRefusedByName) {
  Event event = MakeEvent("x");
  event.service = "none";
  EXPECT_THAT(Publish(event).outcome.status,
              StatusIs(absl::StatusCode::kNotFound, "service \"none\" is not configured"));
}

TEST_P(RouterTest, UnknownServicesAreLoggedOnceAMinuteWithTheirNamesCut) {
  Event event = MakeEvent("x", R"({"secret":"payload"})");
  const std::string longest(100, 'n');
  const std::string name = longest + "rest";
  event.service = name;
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Publish(event).outcome.status.ok());
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_THAT(log, StartsWith("W "));
  EXPECT_THAT(
      log, EndsWith(absl::StrCat(" publish.unknown_service service=", longest, " left_out=0\n")));
}

TEST_P(RouterTest, AnEnvelopeOverOneMebibyteIsRefused) {
  Use("  max_event_bytes: 1000000\n");
  // Data within its limit, but an id and a channel that take six bytes for each of theirs cannot
  // be: those are bounded, so that a mebibyte is never reached; the largest of all still fits.
  Event event = MakeEvent("x");
  const std::string data = absl::StrCat(R"({"x":")", std::string(1'000'000 - 8, 'x'), "\"}");
  ASSERT_EQ(data.size(), 1'000'000u);
  const std::string id(256, '"'), name(128, '"'), channel(256, '"');
  event.json = data;
  event.id = id;
  event.event = name;
  event.channel = channel;
  EXPECT_OK(Publish(event).outcome.status);
  const std::string more = data + " ";
  event.json = more;
  EXPECT_THAT(
      Publish(event).outcome.status,
      StatusIs(absl::StatusCode::kInvalidArgument, "data: 1000001 bytes, at most 1000000 allowed"));
}

TEST_P(RouterTest, WithThousandsOfChannelsEachHasItsOwnSeries) {
  // So many that their states are asked for ahead; new ones come between old ones.
  constexpr int kChannels = 2500;
  Use(kMirrors);
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < kChannels + 10 * round; ++i) {
      const FakeReceiptSink::Receipt receipt = Publish(MakeEvent(absl::StrCat("c", i)));
      ASSERT_OK(receipt.outcome.status);
      const int first_round = i < kChannels + 10 ? 1 : 1 + (i - kChannels) / 10;
      ASSERT_EQ(receipt.outcome.position.offset, round - first_round + 1) << i;
    }
  }
  const FakeReceiptSink::Receipt bad = Publish(MakeEvent("c1", "no JSON"));
  EXPECT_THAT(bad.outcome.status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("data")));
  EXPECT_EQ(Publish(MakeEvent("c1")).outcome.position.offset, 4);
  EXPECT_EQ(routing_->queries->Counts("s").channels, kChannels + 30 + 1);  // with global
}

TEST_P(RouterTest, AServicesChannelsAreLimitedAndNoEventIsHalfPublished) {
  Use(absl::StrCat("  max_channels: 2\n", kMirrors));
  EXPECT_OK(Publish(MakeEvent("x")).outcome.status);  // with global, that is both
  const FakeReceiptSink::Receipt receipt = Publish(MakeEvent("x", R"({"worker":"w"})"));
  EXPECT_THAT(receipt.outcome.status, StatusIs(absl::StatusCode::kResourceExhausted,
                                               HasSubstr("as many channels as it may: 2")));
  EXPECT_EQ(Publish(MakeEvent("x")).outcome.position.offset, 2);
  EXPECT_THAT(History("global"), SizeIs(2));
}

TEST_P(RouterTest, AStoppingRouterRefusesEverythingThatIsNew) {
  routing_->router->StopPublishing();
  EXPECT_THAT(Publish(MakeEvent("x")).outcome.status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
  EXPECT_THAT(routing_->router->Validate(MakeEvent("x")),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
}

TEST_P(RouterTest, ValidateSaysWhereAnEventWouldGoAndPublishesNothing) {
  Use(absl::StrCat("  catalog_check: warn\n", kMirrors));
  const auto validation = routing_->router->Validate(MakeEvent("x", R"({"worker":"w"})"));
  ASSERT_OK(validation);
  EXPECT_THAT(validation->channels, ElementsAre("x", "global", "worker:w"));
  EXPECT_THAT(validation->warnings, ElementsAre(HasSubstr("not in the catalog")));
  EXPECT_THAT(routing_->router->Validate(MakeEvent("a:*")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("channel")));
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
}

TEST_P(RouterTest, CatalogWarningsAreCountedAndToldOnceWithoutTheData) {
  Use("  catalog_check: warn\n");
  testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) {
    EXPECT_OK(Publish(MakeEvent("x", R"({"secret":"payload"})")).outcome.status);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(routing_->queries->Counts("s").catalog_warnings, 3);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_THAT(log, HasSubstr(" catalog.fault service=s event="));
  EXPECT_THAT(log, HasSubstr("not in the catalog"));
  EXPECT_THAT(log, Not(HasSubstr("payload")));
}

TEST_P(RouterTest, WhatWasAcceptedIsTimed) {
  Publish("x");
  Publish("x");
  EXPECT_FALSE(Publish(MakeEvent("a:*")).outcome.status.ok());
  const std::vector<uint64_t> counts = routing_->queries->Counts("s").seconds.counts;
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), uint64_t{0}), 2u);
}

// ------------------------------------------------------------------------------- typed events

// A TeamError of mahavishnu's catalog, as a publisher hands it in.
struct TypedError {
  explicit TypedError(const std::string& user) {
    AppendWireBytes(1, "t1", &bytes);
    AppendWireBytes(2, "E", &bytes);
    AppendWireBytes(3, "m", &bytes);
    if (!user.empty()) {
      bytes += "\x82\x01";  // field 16
      bytes += std::string(1, static_cast<char>(user.size())) + user;
    }
    event.service = "s";
    event.typed_url = "type.googleapis.com/fanwire.catalog.v1.mahavishnu.TeamError";
    event.typed_bytes = bytes;
    event.typed_hash = MessageFingerprint(bytes);
    event.typed_message = true;
  }

  std::string bytes;
  Event event;
};

TEST_P(RouterTest, ATypedEventGoesToItsMessagesChannels) {
  Use("  catalog: mahavishnu\n  catalog_check: enforce\n"
      "  mirrors: [{events: ['team.*'], to: all}]\n");
  const TypedError typed("ana");
  const auto validation = routing_->router->Validate(typed.event);
  ASSERT_OK(validation);
  EXPECT_THAT(validation->channels, ElementsAre("goal-teams", "goal-teams:ana", "all"));
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
  const auto receipt = Publish(typed.event);
  EXPECT_OK(receipt.outcome.status);
  EXPECT_EQ(receipt.outcome.position.offset, 1);
  for (const char* channel : {"goal-teams", "goal-teams:ana", "all"}) {
    ASSERT_THAT(History(channel), SizeIs(1)) << channel;
    const Json envelope = History(channel)[0];
    EXPECT_EQ(envelope["event"], "team.error");
    EXPECT_EQ(envelope["data"]["team_id"], "t1");
    EXPECT_EQ(envelope["data"]["message"], "m");
    EXPECT_FALSE(envelope["data"].contains("user_id"));
    EXPECT_EQ(envelope["data"]["timestamp"], envelope["timestamp"]);
  }
  EXPECT_OK(Publish(TypedError("").event).outcome.status);
  EXPECT_THAT(History("goal-teams"), SizeIs(2));
  EXPECT_THAT(History("goal-teams:ana"), SizeIs(1));
}

TEST_P(RouterTest, KeysOfAnObjectAreRepeatedInTypedEventsAloneAndTheCatalogTakesThem) {
  Use("  catalog: mahavishnu\n  catalog_check: enforce\n"
      "  repeat_keys: [{event: pool.status_changed, field: status}]\n");
  std::string bytes, status, entry, value;
  AppendWireBytes(3, "busy", &value);   // string_value
  AppendWireBytes(1, "state", &entry);  // key
  AppendWireBytes(2, value, &entry);    // value
  AppendWireBytes(1, entry, &status);   // fields
  AppendWireBytes(1, "p", &bytes);      // pool_id
  AppendWireBytes(2, status, &bytes);   // status
  Event event;
  event.service = "s";
  event.typed_url = "type.googleapis.com/fanwire.catalog.v1.mahavishnu.PoolStatusChanged";
  event.typed_bytes = bytes;
  event.typed_hash = MessageFingerprint(bytes);
  event.typed_message = true;
  EXPECT_OK(Publish(event).outcome.status);
  Event untyped;
  untyped.service = "s";
  untyped.channel = "pool:p";
  untyped.event = "pool.status_changed";
  untyped.json = R"({"pool_id":"p","status":{"state":"idle"},"timestamp":"t"})";
  EXPECT_OK(Publish(untyped).outcome.status);
  ASSERT_THAT(History("pool:p"), SizeIs(2));
  const Json typed_data = History("pool:p")[0]["data"];
  EXPECT_EQ(typed_data["state"], "busy");
  EXPECT_EQ(typed_data["status"], (Json{{"state", "busy"}}));
  EXPECT_FALSE(History("pool:p")[1]["data"].contains("state"));
}

TEST_P(RouterTest, ATypedRetryIsADuplicateThoughItsTimestampWasFilledIn) {
  Use("  catalog: mahavishnu\n");
  TypedError typed("");
  typed.event.idempotency_key = "k";
  EXPECT_FALSE(Publish(typed.event).outcome.duplicate);
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Publish(typed.event).outcome.duplicate);
  TypedError other("ana");
  other.event.idempotency_key = "k";
  EXPECT_EQ(Publish(other.event).outcome.status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(History("goal-teams"), SizeIs(1));
}

TEST_P(RouterTest, ATypedEventThatCannotBeMadeIsRefusedAndCounted) {
  const TypedError typed("ana");  // the service has no catalog
  EXPECT_THAT(Publish(typed.event).outcome.status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no message")));
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
  TypedError elsewhere("ana");
  elsewhere.event.service = "none";
  EXPECT_EQ(Publish(elsewhere.event).outcome.status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(routing_->router->Validate(elsewhere.event),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

// ------------------------------------------------------------------------------- mirrors

TEST_P(RouterTest, AMirrorCopyIsAPublicationOfItsOwnWithTheSameIdAndData) {
  Use(kMirrors);
  Publish("y");  // global is one ahead of x
  const auto worker = MakeWorker();
  WantPattern(*worker, "**");
  Event event = MakeEvent("x", R"({"worker":"w","n":1})");
  event.id = "same";
  const FakeReceiptSink::Receipt receipt = Publish(event, ReceiptLevel::kRouted);
  EXPECT_EQ(receipt.outcome.position.offset, 1);
  EXPECT_EQ(receipt.outcome.position.epoch.ToText(), EpochOf("x"));
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "def global@1", "global#2",
                                          "def worker:w@0", "worker:w#1"));
  const Json origin = History("x")[0], copy = History("global")[1], third = History("worker:w")[0];
  for (const Json& mirror : {copy, third}) {
    EXPECT_EQ(mirror["id"], "same");
    EXPECT_EQ(mirror["data"], origin["data"]);
    EXPECT_EQ(mirror["timestamp"], origin["timestamp"]);
    EXPECT_NE(mirror["epoch"], origin["epoch"]);
  }
  EXPECT_EQ(copy["room"], "global");
  EXPECT_EQ(copy["offset"], 2);
  EXPECT_EQ(third["room"], "worker:w");
  EXPECT_EQ(routing_->queries->Counts("s").accepted, 2);
  EXPECT_EQ(routing_->queries->Counts("s").mirrored, 3);
  // Of mirrored events every number is the sum over the copies.
  EXPECT_EQ(receipt.outcome.delivery.workers_total, 3);
}

TEST_P(RouterTest, AMirrorIsNotMirroredAgain) {
  Use("  mirrors: [{events: ['*'], to: b}, {events: ['*'], to: c}]\n");
  Publish(MakeEvent("a"));
  EXPECT_THAT(History("b"), SizeIs(1));
  EXPECT_THAT(History("c"), SizeIs(1));
  Publish(MakeEvent("b"));
  EXPECT_THAT(History("b"), SizeIs(2));
  EXPECT_THAT(History("c"), SizeIs(2));
}

TEST_P(RouterTest, AMirrorOfAnEventWithoutHistoryHasNoneEither) {
  Use(kMirrors);
  Event event = MakeEvent("x");
  event.skip_history = true;
  Publish(event);
  EXPECT_THAT(History("global"), IsEmpty());
}

// ------------------------------------------------------------------------------- idempotency

TEST_P(RouterTest, ASecondEventOfAKeyIsNotPublishedAndGetsTheFirstOnesReceipt) {
  Event event = MakeEvent("x");
  event.idempotency_key = "key";
  const FakeReceiptSink::Receipt first = Publish(event);
  event.id = "other";
  const FakeReceiptSink::Receipt second = Publish(event);
  EXPECT_TRUE(second.outcome.duplicate);
  EXPECT_EQ(second.id, first.id);
  EXPECT_EQ(second.outcome.position, first.outcome.position);
  EXPECT_EQ(routing_->queries->Counts("s").accepted, 1);
  EXPECT_EQ(routing_->queries->Counts("s").duplicates, 1);
  Pass(absl::Minutes(10));
  EXPECT_FALSE(Publish(event).outcome.duplicate);
}

TEST_P(RouterTest, AKeyOfAnotherEventIsRefusedAndHarmsNeitherTheKeyNorTheFirst) {
  Event event = MakeEvent("x");
  event.idempotency_key = "key";
  const FakeReceiptSink::Receipt first = Publish(event);
  Event other = event;
  other.channel = "y";
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(
        Publish(other).outcome.status,
        StatusIs(
            absl::StatusCode::kAlreadyExists,
            "idempotency_key \"key\" belongs to another event, on channel \"x\"; use a new key "
            "for each event"));
  }
  EXPECT_EQ(Publish(event).id, first.id);
  EXPECT_EQ(routing_->queries->Counts("s").refused.of(RefusalReason::kConflict), 2);
  Pass(absl::Minutes(10));
  EXPECT_OK(Publish(other).outcome.status);
}

TEST_P(RouterTest, DuplicatesOfAnEventUnderWayGetItsReceiptWhenItIsThere) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Event event = MakeEvent("x");
  event.idempotency_key = "key";
  FakeReceiptSink sink;
  for (uint64_t tag = 1; tag <= 3; ++tag) Begin(event, &sink, tag);
  EXPECT_EQ(sink.count(), 0u);
  Report(*worker, worker->TakeDeliveries()[0].publication_id(), 4);
  ASSERT_EQ(sink.count(), 3u);
  for (const FakeReceiptSink::Receipt& receipt : sink.receipts()) {
    EXPECT_EQ(receipt.outcome.duplicate, receipt.tag != 1);
    EXPECT_EQ(receipt.outcome.delivery.written, 4);
    EXPECT_EQ(receipt.outcome.position.offset, 1);
    EXPECT_EQ(receipt.id, sink.receipts()[0].id);
  }
  EXPECT_THAT(History("x"), SizeIs(1));
}

// ------------------------------------------------------------------------------- receipts

TEST_P(RouterTest, RoutedCountsTheWorkersWithInterest) {
  const auto one = MakeWorker(), two = MakeWorker(), three = MakeWorker();
  Want(*one, "x");
  WantPattern(*two, "**");
  Want(*three, "y");
  const FakeReceiptSink::Receipt receipt = Publish(MakeEvent("x"), ReceiptLevel::kRouted);
  EXPECT_EQ(receipt.outcome.level, ReceiptLevel::kRouted);
  EXPECT_EQ(receipt.outcome.delivery.workers_total, 2);
  EXPECT_GT(receipt.outcome.stages.routed, 0);
  // ACCEPTED says nothing of deliveries.
  EXPECT_EQ(Publish(MakeEvent("x")).outcome.delivery.workers_total, 0);
}

TEST_P(RouterTest, WrittenWithoutInterestIsWrittenAtOnce) {
  const FakeReceiptSink::Receipt receipt = Publish(MakeEvent("x"), ReceiptLevel::kWritten);
  EXPECT_EQ(receipt.outcome.level, ReceiptLevel::kWritten);
  EXPECT_FALSE(receipt.outcome.timed_out);
  EXPECT_EQ(receipt.outcome.delivery.workers_total, 0);
}

TEST_P(RouterTest, WrittenComesWhenEveryWorkerHasReportedEveryCopy) {
  Use(kMirrors);
  const auto one = MakeWorker(), two = MakeWorker();
  Want(*one, "x");
  Want(*one, "global");
  Want(*two, "global");
  FakeReceiptSink sink;
  Begin(MakeEvent("x"), &sink);
  const std::vector<v1::Deliver> first = one->TakeDeliveries(), second = two->TakeDeliveries();
  ASSERT_THAT(first, SizeIs(2));
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_NE(first[0].publication_id(), first[1].publication_id());
  EXPECT_EQ(first[1].publication_id(), second[0].publication_id());
  Report(*one, first[0].publication_id(), 1);
  Report(*two, second[0].publication_id(), 10);
  EXPECT_EQ(sink.count(), 0u);
  Report(*one, first[1].publication_id(), 100);
  ASSERT_EQ(sink.count(), 1u);
  const PublishOutcome outcome = sink.last().outcome;
  EXPECT_EQ(outcome.level, ReceiptLevel::kWritten);
  EXPECT_EQ(outcome.delivery.written, 111);
  EXPECT_EQ(outcome.delivery.workers_total, 2);
  EXPECT_EQ(outcome.delivery.workers_reported, 2);
  EXPECT_GT(outcome.stages.first_written, outcome.stages.routed);
  EXPECT_GT(outcome.stages.last_written, outcome.stages.first_written);
}

TEST_P(RouterTest, WrittenThatTakesTooLongComesWithTheCountsSoFar) {
  const auto one = MakeWorker(), two = MakeWorker();
  Want(*one, "x");
  Want(*two, "x");
  FakeReceiptSink sink;
  Begin(MakeEvent("x"), &sink, 0, ReceiptLevel::kWritten, absl::Seconds(2));
  Report(*one, one->TakeDeliveries()[0].publication_id(), 3);
  Report(*two, two->TakeDeliveries()[0].publication_id(), 1, /*final=*/false);
  Pass(absl::Milliseconds(1999));
  EXPECT_EQ(sink.count(), 0u);
  Pass(absl::Milliseconds(1));
  ASSERT_EQ(sink.count(), 1u);
  const PublishOutcome outcome = sink.last().outcome;
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.level, ReceiptLevel::kRouted);
  EXPECT_EQ(outcome.delivery.written, 4);
  EXPECT_EQ(outcome.delivery.workers_total, 2);
  EXPECT_EQ(outcome.delivery.workers_reported, 1);
}

TEST_P(RouterTest, AWaitIsFiveSecondsUnlessSaidAndNeverLongerThanAllowed) {
  Use("", 1 << 20, {.max_receipt_wait = absl::Seconds(7)});
  const auto worker = MakeWorker();
  Want(*worker, "x");
  FakeReceiptSink unsaid, beyond;
  Begin(MakeEvent("x"), &unsaid);
  Begin(MakeEvent("x"), &beyond, 0, ReceiptLevel::kWritten, absl::Hours(1));
  Pass(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_EQ(unsaid.count(), 0u);
  Pass(absl::Nanoseconds(1));
  EXPECT_EQ(unsaid.count(), 1u);
  Pass(absl::Seconds(2));
  EXPECT_EQ(beyond.count(), 1u);
}

TEST_P(RouterTest, AWorkerThatGoesEndsTheWait) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  FakeReceiptSink sink;
  Begin(MakeEvent("x"), &sink);
  worker->link->Close(absl::UnavailableError("gone"));
  routing_->subscriptions->ClearInterest(worker->link);
  routing_->receipts.WorkerGone(worker->link->id());
  ASSERT_EQ(sink.count(), 1u);
  EXPECT_FALSE(sink.last().outcome.timed_out);
  EXPECT_EQ(sink.last().outcome.delivery.workers_total, 1);
  EXPECT_EQ(sink.last().outcome.delivery.workers_reported, 0);
  worker->Drain();
}

TEST_P(RouterTest, ALinkThatIsClosedIsNotWaitedFor) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  worker->link->Close(absl::UnavailableError("gone"));
  const FakeReceiptSink::Receipt receipt = Publish(MakeEvent("x"), ReceiptLevel::kWritten);
  EXPECT_FALSE(receipt.outcome.timed_out);
  EXPECT_EQ(receipt.outcome.delivery.workers_total, 0);
}

TEST_P(RouterTest, AnEventThatExpiresBeforeItLeavesIsNotWaitedFor) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Publish("x");  // in flight: the next one waits
  Event event = MakeEvent("x");
  event.ttl = absl::Seconds(1);
  FakeReceiptSink sink;
  Begin(event, &sink);
  Pass(absl::Seconds(1));
  EXPECT_EQ(sink.count(), 0u);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "gap x 2-2 expired"));
  ASSERT_EQ(sink.count(), 1u);
  EXPECT_FALSE(sink.last().outcome.timed_out);
  EXPECT_EQ(sink.last().outcome.delivery.workers_reported, 1);
  EXPECT_EQ(sink.last().outcome.delivery.matched, 0);
}

TEST_P(RouterTest, AnEventThatIsRepairedFromHistoryIsReportedAsWell) {
  const auto worker = MakeWorker({.max_queued_items = 4});
  Want(*worker, "x");
  Publish("x", 6);
  FakeReceiptSink sink;
  Begin(MakeEvent("x"), &sink);
  const std::vector<v1::Deliver> deliveries = worker->TakeDeliveries();
  ASSERT_THAT(deliveries, SizeIs(7));
  EXPECT_NE(deliveries[6].publication_id(), 0u);
  Report(*worker, deliveries[6].publication_id(), 2);
  ASSERT_EQ(sink.count(), 1u);
  EXPECT_EQ(sink.last().outcome.delivery.written, 2);
}

TEST_P(RouterTest, ARefusedEventIsWaitedForByNobody) {
  Use("  max_channels: 1\n");
  Publish("x");
  EXPECT_FALSE(Publish(MakeEvent("y"), ReceiptLevel::kWritten).outcome.status.ok());
  Pass(absl::Minutes(1));
}

// ------------------------------------------------------------------------------- observers

class PublicationWatcher final : public PublicationObserver {
 public:
  void OnPublication(const ObservedPublication& observed) override {
    seen.push_back(absl::StrCat(observed.service, "/", observed.channel, "#",
                                observed.publication->offset(), observed.mirror ? " mirror" : ""));
  }
  std::vector<std::string> seen;
};

TEST_P(RouterTest, ObserversSeeEveryCopyUntilTheyAreRemoved) {
  Use(kMirrors);
  PublicationWatcher watcher;
  routing_->router->AddObserver(&watcher);
  Publish(MakeEvent("x", R"({"worker":"w"})"));
  Publish(MakeEvent("x", "[]"));
  EXPECT_THAT(watcher.seen, ElementsAre("s/x#1", "s/global#1 mirror", "s/worker:w#1 mirror"));
  routing_->router->RemoveObserver(&watcher);
  Publish("x");
  EXPECT_THAT(watcher.seen, SizeIs(3));
}

// ------------------------------------------------------------------------------- eviction

TEST_P(RouterTest, AForgottenChannelBeginsAgainUnderAnotherEpoch) {
  const Position before = Publish("x", 3);
  clock_.Advance(absl::Hours(25));
  routing_->directory.Sweep();
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
  const Position after = Publish("x");
  EXPECT_EQ(after.offset, 1);
  EXPECT_NE(after.epoch, before.epoch);
  // A client that comes back with the old one is told.
  const auto worker = MakeWorker();
  Recover(*worker, 1, "x", before.epoch.ToText(), 1);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@1", "answer 1 x@1 epoch_changed"));
}

TEST_P(RouterTest, InterestKeepsAChannelsEpochHoweverLong) {
  const auto worker = MakeWorker();
  const Position before = Publish("x", 3);
  Want(*worker, "x");
  clock_.Advance(absl::Hours(100));
  routing_->directory.Sweep();
  EXPECT_EQ(Publish("x").epoch, before.epoch);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4"));
  // Its idle time begins when the interest ends.
  clock_.Advance(absl::Hours(100));
  Unwant(*worker, "x");
  routing_->directory.Sweep();
  EXPECT_EQ(routing_->queries->Counts("s").channels, 1);
  clock_.Advance(absl::Hours(24));
  routing_->directory.Sweep();
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
}

// For more receipts than a test wants to keep.
class IgnoringSink final : public ReceiptSink {
 public:
  void OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    EXPECT_OK(outcome.status);
  }
};

// 64 MiB, 50,000 channels and then a million new ones, as it was reported; where what is tested is
// not optimised, a quarter of it.
#ifdef NDEBUG
constexpr int kBudgetScale = 4;
#else
constexpr int kBudgetScale = 1;
#endif

TEST_P(RouterTest, OverTheBudgetTheOldestOfAllChannelsGoAndNotThoseOfTheBusyOne) {
  constexpr int64_t kBudget = int64_t{kBudgetScale} * (16 << 20);
  constexpr int kChannels = kBudgetScale * 12'500, kPerSecond = kBudgetScale * 3'750;
  constexpr int kBusyPerSecond = 100, kNewChannels = kBudgetScale * 250'000;
  Use("  max_channels: 2000000\n", kBudget);
  const std::string data = absl::StrCat(R"({"x":")", std::string(400, 'x'), "\"}");
  const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
  IgnoringSink sink;
  int64_t most = 0;
  const auto publish = [&](const std::string& channel) {
    run->Publish(MakeEvent(channel, data), {}, &sink, 0);
    Settle();
    most = std::max(most, engine_->history_bytes());
  };
  int next = 0;
  for (int i = 0; i < 10 * kPerSecond; ++i) {
    publish(absl::StrCat("c", next++ % kChannels));
    if (i % (kPerSecond / kBusyPerSecond) == 0) publish("busy");
    clock_.Advance(absl::Seconds(1) / kPerSecond);
  }
  EXPECT_LE(most, kBudget + kBudget / 10);
  EXPECT_GE(engine_->history_bytes(), kBudget - kBudget / 10);
  // What is kept reaches back as far everywhere: no sweep has helped.
  int64_t kept = 0;
  absl::Duration oldest = absl::InfiniteDuration();
  absl::Duration oldest_of_busy;
  routing_->directory.ForEach([&](const std::shared_ptr<ChannelState>& channel) {
    kept += channel->log->Describe(clock_.Now()).publications;
    oldest = std::min(oldest, channel->log->oldest_received_at());
    if (channel->name == "busy") oldest_of_busy = channel->log->oldest_received_at();
  });
  const absl::Duration span = clock_.Now() - oldest;
  EXPECT_LE(oldest_of_busy, oldest + span / 5);
  const int64_t busy = routing_->queries->GetChannel("s", "busy")->history.publications;
  EXPECT_GE(busy, kept * kBusyPerSecond / (kPerSecond + kBusyPerSecond) / 2);
  EXPECT_GE(busy, 100);

  for (int i = 0; i < kNewChannels; ++i) {
    publish(absl::StrCat("new", i));
    clock_.Advance(absl::Microseconds(10));
  }
  EXPECT_LE(most, kBudget + kBudget / 10);
  EXPECT_EQ(routing_->queries->GetChannel("s", absl::StrCat("new", kNewChannels - 1))
                ->history.publications,
            1);
  EXPECT_EQ(routing_->queries->GetChannel("s", "new0")->history.publications, 0);
  EXPECT_EQ(routing_->queries->GetChannel("s", "busy")->history.publications, 0);
  // Order is kept without a sweep, and with one.
  routing_->directory.Sweep();
  EXPECT_LE(engine_->history_bytes(), kBudget);
}

TEST_P(RouterTest, AFewLargeEventsDoNotOverrunABudgetOfManySmallOnes) {
  constexpr int64_t kBudget = 8 << 20;
  Use("  max_event_bytes: 1000000\n", kBudget);
  for (int i = 0; i < 12'000; ++i) Publish(MakeEvent(absl::StrCat("c", i % 3000)));
  const std::string large = absl::StrCat(R"({"x":")", std::string(900'000, 'x'), "\"}");
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Milliseconds(1));
    Publish(MakeEvent(absl::StrCat("large", i), large));
    EXPECT_LE(engine_->history_bytes(), kBudget + kBudget / 10) << i;
  }
}

TEST_P(RouterTest, TheWholeBudgetHoldsWithTheSweepAndTheNewestStay) {
  Use("  max_event_bytes: 1000000\n", /*max_history_bytes=*/100'000);
  const std::string data = absl::StrCat(R"({"x":")", std::string(900, 'x'), "\"}");
  for (int i = 0; i < 400; ++i) {
    Publish(MakeEvent(absl::StrCat("c", i % 100), data));
    clock_.Advance(absl::Milliseconds(1));
    if (i % 10 == 0) routing_->directory.Sweep();
    ASSERT_LE(engine_->history_bytes(), 115'000);
  }
  routing_->directory.Sweep();
  EXPECT_LE(engine_->history_bytes(), 100'000);
  EXPECT_THAT(History("c99"), SizeIs(1));
  EXPECT_THAT(History("c0"), IsEmpty());
  EXPECT_EQ(routing_->queries->GetChannel("s", "c0")->history.head.offset, 4);
}

TEST_P(RouterTest, AReloadsRulesHoldForTheNextPublication) {
  Publish("x", 5);
  routing_->directory.SetServices(Services("  channels: [{pattern: x, history_size: 1}]\n"));
  EXPECT_THAT(History("x"), SizeIs(5));
  Publish("x");
  EXPECT_THAT(History("x"), SizeIs(1));
}

}  // namespace
}  // namespace fanwire::control
