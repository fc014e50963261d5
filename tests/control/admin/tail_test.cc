#include "control/admin/tail.h"

#include <memory>
#include <string>
#include <vector>

#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/engine/memory_engine.h"
#include "tests/control/admin/admin_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kAll = 64 << 20;

class TailTest : public AdminFixture {
 protected:
  TailTest() { routing_->router->AddObserver(&hub_); }
  ~TailTest() override { routing_->router->RemoveObserver(&hub_); }

  TailHub::StreamPtr Open(const TailHub::Filter& filter) {
    absl::StatusOr<TailHub::StreamPtr> stream = hub_.Open(filter, [this] { ++wakes_; });
    EXPECT_OK(stream);
    return stream.value_or(nullptr);
  }
  // "service/channel/event" of what waits.
  std::vector<std::string> Seen(const TailHub::StreamPtr& stream) {
    std::vector<std::string> seen;
    for (const TailHub::Event& event : hub_.Take(stream, kAll).events) {
      seen.push_back(
          absl::StrCat(event.service, "/", event.channel, "/", event.publication->event()));
    }
    return seen;
  }
  void PublishMany(int count, const std::string& channel = "pool:a") {
    for (int i = 0; i < count; ++i) ASSERT_OK(Publish("mahavishnu", channel));
  }

  TailHub hub_{&clock_, &timers_};
  int wakes_ = 0;
};

TEST_F(TailTest, ShowsWhatIsAcceptedInItsOrder) {
  const TailHub::StreamPtr stream = Open({});
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.one"));
  ASSERT_OK(Publish("akosha", "b", "b.two"));
  ASSERT_FALSE(Publish("akosha", "b:*", "b.refused").ok());
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.three"));
  EXPECT_THAT(Seen(stream), ElementsAre("mahavishnu/pool:a/a.one", "akosha/b/b.two",
                                        "mahavishnu/pool:a/a.three"));
  EXPECT_TRUE(hub_.Take(stream, kAll).empty());
}

TEST_F(TailTest, FiltersByServicePatternAndEventTogether) {
  const TailHub::StreamPtr stream = Open({.service = "mahavishnu",
                                          .pattern = "pool:*",
                                          .events = {"a.one", "a.two"},
                                          .max_per_second = 0});
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.one"));
  ASSERT_OK(Publish("mahavishnu", "pool:b", "a.two"));
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.three"));
  ASSERT_OK(Publish("mahavishnu", "pool:a:b", "a.one"));
  ASSERT_OK(Publish("akosha", "pool:a", "a.one"));
  EXPECT_THAT(Seen(stream), ElementsAre("mahavishnu/pool:a/a.one", "mahavishnu/pool:b/a.two"));
}

TEST_F(TailTest, AMirrorCopyIsShownAsAPublicationOfItsOwnChannel) {
  const TailHub::StreamPtr stream = Open({});
  ASSERT_OK(Publish("mahavishnu", "workflow:1", "workflow.started"));
  EXPECT_THAT(Seen(stream), ElementsAre("mahavishnu/workflow:1/workflow.started",
                                        "mahavishnu/global/workflow.started"));
}

TEST_F(TailTest, AMalformedPatternIsRefused) {
  EXPECT_THAT(
      hub_.Open({.service = {}, .pattern = "a:**:b", .events = {}, .max_per_second = 0}, [] {}),
      StatusIs(absl::StatusCode::kInvalidArgument, ::testing::_));
  EXPECT_EQ(hub_.streams(), 0);
}

TEST_F(TailTest, WhatIsOverTheRateIsLeftOutAndCounted) {
  const TailHub::StreamPtr stream =
      Open({.service = {}, .pattern = {}, .events = {}, .max_per_second = 10});
  PublishMany(25);
  TailHub::Batch batch = hub_.Take(stream, kAll);
  EXPECT_EQ(batch.events.size(), 10u);
  EXPECT_EQ(batch.left_out, 15);
  clock_.Advance(absl::Seconds(1));
  PublishMany(4);
  batch = hub_.Take(stream, kAll);
  EXPECT_EQ(batch.events.size(), 4u);
  EXPECT_EQ(batch.left_out, 0);
}

TEST_F(TailTest, WithoutARateItIsAThousand) {
  const TailHub::StreamPtr stream = Open({});
  PublishMany(1001);
  const TailHub::Batch batch = hub_.Take(stream, kAll);
  EXPECT_EQ(batch.events.size(), 1000u);
  EXPECT_EQ(batch.left_out, 1);
}

