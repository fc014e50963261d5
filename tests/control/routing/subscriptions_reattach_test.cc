// Subscriptions of a worker that attaches again: it gets what it missed once, in order, before live
// publications.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "control/routing/subscriptions.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ReattachTest : public RouterFixture, public ::testing::WithParamInterface<EngineKind> {
 protected:
  ReattachTest() : RouterFixture(GetParam()) {}

  // The worker's snapshot: it wants `x` and has applied up to `offset` of `epoch`.
  void Reattach(const FakeWorker& worker, const std::string& epoch, int64_t offset,
                const std::string& channel = "x") {
    routing_->subscriptions->BeginSnapshot(worker.link);
    Want(worker, channel);
    routing_->subscriptions->Resume(worker.link, "s", channel, epoch, offset);
    routing_->subscriptions->EndSnapshot(worker.link);
    Settle();
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, ReattachTest, AllEngines(), EngineName);

TEST_P(ReattachTest, WhatTheWorkerMissedComesBeforeWhatIsLive) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  Want(*worker, "x");
  Publish("x");
  routing_->subscriptions->Resume(worker->link, "s", "x", epoch, 3);
  Publish("x");
  EXPECT_THAT(worker->Take(), IsEmpty());
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4", "x#5", "x#6", "x#7", "x#8"));
}

TEST_P(ReattachTest, WhoMissedNothingGetsTheChannelAndNothingMore) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  const auto worker = MakeWorker();
  Reattach(*worker, epoch, 5);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5"));
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("x#6"));
}

TEST_P(ReattachTest, AnotherEpochIsAGapAndThenWhatHistoryHas) {
  Publish("x", 3);
  const auto worker = MakeWorker();
  Reattach(*worker, Epoch::Random().ToText(), 100);
  EXPECT_THAT(worker->Take(),
              ElementsAre("def x@0", "gap x 1-0 epoch_changed", "x#1", "x#2", "x#3"));
}

TEST_P(ReattachTest, AnotherEpochWhoseBeginningIsGoneNamesWhatCannotBeHad) {
  Use("  channels: [{pattern: x, history_size: 2}]\n");
  Publish("x", 5);
  const auto worker = MakeWorker();
  Reattach(*worker, "", 0);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "gap x 1-3 epoch_changed", "x#4", "x#5"));
}

TEST_P(ReattachTest, AnOffsetBeyondTheHeadIsAnotherSeries) {
  const std::string epoch = Publish("x", 2).epoch.ToText();
  const auto worker = MakeWorker();
  Reattach(*worker, epoch, 3);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "gap x 1-0 epoch_changed", "x#1", "x#2"));
}

TEST_P(ReattachTest, ANegativeOffsetIsFromTheBeginning) {
  const std::string epoch = Publish("x", 2).epoch.ToText();
  const auto worker = MakeWorker();
  Reattach(*worker, epoch, -7);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "x#2"));
}

TEST_P(ReattachTest, NothingThatIsOlderThanAPatternComesWhenItsWorkerAttachesAgain) {
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("a:old", 2);
  Publish("a:both", 2);
  clock_.Advance(absl::Milliseconds(1));
  WantPattern(*worker, "a:*");
  worker->Take();
  clock_.Advance(absl::Milliseconds(1));
  Publish("a:both");
  Publish("a:new", 2);  // neither is applied
  worker->link->Close(absl::UnavailableError("frozen"));
  const auto again = MakeWorker();
  again->link->SetMissedSince(worker->link->unapplied_since());
  again->link->SetPatternTimes(worker->link->TakePatternTimes());
  routing_->subscriptions->ClearInterest(worker->link);
  Publish("a:away");
  routing_->subscriptions->BeginSnapshot(again->link);
  WantPattern(*again, "a:*");
  routing_->subscriptions->EndSnapshot(again->link);
  EXPECT_THAT(again->Take(),
              UnorderedElementsAre("def a:both@2", "a:both#3", "def a:new@0", "a:new#1", "a:new#2",
                                   "def a:away@0", "a:away#1"));
}

