#include "control/routing/subscriptions.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/routing/interest_view.h"
#include "control/routing/state_source.h"
#include "proto/interest_hash.h"
#include "proto/policies.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::FieldsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class SubscriptionsTest : public RouterFixture, public ::testing::WithParamInterface<EngineKind> {
 protected:
  SubscriptionsTest() : RouterFixture(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Engines, SubscriptionsTest, AllEngines(), EngineName);

// When the engine answers at once: FetchingTest and SlowEngineTest have what differs.
using SubscriptionsAtOnceTest = RouterFixture;

// A link that takes `items` before it is full.
WorkerLink::Options Small(size_t items) { return {.max_queued_items = items}; }

// ------------------------------------------------------------------------------- states

// Notes what it is asked.
class NotingStates final : public StateSource {
 public:
  void AskState(const std::shared_ptr<WorkerLink>& link,
                const SubscribeRequest& subscribe) override {
    asked.push_back(absl::StrCat(link->id(), " ", subscribe.query_id, " ", subscribe.state_request,
                                 " ", subscribe.state_data));
  }

  std::vector<std::string> asked;
};

class SubscriptionStateTest : public RouterFixture,
                              public ::testing::WithParamInterface<EngineKind> {
 protected:
  SubscriptionStateTest() : RouterFixture(GetParam()) {
    state_source_ = &states_;
    Use("");
  }
  void SubscribeWithState(const FakeWorker& worker, uint64_t query_id, bool recover,
                          const std::string& epoch = "", int64_t offset = 0) {
    routing_->subscriptions->Subscribe(worker.link, {.query_id = query_id,
                                                     .service = "s",
                                                     .channel = "x",
                                                     .recover = recover,
                                                     .recover_epoch = epoch,
                                                     .recover_offset = offset,
                                                     .state_request = "get",
                                                     .state_data = "{}"});
  }

  NotingStates states_;
};

INSTANTIATE_TEST_SUITE_P(Engines, SubscriptionStateTest, AllEngines(), EngineName);

TEST_P(SubscriptionStateTest, TheStateIsAskedForWithTheAnswer) {
  const auto worker = MakeWorker();
  Publish("x", 2);
  Want(*worker, "x");
  Subscribe(*worker, 6, "x");
  EXPECT_THAT(states_.asked, IsEmpty());
  SubscribeWithState(*worker, 7, false);
  EXPECT_THAT(states_.asked, ElementsAre(absl::StrCat(worker->link->id(), " 7 get {}")));
  EXPECT_THAT(worker->Take(), ElementsAre("def x@2", "answer 6 x@2", "answer 7 x@2"));
  EXPECT_TRUE(worker->LastResult().state_follows());
}

TEST_P(SubscriptionStateTest, WhatIsRecoveredNeedsNoState) {
  const auto worker = MakeWorker();
  Publish("x", 2);
  Want(*worker, "x");
  SubscribeWithState(*worker, 7, true, EpochOf("x"), 1);
  EXPECT_THAT(states_.asked, IsEmpty());
  EXPECT_THAT(worker->Take(), ElementsAre("def x@2", "answer 7 x@2 recovered 2"));
  EXPECT_FALSE(worker->LastResult().state_follows());
  SubscribeWithState(*worker, 8, true, "another", 1);
  EXPECT_THAT(worker->Take(), ElementsAre("answer 8 x@2 epoch_changed"));
  EXPECT_TRUE(worker->LastResult().state_follows());
  EXPECT_THAT(states_.asked, SizeIs(1));
}

TEST_P(SubscriptionStateTest, ADeferredSubscribeAsksWhenItIsAnswered) {
  const auto worker = MakeWorker(Small(1));
  Publish("x");
  Want(*worker, "x");
  Publish("x", 20);  // more than the link holds: the channel is repaired
  SubscribeWithState(*worker, 7, false);
  EXPECT_THAT(states_.asked, IsEmpty());
  worker->Take();
  EXPECT_THAT(states_.asked, SizeIs(1));
  EXPECT_EQ(worker->LastResult().head().offset(), 21);
}

// ------------------------------------------------------------------------------- interest

TEST_P(SubscriptionsTest, AWorkerGetsWhatItWantsFromThenOnAndNothingElse) {
  const auto worker = MakeWorker();
  Publish("x", 2);
  Want(*worker, "x");
  Publish("x", 2);
  Publish("y");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@2", "x#3", "x#4"));
  Unwant(*worker, "x");
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("drop x"));
}

TEST_P(SubscriptionsTest, AChannelThatIsWantedAgainIsIntroducedAgain) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Publish("x");
  Unwant(*worker, "x");
  Publish("x");
  Want(*worker, "x");
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "drop x", "def x@2", "x#3"));
}

