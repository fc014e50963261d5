// Publishes what clients publish: the request `publish`, which the worker has made of a client's
// message.
//
// The worker has already checked that the client may publish the event, and how often.  Control
// checks the event as it checks those of services, and publishes it in the same way.
//
// Threading: safe from every thread.  Events of one worker are published in the order of the calls.
//            The reply is given before Handle() returns, or later if the engine takes longer.
// Ownership: the handler borrows the router, which answers every event before it is destroyed.
// Cost:      a publication of one event (Router), and one allocation.
// Source:    docs/protocol.md "Publishing"
#pragma once

#include <memory>

#include "control/workers/worker_registry.h"

namespace fanwire::control {

class Router;

// Replies with {"status": "published", channel, epoch, offset}, without the last two if the event
// skips history.  Errors:
//   INVALID_REQUEST  a bad channel or event name, `data` that is not a JSON object or is too long,
//                    or an event that the catalog does not allow
//   NOT_FOUND        the service is not configured any more
//   LIMIT_EXCEEDED   the service has `max_channels` channels
//   UNAVAILABLE      control is stopping, or the engine cannot take the event
//   INTERNAL_ERROR   the engine failed; only the log gives the reason
std::unique_ptr<ClientRequestHandler> MakeClientPublishHandler(Router* router);

}  // namespace fanwire::control
