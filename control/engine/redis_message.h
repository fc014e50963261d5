// The messages of the redis engine's Pub/Sub topic.
//
//   epoch             16 hexadecimal digits, zeros if there is none
//   offset            8 bytes, big-endian; of one that is only passed on, the channel's last offset
//   node              16 hexadecimal digits: which control has appended it (the head begins here)
//   mode              1 character, as in redis_scripts.h
//   mirror            'm', or '-'
//   name              2 bytes, big-endian, its length; then the channel's name (RedisName())
//   StoredPublication
//
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "control/events/publication.h"

namespace fanwire::control {

struct RedisMessage {
  Epoch epoch;
  int64_t offset = 0;
  absl::string_view node;
  char mode = 0;
  bool mirror = false;
  absl::string_view name;
  absl::string_view value;
};

// Appends node, mode, mirror and name to `out`.  The name has at most 65,535 bytes.
void AppendMessageHead(absl::string_view node, absl::string_view mode, bool mirror,
                       absl::string_view name, std::string* out);

// False if `text` is malformed.  The message borrows it.
bool ParseRedisMessage(absl::string_view text, RedisMessage* message);

}  // namespace fanwire::control
