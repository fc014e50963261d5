// What clients of the common protocol say, from JSON text to a struct: strict where existing
// servers are strict, and every form of subscribe that existing clients use.
//
// Threading: pure functions.
// Source:    docs/protocol.md "Envelope", "Subscribing"
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire::fanout {

// From where a session wants what it missed.
struct RecoverPosition {
  std::string epoch;
  int64_t offset = 0;
};

// Names of the events that a subscription lets through.
using EventFilter = absl::flat_hash_set<std::string>;

// One channel of a subscribe or unsubscribe.
struct ChannelRequest {
  std::string channel;
  bool channel_is_text = false;  // else it was missing or of another type
  std::optional<RecoverPosition> recover;
  bool recover_is_bad = false;
  bool state = false;                         // the state is wanted with the confirmation
  bool state_is_bad = false;                  // data.state is neither true nor false
  std::shared_ptr<const EventFilter> events;  // null: all; channels of one message may share it
  bool events_given = false;                  // a list that names nothing filters nothing
  std::string events_fault;                   // what is wrong with the list; empty: nothing
  std::shared_ptr<const std::string> info;    // of the member, a JSON object; null: none
  bool info_is_bad = false;                   // data.info is no object
};

// An event that a client publishes: with the command `publish`, or by sending the event itself.
struct ClientPublication {
  bool itself = false;                 // the message is the event
  std::optional<std::string> channel;  // that the client names
  std::string event;
  std::string data = "{}";  // a JSON object without white space: numbers keep every digit
  bool echo = true;         // the client's own session gets it too
  std::string fault;        // what is wrong with the command; empty: nothing
};

struct ClientMessage {
  enum class Kind : uint8_t {
    kSubscribe,
    kUnsubscribe,
    kAuth,
    kRefreshToken,
    kPing,
    kPublish,
    kRequest,  // any other request
    kIgnored,  // an event, response … that is no command
  };

  Kind kind = Kind::kIgnored;
  std::optional<std::string> id;              // as given
  std::optional<std::string> correlation_id;  // as given
  std::optional<std::string> event;
  // The JSON object as given, without white space: numbers keep every digit.  kRequest only.
  std::string data = "{}";
  std::optional<std::string> channel;  // data.channel, if it is a text; kRequest only

  // kSubscribe, kUnsubscribe: what it names; `many` if it came as data.channels.
  std::vector<ChannelRequest> channels;
  bool many = false;
  bool channels_are_bad = false;  // data.channels is no list

  std::optional<std::string> token;  // kAuth, kRefreshToken: data.token, if it is a text
  std::unique_ptr<ClientPublication> publication;  // kPublish: never null
};

// Memory that the parts of the channels take.  A filter that they share is counted once.
size_t MemoryBytes(const std::vector<ChannelRequest>& channels);

// Most channels that one message may name.
inline constexpr size_t kMaxChannelsPerMessage = 10'000;

// Reads one message.  `component_id_is_channel`: a subscribe that has data.component_id and no
// channel means "component:{id}".  `publishing`: clients may publish; without it `publish` is a
// request like any other, and an event that is no command is ignored.
//   INVALID_ARGUMENT  the text of a DECODE_ERROR
absl::StatusOr<ClientMessage> ParseClientMessage(absl::string_view text,
                                                 bool component_id_is_channel,
                                                 bool publishing = false);

}  // namespace fanwire::fanout
