// Router and Subscriptions over an engine that takes time: each task of the engine ends when the
// test says so.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/event_records.h"
#include "control/publish/publish_service.h"
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
using ::testing::Not;
using ::testing::SizeIs;

constexpr FakeEngine::Kind kOpen = FakeEngine::Kind::kOpen;
constexpr FakeEngine::Kind kFetch = FakeEngine::Kind::kFetch;
constexpr FakeEngine::Kind kAppend = FakeEngine::Kind::kAppend;

class SlowEngineTest : public RouterFixture {
 protected:
  SlowEngineTest() : RouterFixture(EngineKind::kSlow) {}
  ~SlowEngineTest() override { Settle(); }  // while there is still a sink for the receipts

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
  // What the engine has not answered yet is null.
  using Slice = std::optional<absl::StatusOr<HistorySlice>>;
  std::shared_ptr<Slice> BeginRead(const HistoryRequest& request) {
    auto slice = std::make_shared<Slice>();
    routing_->queries->ReadHistory(
        request, [slice](absl::StatusOr<HistorySlice> read) { *slice = std::move(read); });
    return slice;
  }
  void Notify(const std::string& channel, const std::string& event) {
    routing_->router->PublishNotice({.service = "s",
                                     .channel = channel,
                                     .event = event,
                                     .data = "{}",
                                     .exclude_connection = ""});
  }
  // What waits for the channel, which is being opened.  No other thread may use it.
  ChannelOpening* OpeningOf(const std::string& channel) {
    ChannelOpening* opening = nullptr;
    routing_->directory.ForEach([&](const std::shared_ptr<ChannelState>& state) {
      if (state->name == channel) opening = state->opening.get();
    });
    return opening;
  }
  // Control begins anew; the engine keeps what it has.
  void Restart(const std::string& lines = "") {
    Settle();
    routing_ = nullptr;
    routing_ = std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_,
                                         Services(lines));
    const auto publishers = PublishService::Make({}, routing_->router.get());
    EXPECT_OK(RestoreEventRecords(engine_.get(), &routing_->directory, publishers.get(), &clock_));
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
  EXPECT_THAT(worker->Take(), SizeIs(10));  // they have waited for too long
  Ask(*worker, 3, "y");  // there is no room for it, and x does not make room either
  EXPECT_THAT(worker->Take(), ElementsAre("answer 3 refused 8"));
  slow_->EndFirst(kOpen);
  // Now x is idle and gives way.
  Ask(*worker, 4, "y");
  Settle();
  EXPECT_THAT(worker->Take(), ElementsAre("def y@0", "answer 4 y@0"));
}

TEST_F(SlowEngineTest, ANoticeWaitsForItsChannel) {
  const auto worker = MakeWaitingWorker();
  WantPattern(*worker, "x");
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  Notify("x", "presence.joined");
  EXPECT_THAT(worker->Take(), IsEmpty());
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0", "x~presence.joined"));
}

TEST_F(SlowEngineTest, ANoticeThatNobodyWantsDoesNotWait) {
  const auto worker = MakeWaitingWorker();
  Begin("x", 1);
  Notify("x", "presence.left");
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 1 x@0"));
}

TEST_F(SlowEngineTest, ANoticeForAPatternWaits) {
  const auto worker = MakeWaitingWorker();
  WantPattern(*worker, "**");
  Begin("x", 1);
  Notify("x", "presence.left");
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x~presence.left"));
}

TEST_F(SlowEngineTest, TooManyNoticesOfAChannelThatOpensAreDroppedAndCounted) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  for (size_t i = 0; i < ChannelOpening::kMaxNotices + 3; ++i) Notify("x", "presence.left");
  EXPECT_EQ(worker->link->stats().dropped, 3);
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), SizeIs(2 + ChannelOpening::kMaxNotices));
}

TEST_F(SlowEngineTest, WhatComesWhileTheWaitingOnesAreEndedGoesBehindThem) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Begin("x", 1);
  OpeningOf("x")->Wait({.kind = ChannelOpening::Kind::kNotice, .go = [&](const absl::Status&) {
                          Ask(*worker, 1, "x");
                          Notify("x", "second");
                        }});
  Notify("x", "first");
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x~first", "answer 1 x@0", "x~second"));
}

TEST_F(SlowEngineTest, ASubscribeIsRefusedIfItsChannelDoesNotOpen) {
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  Notify("x", "presence.left");
  clock_.Advance(ChannelOpening::kMaxWait / 2);
  Ask(*worker, 2, "x");
  clock_.Advance(ChannelOpening::kMaxWait / 2);
  routing_->directory.Sweep();
  EXPECT_THAT(worker->Take(), ElementsAre("answer 1 refused 14"));
  EXPECT_THAT(worker->LastResult().status().message(), HasSubstr("could not open the channel"));
  slow_->EndFirst(kOpen);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "answer 2 x@0"));
}

