// The clients' request `history`: what a channel's history holds, as the envelopes that subscribers
// got.
//
// Whether the session may read the channel is the worker's to decide; it asks only then.
//
// Threading: safe from every thread; the reply comes before Handle() returns.
// Ownership: the handler borrows the router.
// Cost:      one pass over the asked part of the history, at most 1 MiB.
// Source:    docs/protocol.md "Requests"
#pragma once

#include <memory>

#include "control/workers/worker_registry.h"

namespace fanwire::control {

class Router;

// Replies with {channel, epoch, offset, events}, and `more: true` if the limit or clients' largest
// message cut it.  Errors:
//   INVALID_CHANNEL  channel missing, no text, or no concrete channel's name
//   INVALID_REQUEST  limit not 1 to 1000, since no {epoch, offset}, reverse no true or false
//   LIMIT_EXCEEDED   a single event is longer than an answer may be
//   UNAVAILABLE      the engine cannot tell now
//   INTERNAL_ERROR   the engine failed; the log says how, the message does not
std::unique_ptr<ClientRequestHandler> MakeHistoryRequestHandler(Router* router);

}  // namespace fanwire::control
