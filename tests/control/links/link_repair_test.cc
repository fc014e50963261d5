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

  LinkRepair repair_;
  const std::shared_ptr<ChannelState> x_ = std::make_shared<ChannelState>();
  const std::shared_ptr<ChannelState> y_ = std::make_shared<ChannelState>();
};

// ------------------------------------------------------------------------------- what waits

TEST_F(LinkRepairTest, ChannelsAndSubscribesAreTakenInTheOrderTheyCame) {
  repair_.MarkDirty(x_, At(1));
  repair_.MarkDirty(y_, At(2));
  repair_.Defer({.query_id = 1});
  repair_.Defer({.query_id = 2});
  EXPECT_EQ(repair_.dirty_count(), 2u);
  EXPECT_EQ(repair_.deferred_count(), 2u);
  EXPECT_EQ(repair_.NextDirty(), x_);
  EXPECT_EQ(repair_.NextDirty(), y_);
  EXPECT_EQ(repair_.NextDirty(), nullptr);
  SubscribeRequest request;
  ASSERT_TRUE(repair_.NextDeferred(&request));
  EXPECT_EQ(request.query_id, 1u);
  ASSERT_TRUE(repair_.NextDeferred(&request));
  EXPECT_EQ(request.query_id, 2u);
  EXPECT_FALSE(repair_.NextDeferred(&request));
}

TEST_F(LinkRepairTest, AChannelThatWasTakenIsNotKept) {
  repair_.MarkDirty(x_, At(1));
  EXPECT_EQ(x_.use_count(), 2);
  repair_.NextDirty();
  EXPECT_EQ(x_.use_count(), 1);
}

TEST_F(LinkRepairTest, WhileHeldNothingIsTaken) {
  repair_.MarkDirty(x_, At(1));
  repair_.Defer({.query_id = 1});
  repair_.SetHeld(true);
  SubscribeRequest request;
  EXPECT_EQ(repair_.NextDirty(), nullptr);
  EXPECT_FALSE(repair_.NextDeferred(&request));
  EXPECT_EQ(repair_.dirty_count(), 1u);
  EXPECT_EQ(repair_.deferred_count(), 1u);
  repair_.SetHeld(false);
  EXPECT_EQ(repair_.NextDirty(), x_);
  EXPECT_TRUE(repair_.NextDeferred(&request));
}

TEST_F(LinkRepairTest, ClearForgetsWhatWaits) {
  repair_.MarkDirty(x_, At(1));
  repair_.Defer({.query_id = 1});
  repair_.Clear();
  EXPECT_EQ(repair_.dirty_count(), 0u);
  EXPECT_EQ(repair_.deferred_count(), 0u);
  EXPECT_EQ(x_.use_count(), 1);
}

// ------------------------------------------------------------------------------- whose turn it is

TEST_F(LinkRepairTest, IsWantedIfAChannelOrASubscribeWaits) {
  EXPECT_FALSE(repair_.IsWanted());
  repair_.MarkDirty(x_, At(1));
  EXPECT_TRUE(repair_.IsWanted());
  repair_.NextDirty();
  EXPECT_FALSE(repair_.IsWanted());
  repair_.Defer({.query_id = 1});
  EXPECT_TRUE(repair_.IsWanted());
}

TEST_F(LinkRepairTest, IsNotWantedWhileHeldOrWhileAThreadRepairs) {
  repair_.MarkDirty(x_, At(1));
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
  repair_.MarkDirty(x_, At(80));
  repair_.MarkDirty(y_, At(90));
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(80));
  repair_.Begin();
  repair_.NextDirty();
  repair_.NextDirty();
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(80));  // not all of it is queued
  repair_.End();
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(100));
}

TEST_F(LinkRepairTest, ARepairThatLeavesAChannelDirtyLeavesItUnapplied) {
  repair_.BeginSnapshot(kNever);
  repair_.SetHeld(false);
  repair_.MarkDirty(x_, At(80));
  repair_.Begin();
  EXPECT_FALSE(repair_.End());
  EXPECT_EQ(repair_.UnappliedSince(At(100), kNever), Since(80));
}

TEST_F(LinkRepairTest, WhileAChannelIsDirtyWhatWasMissedBeforeIsUnapplied) {
  repair_.SetMissedSince(At(50));
  repair_.BeginSnapshot(kNever);
  repair_.SetHeld(false);
  repair_.MarkDirty(x_, At(80));
  EXPECT_EQ(repair_.UnappliedSince(At(100), At(90)), Since(50));
}

}  // namespace
}  // namespace fanwire::control
