// ReceiptTracker follows the publications whose publisher waits for WRITTEN: which workers each
// copy went to, and what those report.
//
// A record begins with Open(); parts are added under the channel's lock while the copies are
// queued, so that no report can come too early; Await() says who wants the sum.  It ends when every
// part has reported or its worker is gone, or at the deadline with what there is.
//
// Threading: safe from every thread; its mutex is a leaf.  Callbacks run without it.
// Cost:      nothing for publications that nobody waits for.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/events/delivery_counts.h"
#include "control/events/event.h"
#include "control/routing/delivery_report.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::control {

class ReceiptTracker {
 public:
  // Copies of one event, the origin included, that can be told apart.
  static constexpr uint64_t kMaxCopies = 16;

  // What all workers have said.  Times are since the workers received it; 0: never.
  struct Result {
    DeliveryCounts counts;
    int64_t first_written_us = 0;
    int64_t last_written_us = 0;
    bool timed_out = false;
  };
  using Done = std::function<void(const Result&)>;

  ReceiptTracker(const Clock* clock, TimerQueue* timers) : clock_(clock), timers_(timers) {}

  // Begins a record.  The tracking id of copy n is the returned number + n, n < kMaxCopies.
  uint64_t Open();

  // A copy goes to a link; Remove if it did not after all.
  void AddPart(uint64_t tracking_id, uint64_t link_id);
  void RemovePart(uint64_t tracking_id, uint64_t link_id);

  // All parts are known.  `done` may be called at once; at `deadline` (Clock::Now()) at the latest.
  void Await(uint64_t record, absl::Duration deadline, Done done);
  // The event was refused: forget the record.
  void Cancel(uint64_t record);

  void OnReport(uint64_t link_id, const DeliveryReport& report);
  void WorkerGone(uint64_t link_id);
  int64_t open() const;

 private:
  struct Part {
    uint64_t tracking_id = 0;
    uint64_t link_id = 0;
    DeliveryReport report;
    bool over = false;  // reported finally, or gone
  };
  struct Record {
    std::vector<Part> parts;
    absl::Duration deadline = absl::InfiniteDuration();
    Done done;
  };
  using Ended = std::vector<std::pair<Done, Result>>;

  // Ends what is past its deadline; of the timer that was set for `armed`.
  void Expire(absl::Duration armed);

  static uint64_t RecordOf(uint64_t tracking_id) { return tracking_id & ~(kMaxCopies - 1); }
  static Result Sum(const Record& record);

  // Ends the record if nothing is missing.
  void EndIfComplete(uint64_t id, Ended* ended) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void End(uint64_t id, bool timed_out, Ended* ended) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Tell(Ended* ended);

  const Clock* const clock_;
  TimerQueue* const timers_;

  mutable Mutex mu_;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = kMaxCopies;
  absl::flat_hash_map<uint64_t, Record> records_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<absl::Duration, uint64_t>> deadlines_ ABSL_GUARDED_BY(mu_);
  // What the earliest timer is set for.  It stands when the record that it was set for ends before:
  // a timer for each record would be as many timers as there were records within a wait.
  absl::Duration armed_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
};

}  // namespace fanwire::control