TEST_P(ReattachTest, ASnapshotMakesNoMoreStatesThanTheReadersBudgetAndLosesNothing) {
  Use("  max_channels: 60\n  max_unpublished_channels: 10\n");
  // An engine that survives may have kept the channels of positions: they need no reader's place.
  const int64_t states = engine_->survives_restart() ? 60 : 10;
  const auto worker = MakeWorker();
  const std::string old = Epoch::Random().ToText();
  const auto attach = [&] {
    routing_->subscriptions->BeginSnapshot(worker->link);
    for (int i = 0; i < 30; ++i) Want(*worker, absl::StrCat("x", i));
    WantPattern(*worker, "p:*");
    for (int i = 0; i < 30; ++i) {
      routing_->subscriptions->Resume(worker->link, "s", absl::StrCat("x", i), old, 7);
      routing_->subscriptions->Resume(worker->link, "s", absl::StrCat("p:", i), old, 7);
    }
    // Positions of channels that are not wanted.
    routing_->subscriptions->Resume(worker->link, "s", "q", old, 7);
    routing_->subscriptions->EndSnapshot(worker->link);
    worker->Take();
  };
  attach();
  EXPECT_EQ(routing_->queries->Counts("s").channels, states);
  attach();
  EXPECT_EQ(routing_->queries->Counts("s").channels, states);
  EXPECT_EQ(worker->link->interest_digest().value().count, 31u);
  for (int i = 0; i < 30; ++i) {
    Publish(absl::StrCat("x", i));
    EXPECT_EQ(worker->Take().back(), absl::StrCat("x", i, "#1"));
    Publish(absl::StrCat("p:", i));
    EXPECT_EQ(worker->Take().back(), absl::StrCat("p:", i, "#1"));
  }
  for (int i = 0; i < 30; ++i) Unwant(*worker, absl::StrCat("x", i));
  UnwantPattern(*worker, "p:*");
  EXPECT_EQ(worker->link->interest_digest().value().count, 0u);
  EXPECT_EQ(routing_->queries->Counts("s").channels, 60);
}

TEST_P(ReattachTest, PositionsOfAPatternForgetNoChannelOfAReader) {
  Use("  max_unpublished_channels: 10\n");
  const auto worker = MakeWorker();
  for (int i = 0; i < 10; ++i) {
    Want(*worker, absl::StrCat("x", i));
    Subscribe(*worker, 1, absl::StrCat("x", i));
    Unwant(*worker, absl::StrCat("x", i));
  }
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "**");
  for (int i = 0; i < 100; ++i) {
    routing_->subscriptions->Resume(worker->link, "s", absl::StrCat("p", i), "", 7);
  }
  routing_->subscriptions->EndSnapshot(worker->link);
  for (int i = 0; i < 10; ++i) {
    EXPECT_OK(routing_->queries->GetChannel("s", absl::StrCat("x", i)));
  }
}

TEST_P(ReattachTest, HistoryThatIsGoneIsAGap) {
  Use("  channels: [{pattern: x, history_size: 2}, {pattern: none, history_size: 0}]\n");
  const std::string epoch = Publish("x", 6).epoch.ToText();
  const std::string no_history = Publish("none", 4).epoch.ToText();
  const auto worker = MakeWorker();
  Reattach(*worker, epoch, 1);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@1", "gap x 2-4 history_expired", "x#5", "x#6"));
  Reattach(*worker, no_history, 1, "none");
  EXPECT_THAT(worker->Take(), ElementsAre("drop x", "def none@1", "gap none 2-4 history_disabled"));
}

TEST_P(ReattachTest, ChannelsOfAPatternResumeAsWell) {
  const std::string epoch = Publish("a:1", 3).epoch.ToText();
  Publish("a:2");
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->Resume(worker->link, "s", "a:1", epoch, 1);
  Publish("a:1");
  Publish("a:2");
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_THAT(worker->Take(),
              UnorderedElementsAre("def a:1@1", "a:1#2", "a:1#3", "a:1#4", "def a:2@1", "a:2#2"));
}

TEST_P(ReattachTest, ChannelsThatCameWhileTheWorkerWasAwayBeginWithWhatItMissed) {
  Publish("a:old", 2);
  clock_.Advance(absl::Minutes(1));
  const absl::Duration away = clock_.Now();
  Publish("a:old");
  Publish("a:new", 2);
  Publish("b:new");
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(away);
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  Want(*worker, "exact");
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("a:new");
  EXPECT_THAT(worker->Take(), UnorderedElementsAre("def a:old@2", "a:old#3", "def a:new@0",
                                                   "a:new#1", "a:new#2", "a:new#3"));
}

TEST_P(ReattachTest, WhatHistoryLostOfAChannelThatCameMeanwhileIsAGap) {
  Use("  channels: [{pattern: '**', history_size: 2}]\n");
  const absl::Duration away = clock_.Now();
  Publish("a:new", 5);
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(away);
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_THAT(worker->Take(),
              ElementsAre("def a:new@0", "gap a:new 1-3 history_expired", "a:new#4", "a:new#5"));
}

