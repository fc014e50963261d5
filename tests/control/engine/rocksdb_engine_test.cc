#include "control/engine/rocksdb_engine.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "control/engine/rocksdb_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RocksDbEngineTest : public ::testing::Test {
 protected:
  RocksDbEngineTest() {
    options_.path = folder_.path();
    options_.boot_id_file = folder_.path("boot_id");
    options_.retry_pause = absl::Milliseconds(2);
    SetBoot("first");
  }
  ~RocksDbEngineTest() override { Stop(); }

  void SetBoot(const std::string& id) { std::ofstream(options_.boot_id_file) << id << "\n"; }
  absl::Status TryStart() {
    engine_ = MakeRocksDbEngine(options_, &clock_);
    user_ = std::make_unique<EngineUser>(engine_.get(), &clock_);
    return engine_->Start();
  }
  void Start() { ASSERT_OK(TryStart()); }
  void Stop() {
    if (engine_ != nullptr) engine_->Close();
    engine_ = nullptr;
    user_ = nullptr;
  }
  void Restart() {
    Stop();
    Start();
  }
  // As if the process had been killed: the header does not tell of an end in order.
  void Kill() {
    const std::string header = folder_.path("data/store");
    const std::string copy = folder_.path("copy");
    std::filesystem::copy_file(header, copy);
    Stop();
    std::filesystem::rename(copy, header);
  }

  TestFolder folder_;
  FakeClock clock_;
  RocksDbOptions options_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EngineUser> user_;
};

TEST_F(RocksDbEngineTest, ARestartKeepsEpochsOffsetsAndHistory) {
  Start();
  EXPECT_EQ(engine_->name(), "rocksdb");
  EXPECT_TRUE(engine_->survives_restart());
  EXPECT_EQ(engine_->excess_bytes(), 0);
  auto a = user_->Open("a"), b = user_->Open("b", {.size = 3});
  user_->Fill(a.get(), 20);
  user_->Fill(b.get(), 10);
  const Position head_a = a->head(), head_b = b->head();
  const int64_t bytes = a->Describe(clock_.Now()).bytes;
  EXPECT_GT(bytes, 20 * 100);
  for (int round = 0; round < 3; ++round) {
    a = nullptr;
    b = nullptr;
    round == 1 ? Kill() : Stop();
    Start();
    a = user_->Open("a");
    b = user_->Open("b", {.size = 3});
    EXPECT_EQ(a->head(), head_a);
    EXPECT_EQ(b->head(), head_b);
    EXPECT_EQ(a->Describe(clock_.Now()).bytes, bytes);
    EXPECT_EQ(a->Describe(clock_.Now()).oldest_offset, 1);
    EXPECT_EQ(user_->Read(a.get(), 0, 20).size(), 20);
    EXPECT_THAT(user_->Read(b.get(), 7, 10), ElementsAre(8, 9, 10));
    EXPECT_THAT(user_->Read(b.get(), 6, 10), ElementsAre(-1));
  }
  user_->Fill(a.get(), 1);
  EXPECT_EQ(a->head(), (Position{head_a.epoch, 21}));
  EXPECT_EQ(user_->Read(a.get(), 18, 21).size(), 3);  // from the disk and from memory
}

TEST_F(RocksDbEngineTest, AChannelThatWasNotPublishedToHasANewEpochAfterARestart) {
  Start();
  auto channel = user_->Open("a");
  const Epoch before = channel->head().epoch;
  channel = nullptr;
  Restart();
  channel = user_->Open("a");
  EXPECT_NE(channel->head().epoch, before);
}

TEST_F(RocksDbEngineTest, AForgottenChannelStaysForgottenOverARestart) {
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  const Epoch before = channel->head().epoch;
  engine_->Forget(std::move(channel));
  Restart();
  channel = user_->Open("a");
  EXPECT_NE(channel->head().epoch, before);
  EXPECT_EQ(channel->head().offset, 0);
}

