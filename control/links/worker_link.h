// WorkerLink is one attachment of one worker.  It writes the items of the worker's channels
// (deliveries, gaps, answers) and control messages to the worker's stream.  Its parts are LinkQueue
// (items that wait to be sent or acknowledged), LinkRepair (channels and subscribes that wait for
// room in the queue) and InterestDigest.
//
// One write is in flight at a time.  Items that are queued meanwhile leave in the next batch, which
// has up to 256 items or about 256 KiB.  An idle link sends at once.  Control messages (Welcome,
// Config, queries, replies) go before batches, and do not count in the window.
//
// When a service's lane of the queue is full, Router marks the channel dirty and stops queueing its
// live publications for this link.  When the queue has drained to a quarter, LinkOwner::OnRoom()
// lets Subscriptions read the missing publications from history.
//
// Threading: safe from every thread.  One mutex guards the queue, the repairs and the writing
//            state; nothing is locked under it.  Functions that may write to the transport must be
//            called without any lock: Flush(), Send(), OnWriteDone(), OnAck() and Close().
// Ownership: shared by the stream's reactor, Router's channel states and WorkerRegistry.
// Cost:      Deliver() takes the mutex once and is O(1).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/events/publication.h"
#include "control/links/channel_introduction.h"
#include "control/links/interest_digest.h"
#include "control/links/link_handle.h"
#include "control/links/link_queue.h"
#include "control/links/link_queue_item.h"
#include "control/links/link_repair.h"
#include "control/links/link_transport.h"
#include "control/links/pattern_times.h"
#include "control/links/subscribe.h"

namespace fanwire::v1 {
class ControlMessage;
}  // namespace fanwire::v1

namespace fanwire::control {

class BatchWriter;
class WorkerLink;
struct ChannelState;

// The owner of the links, which is Subscriptions.  Its functions are called without any lock.
class LinkOwner {
 public:
  virtual ~LinkOwner() = default;

  // The queue has room, and dirty channels or deferred subscribes wait for it.
  virtual void OnRoom(const std::shared_ptr<WorkerLink>& link) = 0;
  // A tracked publication expired before it was sent.
  virtual void OnExpired(WorkerLink* link, uint64_t tracking_id) = 0;
};

enum class LinkOffer {
  kQueued,
  kFull,    // the queue is over its bounds
  kClosed,  // the attachment has ended
};

class WorkerLink : public std::enable_shared_from_this<WorkerLink> {
 public:
  using Options = LinkQueue::Options;

  // If the control messages that wait have more bytes than this, replies are dropped.
  static constexpr size_t kMaxReplyBytes = 32 << 20;

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

  // `transport` must live until its Finish() is called, `owner` as long as the link.
  WorkerLink(uint64_t id, const Options& options, const Clock* clock, LinkTransport* transport,
             LinkOwner* owner);
  ~WorkerLink();

  uint64_t id() const { return id_; }  // of this attachment, unique in this process

  // ---- queueing; for Router, under a channel's lock.  Nothing is written: call Flush() later.
  //
  // After Close() nothing is queued any more.

  // Queues ChannelDef and returns the channel's handle.
  LinkHandle Introduce(const ChannelIntroduction& channel);
  // Queues ChannelRelease.
  void Release(LinkHandle handle);
  // Queues a publication.  Returns kFull only for live ones.  A repair is queued whatever the
  // bounds, because its caller checks HasRoom() first.
  LinkOffer Deliver(LinkHandle handle, const PublicationPtr& publication, bool repair);
  void Gap(LinkHandle handle, int64_t from, int64_t to, const char* reason, Epoch epoch);
  void Answer(SubscribeAnswer answer);
  // Counts a publication without history that found the queue full.
  void CountDropped();
  // Returns whether the queue is at most a quarter full, so that repairs may go on.
  bool HasRoom() const;
  // Returns whether the lane has space, so that a subscribe may be answered at once.  False while
  // held.
  bool AcceptsAnswers(uint32_t lane) const;

  // ---- repairs and deferred subscribes; see LinkRepair
  //
  // After Close() nothing waits any more.

