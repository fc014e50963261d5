#include "fanout/quota_lease.h"

#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

TEST(QuotaLeaseTest, NothingIsTakenThatWasNotGranted) {
  QuotaLease lease;
  EXPECT_FALSE(lease.Take());
  lease.Grant(2);
  EXPECT_TRUE(lease.Take());
  EXPECT_TRUE(lease.Take());
  EXPECT_FALSE(lease.Take());
  lease.Give();
  EXPECT_TRUE(lease.Take());
  EXPECT_EQ(lease.in_use(), 2u);
}

TEST(QuotaLeaseTest, AChunkIsAskedForInAdvanceAndOnlyOnce) {
  QuotaLease lease;
  EXPECT_EQ(lease.Wanted(/*limit=*/1000), 15u);  // a chunk is limit / 64
  EXPECT_EQ(lease.Wanted(1000), 0u);
  lease.Grant(15);
  EXPECT_EQ(lease.Wanted(1000), 0u);
}

TEST(QuotaLeaseTest, SmallLimitsAreLeasedByEight) {
  QuotaLease lease;
  EXPECT_EQ(lease.Wanted(/*limit=*/10), 8u);
}

TEST(QuotaLeaseTest, MoreIsAskedForBeforeTheLastChunkIsUsedUp) {
  QuotaLease lease;
  lease.Wanted(/*limit=*/640);
  lease.Grant(10);
  for (int i = 0; i < 8; ++i) lease.Take();
  EXPECT_EQ(lease.Wanted(640), 0u);  // two are left
  lease.Take();
  EXPECT_EQ(lease.Wanted(640), 19u);
}

TEST(QuotaLeaseTest, WhoWaitsIsCountedAsNeeded) {
  QuotaLease lease;
  lease.Wanted(/*limit=*/512);
  lease.Grant(0);
  EXPECT_EQ(lease.Wanted(512), 0u);  // control knows, and grants what becomes free
  lease.AddWaiter();
  EXPECT_EQ(lease.Wanted(512), 9u);
  lease.RemoveWaiter();
  EXPECT_EQ(lease.waiting(), 0u);
}

TEST(QuotaLeaseTest, IdleSlotsAreGivenBack) {
  QuotaLease lease;
  lease.Grant(100);
  for (int i = 0; i < 3; ++i) lease.Take();
  EXPECT_EQ(lease.Wanted(/*limit=*/512), 11u);  // in use, and a chunk
}

TEST(QuotaLeaseTest, AGrantOfLessKeepsWhatIsInUseAndIsToBeAnswered) {
  QuotaLease lease;
  EXPECT_FALSE(lease.Grant(4));
  for (int i = 0; i < 3; ++i) lease.Take();
  EXPECT_TRUE(lease.Grant(1));
  EXPECT_EQ(lease.held(), 3u);
  EXPECT_FALSE(lease.Take());
}

TEST(QuotaLeaseTest, ANewControlIsAskedAnew) {
  QuotaLease lease;
  const uint32_t first = lease.Wanted(1000);
  lease.Reset();
  EXPECT_EQ(lease.Wanted(1000), first);
}

TEST(QuotaLeaseTest, WhatIsHeldIsWhatIsAskedForAfterAResetWithEnough) {
  QuotaLease lease;
  lease.Grant(20);
  for (int i = 0; i < 5; ++i) lease.Take();
  lease.Reset();
  EXPECT_EQ(lease.Wanted(/*limit=*/512), 20u);
}

}  // namespace
}  // namespace fanwire::fanout
