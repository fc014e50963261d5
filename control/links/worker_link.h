// WorkerLink is one attachment of one worker: the ordered, bounded queue of what happens to its
// channels, the window of what it has not acknowledged yet, and the messages beside that.
//
// One write is in flight; all that queues meanwhile leaves in the next batch, up to 256 items or
// about 256 KiB.  An idle link sends at once.
//
// Control messages (Welcome, Config, queries, replies) go first and know no window.  What happens
// to channels is what Ack counts; it waits in lanes, one for each service, that take turns: a flood
// on one service delays the others by its share of the link alone.  Each lane may fill its equal
// part of queue and window whatever the others do.
//
// When a lane is full, Router marks the channel dirty and stops queueing its live
// publications for this link; MarkDirty() remembers the channel, and when the queue has drained to
// a quarter, LinkOwner::OnRoom() lets Router read the rest from history.
//
// Threading: safe from every thread; one mutex, the last in the lock order.  Functions that may
// write
//            to the transport say so and are called without any lock: Flush(), Send(),
//            OnWriteDone(), OnAck(), Close().
// Ownership: shared by the stream's reactor, Router's channel states and WorkerRegistry.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/events/publication.h"
#include "control/links/channel_introduction.h"
#include "control/links/fair_queue.h"
#include "control/links/interest_digest.h"
#include "control/links/link_handle.h"
#include "control/links/link_transport.h"
#include "control/links/subscribe.h"

namespace fanwire::v1 {
class ControlMessage;
}  // namespace fanwire::v1

namespace fanwire::control {

class BatchWriter;
struct ChannelState;
struct LinkQueueItem;

class WorkerLink;

// Who owns the links' channels: Router.  Called without any lock.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;

  // The queue has room, and channels or subscribes wait for it.
  virtual void OnRoom(const std::shared_ptr<WorkerLink>& link) = 0;
  // A tracked publication's time was over before it could leave.
  virtual void OnExpired(WorkerLink* link, uint64_t tracking_id) = 0;
};

enum class LinkOffer {
  kQueued,
  kFull,    // over its bounds
  kClosed,  // the attachment has ended
};

class WorkerLink : public std::enable_shared_from_this<WorkerLink> {
 public:
  struct Options {
    size_t max_queued_bytes = 64 << 20;
    size_t max_queued_items = 65536;
    size_t window_bytes = 8 << 20;
    size_t window_items = 16384;
    size_t max_reply_bytes = 32 << 20;  // of control messages that wait
  };

  struct Stats {
    int64_t queued_items = 0;
    int64_t queued_bytes = 0;
    int64_t in_flight_items = 0;
    int64_t in_flight_bytes = 0;
    int64_t repairs = 0;  // channels that were dirty and were caught up
    int64_t gaps = 0;     // ChannelGaps sent
    int64_t dropped = 0;  // publications without history that found the queue full
    int64_t sent_items = 0;
    int64_t sent_batches = 0;
    int64_t dirty_channels = 0;
  };

  // `transport` must stay until it was told to finish, `owner` as long as the link.
  WorkerLink(uint64_t id, const Options& options, const Clock* clock, LinkTransport* transport,
             LinkOwner* owner);
  ~WorkerLink();

  uint64_t id() const { return id_; }  // of this attachment, unique in this process
  // ---- channel lane; for Router, under a channel's lock.  None of these writes: Flush() later.

  // Queues ChannelDef and returns the channel's handle.
  LinkHandle Introduce(const ChannelIntroduction& channel);
  // Queues ChannelRelease.
  void Release(LinkHandle handle);
  // Queues a publication.  kFull is answered only to live ones: a repair is let in over the bound,
  // because who repairs asks HasRoom() first.
  LinkOffer Deliver(LinkHandle handle, const PublicationPtr& publication, bool repair);
  void Gap(LinkHandle handle, int64_t from, int64_t to, const char* reason, Epoch epoch);
  void Answer(SubscribeAnswer answer);
  // A publication without history was not queued.
  void CountDropped();

  // ---- what waits for room