TEST_P(ReattachTest, AKnownPositionPrevailsOverWhatMayHaveBeenMissed) {
  const absl::Duration away = clock_.Now();
  const std::string epoch = Publish("a:1", 5).epoch.ToText();
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(away);
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->Resume(worker->link, "s", "a:1", epoch, 4);
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@4", "a:1#5"));
}

TEST_P(ReattachTest, ANewWorkersPatternsBeginWithWhatIsLive) {
  Publish("a:1", 2);
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("a:1");
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@2", "a:1#3"));
}

TEST_P(ReattachTest, ALaterPatternBringsNothingOfBefore) {
  const absl::Duration away = clock_.Now();
  Publish("a:1", 2);
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(away);
  routing_->subscriptions->BeginSnapshot(worker->link);
  routing_->subscriptions->EndSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  Publish("a:1");
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@2", "a:1#3"));
}

// ---- since when a link's worker may have applied nothing

class UnappliedTest : public ReattachTest {
 protected:
  // An attachment that wants `a:*`, with what was missed before it.
  std::unique_ptr<FakeWorker> Attach(absl::Duration missed_since,
                                     const WorkerLink::Options& options = {}) {
    auto worker = MakeWorker(options);
    worker->link->SetMissedSince(missed_since);
    routing_->subscriptions->BeginSnapshot(worker->link);
    WantPattern(*worker, "a:*");
    routing_->subscriptions->EndSnapshot(worker->link);
    return worker;
  }
  // The attachment breaks as it is; since when the next one must look.
  absl::Duration Break(FakeWorker* worker) {
    routing_->subscriptions->ClearInterest(worker->link);
    worker->link->Close(absl::UnavailableError("broken"));
    return worker->link->unapplied_since();
  }
  // Publishes and lets ten minutes pass.
  absl::Duration PublishAndPass(const std::string& channel, int count = 1) {
    const absl::Duration at = clock_.Now();
    Publish(channel, count);
    clock_.Advance(absl::Minutes(10));
    return at;
  }
};

INSTANTIATE_TEST_SUITE_P(Engines, UnappliedTest, AllEngines(), EngineName);

TEST_P(UnappliedTest, WhoHasAppliedEverythingMissesNothingOfBefore) {
  const auto worker = Attach(absl::InfiniteDuration());
  const absl::Duration published = PublishAndPass("a:1");
  worker->Drain();
  EXPECT_GT(Break(worker.get()), published);
}

TEST_P(UnappliedTest, WhatIsInFlightOrQueuedMayBeMissed) {
  const auto flight = Attach(absl::InfiniteDuration());
  const auto queued = Attach(absl::InfiniteDuration());
  queued->acks = false;
  PublishAndPass("a:0");
  queued->Complete();
  queued->Ack();
  const absl::Duration published = PublishAndPass("a:1");
  PublishAndPass("a:2");
  EXPECT_LE(Break(queued.get()), published);
  EXPECT_LE(Break(flight.get()), published);
  flight->Complete(/*ok=*/false);
  queued->Complete(/*ok=*/false);
}

TEST_P(UnappliedTest, WhatIsWrittenIsUnappliedUntilItIsAcknowledged) {
  const auto worker = Attach(absl::InfiniteDuration());
  worker->acks = false;
  const absl::Duration published = PublishAndPass("a:1");
  worker->Drain();
  EXPECT_LE(worker->link->unapplied_since(), published);
  worker->Ack();
  EXPECT_GT(worker->link->unapplied_since(), published);
}

TEST_P(UnappliedTest, WhatARepairQueuedBehindYoungerEventsCounts) {
  // Of a channel that came while the worker was away, with a live one before it in the queue.
  const absl::Duration missed = PublishAndPass("a:1", 3);
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(missed);
  Want(*worker, "live");
  Publish("live");  // in flight
  Publish("live");
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_LE(worker->link->unapplied_since(), missed);
  // Also in one batch with it.
  worker->acks = false;
  worker->Drain();
  EXPECT_LE(Break(worker.get()), missed);
}

TEST_P(UnappliedTest, WhatADirtyChannelHasStillToGetCounts) {
  const auto worker = Attach(absl::InfiniteDuration(), {.max_queued_items = 4});
  Publish("a:1");  // in flight
  const absl::Duration published = PublishAndPass("a:1", 20);
  worker->acks = false;
  EXPECT_LE(Break(worker.get()), published);
  worker->Complete(/*ok=*/false);
}

