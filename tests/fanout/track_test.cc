#include "fanout/track.h"

#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class TrackTest : public ::testing::Test {
 protected:
  absl::Duration now_ = absl::Seconds(5);
  std::vector<std::pair<Track, bool>> reports_;
  TrackTable table_{
      [this] { return now_; },
      [this](const Track& track, bool final) { reports_.emplace_back(track, final); }};
};

TEST_F(TrackTest, APublicationWrittenAtOnceIsReportedOnceAndFinally) {
  Track* const track = table_.Open(7);
  track->matched = 3;
  now_ += absl::Microseconds(250);
  table_.Written(track, 3);
  EXPECT_THAT(reports_, IsEmpty());
  table_.FannedOut(track);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_TRUE(reports_[0].second);
  EXPECT_EQ(reports_[0].first.publication_id, 7u);
  EXPECT_EQ(reports_[0].first.written, 3);
  EXPECT_EQ(reports_[0].first.first_written_us, 250);
  EXPECT_TRUE(table_.empty());
}

TEST_F(TrackTest, WithoutSubscribersItEndsWithItsFanOut) {
  table_.FannedOut(table_.Open(1));
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_TRUE(reports_[0].second);
  EXPECT_EQ(reports_[0].first.matched, 0);
  EXPECT_EQ(reports_[0].first.first_written_us, 0);
}

TEST_F(TrackTest, WhatWaitsDelaysTheFinalReport) {
  Track* const track = table_.Open(1);
  track->matched = 2;
  track->waiting = 2;
  table_.Written(track, 1);
  table_.Settled(track);
  table_.FannedOut(track);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_FALSE(reports_[0].second);
  ++track->lost_connection;
  table_.Settled(track);
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_TRUE(reports_[1].second);
  EXPECT_EQ(reports_[1].first.lost_connection, 1);
  EXPECT_TRUE(table_.empty());
}

TEST_F(TrackTest, ItDoesNotEndBeforeTheFanOutHasVisitedAll) {
  Track* const track = table_.Open(1);
  track->waiting = 1;
  table_.Settled(track);
  EXPECT_THAT(reports_, IsEmpty());
  table_.FannedOut(track);
  EXPECT_THAT(reports_, SizeIs(1));
}

TEST_F(TrackTest, ChangesAreReportedOnceEach) {
  Track* const track = table_.Open(1);
  track->waiting = 2;
  table_.ReportChanges();
  EXPECT_THAT(reports_, IsEmpty());  // the fan-out is not over
  table_.FannedOut(track);
  table_.ReportChanges();
  EXPECT_THAT(reports_, SizeIs(1));
  ++track->expired;
  table_.Settled(track);
  table_.ReportChanges();
  table_.ReportChanges();
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_FALSE(reports_[1].second);
  table_.Settled(track);
  EXPECT_TRUE(reports_.back().second);
}

TEST_F(TrackTest, FirstAndLastWriteAreTimedAndAtLeastAMicrosecond) {
  Track* const track = table_.Open(1);
  table_.Written(track, 0);
  EXPECT_EQ(track->first_written_us, 0);
  table_.Written(track, 1);
  EXPECT_EQ(track->first_written_us, 1);
  now_ += absl::Milliseconds(3);
  table_.Written(track, 1);
  EXPECT_EQ(track->first_written_us, 1);
  EXPECT_EQ(track->last_written_us, 3000);
  table_.FannedOut(track);
}

TEST_F(TrackTest, AfterItsAttachmentIsGoneNobodyIsTold) {
  Track* const waiting = table_.Open(1);
  waiting->waiting = 1;
  Track* const under_way = table_.Open(2);
  table_.Disown();
  table_.FannedOut(waiting);
  table_.Settled(waiting);
  table_.FannedOut(under_way);
  EXPECT_THAT(reports_, IsEmpty());
  EXPECT_TRUE(table_.empty());
}

TEST_F(TrackTest, DropsAreSummedOverTheirReasons) {
  Track track;
  track.dropped[static_cast<size_t>(DropReason::kDropOldest)] = 2;
  track.dropped[static_cast<size_t>(DropReason::kSlowClosed)] = 3;
  EXPECT_EQ(track.dropped_total(), 5);
}

}  // namespace
}  // namespace fanwire::fanout