TEST_P(SubscriptionsTest, InterestWithoutPublicationsWritesNothing) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  WantPattern(*worker, "a:*");
  Unwant(*worker, "x");
  UnwantPattern(*worker, "a:*");
  EXPECT_THAT(worker->Take(), IsEmpty());
}

TEST_P(SubscriptionsTest, EachWorkerHasItsOwnHandles) {
  const auto one = MakeWorker(), two = MakeWorker();
  Want(*one, "x");
  Want(*two, "y");
  Want(*two, "x");
  Publish("y");
  Publish("x");
  EXPECT_THAT(one->Take(), ElementsAre("def x@0", "x#1"));
  EXPECT_THAT(two->Take(), ElementsAre("def y@0", "y#1", "def x@0", "x#1"));
}

TEST_P(SubscriptionsTest, APatternBringsChannelsThatDoNotExistYet) {
  const auto worker = MakeWorker();
  WantPattern(*worker, "a:*");
  Publish("a:1");
  Publish("b:1");
  Publish("a:2");
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@0", "a:1#1", "def a:2@0", "a:2#1"));
  UnwantPattern(*worker, "a:*");
  Publish("a:1");
  worker->link->Flush();  // by the next heartbeat at the latest
  EXPECT_THAT(worker->Take(), ElementsAre("drop a:1"));
}

TEST_P(SubscriptionsTest, ByNameAndByPatternsAChannelComesOnce) {
  const auto worker = MakeWorker();
  Want(*worker, "a:1");
  WantPattern(*worker, "a:*");
  WantPattern(*worker, "**");
  Publish("a:1");
  UnwantPattern(*worker, "a:*");
  Publish("a:1");
  Unwant(*worker, "a:1");
  Publish("a:1");
  UnwantPattern(*worker, "**");
  Publish("a:1");
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@0", "a:1#1", "a:1#2", "a:1#3", "drop a:1"));
}

TEST_P(SubscriptionsTest, ClearedInterestReleasesEverythingAndFreesTheLink) {
  auto worker = MakeWorker();
  Want(*worker, "x");
  WantPattern(*worker, "a:*");
  Publish("x");
  Publish("a:1");
  routing_->subscriptions->ClearInterest(worker->link);
  worker->link->Flush();
  Publish("x");
  Publish("a:1");
  std::vector<std::string> notes = worker->Take();
  ASSERT_THAT(notes, SizeIs(6));
  EXPECT_THAT(std::vector<std::string>(notes.begin() + 4, notes.end()),
              UnorderedElementsAre("drop x", "drop a:1"));
  EXPECT_EQ(worker->link.use_count(), 1);
}

TEST_P(SubscriptionsTest, AServiceThatAReloadRemovedKeepsNoLink) {
  auto worker = MakeWorker();
  Want(*worker, "x");
  Want(*worker, "y");
  WantPattern(*worker, "a:*");
  WantPattern(*worker, "b:*");
  Publish("a:1");
  const LoadedConfig other = LoadConfig("services: [{name: t, port: 1}]", "t.yaml", {});
  routing_->directory.SetServices(ServiceTable::Make(*other.config));
  Unwant(*worker, "x");
  UnwantPattern(*worker, "a:*");
  EXPECT_EQ(worker->link->interest_digest().value().count, 2u);
  routing_->subscriptions->ClearInterest(worker->link);
  routing_->directory.Sweep();
  EXPECT_EQ(worker->link.use_count(), 1);
  routing_->directory.SetServices(Services());
  Publish("x");
  Publish("b:1");
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@0", "a:1#1", "drop a:1"));
}

TEST_P(SubscriptionsTest, TheDigestIsOfEverythingThatIsWanted) {
  const auto worker = MakeWorker();
  const InterestView name{.service = "s", .channel = "x"};
  const InterestView pattern{.service = "s", .channel = "a:*", .pattern = true};
  const InterestView dialect{.service = "s", .channel = "x", .dialect = Dialect::kSessionBuddy};
  const InterestView unknown{.service = "none", .channel = "x"};
  uint64_t hash = 0;
  uint64_t count = 0;
  for (const InterestView& interest : {name, pattern, dialect, unknown}) {
    routing_->subscriptions->AddInterest(worker->link, interest);
    hash ^= InterestHash(interest.service, interest.dialect, interest.channel);
    EXPECT_THAT(worker->link->interest_digest().value(), FieldsAre(++count, hash));
  }
  routing_->subscriptions->AddInterest(worker->link, name);  // a second time
  routing_->subscriptions->AddInterest(worker->link, pattern);
  EXPECT_THAT(worker->link->interest_digest().value(), FieldsAre(count, hash));
  for (const InterestView& interest : {unknown, dialect, pattern, name}) {
    routing_->subscriptions->RemoveInterest(worker->link, interest);
    hash ^= InterestHash(interest.service, interest.dialect, interest.channel);
    EXPECT_THAT(worker->link->interest_digest().value(), FieldsAre(--count, hash));
  }
  routing_->subscriptions->RemoveInterest(worker->link, name);  // a second time
  routing_->subscriptions->RemoveInterest(worker->link, pattern);
  EXPECT_THAT(worker->link->interest_digest().value(), FieldsAre(0, 0));
}

