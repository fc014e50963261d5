// PublisherSeqs remembers the last accepted seq of each publisher_id, so that a publisher that
// reconnects learns where it was.
//
// Threading: safe from every thread; one mutex, a leaf.
// Cost:      one hash lookup.  When a new id would be one too many, the id that was unused for the
//            longest time is forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/mutex.h"

namespace fanwire::control {

class PublisherSeqs {
 public:
  // Remembers at most `max` ids.
  explicit PublisherSeqs(size_t max) : max_(max) {}

  // 0 if nothing is known of the id.  Counts as a use of it.
  uint64_t LastAccepted(const std::string& id);

  // Says that `seq` was accepted; the highest one counts.
  void Accepted(const std::string& id, uint64_t seq);

 private:
  using Order = std::list<std::pair<std::string, uint64_t>>;

  const size_t max_;
  Mutex mu_;                          // a leaf
  Order order_ ABSL_GUARDED_BY(mu_);  // longest unused first
  absl::flat_hash_map<std::string, Order::iterator> by_id_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
