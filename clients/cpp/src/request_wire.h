// Reads and writes the messages of ServeRequests.
//
// Threading: pure functions.
// Source:    proto/fanwire/v1/publish.proto, ServeRequestsRequest and ServeRequestsResponse
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fanwire/responder.h"
#include "fanwire/status.h"

namespace fanwire::client {

// An IncomingRequest.
struct RequestReader {
  uint64_t id = 0;
  Request request = {};

  // Returns false if the bytes are malformed.
  bool Read(std::string_view bytes, std::chrono::steady_clock::time_point now);
  void SetShared(std::shared_ptr<Request::Shared> shared) { request.shared_ = std::move(shared); }
};

struct ServeAnswer {
  enum class Kind { kUnknown, kWelcome, kRequests, kCancel, kRefused, kGoAway };
  Kind kind = Kind::kUnknown;
  std::vector<RequestReader> requests = {};  // of kRequests
  std::vector<uint64_t> cancelled = {};      // of kCancel
  Status refusal = {};                       // of kRefused
  std::string reason = {};                   // of kGoAway
};

// Reads a message of control.  Returns false if it is malformed.
bool ReadServeAnswer(std::string_view message, std::chrono::steady_clock::time_point now,
                     ServeAnswer* answer);

// Write messages of the responder.
std::string WriteResponderHello(std::string_view service, const std::vector<std::string>& names,
                                uint32_t max_concurrent, std::string_view id);
std::string WriteResponderGoAway(std::string_view reason);
// One answer, as a field of RequestAnswers.
std::string WriteAnswer(uint64_t id, const Response& response);
// The head of the message whose RequestAnswers have so many bytes.
std::string WriteAnswersHead(size_t bytes);

}  // namespace fanwire::client
