#include "control/engine/memory_engine.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

constexpr HistoryPolicy kKeepAll{.size = 1000, .ttl = absl::InfiniteDuration()};

EngineCallback NoCallback() {
  ADD_FAILURE() << "asked for a callback";
  return nullptr;
}

PublicationPtr Make() {
  PublicationPtr publication =
      Publication::Make({.max_envelope_bytes = 1000 + Publication::kSealBytes});
  std::fill_n(publication->buffer(), 1000, 'x');
  publication->SetEnvelope(1000, 0, 0);
  return publication;
}

std::unique_ptr<EngineChannel> Open(Engine* engine, const char* channel) {
  return engine->Open("s", channel, kKeepAll, []() -> OpenedCallback {
    ADD_FAILURE() << "the memory engine opens channels at once";
    return nullptr;
  });
}

TEST(MemoryEngineTest, AnAppendSealsEachCopyInItsOwnChannelAtOnce) {
  const std::unique_ptr<Engine> engine = MakeMemoryEngine(1 << 20);
  const auto origin = Open(engine.get(), "a"), mirror = Open(engine.get(), "b");
  for (int64_t n = 1; n <= 3; ++n) {
    const PublicationPtr first = Make(), second = Make();
    std::vector<EngineAppend> appends = {{.channel = origin.get(), .publication = first}};
    if (n > 1) appends.push_back({.channel = mirror.get(), .publication = second});
    EXPECT_EQ(engine->Append(appends, {}, absl::Seconds(1), NoCallback), AppendOutcome::kDone);
    EXPECT_EQ(first->offset(), n);
    EXPECT_EQ(first->epoch(), origin->head().epoch);
    EXPECT_EQ(second->offset(), n - 1);
  }
  EXPECT_EQ(mirror->head().offset, 2);
  EXPECT_OK(engine->Health());
  EXPECT_EQ(engine->name(), "memory");
}

TEST(MemoryEngineTest, AForgottenChannelBeginsAgainUnderAnotherEpoch) {
  const std::unique_ptr<Engine> engine = MakeMemoryEngine(1 << 20);
  auto channel = Open(engine.get(), "a");
  const Epoch before = channel->head().epoch;
  engine->Append(std::vector<EngineAppend>{{.channel = channel.get(), .publication = Make()}}, {},
                 absl::Seconds(1), NoCallback);
  EXPECT_GT(engine->history_bytes(), 1000);
  engine->Forget(std::move(channel));
  EXPECT_EQ(engine->history_bytes(), 0);
  channel = Open(engine.get(), "a");
  EXPECT_NE(channel->head().epoch, before);
  EXPECT_EQ(channel->head().offset, 0);
}

TEST(MemoryEngineTest, AboveItsBoundItIsCrowdedAndThenWantsToGoALittleBelow) {
  const auto each = static_cast<int64_t>(Make()->memory_bytes());
  const std::unique_ptr<Engine> engine = MakeMemoryEngine(static_cast<uint64_t>(100 * each));
  std::vector<std::unique_ptr<EngineChannel>> channels;
  for (int64_t n = 1; n <= 100; ++n) {
    channels.push_back(Open(engine.get(), "a"));
    const AppendOutcome outcome = engine->Append(
        std::vector<EngineAppend>{{.channel = channels.back().get(), .publication = Make()}}, {},
        absl::Seconds(1), NoCallback);
    // What the channels take is counted as well.
    EXPECT_GE(engine->history_bytes(), n * (each + kChannelStateBytes));
    const bool crowded = engine->history_bytes() > 100 * each;
    EXPECT_EQ(outcome, crowded ? AppendOutcome::kDoneCrowded : AppendOutcome::kDone) << n;
    EXPECT_EQ(engine->excess_bytes(),
              std::max<int64_t>(0, engine->history_bytes() - 100 * each + 100 * each / 64))
        << n;
  }
  EXPECT_GT(engine->excess_bytes(), 0);
}

TEST(MemoryEngineTest, NoBoundIsTooLarge) {
  const std::unique_ptr<Engine> engine = MakeMemoryEngine(UINT64_MAX);
  EXPECT_EQ(engine->excess_bytes(), 0);
}

TEST(MemoryEngineTest, WhatIsNotKeptGetsNoPosition) {
  const std::unique_ptr<Engine> engine = MakeMemoryEngine(1 << 20);
  EXPECT_OK(engine->Start());
  const auto channel = Open(engine.get(), "a");
  const PublicationPtr publication = Make();
  EXPECT_EQ(engine->Append(
                std::vector<EngineAppend>{
                    {.channel = channel.get(), .publication = publication, .keep = false}},
                {}, absl::Seconds(1), NoCallback),
            AppendOutcome::kDone);
  EXPECT_EQ(publication->offset(), 0);
  EXPECT_EQ(channel->head().offset, 0);
  EXPECT_EQ(engine->history_bytes(), 0);
}

}  // namespace
}  // namespace fanwire::control