// ------------------------------------------------------------------------------- subscribing

TEST_P(SubscriptionsTest, AnAnswerStandsBetweenWhatWasAndWhatComes) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Publish("x", 2);
  Subscribe(*worker, 7, "x");
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "x#2", "answer 7 x@2", "x#3"));
  EXPECT_EQ(worker->LastResult().head().epoch(), EpochOf("x"));
  EXPECT_FALSE(worker->LastResult().recovered());
}

TEST_P(SubscriptionsTest, ASubscribeMakesTheChannelsState) {
  const auto worker = MakeWorker();
  Want(*worker, "new");
  Subscribe(*worker, 1, "new");
  EXPECT_THAT(worker->Take(), ElementsAre("def new@0", "answer 1 new@0"));
  const std::string epoch = worker->LastResult().head().epoch();
  EXPECT_THAT(epoch, SizeIs(16));
  Publish("new");
  EXPECT_EQ(EpochOf("new"), epoch);
  EXPECT_THAT(worker->Take(), ElementsAre("new#1"));
}

TEST_P(SubscriptionsTest, APatternIsAnsweredWithoutHandleOrHead) {
  const auto worker = MakeWorker();
  WantPattern(*worker, "a:*");
  routing_->subscriptions->Subscribe(
      worker->link, {.query_id = 3, .service = "s", .channel = "a:*", .pattern = true});
  EXPECT_THAT(worker->Take(), ElementsAre("answer 3"));
  EXPECT_FALSE(worker->LastResult().has_head());
  EXPECT_TRUE(worker->LastResult().last_page());
}

TEST_P(SubscriptionsTest, WhatCannotBeSubscribedIsRefusedWithTheReason) {
  const auto worker = MakeWorker();
  routing_->subscriptions->Subscribe(worker->link,
                                     {.query_id = 1, .service = "none", .channel = "x"});
  Subscribe(*worker, 2, "a:*");
  routing_->subscriptions->Subscribe(
      worker->link, {.query_id = 3, .service = "s", .channel = "a:**:b", .pattern = true});
  EXPECT_THAT(worker->Take(),
              ElementsAre("answer 1 refused 5", "answer 2 refused 3", "answer 3 refused 3"));
}

TEST_P(SubscriptionsTest, ADialectsChannelIsAnsweredWithoutAPosition) {
  const auto worker = MakeWorker();
  routing_->subscriptions->AddInterest(
      worker->link, {.service = "s", .channel = "metrics", .dialect = Dialect::kSessionBuddy});
  routing_->subscriptions->Subscribe(
      worker->link,
      {.query_id = 1, .service = "s", .channel = "metrics", .dialect = Dialect::kSessionBuddy});
  routing_->router->PublishFrame("s", Dialect::kSessionBuddy, "metrics", R"({"type":"update"})");
  routing_->router->PublishFrame("s", Dialect::kSessionBuddy, "other", "{}");
  Publish("metrics");
  EXPECT_THAT(worker->Take(), ElementsAre("def metrics@0", "answer 1 metrics@0", "metrics~"));
  EXPECT_THAT(worker->TakeDeliveries(),
              ElementsAre(::testing::Property(&v1::Deliver::envelope, R"({"type":"update"})")));
}

// ------------------------------------------------------------------------------- recovering

TEST_P(SubscriptionsTest, ARecoveryBringsWhatWasMissedAndThenWhatIsLive) {
  const auto worker = MakeWorker();
  Publish("x", 5);
  Want(*worker, "x");
  Recover(*worker, 1, "x", EpochOf("x"), 2);
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 x@5 recovered 3,4,5", "x#6"));
}

TEST_P(SubscriptionsTest, WhoMissedNothingHasRecovered) {
  const auto worker = MakeWorker();
  Publish("x", 5);
  Recover(*worker, 1, "x", EpochOf("x"), 5);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 x@5 recovered "));
  EXPECT_EQ(worker->LastResult().recover_count(), 0);
  EXPECT_TRUE(worker->LastResult().last_page());
}

