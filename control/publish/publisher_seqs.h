// PublisherSeqs finds the PublisherLog of a publisher_id, so that a publisher that reconnects
// learns where it was.
//
// The log of a publisher with an open stream is never forgotten, and that of one that has sent
// nothing is when its stream ends, so that it pushes nobody out.  Of those without an open stream
// the one that was unused for the longest time is forgotten when a stream ends, or at the next
// ReleaseIdle(), if there are too many, or if they remember too many seqs together.  If there are
// too many with an open stream, no further one begins.
//
// Memory: a publisher remembers up to `window` seqs of PublisherLog's size.  One whose stream is
// open gives them back when it has sent nothing for `keep_idle`.
//
// Threading: safe from every thread; one mutex.
// Cost:      a hash lookup when a stream begins or ends; nothing per event.  ReleaseIdle() looks at
//            every publisher.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/mutex.h"
#include "control/publish/publisher_log.h"

namespace fanwire::control {

class PublisherSeqs {
 public:
  struct Options {
    size_t max_publishers = 0;
    size_t window = 0;    // seqs that each remembers
    size_t max_seqs = 0;  // that those without an open stream remember together
    absl::Duration keep_idle = absl::InfiniteDuration();
  };

  explicit PublisherSeqs(const Options& options) : options_(options) {}

  // A stream of this publisher begins.  Close() must follow when it ends.
  //   RESOURCE_EXHAUSTED  `max_publishers` others have an open stream
  absl::StatusOr<std::shared_ptr<PublisherLog>> Open(const std::string& id);
  void Close(const std::string& id);

  // A publisher that an engine has kept over a restart of control.
  struct Restored {
    std::string id;
    std::vector<PublisherLog::Restored> seqs;  // ascending
  };
  // Remembers the last ones of these, as many as may be: the one that was unused for the longest
  // time comes first.  If they have too many seqs together, of each only the latest: an earlier one
  // that comes again is refused then, and never published twice.  Call it before the first Open().
  void Restore(absl::Span<const Restored> publishers);

  // Lets publishers that have sent nothing for long give back what their seqs take, and forgets
  // those that are too many.  Call it now and then; `now` is Clock::Now().
  void ReleaseIdle(absl::Duration now);

  // Publishers that are remembered.
  size_t size() const;

 private:
  struct Entry {
    std::shared_ptr<PublisherLog> log;
    int streams = 0;  // open
    // What ReleaseIdle() saw last, and since when it saw the same.
    uint64_t uses = 0;
    absl::Duration idle_since = absl::ZeroDuration();
    // While there are no streams:
    size_t counted = 0;  // of unused_seqs_
    std::list<std::string>::iterator place;
  };

  // The publisher has no stream.
  void AddUnused(const std::string& id, Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Forgets those that were unused for the longest time until there are not too many.  `silent` do
  // not count: they have sent nothing.
  void ForgetUnused(size_t silent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  mutable Mutex mu_{LockRank::kStreams};                // before PublisherLog's
  std::list<std::string> unused_ ABSL_GUARDED_BY(mu_);  // ids without a stream; longest first
  size_t unused_seqs_ ABSL_GUARDED_BY(mu_) = 0;         // for which those have memory
  size_t open_ ABSL_GUARDED_BY(mu_) = 0;                // publishers with a stream
  absl::flat_hash_map<std::string, Entry> by_id_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