TEST_F(SlowEngineTest, NothingOfAClosedLinkWaits) {
  const auto worker = MakeWaitingWorker();
  Resume(*worker, "", 3);
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  EXPECT_GT(worker->link.use_count(), 1);
  worker->link->Close(absl::UnavailableError("gone"));
  routing_->subscriptions->ClearInterest(worker->link);
  EXPECT_EQ(worker->link.use_count(), 1);
  Settle();
  EXPECT_THAT(worker->TakeNotes(), IsEmpty());
}

TEST_F(SlowEngineTest, APublicationThatTheEngineRefusesLeavesAnOpenChannel) {
  Begin("x", 1);
  Begin("x", 2);
  slow_->EndFirst(kOpen);
  slow_->EndFirst(kAppend, absl::UnavailableError("the disk is full"));
  Settle();
  EXPECT_THAT(Receipts(), ElementsAre("1 refused", "2@1"));
}

TEST_F(SlowEngineTest, APolicyThatComesWhileAChannelOpensHolds) {
  Begin("x", 1);
  routing_->directory.SetServices(Services("  channels: [{pattern: '**', history_size: 2}]\n"));
  for (uint64_t tag = 2; tag <= 4; ++tag) Begin("x", tag);
  Settle();
  const auto kept = ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(kept);
  EXPECT_THAT(kept->publications, SizeIs(2));
}

TEST_F(SlowEngineTest, AnEventThatComesBeforeTheOpenedCallbackHasReturnedWaits) {
  const auto worker = MakeWaitingWorker();
  slow_->Delay({.opens = true});
  Want(*worker, "x");
  Begin("x", 1);
  const std::function<void()> end = slow_->BeginEnd(kOpen);
  Begin("x", 2);
  EXPECT_THAT(Receipts(), IsEmpty());
  end();
  Settle();
  EXPECT_THAT(worker->Take(), ElementsAre("def x@0", "x#1", "x#2"));
}

// Channels with history open while threads publish, subscribe, and attach by patterns.
TEST_F(SlowEngineTest, ThreadsMeetWhileChannelsOpen) {
  constexpr int kChannels = 60;
  const auto name = [](int i) { return absl::StrCat("a:", i); };
  std::vector<std::string> epochs;
  for (int i = 0; i < kChannels; ++i) epochs.push_back(Publish(name(i), 3).epoch.ToText());
  Restart();
  const auto by_name = MakeWaitingWorker();
  const auto by_pattern = MakeWaitingWorker();
  {
    const EnginePump pump(slow_);
    std::thread publisher([&] {
      for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < kChannels; ++i) Begin(name(i), 1);
      }
    });
    std::thread subscriber([&] {
      for (int i = 0; i < kChannels; ++i) {
        Want(*by_name, name(i));
        routing_->subscriptions->Subscribe(by_name->link, {.query_id = 1,
                                                           .service = "s",
                                                           .channel = name(i),
                                                           .recover = true,
                                                           .recover_epoch = epochs[i],
                                                           .recover_offset = 1});
        by_name->Drain();
      }
    });
    std::thread attached([&] {
      routing_->subscriptions->BeginSnapshot(by_pattern->link);
      WantPattern(*by_pattern, "a:*");
      for (int i = kChannels - 1; i >= 0; --i) {
        routing_->subscriptions->Resume(by_pattern->link, "s", name(i), epochs[i], 2);
      }
      routing_->subscriptions->EndSnapshot(by_pattern->link);
      by_pattern->Drain();
    });
    publisher.join();
    subscriber.join();
    attached.join();
  }
  for (FakeWorker* const worker : {by_name.get(), by_pattern.get()}) {
    worker->settle = [this] { Settle(); };
    worker->Drain();
    for (int i = 0; i < kChannels; ++i) EXPECT_EQ(worker->LastOffset(name(i)), 6) << name(i);
  }
  EXPECT_EQ(by_pattern->delivered(), 4 * kChannels);
  EXPECT_THAT(Receipts(), Not(Contains("1 refused")));
}

// ------------------------------------------------------------------------------- appends

