// RestoreEventRecords() gives the parts that answer repeated events what the engine has kept of
// earlier ones: idempotency keys and publishers' seqs.
//
// Cost:      looks at every record; takes memory for all of them meanwhile.
#pragma once

#include "absl/status/status.h"
#include "common/clock.h"

namespace fanwire::control {

class ChannelDirectory;
class Engine;
class PublishService;

// Call it when the engine has started, before anything is published.  Records of services that are
// not configured any more are left out.
absl::Status RestoreEventRecords(Engine* engine, ChannelDirectory* directory,
                                 PublishService* publishers, const Clock* clock);

}  // namespace fanwire::control
