#include "fanout/heartbeat.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/metrics.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(10);

}  // namespace

Heartbeat::Heartbeat(EventLoop* loop, ControlLink* link, std::function<void()> on_beat,
                     std::function<void(v1::Heartbeat*)> fill)
    : loop_(loop), link_(link), on_beat_(std::move(on_beat)), fill_(std::move(fill)) {}

Heartbeat::~Heartbeat() { loop_->Cancel(timer_); }

void Heartbeat::Start() { Arm(); }

void Heartbeat::SetInterval(absl::Duration interval) {
  interval_ = std::max(interval, kShortestInterval);
  link_->SetHeartbeatInterval(interval_);
}

void Heartbeat::SendLast() {
  Send();
  ended_ = true;
}

void Heartbeat::Arm() {
  due_ = loop_->Now() + interval_;
  timer_ = loop_->RunAfter(interval_, [this] { Beat(); });
}

void Heartbeat::Beat() {
  loop_lag_ = std::max(loop_->Now() - due_, absl::ZeroDuration());
  Arm();
  on_beat_();
  Send();
}

void Heartbeat::Send() {
  if (ended_ || !link_->attached()) return;
  auto item = std::make_unique<v1::WorkerItem>();
  v1::Heartbeat* const message = item->mutable_heartbeat();
  message->set_seq(++sent_);
  message->set_monotonic_ms(absl::ToInt64Milliseconds(loop_->Now()));
  message->set_rss_bytes(ResidentBytes());
  message->set_cpu_ms(static_cast<int64_t>(CpuSeconds() * 1000));
  message->set_loop_lag_us(absl::ToInt64Microseconds(loop_lag_));
  fill_(message);
  link_->Send(std::move(item));
}

}  // namespace fanwire::fanout
