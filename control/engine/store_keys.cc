#include "control/engine/store_keys.h"

#include "fanwire/v1/store.pb.h"

namespace fanwire::control {

void WriteHead(const ChannelHead& head, std::string* value) {
  v1::StoredHead stored;
  stored.set_offset(head.offset);
  stored.set_total_bytes(head.total_bytes);
  stored.set_floor(head.floor);
  stored.set_floor_bytes(head.floor_bytes);
  stored.set_generation(head.generation);
  stored.set_history_size(head.policy.size);
  if (head.policy.ttl < absl::InfiniteDuration()) {
    stored.set_history_ttl_us(absl::ToInt64Microseconds(head.policy.ttl));
  }
  stored.set_newest_us(head.newest_us);
  stored.SerializeToString(value);
}

bool ReadHead(absl::string_view value, ChannelHead* head) {
  v1::StoredHead stored;
  if (!stored.ParseFromArray(value.data(), static_cast<int>(value.size())) || stored.floor() < 1 ||
      stored.offset() < 0) {
    return false;
  }
  *head = {
      .offset = stored.offset(),
      .total_bytes = stored.total_bytes(),
      .floor = stored.floor(),
      .floor_bytes = stored.floor_bytes(),
      .generation = stored.generation(),
      .policy = {.size = stored.history_size(),
                 .ttl = stored.has_history_ttl_us() ? absl::Microseconds(stored.history_ttl_us())
                                                    : absl::InfiniteDuration()},
      .newest_us = stored.newest_us()};
  return true;
}

std::string WriteEpoch(Epoch epoch) {
  v1::StoredChannel stored;
  stored.set_epoch(epoch.value);
  return stored.SerializeAsString();
}

bool ReadEpoch(absl::string_view value, Epoch* epoch) {
  v1::StoredChannel stored;
  if (!stored.ParseFromArray(value.data(), static_cast<int>(value.size())) || stored.epoch() == 0) {
    return false;
  }
  epoch->value = stored.epoch();
  return true;
}

}  // namespace fanwire::control
