#include "control/links/worker_link.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/links/subscribe.h"
#include "control/routing/channel_state.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "tests/control/routing/router_fixture.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FakeOwner final : public LinkOwner {
 public:
  void OnRoom(const std::shared_ptr<WorkerLink>& link) override {
    ++rooms;
    for (DirtyChannel dirty = link->NextDirty(); dirty.channel != nullptr;
         dirty = link->NextDirty()) {
      link->FinishDirty(dirty);
    }
    SubscribeRequest request;
    while (link->NextDeferred(&request)) {
    }
  }
  void OnExpired(WorkerLink* /*link*/, uint64_t tracking_id) override {
    expired.push_back(tracking_id);
  }

  int rooms = 0;
  std::vector<uint64_t> expired;
};

class WorkerLinkTest : public ::testing::Test {
 protected:
  void Make(const WorkerLink::Options& options) {
    worker_ = std::make_unique<FakeWorker>(1, options, &clock_, &owner_);
    link_ = worker_->link;
    offset_ = 0;
    epoch_ = Epoch::Random();
    handle_ = link_->Introduce({.service = "s", .channel = "x", .epoch = epoch_});
  }
  WorkerLinkTest() { Make({}); }

  // The channel's next publication, whose envelope has about `bytes` bytes.
  PublicationPtr Next(size_t bytes = 100, uint64_t tracking_id = 0,
                      absl::Duration expires_at = absl::InfiniteDuration()) {
    const size_t before = bytes - Publication::kSealBytes;
    PublicationPtr publication = Publication::Make({.event = "e",
                                                    .max_envelope_bytes = bytes,
                                                    .expires_at = expires_at,
                                                    .tracking_id = tracking_id});
    std::fill_n(publication->buffer(), before, '}');
    publication->SetEnvelope(before, 0, 0);
    publication->Seal(epoch_, ++offset_);
    return publication;
  }
  LinkOffer Deliver(size_t bytes = 100) {
    const LinkOffer offer = link_->Deliver(handle_, Next(bytes), /*repair=*/false);
    if (offer == LinkOffer::kFull) --offset_;
    return offer;
  }
  static std::unique_ptr<v1::ControlMessage> Grants() {
    auto message = std::make_unique<v1::ControlMessage>();
    message->mutable_slot_grants();
    return message;
  }
  static std::unique_ptr<v1::ControlMessage> Replies(size_t bytes) {
    auto message = std::make_unique<v1::ControlMessage>();
    message->mutable_client_replies()->add_replies()->set_data(std::string(bytes, 'x'));
    return message;
  }

  FakeClock clock_;
  FakeOwner owner_;
  std::unique_ptr<FakeWorker> worker_;
  std::shared_ptr<WorkerLink> link_;
  LinkHandle handle_;
  Epoch epoch_;
  int64_t offset_ = 0;
};

TEST_F(WorkerLinkTest, NothingIsWrittenBeforeAFlush) {
  Deliver();
  EXPECT_FALSE(worker_->writing());
  link_->Flush();
  EXPECT_TRUE(worker_->writing());
  EXPECT_THAT(worker_->Take(), ElementsAre("def x@0", "x#1"));
}

TEST_F(WorkerLinkTest, WhatQueuesDuringAWriteLeavesTogetherAfterIt) {
  Deliver();
  link_->Flush();
  for (int i = 0; i < 5; ++i) Deliver();
  link_->Flush();
  EXPECT_EQ(link_->stats().queued_items, 5);
  worker_->Complete();
  EXPECT_EQ(link_->stats().queued_items, 0);
  EXPECT_THAT(worker_->Take(), ElementsAre("def x@0", "x#1", "x#2", "x#3", "x#4", "x#5", "x#6"));
  EXPECT_EQ(link_->stats().sent_batches, 2);
}

TEST_F(WorkerLinkTest, ABatchIsBoundedInItemsAndInBytes) {
  for (int i = 0; i < 600; ++i) Deliver();
  link_->Flush();
  int batches = 0;
  while (worker_->Complete()) ++batches;
  EXPECT_EQ(batches, 3);
  for (int i = 0; i < 10; ++i) Deliver(100 << 10);
  link_->Flush();
  batches = 0;
  while (worker_->Complete()) ++batches;
  EXPECT_EQ(batches, 4);  // three of 100 KiB cross 256 KiB
  EXPECT_EQ(worker_->LastOffset("x"), 610);
}

