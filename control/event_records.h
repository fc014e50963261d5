// RestoreEventRecords() gives the parts that answer repeated events what the engine has kept of
// earlier ones: idempotency keys and publishers' seqs.
//
// Cost:      looks at every record, and holds about twice as many as the parts remember.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "common/clock.h"

namespace fanwire::control {

class ChannelDirectory;
class Engine;
class PublishService;

// What the parts remember at most.
struct EventRecordLimits {
  size_t keys = 100'000;  // of one service
  size_t publishers = 1000;
  size_t seqs = 10'000;  // of one publisher
  size_t all_seqs = 500'000;
};

// Call it when the engine has started, before anything is published.  Records of services that are
// not configured any more are left out.
absl::Status RestoreEventRecords(Engine* engine, ChannelDirectory* directory,
                                 PublishService* publishers, const Clock* clock,
                                 const EventRecordLimits& limits = {});

}  // namespace fanwire::control
