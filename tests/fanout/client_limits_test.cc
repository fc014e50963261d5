// Rates of one client, on a clock that the test moves.
#include "fanout/client_limits.h"

#include <algorithm>
#include <cstdint>

#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using Verdict = ClientLimits::Verdict;

constexpr ClientLimits::Rate kRate{.limit = 100, .burst = 150};

// A client, a kernel that holds so much of what it sends, and a worker that reads when it may.
class ClientLimitsTest : public ::testing::Test {
 protected:
  static constexpr size_t kBytes = 50;  // a message
  static constexpr int kRead = 600;     // messages that the worker reads at once

  // Sends one message and lets the worker work.
  void Send() {
    ++kernel_;
    arrived_ += kBytes;
    Work();
  }

  // Handles what was read until reading pauses, and reads more when that is done.
  void Work() {
    while (now_ >= paused_until_ && !closed_) {
      if (held_ == 0) {
        held_ = std::min(kernel_, kRead);
        kernel_ -= held_;
      }
      if (held_ == 0) return;
      --held_;
      const ClientLimits::Decision decision = limits_.OnMessage(kBytes, rate_, now_, [this] {
        return ClientLimits::Input{.bytes = arrived_, .waits = kernel_ > 0};
      });
      paused_until_ = now_ + decision.pause;
      switch (decision.verdict) {
        case Verdict::kTake:
          ++taken_;
          break;
        case Verdict::kRefuse:
          ++refused_;
          break;
        case Verdict::kIgnore:
          ++ignored_;
          break;
        case Verdict::kClose:
          closed_ = true;
          break;
      }
    }
  }

  // Sends `per_second` for a time.  When `most` are in the kernel, that takes no more until the
  // worker has read them all, as TCP does.
  void SendFor(absl::Duration time, int per_second, int most) {
    const absl::Duration end = now_ + time;
    double due = 0;
    bool full = false;
    for (; now_ < end && !closed_; now_ += absl::Milliseconds(1)) {
      Work();
      for (due += per_second / 1000.0; due >= 1; due -= 1) {
        full = kernel_ >= most || (full && kernel_ > 0);
        if (!full) Send();
      }
    }
  }

  ClientLimits::Rate rate_ = kRate;
  absl::Duration now_ = absl::Seconds(1000);
  ClientLimits limits_{kRate.burst, now_};
  absl::Duration paused_until_;
  uint64_t arrived_ = 0;
  int kernel_ = 0, held_ = 0;  // messages
  int taken_ = 0, refused_ = 0, ignored_ = 0;
  bool closed_ = false;
};

TEST_F(ClientLimitsTest, WithinTheRateAllIsTakenAndReadingNeverPauses) {
  for (int i = 0; i < 3000; ++i) {
    Send();
    ASSERT_EQ(kernel_ + held_, 0);
    now_ += absl::Milliseconds(10);
  }
  EXPECT_EQ(taken_, 3000);
}

TEST_F(ClientLimitsTest, ABurstLessThanOneMessageStillLetsEachMessageThroughAtTheRate) {
  rate_ = {.limit = 0.5, .burst = 0.75};
  ClientLimits limits(rate_.burst, now_);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(limits.OnMessage(10, rate_, now_, [] { return ClientLimits::Input(); }).verdict,
              Verdict::kTake);
    now_ += absl::Seconds(2);
  }
}