TEST_F(WorkerLinkTest, HandlesCountFromOneAndAreNeverUsedAgain) {
  EXPECT_EQ(handle_.number, 1u);
  link_->Release(handle_);
  EXPECT_EQ(link_->Introduce({.service = "s", .channel = "x", .epoch = epoch_}).number, 2u);
  link_->Flush();
  EXPECT_THAT(worker_->Take(), ElementsAre("def x@0", "drop x", "def x@0"));
}

TEST_F(WorkerLinkTest, AnIntroductionCarriesWhatTheWorkerNeeds) {
  Make({});
  link_->Introduce({.service = "svc",
                    .channel = "metrics",
                    .dialect = Dialect::kSessionBuddy,
                    .epoch = Epoch{.value = 0xab},
                    .backlog_policy = 3,
                    .gap_policy = 2,
                    .offset = 9});
  link_->Flush();
  worker_->Drain();
  const v1::ChannelDef def = worker_->LastDef();
  EXPECT_EQ(def.handle(), 2u);
  EXPECT_EQ(def.service(), "svc");
  EXPECT_EQ(def.channel(), "metrics");
  EXPECT_EQ(def.dialect(), v1::DIALECT_SESSION_BUDDY);
  EXPECT_EQ(def.epoch(), "00000000000000ab");
  EXPECT_EQ(def.policy(), v1::BACKLOG_POLICY_LATEST);
  EXPECT_EQ(def.gap_policy(), v1::GAP_POLICY_CLOSE);
  EXPECT_EQ(def.offset(), 9);
}

// ------------------------------------------------------------------------------- bounds

TEST_F(WorkerLinkTest, AQueueOfTooManyItemsIsFullForLivePublicationsAlone) {
  Make({.max_queued_items = 4});
  EXPECT_EQ(Deliver(), LinkOffer::kQueued);
  EXPECT_EQ(Deliver(), LinkOffer::kQueued);
  EXPECT_EQ(Deliver(), LinkOffer::kQueued);
  EXPECT_EQ(Deliver(), LinkOffer::kFull);
  EXPECT_FALSE(link_->AcceptsAnswers(0));
  EXPECT_EQ(link_->Deliver(handle_, Next(), /*repair=*/true), LinkOffer::kQueued);
  EXPECT_EQ(link_->stats().queued_items, 5);
  link_->Flush();
  EXPECT_TRUE(link_->AcceptsAnswers(0));
  EXPECT_EQ(Deliver(), LinkOffer::kQueued);
}

TEST_F(WorkerLinkTest, AQueueOfTooManyBytesIsFull) {
  Make({.max_queued_bytes = 1000});
  EXPECT_EQ(Deliver(500), LinkOffer::kQueued);
  EXPECT_EQ(Deliver(600), LinkOffer::kFull);
  EXPECT_EQ(Deliver(400), LinkOffer::kQueued);
}

TEST_F(WorkerLinkTest, ThereIsRoomAgainAtAQuarter) {
  Make({.max_queued_items = 400});
  for (int i = 0; i < 400; ++i) Deliver();
  EXPECT_FALSE(link_->HasRoom());
  link_->Flush();  // takes 256 of 400
  EXPECT_EQ(link_->stats().queued_items, 144);
  EXPECT_FALSE(link_->HasRoom());
  worker_->Complete();
  EXPECT_TRUE(link_->HasRoom());
}

TEST_F(WorkerLinkTest, TheOwnerHearsOfRoomOnlyIfSomethingWaitsForIt) {
  link_->Flush();
  worker_->Drain();
  EXPECT_EQ(owner_.rooms, 0);
  link_->MarkDirty(std::make_shared<ChannelState>(), 0, clock_.Now());
  EXPECT_EQ(link_->stats().dirty_channels, 1);
  link_->Flush();
  EXPECT_EQ(owner_.rooms, 1);
  EXPECT_EQ(link_->stats().dirty_channels, 0);
  link_->Defer({.query_id = 1});
  link_->Flush();
  EXPECT_EQ(owner_.rooms, 2);
  link_->Flush();
  EXPECT_EQ(owner_.rooms, 2);
}

TEST_F(WorkerLinkTest, WithoutRoomTheOwnerIsNotCalledUntilTheQueueHasDrained) {
  Make({.max_queued_items = 8, .window_items = 1});
  worker_->acks = false;
  Deliver();
  link_->Flush();
  worker_->Drain();  // the window is used up
  for (int i = 0; i < 8; ++i) Deliver();
  link_->MarkDirty(std::make_shared<ChannelState>(), 0, clock_.Now());
  link_->Flush();
  EXPECT_EQ(owner_.rooms, 0);
  worker_->Ack();
  EXPECT_EQ(owner_.rooms, 1);
}

