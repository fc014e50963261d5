#include "control/make_engine.h"

#include "common/proto_time.h"
#include "control/engine/memory_engine.h"
#include "control/engine/redis_engine.h"
#include "control/engine/rocksdb_engine.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

namespace {

RedisOptions MakeRedisOptions(const v1::EngineConfig& engine) {
  return {.server = engine.redis().server(),
          .username = engine.redis().username(),
          .password = engine.redis().password(),
          .durable = engine.redis().durable(),
          .cache_bytes = engine.cache_bytes(),
          .max_waiting_publications = engine.max_waiting_publications(),
          .max_waiting_bytes = engine.max_waiting_bytes(),
          .channel_idle_ttl = ToDuration(engine.channel_idle_ttl())};
}

}  // namespace

std::unique_ptr<Engine> MakeEngine(const v1::Config& config, const Clock* clock) {
  const v1::EngineConfig& engine = config.engine();
  if (engine.kind() == v1::EngineConfig::KIND_REDIS) {
    return MakeRedisEngine(MakeRedisOptions(engine), clock);
  }
  if (engine.kind() != v1::EngineConfig::KIND_ROCKSDB) {
    return MakeMemoryEngine(engine.max_history_bytes());
  }
  return MakeRocksDbEngine({.path = engine.path(),
                            .sync = engine.sync(),
                            .cache_bytes = engine.cache_bytes(),
                            .max_waiting_publications = engine.max_waiting_publications(),
                            .max_waiting_bytes = engine.max_waiting_bytes(),
                            .channel_idle_ttl = ToDuration(engine.channel_idle_ttl()),
                            .key_ttl = ToDuration(config.control().idempotency_window())},
                           clock);
}

absl::Status CheckEngine(const v1::EngineConfig& config) {
  if (config.kind() == v1::EngineConfig::KIND_REDIS) {
    return CheckRedisServer(MakeRedisOptions(config));
  }
  if (config.kind() != v1::EngineConfig::KIND_ROCKSDB) return absl::OkStatus();
  return CheckRocksDbFolder(config.path());
}

}  // namespace fanwire::control
