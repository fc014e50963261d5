#include "control/links/link_repair.h"

#include <memory>

#include "control/routing/channel_state.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

constexpr absl::Duration kNever = absl::InfiniteDuration();

absl::Duration At(int seconds) { return absl::Seconds(seconds); }

class LinkRepairTest : public ::testing::Test {
 protected:
  // A second before `seconds`: what may have been queued later than it was received.
  static absl::Duration Since(int seconds) { return At(seconds - 1); }
  static DirtyChannel Dirty(const std::shared_ptr<ChannelState>& channel, int since,
                            uint32_t lane = 0) {
    return {.channel = channel, .lane = lane, .since = At(since)};
  }

  LinkRepair repair_;
  const std::shared_ptr<ChannelState> x_ = std::make_shared<ChannelState>();
  const std::shared_ptr<ChannelState> y_ = std::make_shared<ChannelState>();
};

// ------------------------------------------------------------------------------- what waits

TEST_F(LinkRepairTest, ChannelsAndSubscribesAreTakenInTheOrderTheyCame) {
  repair_.MarkDirty(Dirty(x_, 1));
  repair_.MarkDirty(Dirty(y_, 2));
  repair_.Defer({.query_id = 1});
  repair_.Defer({.query_id = 2});
  EXPECT_EQ(repair_.dirty_count(), 2u);
  EXPECT_EQ(repair_.deferred_count(), 2u);
  EXPECT_EQ(repair_.NextDirty().channel, x_);
  EXPECT_EQ(repair_.NextDirty().channel, y_);
  EXPECT_EQ(repair_.NextDirty().channel, nullptr);
  SubscribeRequest request;
  ASSERT_TRUE(repair_.NextDeferred(&request));
  EXPECT_EQ(request.query_id, 1u);
  ASSERT_TRUE(repair_.NextDeferred(&request));
  EXPECT_EQ(request.query_id, 2u);
  EXPECT_FALSE(repair_.NextDeferred(&request));
}

TEST_F(LinkRepairTest, AChannelThatWasTakenIsNotKept) {
  repair_.MarkDirty(Dirty(x_, 1));
  EXPECT_EQ(x_.use_count(), 2);
  repair_.NextDirty();
  EXPECT_EQ(x_.use_count(), 1);
}

TEST_F(LinkRepairTest, WhileHeldNothingIsTaken) {
  repair_.MarkDirty(Dirty(x_, 1));
  repair_.Defer({.query_id = 1});
  repair_.SetHeld(true);
  SubscribeRequest request;
  EXPECT_EQ(repair_.NextDirty().channel, nullptr);
  EXPECT_FALSE(repair_.NextDeferred(&request));
  EXPECT_EQ(repair_.dirty_count(), 1u);
  EXPECT_EQ(repair_.deferred_count(), 1u);
  repair_.SetHeld(false);
  EXPECT_EQ(repair_.NextDirty().channel, x_);
  EXPECT_TRUE(repair_.NextDeferred(&request));
}

TEST_F(LinkRepairTest, ClearForgetsWhatWaits) {
  repair_.MarkDirty(Dirty(x_, 1));
  repair_.Defer({.query_id = 1});
  repair_.Clear();
  EXPECT_EQ(repair_.dirty_count(), 0u);
  EXPECT_EQ(repair_.deferred_count(), 0u);
  EXPECT_EQ(x_.use_count(), 1);
}

// ------------------------------------------------------------------------------- whose turn it is

TEST_F(LinkRepairTest, IsWantedIfAChannelOrASubscribeWaits) {
  EXPECT_FALSE(repair_.IsWanted());
  repair_.MarkDirty(Dirty(x_, 1));
  EXPECT_TRUE(repair_.IsWanted());
  repair_.NextDirty();
  EXPECT_FALSE(repair_.IsWanted());
  repair_.Defer({.query_id = 1});
  EXPECT_TRUE(repair_.IsWanted());
}

TEST_F(LinkRepairTest, IsNotWantedWhileHeldOrWhileAThreadRepairs) {
  repair_.MarkDirty(Dirty(x_, 1));
  repair_.SetHeld(true);
  EXPECT_FALSE(repair_.IsWanted());
  repair_.SetHeld(false);
  repair_.Begin();
  EXPECT_FALSE(repair_.IsWanted());
  repair_.End();
  EXPECT_TRUE(repair_.IsWanted());
}

TEST_F(LinkRepairTest, OneThreadRepairsAtATimeAndGoesOnForTheOthers) {
  EXPECT_TRUE(repair_.Begin());
  EXPECT_FALSE(repair_.Begin());
  EXPECT_FALSE(repair_.Begin());
  EXPECT_TRUE(repair_.End());  // goes on, once for both
  EXPECT_FALSE(repair_.Begin());
  EXPECT_TRUE(repair_.End());
  EXPECT_FALSE(repair_.End());  // over
  EXPECT_TRUE(repair_.Begin());
  EXPECT_FALSE(repair_.End());
}

// ------------------------------------------------------------------------------- missed, unapplied

