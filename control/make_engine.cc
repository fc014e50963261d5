#include "control/make_engine.h"

#include "common/proto_time.h"
#include "control/engine/memory_engine.h"
#include "control/engine/rocksdb_engine.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

std::unique_ptr<Engine> MakeEngine(const v1::EngineConfig& config, const Clock* clock) {
  if (config.kind() != v1::EngineConfig::KIND_ROCKSDB) {
    return MakeMemoryEngine(config.max_history_bytes());
  }
  return MakeRocksDbEngine({.path = config.path(),
                            .sync = config.sync(),
                            .cache_bytes = config.cache_bytes(),
                            .max_waiting_publications = config.max_waiting_publications(),
                            .max_waiting_bytes = config.max_waiting_bytes(),
                            .channel_idle_ttl = ToDuration(config.channel_idle_ttl())},
                           clock);
}

absl::Status CheckEngine(const v1::EngineConfig& config) {
  if (config.kind() != v1::EngineConfig::KIND_ROCKSDB) return absl::OkStatus();
  return CheckRocksDbFolder(config.path());
}

}  // namespace fanwire::control