TEST_P(SubscriptionsTest, AnotherEpochAForeignTextAndAnOffsetBeyondTheHeadCannotBeRecovered) {
  const auto worker = MakeWorker();
  Publish("x", 5);
  const std::string epoch = EpochOf("x");
  uint64_t query = 0;
  std::vector<std::string> expected = {"def x@5"};
  for (const auto& [text, offset] :
       std::vector<std::pair<std::string, int64_t>>{{Epoch::Random().ToText(), 2},
                                                    {"", 2},
                                                    {"{}", 2},
                                                    {epoch, 6},
                                                    {epoch, -1},
                                                    {epoch, INT64_MAX},
                                                    {epoch, INT64_MIN}}) {
    Recover(*worker, ++query, "x", text, offset);
    expected.push_back(absl::StrCat("answer ", query, " x@5 ",
                                    text == epoch ? "offset_unknown" : "epoch_changed"));
  }
  EXPECT_EQ(worker->Take(), expected);
  EXPECT_FALSE(worker->LastResult().recovered());
}

TEST_P(SubscriptionsTest, HistoryThatIsGoneCannotBeRecoveredAndTheReasonSaysWhy) {
  Use("  channels: [{pattern: short, history_size: 2}, {pattern: none, history_size: 0}]\n");
  const auto worker = MakeWorker();
  Publish("short", 5);
  Publish("none", 5);
  Recover(*worker, 1, "short", EpochOf("short"), 2);
  Recover(*worker, 2, "short", EpochOf("short"), 3);
  Recover(*worker, 3, "none", EpochOf("none"), 4);
  Recover(*worker, 4, "none", EpochOf("none"), 5);
  EXPECT_THAT(worker->Take(),
              ElementsAre("def short@5", "answer 1 short@5 history_expired",
                          "answer 2 short@5 recovered 4,5", "def none@5",
                          "answer 3 none@5 history_disabled", "answer 4 none@5 recovered "));
}

TEST_P(SubscriptionsTest, HistoryThatIsTooOldCannotBeRecovered) {
  const auto worker = MakeWorker();
  Publish("x", 2);
  clock_.Advance(absl::Minutes(30));
  Publish("x", 2);
  clock_.Advance(absl::Minutes(30));
  Recover(*worker, 1, "x", EpochOf("x"), 1);
  Recover(*worker, 2, "x", EpochOf("x"), 2);
  EXPECT_THAT(worker->Take(),
              ElementsAre("def x@4", "answer 1 x@4 history_expired", "answer 2 x@4 recovered 3,4"));
}

TEST_P(SubscriptionsTest, AnExpiredEventIsRecoveredAsItsOffsetAlone) {
  const auto worker = MakeWorker();
  Publish("x");
  Event brief = MakeEvent("x");
  brief.ttl = absl::Seconds(1);
  Publish(brief);
  Publish("x");
  clock_.Advance(absl::Seconds(1));
  Recover(*worker, 1, "x", EpochOf("x"), 0);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "answer 1 x@3 recovered 1,-2,3"));
}

TEST_P(SubscriptionsTest, EventsWithoutHistoryAreNotRecovered) {
  const auto worker = MakeWorker();
  Publish("x");
  Event cursor = MakeEvent("x");
  cursor.skip_history = true;
  Publish(cursor);
  Publish("x");
  Recover(*worker, 1, "x", EpochOf("x"), 0);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@2", "answer 1 x@2 recovered 1,2"));
}

TEST_P(SubscriptionsTest, ARecoveryIsPagedAndTheLastPageIsTheCut) {
  const auto worker = MakeWorker();
  const Position head = Publish("x", 6);
  const std::string epoch = head.epoch.ToText();
  const auto history = ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(history);
  const size_t page_bytes = 2 * history->publications[0]->envelope().size() + 1;
  Want(*worker, "x");
  Recover(*worker, 1, "x", epoch, 0, page_bytes);
  Publish("x");  // for those that subscribe already
  std::vector<std::string> notes = worker->Take();
  ASSERT_THAT(notes, SizeIs(3));
  EXPECT_THAT(notes[1], HasSubstr("answer 1 x@6 recovered 1,2 more after 2"));
  EXPECT_EQ(worker->LastResult().recover_count(), 6);
  // The worker asks for the next page, and again.
  Recover(*worker, 1, "x", worker->LastResult().next().epoch(),
          worker->LastResult().next().offset(), page_bytes);
  EXPECT_THAT(worker->Take(), ElementsAre("answer 1 x@7 recovered 3,4 more after 4"));
  Recover(*worker, 1, "x", epoch, 4, /*page_bytes=*/1 << 20);
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("answer 1 x@7 recovered 5,6,7", "x#8"));
  EXPECT_TRUE(worker->LastResult().last_page());
}

TEST_P(SubscriptionsTest, APageHoldsOneEventAtLeastAndAMebibyteAtMost) {
  Use("  max_event_bytes: 1000000\n");
  const auto worker = MakeWorker();
  const std::string large = absl::StrCat(R"({"x":")", std::string(400'000, 'x'), "\"}");
  for (int i = 0; i < 5; ++i) Publish(MakeEvent("x", large));
  Recover(*worker, 1, "x", EpochOf("x"), 0, /*page_bytes=*/1);
  Recover(*worker, 2, "x", EpochOf("x"), 0, /*page_bytes=*/UINT64_MAX);
  Recover(*worker, 3, "x", EpochOf("x"), 0, /*page_bytes=*/0);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 x@5 recovered 1 more after 1",
                                          "answer 2 x@5 recovered 1,2 more after 2",
                                          "answer 3 x@5 recovered 1 more after 1"));
}