TEST_F(SlowEngineTest, NobodyIsToldOfAPublicationBeforeItsSubscribers) {
  slow_->Delay({.appends = true});
  Begin("x", 1);
  Settle();
  Begin("x", 2);
  const std::function<void()> end = slow_->BeginEnd(kAppend);
  auto history = routing_->ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(history);
  EXPECT_EQ(history->head.offset, 1);
  EXPECT_THAT(history->publications, SizeIs(1));
  EXPECT_EQ(routing_->queries->GetChannel("s", "x")->history.head.offset, 1);
  end();
  history = routing_->ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(history);
  EXPECT_EQ(history->head.offset, 2);
}

TEST_F(SlowEngineTest, AnEventAndItsCopyAreRefusedTogether) {
  Use("  mirrors: [{events: ['*'], to: global}]\n");
  slow_->Delay({.appends = true});
  const auto worker = MakeWaitingWorker();
  Want(*worker, "global");
  Want(*worker, "a");
  for (uint64_t tag = 1; tag <= 2; ++tag) Begin("a", tag);
  slow_->FailAppend(0, absl::UnavailableError("the disk is full"));
  Settle();
  EXPECT_THAT(Receipts(), ElementsAre("1 refused", "2@1"));
  EXPECT_THAT(worker->Take(), ElementsAre("def a@0", "a#1", "def global@0", "global#1"));
}

TEST_F(SlowEngineTest, AReceiptForWrittenEndsWithTheRefusal) {
  slow_->Delay({.appends = true});
  slow_->SetMaxWaiting(1);
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Begin(MakeEvent("x"), 1, ReceiptLevel::kWritten);
  Begin(MakeEvent("x"), 2, ReceiptLevel::kWritten);  // there is no room for it
  slow_->EndFirst(kAppend, absl::UnavailableError("the disk is full"));
  EXPECT_THAT(Receipts(), ElementsAre("2 refused", "1 refused"));
  Pass(absl::Minutes(1));
  EXPECT_THAT(Receipts(), SizeIs(2));
}

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

// ------------------------------------------------------------------------------- reading

TEST_F(SlowEngineTest, AReadWaitsUntilItsChannelIsOpenAndItsHistoryFetched) {
  Publish("x", 5);
  Restart();
  const auto slice = BeginRead({.service = "s", .channel = "x"});
  slow_->EndFirst(kOpen);
  EXPECT_FALSE(slice->has_value());
  slow_->EndFirst(kFetch);
  ASSERT_TRUE(slice->has_value());
  ASSERT_OK(**slice);
  EXPECT_EQ((**slice)->head.offset, 5);
  EXPECT_THAT((**slice)->publications, SizeIs(5));
}

TEST_F(SlowEngineTest, AReadOfAChannelThatNobodyHasUsedSinceTheRestartFindsItsHistory) {
  const Position last = Publish("x", 150);
  Publish("y");
  Restart();
  const auto newest = ReadHistory({.service = "s", .channel = "x", .limit = 140, .reverse = true});
  ASSERT_OK(newest);
  EXPECT_EQ(newest->head, last);
  ASSERT_THAT(newest->publications, SizeIs(140));
  for (size_t i = 0; i < 140; ++i) {
    ASSERT_EQ(newest->publications[i]->offset(), 150 - static_cast<int64_t>(i));
  }
  EXPECT_TRUE(newest->more);
  // A channel that never was holds no more than a reader's place.
  const auto nothing = ReadHistory({.service = "s", .channel = "z", .since = last});
  ASSERT_OK(nothing);
  EXPECT_STREQ(nothing->incomplete_reason, "epoch_changed");
  EXPECT_EQ(routing_->queries->Counts("s").channels, 2);
}

TEST_F(SlowEngineTest, AReadIsRefusedIfThereIsNoRoomForItsChannel) {
  Publish("x");
  Restart("  max_unpublished_channels: 10\n");
  const auto worker = MakeWorker();
  for (int i = 0; i < 10; ++i) {
    Want(*worker, absl::StrCat("c", i));
    Subscribe(*worker, 1, absl::StrCat("c", i));
    Unwant(*worker, absl::StrCat("c", i));  // it may go, but not for a reader
  }
  EXPECT_THAT(ReadHistory({.service = "s", .channel = "x"}).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("max_unpublished_channels")));
  worker->Drain();
}

TEST_F(SlowEngineTest, AReadBeginsAgainIfHistoryIsTrimmedUnderIt) {
  Publish("x", 5);
  const auto slice = BeginRead({.service = "s", .channel = "x"});
  slow_->Delay({.fetches = true});
  routing_->directory.SetServices(Services("  channels: [{pattern: '**', history_size: 2}]\n"));
  Begin("x", 1);
  slow_->EndFirst(kFetch);
  Settle();
  ASSERT_TRUE(slice->has_value());
  ASSERT_OK(**slice);
  ASSERT_THAT((**slice)->publications, SizeIs(2));
  EXPECT_EQ((**slice)->publications[0]->offset(), 5);
  EXPECT_EQ((**slice)->head.offset, 6);
}

