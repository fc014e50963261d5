// The names of clients' requests that a service may answer itself, shared by control, which checks
// what responders and the configuration say, and the workers, which decide who answers a request.
//
// A name is 1-128 bytes of UTF-8 without control characters (U+0000-001F, U+007F) and without '*'.
// Where names are listed, a last '*' makes a pattern: "get_*" stands for every name that begins so.
// Fanwire's own requests cannot be served, and no pattern stands for them.
//
// Threading: pure functions; RequestNames is a value.
// Source:    docs/protocol.md "Requests"
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire {

// Longest name of a request that a service can answer, in bytes.
inline constexpr size_t kMaxRequestNameBytes = 128;

// Whether Fanwire itself answers requests of this name, now or in a later version.
bool IsReservedRequest(absl::string_view name);

// OK if `name` may stand in a list of requests that a service answers: an exact name or a pattern.
//   INVALID_ARGUMENT  the message says what is wrong: "\"history\" is a request that Fanwire itself
//                     answers"
absl::Status CheckRequestName(absl::string_view name);

// Whether `listed`, a name that CheckRequestName() accepts, stands for the request `name`.
bool RequestMatches(absl::string_view listed, absl::string_view name);

// A list of names and patterns.
//
// Cost: Matches() is one hash lookup, and a comparison for each pattern.
class RequestNames {
 public:
  // Adds a name that CheckRequestName() accepts.
  void Add(absl::string_view name);

  // Whether one of the names stands for the request.
  bool Matches(absl::string_view request) const;

  bool empty() const { return exact_.empty() && patterns_.empty(); }

 private:
  absl::flat_hash_set<std::string> exact_;
  std::vector<std::string> patterns_;  // with their '*'
};

}  // namespace fanwire
