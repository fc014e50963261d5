// TailHub lets operators watch publications as they are accepted.  It never slows publishers down:
// each stream has a bounded queue and a rate limit.  Publications beyond these are left out and
// counted.
//
// Mirror copies appear as publications of their own channels.
//
// Threading: safe from every thread.  Its mutex is taken under a channel's lock; nothing is locked
//            under it.
// Ownership: borrows clock and timers.  Before it is destroyed, the timers must have stopped, and
//            it must be removed from Router's observers.  Streams may outlive it.
// Cost:      without a stream, one relaxed load for each publication.  With streams, each
//            publication is matched against each stream, and queued if it matches.  Streams are
//            woken every 20 ms, not for each publication.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/routing/publication_observer.h"
#include "proto/channel_name.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::control {

class TailHub final : public PublicationObserver {
 public:
  struct Filter {
    std::string service;              // empty: all
    std::string pattern;              // channel or pattern; empty: all
    std::vector<std::string> events;  // only these names; empty: all
    uint32_t max_per_second = 0;      // 0: 1000
  };

  struct Event {
    std::string service;
    std::string channel;
    PublicationPtr publication;
  };

  // The result of one Take().
  struct Batch {
    std::vector<Event> events;
    int64_t left_out = 0;               // since the last batch
    std::optional<absl::Status> ended;  // set when the hub has ended the stream

    bool empty() const { return events.empty() && left_out == 0 && !ended.has_value(); }
  };

  // The default bound of the publications that are queued for one stream.
  static constexpr size_t kMaxQueuedBytes = 8 << 20;
  static constexpr absl::Duration kWakeInterval = absl::Milliseconds(20);

  class Stream;
  using StreamPtr = std::shared_ptr<Stream>;

  TailHub(const Clock* clock, TimerQueue* timers, size_t max_queued_bytes = kMaxQueuedBytes)
      : clock_(clock), timers_(timers), max_queued_bytes_(max_queued_bytes) {}

  // Opens a stream.  `on_ready` is called without locks when Take() has something to return: on the
  // timer thread, at most every 20 ms, and by EndAll().
  //   INVALID_ARGUMENT  malformed pattern
  //   UNAVAILABLE       the hub has ended
  absl::StatusOr<StreamPtr> Open(const Filter& filter, std::function<void()> on_ready);

  // Takes queued publications whose envelopes have up to about `max_bytes`, but at least one.
  Batch Take(const StreamPtr& stream, size_t max_bytes);

  // Closes the stream.  Its on_ready may still be running when this returns.
  void Close(const StreamPtr& stream);

  // Ends all streams with `status`.  Later calls of Open() return it, too.
  void EndAll(const absl::Status& status);

  int64_t streams() const { return stream_count_.load(std::memory_order_relaxed); }

  void OnPublication(const ObservedPublication& observed) override;

 private:
  void Offer(Stream* stream, const ObservedPublication& observed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns whether a wake-up must be scheduled.
  bool NeedsWake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetWake();
  void Wake();

  const Clock* const clock_;
  TimerQueue* const timers_;
  const size_t max_queued_bytes_;
  std::atomic<int64_t> stream_count_{0};

  Mutex mu_;
  std::vector<StreamPtr> streams_ ABSL_GUARDED_BY(mu_);
  bool wake_is_set_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
