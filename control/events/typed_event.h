// MakeTypedEvent() makes an event of a message of the catalog: its name, its channels and its JSON.
//
//   WorkflowStarted{workflow_id: "wf_1", total_stages: 3}
//     -> workflow.started on workflow:wf_1, {"workflow_id":"wf_1","total_stages":3,"timestamp":…}
//
// Keys have the names and the order of the message's fields.  Whole numbers are numbers, whatever
// their size; an optional field that is not set is absent; another one has its default.  Protobuf's
// objects take many times the bytes of a message, so that the bytes are measured before any are
// made.
//
// Threading: a pure function.
// Cost:      some microseconds: a dynamic message is parsed and read by reflection.
// Source:    proto/fanwire/catalog/v1/options.proto
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "control/config/catalog.h"
#include "control/events/event.h"

namespace fanwire::control {

struct TypedEvent {
  std::string event;
  std::string channel;
  std::string json;
  std::vector<std::string> copies;    // further channels
  std::vector<std::string> warnings;  // what was left out
};

// Makes `out` of `event`, whose typed_message is set.  `timestamp` is for a message that leaves its
// own unset.
//   INVALID_ARGUMENT  no message of the catalog; malformed; more than an event may hold; a number
//                     that JSON does not have; a field that the channel needs is empty; or the
//                     event's name or channel are not those of the message
absl::Status MakeTypedEvent(const Catalog& catalog, const Event& event, absl::string_view timestamp,
                            TypedEvent* out);

// `event` as it is published.  It borrows from both.
Event AsPublished(const Event& event, const TypedEvent& typed);

}  // namespace fanwire::control
