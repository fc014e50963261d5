// DiskEngineChannel is a channel of an engine that keeps history on a disk or in a server: a
// DiskChannel, and a fetcher for what is not in memory.
//
// Threading: as EngineChannel.
// Ownership: borrows the engine's fetcher, which is null until the engine has started.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "control/config/history_policy.h"
#include "control/engine/disk_channel.h"
#include "control/engine/engine.h"
#include "control/engine/history_fetcher.h"

namespace fanwire::control {

class DiskEngineChannel : public EngineChannel {
 public:
  DiskEngineChannel(DiskChannelPtr disk, const HistoryPolicy& policy,
                    const std::unique_ptr<HistoryFetcher>* fetcher)
      : disk_(std::move(disk)), policy_(policy), fetcher_(fetcher) {}
  ~DiskEngineChannel() override { disk_->released.store(true, std::memory_order_release); }

  Position head() const override { return disk_->head(); }
  HistoryState Describe(absl::Duration now) override { return disk_->Describe(now); }
  const HistoryPolicy& policy() const override { return policy_; }
  void SetPolicy(const HistoryPolicy& policy, absl::Duration now) override {
    policy_ = policy;
    disk_->SetPolicy(policy, now);
  }
  ReadOutcome ReadAfter(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
                        std::vector<PublicationPtr>* page,
                        absl::FunctionRef<EngineCallback()> make_ready) override;
  int64_t FirstSince(absl::Duration received) const override { return disk_->FirstSince(received); }
  bool Trim(absl::Duration now) override { return disk_->Trim(now); }
  // There is no bound over all channels, so nobody need know which channel's history is oldest.
  absl::Duration oldest_received_at() const override { return absl::InfiniteDuration(); }
  void DropOldest() override { disk_->DropOldest(); }

  const DiskChannelPtr& disk() const { return disk_; }

 private:
  const DiskChannelPtr disk_;
  HistoryPolicy policy_;  // guarded by the channel's shard
  const std::unique_ptr<HistoryFetcher>* const fetcher_;
};

}  // namespace fanwire::control
