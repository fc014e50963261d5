// What every engine promises (control/engine/engine.h).

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "control/engine/engine.h"
#include "control/engine/redis_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/fakes/fake_engine.h"
#include "tests/testing/redis_server.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class EngineContractTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::function<void()> settle;
    if (GetParam() == "memory") {
      engine_ = MakeMemoryEngine(64 << 20);
    } else if (GetParam() == "fake") {
      auto fake = std::make_unique<FakeEngine>();
      fake->Delay(FakeEngine::kAll);
      settle = [raw = fake.get()] { raw->Settle(); };
      engine_ = std::move(fake);
    } else if (GetParam() == "redis") {
      server_ = std::make_unique<RedisServer>();
      engine_ = MakeRedisEngine({.server = server_->address()}, &clock_);
    } else {
      engine_ = MakeRocksDbEngine({.path = folder_.path()}, &clock_);
    }
    ASSERT_OK(engine_->Start());
    user_ = std::make_unique<EngineUser>(engine_.get(), &clock_, settle);
  }
  void TearDown() override { engine_->Close(); }

  TestFolder folder_;
  FakeClock clock_;
  std::unique_ptr<RedisServer> server_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EngineUser> user_;
};

INSTANTIATE_TEST_SUITE_P(Engines, EngineContractTest,
                         ::testing::Values("memory", "fake", "rocksdb", "redis"),
                         [](const auto& info) { return info.param; });

TEST_P(EngineContractTest, ANewChannelHasAnEpochAndNothingElse) {
  const auto channel = user_->Open("a"), other = user_->Open("b");
  EXPECT_NE(channel->head().epoch, Epoch());
  EXPECT_NE(channel->head().epoch, other->head().epoch);
  EXPECT_EQ(channel->head().offset, 0);
  const HistoryState state = channel->Describe(clock_.Now());
  EXPECT_EQ(state.oldest_offset, 0);
  EXPECT_EQ(state.publications, 0);
  EXPECT_EQ(state.bytes, 0);
  EXPECT_TRUE(channel->Trim(clock_.Now()));
  EXPECT_EQ(channel->oldest_received_at(), absl::InfiniteDuration());
  EXPECT_EQ(channel->FirstSince(-absl::InfiniteDuration()), 1);
  EXPECT_OK(engine_->Health());
}

TEST_P(EngineContractTest, CallbacksOfAChannelComeInTheOrderOfTheCalls) {
  // Of two channels in turn; every third publication is not kept.
  const auto a = user_->BeginOpen("a"), b = user_->BeginOpen("b");
  std::vector<PublicationPtr> publications;
  std::vector<std::string> expected_a = {"open a"}, expected_b = {"open b"};
  for (int64_t n = 0; n < 60; ++n) {
    const bool first = n % 2 == 0;
    const std::string label = (first ? "a" : "b") + std::to_string(n);
    publications.push_back(MakePublication(clock_, n));
    ASSERT_NE(user_->BeginAppend({{.channel = first ? a.get() : b.get(),
                                   .publication = publications.back(),
                                   .keep = n % 3 != 0}},
                                 label),
              AppendOutcome::kFull);
    (first ? expected_a : expected_b).push_back(label);
  }
  ASSERT_TRUE(user_->Wait([&] { return user_->log().size() == 62; }));
  std::vector<std::string> of_a, of_b;
  for (const std::string& line : user_->log()) {
    (line[0] == 'a' || line == "open a" ? of_a : of_b).push_back(line);
  }
  EXPECT_EQ(of_a, expected_a);
  EXPECT_EQ(of_b, expected_b);
  int64_t next_a = 0, next_b = 0;
  for (size_t n = 0; n < publications.size(); ++n) {
    int64_t& next = n % 2 == 0 ? next_a : next_b;
    EXPECT_EQ(publications[n]->offset(), n % 3 == 0 ? 0 : ++next) << n;
  }
  EXPECT_EQ(a->head().offset, 20);
  EXPECT_EQ(user_->Read(b.get(), 0, 100).size(), 20);
}