TEST_F(RocksDbEngineTest, ServicesHaveChannelsOfTheirOwn) {
  Start();
  const auto open = [&](const char* service, const char* name) {
    std::atomic<bool> opened{false};
    auto channel = engine_->Open(service, name, kKeepAll,
                                 [&]() -> OpenedCallback { return [&opened] { opened = true; }; });
    EXPECT_TRUE(WaitFor([&] { return opened.load(); }));
    return channel;
  };
  std::set<uint64_t> epochs;
  for (const auto& [service, name] :
       {std::pair("s", "ab"), std::pair("sa", "b"), std::pair("s", "b"), std::pair("", "sab")}) {
    const auto channel = open(service, name);
    user_->Fill(channel.get(), 1);
    epochs.insert(channel->head().epoch.value);
  }
  EXPECT_EQ(epochs.size(), 4);
}

TEST_F(RocksDbEngineTest, TheAgeOfHistoryGoesOnOverARestart) {
  const HistoryPolicy policy{.size = 100, .ttl = absl::Seconds(10)};
  Start();
  auto channel = user_->Open("a", policy);
  user_->Fill(channel.get(), 3);
  clock_.Advance(absl::Seconds(6));
  user_->Fill(channel.get(), 2);
  channel = nullptr;
  Stop();
  clock_.Advance(absl::Seconds(3));
  Start();
  channel = user_->Open("a", policy);
  EXPECT_THAT(user_->Read(channel.get(), 0, 5), ElementsAre(1, 2, 3, 4, 5));
  clock_.Advance(absl::Seconds(1));
  // Gone and the oldest offset agree, so that whoever reads from there on comes to an end.
  EXPECT_THAT(user_->Read(channel.get(), 0, 5), ElementsAre(-1));
  EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, 4);
  EXPECT_THAT(user_->Read(channel.get(), 3, 5), ElementsAre(4, 5));
  channel = nullptr;
  Stop();
  clock_.Advance(absl::Seconds(6));
  Start();
  channel = user_->Open("a", policy);
  EXPECT_TRUE(channel->Trim(clock_.Now()));
  EXPECT_EQ(channel->head().offset, 5);
}

TEST_F(RocksDbEngineTest, AReceptionInTheFutureIsTakenForNow) {
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  channel = nullptr;
  Stop();
  clock_.SetWall(clock_.WallNow() - absl::Hours(5));
  Start();
  channel = user_->Open("a", {.size = 10, .ttl = absl::Seconds(10)});
  bool gone = false;
  const auto page = user_->ReadPublications(channel.get(), 0, 3, 1 << 20, &gone);
  ASSERT_EQ(page.size(), 3);
  EXPECT_EQ(page[0]->received_at(), clock_.Now());
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(channel->Trim(clock_.Now()));
}

TEST_F(RocksDbEngineTest, ASetWallClockAgesNothingThatTheProcessHasSeen) {
  options_.cache_bytes = 0;
  Start();
  const auto channel = user_->Open("a", {.size = 10, .ttl = absl::Minutes(10)});
  user_->Fill(channel.get(), 3);
  clock_.SetWall(clock_.WallNow() + absl::Hours(5));
  EXPECT_THAT(user_->Read(channel.get(), 0, 3), ElementsAre(1, 2, 3));
  EXPECT_GT(user_->fetches(), 0);
}

TEST_F(RocksDbEngineTest, ASmallerPolicyAfterARestartHoldsAndALargerOneBringsNothingBack) {
  Start();
  auto channel = user_->Open("a", {.size = 10});
  user_->Fill(channel.get(), 30);
  for (const auto& [size, oldest] : {std::pair(5, 26), std::pair(100, 26)}) {
    // The floor is written with the next publication, or by the upkeep.
    channel->SetPolicy({.size = static_cast<uint32_t>(size)}, clock_.Now());
    user_->Fill(channel.get(), size == 5 ? 1 : 0);
    channel = nullptr;
    Restart();
    channel = user_->Open("a", {.size = static_cast<uint32_t>(size)});
    EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, oldest + 1);
  }
}