TEST_F(ClientLimitsTest, OfHundredsAtOnceEachIsTakenOrRefusedAndNoneIgnored) {
  for (int i = 0; i < 1000; ++i) Send();
  for (int i = 0; i < 10'000; ++i, now_ += absl::Milliseconds(1)) Work();
  EXPECT_EQ(kernel_ + held_, 0);
  EXPECT_EQ(taken_ + refused_, 1000);
  EXPECT_GE(taken_, 450);
  EXPECT_FALSE(closed_);
}

TEST_F(ClientLimitsTest, ErrorsComeAtTheRateAndReadingPausesMeanwhile) {
  SendFor(absl::Seconds(4), 100'000, 1000);
  EXPECT_LE(refused_, 150 + 4 * 100 + 2);
  EXPECT_GE(refused_, 4 * 100);
  EXPECT_LE(taken_, 150 + 4 * 100 + 2);
  EXPECT_EQ(ignored_, 0);
}

TEST_F(ClientLimitsTest, AFloodIsClosedAfterTenSecondsAndNotBefore) {
  SendFor(absl::Seconds(9.9), 100'000, 1000);
  EXPECT_FALSE(closed_);
  EXPECT_LE(refused_, 150 + 990 + 2);
  // Read at up to seventeen times the rate while it is measured, and at twice the rate before.
  EXPECT_LE(taken_ + refused_ + ignored_, 300 + 2 * 420 + 6 * 1750);
  EXPECT_GT(ignored_, 1000);
  SendFor(absl::Seconds(1), 100'000, 1000);
  EXPECT_TRUE(closed_);
}

TEST_F(ClientLimitsTest, UpToTenTimesTheRateAClientIsNeverClosed) {
  SendFor(absl::Seconds(120), 990, 5000);
  EXPECT_FALSE(closed_);
  EXPECT_GE(taken_, 120 * 95);
}

TEST_F(ClientLimitsTest, AFloodThatPausesBeginsItsTenSecondsAnew) {
  for (int i = 0; i < 4; ++i) {
    SendFor(absl::Seconds(8), 100'000, 1000);
    SendFor(absl::Seconds(20), 0, 0);
    ASSERT_FALSE(closed_) << i;
  }
}

TEST_F(ClientLimitsTest, WhoHasSentAllAtOnceIsNotTakenForAFlood) {
  // Far more than is read in ten seconds, but nothing follows.
  rate_ = {.limit = 5, .burst = 5};
  for (int i = 0; i < 600; ++i) Send();
  for (int i = 0; i < 100'000 && !closed_; ++i, now_ += absl::Milliseconds(1)) Work();
  EXPECT_FALSE(closed_);
  EXPECT_EQ(taken_ + refused_, 600);
}

TEST_F(ClientLimitsTest, AfterALongMessageReadingPausesByItsLength) {
  const auto none = [] { return ClientLimits::Input(); };
  // The burst covers 150 times 4 KiB.
  EXPECT_EQ(limits_.OnMessage(600'000, kRate, now_, none).pause, absl::ZeroDuration());
  const ClientLimits::Decision second = limits_.OnMessage(600'000, kRate, now_, none);
  EXPECT_EQ(second.verdict, Verdict::kTake);
  EXPECT_GT(second.pause, absl::Seconds(1));
  EXPECT_LT(second.pause, absl::Seconds(2));
  for (int i = 0; i < 10; ++i) {
    EXPECT_LE(limits_.OnMessage(1 << 20, kRate, now_, none).pause, absl::Seconds(5));
  }
}

TEST_F(ClientLimitsTest, ALargeAnswerAtASmallRateStopsReadingForSecondsNotMinutes) {
  limits_.OnHistoryAsked(1024, now_);
  EXPECT_EQ(limits_.OnHistoryAnswered(1 << 20, 1024, now_), absl::Seconds(5));
  EXPECT_EQ(limits_.OnHistoryAsked(1024, now_ + absl::Seconds(5)), absl::Seconds(5));
}

TEST_F(ClientLimitsTest, HistoryIsPaidForByWhatCame) {
  constexpr double kBytes = 1 << 20;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(limits_.OnHistoryAsked(kBytes, now_), absl::ZeroDuration());
  EXPECT_EQ(limits_.OnHistoryAsked(kBytes, now_), absl::Seconds(1));
  // Five answers of nothing: all is as it was.
  EXPECT_EQ(limits_.OnHistoryAnswered(0, kBytes, now_), absl::ZeroDuration());
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(limits_.OnHistoryAnswered(0, kBytes, now_), absl::ZeroDuration());
  }
  EXPECT_EQ(limits_.OnHistoryAsked(kBytes, now_), absl::ZeroDuration());
  EXPECT_EQ(limits_.OnHistoryAnswered(6 << 20, kBytes, now_), absl::Seconds(2));
}

}  // namespace
}  // namespace fanwire::fanout
