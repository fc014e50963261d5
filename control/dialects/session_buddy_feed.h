// SessionBuddyFeed makes what subscribers of session-buddy's dialect get: the newest
// `metrics_update` of channel `metrics`, repeated each update_interval as a frame of its own for
// `metrics` and for `metrics:{skill}` of each of the ten top skills.  Frames are live only: they
// have no position and are made only while somebody wants them.
//
// Threading: safe from every thread.  Frames are made on the timer thread; OnPublication() keeps a
//            pointer under a mutex that is a leaf.
// Ownership: borrows router, timers and clock, which outlive it.  Timers that are still set when it
//            goes do nothing.
// Source:    docs/protocol.md "session-buddy's dialect"
#pragma once

#include <memory>

#include "common/clock.h"
#include "control/routing/publication_observer.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::control {

class Router;
class ServiceTable;

class SessionBuddyFeed final : public PublicationObserver {
 public:
  SessionBuddyFeed(Router* router, TimerQueue* timers, const Clock* clock);
  // Waits for frames that are being made.
  ~SessionBuddyFeed() override;

  // Feeds the services that have a listener of the dialect, each at its update_interval, which
  // takes effect with the next frame.  What was published to them before stays known.
  void SetServices(const ServiceTable& services);

  void OnPublication(const ObservedPublication& observed) override;

 private:
  class State;

  const std::shared_ptr<State> state_;
};

}  // namespace fanwire::control
