// ClientRequests are the requests of one client that control or a responder answers (history,
// status requests, served requests, publications) and that are not answered yet.
//
// Threading: loop-confined.
// Ownership: a value; holds copies only.
// Cost:      a map entry for each request; Late() and deadline() look at all of them, which are at
//            most kMaxRequests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "fanout/reply.h"

namespace fanwire::fanout {

class ClientRequests {
 public:
  // Bounds of one session; a single request may have more bytes of data.
  static constexpr size_t kMaxRequests = 256;
  static constexpr size_t kMaxBytes = 1 << 20;

  struct Request {
    ReplyContext context;
    std::string event;
    size_t bytes = 0;  // of what control was sent
    absl::Duration asked;
    absl::Duration deadline;
    bool served = false;   // a responder may answer it
    bool publish = false;  // it publishes an event
    bool quiet = false;    // the client is told nothing
  };

  // Whether a request with `bytes` of data may be added.
  //   RESOURCE_EXHAUSTED  too many wait, or too much; the message is for the client
  absl::Status CheckRoom(size_t bytes) const;

  // Adds a request that control was asked as number `ask`.
  void Add(uint64_t ask, Request request);

  // Removes the request with this number and returns it; nullopt if there is none.
  std::optional<Request> Take(uint64_t ask);

  // When the first request is late; InfiniteDuration() without requests.
  absl::Duration deadline() const;
  // The numbers of requests whose deadline is `now` or earlier, ascending.
  std::vector<uint64_t> Late(absl::Duration now) const;
  // The numbers of all requests, ascending.
  std::vector<uint64_t> All() const { return Late(absl::InfiniteDuration()); }

  // The request with this number; null: there is none.
  const Request* Find(uint64_t ask) const;

  bool empty() const { return requests_.empty(); }

 private:
  absl::flat_hash_map<uint64_t, Request> requests_;
  size_t bytes_ = 0;
};

}  // namespace fanwire::fanout
