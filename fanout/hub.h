// Hub delivers publications to the sessions that subscribe.  The publications that arrive for one
// channel in one turn of the loop become one run.  Their frames are joined, so that each subscriber
// costs one send.
//
// A run is walked in slices: after a time, or a number of sends, the loop does other work, so that
// a huge channel delays nobody.  Within a slice services take turns, and so do the channels of a
// service: a flood on one service takes no more than its share.  The runs of one channel are walked
// one after the other.
//
// Sessions with filters or several channels (SubscriberFlag) choose from a slice's publications and
// gather them for one send.  For all others Hub writes the joined frame into the socket and does
// not touch the session.
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

  // Sets the length of a slice: at most so many sends and so much time.
  void set_slice(size_t sends, absl::Duration time = absl::InfiniteDuration());

  // Adds a publication that the channel's subscribers get with the next Commit().
  void Deliver(Channel* channel, Delivery delivery);

  // Makes a run of the publications that arrived for the channel, for its present subscribers.
  // Call it before a session subscribes to the channel, so that no older publication follows the
  // confirmation.
  void Commit(Channel* channel);
  // The same for all channels.
  void CommitAll();

  // Walks runs until the slice is used up, and continues in a later turn by itself.
  void Run();

  // Walks all runs to their end, however long they are.
  void Drain();
  // Delivers to one session what unfinished runs still have for it, ahead of other subscribers.
  // Call it before the session's subscriptions or filters change.  Costs O(unfinished runs * its
  // subscriptions).
  void Settle(Session* session);

  // Asks for a call of the session at the end of this slice, or of a later one, because it has
  // something to send.
  void MarkDirty(Session* session);
  // The session is about to be destroyed.
  void Forget(Session* session);

  // Bytes of the publications in unfinished runs.
  size_t pending_bytes() const { return pending_bytes_; }

  EventLoop* loop() const { return loop_; }
  SendTable* sockets() const { return sockets_; }
  TrackTable* tracks() const { return tracks_; }

  // ---- names of events, by the handles of this attachment

  void DefineEvent(uint32_t handle, absl::string_view name);
  // Returns an empty text for an unknown handle.
  absl::string_view EventName(uint32_t handle) const;

 private:
  // The work that may still be done before the loop gets its turn.
  class Slice {
   public:
    explicit Slice(const Clock* clock) : clock_(clock) {}
    void Begin(size_t sends, absl::Duration time);
    bool over() const { return over_; }
    size_t sends() const { return sends_; }
    void CountSend();
    // Cost of a step that sends nothing, such as handing a publication to a session.
    void CountVisit(size_t cost);
    // A slice without an end, for work that must be done at once.
    static Slice Endless() { return Slice(nullptr); }
    // A part of this slice, of at most so many sends and so much time; Use() counts it as used.
    Slice Part(size_t sends, absl::Duration time) const;
    void Use(const Slice& part, size_t sends);

   private:
    static constexpr size_t kSendCost = 16;   // a send takes some 16 times as long as another step
    static constexpr size_t kLookCost = 256;  // between two looks at the clock

    const Clock* clock_;
    size_t sends_ = 0;
    size_t cost_ = 0;
    absl::Duration end_;
    bool over_ = false;
  };
  // A service with channels that have runs, in the order of their turns.
  struct Busy {
    const Service* service;
    std::deque<Channel*> channels;
  };

  // Makes runs of arrived publications, and walks short runs at once while the slice lasts.
  void Commit(Channel* channel, bool walk);
  void Enqueue(std::unique_ptr<FanOutRun> run);
  // Continues the walk until the run or the slice is over.
  void Walk(FanOutRun* run, Slice* slice);
  enum class Offered {
    kSent,        // the socket took all of it: the caller counts it
    kPartlySent,  // the session has the rest
    kAsked,       // the session decides, or gathers
  };
  Offered Offer(FanOutRun* run, PatternTable* pattern, const Subscriber& subscriber, bool gathers);
  // Delivers to the session, which has these places in tables, what the run still has for it.
  void ServeAhead(FanOutRun* run, Session* session,
                  const absl::flat_hash_map<const SubscriberTable*, uint32_t>& places);
  void CountDirect(const FanOutRun& run, int64_t sends);
  void Finish(FanOutRun* run);
  void ReadClocks();
  // Measures the duration of the run and the latency of its publications.
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
  std::deque<Busy> busy_;            // services, in the order of their turns
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
