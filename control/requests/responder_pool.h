// ResponderPool knows the responders of one service: what each serves, and how many requests each
// has without an answer.  It chooses the responder that is given a request.
//
// Threading: of one thread at a time; RequestDispatcher's mutex guards it.
// Ownership: owns its entries, which share the responders' streams.
// Cost:      Choose() looks at all responders of the service: a hash lookup for each, and a
//            comparison for each of its patterns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/request_name.h"

namespace fanwire::v1 {
class IncomingRequest;
}  // namespace fanwire::v1

namespace fanwire::control {

// What control sends to one responder.  The functions that begin with Queue are called with a mutex
// held: they take no other mutex but a leaf, and send nothing before Flush(), which is called
// without mutexes.
class Responder {
 public:
  virtual ~Responder() = default;

  virtual void QueueWelcome(uint32_t max_concurrent) = 0;
  virtual void QueueRequest(v1::IncomingRequest request) = 0;
  virtual void QueueCancel(uint64_t request_id) = 0;
  virtual void QueueRefusal(uint64_t request_id, const absl::Status& fault) = 0;
  virtual void QueueGoAway(const std::string& reason) = 0;
  // Nothing more is queued: the stream ends with OK when all of it is sent.
  virtual void QueueEnd() = 0;
  virtual void Flush() = 0;
};

class ResponderPool {
 public:
  struct Entry {
    uint64_t number = 0;                   // unique among all responders, ascending
    std::string id = {};                   // as the responder names itself
    std::vector<std::string> listed = {};  // the names that it serves
    RequestNames names = {};               // the same
    size_t max_concurrent = 0;
    std::shared_ptr<Responder> stream = {};
    bool leaving = false;                            // it is given no more requests
    absl::flat_hash_set<uint64_t> outstanding = {};  // without an answer
    uint64_t last_given = 0;                         // the number of the last Give() to it
  };

  // `entry.names` is filled from `entry.listed`.
  Entry* Add(Entry entry);
  // Returns null if there is none.
  Entry* Find(uint64_t number) const;
  void Remove(uint64_t number);

  struct Choice {
    Entry* entry = nullptr;  // the one to give the request to
    bool later = false;      // there is none, but one that serves it has no room at present
  };
  // Chooses among those that serve `request`, do not leave and are not in `tried`: the one with the
  // fewest outstanding requests, and of several the one that was given none for the longest time.
  Choice Choose(absl::string_view request, absl::Span<const uint64_t> tried) const;
  // Notes that the entry is given a request.
  void Give(Entry* entry, uint64_t request_id);

  // Whether an entry serves the request; `leaving`: those that leave count too.
  bool Serves(absl::string_view request, bool leaving = false) const;
  // The names that entries serve which do not leave.
  std::set<std::string> Names() const;

  const std::vector<std::unique_ptr<Entry>>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }

 private:
  std::vector<std::unique_ptr<Entry>> entries_;  // by number
  uint64_t given_ = 0;
};

}  // namespace fanwire::control
