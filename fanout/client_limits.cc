#include "fanout/client_limits.h"

#include <algorithm>
#include <cmath>

namespace fanwire::fanout {

namespace {

// Pauses of reading are about this long, so that a client over its rate is read from in batches.
constexpr absl::Duration kBatch = absl::Milliseconds(100);

// A client over its rate has let up if it was within the rate for so long after a pause, or has
// sent nothing for so long.
constexpr absl::Duration kWithinRate = absl::Milliseconds(100);
constexpr absl::Duration kSilent = absl::Seconds(1);

// A client that has not let up for so long is measured, and after so long closed.
constexpr absl::Duration kMeasureAfter = absl::Seconds(4);
constexpr absl::Duration kCloseAfter = absl::Seconds(10);
// It is closed if it sends more than so many times its rate all the while.  The limit is ten times:
// a client that is just within it must be able to work off what piled up before it was measured.
constexpr double kFarOver = 16;

// More than any bucket holds.
constexpr double kFull = 1e18;

// The longest pause after a long message.
constexpr absl::Duration kLongestPause = absl::Seconds(5);

// How long nothing is read from a client that owes the bucket so many seconds.  What it owes beyond
// that makes its next question wait.
absl::Duration HistoryPause(double owed) { return std::min(absl::Seconds(owed), kLongestPause); }

}  // namespace

struct ClientLimits::Excess {
  // Called where reading must pause.  The client has let up if it was within its rate meanwhile, or
  // if nothing more has come: while something waits in the kernel that cannot be told, because a
  // client that sends may be held up there.
  void Press(absl::Duration now, absl::FunctionRef<Input()> look) {
    const Input input = look();
    if (input.waits || input.bytes != arrived) arrived_at = now;
    arrived = input.bytes;
    if (now - paused_until > kWithinRate || now - arrived_at >= kSilent) LetUp(now);
  }

  void LetUp(absl::Duration now) {
    pressing_since = arrived_at = now;
    measuring = false;
  }

  // They begin full, whatever their burst is.
  TokenBucket<double> errors{kFull, absl::ZeroDuration()};
  TokenBucket<double> bytes{kFull, absl::ZeroDuration()};    // of long messages
  TokenBucket<double> history{kFull, absl::ZeroDuration()};  // bytes
  absl::Duration paused_until = -absl::InfiniteDuration();
  absl::Duration pressing_since;
  absl::Duration arrived_at;  // when it may have grown last
  uint64_t arrived = 0;       // bytes that had come from the client
  bool measuring = false;
  absl::Duration interval_began;  // of measuring
  double refused = 0;             // messages in this interval
};

void ClientLimits::Deleter::operator()(Excess* excess) const { delete excess; }

ClientLimits::Excess& ClientLimits::excess() {
  if (excess_ == nullptr) excess_.reset(new Excess());
  return *excess_;
}

ClientLimits::Decision ClientLimits::OnMessage(size_t bytes, const Rate& given, absl::Duration now,
                                               absl::FunctionRef<Input()> input) {
  const Rate rate{.limit = given.limit, .burst = AtLeastOne(given.burst)};
  Decision decision;
  if (!messages_.Take(rate.limit, rate.burst, now)) decision = Refuse(rate, now, input);
  if (bytes > kBytesPerMessage) {
    const double owed =
        excess().bytes.Spend(static_cast<double>(bytes - kBytesPerMessage),
                             rate.limit * kBytesPerMessage, rate.burst * kBytesPerMessage, now);
    decision.pause = std::max(decision.pause, std::min(absl::Seconds(owed), kLongestPause));
  }
  return decision;
}

ClientLimits::Decision ClientLimits::Refuse(const Rate& rate, absl::Duration now,
                                            absl::FunctionRef<Input()> input) {
  Excess& excess = this->excess();
  if (!excess.measuring) {
    const double owed = excess.errors.Spend(1, rate.limit, rate.burst, now);
    if (owed <= 0) return {.verdict = Verdict::kRefuse, .pause = absl::ZeroDuration()};
    excess.Press(now, input);
    if (now - excess.pressing_since >= kMeasureAfter) {
      excess.measuring = true;
      excess.refused = 0;
    }
    // Not longer than the bucket needs to become half full, so that nothing of the rate is lost.
    const absl::Duration batch = std::min(kBatch, absl::Seconds(rate.burst / (2 * rate.limit)));
    const absl::Duration pause = std::max(absl::Seconds(owed), batch);
    excess.paused_until = now + pause;
    return {.verdict = Verdict::kRefuse, .pause = pause};
  }
  // So many refused messages in an interval of about kBatch are read, and no more.
  const double allowed =
      std::max(1.0, std::floor(kFarOver * rate.limit * absl::ToDoubleSeconds(kBatch)));
  const absl::Duration interval =
      std::min(absl::Seconds(allowed / (kFarOver * rate.limit)), absl::Seconds(1));
  if (excess.refused == 0) excess.interval_began = now;
  Decision decision{.verdict = excess.errors.Take(rate.limit, rate.burst, now) ? Verdict::kRefuse
                                                                               : Verdict::kIgnore,
                    .pause = absl::ZeroDuration()};
  if (now >= excess.interval_began + interval) {
    excess.LetUp(now);  // it has sent less than that
    return decision;
  }
  if (++excess.refused < allowed) return decision;
  excess.Press(now, input);
  if (now - excess.pressing_since >= kCloseAfter) {
    decision.verdict = Verdict::kClose;
    return decision;
  }
  excess.refused = 0;
  decision.pause = excess.interval_began + interval - now;
  excess.paused_until = now + decision.pause;
  return decision;
}

absl::Duration ClientLimits::OnHistoryAsked(double bytes_per_second, absl::Duration now) {
  const double burst = HistoryBurst(bytes_per_second);
  return HistoryPause(
      excess().history.Spend(std::min(kMaxHistoryBytes, burst), bytes_per_second, burst, now));
}

absl::Duration ClientLimits::OnHistoryAnswered(size_t bytes, double bytes_per_second,
                                               absl::Duration now) {
  const double burst = HistoryBurst(bytes_per_second);
  excess().history.GiveBack(std::min(kMaxHistoryBytes, burst));
  return HistoryPause(
      excess().history.Spend(static_cast<double>(bytes), bytes_per_second, burst, now));
}

}  // namespace fanwire::fanout
