// SessionOutput is the sending side of one session.  Replies go to the connection at once; for
// publications and notices there is an OutQueue, which exists only while it holds something or its
// session has several channels and so will gather again.
//
// A function that finds the client too slow returns kTooSlow: the session must then close with
// 4000, calling CloseSlow() first.
//
// Threading: loop-confined.
// Ownership: a part of its Session; borrows context, service and connection, which outlive it.
// Cost:      48 bytes; see OutQueue for what it costs while it exists.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "fanout/channel.h"
#include "fanout/counts.h"
#include "fanout/net/connection.h"
#include "fanout/net/frame.h"
#include "fanout/out_queue.h"
#include "fanout/service.h"

namespace fanwire::fanout {

class Session;
struct SessionInfo;

class SessionOutput {
 public:
  using Outcome = OutQueue::Outcome;

  explicit SessionOutput(Session* session) : session_(session) {}
  SessionOutput(const SessionOutput&) = delete;
  SessionOutput& operator=(const SessionOutput&) = delete;

  // ---- publications

  // See OutQueue::Add().
  OutQueue::Added Add(Backlog::Item item) { return queue().Add(std::move(item)); }
  // See OutQueue::FlushTurn().
  Outcome FlushTurn() { return queue_ == nullptr ? Outcome::kOk : queue_->FlushTurn(); }
  // See OutQueue::Append() and OutQueue::TakeOver().
  void Append(Backlog::Item item) { queue().Append(std::move(item)); }
  void TakeOver(absl::Span<const Delivery> deliveries, const FramePtr& joined, ssize_t taken) {
    queue().TakeOver(deliveries, joined, taken);
  }
  // Sends what waits, as far as the connection takes it.
  void Flush();
  // Hands all that waits to the connection, however much that is; for a goodbye.
  void SendAll();
  // While paused, everything that is added waits.  Returns whether that has changed to not paused:
  // call Flush() then.
  bool SetPaused(bool paused);
  // All that the connection had is with the kernel.
  void OnDrained();
  // Drops what waits of the channel; publications are counted as dropped for `reason`.
  void DropChannel(const Channel* channel, DropReason reason);
  // The channels of which something waits.
  std::vector<ChannelRef> WaitingChannels() const {
    return queue_ == nullptr ? std::vector<ChannelRef>() : queue_->WaitingChannels();
  }
  // Destroys an idle queue, unless the session `gathers` and so will need it again.
  void Release(bool gathers);

  // The first position of the channel that waits; 0: none.
  int64_t FirstOffset(const Channel* channel) const {
    return queue_ == nullptr ? 0 : queue_->FirstOffset(channel);
  }
  // Bytes that wait, here and with the connection.
  size_t waiting_bytes() const;
  bool slow() const { return queue_ != nullptr && queue_->slow(); }

  // ---- replies

  // Sends a reply, ahead of all that waits here.
  Outcome Reply(const std::string& text);

  // ---- the end

  // What is lost from now on is counted as dropped for a slow client.
  void CloseSlow();
  // Begins the close handshake.  What waits here is lost.
  void Close(CloseCode code, absl::string_view reason, Connection::Backlog backlog);
  // The connection is gone; `unsent` messages of its whole life were never sent.
  void OnClosed(uint64_t unsent);

  // Fills in what was delivered and dropped, and what waits.
  void Describe(SessionInfo* info) const;

 private:
  OutQueue& queue();
  Connection& connection() const;

  Session* const session_;
  std::unique_ptr<OutQueue> queue_;  // null: nothing waits
  int64_t replies_ = 0;
  int64_t dropped_ = 0;  // by earlier queues; queue_ has its own count
};

}  // namespace fanwire::fanout
