// Hub carries publications to the sessions that subscribe: what arrives for a channel in one turn
// of the loop becomes one run, whose frames are joined, so that each subscriber costs one send.
//
// A run is walked in slices: after so many sends other channels get their turn, and then the loop's
// other work, so that one huge channel holds up nobody.  Runs of one channel go one after the
// other.
//
// Sessions whose entry says so (filters, several channels) decide and send themselves; all others
// get the joined frame straight into their socket, without being touched.
//
// Threading: loop-confined, no locks.
// Ownership: borrows loop, send table, services and sessions.
// Cost:      a walk is O(subscribers); it neither encodes nor copies per subscriber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "fanout/channel.h"
#include "fanout/counts.h"
#include "fanout/event_loop.h"
#include "fanout/service.h"
#include "fanout/socket.h"
#include "fanout/track.h"

namespace fanwire {

class Hub {
 public:
  Hub(EventLoop* loop, SendTable* sockets, TrackTable* tracks);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // Sends of one fan-out before other work gets its turn.
  void set_slice(size_t sends) { slice_ = sends; }

  // Adds a publication to what goes to the channel's subscribers with the next Commit().
  void Deliver(Channel* channel, Delivery delivery);

  // Makes a run of what arrived for the channel, for those who subscribe now.  Who subscribes to a
  // channel calls it first, so that nothing older comes after the confirmation.
  void Commit(Channel* channel);
  // The same for all channels.
  void CommitAll();

  // Walks runs until the slice is used up; goes on in a later turn by itself.
  void Run();

  // Walks all runs to their end, however long they are: before something changes that decides which
  // of a session's subscriptions brings a publication.
  void Drain();

  // The session has something to send at the end of this slice.
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
  // Makes runs of what arrived; walks short ones at once while the turn's sends last.
  void Commit(Channel* channel, bool walk);
  void Enqueue(std::unique_ptr<FanOutRun> run);
  // Walks on for at most `budget` sends; returns how many there were.
  size_t Walk(FanOutRun* run, size_t budget);
  void Finish(FanOutRun* run);
  // Finishes and deletes the channel's first run.
  void FinishFirst(Channel* channel);
  void FlushDirty();

  EventLoop* const loop_;
  SendTable* const sockets_;
  TrackTable* const tracks_;
  size_t slice_ = 512;

  std::vector<ChannelRef> arrived_;  // channels with something to commit, or committed since
  std::deque<Channel*> active_;  // channels with runs, in the order in which they get their turn
  size_t pending_bytes_ = 0;
  size_t budget_ = 0;  // sends that CommitAll() and the Run() after it may still make
  bool posted_ = false;
  bool one_channel_ = false;  // has something in this turn
  std::vector<Session*> dirty_;

  std::deque<std::string> events_;
  uint32_t first_event_ = 1;  // handle of events_.front()
};

}  // namespace fanwire
