#include "control/routing/channel_feed.h"

#include <memory>
#include <utility>
#include <vector>

#include "common/log.h"
#include "control/links/worker_link.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_table.h"
#include "proto/channel_name.h"
#include "proto/policies.h"

namespace fanwire::control {

void ChannelFeed::OnPublication(const FedPublication& fed) {
  ServiceState* const service = directory_->FindService(fed.service);
  if (service == nullptr) return;  // only other controls have it in their configuration
  const ChannelKey key(service, Dialect::kCommon, fed.channel);
  const size_t index = directory_->table().IndexOf(key);
  ChannelTable::Shard& shard = directory_->table().shard(index);
  WakeList wakes;
  {
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
    if (channel != nullptr && (*channel)->is_open()) {
      fan_out_.RouteNew({.shard = index, .channel = *channel, .publication = fed.publication},
                        fed.mirror, &wakes, nullptr);
    } else {
      for (PublicationObserver* const observer : shard.observers) {
        observer->OnPublication({.service = fed.service,
                                 .channel = fed.channel,
                                 .mirror = fed.mirror,
                                 .publication = fed.publication});
      }
    }
  }
  wakes.Flush();
}

void ChannelFeed::Change(absl::string_view service_name, absl::string_view channel_name,
                         absl::FunctionRef<void(const std::shared_ptr<ChannelState>&)> change) {
  ServiceState* const service = directory_->FindService(service_name);
  if (service == nullptr) return;
  const ChannelKey key(service, Dialect::kCommon, channel_name);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  std::vector<std::shared_ptr<WorkerLink>> links;
  {
    MutexLock lock(&shard.mu);
    const std::shared_ptr<ChannelState>* const channel = ChannelTable::Find(shard, key);
    if (channel == nullptr) return;
    change(*channel);
    for (const ChannelLink& wanting : (*channel)->links) {
      if (!wanting.link->held()) links.push_back(wanting.link);
    }
  }
  for (const std::shared_ptr<WorkerLink>& link : links) owner_->OnRoom(link);
}

void ChannelFeed::OnMissed(absl::string_view service, absl::string_view channel) {
  Change(service, channel, [this](const std::shared_ptr<ChannelState>& state) {
    if (!state->is_open()) return;
    directory_->RefreshPatterns(state.get());
    directory_->SkipMissed(state);
  });
}

void ChannelFeed::OnEpochChanged(absl::string_view service, absl::string_view channel) {
  Change(service, channel,
         [this](const std::shared_ptr<ChannelState>& state) { directory_->Reopen(state); });
}

void ChannelFeed::OnUnopened(absl::string_view service_name, absl::string_view channel_name) {
  const std::shared_ptr<const ServiceSnapshot> snapshot = directory_->snapshot();
  const ServiceEntry* const service = snapshot->Find(service_name);
  if (service == nullptr || !CheckChannelName(channel_name).ok()) return;
  std::vector<PatternTable::Wanting> matching;
  service->state->patterns_of(Dialect::kCommon).Match(channel_name, &matching);
  const ChannelKey key(service->state, Dialect::kCommon, channel_name);
  ChannelTable::Shard& shard = directory_->table().shard(directory_->table().IndexOf(key));
  MutexLock lock(&shard.mu);
  // Workers that want the channel by name wait for its state; the engine hears of its publications
  // before their subscribe has come.
  if (matching.empty() || ChannelTable::Find(shard, key) != nullptr) return;
  const auto opened =
      directory_->FindOrCreate(shard, key, *snapshot, *service->spec, clock_->Now());
  if (opened.ok()) return;
  if (int64_t left_out; refused_.Admit(&left_out)) {
    LogWarning("feed.refused", {{"service", service_name},
                                {"channel", channel_name},
                                {"reason", opened.status().message()},
                                {"left_out", left_out}});
  }
}

}  // namespace fanwire::control