TEST_F(WorkerLinkTest, WhileHeldNothingThatWaitsIsTaken) {
  link_->SetHeld(true);
  EXPECT_FALSE(link_->AcceptsAnswers(0));
  link_->MarkDirty(std::make_shared<ChannelState>(), 0, clock_.Now());
  link_->Defer({.query_id = 1});
  link_->Flush();
  EXPECT_EQ(owner_.rooms, 0);
  SubscribeRequest request;
  EXPECT_EQ(link_->NextDirty().channel, nullptr);
  EXPECT_FALSE(link_->NextDeferred(&request));
  link_->SetHeld(false);
  EXPECT_EQ(link_->waiting_count(), 1u);
  EXPECT_EQ(link_->BeginDeferred(), 1u);
  EXPECT_NE(link_->NextDirty().channel, nullptr);
  EXPECT_TRUE(link_->NextDeferred(&request));
  EXPECT_EQ(request.query_id, 1u);
}

TEST_F(WorkerLinkTest, OneRepairsAtATimeAndLearnsThatMoreCame) {
  EXPECT_TRUE(link_->BeginRepair());
  EXPECT_FALSE(link_->BeginRepair());
  EXPECT_TRUE(link_->EndRepair());
  EXPECT_FALSE(link_->EndRepair());
  EXPECT_TRUE(link_->BeginRepair());
}

// ------------------------------------------------------------------------------- lanes

TEST_F(WorkerLinkTest, AServiceThatFillsTheQueueLeavesTheOthersTheirPart) {
  Make({.max_queued_items = 100});
  const LinkHandle other =
      link_->Introduce({.service = "t", .channel = "y", .lane = 1, .epoch = epoch_});
  while (Deliver() == LinkOffer::kQueued) {
  }
  EXPECT_FALSE(link_->AcceptsAnswers(0));
  EXPECT_TRUE(link_->AcceptsAnswers(1));
  int queued = 0;
  while (link_->Deliver(other, Next(), false) == LinkOffer::kQueued) ++queued;
  EXPECT_EQ(queued, 49);  // its introduction is one of its half
  EXPECT_LE(link_->stats().queued_items, 150);
}

TEST_F(WorkerLinkTest, AServiceThatFillsTheWindowLeavesTheOthersTheirPart) {
  Make({.window_items = 20});
  worker_->acks = false;
  for (int i = 0; i < 1000; ++i) Deliver();
  link_->Flush();
  worker_->Drain();
  ASSERT_GT(link_->stats().queued_items, 0);  // the window is shut
  const LinkHandle other = link_->Introduce(
      {.service = "t", .channel = "y", .lane = 1, .epoch = epoch_, .offset = offset_});
  for (int i = 0; i < 100; ++i) link_->Deliver(other, Next(), false);
  link_->Flush();
  worker_->Drain();
  EXPECT_GT(worker_->LastOffset("y"), 1000);
  const int64_t queued = link_->stats().queued_items;
  // Acknowledged, both go on.
  worker_->Ack();
  worker_->Drain();
  EXPECT_LT(link_->stats().queued_items, queued);
}

TEST_F(WorkerLinkTest, AQuietServiceIsNotBehindAllThatABusyOneHasQueued) {
  for (int i = 0; i < 5000; ++i) Deliver(1000);
  const LinkHandle other = link_->Introduce(
      {.service = "t", .channel = "y", .lane = 1, .epoch = epoch_, .offset = offset_});
  link_->Deliver(other, Next(), false);
  link_->Flush();
  worker_->Complete();
  EXPECT_EQ(worker_->LastOffset("y"), 5001);  // in the first batch
}

// ------------------------------------------------------------------------------- window

TEST_F(WorkerLinkTest, WithoutAcknowledgementTheWindowOfItemsClosesAndAnAckOpensIt) {
  Make({.window_items = 100});
  worker_->acks = false;
  for (int i = 0; i < 600; ++i) Deliver();
  link_->Flush();
  worker_->Drain();
  EXPECT_EQ(worker_->items(), 257u);  // one batch, with the event's name; the window was open once
  EXPECT_EQ(link_->stats().in_flight_items, 257);
  link_->OnAck(157, worker_->bytes());
  EXPECT_FALSE(worker_->writing());
  link_->OnAck(158, worker_->bytes());
  EXPECT_TRUE(worker_->writing());
  worker_->Drain();
  worker_->Ack();
  worker_->Drain();
  EXPECT_EQ(worker_->LastOffset("x"), 600);
  worker_->Ack();
  EXPECT_EQ(link_->stats().in_flight_items, 0);
  EXPECT_EQ(link_->stats().in_flight_bytes, 0);
}