TEST_F(RocksDbEngineTest, AnotherBootAfterAnUncleanEndBeginsNewEpochs) {
  for (const bool sync : {false, true}) {
    options_.sync = sync;
    Start();
    auto channel = user_->Open("a");
    user_->Fill(channel.get(), 3);
    Epoch epoch = channel->head().epoch;
    channel = nullptr;
    Stop();  // in order: another boot is no harm
    SetBoot("second");
    Start();
    channel = user_->Open("a");
    EXPECT_EQ(channel->head().epoch, epoch);
    channel = nullptr;
    Kill();  // the same boot: the operating system has everything
    Start();
    channel = user_->Open("a");
    EXPECT_EQ(channel->head().epoch, epoch);
    channel = nullptr;
    Kill();
    SetBoot("third");
    Start();
    channel = user_->Open("a");
    if (sync) {
      EXPECT_EQ(channel->head().epoch, epoch);
      EXPECT_EQ(channel->head().offset, 3);
    } else {
      EXPECT_NE(channel->head().epoch, epoch);
      EXPECT_EQ(channel->head().offset, 0);
      EXPECT_EQ(channel->Describe(clock_.Now()).publications, 0);
      user_->Fill(channel.get(), 2);
      EXPECT_THAT(user_->Read(channel.get(), 0, 2), ElementsAre(1, 2));
      epoch = channel->head().epoch;
      channel = nullptr;
      Restart();
      channel = user_->Open("a");
      EXPECT_EQ(channel->head(), (Position{epoch, 2}));
    }
    channel = nullptr;
    Stop();
    std::filesystem::remove_all(folder_.path());
    SetBoot("first");
  }
}

TEST_F(RocksDbEngineTest, WithoutABootIdItDoesNotStart) {
  std::filesystem::remove(options_.boot_id_file);
  EXPECT_THAT(TryStart(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("mount /proc")));
}