  // The channel must be repaired from history.
  void MarkDirty(std::shared_ptr<ChannelState> channel);
  void Defer(SubscribeRequest request);
  // Until the worker has told all its interest, nothing is repaired: channels that it names are
  // dirty from the start, so that what it missed comes before what is live.
  void SetHeld(bool held);
  bool held() const;
  // All interest is told (anew): holds.  What this link has not delivered yet counts as missed if
  // the worker had told its interest before.
  void BeginSnapshot();
  // Since when the worker may have missed what it wanted and knows no position of;
  // InfiniteDuration: nothing, because it is new.  Times are those of publications' reception
  // (Clock::Now()).
  void SetMissedSince(absl::Duration since);
  absl::Duration missed_since() const;
  // Since when the worker may have applied nothing: as missed_since() for its next attachment.
  absl::Duration unapplied_since() const;
  // Takes the next channel to repair; null if there is none, or while held.
  std::shared_ptr<ChannelState> NextDirty();
  // Takes the next subscribe that waits; false if there is none, or while held.
  bool NextDeferred(SubscribeRequest* request);
  size_t dirty_count() const;
  size_t deferred_count() const;
  void CountRepair();
  // Whether the queue is under its low-water mark.
  bool HasRoom() const;
  // Whether the lane is under its bound, so that a subscribe may be answered at once.
  bool AcceptsAnswers(uint32_t lane) const;
  // One thread repairs at a time: false if another does, which then does this work too.
  bool BeginRepair();
  // Whether more came meanwhile, so that the caller must go on.
  bool EndRepair();

  // ---- without any lock

  // Starts a write if none is in flight and there is something to send.
  void Flush();
  // Queues a control message and flushes.  A reply that finds too many bytes waiting is dropped:
  // returns false.
  bool Send(std::unique_ptr<v1::ControlMessage> message);
  void OnWriteDone(bool ok);
  // `items` and `bytes` are cumulative.
  void OnAck(uint64_t items, uint64_t bytes);
  // Ends the attachment once the write in flight is done; what is queued is given up.
  void Close(absl::Status status);
  bool closed() const;

  Stats stats() const;

  // What the worker wants, as Router has been told.
  InterestDigest& interest_digest() { return interest_digest_; }

 private:
  // What the last flushes took out of a lane.
  struct LaneShare {
    uint32_t lane = 0;
    uint64_t items = 0;
    uint64_t bytes = 0;
  };
  struct Batch {
    uint64_t end = 0;         // sent_items_ behind it; the largest number while it is being made
    absl::Duration received;  // when the earliest of its publications was; infinite: it has none
    std::vector<LaneShare> shares;
  };

  // Whether the lane has its equal part of the queue's bounds, and more, with `bytes` added.
  bool IsFull(uint32_t lane, size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the window lets something of the lane out.
  bool MayGo(uint32_t lane) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool CanSendBatch() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool RoomWanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasRoomLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Push(uint32_t lane, LinkQueueItem item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Duration UnappliedSinceLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets go of all that waits; the next flush finishes the stream.
  void EndLocked(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetAcked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes what the next batch holds.
  void TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WriteBatch();

  const uint64_t id_;
  const Options options_;
  const Clock* const clock_;
  LinkTransport* const transport_;
  LinkOwner* const owner_;
  InterestDigest interest_digest_;

  mutable Mutex mu_;  // after Router's locks; nothing is locked under it
  FairQueue<LinkQueueItem> queue_ ABSL_GUARDED_BY(mu_);
  std::deque<std::unique_ptr<v1::ControlMessage>> control_ ABSL_GUARDED_BY(mu_);
  size_t control_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t sent_items_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t sent_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t acked_items_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t acked_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(mu_);
  uint32_t next_handle_ ABSL_GUARDED_BY(mu_) = 1;
  absl::Duration missed_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  bool had_snapshot_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Batch> unacked_ ABSL_GUARDED_BY(mu_);
  // What each lane has in unacked_, by its number.
  std::vector<LaneShare> in_flight_ ABSL_GUARDED_BY(mu_);
  // Since when some channel has been dirty or being repaired; InfiniteDuration: none is.
  absl::Duration dirty_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  absl::Duration ended_since_ ABSL_GUARDED_BY(mu_);  // unapplied_since() once closing_
  std::deque<std::shared_ptr<ChannelState>> dirty_ ABSL_GUARDED_BY(mu_);
  std::deque<SubscribeRequest> deferred_ ABSL_GUARDED_BY(mu_);
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  bool repairing_ ABSL_GUARDED_BY(mu_) = false;
  bool repair_again_ ABSL_GUARDED_BY(mu_) = false;
  Stats stats_ ABSL_GUARDED_BY(mu_);

  // Of the thread that set writing_.
  std::vector<LinkQueueItem> sending_;
  std::unique_ptr<BatchWriter> batch_;
};

}  // namespace fanwire::control
