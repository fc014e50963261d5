// Drain closes all sessions of a worker, spread over a window, so that not all clients reconnect at
// the same time.  Connections that still exist at the deadline are cut.
//
// Connections that wait to be accepted when the drain begins are accepted and answered like all
// others: the kernel would reset them.  Their clients are told with the others to go elsewhere.
//
// Threading: loop-confined.
// Ownership: borrows loop and ports.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "fanout/net/event_loop.h"
#include "fanout/service_ports.h"
#include "proto/close_code.h"

namespace fanwire::fanout {

struct DrainOrder {
  absl::Duration window = absl::Seconds(5);
  absl::Duration deadline = absl::Seconds(15);
  absl::Duration reconnect_after_min = absl::Milliseconds(100);
  absl::Duration reconnect_after_max = absl::Seconds(5);
  CloseCode code = CloseCode::kServiceRestart;
  std::string reason;  // sent in server.draining and in the close frame

  // The longest time that so many clients are told to wait before they reconnect: a millisecond for
  // each, but at least reconnect_after_min and at most reconnect_after_max.
  absl::Duration ReconnectWithin(int64_t clients) const;
};

class Drain {
 public:
  Drain(EventLoop* loop, ServicePorts* ports);
  ~Drain();

  // Begins the drain; a second call is ignored.  `progress` is called from time to time with the
  // number of remaining sessions, and a last time with `done` when there are none.
  void Start(const DrainOrder& order,
             absl::AnyInvocable<void(int64_t remaining, bool done)> progress);

  bool started() const { return started_; }
  bool done() const { return done_; }

 private:
  void Step();
  int64_t Remaining() const;

  EventLoop* const loop_;
  ServicePorts* const ports_;
  DrainOrder order_;
  absl::AnyInvocable<void(int64_t, bool)> progress_;
  bool started_ = false;
  bool done_ = false;
  absl::Duration began_;
  int64_t total_ = 0;
  int64_t told_goodbye_ = 0;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace fanwire::fanout
