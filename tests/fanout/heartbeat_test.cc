// Heartbeats: how often, what they say, and when they end.
#include "fanout/heartbeat.h"

#include <functional>
#include <vector>

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_link.h"

namespace fanwire::fanout {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class HeartbeatTest : public ::testing::Test {
 protected:
  HeartbeatTest()
      : heartbeat_(
            &loop_, &link_, [this] { ++beats_; },
            [](v1::Heartbeat* message) { message->set_interest_count(42); }) {}

  // Runs turns until the condition holds; false after 20 s.
  bool RunUntil(const std::function<bool()>& condition) {
    const absl::Time give_up = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > give_up) return false;
      loop_.RunTurn(absl::Milliseconds(10));
    }
    return true;
  }

  EventLoop loop_;
  FakeLink link_;
  int beats_ = 0;
  Heartbeat heartbeat_;
};

TEST_F(HeartbeatTest, TellsProcessLagAndWhatItsOwnerFillsIn) {
  heartbeat_.SetInterval(absl::Milliseconds(10));
  heartbeat_.Start();
  ASSERT_TRUE(RunUntil([&] { return link_.sent.size() >= 2; }));
  const std::vector<v1::WorkerItem> sent = link_.Take();
  EXPECT_EQ(sent[0].heartbeat().seq(), 1u);
  EXPECT_EQ(sent[1].heartbeat().seq(), 2u);
  EXPECT_GT(sent[0].heartbeat().rss_bytes(), 0u);
  EXPECT_GT(sent[0].heartbeat().cpu_ms(), 0);
  EXPECT_GE(sent[0].heartbeat().loop_lag_us(), 0);
  EXPECT_GE(sent[1].heartbeat().monotonic_ms(), sent[0].heartbeat().monotonic_ms() + 9);
  EXPECT_EQ(sent[0].heartbeat().interest_count(), 42u);
  EXPECT_GE(beats_, 2);
}

TEST_F(HeartbeatTest, WithoutAnAttachmentItBeatsAndSendsNothing) {
  link_.is_attached = false;
  heartbeat_.SetInterval(absl::Milliseconds(10));
  heartbeat_.Start();
  ASSERT_TRUE(RunUntil([&] { return beats_ == 2; }));
  link_.is_attached = true;
  ASSERT_TRUE(RunUntil([&] { return !link_.sent.empty(); }));
  EXPECT_EQ(link_.sent[0].heartbeat().seq(), 1u);
}

TEST_F(HeartbeatTest, TheLinkExpectsTheSameInterval) {
  heartbeat_.SetInterval(absl::Seconds(3));
  EXPECT_EQ(link_.heartbeat_interval, absl::Seconds(3));
}

TEST_F(HeartbeatTest, TheIntervalIsAtLeastTenMilliseconds) {
  heartbeat_.SetInterval(absl::ZeroDuration());
  EXPECT_EQ(link_.heartbeat_interval, absl::Milliseconds(10));
}

TEST_F(HeartbeatTest, AfterTheLastOneNoneIsSentButItGoesOnBeating) {
  heartbeat_.SetInterval(absl::Milliseconds(10));
  heartbeat_.Start();
  heartbeat_.SendLast();
  EXPECT_THAT(link_.Take(), SizeIs(1));
  ASSERT_TRUE(RunUntil([&] { return beats_ == 3; }));
  EXPECT_THAT(link_.sent, IsEmpty());
}

TEST_F(HeartbeatTest, ALoopThatWasBusyIsSeenAsLag) {
  heartbeat_.SetInterval(absl::Milliseconds(10));
  // Keeps the loop in the turn of the start until well after the beat was due.
  loop_.Post([this] {
    heartbeat_.Start();
    const absl::Time until = absl::Now() + absl::Milliseconds(30);
    while (absl::Now() < until) continue;
  });
  ASSERT_TRUE(RunUntil([&] { return beats_ == 1; }));
  EXPECT_GE(heartbeat_.loop_lag(), absl::Milliseconds(15));
  EXPECT_EQ(link_.sent[0].heartbeat().loop_lag_us(),
            absl::ToInt64Microseconds(heartbeat_.loop_lag()));
}

}  // namespace
}  // namespace fanwire::fanout
