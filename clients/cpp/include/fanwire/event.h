// Event is what a service publishes.  The texts are only borrowed: Publisher copies them before it
// returns.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace fanwire::client {

struct Event {
  std::string_view service = {};  // a service of control's configuration: "mahavishnu"
  std::string_view channel = {};  // "workflow:wf_123"
  std::string_view event = {};    // "workflow.started"

  // The data: one JSON object.  Clients get it byte for byte.  Empty: {}.
  std::string_view json = {};
  // Or a Protobuf message: the type URL and the bytes of a google.protobuf.Any.
  std::string_view type_url = {};
  std::string_view typed = {};

  // Clients see it as the envelope's id.  Empty: the publisher makes one, which stays the same when
  // the event has to be sent again.
  std::string_view id = {};
  // An event with a key that was used within control.idempotency_window is not published again.
  std::string_view idempotency_key = {};
  // The envelope's timestamp; without it the time when control receives the event.
  std::optional<std::chrono::system_clock::time_point> occurred_at = {};
  // How long the event may still be delivered after it was published.
  std::optional<std::chrono::milliseconds> ttl = {};
  // Deliver the event but do not keep it: it gets no position and cannot be recovered.
  bool skip_history = false;
  // connection_id of a session that does not get the event.
  std::string_view exclude_connection = {};
};

}  // namespace fanwire::client
