// The redis engine keeps positions and history in a Redis server that several controls share: what
// is published at one is told to all.  docs/clustering.md says what it promises.
//
//   Append() -> RedisWriter ---script---> Redis --Pub/Sub--> RedisListener
//                    |                      |                     |
//                    '---answers---> FeedSequencer <---messages---'
//                                       |     |
//                                  callbacks  EngineFeed
#pragma once

#include <memory>

#include "common/clock.h"
#include "control/engine/engine.h"
#include "control/engine/redis_options.h"

namespace fanwire::control {

// The engine borrows the clock.
std::unique_ptr<Engine> MakeRedisEngine(const RedisOptions& options, const Clock* clock);

// Returns why the server cannot be used.  Changes nothing there.
absl::Status CheckRedisServer(const RedisOptions& options);

}  // namespace fanwire::control
