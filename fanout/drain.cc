#include "fanout/drain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/log.h"
#include "fanout/reply.h"

namespace fanwire::fanout {

namespace {

// Goodbyes are said this often.
constexpr absl::Duration kStep = absl::Milliseconds(20);

// Clients that reconnect are spread so far apart.
constexpr absl::Duration kReconnectEvery = absl::Milliseconds(1);

}  // namespace

absl::Duration DrainOrder::ReconnectWithin(int64_t clients) const {
  return std::min(reconnect_after_min + clients * kReconnectEvery,
                  std::max(reconnect_after_min, reconnect_after_max));
}

Drain::Drain(EventLoop* loop, ServicePorts* ports) : loop_(loop), ports_(ports) {}

Drain::~Drain() { loop_->Cancel(timer_); }

int64_t Drain::Remaining() const { return static_cast<int64_t>(ports_->connections()); }

void Drain::Start(const DrainOrder& order, absl::AnyInvocable<void(int64_t, bool)> progress) {
  if (std::exchange(started_, true)) return;
  order_ = order;
  progress_ = std::move(progress);
  began_ = loop_->Now();
  for (const Service* const service : ports_->services()) {
    total_ += static_cast<int64_t>(service->sessions().size());
  }
  LogInfo("drain.begin",
          {{"sessions", total_}, {"window", order_.window}, {"reason", order_.reason}});
  ports_->DrainListeners();
  Step();
}

void Drain::Step() {
  timer_ = 0;
  const absl::Duration passed = loop_->Now() - began_;
  // Those who should have been told by now, the first at once.
  const double part = order_.window <= absl::ZeroDuration()
                          ? 1
                          : std::min(1.0, absl::FDivDuration(passed + kStep, order_.window));
  const auto due = static_cast<int64_t>(part * static_cast<double>(total_) + 0.999);
  std::vector<Session*> goodbye;
  const bool late = passed >= order_.deadline;
  for (const Service* const service : ports_->services()) {
    for (const auto& [id, session] : service->sessions()) {
      if (!late && told_goodbye_ + static_cast<int64_t>(goodbye.size()) >= due && part < 1) break;
      if (late || session->open()) goodbye.push_back(session);
    }
  }
  const std::string text = DrainingText(order_.reconnect_after_min, order_.ReconnectWithin(total_),
                                        order_.reason, absl::Now());
  if (late) ports_->CloseListeners();
  for (Session* const session : goodbye) {
    if (late) {
      session->Abort();
    } else {
      session->SayGoodbye(text, order_.code, order_.reason);
      ++told_goodbye_;
    }
  }
  const int64_t remaining = Remaining();
  done_ = (remaining == 0 && !ports_->draining_listeners()) ||
          passed >= order_.deadline + absl::Seconds(1);
  progress_(remaining, done_);
  if (done_) {
    LogInfo("drain.done", {{"took", passed}, {"cut_off", remaining}});
    return;
  }
  timer_ = loop_->RunAfter(kStep, [this] { Step(); });
}

}  // namespace fanwire::fanout
