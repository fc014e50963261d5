// TrackTable follows the publications whose publisher waits for WRITTEN, and reports their
// deliveries to control: when the fan-out is over, then whenever counts have changed, and a last
// time when no delivery is left.
//
// Threading: loop-confined.
// Ownership: owns the tracks.  A track lives until its fan-out is over and no session has a
//            delivery of it waiting.
// Cost:      nothing for publications that nobody waits for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "fanout/counts.h"
#include "proto/policies.h"

namespace fanwire::fanout {

struct Track {
  uint64_t publication_id = 0;
  absl::Duration received;  // EventLoop's or Clock's Now()
  int64_t matched = 0;
  int64_t written = 0;
  std::array<int64_t, kDropReasons> dropped = {};
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int64_t first_written_us = 0;  // after `received`; 0: nothing was written
  int64_t last_written_us = 0;

  int64_t waiting = 0;  // deliveries that wait in sessions
  bool fanned_out = false;
  bool changed = false;  // since the last report
  size_t place = 0;      // in TrackTable's list

  int64_t dropped_total() const {
    int64_t sum = 0;
    for (const int64_t count : dropped) sum += count;
    return sum;
  }
};

class TrackTable {
 public:
  using Report = absl::AnyInvocable<void(const Track&, bool final)>;

  // `now` is a monotonic clock.
  TrackTable(absl::AnyInvocable<absl::Duration()> now, Report report);
  ~TrackTable();
  TrackTable(const TrackTable&) = delete;
  TrackTable& operator=(const TrackTable&) = delete;

  Track* Open(uint64_t publication_id);

  // `count` deliveries were handed to the kernel.
  void Written(Track* track, int64_t count);
  // The fan-out has visited every subscriber.
  void FannedOut(Track* track);
  // One of the waiting deliveries (Track::waiting) has ended; the caller has counted how.  May end
  // the track.
  void Settled(Track* track);

  // Reports the tracks that have changed.  Called by a timer.
  void ReportChanges();

  bool empty() const { return tracks_.empty(); }

  // Drops all unfinished tracks, because the attachment that asked for them has ended.
  void Disown();

 private:
  void Finish(Track* track);

  absl::AnyInvocable<absl::Duration()> now_;
  Report report_;
  std::vector<Track*> tracks_;
};

}  // namespace fanwire::fanout
