// A Router that routes nothing and remembers what it was told of links.
//
// Threading: safe from every thread.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "control/links/subscribe.h"
#include "control/links/worker_link.h"
#include "control/routing/channel_info.h"
#include "control/routing/delivery_report.h"
#include "control/routing/interest_view.h"
#include "control/routing/publish_counts.h"
#include "control/routing/router.h"
#include "proto/policies.h"

namespace fanwire::control {

class FakeRouter : public Router, public LinkOwner {
 public:
  // Ids of links whose interest was cleared; and that are gone.
  std::vector<uint64_t> cleared() const {
    MutexLock lock(&mu_);
    return cleared_;
  }
  std::vector<uint64_t> gone() const {
    MutexLock lock(&mu_);
    return gone_;
  }

  // ---- Router

  absl::StatusOr<Validation> Validate(const Event&) override { return Validation(); }
  void StopPublishing() override {}
  void PublishFrame(absl::string_view, Dialect, absl::string_view, absl::string_view) override {}
  std::vector<std::string> InterestedChannels(absl::string_view, Dialect) override { return {}; }
  void AddInterest(const std::shared_ptr<WorkerLink>&, const InterestView&) override {}
  void RemoveInterest(const std::shared_ptr<WorkerLink>&, const InterestView&) override {}
  void ClearInterest(const std::shared_ptr<WorkerLink>& link) override {
    link->interest_digest().Clear();
    MutexLock lock(&mu_);
    cleared_.push_back(link->id());
  }
  void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) override { link->SetHeld(true); }
  void EndSnapshot(const std::shared_ptr<WorkerLink>& link) override { link->SetHeld(false); }
  LinkOwner* link_owner() override { return this; }
  void Resume(const std::shared_ptr<WorkerLink>&, absl::string_view, absl::string_view,
              absl::string_view, int64_t) override {}
  void Subscribe(const std::shared_ptr<WorkerLink>&, SubscribeRequest) override {}
  void Repair(const std::shared_ptr<WorkerLink>&) override {}
  void OnReport(uint64_t, const DeliveryReport&) override {}
  void WorkerGone(uint64_t link_id) override {
    MutexLock lock(&mu_);
    gone_.push_back(link_id);
  }
  absl::StatusOr<std::vector<ChannelSummary>> ListChannels(absl::string_view,
                                                           absl::string_view) override {
    return std::vector<ChannelSummary>();
  }
  absl::StatusOr<ChannelSummary> GetChannel(absl::string_view, absl::string_view) override {
    return absl::NotFoundError("no state");
  }
  absl::StatusOr<HistorySlice> ReadHistory(const HistoryRequest&) override {
    return HistorySlice();
  }
  PublishCounts Counts(absl::string_view) override { return {}; }
  void AddObserver(PublicationObserver*) override {}
  void RemoveObserver(PublicationObserver*) override {}
  void SetServices(std::shared_ptr<const ServiceTable>) override {}
  void Sweep() override {}

  // ---- LinkOwner

  void OnRoom(const std::shared_ptr<WorkerLink>&) override {}
  void OnExpired(WorkerLink*, uint64_t) override {}

 private:
  // A PublishRun cannot be made on it.
  std::unique_ptr<PublishScratch> MakeScratch() override { std::abort(); }
  void Publish(const Event&, const PublishParams&, ReceiptSink*, uint64_t,
               PublishScratch*) override {}

  mutable Mutex mu_;
  std::vector<uint64_t> cleared_ ABSL_GUARDED_BY(mu_);
  std::vector<uint64_t> gone_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
