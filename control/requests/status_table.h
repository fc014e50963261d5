// StatusTable keeps what one status request of the configuration is answered from: an entity per
// thing that events named (a workflow, a pool), or a list of the last events.
//
// Threading: confined to its user (StatusRequests's thread).
// Ownership: copies what it keeps.
// Cost:      Apply() some microseconds per KiB of data; it keeps at most kMaxBytes, of which the
//            longest untouched entities go first.
// Source:    docs/configuration.md "StatusRequest"
#pragma once

#include <cstddef>
#include <memory>

#include "absl/strings/string_view.h"
#include "control/requests/status_expression.h"

namespace fanwire::v1 {
class ClientReply;
class StatusRequest;
}  // namespace fanwire::v1

namespace fanwire::control {

class StatusTable {
 public:
  // What all entities of a table may hold, roughly.
  static constexpr size_t kMaxBytes = 64 << 20;
  // Elements of one list; over it the oldest tenth goes.
  static constexpr size_t kMaxListElements = 1000;
  // Longest name of an entity; events about longer ones are not kept.
  static constexpr size_t kMaxKeyBytes = 512;
  // Longest answer, so that the reply around it stays under clients' 1 MiB.
  static constexpr size_t kMaxAnswerBytes = (1 << 20) - (8 << 10);

  // `request` is resolved and checked (options.h).
  static std::unique_ptr<StatusTable> Make(const v1::StatusRequest& request);

  virtual ~StatusTable() = default;

  // The definition it was made of.
  virtual const v1::StatusRequest& request() const = 0;

  // Lets the event change what it changes; events that no rule names change nothing.
  virtual void Apply(const StatusEvent& event) = 0;

  // Fills `data` of the reply, or `error_code` and `error_message`:
  //   INVALID_REQUEST  the argument is missing, empty, or neither text nor whole number
  //   LIMIT_EXCEEDED   the answer is longer than kMaxAnswerBytes
  // `data` is the request's data, a JSON object.
  virtual void Answer(absl::string_view data, v1::ClientReply* reply) const = 0;

  // Entities, or events of the list.
  virtual size_t size() const = 0;
};

}  // namespace fanwire::control
