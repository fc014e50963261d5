// Answers the clients' request `history` with events of a channel's history: the envelopes that
// subscribers received.
//
// The worker has already checked that the session may read the channel.
//
// Threading: safe from every thread.  The reply is given before Handle() returns, or on a thread of
//            the engine if that must open the channel or fetch its history.
// Ownership: the handler borrows the queries.
// Cost:      one pass over the requested part of the history, at most 1 MiB.
// Source:    docs/protocol.md "Requests"
#pragma once

#include <memory>

#include "control/workers/worker_registry.h"

namespace fanwire::control {

class ChannelQueries;

// Replies with {channel, epoch, offset, events}, with `more: true` if the limit or the largest
// message that clients take cut the list, and with `complete: false` and `reason` if history does
// not hold all that came after `since`.  Errors:
//   INVALID_CHANNEL  channel is missing, is not a text, or is not the name of one channel
//   INVALID_REQUEST  limit is not in 1 to 1000, since is not {epoch, offset}, or reverse is not a
//                    boolean
//   LIMIT_EXCEEDED   a single event is longer than an answer may be
//   UNAVAILABLE      the engine cannot read the history at present, or is stopping
//   INTERNAL_ERROR   the engine failed; only the log gives the reason
std::unique_ptr<ClientRequestHandler> MakeHistoryRequestHandler(ChannelQueries* queries);

}  // namespace fanwire::control
