// ServedAnswer is what a responder's answer to a request becomes: a reply for the client, or the
// reason to ask another responder.
//
// Threading: values; MakeServedAnswer() is a pure function apart from the document that it reuses.
// Cost:      one pass over the answer's JSON.
// Source:    proto/fanwire/v1/publish.proto RequestAnswer
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace fanwire::v1 {
class RequestAnswer;
}  // namespace fanwire::v1

namespace fanwire::control {

class JsonDocument;

// How a request ended; for metrics.
enum class ServedResult : uint8_t {
  kAnswered,
  kNotFound,
  kInvalidRequest,
  kForbidden,
  kInternalError,
  kBadAnswer,    // no JSON object, or too long
  kUnavailable,  // no responder could answer
  kLate,         // the client's time was over
  kCancelled,    // the client left
};
inline constexpr size_t kServedResults = 9;
absl::string_view ServedResultName(ServedResult result);

struct ServedAnswer {
  // kUnavailable: another responder may be asked.
  ServedResult result = ServedResult::kAnswered;
  std::string json = {};           // kAnswered
  std::string error_code = {};     // else: for the client
  std::string error_message = {};  // likewise
  // kBadAnswer: what is wrong, for the responder and the log.  kInternalError: what the responder
  // said, for the log.
  absl::Status fault = {};
};

// Longest message of an error that a client is told; the rest is cut.
inline constexpr size_t kMaxRequestErrorBytes = 1024;

// Takes the answer's JSON.
ServedAnswer MakeServedAnswer(v1::RequestAnswer* answer, JsonDocument* document);

}  // namespace fanwire::control