// ------------------------------------------------------------------------------- full queues

TEST_P(SubscriptionsTest, WhatAFullQueueCouldNotTakeComesFromHistoryInOrder) {
  const auto worker = MakeWorker(Small(8));
  Want(*worker, "x");
  Publish("x", 30);  // the first flush takes a batch; the queue fills behind it
  EXPECT_LT(worker->link->stats().queued_items, 30);
  worker->Drain();
  EXPECT_EQ(worker->LastOffset("x"), 30);
  EXPECT_EQ(worker->delivered(), 30);
  EXPECT_EQ(worker->link->stats().dirty_channels, 0);
  EXPECT_GE(worker->link->stats().repairs, 1);
  EXPECT_EQ(worker->link->stats().gaps, 0);
  // Live again.
  worker->TakeNotes();
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("x#31"));
}

TEST_F(SubscriptionsAtOnceTest, WhatHistoryLostMeanwhileIsAGap) {
  Use("  channels: [{pattern: x, history_size: 3}, {pattern: none, history_size: 0}]\n");
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  Publish("x", 2);  // in flight
  Publish("x", 18);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "x#2", "x#3", "x#4", "x#5", "x#6",
                                          "gap x 7-17 history_expired", "x#18", "x#19", "x#20"));
}

TEST_F(SubscriptionsAtOnceTest, WithoutHistoryWhatAFullQueueCouldNotTakeIsAGap) {
  Use("  channels: [{pattern: none, history_size: 0}]\n");
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "none");
  Publish("none", 20);
  std::vector<std::string> notes = worker->Take();
  EXPECT_EQ(notes.back(), "gap none 4-20 history_disabled");
  Publish("none");
  EXPECT_THAT(worker->Take(), ElementsAre("none#21"));
}

TEST_F(SubscriptionsAtOnceTest, EventsWithoutPositionThatFindNoRoomAreCountedAndGone) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
  FakeReceiptSink sink;
  Event cursor = MakeEvent("x");
  cursor.skip_history = true;
  for (int i = 0; i < 10; ++i) run->Publish(cursor, {.level = ReceiptLevel::kRouted}, &sink, 0);
  run->Flush();
  EXPECT_EQ(worker->link->stats().dropped, 7);
  EXPECT_EQ(sink.receipts()[2].outcome.delivery.workers_total, 1);
  EXPECT_EQ(sink.receipts()[9].outcome.delivery.workers_total, 0);
  EXPECT_THAT(worker->Take(), SizeIs(4));
  EXPECT_EQ(worker->link->stats().dirty_channels, 0);
}

TEST_P(SubscriptionsTest, WhileAChannelIsDirtyItsEventsWithoutPositionDoNotOvertake) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
  FakeReceiptSink sink;
  Event cursor = MakeEvent("x");
  cursor.skip_history = true;
  for (int i = 0; i < 5; ++i) run->Publish(MakeEvent("x"), {}, &sink, 0);
  run->Publish(cursor, {}, &sink, 0);
  run->Flush();
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "x#2", "x#3", "x#4", "x#5"));
  EXPECT_EQ(worker->link->stats().dropped, 1);
}

TEST_P(SubscriptionsTest, AFullQueueMakesEachOfItsChannelsWaitAndAllCatchUp) {
  const auto worker = MakeWorker(Small(16));
  for (int c = 0; c < 10; ++c) Want(*worker, absl::StrCat("c", c));
  for (int round = 0; round < 10; ++round) {
    for (int c = 0; c < 10; ++c) Publish(absl::StrCat("c", c), 3);
  }
  worker->Drain();
  for (int c = 0; c < 10; ++c) EXPECT_EQ(worker->LastOffset(absl::StrCat("c", c)), 30);
  EXPECT_EQ(worker->delivered(), 300);
}

TEST_P(SubscriptionsTest, ARepairGoesOnWhilePublishersDo) {
  const auto worker = MakeWorker(Small(8));
  Want(*worker, "x");
  for (int i = 0; i < 200; ++i) {
    Publish("x", 7);
    if (i % 2 == 0) worker->Complete();
  }
  worker->Drain();
  EXPECT_EQ(worker->LastOffset("x"), 1400);
}