TEST_F(SlowEngineTest, AReadThatTheEngineCannotDoIsRefused) {
  Publish("x", 5);
  const auto slice = BeginRead({.service = "s", .channel = "x"});
  slow_->EndFirst(kFetch, absl::UnavailableError("the disk does not answer"));
  ASSERT_TRUE(slice->has_value());
  EXPECT_THAT((*slice)->status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("does not answer")));
}

TEST_F(SlowEngineTest, WhatWaitsForAChannelEndsWithControl) {
  Publish("x");
  Restart();
  const auto worker = MakeWaitingWorker();
  Want(*worker, "x");
  Ask(*worker, 1, "x");
  const auto slice = BeginRead({.service = "s", .channel = "x"});
  routing_->directory.EndWaiting();
  ASSERT_TRUE(slice->has_value());
  EXPECT_THAT((*slice)->status(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
  EXPECT_THAT(worker->Take(), ElementsAre("answer 1 refused 14"));
  engine_->Close();
  EXPECT_THAT(ReadHistory({.service = "s", .channel = "x"}).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("try again")));
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

TEST_F(SlowEngineTest, APatternKeepsThePositionOfAChannelThatIsNotWantedByNameAnyMore) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  Want(*worker, "x");
  WantPattern(*worker, "**");
  routing_->subscriptions->Resume(worker->link, "s", "x", epoch, 3);
  routing_->subscriptions->EndSnapshot(worker->link);
  Unwant(*worker, "x");
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4", "x#5"));
}

TEST_F(SlowEngineTest, ASubscribeByPatternFollowsWhatItsWorkerMissed) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWaitingWorker();
  Resume(*worker, epoch, 3);
  WantPattern(*worker, "**");
  routing_->subscriptions->Subscribe(
      worker->link, {.query_id = 1, .service = "s", .channel = "**", .pattern = true});
  EXPECT_THAT(worker->Take(), IsEmpty());
  Settle();
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4", "x#5", "answer 1"));
}

TEST_F(SlowEngineTest, APatternGetsWhatItMissedOfAChannelThatOpensOnlyAfterTheReport) {
  Publish("a:1", 2);
  clock_.Advance(absl::Seconds(1));
  const absl::Duration away = clock_.Now();
  Publish("a:1", 2);
  Restart();
  const auto worker = MakeWaitingWorker();
  worker->link->SetMissedSince(away);
  Begin("a:1", 1);  // the channel begins to open
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_THAT(worker->Take(), IsEmpty());
  worker->settle = [this] { Settle(); };
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@2", "a:1#3", "a:1#4", "a:1#5"));
}

TEST_F(SlowEngineTest, OfAChannelThatAnEarlierControlKeptAPatternGetsWhatIsNew) {
  Publish("a:1", 5);
  Restart();
  const auto worker = MakeWaitingWorker();
  worker->link->SetMissedSince(-absl::InfiniteDuration());  // as of a worker of an earlier control
  Begin("a:1", 1);
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  slow_->EndFirst(kOpen);
  routing_->subscriptions->EndSnapshot(worker->link);
  worker->settle = [this] { Settle(); };
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@5", "a:1#6"));
}

TEST_F(SlowEngineTest, AToldPositionPrevailsOverTheTimeOfAPattern) {
  const std::string epoch = Publish("x", 7).epoch.ToText();
  clock_.Advance(absl::Minutes(1));
  const auto worker = MakeWorker();
  worker->link->SetMissedSince(clock_.Now());
  Publish("x");
  routing_->subscriptions->BeginSnapshot(worker->link);
  Want(*worker, "x");
  WantPattern(*worker, "**");
  routing_->subscriptions->Resume(worker->link, "s", "x", epoch, 5);
  const auto other = MakeWorker();
  WantPattern(*other, "*");  // so that the patterns are looked at again
  Publish("x");
  routing_->subscriptions->EndSnapshot(worker->link);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "x#6", "x#7", "x#8", "x#9"));
}

TEST_F(SlowEngineTest, ANewChannelThatOpensHasNoGap) {
  const auto worker = MakeWaitingWorker();
  worker->link->SetMissedSince(clock_.Now());
  Begin("a:1", 1);
  routing_->subscriptions->BeginSnapshot(worker->link);
  WantPattern(*worker, "a:*");
  routing_->subscriptions->EndSnapshot(worker->link);
  Want(*worker, "a:1");
  Ask(*worker, 1, "a:1");
  slow_->EndFirst(kOpen);
  worker->settle = [this] { Settle(); };
  EXPECT_THAT(worker->Take(), ElementsAre("def a:1@0", "answer 1 a:1@0", "a:1#1"));
}

