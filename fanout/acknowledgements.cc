#include "fanout/acknowledgements.h"

#include <memory>
#include <utility>

#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

// Bytes on their way to clients from which on nothing is acknowledged.
constexpr size_t kMaxPendingBytes = 4 << 20;

// What an acknowledgement is sent for at once: fractions of the smallest window that control has.
constexpr uint64_t kItems = 128;
constexpr uint64_t kBytes = 256 << 10;

// How long fewer items than that may wait for more.
constexpr absl::Duration kDelay = absl::Milliseconds(50);

// How soon to look again whether less is on its way.
constexpr absl::Duration kRetry = absl::Milliseconds(1);

}  // namespace

Acknowledgements::Acknowledgements(EventLoop* loop, ControlLink* link,
                                   std::function<size_t()> pending_bytes)
    : loop_(loop), link_(link), pending_bytes_(std::move(pending_bytes)) {}

Acknowledgements::~Acknowledgements() { loop_->Cancel(timer_); }

void Acknowledgements::OnTurn() {
  if (applied_.items == acknowledged_.items) return;
  const bool due = applied_.items - acknowledged_.items >= kItems ||
                   applied_.bytes - acknowledged_.bytes >= kBytes || each_turn_;
  if (due && MaySend()) return Send();
  if (timer_ != 0 && (!due || held_back_)) return;
  loop_->Cancel(timer_);
  held_back_ = due;
  timer_ = loop_->RunAfter(due ? kRetry : kDelay, [this] {
    timer_ = 0;
    if (applied_.items == acknowledged_.items) return;
    if (MaySend()) return Send();
    OnTurn();
  });
}

bool Acknowledgements::MaySend() const { return pending_bytes_() <= kMaxPendingBytes; }

void Acknowledgements::Send() {
  acknowledged_ = applied_;
  auto item = std::make_unique<v1::WorkerItem>();
  item->mutable_ack()->set_seq(applied_.items);
  item->mutable_ack()->set_bytes(applied_.bytes);
  link_->Send(std::move(item));
}

}  // namespace fanwire::fanout
