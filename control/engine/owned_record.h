// An EventRecord that owns its texts, for engines that keep it later than they are asked to.
#pragma once

#include <string>

#include "control/engine/engine.h"

namespace fanwire::control {

class OwnedRecord {
 public:
  OwnedRecord() = default;
  explicit OwnedRecord(const EventRecord& event)
      : numbers_(event),
        service_(event.service),
        channel_(event.channel),
        id_(event.id),
        key_(event.idempotency_key),
        publisher_(event.publisher_id) {}

  // Refers to this object.
  EventRecord view() const {
    EventRecord event = numbers_;
    event.service = service_;
    event.channel = channel_;
    event.id = id_;
    event.idempotency_key = key_;
    event.publisher_id = publisher_;
    return event;
  }

 private:
  EventRecord numbers_;  // its texts are dangling
  std::string service_, channel_, id_, key_, publisher_;
};

}  // namespace fanwire::control
