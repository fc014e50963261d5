// PresenceStore knows which connections are on which channels, and tells when members come and go.
//
// A member of a channel is a user or, if a client is anonymous, its connection.  A member has one
// connection on the channel or several: the first one lets it join, and it leaves with the last
// one.  Connections belong to the process of the worker that holds them.  When a process is lost,
// its connections stay for a while ("away"), so that a member whose client connects to another
// worker meanwhile has never left.
//
// Threading: not safe by itself: Presence guards it.
// Ownership: values only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/workers/presence_handler.h"

namespace fanwire::control {

// A connection on a channel.
struct PresentConnection {
  std::string service;
  std::string channel;
  std::string connection_id;
  std::string user_id;  // empty: anonymous
  std::string info;     // a JSON object; empty: {}
};

// A member has joined or left a channel, with this connection.
struct PresenceEvent {
  bool joined = true;
  PresentConnection connection;
};
using PresenceEvents = std::vector<PresenceEvent>;

// Whether others are told of a member that joins.
enum class Telling : uint8_t { kTell, kSilent };

// A part of the connections of a channel, by user, anonymous ones last.
struct PresencePage {
  struct Entry {
    std::string connection_id;
    std::string user_id;
    std::string info;
    std::string worker_id;
    bool away = false;
  };
  std::vector<Entry> entries;
  bool more = false;
  int64_t total = 0;  // connections, over all pages
  int64_t members = 0;
};

// Where the next page begins: behind this connection.
struct PresencePlace {
  std::string user_id;
  std::string connection_id;  // empty: at the begin
};

struct PresenceCounts {
  int64_t members = 0;      // over all channels
  int64_t connections = 0;  // away ones among them
  int64_t channels = 0;     // with members
};

class PresenceStore {
 public:
  // Keeps everything in memory.
  // Cost: a few map lookups for each change, and some 300 bytes for each connection on a channel.
  //       Lose() and EndSnapshot() look at the connections of one process.
  static std::unique_ptr<PresenceStore> MakeInMemory();

  virtual ~PresenceStore() = default;

  // The connection is on the channel.  If it is already, its user and info are brought up to date.
  virtual void Join(const WorkerProcess& process, const PresentConnection& connection,
                    Telling telling, PresenceEvents* events) = 0;
  // The connection has left the channel.  `return_by` (a monotonic time): it is away until then;
  // ZeroDuration(): it is gone.
  virtual void Leave(const WorkerProcess& process, absl::string_view service,
                     absl::string_view channel, absl::string_view connection_id,
                     absl::Duration return_by, PresenceEvents* events) = 0;

  // Between the two calls Join() names all connections of the process.  EndSnapshot() removes the
  // others, except those that Leave() has left away.
  virtual void BeginSnapshot(const WorkerProcess& process) = 0;
  virtual void EndSnapshot(const WorkerProcess& process, PresenceEvents* events) = 0;

  // The process cannot be heard any more: its connections are away until `return_by`.
  virtual void Lose(const WorkerProcess& process, absl::Duration return_by) = 0;
  // Removes the connections that are away and whose time is over.
  virtual void Expire(absl::Duration now, PresenceEvents* events) = 0;

  // Returns at most `limit` connections behind `place`.  Of a member that has connections which are
  // not away, only these are listed and counted.
  virtual PresencePage List(absl::string_view service, absl::string_view channel,
                            const PresencePlace& place, size_t limit) const = 0;

  virtual PresenceCounts Counts(absl::string_view service) const = 0;
};

}  // namespace fanwire::control
