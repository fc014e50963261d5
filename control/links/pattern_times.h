// PatternTimes remembers since when one worker has wanted each of its patterns, over its
// attachments and snapshots.  When the worker attaches again, it is sent what it missed of channels
// that it knows no position of, but nothing that was published before it wanted their patterns: its
// sessions subscribed later.
//
// Threading: none; its user's lock.
// Cost:      24 bytes a pattern, by the hash of proto/interest_hash.h; a hash lookup each.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"

namespace fanwire::control {

class PatternTimes {
 public:
  // The worker is about to tell all its patterns anew.
  void BeginSnapshot();
  // It has told them: those that it did not tell are forgotten.
  void EndSnapshot() { before_.clear(); }

  // The worker wants the pattern now.  Returns since when: for a pattern that it already wanted
  // before the snapshot, since then; else since `since`.
  absl::Duration Add(uint64_t pattern, absl::Duration since);
  void Remove(uint64_t pattern) { now_.erase(pattern); }

 private:
  using Times = absl::flat_hash_map<uint64_t, absl::Duration>;

  Times now_;
  Times before_;  // the snapshot, those that it has not told yet
};

}  // namespace fanwire::control
