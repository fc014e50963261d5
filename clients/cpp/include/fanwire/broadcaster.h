// What the broadcasters share: classes that are generated from the catalog of events, with a
// function for each event of a service (fanwire/catalog/mahavishnu.h and others).
//
//   fanwire::client::MahavishnuBroadcaster broadcaster(&publisher);
//   broadcaster.WorkflowStarted("wf_1", {.adapter = "prefect"});
//
// A function writes the event's data with the keys of the catalog, finds its channel and publishes
// it.  What must be there is an argument; what may be there is in the options.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fanwire/publisher.h"

namespace fanwire::client {

// A value that is JSON already: `Json("{\"stages\": 3}")`.  Empty: {}, [] or null, whichever the
// field can hold.
struct Json {
  Json() = default;
  explicit Json(std::string text) : text(std::move(text)) {}

  std::string text;
};

// What can be said about every event; see Event.
struct EventExtras {
  std::string_view id = {};
  std::string_view idempotency_key = {};
  std::optional<std::chrono::system_clock::time_point> occurred_at = {};
  std::optional<std::chrono::milliseconds> ttl = {};
  bool skip_history = false;
  std::string_view exclude_connection = {};
  // Gets the receipt of the event on its first channel.
  ReceiptCallback done = {};
};

}  // namespace fanwire::client