TEST_F(RocksDbEngineTest, TwoEnginesDoNotShareAFolder) {
  Start();
  const auto other = MakeRocksDbEngine(options_, &clock_);
  EXPECT_THAT(other->Start(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
  other->Close();
  const auto channel = user_->Open("a");
  user_->Fill(channel.get(), 1);
}

TEST_F(RocksDbEngineTest, AnEngineThatHasNotStartedDoesNoHarm) {
  std::ofstream(folder_.path()) << "a file";
  ASSERT_FALSE(TryStart().ok());
  const auto channel = user_->BeginOpen("a");
  EXPECT_EQ(channel->head(), Position());
  EXPECT_EQ(user_->BeginAppend(
                {{.channel = channel.get(), .publication = MakePublication(clock_, 1)}}, "x"),
            AppendOutcome::kFull);
  EXPECT_FALSE(engine_->Health().ok());
  engine_->Close();
  engine_->Close();
  EXPECT_EQ(user_->log().size(), 0);
}

// Blocks the writer in a callback until the object is deleted.
class Blocker {
 public:
  explicit Blocker(EngineUser* user) {
    channel_ = user->engine()->Open("service", "blocker", kKeepAll, [this]() -> OpenedCallback {
      return [this] {
        blocked_ = true;
        while (!over_) std::this_thread::yield();
        ended_ = true;
      };
    });
    EXPECT_TRUE(WaitFor([this] { return blocked_.load(); }));
  }
  ~Blocker() {
    over_ = true;
    EXPECT_TRUE(WaitFor([this] { return ended_.load(); }));
  }

 private:
  std::unique_ptr<EngineChannel> channel_;
  std::atomic<bool> blocked_{false}, over_{false}, ended_{false};
};

TEST_F(RocksDbEngineTest, TooManyWaitingPublicationsAreRefused) {
  options_.max_waiting_publications = 10;
  Start();
  const auto channel = user_->Open("a");
  {
    const Blocker blocker(user_.get());
    for (int n = 0; n < 10; ++n) {
      EXPECT_EQ(user_->BeginAppend({{.channel = channel.get(),
                                     .publication = MakePublication(clock_, n),
                                     .keep = n % 2 == 0}},
                                   "kept"),
                AppendOutcome::kPending);
    }
    clock_.Advance(absl::Seconds(3));
    EXPECT_EQ(user_->BeginAppend(
                  {{.channel = channel.get(), .publication = MakePublication(clock_, 9)}}, "full"),
              AppendOutcome::kFull);
    EXPECT_EQ(engine_->status().waiting_publications, 10);
    EXPECT_EQ(engine_->status().lag, absl::Seconds(3));
  }
  EXPECT_TRUE(user_->Wait([&] { return user_->Count("kept") == 10; }));
  EXPECT_EQ(channel->head().offset, 5);
  EXPECT_EQ(engine_->status().waiting_publications, 0);
  EXPECT_EQ(engine_->status().lag, absl::ZeroDuration());
  EXPECT_EQ(engine_->status().path, options_.path);
  user_->Fill(channel.get(), 1);
}

TEST_F(RocksDbEngineTest, TooManyWaitingBytesAreRefusedButOnePublicationNever) {
  options_.max_waiting_bytes = 10'000;
  Start();
  const auto channel = user_->Open("a");
  {
    const Blocker blocker(user_.get());
    const auto append = [&](size_t bytes) {
      return user_->BeginAppend(
          {{.channel = channel.get(), .publication = MakePublication(clock_, 1, bytes)}}, "kept");
    };
    EXPECT_EQ(append(50'000), AppendOutcome::kPending);
    EXPECT_EQ(append(100), AppendOutcome::kFull);
  }
  EXPECT_TRUE(user_->Wait([&] { return user_->Count("kept") == 1; }));
}

TEST_F(RocksDbEngineTest, WhatIsNotKeptWaitsOnlyForItsOwnChannel) {
  Start();
  const auto channel = user_->Open("a"), other = user_->Open("b");
  const Blocker blocker(user_.get());
  const auto unkept = [&](EngineChannel* of) {
    return user_->BeginAppend(
        {{.channel = of, .publication = MakePublication(clock_, 1), .keep = false}}, "unkept");
  };
  EXPECT_EQ(user_->BeginAppend(
                {{.channel = channel.get(), .publication = MakePublication(clock_, 1)}}, "kept"),
            AppendOutcome::kPending);
  EXPECT_EQ(unkept(channel.get()), AppendOutcome::kPending);
  EXPECT_EQ(unkept(other.get()), AppendOutcome::kDone);
}

TEST_F(RocksDbEngineTest, OldHistoryIsFetchedWithATinyCacheAndSeveralReaders) {
  options_.cache_bytes = 1;
  Start();
  constexpr int kChannels = 4;
  constexpr int64_t kEach = 300;
  std::vector<std::unique_ptr<EngineChannel>> channels;
  for (int i = 0; i < kChannels; ++i) {
    channels.push_back(user_->Open("channel" + std::to_string(i)));
    for (int64_t n = 1; n <= kEach; ++n) {
      user_->BeginAppend(
          {{.channel = channels.back().get(), .publication = MakePublication(clock_, n, 1000)}},
          "kept");
    }
  }
  ASSERT_TRUE(user_->Wait([&] { return user_->Count("kept") == kChannels * kEach; }));
  // Two readers for each channel, in pages of one or of some publications.
  std::vector<std::thread> readers;
  for (int i = 0; i < 2 * kChannels; ++i) {
    readers.emplace_back([&, i] {
      EngineUser reader(engine_.get(), &clock_);
      const size_t page = i < kChannels ? 1 : 5000;
      EXPECT_EQ(
          reader.Read(channels[static_cast<size_t>(i % kChannels)].get(), 0, kEach, page).size(),
          kEach);
      EXPECT_GT(reader.fetches(), 0);
    });
  }
  for (std::thread& reader : readers) reader.join();
}

TEST_F(RocksDbEngineTest, TheCacheIsBoundedAndTheOldestLeaveItFirst) {
  options_.cache_bytes = 20'000;
  Start();
  const auto a = user_->Open("a"), b = user_->Open("b"), none = user_->Open("c", {.size = 1});
  user_->Fill(a.get(), 10, 1000);
  user_->Fill(none.get(), 3000);  // what history lets go leaves the cache as well
  user_->Fill(b.get(), 5, 1000);
  user_->Read(a.get(), 0, 10);
  EXPECT_EQ(user_->fetches(), 0);
  user_->Fill(b.get(), 10, 1000);
  user_->Read(b.get(), 0, 15);
  EXPECT_EQ(user_->fetches(), 0);
  user_->Read(a.get(), 0, 10);
  EXPECT_GT(user_->fetches(), 0);
}

TEST_F(RocksDbEngineTest, AFetchOfAForgottenChannelStillCallsBack) {
  options_.cache_bytes = 0;
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  std::atomic<int> ready{0};
  std::vector<PublicationPtr> page;
  EXPECT_EQ(
      channel->ReadAfter(0, 3, 1000, clock_.Now(), &page,
                         [&]() -> EngineCallback { return [&](const absl::Status&) { ++ready; }; }),
      ReadOutcome::kFetching);
  engine_->Forget(std::move(channel));
  EXPECT_TRUE(WaitFor([&] { return ready == 1; }));
}

TEST_F(RocksDbEngineTest, AfterCloseOnlyWhatIsInMemoryIsRead) {
  options_.cache_bytes = 3000;
  Start();
  const auto channel = user_->Open("a");
  user_->Fill(channel.get(), 20, 1000);
  engine_->Close();
  const auto read = [&](int64_t after) {
    std::vector<PublicationPtr> page;
    return channel->ReadAfter(after, 20, 1000, clock_.Now(), &page, []() -> EngineCallback {
      ADD_FAILURE() << "nothing calls back any more";
      return nullptr;
    });
  };
  EXPECT_EQ(read(19), ReadOutcome::kOk);
  EXPECT_EQ(read(0), ReadOutcome::kClosed);
}

TEST_F(RocksDbEngineTest, AChannelMayBeDroppedWithoutBeingForgotten) {
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  const Position head = channel->head();
  channel = nullptr;
  channel = user_->Open("a");
  EXPECT_EQ(channel->head(), head);
  user_->Fill(channel.get(), 1);
  EXPECT_THAT(user_->Read(channel.get(), 0, 4), ElementsAre(1, 2, 3, 4));
}

TEST_F(RocksDbEngineTest, ChannelsThatNobodyOpensAreForgottenWhenTheirHistoryHasExpired) {
  options_.channel_idle_ttl = absl::Hours(1);
  options_.upkeep_interval = absl::Milliseconds(1);
  std::vector<Epoch> epochs;
  const HistoryPolicy policies[] = {{.size = 10, .ttl = absl::Hours(3)},
                                    {.size = 0, .ttl = absl::Hours(3)},
                                    {.size = 10, .ttl = absl::Seconds(1)}};
  Start();
  for (size_t i = 0; i < 3; ++i) {
    const auto channel = user_->Open(std::to_string(i), policies[i]);
    user_->Fill(channel.get(), 1);
    epochs.push_back(channel->head().epoch);
  }
  // While it is open, it is not forgotten.
  clock_.Advance(absl::Hours(2));
  Restart();
  const auto forgotten = [&](size_t i) {
    const auto channel = user_->Open(std::to_string(i), policies[i]);
    return channel->head().epoch != epochs[i];
  };
  // An upkeep comes before the first channel is opened, so the walk has been there.
  ASSERT_TRUE(WaitFor([&] { return engine_->status().disk_bytes > 0; }));
  EXPECT_FALSE(forgotten(0));
  EXPECT_TRUE(forgotten(1));
  EXPECT_TRUE(forgotten(2));
}

TEST_F(RocksDbEngineTest, ThreadsPublishAndReadAtOnce) {
  options_.cache_bytes = 20'000;
  options_.upkeep_interval = absl::Milliseconds(1);
  Start();
  constexpr int kThreads = 4;
  constexpr int kEach = 300;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      EngineUser own(engine_.get(), &clock_);
      auto channel = own.Open("channel" + std::to_string(t), {.size = 200});
      for (int n = 1; n <= kEach; ++n) {
        own.BeginAppend({{.channel = channel.get(),
                          .publication = MakePublication(clock_, n, 200),
                          .keep = n % 5 != 0}},
                        "kept");
        if (n % 50 == 0) {
          const int64_t oldest = channel->Describe(clock_.Now()).oldest_offset;
          if (oldest > 0) own.Read(channel.get(), oldest - 1, channel->head().offset, 700);
          EXPECT_OK(engine_->Health());
          engine_->status();
        }
      }
      EXPECT_TRUE(own.Wait([&] { return own.Count("kept") == kEach; }));
      EXPECT_EQ(channel->head().offset, kEach * 4 / 5);
      EXPECT_EQ(own.Read(channel.get(), 40, 240).size(), 200);
      engine_->Forget(std::move(channel));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace fanwire::control
