// ReceiptTracker follows the publications whose publisher waits for WRITTEN.  It knows to which
// workers each copy went, and adds up what the workers report.
//
// Open() begins a record.  A part is added for each worker and copy, under the channel's lock while
// the copy is queued, so that no report can arrive before its part.  Await() sets the function that
// gets the sum.  The record ends when every part is over (reported, or its worker is gone), or at
// the deadline with the reports that have arrived.
//
// Threading: safe from every thread; its mutex is a leaf.  Callbacks run without the mutex.
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
  // How many copies of one event, the origin included, can have tracking ids of their own.
  static constexpr uint64_t kMaxCopies = 16;

  // The sum of all workers' reports.  Times count from when a worker received the publication; 0:
  // it was never written.
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

  // Call AddPart() before a copy is queued on a link, and RemovePart() if it was not queued.
  void AddPart(uint64_t tracking_id, uint64_t link_id);
  void RemovePart(uint64_t tracking_id, uint64_t link_id);

  // Call after the last AddPart().  Calls `done` once: before it returns if all parts are over
  // already, otherwise later, at `deadline` (of Clock::Now()) at the latest.
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
    bool over = false;  // its final report has come, or its worker is gone
  };
  struct Record {
    std::vector<Part> parts;
    absl::Duration deadline = absl::InfiniteDuration();
    Done done;
  };
  using Ended = std::vector<std::pair<Done, Result>>;

  // Ends the records that are past their deadlines.  The timer that was set for `armed` calls it.
  void Expire(absl::Duration armed);

  static uint64_t RecordOf(uint64_t tracking_id) { return tracking_id & ~(kMaxCopies - 1); }
  static Result Sum(const Record& record);

  // Ends the record if all of its parts are over.
  void EndIfComplete(uint64_t id, Ended* ended) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void End(uint64_t id, bool timed_out, Ended* ended) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void Tell(Ended* ended);

  const Clock* const clock_;
  TimerQueue* const timers_;

  mutable Mutex mu_;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = kMaxCopies;
  absl::flat_hash_map<uint64_t, Record> records_ ABSL_GUARDED_BY(mu_);
  std::set<std::pair<absl::Duration, uint64_t>> deadlines_ ABSL_GUARDED_BY(mu_);
  // The time of the earliest timer.  The timer is not cancelled when the record that it was set for
  // ends earlier: setting and cancelling a timer for each record would cost more.
  absl::Duration armed_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
};

}  // namespace fanwire::control
