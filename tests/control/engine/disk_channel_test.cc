#include "control/engine/disk_channel.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"

namespace fanwire::control {

namespace {

using Found = DiskChannel::Found;

class DiskChannelTest : public ::testing::Test {
 protected:
  explicit DiskChannelTest(const HistoryPolicy& policy = kKeepAll)
      : channel_(new DiskChannel("name", policy, &use_)) {
    channel_->Open({.epoch = {1}}, clock_.Now());
  }

  PublicationPtr Make(int64_t offset) {
    PublicationPtr publication = MakePublication(clock_, offset);
    publication->Seal({1}, offset);
    return publication;
  }
  void Keep(int count, bool stored = true) {
    for (int i = 0; i < count; ++i) {
      channel_->Keep(Make(channel_->head().offset + 1), stored ? 200 : 0, stored, clock_.Now());
    }
  }
  std::shared_ptr<HistoryPage> Page(int64_t first, int64_t last) {
    auto page = std::make_shared<HistoryPage>();
    for (int64_t offset = first; offset <= last; ++offset) {
      page->publications.push_back(Make(offset));
    }
    return page;
  }
  Found Read(int64_t after, int64_t until, std::vector<PublicationPtr>* page) {
    page->clear();
    return channel_->Read(after, until, 1 << 20, clock_.Now(), page);
  }

