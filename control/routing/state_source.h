// StateSource tells what a channel's publications have led to: the state of a workflow, a pool.
//
// Threading: AskState() runs under the channel's lock, so that the state is that of the channel's
//            head.  It must return in about a microsecond, must not block and must not call Router.
#pragma once

#include <memory>

#include "control/links/subscribe.h"

namespace fanwire::control {

class WorkerLink;

class StateSource {
 public:
  virtual ~StateSource() = default;

  // Sends the answer of the subscribe's status request to the worker, as a reply with the number
  // query_id, as soon as it is known.
  virtual void AskState(const std::shared_ptr<WorkerLink>& link,
                        const SubscribeRequest& subscribe) = 0;
};

}  // namespace fanwire::control
