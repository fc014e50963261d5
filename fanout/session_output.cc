#include "fanout/session_output.h"

#include <algorithm>

#include "fanout/session.h"

namespace fanwire::fanout {

Connection& SessionOutput::connection() const { return *session_->connection(); }

OutQueue& SessionOutput::queue() {
  if (queue_ == nullptr) {
    const SessionContext& context = session_->context();
    queue_ = std::make_unique<OutQueue>(&connection(), session_->service(), context.hub->tracks(),
                                        context.loop, context.clock);
  }
  return *queue_;
}

// ------------------------------------------------------------------------------- publications

void SessionOutput::Flush() {
  if (queue_ != nullptr) queue_->Flush();
}

void SessionOutput::SendAll() {
  if (queue_ != nullptr) queue_->SendAll();
}

bool SessionOutput::SetPaused(bool paused) {
  if (paused) {
    queue().SetPaused(true);
    return false;
  }
  if (queue_ == nullptr || !queue_->paused()) return false;
  queue_->SetPaused(false);
  return true;
}

void SessionOutput::OnDrained() {
  if (queue_ != nullptr) queue_->OnDrained();
}

void SessionOutput::DropChannel(const Channel* channel, DropReason reason) {
  if (queue_ != nullptr) queue_->DropChannel(channel, reason);
}

void SessionOutput::Release(bool gathers) {
  if (queue_ == nullptr || gathers || !queue_->idle()) return;
  dropped_ += queue_->dropped();
  queue_ = nullptr;
}

size_t SessionOutput::waiting_bytes() const {
  return (queue_ == nullptr ? 0 : queue_->backlog_bytes()) + connection().queued_bytes();
}

// ------------------------------------------------------------------------------- replies

SessionOutput::Outcome SessionOutput::Reply(const std::string& text) {
  if (!connection().open()) return Outcome::kOk;
  ++replies_;
  ++session_->service()->counts().replies;
  if (connection().SendText(text) != SendOutcome::kQueued) return Outcome::kOk;
  return queue().AddQueuedReply();
}

// ------------------------------------------------------------------------------- the end

void SessionOutput::CloseSlow() {
  if (queue_ != nullptr) queue_->CloseSlow();
}

void SessionOutput::Close(CloseCode code, absl::string_view reason, Connection::Backlog backlog) {
  const uint64_t queued = connection().queued_messages();
  connection().Close(code, reason, backlog);
  if (queue_ != nullptr) queue_->DropWaiting(queued - connection().queued_messages());
}

void SessionOutput::OnClosed(uint64_t unsent) {
  if (queue_ != nullptr) queue_->OnClosed(unsent);
}

void SessionOutput::Describe(SessionInfo* info) const {
  info->backlog_bytes = waiting_bytes();
  int64_t replies = replies_;  // that the kernel has
  info->dropped = dropped_;
  if (queue_ != nullptr) {
    info->backlog_frames = queue_->waiting_items();
    replies -= queue_->replies_in_flight();
    info->dropped += queue_->dropped();
  }
  info->delivered =
      std::max<int64_t>(static_cast<int64_t>(connection().messages_sent()) - replies, 0);
}

}  // namespace fanwire::fanout
