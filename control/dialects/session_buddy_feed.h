// SessionBuddyFeed makes the frames for subscribers of session-buddy's dialect.  At each
// update_interval it sends the newest `metrics_update` of channel `metrics` as one frame to
// `metrics`, and as one frame to `metrics:{skill}` for each of the ten top skills.  These frames
// have no position and are not kept; they are made only while some worker has interest.
//
// Threading: safe from every thread.  Frames are made on the timer thread; OnPublication() keeps a
//            pointer under a leaf mutex.
// Ownership: borrows router, queries, timers and clock, which outlive it.  A timer that is still
//            set when this object is destroyed does nothing.
// Source:    docs/protocol.md "session-buddy's dialect"
#pragma once

#include <memory>

#include "common/clock.h"
#include "control/routing/publication_observer.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::control {

class ChannelQueries;
class Router;
class ServiceTable;

class SessionBuddyFeed final : public PublicationObserver {
 public:
  SessionBuddyFeed(Router* router, ChannelQueries* queries, TimerQueue* timers, const Clock* clock);
  // Waits until no frame is being made.
  ~SessionBuddyFeed() override;

  // Feeds the services that have a listener of the dialect, each at its update_interval.  A changed
  // interval takes effect with the next frame.  The newest publication of each service is kept.
  void SetServices(const ServiceTable& services);

  void OnPublication(const ObservedPublication& observed) override;

 private:
  class State;

  const std::shared_ptr<State> state_;
};

}  // namespace fanwire::control