TEST_F(WorkerLinkTest, TheWindowOfBytesCountsEnvelopes) {
  Make({.window_bytes = 900});
  worker_->acks = false;
  Deliver(1000);
  link_->Flush();
  Deliver(1000);
  worker_->Drain();
  EXPECT_EQ(worker_->LastOffset("x"), 1);
  EXPECT_EQ(link_->stats().in_flight_bytes, static_cast<int64_t>(worker_->bytes()));
  worker_->Ack();
  worker_->Drain();
  EXPECT_EQ(worker_->LastOffset("x"), 2);
}

TEST_F(WorkerLinkTest, AcksGoOnlyForwardAndNotBeyondWhatWasSent) {
  worker_->acks = false;
  for (int i = 0; i < 10; ++i) Deliver();
  link_->Flush();
  worker_->Drain();
  link_->OnAck(UINT64_MAX, UINT64_MAX);
  EXPECT_EQ(link_->stats().in_flight_items, 0);
  Deliver();
  link_->Flush();
  worker_->Drain();
  EXPECT_EQ(link_->stats().in_flight_items, 1);
  link_->OnAck(1, 1);
  EXPECT_EQ(link_->stats().in_flight_items, 1);
  EXPECT_GT(link_->stats().in_flight_bytes, 0);
}

TEST_F(WorkerLinkTest, ControlMessagesKnowNoWindowAndGoFirst) {
  Make({.window_items = 1});
  worker_->acks = false;
  Deliver();
  link_->Flush();
  for (int i = 0; i < 3; ++i) Deliver();
  EXPECT_TRUE(link_->Send(Grants()));
  worker_->Complete();
  EXPECT_TRUE(worker_->writing());
  worker_->Drain();
  EXPECT_EQ(worker_->LastOffset("x"), 1);
  EXPECT_EQ(link_->stats().queued_items, 3);
}

TEST_F(WorkerLinkTest, RepliesThatFindTooManyBytesWaitingAreDroppedAndOthersAreNot) {
  constexpr size_t kMost = WorkerLink::kMaxReplyBytes - 100;
  link_->Send(Grants());  // in flight
  EXPECT_TRUE(link_->Send(Replies(kMost)));
  EXPECT_FALSE(link_->Send(Replies(kMost)));
  EXPECT_TRUE(link_->Send(Grants()));
  worker_->Complete();
  worker_->Complete();
  EXPECT_TRUE(link_->Send(Replies(kMost)));
}

// ------------------------------------------------------------------------------- expiry

TEST_F(WorkerLinkTest, AnExpiredPublicationLeavesAsAGapAndItsTrackerIsTold) {
  const absl::Duration soon = clock_.Now() + absl::Seconds(1);
  link_->Deliver(handle_, Next(), false);
  link_->Deliver(handle_, Next(100, /*tracking_id=*/32, soon), false);
  link_->Deliver(handle_, Next(), false);
  clock_.Advance(absl::Seconds(1));
  link_->Flush();
  EXPECT_THAT(owner_.expired, ElementsAre(32));
  EXPECT_THAT(worker_->Take(), ElementsAre("def x@0", "x#1", "gap x 2-2 expired", "x#3"));
}

TEST_F(WorkerLinkTest, ABatchOfWhichNothingIsLeftIsNotWrittenAndTheNextOneIs) {
  const LinkHandle handle = handle_;
  link_->Flush();
  worker_->Drain();
  // Without position, so that no gap tells of them.
  for (uint64_t i = 1; i <= 300; ++i) {
    const PublicationPtr publication =
        Publication::Make({.event = "e",
                           .max_envelope_bytes = 2,
                           .expires_at = clock_.Now() + absl::Seconds(1),
                           .tracking_id = i});
    publication->SetEnvelope(2, 0, 0);
    link_->Deliver(handle, publication, false);
  }
  Deliver();
  clock_.Advance(absl::Seconds(1));
  link_->Flush();
  EXPECT_THAT(owner_.expired, SizeIs(300));
  EXPECT_THAT(worker_->Take(), ElementsAre("def x@0", "x#1"));
}

// ------------------------------------------------------------------------------- the end

