// The tables that a fan-out walks: Channel, with the sessions that subscribe to it by name, and
// PatternTable, with those that subscribe to a pattern.
//
// A subscriber is 16 bytes in a contiguous array, so that a large fan-out touches neither sessions
// nor connections.  While a fan-out walks a table, the place of a subscriber that leaves becomes a
// hole, and a new subscriber is added at the end, behind the part that the fan-out visits.
//
// Threading: loop-confined.
// Ownership: a table borrows its sessions.  A session leaves before it is destroyed.  ChannelRef
//            counts references to a Channel; Service owns PatternTables.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/intrusive_ptr.h"
#include "fanout/net/frame.h"
#include "fanout/track.h"
#include "proto/channel_name.h"
#include "proto/policies.h"

namespace fanwire::fanout {

class Service;
class Session;
struct KindCounts;
struct FanOutRun;  // hub.cc

// Why the session of a subscriber must be asked before something is sent to it.
enum SubscriberFlag : uint8_t {
  kSessionDecides = 1,  // it has filters, or subscriptions that overlap
  // It subscribes to several channels or to a pattern, and gathers a turn's publications for one
  // send.
  kSessionGathers = 2,
};

struct Subscriber {
  Session* session = nullptr;      // null: a hole
  int32_t fd = -1;                 // for SendTable
  uint32_t subscription : 24 = 0;  // index in the session's list
  uint32_t by_session : 8 = 0;     // SubscriberFlag bits; 0: straight into its socket
};
static_assert(sizeof(Subscriber) == 16);

// The most subscriptions of one session for which the index has room.
inline constexpr size_t kMaxSubscriptions = (size_t{1} << 24) - 1;

class SubscriberTable {
 public:
  const std::vector<Subscriber>& entries() const { return entries_; }
  // Subscribers, holes not counted.
  size_t size() const { return entries_.size() - holes_; }
  bool empty() const { return size() == 0; }

  // Returns its index.
  uint32_t Add(const Subscriber& subscriber);
  // Removes an entry.  The last entry moves to its place, and that session is told its new place,
  // unless the table is being walked: then the place stays as a hole.
  void Remove(uint32_t index);
  Subscriber& at(uint32_t index) { return entries_[index]; }

  // Between BeginWalk() and EndWalk() no entry moves.
  void BeginWalk() { ++walks_; }
  void EndWalk();
  bool walked() const { return walks_ > 0; }

 private:
  void MoveLastTo(uint32_t index);

  std::vector<Subscriber> entries_;
  uint32_t walks_ = 0;
  uint32_t holes_ = 0;
};

struct PatternTable {
  PatternTable(Service* owner, Dialect spoken, ChannelPattern parsed)
      : service(owner), dialect(spoken), pattern(std::move(parsed)) {}

  Service* const service;
  const Dialect dialect;
  const ChannelPattern pattern;
  SubscriberTable subscribers;
  int32_t interest = 0;  // subscriptions and subscribes under way
  uint64_t added = 0;    // the service's pattern version since which it exists
};

// One publication on its way to the subscribers of a channel.
struct Delivery {
  FramePtr frame;
  int64_t offset = 0;  // 0: it has none
  uint64_t conflate_key = 0;
  absl::Duration expires_at = absl::InfiniteDuration();
  Track* track = nullptr;
  Session* excluded = nullptr;  // must not get it
  int64_t received_us = 0;      // control's wall clock; 0: not known
  uint32_t event = 0;           // handle of its name; 0: none
  bool notice = false;          // the worker's own; not counted as a publication
};

struct Channel;

// A counted reference; the last one deletes the channel.
using ChannelRef = IntrusivePtr<Channel>;

struct Channel {
  Service* service = nullptr;
  Dialect dialect = Dialect::kCommon;
  std::string name;

  // Of the attachment.
  uint32_t handle = 0;  // 0: control has not introduced it
  std::string epoch;    // empty: not known
  int64_t offset = 0;   // last position applied
  BacklogPolicy backlog = BacklogPolicy::kClose;
  GapPolicy gap = GapPolicy::kNotify;
  bool epoch_told = false;     // ChannelDef brought another epoch, which was told
  absl::Duration released_at;  // if it has a position and no handle: since when

  SubscriberTable subscribers;  // by name
  int32_t interest = 0;         // subscriptions and subscribes under way, by name

  // Pattern tables that match, as of the service's pattern version.
  std::vector<PatternTable*> patterns;
  uint64_t pattern_version = 0;

  // Of Hub: what came in this turn and is not committed yet; runs that are still to be walked.
  std::vector<Delivery> arrived;
  FanOutRun* first_run = nullptr;
  FanOutRun* last_run = nullptr;
  KindCounts* kind = nullptr;  // the service's counts for this kind of channel

  uint32_t references() const { return references_.value(); }

 private:
  friend ChannelRef;

  static void Destroy(Channel* channel) { delete channel; }

  PlainCount references_;
};

}  // namespace fanwire::fanout