TEST_F(SubscriptionsAtOnceTest, ASubscribeToADirtyChannelIsAnsweredWhenItIsRepaired) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  Publish("x", 20);
  Recover(*worker, 1, "x", EpochOf("x"), 18);
  Subscribe(*worker, 2, "x");
  std::vector<std::string> notes = worker->Take();
  ASSERT_THAT(notes, SizeIs(23));
  EXPECT_EQ(notes[21], "answer 1 x@20 recovered 19,20");
  EXPECT_EQ(notes[22], "answer 2 x@20");
}

TEST_P(SubscriptionsTest, ASubscribeThatFindsTheQueueFullWaitsForRoomAndKeepsItsTurn) {
  const auto worker = MakeWorker(Small(4));
  worker->acks = false;
  for (const char* const channel : {"x", "y", "z"}) Want(*worker, channel);
  Publish("x", 3);
  ASSERT_TRUE(worker->writing());
  for (int i = 0; i < 4; ++i) Publish("x");
  Subscribe(*worker, 1, "y");
  Subscribe(*worker, 2, "z");
  const std::vector<std::string> notes = worker->Take();
  EXPECT_EQ(worker->LastOffset("x"), 7);
  const auto first = std::find(notes.begin(), notes.end(), "answer 1 y@0");
  const auto second = std::find(notes.begin(), notes.end(), "answer 2 z@0");
  EXPECT_LT(first, second);
  EXPECT_NE(second, notes.end());
}

TEST_P(SubscriptionsTest, ASubscribeThatWaitedDoesNotBringBackInterestThatEndedMeanwhile) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  Want(*worker, "y");
  Publish("x");      // in flight
  Publish("x", 20);  // the queue is full, and x is dirty
  Subscribe(*worker, 1, "x");
  Subscribe(*worker, 2, "y");
  Unwant(*worker, "x");
  Unwant(*worker, "y");
  worker->Drain();
  Publish("x");
  Publish("y");
  const std::vector<std::string> notes = worker->Take();
  EXPECT_THAT(notes, ElementsAre("def x@0", "x#1", "x#2", "x#3", "x#4", "x#5", "drop x",
                                 "answer 1 refused 14", "answer 2 refused 14"));
  EXPECT_EQ(worker->link->interest_digest().value().count, 0u);
  EXPECT_EQ(routing_->queries->GetChannel("s", "y")->workers, 0);
  // Wanted once more, all is as ever.
  Want(*worker, "y");
  Subscribe(*worker, 3, "y");
  EXPECT_THAT(worker->Take(), ElementsAre("def y@1", "answer 3 y@1"));
  EXPECT_EQ(worker->link->interest_digest().value().count, 1u);
}

TEST_P(SubscriptionsTest, ASubscribeThatWaitedIsAnsweredIfItsChannelIsWantedAgainByThen) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  Publish("x");
  Publish("x", 20);
  Subscribe(*worker, 1, "x");
  Unwant(*worker, "x");
  Want(*worker, "x");
  const std::vector<std::string> notes = worker->Take();
  EXPECT_EQ(notes.back(), "answer 1 x@21");
  EXPECT_EQ(worker->link->interest_digest().value().count, 1u);
}

TEST_P(SubscriptionsTest, ADirtyChannelThatIsNotWantedAnyMoreIsNotRepaired) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  Publish("x");  // in flight
  Publish("x", 20);
  EXPECT_EQ(worker->link->stats().dirty_channels, 1);
  Unwant(*worker, "x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "x#2", "x#3", "x#4", "x#5", "drop x"));
  Want(*worker, "x");
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@21", "x#22"));
}

TEST_P(SubscriptionsTest, AChannelThatIsDroppedAndWantedAgainWhileDirtyBeginsAtItsHead) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "x");
  Publish("x");  // in flight
  Publish("x", 20);
  EXPECT_EQ(worker->link->stats().dirty_channels, 1);
  Unwant(*worker, "x");
  Want(*worker, "x");
  Publish("x", 20);
  const std::vector<std::string> notes = worker->Take();
  ASSERT_THAT(notes, SizeIs(28));
  EXPECT_EQ(notes[6], "drop x");
  EXPECT_EQ(notes[7], "def x@21");
  EXPECT_EQ(notes[8], "x#22");
  EXPECT_EQ(notes[27], "x#41");
}

// ------------------------------------------------------------------------------- patterns, dirty

TEST_P(SubscriptionsTest, APatternsSubscribeStandsBehindAllThatIsOlderThanIt) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "a:1");
  Publish("a:1");  // in flight
  Publish("a:1", 20);
  clock_.Advance(absl::Milliseconds(1));
  WantPattern(*worker, "a:*");
  routing_->subscriptions->Subscribe(
      worker->link, {.query_id = 9, .service = "s", .channel = "a:*", .pattern = true});
  clock_.Advance(absl::Milliseconds(1));
  Publish("a:1", 5);
  const std::vector<std::string> notes = worker->Take();
  const auto answer = std::find(notes.begin(), notes.end(), "answer 9");
  EXPECT_LT(std::find(notes.begin(), notes.end(), "a:1#21"), answer);
  EXPECT_NE(answer, notes.end());
  EXPECT_EQ(worker->LastOffset("a:1"), 26);
}

