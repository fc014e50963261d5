// Heartbeat tells control at a fixed interval that this worker is alive, with its load.
//
// Each beat also measures how late the loop ran it: the loop's lag.
//
// Threading: loop-confined.
// Ownership: borrows loop and link.
// Cost:      one message per interval.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "fanout/control_link.h"
#include "fanout/net/event_loop.h"

namespace fanwire::v1 {
class Heartbeat;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class Heartbeat {
 public:
  // Before each heartbeat `on_beat` is called, attached or not.  `fill` completes the message with
  // interest and load; number, time, process and lag are there already.
  Heartbeat(EventLoop* loop, ControlLink* link, std::function<void()> on_beat,
            std::function<void(v1::Heartbeat*)> fill);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // The first beat is one interval later.
  void Start();

  // Takes effect with the next beat; the link expects control's heartbeats at the same interval.
  // At least 10 ms.  1 s until it is set.
  void SetInterval(absl::Duration interval);

  // Sends a heartbeat now, if the worker is attached.
  void Send();

  // Sends a heartbeat now, and none after it.
  void SendLast();

  // How late the last beat was.
  absl::Duration loop_lag() const { return loop_lag_; }

 private:
  void Arm();
  void Beat();

  EventLoop* const loop_;
  ControlLink* const link_;
  const std::function<void()> on_beat_;
  const std::function<void(v1::Heartbeat*)> fill_;
  absl::Duration interval_ = absl::Seconds(1);
  absl::Duration due_;  // the next beat
  absl::Duration loop_lag_;
  uint64_t sent_ = 0;
  bool ended_ = false;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace fanwire::fanout
