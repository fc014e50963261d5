// BatchLineParser parses one line of `wsctl publish --batch`, a JSON object that describes an
// event:
//
//   {"service": "mahavishnu", "channel": "workflow:wf_1", "event": "workflow.started",
//    "data": {"n": 1}, "id": "…", "idempotency_key": "…", "ttl": "30s", "skip_history": false}
//
// Threading: belongs to one thread.
// Cost:      two passes over the line; `data` is copied byte for byte.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/model.h"

namespace fanwire::cli {

class BatchLineParser {
 public:
  BatchLineParser();
  ~BatchLineParser();

  // Returns the event that `line` describes.
  //   INVALID_ARGUMENT  not a JSON object, or a key that is missing, unknown, duplicate or of the
  //                     wrong type
  absl::StatusOr<Event> Parse(const std::string& line);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace fanwire::cli
