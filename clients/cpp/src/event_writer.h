// EventWriter writes an event as an item of a PublishStream's message, straight to its place in the
// buffer.
//
//   const EventWriter writer(event, id);
//   writer.Write(seq, memory);  // writer.Size(seq) bytes
//
// Threading: belongs to one thread.
// Ownership: borrows the event and the id.
// Cost:      no allocation; each text is copied once.
// Source:    proto/fanwire/v1/publish.proto, PublishItems
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"
#include "fanwire/event.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::client {

class EventWriter {
 public:
  // `id` is used if the event has none.
  EventWriter(const Event& event, std::string_view id);

  size_t Size(uint64_t seq) const;
  // Returns the end of what it wrote.
  char* Write(uint64_t seq, char* out) const;

 private:
  size_t ItemSize(uint64_t seq) const;

  const Event& event_;
  const std::string_view id_;
  WireFields<2 * kWireNumberBytes> occurred_at_;
  WireFields<2 * kWireNumberBytes> ttl_;
  size_t typed_bytes_ = 0;
  size_t event_bytes_ = 0;
};

// "mahavishnu workflow:wf_1 workflow.started": which event an item that Write() wrote is about.
std::string DescribeItem(std::string_view item);

}  // namespace fanwire::client
