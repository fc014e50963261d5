// The rocksdb engine on a disk that fails.

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "control/engine/rocksdb_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/control/engine/faulty_file_system.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Fault = FaultyFileSystem::Fault;

class RocksDbFaultsTest : public ::testing::Test {
 protected:
  RocksDbFaultsTest() : disk_(std::make_shared<FaultyFileSystem>()) {
    options_.path = folder_.path();
    options_.boot_id_file = folder_.path("boot_id");
    options_.retry_pause = absl::Milliseconds(2);
    options_.file_system = disk_;
    SetBoot("first");
  }
  ~RocksDbFaultsTest() override { Stop(); }

  void SetBoot(const std::string& id) { std::ofstream(options_.boot_id_file) << id << "\n"; }
  void Start() {
    engine_ = MakeRocksDbEngine(options_, &clock_);
    ASSERT_OK(engine_->Start());
    user_ = std::make_unique<EngineUser>(engine_.get(), &clock_);
  }
  void Stop() {
    if (engine_ != nullptr) engine_->Close();
    engine_ = nullptr;
    user_ = nullptr;
  }
  bool WaitForHealth() {
    return WaitFor([&] { return engine_->Health().ok(); });
  }

  TestFolder folder_;
  FakeClock clock_;
  const std::shared_ptr<FaultyFileSystem> disk_;
  RocksDbOptions options_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EngineUser> user_;
};

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

TEST_F(RocksDbFaultsTest, AFullDiskRefusesPublicationsUntilThereIsRoom) {
  options_.cache_bytes = 0;  // reads need the disk
  Start();
  const auto channel = user_->Open("a"), other = user_->Open("b");
  user_->Fill(channel.get(), 3);
  for (int round = 0; round < 3; ++round) {
    const int64_t before = channel->head().offset;
    disk_->FailWrites(Fault::kDiskFull);
    const PublicationPtr refused = MakePublication(clock_, 1);
    EXPECT_THAT(user_->Append(channel.get(), refused),
                StatusIs(kUnavailable, AllOf(HasSubstr("is full"), HasSubstr("free some space"))));
    EXPECT_EQ(refused->offset(), 0);
    EXPECT_EQ(channel->head().offset, before);
    EXPECT_THAT(engine_->Health(), StatusIs(kUnavailable, HasSubstr("is full")));
    // What needs no disk goes on, and reads do.
    EXPECT_OK(user_->Append(channel.get(), MakePublication(clock_, 2), /*keep=*/false));
    EXPECT_EQ(user_->Read(channel.get(), 0, before).size(), before);
    EXPECT_THAT(user_->Append(other.get(), MakePublication(clock_, 1)),
                StatusIs(kUnavailable, HasSubstr("is full")));
    disk_->FailWrites(Fault::kNone);
    ASSERT_TRUE(WaitForHealth());
    // The position of the refused one is the next one's.
    const PublicationPtr next = MakePublication(clock_, 1);
    ASSERT_OK(user_->Append(channel.get(), next));
    EXPECT_EQ(next->offset(), before + 1);
  }
  EXPECT_EQ(other->head().offset, 0);
}

TEST_F(RocksDbFaultsTest, ADeviceThatFailsIsTriedAgain) {
  for (const bool sync : {false, true}) {
    options_.sync = sync;
    Start();
    auto channel = user_->Open("a");
    user_->Fill(channel.get(), 3);
    disk_->FailWrites(Fault::kIoError);
    for (int i = 0; i < 5; ++i) {
      EXPECT_THAT(user_->Append(channel.get(), MakePublication(clock_, 1)),
                  StatusIs(kUnavailable, HasSubstr("the test's device fails")));
    }
    disk_->FailWrites(Fault::kNone);
    ASSERT_TRUE(WaitForHealth());
    user_->Fill(channel.get(), 3);
    const Position head = channel->head();
    channel = nullptr;
    Stop();
    Start();
    channel = user_->Open("a");
    EXPECT_EQ(channel->head(), head);
    EXPECT_EQ(user_->Read(channel.get(), 0, 6).size(), 6);
    channel = nullptr;
    Stop();
    std::filesystem::remove_all(folder_.path());
  }
}

