// PublicationObserver listens to publications inside this process.  `wsctl tail`, status requests
// and the feeds of other dialects implement it.
//
// Threading: OnPublication() runs on publishing threads under the channel's lock, in the channel's
//            order.  It must return in about a microsecond, must not block and must not call
//            Router: it copies what it needs and leaves the work to another thread.
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
