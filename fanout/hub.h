// Hub carries publications to the sessions that subscribe: what arrives for a channel in one turn
// of the loop becomes one run, whose frames are joined, so that each subscriber costs one send.
//
// A run is walked in slices: after so much time, or so many sends, other work of the loop gets its
// turn, so that one huge channel holds up nobody.  Within a slice services take turns, and the
// channels of a service: a flood on one service costs the others no more than their share.  Runs of
// one channel go one after the other.
//
// Sessions whose entry says so (filters, several channels) decide and gather what a slice brings
// them for one send; all others get the joined frame straight into their socket, without being
// touched.
//
// Threading: loop-confined, no locks.
// Ownership: borrows loop, send table, services, sessions and clock.
// Cost:      a walk is O(subscribers); it neither encodes nor copies per subscriber.  A run is
//            measured with one look at the clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "fanout/channel.h"
#include "fanout/counts.h"
#include "fanout/net/event_loop.h"
#include "fanout/net/socket.h"
#include "fanout/service.h"
#include "fanout/track.h"

namespace fanwire::fanout {

class Hub {
 public:
  // `clock` measures slices.
  Hub(EventLoop* loop, SendTable* sockets, TrackTable* tracks, const Clock* clock = Clock::Real());
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // When a fan-out lets other work have its turn: after so many sends, or after so long.
  void set_slice(size_t sends, absl::Duration time = absl::InfiniteDuration());

  // Adds a publication to what goes to the channel's subscribers with the next Commit().
  void Deliver(Channel* channel, Delivery delivery);

  // Makes a run of what arrived for the channel, for those who subscribe now.  Who subscribes to a
  // channel calls it first, so that nothing older comes after the confirmation.
  void Commit(Channel* channel);
  // The same for all channels.
  void CommitAll();

  // Walks runs until the slice is used up; goes on in a later turn by itself.
  void Run();

  // Walks all runs to their end, however long they are.
  void Drain();
  // Gives the session what the runs under way still have for it, ahead of the others: before
  // something changes that decides which of its subscriptions brings a publication, or how.  Costs
  // O(runs under way * its subscriptions).
  void Settle(Session* session);

  // The session has something to send at the end of this slice, or of a later one.
  void MarkDirty(Session* session);
  // The session is gone.
  void Forget(Session* session);

  // Bytes of runs that are not walked to the end: what control has sent and nobody got yet.
  size_t pending_bytes() const { return pending_bytes_; }

  EventLoop* loop() const { return loop_; }
  SendTable* sockets() const { return sockets_; }
  TrackTable* tracks() const { return tracks_; }

  // ---- names of events, by the handles of the attachment

  void DefineEvent(uint32_t handle, absl::string_view name);
  // Empty if it is not known.
  absl::string_view EventName(uint32_t handle) const;

 private:
  // What may still be done before other work gets its turn.
  class Slice {
   public:
    explicit Slice(const Clock* clock) : clock_(clock) {}
    void Begin(size_t sends, absl::Duration time);
    bool over() const { return over_; }
    size_t sends() const { return sends_; }
    void CountSend();
    // What sends nothing yet: a publication that a session takes, for example.
    void CountVisit(size_t cost);
    // No end: for what must be done at once.
    static Slice Endless() { return Slice(nullptr); }
    // A part of it, of at most so many sends and so long; Use() counts it as used.
    Slice Part(size_t sends, absl::Duration time) const;
    void Use(const Slice& part, size_t sends);

   private:
    static constexpr size_t kSendCost = 16;   // some microseconds against some tenths of one
    static constexpr size_t kLookCost = 256;  // between two looks at the clock

    const Clock* clock_;
    size_t sends_ = 0;
    size_t cost_ = 0;
    absl::Duration end_;
    bool over_ = false;
  };
  // A service with channels that have runs, in the order in which they get their turn.
  struct Busy {
    const Service* service;
    std::deque<Channel*> channels;
  };

  // Makes runs of what arrived; walks short ones at once while the slice lasts.
  void Commit(Channel* channel, bool walk);
  void Enqueue(std::unique_ptr<FanOutRun> run);
  // Walks on until the run or the slice is over.
  void Walk(FanOutRun* run, Slice* slice);
  enum class Offered {
    kSent,        // straight into the socket, all of it: the caller counts it
    kPartlySent,  // the session has the rest
    kAsked,       // the session decides, or gathers
  };
  Offered Offer(FanOutRun* run, PatternTable* pattern, const Subscriber& subscriber, bool gathers);
  // Gives the session, whose places in tables are these, what the run still has for it.
  void ServeAhead(FanOutRun* run, Session* session,
                  const absl::flat_hash_map<const SubscriberTable*, uint32_t>& places);
  void CountDirect(const FanOutRun& run, int64_t sends);
  void Finish(FanOutRun* run);
  void ReadClocks();
  // Its duration, and its publications' latency.
  void Measure(const FanOutRun& run);
  // Finishes and deletes the channel's first run.
  void FinishFirst(Channel* channel);
  void FlushDirty(Slice* slice);
  bool idle() const { return busy_.empty() && dirty_.empty(); }
  void RunSlice(Slice* slice);

  EventLoop* const loop_;
  SendTable* const sockets_;
  TrackTable* const tracks_;
  size_t slice_sends_ = 512;
  absl::Duration slice_time_ = absl::InfiniteDuration();

  std::vector<ChannelRef> arrived_;  // channels with something to commit, or committed since
  std::deque<Busy> busy_;            // services, in the order in which they get their turn
  size_t pending_bytes_ = 0;
  Slice slice_;                // that CommitAll() began and the Run() after it goes on with
  absl::Duration looked_at_;   // when Clock::Real() was read last, for measuring
  absl::Duration wall_ahead_;  // of looked_at_, when it was read for this turn's runs
  bool posted_ = false;
  bool one_channel_ = false;  // has something in this turn
  std::vector<Session*> dirty_;

  std::deque<std::string> events_;
  uint32_t first_event_ = 1;  // handle of events_.front()
};

}  // namespace fanwire::fanout