  // A `since` in the future counts as now.
  void MarkDirty(std::shared_ptr<ChannelState> channel, uint32_t lane, absl::Duration since);
  DirtyChannel NextDirty();
  void MarkDirtyAgain(DirtyChannel dirty, absl::Duration since);
  void FinishDirty(const DirtyChannel& dirty);
  size_t waiting_count() const;
  bool IsRepairedUpTo(uint32_t lane, absl::Duration time) const;
  void Defer(SubscribeRequest request);
  void DeferAgain(SubscribeRequest request);
  size_t BeginDeferred();
  bool NextDeferred(SubscribeRequest* request);
  // Returns whether there is something to repair, and room for it.
  bool HasRepairs() const;
  bool BeginRepair();
  bool EndRepair();
  // Counts a dirty channel that has caught up.
  void CountRepair();

  // ---- the worker's interest; see LinkRepair

  // A link is held until the worker has reported all of its interest.  Channels that it reports
  // meanwhile begin dirty, so that the publications it missed come before live ones.
  void SetHeld(bool held);
  bool held() const;
  void BeginSnapshot();
  // Adds a pattern with this InterestHash().  Returns since when the worker has wanted it, which
  // may be a time of an earlier attachment.
  absl::Duration AddPattern(uint64_t pattern);
  void RemovePattern(uint64_t pattern);
  // SetPatternTimes() takes over the times from the previous attachment of the same process.
  // TakePatternTimes() hands them to the next one.
  void SetPatternTimes(PatternTimes times);
  PatternTimes TakePatternTimes();
  void SetMissedSince(absl::Duration since);
  absl::Duration missed_since() const;
  // See LinkRepair::UnappliedSince().  After Close(), the value at the end of the attachment.
  absl::Duration unapplied_since() const;
  // The digest of the interest that Subscriptions was given for this link.
  InterestDigest& interest_digest() { return interest_digest_; }

  // ---- writing; without any lock

  // Starts a write if none is in flight and there is something to send.  Then calls
  // LinkOwner::OnRoom() if there is something to repair and room for it.
  void Flush();
  // Does the same without calling the owner.  Returns whether OnRoom() should be called.
  bool FlushQueue();
  // Queues a control message and flushes.  Drops the message and returns false if the link is
  // closed, or if the message holds replies to clients and more than kMaxReplyBytes wait.
  bool Send(std::unique_ptr<v1::ControlMessage> message);
  // The transport calls this when a write has ended.  `ok` is false if the stream is broken.
  void OnWriteDone(bool ok);
  // Call when the worker reports how many items and bytes it has applied since the link began.
  void OnAck(uint64_t items, uint64_t bytes);
  // Ends the attachment when the write in flight is done.  Drops everything that is queued.
  void Close(absl::Status status);
  bool closed() const;

  Stats stats() const;

 private:
  absl::Duration UnappliedSinceLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Drops everything that is queued.  The next flush finishes the stream.
  void EndLocked(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Encodes and writes the items of sending_.  Returns false if all of them have expired.
  bool WriteBatch();

  const uint64_t id_;
  const Clock* const clock_;
  LinkTransport* const transport_;
  LinkOwner* const owner_;
  InterestDigest interest_digest_;

  mutable Mutex mu_;  // after Router's locks; nothing is locked under it
  LinkQueue queue_ ABSL_GUARDED_BY(mu_);
  LinkRepair repair_ ABSL_GUARDED_BY(mu_);
  PatternTimes pattern_times_ ABSL_GUARDED_BY(mu_);
  bool pattern_times_known_ ABSL_GUARDED_BY(mu_) = false;
  uint32_t next_handle_ ABSL_GUARDED_BY(mu_) = 1;
  std::deque<std::unique_ptr<v1::ControlMessage>> control_ ABSL_GUARDED_BY(mu_);
  size_t control_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(mu_);
  absl::Duration ended_since_ ABSL_GUARDED_BY(mu_);  // unapplied_since() once closing_
  // Counts of Stats that no part keeps.
  int64_t repairs_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t gaps_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t dropped_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t sent_batches_ ABSL_GUARDED_BY(mu_) = 0;

  // Only touched by the thread that set writing_.
  std::vector<LinkQueueItem> sending_;
  std::unique_ptr<BatchWriter> batch_writer_;
};

}  // namespace fanwire::control
