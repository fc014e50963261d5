// PublicationObserver is how this process itself listens to publications: tail, retained state, a
// dialect's feed.
//
// Threading: OnPublication() runs on publishing threads under the channel's lock, in the channel's
//            order.  It must take about a microsecond, must not block and must not call Router:
//            look, queue, return.
#pragma once

#include "absl/strings/string_view.h"
#include "control/events/publication.h"

namespace fanwire::control {

// What was published where; the texts live as long as the call.
struct ObservedPublication {
  absl::string_view service;
  absl::string_view channel;
  bool mirror = false;  // a copy that a mirror rule made
  const PublicationPtr& publication;
};

class PublicationObserver {
 public:
  virtual ~PublicationObserver() = default;

  virtual void OnPublication(const ObservedPublication& observed) = 0;
};

}  // namespace fanwire::control