TEST_F(LinkRepairTest, ANewWorkerHasMissedNothing) {
  EXPECT_EQ(repair_.missed_since(), kNever);
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), kNever);
}

TEST_F(LinkRepairTest, BeforeItsFirstSnapshotAWorkerStillMissesWhatItHadMissed) {
  repair_.SetMissedSince(At(50));
  EXPECT_EQ(repair_.UnappliedSince(At(100), At(90)), At(50));
}

TEST_F(LinkRepairTest, TheFirstSnapshotKeepsWhatWasMissedAndALaterOneAddsWhatIsNotApplied) {
  repair_.SetMissedSince(At(50));
  repair_.BeginSnapshot(/*unapplied_since=*/At(40));
  EXPECT_TRUE(repair_.held());
  EXPECT_EQ(repair_.missed_since(), At(50));
  repair_.SetHeld(false);
  repair_.BeginSnapshot(/*unapplied_since=*/At(99));
  EXPECT_TRUE(repair_.held());
  EXPECT_EQ(repair_.missed_since(), At(99));
}

TEST_F(LinkRepairTest, WithoutAnythingUnderWayOnlyTheClockSlackIsUnapplied) {
  repair_.BeginSnapshot(kNever);
  repair_.SetHeld(false);
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(100));
}

TEST_F(LinkRepairTest, WhatTheQueueHasNotDeliveredIsUnapplied) {
  repair_.BeginSnapshot(kNever);
  repair_.SetHeld(false);
  EXPECT_EQ(repair_.UnappliedSince(At(100), At(70)), Since(70));
}

TEST_F(LinkRepairTest, WhileHeldWhatWasMissedBeforeIsUnapplied) {
  repair_.SetMissedSince(At(50));
  repair_.BeginSnapshot(At(50));
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(50));
  repair_.SetHeld(false);
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(100));
}

TEST_F(LinkRepairTest, WhileAChannelIsDirtyOrBeingRepairedWhatItMissedIsUnapplied) {
  repair_.BeginSnapshot(kNever);
  repair_.SetHeld(false);
  repair_.MarkDirty(Dirty(x_, 80));
  repair_.MarkDirty(Dirty(y_, 90, 3));
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(80));
  repair_.Begin();
  const DirtyChannel x = repair_.NextDirty(), y = repair_.NextDirty();
  // Neither the end of a round nor that nothing waits means that all is queued: the engine may be
  // fetching it.
  repair_.End();
  EXPECT_EQ(repair_.waiting_count(), 0u);
  EXPECT_EQ(repair_.dirty_count(), 2u);
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(80));
  repair_.Finish(y);
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(80));
  repair_.MarkDirtyAgain(x, At(95));
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(95));
  repair_.Finish(repair_.NextDirty());
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(100));
  EXPECT_EQ(repair_.dirty_count(), 0u);
}

TEST_F(LinkRepairTest, ALaneIsRepairedUpToWhatItsChannelsMiss) {
  EXPECT_TRUE(repair_.IsRepairedUpTo(1, At(100)));
  repair_.MarkDirty(Dirty(x_, 80, 1));
  EXPECT_FALSE(repair_.IsRepairedUpTo(1, At(80)));
  EXPECT_TRUE(repair_.IsRepairedUpTo(1, At(79)));
  EXPECT_TRUE(repair_.IsRepairedUpTo(0, At(100)));
  EXPECT_TRUE(repair_.IsRepairedUpTo(2, At(100)));
  repair_.MarkDirtyAgain(repair_.NextDirty(), At(90));
  EXPECT_TRUE(repair_.IsRepairedUpTo(1, At(89)));
  EXPECT_FALSE(repair_.IsRepairedUpTo(1, At(90)));
}

TEST_F(LinkRepairTest, ASubscribeThatWasTriedIsNoWorkBeforeSomethingChanges) {
  repair_.Defer({.query_id = 1});
  EXPECT_TRUE(repair_.HasWork());
  EXPECT_EQ(repair_.BeginDeferred(), 1u);
  SubscribeRequest request;
  ASSERT_TRUE(repair_.NextDeferred(&request));
  repair_.DeferAgain(std::move(request));
  EXPECT_FALSE(repair_.HasWork());
  repair_.Finish(Dirty(x_, 80));
  EXPECT_TRUE(repair_.HasWork());
  repair_.BeginDeferred();
  EXPECT_FALSE(repair_.HasWork());
  repair_.SetHeld(true);
  repair_.SetHeld(false);
  EXPECT_TRUE(repair_.HasWork());
  repair_.BeginDeferred();
  repair_.Defer({.query_id = 2});
  EXPECT_TRUE(repair_.HasWork());
}

TEST_F(LinkRepairTest, AFetchThatEndsAfterTheLinkDidNoHarm) {
  repair_.MarkDirty(Dirty(x_, 80));
  const DirtyChannel dirty = repair_.NextDirty();
  repair_.Clear();
  repair_.Finish(dirty);
  EXPECT_EQ(repair_.dirty_count(), 0u);
}

}  // namespace
}  // namespace fanwire::control