TEST_P(SubscriptionsTest, APatternsSubscribeIsAnsweredAlthoughAChannelNeverCatchesUp) {
  const auto worker = MakeWorker(Small(4));
  Want(*worker, "a:1");
  WantPattern(*worker, "a:*");
  const std::string data = absl::StrCat(R"({"fill":")", std::string(20'000, 'x'), R"("})");
  const auto publish = [&] {
    clock_.Advance(absl::Milliseconds(1));
    Publish(MakeEvent("a:1", data));
  };
  for (int i = 0; i < 30; ++i) publish();
  routing_->subscriptions->Subscribe(
      worker->link, {.query_id = 9, .service = "s", .channel = "a:*", .pattern = true});
  for (int i = 0; i < 200 && worker->LastResult().query_id() != 9; ++i) {
    for (int n = 0; n < 5; ++n) publish();
    worker->Complete();
  }
  EXPECT_EQ(worker->LastResult().query_id(), 9u);
  EXPECT_GE(worker->LastOffset("a:1"), 30);
  EXPECT_EQ(worker->link->stats().dirty_channels, 1);
  // A dirty channel and the link keep each other.
  routing_->subscriptions->ClearInterest(worker->link);
}

// ------------------------------------------------------------------------------- fetched history

class FetchingTest : public RouterFixture {
 protected:
  FetchingTest() : RouterFixture(EngineKind::kSlow) {
    slow_->Delay({.fetches = true});
    settles_ = false;
  }

  // A worker that has told its interest, with these channels dirty and their history being fetched.
  std::unique_ptr<FakeWorker> Fetching(const std::vector<std::string>& channels) {
    auto worker = MakeWorker({.max_queued_items = 8, .window_items = 1});
    routing_->subscriptions->BeginSnapshot(worker->link);
    for (const std::string& channel : channels) Want(*worker, channel);
    routing_->subscriptions->EndSnapshot(worker->link);
    for (const std::string& channel : channels) Publish(channel, 20);
    while (worker->Complete()) {
    }
    EXPECT_EQ(fetching(), channels.size());
    return worker;
  }

  size_t fetching() const { return slow_->waiting(FakeEngine::Kind::kFetch); }
  void EndFetch(size_t index) { slow_->End(FakeEngine::Kind::kFetch, index); }
};

TEST_F(FetchingTest, WhatIsBeingFetchedCountsAsNotApplied) {
  const absl::Duration before = clock_.Now();
  const auto worker = Fetching({"x"});
  clock_.Advance(absl::Seconds(5));
  EXPECT_LE(worker->link->unapplied_since(), before);
  EXPECT_EQ(worker->link->stats().dirty_channels, 1);
  while (fetching() > 0) {
    EndFetch(0);
    worker->Drain();
  }
  EXPECT_EQ(worker->LastOffset("x"), 20);
  EXPECT_EQ(worker->link->unapplied_since(), clock_.Now() - absl::Seconds(1));
}

TEST_F(FetchingTest, ASubscribeWaitsForAFetchAndNobodyTriesItMeanwhile) {
  const auto worker = Fetching({"x"});
  Subscribe(*worker, 7, "x");
  for (int i = 0; i < 10; ++i) worker->link->Flush();
  EXPECT_EQ(fetching(), 1u);
  slow_->Delay({});
  EndFetch(0);
  const std::vector<std::string> notes = worker->Take();
  EXPECT_EQ(notes.back(), "answer 7 x@20");
}

TEST_F(FetchingTest, FetchesThatEndOutOfOrderBringEachChannelInOrder) {
  const auto worker = Fetching({"x", "y", "z"});
  Publish("x", 3);
  Subscribe(*worker, 7, "y");
  while (fetching() > 0) {
    EndFetch(fetching() - 1);
    worker->Drain();
  }
  EXPECT_EQ(worker->LastOffset("x"), 23);
  EXPECT_EQ(worker->LastOffset("y"), 20);
  EXPECT_EQ(worker->LastOffset("z"), 20);
  EXPECT_EQ(worker->LastResult().query_id(), 7u);
  EXPECT_EQ(worker->link->stats().dirty_channels, 0);
}

TEST_F(FetchingTest, AFetchForAChannelThatIsNotWantedAnyMoreBringsNothing) {
  const auto worker = Fetching({"x", "y"});
  Unwant(*worker, "x");
  Unwant(*worker, "y");
  Want(*worker, "y");
  Publish("y");
  worker->Take();
  for (const size_t fetch : {1, 0}) EndFetch(fetch);
  EXPECT_THAT(worker->Take(), IsEmpty());
  EXPECT_EQ(worker->link->stats().dirty_channels, 0);
  Publish("y");
  EXPECT_THAT(worker->Take(), ElementsAre("y#22"));
}