  FakeClock clock_;
  CacheUse use_;
  DiskChannelPtr channel_;
};

TEST_F(DiskChannelTest, WhatIsNotInMemoryIsOnTheDisk) {
  Keep(10);
  channel_->DropCached(6);
  EXPECT_FALSE(channel_->IsCached(6));
  EXPECT_TRUE(channel_->IsCached(7));
  std::vector<PublicationPtr> page;
  EXPECT_EQ(Read(5, 10, &page), Found::kOnDisk);
  EXPECT_EQ(Read(6, 10, &page), Found::kRead);
  EXPECT_EQ(page.size(), 4);
  const auto fetched = Page(3, 5);
  channel_->AddPage(fetched);
  EXPECT_FALSE(channel_->IsUsed(*fetched));
  EXPECT_EQ(Read(3, 10, &page), Found::kRead);
  EXPECT_EQ(page.size(), 2);
  EXPECT_TRUE(channel_->IsUsed(*fetched));
  EXPECT_TRUE(channel_->KeepInMemory(5));
  EXPECT_FALSE(channel_->IsUsed(*fetched));
  EXPECT_FALSE(channel_->KeepInMemory(6));
  channel_->DropPage(fetched.get());
  EXPECT_EQ(Read(3, 10, &page), Found::kOnDisk);
}

TEST_F(DiskChannelTest, ItsMemoryIsCountedAndGivenBack) {
  Keep(10);
  EXPECT_EQ(use_.publications, 10);
  EXPECT_GT(use_.bytes, 10 * 100);
  channel_->DropCached(4);
  EXPECT_EQ(use_.publications, 6);
  channel_->SetPolicy({.size = 2}, clock_.Now());
  EXPECT_EQ(use_.publications, 2);
  channel_ = nullptr;
  EXPECT_EQ(use_.publications, 0);
  EXPECT_EQ(use_.bytes, 0);
}

TEST_F(DiskChannelTest, AFloorLeavesOutWhatTheNextPublicationsPushOut) {
  channel_->SetPolicy({.size = 5}, clock_.Now());
  Keep(5);
  EXPECT_EQ(channel_->FloorFor(5, clock_.Now()).offset, 1);
  EXPECT_EQ(channel_->FloorFor(7, clock_.Now()).offset, 3);
  EXPECT_EQ(channel_->FloorFor(7, clock_.Now()).bytes, 400);
  EXPECT_EQ(channel_->FloorFor(20, clock_.Now()).offset, 16);
  // Nothing has been dropped yet.
  EXPECT_EQ(channel_->Describe(clock_.Now()).oldest_offset, 1);
}

TEST_F(DiskChannelTest, SamplesAreBoundedAndTellTheAge) {
  // A publication each second for an hour, all but the newest on the disk only.
  for (int i = 0; i < 3600; ++i) {
    clock_.Advance(absl::Seconds(1));
    Keep(1);
  }
  channel_->DropCached(3590);
  const absl::Duration begin = clock_.Now() - absl::Seconds(3600);
  for (int second = 0; second < 3600; second += 7) {
    const int64_t exact = second + 1;  // received at `second` + 1
    const int64_t found = channel_->FirstSince(begin + absl::Seconds(second + 1));
    EXPECT_LE(found, exact);
    EXPECT_GT(found, exact - 200);
  }
  channel_->SetPolicy({.size = 10'000, .ttl = absl::Seconds(1000)}, clock_.Now());
  const int64_t oldest = channel_->Describe(clock_.Now()).oldest_offset;
  EXPECT_LE(oldest, 2601);
  EXPECT_GT(oldest, 2401);
  EXPECT_NEAR(static_cast<double>(channel_->Describe(clock_.Now()).bytes),
              static_cast<double>(3600 - oldest + 1) * 200, 10.0);
}

TEST_F(DiskChannelTest, AReadSeesWhatIsTooOldAlthoughSamplesDoNot) {
  Keep(60);
  clock_.Advance(absl::Milliseconds(500));
  Keep(3);  // no sample tells these from the others
  channel_->DropCached(63);
  channel_->SetPolicy({.size = 1000, .ttl = absl::Seconds(10)}, clock_.Now());
  auto page = std::make_shared<HistoryPage>();
  const absl::Duration received = clock_.Now() - absl::Milliseconds(500);
  for (int64_t offset = 1; offset <= 63; ++offset) {
    PublicationPtr publication =
        Publication::Make({.max_envelope_bytes = 2 + Publication::kSealBytes,
                           .received_at = offset <= 60 ? received : clock_.Now()});
    std::copy_n("{}", 2, publication->buffer());
    publication->SetEnvelope(2, 0, 0);
    publication->Seal({1}, offset);
    page->publications.push_back(publication);
  }
  channel_->AddPage(page);
  clock_.Advance(absl::Milliseconds(9500));
  std::vector<PublicationPtr> read;
  const int64_t oldest = channel_->Describe(clock_.Now()).oldest_offset;
  EXPECT_LT(oldest, 61);
  EXPECT_EQ(Read(oldest - 1, 63, &read), Found::kGone);
  EXPECT_EQ(channel_->Describe(clock_.Now()).oldest_offset, 61);
  EXPECT_EQ(Read(60, 63, &read), Found::kRead);
  EXPECT_EQ(read.size(), 3);
}

TEST_F(DiskChannelTest, AfterAHoleHistoryBeginsBehindIt) {
  Keep(10);
  channel_->DropCached(10);
  channel_->Lost(4);
  EXPECT_EQ(channel_->Describe(clock_.Now()).oldest_offset, 4);
  channel_->Lost(100);
  EXPECT_EQ(channel_->Describe(clock_.Now()).publications, 0);
  EXPECT_EQ(channel_->head().offset, 10);
}

TEST_F(DiskChannelTest, WhatIsNotStoredEndsHistory) {
  Keep(5);
  Keep(2, /*stored=*/false);
  EXPECT_EQ(channel_->head().offset, 7);
  EXPECT_EQ(channel_->Describe(clock_.Now()).publications, 0);
  EXPECT_EQ(use_.publications, 0);
  Keep(3);
  EXPECT_EQ(channel_->Describe(clock_.Now()).oldest_offset, 8);
  EXPECT_EQ(channel_->Describe(clock_.Now()).bytes, 600);
}

TEST_F(DiskChannelTest, TheOldestGoFromTheCacheWhateverTheirChannel) {
  HistoryCache cache(1);
  const DiskChannelPtr other(new DiskChannel("other", kKeepAll, cache.use()));
  other->Open({.epoch = {2}}, clock_.Now());
  const PublicationPtr publication = MakePublication(clock_, 1);
  publication->Seal({2}, 1);
  other->Keep(publication, 100, true, clock_.Now());
  EXPECT_TRUE(other->IsCached(1));
  cache.Add(other.get(), 1);
  EXPECT_FALSE(other->IsCached(1));
  EXPECT_EQ(cache.use()->bytes, 0);
}

}  // namespace
}  // namespace fanwire::control
