// Random operations on the rocksdb engine, compared with a simple model.

#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "control/engine/rocksdb_engine.h"
#include "gtest/gtest.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

// A channel as it should be.
struct Model {
  struct Entry {
    int64_t offset;
    absl::Duration received;
    std::string envelope;
  };
  Epoch epoch = {};
  int64_t head = 0;
  HistoryPolicy policy = {};
  std::deque<Entry> history = {};

  void Apply(absl::Duration now) {
    while (history.size() > policy.size ||
           (!history.empty() && history.front().received + policy.ttl <= now)) {
      history.pop_front();
    }
  }
};

class RocksDbModelTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  static constexpr int kChannels = 6;

  void Start() {
    engine_ = MakeRocksDbEngine(options_, &clock_);
    ASSERT_OK(engine_->Start());
    user_ = std::make_unique<EngineUser>(engine_.get(), &clock_);
  }
  void Stop() {
    for (auto& channel : channels_) channel = nullptr;
    engine_ = nullptr;
    user_ = nullptr;
  }
  EngineChannel* Open(int i) {
    auto& channel = channels_[i];
    Model& model = models_[i];
    if (channel != nullptr) return channel.get();
    channel = user_->Open(std::to_string(i), model.policy);
    if (model.head == 0) model.epoch = channel->head().epoch;
    EXPECT_EQ(channel->head(), (Position{model.epoch, model.head}));
    return channel.get();
  }
  HistoryPolicy RandomPolicy() {
    const uint32_t sizes[] = {0, 1, 3, 20, 1000};
    // Time goes by in steps of 3 s: nothing expires within a second of a step, in which a read may
    // still return it.
    const absl::Duration ttls[] = {absl::Seconds(20), absl::Seconds(200), absl::InfiniteDuration()};
    return {.size = sizes[random_() % 5], .ttl = ttls[random_() % 3]};
  }
  void Append(int i, int count) {
    EngineChannel* const channel = Open(i);
    Model& model = models_[i];
    for (int n = 0; n < count; ++n) {
      const bool keep = random_() % 8 != 0;
      const PublicationPtr publication =
          MakePublication(clock_, model.head + 1, 100 + random_() % 400);
      ASSERT_OK(user_->Append(channel, publication, keep));
      ASSERT_EQ(publication->offset(), keep ? model.head + 1 : 0);
      if (!keep) continue;
      ++model.head;
      model.history.push_back({.offset = model.head,
                               .received = clock_.Now(),
                               .envelope = std::string(publication->envelope())});
      model.Apply(clock_.Now());
    }
    ASSERT_EQ(channel->head(), (Position{model.epoch, model.head}));
  }
  // Reads as a recovering client does: all of history behind `after`.
  void Read(int i) {
    EngineChannel* const channel = Open(i);
    Model& model = models_[i];
    model.Apply(clock_.Now());
    if (model.head == 0) return;
    int64_t after = static_cast<int64_t>(random_() % static_cast<uint64_t>(model.head));
    const bool kept = !model.history.empty() && model.history.front().offset <= after + 1;
    const size_t max_bytes = random_() % 3 == 0 ? 1 : 2000;
    std::vector<PublicationPtr> page;
    bool gone = false;
    while (after < model.head) {
      page = user_->ReadPublications(channel, after, model.head, max_bytes, &gone);
      ASSERT_EQ(gone, !kept) << "channel " << i << " after " << after;
      if (gone) break;
      ASSERT_FALSE(page.empty());
      for (const PublicationPtr& publication : page) {
        ++after;
        ASSERT_EQ(publication->offset(), after);
        const Model::Entry& entry =
            model.history[static_cast<size_t>(after - model.history.front().offset)];
        ASSERT_EQ(publication->envelope(), entry.envelope);
      }
    }
    // From the oldest offset on, as a repair goes on after a gap.
    for (;;) {
      const int64_t oldest = channel->Describe(clock_.Now()).oldest_offset;
      if (oldest == 0) {
        ASSERT_TRUE(model.history.empty());
        return;
      }
      page = user_->ReadPublications(channel, oldest - 1, model.head, 1, &gone);
      if (gone) {
        ASSERT_NE(channel->Describe(clock_.Now()).oldest_offset, oldest);
        continue;
      }
      ASSERT_FALSE(model.history.empty());
      ASSERT_EQ(oldest, model.history.front().offset);
      ASSERT_EQ(page.size(), 1);
      return;
    }
  }
  void Step() {
    const int i = static_cast<int>(random_() % kChannels);
    switch (random_() % 40) {
      case 0:
        clock_.Advance(absl::Seconds(3) * static_cast<double>(random_() % 30));
        // The engine's upkeep may do so at any time.
        for (Model& model : models_) model.Apply(clock_.Now());
        break;
      case 1: {
        const HistoryPolicy policy = RandomPolicy();
        Open(i)->Trim(clock_.Now());
        channels_[i]->SetPolicy(policy, clock_.Now());
        models_[i].policy = policy;
        models_[i].Apply(clock_.Now());
        break;
      }
      case 2:
        Open(i);
        engine_->Forget(std::move(channels_[i]));
        channels_[i] = nullptr;
        models_[i] = {.policy = models_[i].policy};
        break;
      case 3:
        if (random_() % 6 == 0) {
          // Only what was written with a publication is sure to hold after a restart.
          for (int n = 0; n < kChannels; ++n) Append(n, 2);
          Stop();
          Start();
        }
        break;
      default:
        random_() % 2 == 0 ? Append(i, 1 + static_cast<int>(random_() % 5)) : Read(i);
    }
  }

  TestFolder folder_;
  FakeClock clock_;
  RocksDbOptions options_;
  std::mt19937 random_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EngineUser> user_;
  std::unique_ptr<EngineChannel> channels_[kChannels];
  Model models_[kChannels];
};

TEST_P(RocksDbModelTest, AgreesWithTheModel) {
  random_.seed(GetParam());
  options_.path = folder_.path();
  options_.cache_bytes = GetParam() % 2 == 0 ? 3000 : 100'000;
  options_.upkeep_interval = absl::Milliseconds(2);
  if (GetParam() % 3 != 0) options_.write_buffer_bytes = size_t{64} << 10;  // it compacts, too
  for (Model& model : models_) model.policy = RandomPolicy();
  Start();
  for (int step = 0; step < 2000; ++step) {
    Step();
    if (HasFatalFailure()) FAIL() << "step " << step;
  }
  Stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RocksDbModelTest, ::testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace fanwire::control
