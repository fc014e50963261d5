// StatusTable keeps the state from which one status request of the configuration is answered: an
// entity for each thing that events name (a workflow, a pool), or a list of the last events.
//
// Threading: confined to the thread of StatusRequests.
// Ownership: copies what it keeps.
// Cost:      Apply() takes some microseconds per KiB of data.  The table holds at most kMaxBytes;
//            the entities that were not updated for the longest time go first.
// Source:    docs/configuration.md "StatusRequest"
#pragma once

#include <cstddef>
#include <memory>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/requests/status_expression.h"

namespace fanwire::v1 {
class ClientReply;
class StatusRequest;
}  // namespace fanwire::v1

namespace fanwire::control {

class StatusTable {
 public:
  // Bound of the memory of all entities of a table, approximately.
  static constexpr size_t kMaxBytes = 64 << 20;
  // Most elements of one list.  When there are more, the oldest tenth is dropped.
  static constexpr size_t kMaxListElements = 1000;
  // Longest name of an entity.  Events about entities with longer names are not kept.
  static constexpr size_t kMaxKeyBytes = 512;
  // Longest answer, so that the reply around it stays under clients' 1 MiB.
  static constexpr size_t kMaxAnswerBytes = (1 << 20) - (8 << 10);

  // `request` is resolved and checked (config_loader.h).
  static std::unique_ptr<StatusTable> Make(const v1::StatusRequest& request);

  virtual ~StatusTable() = default;

  // The definition that the table was made from.
  virtual const v1::StatusRequest& request() const = 0;

  // Applies the rules that name the event.  Other events change nothing.
  virtual void Apply(const StatusEvent& event) = 0;

  // Fills `data` of the reply, or `error_code` and `error_message`:
  //   INVALID_REQUEST  the argument is missing, empty, or neither a text nor an integer
  //   LIMIT_EXCEEDED   the answer is longer than kMaxAnswerBytes
  // `data` is the data of the client's request, a JSON object.
  virtual void Answer(absl::string_view data, absl::Time now, v1::ClientReply* reply) const = 0;

  // Number of entities, or of events in the list.
  virtual size_t size() const = 0;
};

}  // namespace fanwire::control