TEST_F(WorkerLinkTest, CloseGivesUpWhatIsQueuedAndFinishesOnce) {
  Deliver();
  link_->MarkDirty(std::make_shared<ChannelState>(), 0, clock_.Now());
  link_->Close(absl::UnavailableError("bye"));
  EXPECT_TRUE(worker_->finished());
  EXPECT_THAT(worker_->finish_status(), StatusIs(absl::StatusCode::kUnavailable, "bye"));
  EXPECT_TRUE(link_->closed());
  EXPECT_EQ(Deliver(), LinkOffer::kClosed);
  link_->Release(handle_);
  link_->MarkDirty(std::make_shared<ChannelState>(), 0, clock_.Now());
  EXPECT_FALSE(link_->Send(Grants()));
  EXPECT_FALSE(link_->HasRoom());
  link_->Flush();
  link_->Close(absl::OkStatus());
  EXPECT_EQ(link_->stats().queued_items, 0);
  EXPECT_EQ(link_->stats().queued_bytes, 0);
  EXPECT_EQ(link_->stats().dirty_channels, 0);
  EXPECT_EQ(owner_.rooms, 0);
}

TEST_F(WorkerLinkTest, CloseWaitsForTheWriteInFlight) {
  Deliver();
  link_->Flush();
  link_->Close(absl::OkStatus());
  EXPECT_FALSE(worker_->finished());
  worker_->Complete();
  EXPECT_TRUE(worker_->finished());
  EXPECT_OK(worker_->finish_status());
}

TEST_F(WorkerLinkTest, AStreamThatBreaksEndsTheLinkAndFreesItsQueue) {
  Deliver();
  link_->Flush();
  for (int i = 0; i < 100; ++i) Deliver();
  worker_->Complete(/*ok=*/false);
  EXPECT_TRUE(worker_->finished());
  EXPECT_THAT(worker_->finish_status(),
              StatusIs(absl::StatusCode::kUnavailable, "the stream to the worker broke"));
  EXPECT_TRUE(link_->closed());
  EXPECT_EQ(link_->stats().queued_items, 0);
  EXPECT_EQ(link_->stats().queued_bytes, 0);
}

TEST_F(WorkerLinkTest, CountsWhatItDoes) {
  link_->CountDropped();
  link_->CountRepair();
  link_->Gap(handle_, 1, 2, "history_expired", epoch_);
  EXPECT_EQ(link_->stats().dropped, 1);
  EXPECT_EQ(link_->stats().repairs, 1);
  EXPECT_EQ(link_->stats().gaps, 1);
}

TEST_F(WorkerLinkTest, AnswersCarryTheirPagesAndRefusals) {
  link_->Deliver(handle_, Next(), false);
  SubscribeAnswer answer;
  answer.query_id = 7;
  answer.handle = handle_;
  answer.head = {.epoch = epoch_, .offset = 1};
  answer.recovered = true;
  answer.recover_count = 3;
  const int64_t head = offset_;
  offset_ = 10;
  answer.publications = {Next(), Next(100, 0, clock_.Now()), Next()};
  offset_ = head;
  answer.last_page = false;
  answer.next = {.epoch = epoch_, .offset = 13};
  link_->Answer(std::move(answer));
  SubscribeAnswer refusal;
  refusal.query_id = 8;
  refusal.status = absl::ResourceExhaustedError("too many");
  link_->Answer(std::move(refusal));
  link_->Flush();
  worker_->Complete();
  EXPECT_THAT(worker_->TakeNotes(),
              ElementsAre("def x@0", "x#1", "answer 7 x@1 recovered 11,-12,13 more after 13",
                          "answer 8 refused 8"));
  EXPECT_EQ(worker_->LastResult().status().message(), "too many");
}

// Writers, a reader of acks and the stream's own thread at once.
TEST_F(WorkerLinkTest, ManyThreadsMayQueueFlushAndAcknowledge) {
  Make({.window_items = 300});
  worker_->keep_notes = worker_->keep_deliveries = false;
  constexpr int kDeliveries = 5000;
  std::atomic<bool> over{false};
  std::thread queueing([&] {
    for (int i = 0; i < kDeliveries; ++i) {
      Deliver();
      if (i % 3 == 0) link_->Flush();
      if (i % 100 == 0) link_->Send(Grants());
    }
    link_->Flush();
  });
  std::thread asking([&] {
    while (!over) {
      link_->stats();
      link_->Flush();
      worker_->Ack();
      std::this_thread::yield();
    }
  });
  while (worker_->LastOffset("x") < kDeliveries) {
    if (!worker_->Complete()) std::this_thread::yield();
  }
  queueing.join();
  over = true;
  asking.join();
  worker_->Drain();
  EXPECT_EQ(worker_->delivered(), kDeliveries);
}

}  // namespace
}  // namespace fanwire::control