TEST_F(RocksDbFaultsTest, ADiskThatIsFullInTheBackgroundIsTriedAgain) {
  options_.write_buffer_bytes = size_t{64} << 10;
  Start();
  auto channel = user_->Open("a");
  for (int round = 0; round < 2; ++round) {
    disk_->FailTables(true);
    absl::Status status;
    for (int i = 0; i < 2000 && status.ok(); ++i) {
      status = user_->Append(channel.get(), MakePublication(clock_, i, 1000));
    }
    EXPECT_THAT(status, StatusIs(kUnavailable, HasSubstr("is full")));
    disk_->FailTables(false);
    ASSERT_TRUE(WaitForHealth());
    user_->Fill(channel.get(), 100, 1000);
  }
  const Position head = channel->head();
  channel = nullptr;
  Stop();
  Start();
  channel = user_->Open("a");
  EXPECT_EQ(channel->head(), head);
  EXPECT_EQ(user_->Read(channel.get(), 0, head.offset).size(), head.offset);
}

TEST_F(RocksDbFaultsTest, WhatWasRefusedDoesNotComeBackAfterARestart) {
  // The write reaches the log, but the sync fails.
  options_.sync = true;
  Start();
  auto channel = user_->Open("a"), fresh = user_->Open("b");
  user_->Fill(channel.get(), 3);
  const Position head = channel->head();
  disk_->FailSyncs(true);
  EXPECT_FALSE(user_->Append(channel.get(), MakePublication(clock_, 4)).ok());
  EXPECT_FALSE(user_->Append(fresh.get(), MakePublication(clock_, 1)).ok());
  disk_->FailSyncs(false);
  ASSERT_TRUE(WaitForHealth());
  const Epoch epoch = fresh->head().epoch;
  channel = nullptr;
  fresh = nullptr;
  Stop();
  Start();
  channel = user_->Open("a");
  EXPECT_EQ(channel->head(), head);
  fresh = user_->Open("b");
  EXPECT_EQ(fresh->head().offset, 0);
  EXPECT_NE(fresh->head().epoch, epoch);
}

TEST_F(RocksDbFaultsTest, AForgottenChannelThatCannotBeDeletedYetIsForgottenAllTheSame) {
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  const Epoch before = channel->head().epoch;
  disk_->FailWrites(Fault::kIoError);
  EXPECT_FALSE(user_->Append(channel.get(), MakePublication(clock_, 1)).ok());
  engine_->Forget(std::move(channel));
  channel = user_->Open("a");
  const Epoch second = channel->head().epoch;
  EXPECT_NE(second, before);
  EXPECT_EQ(channel->head().offset, 0);
  disk_->FailWrites(Fault::kNone);
  ASSERT_TRUE(WaitForHealth());
  user_->Fill(channel.get(), 2);
  channel = nullptr;
  Stop();
  Start();
  channel = user_->Open("a");
  EXPECT_EQ(channel->head(), (Position{second, 2}));
}

TEST_F(RocksDbFaultsTest, HistoryThatCannotBeReadIsNotGone) {
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 50, 1000);
  channel = nullptr;
  Stop();
  Start();  // what was in the log is in a table now
  channel = user_->Open("a");
  disk_->FailReads(true);
  std::vector<PublicationPtr> page;
  std::atomic<bool> ready{false};
  ASSERT_EQ(channel->ReadAfter(
                0, 50, 1000, clock_.Now(), &page,
                [&]() -> EngineCallback { return [&](const absl::Status&) { ready = true; }; }),
            ReadOutcome::kFetching);
  ASSERT_TRUE(WaitFor([&] { return !engine_->Health().ok(); }));
  EXPECT_THAT(engine_->Health(), StatusIs(kUnavailable, HasSubstr("cannot read")));
  EXPECT_FALSE(ready);
  EXPECT_EQ(channel->Describe(clock_.Now()).oldest_offset, 1);
  disk_->FailReads(false);
  ASSERT_TRUE(WaitFor([&] { return ready.load(); }));
  EXPECT_OK(engine_->Health());
  EXPECT_EQ(user_->Read(channel.get(), 0, 50).size(), 50);
}

