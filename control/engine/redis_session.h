// RedisSession is a connection to the Redis server of an engine, with what each connection must
// know first: that the server is the one that gives out positions, and its generation, which names
// one life of the server's data (redis_scripts.h).
//
// Every function connects if there is no connection.  After an error of the connection the next
// call connects again; what was asked for may then have been done or not.
//
// Threading: one thread at a time, except Interrupt().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "control/engine/redis_connection.h"
#include "control/engine/redis_options.h"
#include "control/events/publication.h"

namespace fanwire::control {

// A channel's name in keys: "service:channel".  No service has a colon in its name.
std::string RedisName(absl::string_view service, absl::string_view channel);

class RedisSession {
 public:
  explicit RedisSession(const RedisOptions& options);

  absl::Status Connect();
  bool connected() const { return connection_.connected(); }
  void Interrupt() { connection_.Interrupt(); }

  // Asks again for the generation with the next call.
  void ForgetGeneration() { generation_.clear(); }

  // Connects, and tries whether the server takes writes.
  absl::Status Probe();

  // Returns why the server's data do not survive its restart; OK if they do.
  absl::Status CheckDurable();

  struct Head {
    Epoch epoch;
    int64_t offset = 0;
    int64_t received_us = 0;
    int64_t first = 0;  // of history; 0: it is empty
  };
  // Opens the channels with these names: returns their heads in the same order.
  absl::StatusOr<std::vector<Head>> Open(absl::Span<const std::string> names);

  // One publication, as kAppendScript says; texts are borrowed.
  struct Appended {
    absl::string_view name;
    absl::string_view mode;
    uint32_t history_size = 0;
    absl::Duration history_ttl = {};
    int64_t received_us = 0;
    absl::string_view head;
    absl::string_view value;
  };
  struct Placed {
    Epoch epoch;
    int64_t offset = 0;
  };
  // Appends all of them, in order, or none.
  //   ABORTED      the generation has changed: nothing was appended
  //   UNAVAILABLE  the connection has failed: they may have been appended
  absl::StatusOr<std::vector<Placed>> Append(absl::Span<const Appended> publications);

  // Visits the publications of the epoch from offset `first` to `last`, at most `limit`, in order,
  // until `visit` returns false.  `tag` is what their messages' heads began with.
  absl::Status Read(
      absl::string_view name, Epoch epoch, int64_t first, int64_t last, size_t limit,
      absl::FunctionRef<bool(int64_t offset, absl::string_view value, absl::string_view tag)>
          visit);

  // Visits names, epochs and offsets of what was appended after the entry `*last` of the server's
  // log, and moves `*last`; from an empty one nothing is visited.
  absl::Status ReadLog(
      std::string* last,
      absl::FunctionRef<void(absl::string_view name, Epoch epoch, int64_t offset)> visit);

 private:
  absl::Status LearnGeneration();
  // Runs a script that refuses a stale generation, at most twice.
  absl::StatusOr<RedisConnection::Answer> Run(absl::string_view script, std::string* sha,
                                              std::vector<absl::string_view>* arguments);
  absl::StatusOr<RedisConnection::Answer> Call(std::initializer_list<absl::string_view> command);

  const RedisOptions options_;
  const std::string idle_ms_;
  RedisConnection connection_;
  std::string generation_;  // empty: not known
  std::string open_sha_;
  std::string append_sha_;
};

}  // namespace fanwire::control
