#include "control/routing/channel_table.h"

#include <algorithm>

#include "absl/strings/match.h"

namespace fanwire::control {

namespace {

constexpr size_t kLineBytes = 64;

// The part of a log that an append reads or writes, in any engine.
constexpr size_t kLogBytes = 2 * kLineBytes;

void Prefetch(const void* begin, size_t bytes) {
  const auto* const at = static_cast<const char*>(begin);
  for (size_t i = 0; i < bytes; i += kLineBytes) __builtin_prefetch(at + i);
}

size_t IndexFor(const ServiceState& service, absl::string_view name, uint64_t hash) {
  for (const std::string& prefix : service.mirror_prefixes) {
    if (absl::StartsWith(name, prefix)) {
      return ChannelTable::kOriginShards + (hash >> 32) % ChannelTable::kMirrorShards;
    }
  }
  return (hash >> 32) % ChannelTable::kOriginShards;
}

}  // namespace

size_t ChannelTable::IndexOf(const ChannelKey& key) const {
  return IndexFor(*key.service, key.name, key.hash);
}

size_t ChannelTable::IndexOf(const ChannelState& state) const {
  return IndexFor(*state.service, state.name, state.hash);
}

const std::shared_ptr<ChannelState>* ChannelTable::Find(Shard& shard, const ChannelKey& key) {
  const auto it = shard.channels.find(key);
  return it == shard.channels.end() ? nullptr : &it->state;
}

void ChannelTable::PrefetchState(const Shard& shard, const ChannelKey& key) {
  const auto it = shard.channels.find(key.hash);
  if (it == shard.channels.end()) return;
  Prefetch(it->state.get(), sizeof(ChannelState));
  if (it->log != nullptr) Prefetch(it->log, kLogBytes);
}

ShardLocks::ShardLocks(ChannelTable* table, std::vector<size_t>* indices)
    : table_(table), indices_(indices) {
  std::sort(indices_->begin(), indices_->end());
  indices_->erase(std::unique(indices_->begin(), indices_->end()), indices_->end());
  for (const size_t index : *indices_) table_->shard(index).mu.Lock();
}

ShardLocks::~ShardLocks() {
  for (auto it = indices_->rbegin(); it != indices_->rend(); ++it) table_->shard(*it).mu.Unlock();
}

}  // namespace fanwire::control
