// LockRank is the place of a mutex in the one order in which threads take mutexes.
//
// A thread that holds a mutex takes only mutexes of later ranks.  Of one rank it holds one mutex at
// a time, except of kShard, whose mutexes ShardLocks takes by rising index.  docs/threading.md says
// which mutex has which rank.
#pragma once

#include <cstdint>

namespace fanwire {

enum class LockRank : uint8_t {
  kMetrics,   // collectors of metrics, which read whatever has a later rank
  kStreams,   // streams of publishers and of operators
  kRegistry,  // the workers, or the frames of a dialect that are being made
  kShard,     // channels
  kLink,      // a worker's link to control, of the worker's side; control's database
  kLeaf,      // nothing is taken under it, except to write a line to the log
  kLog,       // limits of log lines, and the clocks of tests
};

inline constexpr int kLockRanks = static_cast<int>(LockRank::kLog) + 1;

}  // namespace fanwire
