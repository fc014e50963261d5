// ClientLimits keeps one client within what it may send and ask for: messages per second, the bytes
// of long messages, and bytes of history.
//
// A message over the rate is refused with an error.  Errors have the same rate and burst as
// messages: when they are used up, the worker reads nothing more from the client until the next
// errors are due, so that none goes unanswered.  Only a client that has pressed on for 4 s, always
// with more than was read, is measured: it is read from at up to 16 times its rate, and what
// cannot be answered at the rate is ignored.  A client that sends even more than that, without a
// pause until 10 s have passed, is closed.
//
// Threading: loop-confined.
// Ownership: a value of its session.
// Cost:      24 bytes, and about 150 more once a client was over a limit; no allocation for a
//            message within the rate.
// Source:    docs/protocol.md "Limits"
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/token_bucket.h"

namespace fanwire::fanout {

class ClientLimits {
 public:
  // Messages per second, and how many at once.
  struct Rate {
    double limit = 0;
    double burst = 0;
  };

  // What has come from the client.
  struct Input {
    uint64_t bytes = 0;  // since it connected, those in the kernel included
    bool waits = false;  // some of it is in the kernel, unread
  };

  enum class Verdict {
    kTake,
    kRefuse,  // answer it with an error
    kIgnore,  // answer nothing
    kClose,   // close the session
  };
  struct [[nodiscard]] Decision {
    Verdict verdict = Verdict::kTake;
    absl::Duration pause;  // how long to read nothing more
  };

  // A client may send so many messages per second as long as each is no longer than this.
  static constexpr size_t kBytesPerMessage = 4096;
  // The longest answer to a request for history.
  static constexpr double kMaxHistoryBytes = 1 << 20;

  ClientLimits(double burst, absl::Duration now) : messages_(AtLeastOne(burst), now) {}

  // Decides on a message of `bytes`.  `rate.limit` is positive.  `input` looks at what has come
  // from the client; it is called only for a client over its rate.
  Decision OnMessage(size_t bytes, const Rate& rate, absl::Duration now,
                     absl::FunctionRef<Input()> input);

  // Seconds until the client may send the next message, after one that was over the rate.
  double SecondsToNext(const Rate& rate) const { return messages_.SecondsToNext(rate.limit); }

  // The client asks for history, of which it may get `bytes_per_second`, which is positive.  An
  // answer of kMaxHistoryBytes is reckoned with.  Returns how long to read nothing more.
  absl::Duration OnHistoryAsked(double bytes_per_second, absl::Duration now);
  // The answer to it has come, with `bytes`.  Returns how long to read nothing more from now on.
  absl::Duration OnHistoryAnswered(size_t bytes, double bytes_per_second, absl::Duration now);

 private:
  // What is kept of a client that was over a limit.
  struct Excess;

  static double AtLeastOne(double burst) { return burst < 1 ? 1 : burst; }
  static double HistoryBurst(double bytes_per_second) { return 4 * bytes_per_second; }
  Excess& excess();
  // What to do with a message over the rate.
  Decision Refuse(const Rate& rate, absl::Duration now, absl::FunctionRef<Input()> input);

  struct Deleter {
    void operator()(Excess* excess) const;
  };

  TokenBucket<float> messages_;
  std::unique_ptr<Excess, Deleter> excess_;  // null: the client was within its limits so far
};

}  // namespace fanwire::fanout