TEST_F(RocksDbFaultsTest, AChannelThatCannotBeOpenedIsTriedAgain) {
  Start();
  auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  const Position head = channel->head();
  channel = nullptr;
  Stop();
  Start();
  disk_->FailReads(true);
  channel = user_->BeginOpen("a");
  EXPECT_THAT(user_->Append(channel.get(), MakePublication(clock_, 1)),
              StatusIs(kUnavailable, HasSubstr("cannot be read")));
  EXPECT_EQ(user_->Count("open a"), 0);
  EXPECT_FALSE(engine_->Health().ok());
  disk_->FailReads(false);
  ASSERT_TRUE(user_->Wait([&] { return user_->Count("open a") == 1; }));
  EXPECT_EQ(channel->head(), head);
  EXPECT_TRUE(WaitForHealth());
  user_->Fill(channel.get(), 1);
}

TEST_F(RocksDbFaultsTest, CloseOnAFailingDiskEndsWhatWaits) {
  Start();
  const auto channel = user_->Open("a");
  user_->Fill(channel.get(), 3);
  disk_->FailWrites(Fault::kIoError);
  disk_->FailReads(true);
  for (int n = 0; n < 10; ++n) {
    user_->BeginAppend({{.channel = channel.get(), .publication = MakePublication(clock_, n)}},
                       "append");
  }
  engine_->Close();
  EXPECT_EQ(user_->Count("append"), 0);
  EXPECT_EQ(user_->log().size(), 11);  // each was refused
}

// The power goes at some moment of publishing, and the machine starts again.
class PowerLossTest : public RocksDbFaultsTest {
 protected:
  // Publishes to some channels until the power goes.  Returns the last position that was
  // acknowledged, of each.
  std::map<std::string, Position> PublishUntilThePowerGoes(uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::unique_ptr<EngineChannel>> channels;
    for (int i = 0; i < 3; ++i) channels.push_back(user_->Open(std::to_string(i)));
    const size_t until = 20 + random() % 200;
    for (size_t n = 0; n < 300; ++n) {
      if (n == until) disk_->PowerOff();
      user_->BeginAppend({{.channel = channels[random() % channels.size()].get(),
                           .publication = MakePublication(clock_, static_cast<int64_t>(n),
                                                          100 + random() % 2000)}},
                         "append");
      if (random() % 4 == 0) {
        EXPECT_TRUE(user_->Wait([&] { return engine_->status().waiting_publications == 0; }));
      }
    }
    engine_->Close();
    std::map<std::string, Position> heads;
    for (size_t i = 0; i < channels.size(); ++i) heads[std::to_string(i)] = channels[i]->head();
    channels.clear();
    Stop();
    disk_->LoseUnsynced();
    SetBoot("after the loss");
    return heads;
  }
};

TEST_F(PowerLossTest, WithSyncNothingThatWasAcknowledgedIsLost) {
  options_.sync = true;
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    SetBoot("first");
    Start();
    const auto heads = PublishUntilThePowerGoes(seed);
    Start();
    for (const auto& [name, head] : heads) {
      const auto channel = user_->Open(name);
      if (head.offset == 0) continue;
      EXPECT_EQ(channel->head().epoch, head.epoch);
      EXPECT_GE(channel->head().offset, head.offset) << seed;
      EXPECT_EQ(user_->Read(channel.get(), 0, channel->head().offset).size(),
                channel->head().offset);
    }
    Stop();
    std::filesystem::remove_all(folder_.path());
  }
}

TEST_F(PowerLossTest, WithoutSyncAllChannelsBeginNewEpochs) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    SetBoot("first");
    Start();
    const auto heads = PublishUntilThePowerGoes(seed);
    Start();
    for (const auto& [name, head] : heads) {
      const auto channel = user_->Open(name);
      EXPECT_NE(channel->head().epoch, head.epoch);
      EXPECT_EQ(channel->head().offset, 0);
      user_->Fill(channel.get(), 3);
      EXPECT_THAT(user_->Read(channel.get(), 0, 3), ElementsAre(1, 2, 3));
    }
    Stop();
    std::filesystem::remove_all(folder_.path());
  }
}

}  // namespace
}  // namespace fanwire::control
