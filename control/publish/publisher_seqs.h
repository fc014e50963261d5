// PublisherSeqs finds the PublisherLog of a publisher_id, so that a publisher that reconnects
// learns where it was.
//
// The log of a publisher with an open stream is never forgotten, and that of one that has sent
// nothing is when its stream ends.  Of the others the one that was unused for the longest time is
// forgotten when a stream ends and there are too many, or they remember too many seqs together.
//
// Threading: safe from every thread; one mutex.
// Cost:      a hash lookup when a stream begins or ends; nothing per event.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/mutex.h"
#include "control/publish/publisher_log.h"

namespace fanwire::control {

class PublisherSeqs {
 public:
  struct Options {
    size_t max_publishers = 0;
    size_t window = 0;    // seqs that each remembers
    size_t max_seqs = 0;  // that those without an open stream remember together
  };

  explicit PublisherSeqs(const Options& options) : options_(options) {}

  // A stream of this publisher begins.  Close() must follow when it ends.
  std::shared_ptr<PublisherLog> Open(const std::string& id);
  void Close(const std::string& id);

  // Publishers that are remembered.
  size_t size() const;

 private:
  struct Entry {
    std::shared_ptr<PublisherLog> log;
    int streams = 0;  // open
    // While there are none:
    size_t counted = 0;  // of unused_seqs_
    std::list<std::string>::iterator place;
  };

  void ForgetUnused() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  mutable Mutex mu_{LockRank::kStreams};                // before PublisherLog's
  std::list<std::string> unused_ ABSL_GUARDED_BY(mu_);  // ids without a stream; longest first
  size_t unused_seqs_ ABSL_GUARDED_BY(mu_) = 0;         // for which those have memory
  absl::flat_hash_map<std::string, Entry> by_id_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