TEST_P(EngineContractTest, AnEventAndItsMirrorsAreAllKept) {
  const auto origin = user_->Open("a"), mirror = user_->Open("b"), other = user_->Open("c");
  user_->Fill(mirror.get(), 4);
  const PublicationPtr first = MakePublication(clock_, 1), second = MakePublication(clock_, 2),
                       third = MakePublication(clock_, 3);
  user_->BeginAppend({{.channel = origin.get(), .publication = first},
                      {.channel = mirror.get(), .publication = second},
                      {.channel = other.get(), .publication = third, .keep = false}},
                     "all");
  ASSERT_TRUE(user_->Wait([&] { return user_->Count("all") == 1; }));
  EXPECT_EQ(first->offset(), 1);
  EXPECT_EQ(first->epoch(), origin->head().epoch);
  EXPECT_EQ(second->offset(), 5);
  EXPECT_EQ(second->epoch(), mirror->head().epoch);
  EXPECT_EQ(third->offset(), 0);
  EXPECT_EQ(other->head().offset, 0);
}

TEST_P(EngineContractTest, WhatIsReadIsWhatWasAppended) {
  const auto channel = user_->Open("a");
  std::vector<PublicationPtr> appended;
  for (int64_t n = 1; n <= 5; ++n) {
    appended.push_back(MakePublication(clock_, n, 150, absl::Seconds(n)));
    ASSERT_OK(user_->Append(channel.get(), appended.back()));
  }
  bool gone = false;
  const auto page = user_->ReadPublications(channel.get(), 1, 4, 1 << 20, &gone);
  ASSERT_EQ(page.size(), 3);
  for (size_t i = 0; i < page.size(); ++i) {
    EXPECT_EQ(page[i]->envelope(), appended[i + 1]->envelope());
    EXPECT_EQ(page[i]->data(), appended[i + 1]->data());
    EXPECT_EQ(page[i]->expires_at(), appended[i + 1]->expires_at());
  }
  EXPECT_THAT(user_->Read(channel.get(), 5, 5), IsEmpty());
  EXPECT_THAT(user_->Read(channel.get(), 4, 100), ElementsAre(5));
  // A page ends before its bytes are exceeded, but has one publication at least.
  const size_t each = appended[0]->envelope().size();
  EXPECT_EQ(user_->ReadPublications(channel.get(), 0, 5, 1, &gone).size(), 1);
  EXPECT_EQ(user_->ReadPublications(channel.get(), 0, 5, 3 * each - 1, &gone).size(), 2);
}

TEST_P(EngineContractTest, AForgottenChannelBeginsAgainUnderAnotherEpoch) {
  if (GetParam() == "redis") GTEST_SKIP() << "other controls may use it still";
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  const Epoch before = channel->head().epoch;
  for (int round = 0; round < 3; ++round) {
    engine_->Forget(std::move(channel));
    channel = user_->Open("a");
    EXPECT_NE(channel->head().epoch, before);
    EXPECT_EQ(channel->head().offset, 0);
    EXPECT_EQ(channel->Describe(clock_.Now()).publications, 0);
    if (round > 0) user_->Fill(channel.get(), 2);
  }
  EXPECT_EQ(user_->Read(channel.get(), 0, 2).size(), 2);
}

TEST_P(EngineContractTest, ThePolicysSizeHoldsForReads) {
  const auto channel = user_->Open("a", {.size = 3});
  user_->Fill(channel.get(), 10);
  EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, 8);
  EXPECT_EQ(channel->Describe(clock_.Now()).publications, 3);
  EXPECT_THAT(user_->Read(channel.get(), 7, 10), ElementsAre(8, 9, 10));
  EXPECT_THAT(user_->Read(channel.get(), 6, 10), ElementsAre(-1));
  channel->SetPolicy({.size = 1}, clock_.Now());
  EXPECT_THAT(user_->Read(channel.get(), 8, 10), ElementsAre(-1));
  channel->SetPolicy({.size = 5}, clock_.Now());
  EXPECT_EQ(channel->policy().size, 5);
  user_->Fill(channel.get(), 2);
  EXPECT_THAT(user_->Read(channel.get(), 9, 12), ElementsAre(10, 11, 12));
}