TEST_P(UnappliedTest, ARepairInSeveralPagesCountsFromItsBeginning) {
  Use("  max_event_bytes: 1000000\n");
  const auto worker = Attach(absl::InfiniteDuration(), {.max_queued_bytes = 100'000});
  Publish("a:1");  // in flight
  const std::string large = absl::StrCat(R"({"x":")", std::string(60'000, 'x'), "\"}");
  absl::Duration third;
  for (int i = 0; i < 8; ++i) {
    if (i == 3) third = clock_.Now();
    Publish(MakeEvent("a:1", large));
    clock_.Advance(absl::Minutes(1));
  }
  ASSERT_EQ(worker->link->stats().dirty_channels, 1);
  // A page or two, which the worker applies.
  worker->Complete();
  worker->Complete();
  ASSERT_EQ(worker->link->stats().dirty_channels, 1);
  ASSERT_LT(worker->LastOffset("a:1"), 5);
  EXPECT_LE(Break(worker.get()), third);
  worker->Complete(/*ok=*/false);
}

TEST_P(UnappliedTest, AnAttachmentThatToldNothingLeavesWhatWasMissedBeforeIt) {
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(absl::Seconds(5));
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Break(worker.get()), absl::Seconds(5));
  // Nor does one that has told a part.
  const auto second = MakeWorker();
  second->link->SetMissedSince(absl::Seconds(5));
  routing_->subscriptions->BeginSnapshot(second->link);
  EXPECT_LE(Break(second.get()), absl::Seconds(5));
  // Of a new worker nothing was missed.
  const auto fresh = MakeWorker();
  EXPECT_EQ(Break(fresh.get()), absl::InfiniteDuration());
}

TEST_P(UnappliedTest, ASecondSnapshotBringsWhatTheFirstHadNotDelivered) {
  const auto worker = Attach(absl::InfiniteDuration(), {.max_queued_items = 2});
  Publish("b:1");
  clock_.Advance(absl::Minutes(10));
  worker->acks = false;
  Want(*worker, "b:1");
  Publish("b:1");  // in flight
  Publish("a:new", 5);
  clock_.Advance(absl::Minutes(10));
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  worker->acks = true;
  worker->Drain();
  worker->Ack();
  worker->Drain();
  EXPECT_EQ(worker->LastOffset("a:new"), 5);
}

TEST_P(ReattachTest, APositionWithoutInterestOrOfAnUnknownServiceIsPassedOver) {
  const std::string epoch = Publish("x", 3).epoch.ToText();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  routing_->subscriptions->Resume(worker->link, "s", "x", epoch, 1);
  routing_->subscriptions->Resume(worker->link, "none", "x", epoch, 1);
  routing_->subscriptions->Resume(worker->link, "s", "a:*", epoch, 1);
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("x");
  EXPECT_THAT(worker->Take(), IsEmpty());
}

TEST_P(ReattachTest, ANewSnapshotTakesThePlaceOfTheFirst) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  Want(*worker, "y");
  Publish("x", 2);
  const std::string epoch = EpochOf("x");
  worker->Take();
  Reattach(*worker, epoch, 2);
  Publish("x");
  Publish("y");
  EXPECT_THAT(worker->Take(), ElementsAre("drop x", "def x@2", "x#3"));
  EXPECT_EQ(worker->link->interest_digest().value().count, 1u);
}

TEST_P(ReattachTest, ASubscribeDuringTheSnapshotIsAnsweredBehindIt) {
  const std::string epoch = Publish("x", 3).epoch.ToText();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  Want(*worker, "x");
  Subscribe(*worker, 9, "x");
  routing_->subscriptions->Resume(worker->link, "s", "x", epoch, 1);
  EXPECT_THAT(worker->Take(), IsEmpty());
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@1", "x#2", "x#3", "answer 9 x@3"));
}

TEST_P(ReattachTest, ACatchUpLargerThanTheQueueComesInPieces) {
  const std::string epoch = Publish("x", 900).epoch.ToText();
  const auto worker = MakeWorker({.max_queued_items = 40});
  Reattach(*worker, epoch, 0);
  Publish("x", 50);
  worker->Drain();
  EXPECT_EQ(worker->LastOffset("x"), 950);
}

}  // namespace
}  // namespace fanwire::control