TEST_F(TailTest, AStreamThatNobodyReadsIsBoundedInBytes) {
  const TailHub::StreamPtr stream =
      Open({.service = {}, .pattern = {}, .events = {}, .max_per_second = 1'000'000});
  const std::string json = R"({"text":")" + std::string(60'000, 'x') + R"("})";
  const int count = 200;  // 12 MB
  for (int i = 0; i < count; ++i) {
    ASSERT_OK(Publish("mahavishnu", "pool:a", "a.b", json));
  }
  const TailHub::Batch batch = hub_.Take(stream, kAll);
  EXPECT_LE(batch.events.size() * 60'000, TailHub::kMaxQueuedBytes);
  EXPECT_GT(batch.events.size() * 70'000, TailHub::kMaxQueuedBytes);
  EXPECT_EQ(static_cast<int64_t>(batch.events.size()) + batch.left_out, count);
  // What was taken makes room.
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.b", json));
  EXPECT_EQ(hub_.Take(stream, kAll).events.size(), 1u);
}

TEST_F(TailTest, ABatchIsBoundedAndHoldsOneAtLeast) {
  const TailHub::StreamPtr stream = Open({});
  PublishMany(3);
  EXPECT_EQ(hub_.Take(stream, 1).events.size(), 1u);
  EXPECT_EQ(hub_.Take(stream, kAll).events.size(), 2u);
}

TEST_F(TailTest, StreamsAreWokenOnceForWhatCameTogether) {
  const TailHub::StreamPtr stream = Open({});
  PublishMany(5);
  timers_.RunDue();
  EXPECT_EQ(wakes_, 0);
  clock_.Advance(TailHub::kWakeInterval);
  timers_.RunDue();
  EXPECT_EQ(wakes_, 1);
  Seen(stream);
  PublishMany(1);
  clock_.Advance(TailHub::kWakeInterval);
  timers_.RunDue();
  EXPECT_EQ(wakes_, 2);
}

TEST_F(TailTest, AStreamThatWantsNothingOfItIsNotWoken) {
  const TailHub::StreamPtr stream =
      Open({.service = "akosha", .pattern = {}, .events = {}, .max_per_second = 0});
  PublishMany(5);
  clock_.Advance(TailHub::kWakeInterval);
  timers_.RunDue();
  EXPECT_EQ(wakes_, 0);
  EXPECT_THAT(Seen(stream), IsEmpty());
}

TEST_F(TailTest, EachStreamHasItsOwnFilterAndQueue) {
  const TailHub::StreamPtr a =
      Open({.service = {}, .pattern = "pool:a", .events = {}, .max_per_second = 0});
  const TailHub::StreamPtr b =
      Open({.service = {}, .pattern = "pool:b", .events = {}, .max_per_second = 1});
  PublishMany(2, "pool:a");
  PublishMany(3, "pool:b");
  EXPECT_EQ(hub_.Take(a, kAll).events.size(), 2u);
  const TailHub::Batch batch = hub_.Take(b, kAll);
  EXPECT_EQ(batch.events.size(), 1u);
  EXPECT_EQ(batch.left_out, 2);
}

TEST_F(TailTest, AClosedStreamGetsNothingMore) {
  const TailHub::StreamPtr stream = Open({});
  hub_.Close(stream);
  PublishMany(1);
  EXPECT_TRUE(hub_.Take(stream, kAll).empty());
  EXPECT_EQ(hub_.streams(), 0);
}

TEST_F(TailTest, TheEndComesAfterWhatWaits) {
  const TailHub::StreamPtr stream = Open({});
  PublishMany(2);
  hub_.EndAll(absl::UnavailableError("control is stopping"));
  EXPECT_EQ(wakes_, 1);
  const TailHub::Batch first = hub_.Take(stream, 1);
  EXPECT_EQ(first.events.size(), 1u);
  EXPECT_FALSE(first.ended.has_value());
  const TailHub::Batch last = hub_.Take(stream, kAll);
  EXPECT_EQ(last.events.size(), 1u);
  ASSERT_TRUE(last.ended.has_value());
  EXPECT_EQ(last.ended->message(), "control is stopping");
  EXPECT_THAT(hub_.Open({}, [] {}),
              StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
}

}  // namespace
}  // namespace fanwire::control