TEST_P(EngineContractTest, ThePolicysAgeHoldsForReads) {
  const auto channel = user_->Open("a", {.size = 100, .ttl = absl::Seconds(10)});
  user_->Fill(channel.get(), 3);
  clock_.Advance(absl::Seconds(6));
  user_->Fill(channel.get(), 2);
  clock_.Advance(absl::Seconds(4) - absl::Nanoseconds(1));
  EXPECT_THAT(user_->Read(channel.get(), 0, 5), ElementsAre(1, 2, 3, 4, 5));
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_THAT(user_->Read(channel.get(), 0, 5), ElementsAre(-1));
  EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, 4);
  EXPECT_FALSE(channel->Trim(clock_.Now()));
  clock_.Advance(absl::Seconds(6));
  EXPECT_TRUE(channel->Trim(clock_.Now()));
  EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, 0);
  EXPECT_THAT(user_->Read(channel.get(), 4, 5), ElementsAre(-1));
  user_->Fill(channel.get(), 1);
  EXPECT_EQ(channel->head().offset, 6);
  EXPECT_THAT(user_->Read(channel.get(), 5, 6), ElementsAre(6));
}

TEST_P(EngineContractTest, WithoutHistoryItCountsAndKeepsNothing) {
  const auto channel = user_->Open("a", {.size = 0});
  user_->Fill(channel.get(), 3);
  EXPECT_EQ(channel->head().offset, 3);
  EXPECT_THAT(user_->Read(channel.get(), 2, 3), ElementsAre(-1));
  EXPECT_THAT(user_->Read(channel.get(), 3, 3), IsEmpty());
  channel->SetPolicy(kKeepAll, clock_.Now());
  user_->Fill(channel.get(), 2);
  EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, 4);
  EXPECT_THAT(user_->Read(channel.get(), 3, 5), ElementsAre(4, 5));
}

TEST_P(EngineContractTest, FirstSinceNeverPassesOverAPublication) {
  const auto channel = user_->Open("a");
  EXPECT_EQ(channel->FirstSince(clock_.Now()), 1);
  const absl::Duration begin = clock_.Now();
  for (int n = 0; n < 20; ++n) {
    clock_.Advance(absl::Seconds(3));
    user_->Fill(channel.get(), 10);
  }
  for (int n = 0; n < 20; ++n) {  // of each ten, received 3 s after those before
    const int64_t exact = n * 10 + 1;
    const int64_t found = channel->FirstSince(begin + absl::Seconds(3 * n + 1));
    EXPECT_LE(found, exact);
    EXPECT_GE(found, 1);
  }
  EXPECT_EQ(channel->FirstSince(-absl::InfiniteDuration()), 1);
  EXPECT_EQ(channel->FirstSince(clock_.Now() + absl::Nanoseconds(1)), 201);
}

TEST_P(EngineContractTest, CloseEndsWhatWasBegunAndMayComeTwice) {
  const auto channel = user_->Open("a"), other = user_->Open("b");
  user_->Fill(other.get(), 2);
  for (int n = 0; n < 100; ++n) {
    user_->BeginAppend({{.channel = channel.get(), .publication = MakePublication(clock_, n)}},
                       "append");
  }
  engine_->Close();
  size_t kept = 0, all = 0;
  for (const std::string& line : user_->log()) {
    if (absl::StartsWith(line, "append")) ++all;
    if (line == "append") ++kept;
  }
  EXPECT_EQ(all, 100);
  EXPECT_EQ(channel->head().offset, kept);
  engine_->Close();
  // A channel that outlives Close() may be asked.
  EXPECT_EQ(other->head().offset, 2);
  EXPECT_FALSE(other->Trim(clock_.Now()));
  EXPECT_EQ(other->Describe(clock_.Now()).publications, 2);
}

}  // namespace
}  // namespace fanwire::control
