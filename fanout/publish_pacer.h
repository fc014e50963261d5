// PublishPacer decides when what one client publishes is sent to control: within a rate, and of
// events that are conflated the newest in each interval.
//
// The first event of a name on a channel is sent at once.  Those that follow within the interval
// wait, each in place of the one before it, and the last is sent when the interval is over.  So a
// cursor that moves all the time is sent once in each interval, and its last place always.  What is
// conflated is never refused for the rate: it waits until the rate allows it.
//
// Order: what waits on a channel is sent before anything that was published there later.
//
// Threading: loop-confined.
// Ownership: a value of its session; holds copies.
// Cost:      two passes over the names that are conflated at present, which are at most kMaxSlots.
// Source:    docs/protocol.md "Publishing"
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/token_bucket.h"
#include "fanout/reply.h"
#include "fanout/upstream.h"

namespace fanwire::fanout {

class PublishPacer {
 public:
  // Events per second, and how many at once; 0: unlimited.
  struct Rate {
    double limit = 0;
    double burst = 0;
  };

  // One event that a client publishes.
  struct Item {
    PublishAsk event = {};
    std::string data = {};
    ReplyContext context = {};
    bool quiet = false;  // the client is told nothing
  };

  // Further names of one client are not conflated: they are sent at once, at the client's rate.
  static constexpr size_t kMaxSlots = 64;
  // So are those whose data would make more than this wait.
  static constexpr size_t kMaxWaitingBytes = 1 << 20;

  struct [[nodiscard]] Outcome {
    std::vector<Item> send;        // now, in this order
    std::optional<Item> replaced;  // is not sent: a newer one waits in its place
    std::optional<Item> refused;   // the one offered: it is over the rate
  };

  PublishPacer(double burst, absl::Duration now) : bucket_(AtLeastOne(burst), now) {}

  // Takes an event; `interval` is zero if it is not conflated.
  Outcome Offer(Item item, absl::Duration interval, const Rate& rate, absl::Duration now);

  // The events that have waited long enough.
  std::vector<Item> TakeDue(const Rate& rate, absl::Duration now);
  // All events that wait, whatever the rate says: the session ends.
  std::vector<Item> TakeAll();

  // When TakeDue() has something to give, or is to be asked again; InfiniteDuration(): never.
  absl::Duration deadline() const;

  // Seconds until the client may publish again, after an event was refused.
  double SecondsToNext(const Rate& rate) const { return bucket_.SecondsToNext(rate.limit); }

 private:
  // The events of one name on one channel.
  struct Slot {
    std::string channel;
    std::string event;
    absl::Duration interval;
    absl::Duration due;  // when the next may be sent, or what waits is to be tried
    std::optional<Item> waiting;
    uint64_t seq = 0;  // of `waiting`, by which those that wait are ordered
  };

  static double AtLeastOne(double burst) { return burst < 1 ? 1 : burst; }
  bool TakeToken(const Rate& rate, absl::Duration now);
  Slot* FindSlot(const PublishAsk& event);
  // A slot for the event, whose next may be sent; null: there are too many.
  Slot* AddSlot(const PublishAsk& event, absl::Duration now);
  bool HasRoom(const Slot& slot, const Item& item) const;
  // Lets the item wait in the slot, and returns the one that waited there.
  std::optional<Item> Wait(Slot* slot, Item item);
  // Moves what waits on the channel and is older than `seq` to `send`.  Returns false if the rate
  // does not allow all of it.
  bool SendWaiting(absl::string_view channel, uint64_t seq, const Rate& rate, absl::Duration now,
                   std::vector<Item>* send);
  // What waits in the slot, which is sent now.
  Item Take(Slot* slot, absl::Duration now);

  TokenBucket<double> bucket_;
  std::vector<Slot> slots_;
  size_t waiting_bytes_ = 0;
  uint64_t last_seq_ = 0;
};

}  // namespace fanwire::fanout
