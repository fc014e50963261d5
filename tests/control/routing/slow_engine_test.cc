// Router and Subscriptions over an engine that takes time: each task of the engine ends when the
// test says so.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/routing/router.h"
#include "control/routing/subscriptions.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr FakeEngine::Kind kOpen = FakeEngine::Kind::kOpen;
constexpr FakeEngine::Kind kAppend = FakeEngine::Kind::kAppend;

class SlowEngineTest : public RouterFixture {
 protected:
  SlowEngineTest() : RouterFixture(EngineKind::kSlow) {}

  std::unique_ptr<FakeWorker> MakeWaitingWorker() {
    auto worker = MakeWorker();
    worker->settle = nullptr;
    return worker;
  }
  // Begins to publish; the receipt comes when the engine has ended the append.
  void Begin(const Event& event, uint64_t tag, ReceiptLevel level = ReceiptLevel::kAccepted) {
    routing_->router->MakeRun()->Publish(event, {.level = level}, &sink_, tag);
  }
  void Begin(const std::string& channel, uint64_t tag) { Begin(MakeEvent(channel), tag); }
  void BeginWithoutHistory(const std::string& channel, uint64_t tag) {
    Event event = MakeEvent(channel);
    event.skip_history = true;
    Begin(event, tag);
  }
  void Ask(const FakeWorker& worker, uint64_t query_id, const std::string& channel) {
    routing_->subscriptions->Subscribe(worker.link,
                                       {.query_id = query_id, .service = "s", .channel = channel});
  }
  void Resume(const FakeWorker& worker, const std::string& epoch, int64_t offset) {
    routing_->subscriptions->BeginSnapshot(worker.link);
    Want(worker, "x");
    routing_->subscriptions->Resume(worker.link, "s", "x", epoch, offset);
    routing_->subscriptions->EndSnapshot(worker.link);
  }
  // Control begins anew; the engine keeps what it has.
  void Restart(const std::string& lines = "") {
    Settle();
    routing_ = nullptr;
    routing_ = std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_,
                                         Services(lines));
  }
  // "tag@offset" of the receipts, or "tag refused".
  std::vector<std::string> Receipts() const {
    std::vector<std::string> texts;
    for (const FakeReceiptSink::Receipt& receipt : sink_.receipts()) {
      const PublishOutcome& outcome = receipt.outcome;
      texts.push_back(outcome.status.ok() ? absl::StrCat(receipt.tag, "@", outcome.position.offset)
                                          : absl::StrCat(receipt.tag, " refused"));
    }
    return texts;
  }

  FakeReceiptSink sink_;
};

// ------------------------------------------------------------------------------- opening

TEST_F(SlowEngineTest, ASubscribeIsAnsweredWhenItsChannelIsOpen) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  EXPECT_THAT(worker->Take(), IsEmpty());
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0"));
}

TEST_F(SlowEngineTest, WhatIsPublishedWhileAChannelOpensFollowsTheAnswersInOrder) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Begin("x", 1);
  BeginWithoutHistory("x", 2);
  Ask(*worker, 7, "x");
  Begin("x", 3);
  EXPECT_THAT(worker->Take(), IsEmpty());
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 7 x@0"));
  Settle();
  EXPECT_THAT(worker->Take(), ElementsAre("x#1", "x~thing.happened", "x#2"));
  EXPECT_THAT(Receipts(), ElementsAre("1@1", "2@0", "3@2"));
}

TEST_F(SlowEngineTest, AWaitingSubscribeThatIsNotWantedAnyMoreIsRefused) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  Unwant(*worker, "x");
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("answer 1 refused 14"));
}

TEST_F(SlowEngineTest, AChannelThatOpensIsNotForgotten) {
  Use("  max_unpublished_channels: 10\n");
  const auto worker = MakeWaitingWorker();
  Ask(*worker, 1, "x");
  Unwant(*worker, "x");
  for (int i = 0; i < 9; ++i) Ask(*worker, 2, absl::StrCat("c", i));
  clock_.Advance(absl::Hours(100));
  routing_->directory.Sweep();
  Ask(*worker, 3, "y");  // there is no room for it, and x does not make room either
  EXPECT_THAT(worker->Take(), ElementsAre("answer 3 refused 8"));
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("answer 1 refused 14"));
  // Now x is idle and gives way.
  Ask(*worker, 4, "y");
  Settle();
  EXPECT_THAT(worker->Take(), AllOf(SizeIs(20), Contains("answer 4 y@0")));
}

TEST_F(SlowEngineTest, HistoryOfAChannelThatOpensIsNotThereYet) {
  Begin("x", 1);
  const auto slice = routing_->queries->ReadHistory({.service = "s", .channel = "x"});
  EXPECT_THAT(slice.status(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("being opened")));
  Settle();
  const auto kept = ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(kept);
  EXPECT_THAT(kept->publications, SizeIs(1));
}

TEST_F(SlowEngineTest, ANoticeWaitsForItsChannel) {
  const auto worker = MakeWaitingWorker();
  WantPattern(*worker, "x");
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  routing_->router->PublishNotice({.service = "s",
                                   .channel = "x",
                                   .event = "presence.joined",
                                   .data = "{}",
                                   .exclude_connection = ""});
  EXPECT_THAT(worker->Take(), IsEmpty());
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0", "x~presence.joined"));
}

// ------------------------------------------------------------------------------- appends

TEST_F(SlowEngineTest, AnEventWithoutHistoryDoesNotOvertakeAKeptOne) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  slow_->Delay({.appends = true});
  Ask(*worker, 1, "x");
  Begin("x", 1);
  BeginWithoutHistory("x", 2);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0"));
  slow_->EndFirst(kAppend);
  EXPECT_THAT(worker->Take(), ElementsAre("x#1"));
  slow_->EndFirst(kAppend);
  EXPECT_THAT(worker->Take(), ElementsAre("x~thing.happened"));
}