// The subscribe waits for the repair, and the repair for the engine.
TEST_F(SlowEngineTest, ASubscribeAndAPositionOfOneWorkerWaitTogether) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart();
  const auto worker = MakeWorker();
  Resume(*worker, epoch, 3);
  Ask(*worker, 1, "x");
  Settle();
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4", "x#5", "answer 1 x@5"));
}

TEST_F(SlowEngineTest, ARecoveryThatCannotBeReadIsRefused) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  slow_->Delay({.fetches = true});
  const auto worker = MakeWaitingWorker();
  settles_ = false;
  Want(*worker, "x");
  Recover(*worker, 1, "x", epoch, 2);
  slow_->EndFirst(kFetch, absl::UnavailableError("the disk does not answer"));
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 refused 14"));
  settles_ = true;
}

TEST_F(SlowEngineTest, PositionsBeyondTheReadersBudgetLoseNothing) {
  std::vector<std::string> epochs;
  for (int i = 0; i < 30; ++i) epochs.push_back(Publish(absl::StrCat("x", i), 3).epoch.ToText());
  Restart("  max_unpublished_channels: 10\n");
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  for (int i = 0; i < 30; ++i) {
    Want(*worker, absl::StrCat("x", i));
    routing_->subscriptions->Resume(worker->link, "s", absl::StrCat("x", i), epochs[i], 1);
  }
  routing_->subscriptions->EndSnapshot(worker->link);
  worker->Drain();
  for (int i = 0; i < 30; ++i) EXPECT_EQ(worker->LastOffset(absl::StrCat("x", i)), 3);
  EXPECT_EQ(worker->delivered(), 60);
}

TEST_F(SlowEngineTest, AChannelThatOpensAtOnceHasItsHistoryToo) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Publish("y", 5);
  Restart("  max_unpublished_channels: 10\n");
  slow_->Delay({});
  const auto worker = MakeWorker();
  Resume(*worker, epoch, 3);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@3", "x#4", "x#5"));
  Subscribe(*worker, 1, "y");
  Unwant(*worker, "y");
  // Neither takes a place of the channels without a publication.
  for (int i = 0; i < 10; ++i) Subscribe(*worker, 2, absl::StrCat("c", i));
  EXPECT_THAT(worker->Take(), Contains("answer 2 c9@0"));
  EXPECT_EQ(Publish("y").offset, 6);
}

TEST_F(SlowEngineTest, ANewPolicyHoldsForAKeptChannel) {
  const std::string epoch = Publish("x", 5).epoch.ToText();
  Restart("  channels: [{pattern: '**', history_size: 2}]\n");
  const auto worker = MakeWorker();
  Recover(*worker, 1, "x", epoch, 2);
  EXPECT_THAT(worker->Take(), ElementsAre("def x@5", "answer 1 x@5 history_expired"));
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
  clock_.Advance(absl::Minutes(1));
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

TEST_F(SlowEngineTest, AnIdempotencyKeyHoldsOverARestart) {
  Event event = MakeEvent("x", R"({"n": 1})");
  event.id = "event-1";
  event.idempotency_key = "k";
  Begin(event, 1);
  Event refused = MakeEvent("x");
  refused.idempotency_key = "refused";
  Begin(refused, 2);
  slow_->EndFirst(kOpen);
  slow_->EndFirst(kAppend);
  slow_->EndFirst(kAppend, absl::UnavailableError("the disk is full"));
  Restart();
  Begin(event, 3);
  Event other = MakeEvent("y", R"({"n": 1})");
  other.idempotency_key = "k";
  Begin(other, 4);
  Begin(refused, 5);
  Settle();
  EXPECT_THAT(Receipts(), ElementsAre("1@1", "2 refused", "3@1", "4 refused", "5@2"));
  EXPECT_TRUE(sink_.receipts()[2].outcome.duplicate);
  EXPECT_EQ(sink_.receipts()[2].id, "event-1");
  EXPECT_THAT(sink_.receipts()[3].outcome.status,
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("on channel \"x\"")));
  EXPECT_FALSE(sink_.receipts()[4].outcome.duplicate);
  // Its time goes on.
  clock_.Advance(absl::Minutes(9));
  Restart();
  clock_.Advance(absl::Minutes(2));
  Begin(event, 6);
  Settle();
  EXPECT_EQ(Receipts().back(), "6@3");
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
