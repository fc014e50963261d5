// PatternTimes remembers since when one worker has wanted each of its patterns, across attachments
// and snapshots of its interest.  A worker that attaches again is sent the publications that it
// missed on channels of which it knows no position.  It must not get publications that are older
// than its interest in the pattern, because its sessions subscribed later.
//
// Threading: guarded by WorkerLink's mutex.
// Cost:      24 bytes a pattern, whose key is its hash (proto/interest_hash.h).  Add() and Remove()
//            are a hash lookup.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace fanwire::control {

class PatternTimes {
 public:
  // Call when the worker begins to report all of its patterns again.
  void BeginSnapshot();
  // Call when it has reported them.  Forgets the patterns that it did not report again.
  void EndSnapshot() { before_.clear(); }

  // Adds a pattern.  Returns since when the worker has wanted it: the known time if it wanted it
  // already before the snapshot, otherwise `since`.
  absl::Duration Add(uint64_t pattern, absl::Duration since);
  void Remove(uint64_t pattern) { now_.erase(pattern); }

 private:
  using Times = absl::flat_hash_map<uint64_t, absl::Duration>;

  Times now_;
  Times before_;  // patterns from before the snapshot that were not reported again yet
};

}  // namespace fanwire::control