TEST_F(SlowEngineTest, ARefusalBelongsToItsEventAndUsesUpNoPosition) {
  const auto worker = MakeWaitingWorker();
  slow_->Delay({.appends = true});
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  for (uint64_t tag = 1; tag <= 3; ++tag) Begin("x", tag);
  slow_->FailAppend(1, absl::UnavailableError("the disk is full"));
  Settle();
  EXPECT_THAT(Receipts(), ElementsAre("1@1", "2 refused", "3@2"));
  EXPECT_EQ(sink_.receipts()[1].outcome.status.message(), "the disk is full");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0", "x#1", "x#2"));
}

TEST_F(SlowEngineTest, ARefusedEventFreesItsIdempotencyKey) {
  slow_->Delay({.appends = true});
  Event event = MakeEvent("x");
  event.idempotency_key = "k";
  Begin(event, 1);
  Begin(event, 2);  // waits for the first one's receipt
  slow_->EndFirst(kAppend, absl::UnavailableError("the disk is full"));
  EXPECT_THAT(Receipts(), ElementsAre("1 refused", "2 refused"));
  Begin(event, 3);
  slow_->EndFirst(kAppend);
  EXPECT_THAT(Receipts(), ElementsAre("1 refused", "2 refused", "3@1"));
}

TEST_F(SlowEngineTest, WhatTheEngineHasNoRoomForIsRefusedAndLeavesNothing) {
  slow_->Delay({.appends = true});
  slow_->SetMaxWaiting(2);
  for (uint64_t tag = 1; tag <= 3; ++tag) Begin("x", tag);
  ASSERT_THAT(Receipts(), ElementsAre("3 refused"));
  EXPECT_THAT(sink_.last().outcome.status,
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("too many publications waiting")));
  Settle();
  EXPECT_THAT(Receipts(), ElementsAre("3 refused", "1@1", "2@2"));
}

TEST_F(SlowEngineTest, ACopyWaitsForBothOfItsChannels) {
  Use("  mirrors: [{events: ['*'], to: global}]\n");
  slow_->Delay({.appends = true});
  const auto worker = MakeWaitingWorker();
  Want(*worker, "global");
  Begin("a", 1);
  Begin("b", 2);
  Settle();
  EXPECT_THAT(Receipts(), ElementsAre("1@1", "2@1"));  // global keeps the order of its copies
  EXPECT_THAT(worker->Take(), ElementsAre("def global@0", "global#1", "global#2"));
}

TEST_F(SlowEngineTest, ClosingEndsWhatWasBegunAndThenNothingCallsBack) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  Begin("x", 1);
  routing_->router->StopPublishing();
  engine_->Close();
  EXPECT_THAT(Receipts(), ElementsAre("1@1"));
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0", "x#1"));
}

// ------------------------------------------------------------------------------- restarts

TEST_F(SlowEngineTest, OverARestartAWorkerGetsWhatItMissedOnce) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWaitingWorker();
  Resume(*worker, epoch, 3);
  Begin("x", 1);
  EXPECT_THAT(worker->Take(), IsEmpty());
  Settle();
  worker->settle = [this] { Settle(); };
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4", "x#5", "x#6"));
  EXPECT_THAT(Receipts(), ElementsAre("1@6"));
}

TEST_F(SlowEngineTest, OfTwoReportsOfAWorkerTheLaterOneCounts) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWorker();
  Resume(*worker, epoch, 1);
  Resume(*worker, epoch, 4);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@4", "x#5"));
}

TEST_F(SlowEngineTest, APositionIsDroppedWithTheInterest) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWorker();
  const auto other = MakeWorker();
  Want(*other, "x");
  Ask(*other, 1, "x");
  Resume(*worker, epoch, 1);
  routing_->subscriptions->ClearInterest(worker->link);
  EXPECT_THAT(worker->Take(), IsEmpty());
  EXPECT_THAT(other->Take(), ElementsAre("def x@5", "answer 1 x@5"));
}

TEST_F(SlowEngineTest, APositionIsDroppedWithThePatternToo) {
  const std::string epoch = Publish("a:1", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->Resume(worker->link, "s", "a:1", epoch, 1);
  routing_->subscriptions->EndSnapshot(worker->link);
  // The next report has the pattern without the position.
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("a:1");
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@5", "a:1#6"));
}

TEST_F(SlowEngineTest, AWorkerWithoutAPositionBeginsAtTheHead) {
  Publish("x", 5);
  Restart();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  Want(*worker, "x");
  routing_->subscriptions->EndSnapshot(worker->link);
  Publish("x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "x#6"));
}

TEST_F(SlowEngineTest, AReaderOfAChannelWithHistoryHoldsNoUnpublishedPlace) {
  Publish("x", 5);
  Restart("  max_unpublished_channels: 10\n");
  const auto worker = MakeWorker();
  Subscribe(*worker, 1, "x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 x@5"));
  for (int i = 0; i < 10; ++i) {
    const std::string channel = absl::StrCat("c", i);
    Subscribe(*worker, 2, channel);
    EXPECT_THAT(worker->Take(), Contains(absl::StrCat("answer 2 ", channel, "@0")));
  }
}

TEST_F(SlowEngineTest, ASessionRecoversOverARestart) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWorker();
  Recover(*worker, 1, "x", epoch, 2);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 x@5 recovered 3,4,5"));
}

}  // namespace

}  // namespace fanwire::control