TEST_F(FetchingTest, AFetchThatEndsAfterItsLinkBringsNothing) {
  const auto worker = Fetching({"x"});
  worker->link->Close(absl::UnavailableError("gone"));
  routing_->subscriptions->ClearInterest(worker->link);
  EndFetch(0);
  EXPECT_EQ(fetching(), 0u);
  EXPECT_EQ(worker->link->stats().dirty_channels, 0);
}

// ------------------------------------------------------------------------------- unpublished

TEST_P(SubscriptionsTest, AReaderOfEverNewNamesStopsNoPublisher) {
  Use("  max_channels: 5\n  max_unpublished_channels: 1000\n");
  const auto worker = MakeWorker();
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = absl::StrCat("r", i);
    Want(*worker, name);
    routing_->subscriptions->Subscribe(
        worker->link, {.query_id = 1, .service = "s", .channel = name, .address = "1.2.3.4"});
    refused += worker->Take().back() == "answer 1 refused 8" ? 1 : 0;
    Unwant(*worker, name);
  }
  EXPECT_EQ(refused, 20'000 - 100);
  EXPECT_THAT(worker->LastResult().status().message(), HasSubstr("1.2.3.4 holds"));
  EXPECT_EQ(routing_->queries->Counts("s").channels, 100);
  // Other readers are not shut out, and publishers have all their channels.
  Subscribe(*worker, 2, "other");
  EXPECT_EQ(worker->Take().back(), "answer 2 other@0");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Publish(absl::StrCat("p", i)).offset, 1);
  EXPECT_EQ(worker->link->interest_digest().value().count, 0u);
}

// The dialect has no errors, so that its clients cannot be told.
TEST_P(SubscriptionsTest, ADialectsChannelThatIsRefusedIsLoggedOnceAMinute) {
  Use("  max_unpublished_channels: 10\n");
  const auto worker = MakeWorker();
  for (int i = 0; i < 10; ++i) Subscribe(*worker, 1, absl::StrCat("c", i));
  testing::internal::CaptureStderr();
  for (const char* const name : {"metrics:a", "metrics:b"}) {
    routing_->subscriptions->AddInterest(
        worker->link, {.service = "s", .channel = name, .dialect = Dialect::kSessionBuddy});
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_THAT(log, HasSubstr("W "));
  EXPECT_THAT(log, HasSubstr(" interest.refused service=s channel=metrics:a reason="));
  EXPECT_THAT(log, HasSubstr("max_unpublished_channels"));
}

TEST_P(SubscriptionsTest, WhenAllAreWantedASubscribeIsRefusedAndElseTheOldestMakesRoom) {
  Use("  max_unpublished_channels: 10\n");
  const auto worker = MakeWorker();
  for (int i = 0; i < 10; ++i) Subscribe(*worker, 1, absl::StrCat("c", i));
  const std::string epoch = EpochOf("c4");
  Subscribe(*worker, 2, "new");
  EXPECT_EQ(worker->Take().back(), "answer 2 refused 8");
  EXPECT_THAT(worker->LastResult().status().message(), HasSubstr("max_unpublished_channels"));
  // What nobody wants goes, in whatever shard it is.
  Unwant(*worker, "c4");
  Subscribe(*worker, 3, "new");
  EXPECT_EQ(worker->Take().back(), "answer 3 new@0");
  EXPECT_EQ(routing_->queries->Counts("s").channels, 10);
  // Who waited there is told when it comes back.
  Unwant(*worker, "c5");
  Recover(*worker, 4, "c4", epoch, 0);
  EXPECT_EQ(worker->Take().back(), "answer 4 c4@0 epoch_changed");
}

TEST_P(SubscriptionsTest, AFirstEventIsRecoveredOverAReconnectWithinTenMinutes) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Subscribe(*worker, 1, "x");
  const std::string epoch = EpochOf("x");
  Unwant(*worker, "x");
  worker->Take();
  Pass(absl::Minutes(10) - absl::Seconds(1));
  routing_->directory.Sweep();
  Publish("x");
  Recover(*worker, 2, "x", epoch, 0);
  EXPECT_EQ(worker->Take().back(), "answer 2 x@1 recovered 1");
}

TEST_P(SubscriptionsTest, InterestWithoutASubscribeMakesNoStateAndGetsTheFirstPublication) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Want(*worker, "y");
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
  EXPECT_EQ(worker->link->interest_digest().value().count, 2u);
  Unwant(*worker, "y");
  EXPECT_EQ(worker->link->interest_digest().value().count, 1u);
  Publish("x");
  Publish("y");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1"));
}

}  // namespace
}  // namespace fanwire::control
