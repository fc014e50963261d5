// RedisOptions says where the redis engine keeps its data, and how.
//
// Threading: a value.
#pragma once

#include <cstddef>
#include <string>

#include "absl/time/time.h"

namespace fanwire::control {

struct RedisOptions {
  std::string server = {};    // HOST:PORT
  std::string username = {};  // empty: only the password is sent
  std::string password = {};  // empty: none
  // The data survive a restart of the server, which is checked (RedisSession::CheckDurable()), so
  // that channels keep their epochs.
  bool durable = false;
  // Of publications in control's memory, which need not be read from the server.
  size_t cache_bytes = size_t{64} << 20;
  // Appends over one of these bounds are kFull.
  size_t max_waiting_publications = 65'536;
  size_t max_waiting_bytes = size_t{64} << 20;
  // What the server keeps of a channel expires after this time without a publication, or after its
  // history's TTL if that is longer.
  absl::Duration channel_idle_ttl = absl::Hours(24);

  absl::Duration connect_timeout = absl::Seconds(2);
  absl::Duration response_timeout = absl::Seconds(5);
  absl::Duration retry_pause = absl::Milliseconds(200);  // after the server could not be reached
  absl::Duration fill_after = absl::Milliseconds(20);    // a hole in a channel's offsets is read
  // Channels that are open are kept in the server, although nothing is published to them.
  absl::Duration refresh_interval = absl::Minutes(3);
  absl::Duration look_interval = absl::Milliseconds(1000);  // at the server's log of publications
};

}  // namespace fanwire::control
