// What the rocksdb engine keeps of idempotency keys and publishers' seqs.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/engine/rocksdb_engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/control/engine/faulty_file_system.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fault = FaultyFileSystem::Fault;

class RocksDbRecordsTest : public ::testing::Test {
 protected:
  RocksDbRecordsTest() : disk_(std::make_shared<FaultyFileSystem>()) {
    options_.path = folder_.path();
    options_.boot_id_file = folder_.path("boot_id");
    options_.retry_pause = absl::Milliseconds(2);
    options_.file_system = disk_;
    options_.seq_window = 3;
    SetBoot("first");
    Start();
  }
  ~RocksDbRecordsTest() override { Stop(); }

  void SetBoot(const std::string& id) { std::ofstream(options_.boot_id_file) << id << "\n"; }
  void Start() {
    engine_ = MakeRocksDbEngine(options_, &clock_);
    ASSERT_OK(engine_->Start());
    user_ = std::make_unique<EngineUser>(engine_.get(), &clock_);
    channel_ = user_->Open("a");
  }
  void Stop() {
    channel_ = nullptr;
    engine_->Close();
    engine_ = nullptr;
    user_ = nullptr;
  }
  void Restart() {
    Stop();
    Start();
  }
  absl::Status Append(const EventRecord& record, bool keep = true) {
    return user_->Append(channel_.get(), MakePublication(clock_, 1), keep, record);
  }
  absl::Status AppendSeq(uint64_t seq) {
    return Append({.channel = "a", .id = "i", .publisher_id = "me", .seq = seq});
  }
  // "k KEY CHANNEL ID fingerprint@offset age" and "p ID SEQ …", sorted.
  std::vector<std::string> Records() {
    std::vector<std::string> records;
    EXPECT_OK(engine_->VisitRecords([&](const KeptRecord& kept) {
      const EventRecord& event = kept.event;
      const std::string what =
          event.publisher_id.empty()
              ? absl::StrCat("k ", event.service, "/", event.idempotency_key, " ",
                             event.fingerprint)
              : absl::StrCat("p ", event.publisher_id, "#", event.seq, " ", event.seq_fingerprint);
      EXPECT_EQ(kept.position.epoch, kept.position.offset > 0 ? channel_->head().epoch : Epoch());
      records.push_back(absl::StrCat(what, " ", event.channel, " ", event.id, "@",
                                     kept.position.offset, " ",
                                     absl::FormatDuration(clock_.Now() - kept.received)));
    }));
    std::sort(records.begin(), records.end());
    return records;
  }

  TestFolder folder_;
  FakeClock clock_;
  const std::shared_ptr<FaultyFileSystem> disk_;
  RocksDbOptions options_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EngineUser> user_;
  std::unique_ptr<EngineChannel> channel_;
};

TEST_F(RocksDbRecordsTest, TheyOutliveARestartWithTheirEvents) {
  ASSERT_OK(Append({.service = "s",
                    .channel = "a",
                    .id = "one",
                    .idempotency_key = "k",
                    .fingerprint = 7,
                    .publisher_id = "me",
                    .seq = 12,
                    .seq_fingerprint = 8}));
  clock_.Advance(absl::Seconds(30));
  ASSERT_OK(Append({.service = "s", .channel = "a", .id = "two", .idempotency_key = "unkept"},
                   /*keep=*/false));
  Restart();
  EXPECT_THAT(Records(), ElementsAre("k s/k 7 a one@1 30s", "k s/unkept 0 a two@0 0",
                                     "p me#12 8 a one@1 30s"));
}

TEST_F(RocksDbRecordsTest, TheyEndWithTheirTime) {
  ASSERT_OK(Append({.service = "s", .channel = "a", .id = "i", .idempotency_key = "k"}));
  ASSERT_OK(AppendSeq(1));
  clock_.Advance(options_.key_ttl);
  Restart();
  EXPECT_THAT(Records(), ElementsAre("p me#1 0 a i@2 10m"));
  clock_.Advance(options_.seq_ttl);
  EXPECT_THAT(Records(), IsEmpty());
}

TEST_F(RocksDbRecordsTest, OfAPublisherTheLatestSeqsAreKept) {
  for (uint64_t seq = 1; seq <= 10; ++seq) ASSERT_OK(AppendSeq(seq));
  EXPECT_THAT(Records(), ElementsAre("p me#10 0 a i@10 0", "p me#8 0 a i@8 0", "p me#9 0 a i@9 0"));
}

TEST_F(RocksDbRecordsTest, AnEventThatWasRefusedLeavesNone) {
  ASSERT_OK(AppendSeq(1));
  disk_->FailWrites(Fault::kDiskFull);
  EXPECT_FALSE(AppendSeq(2).ok());
  EXPECT_OK(Append({.service = "s", .idempotency_key = "unkept"}, /*keep=*/false));
  disk_->FailWrites(Fault::kNone);
  ASSERT_TRUE(WaitFor([&] { return engine_->Health().ok(); }));
  ASSERT_OK(AppendSeq(3));
  Restart();
  EXPECT_THAT(Records(), ElementsAre("p me#1 0 a i@1 0", "p me#3 0 a i@2 0"));
}

// The epochs of their positions are over, and their events may be lost.
TEST_F(RocksDbRecordsTest, AfterALossOfPowerWithoutSyncNoneCounts) {
  ASSERT_OK(AppendSeq(1));
  // Not in order: the folder is left as it is and used again on another boot.
  const std::string copy = folder_.path("copy");
  std::filesystem::copy(options_.path, copy, std::filesystem::copy_options::recursive);
  Stop();
  options_.path = copy;
  SetBoot("second");
  Start();
  EXPECT_THAT(Records(), IsEmpty());
  ASSERT_OK(AppendSeq(1));
  Restart();
  EXPECT_THAT(Records(), ElementsAre("p me#1 0 a i@1 0"));
}

}  // namespace

}  // namespace fanwire::control
