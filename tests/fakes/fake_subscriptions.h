// Subscriptions that bring nothing and remember whose interest was cleared.
//
// Threading: safe from every thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/mutex.h"
#include "control/links/subscribe.h"
#include "control/links/worker_link.h"
#include "control/routing/interest_view.h"
#include "control/routing/subscriptions.h"

namespace fanwire::control {

class FakeSubscriptions : public Subscriptions {
 public:
  // Ids of the links whose interest was cleared.
  std::vector<uint64_t> cleared() const {
    MutexLock lock(&mu_);
    return cleared_;
  }

  void AddInterest(const std::shared_ptr<WorkerLink>&, const InterestView&) override {}
  void RemoveInterest(const std::shared_ptr<WorkerLink>&, const InterestView&) override {}
  void ClearInterest(const std::shared_ptr<WorkerLink>& link) override {
    link->interest_digest().Clear();
    MutexLock lock(&mu_);
    cleared_.push_back(link->id());
  }
  void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) override { link->SetHeld(true); }
  void EndSnapshot(const std::shared_ptr<WorkerLink>& link) override { link->SetHeld(false); }
  void Resume(const std::shared_ptr<WorkerLink>&, absl::string_view, absl::string_view,
              absl::string_view, int64_t) override {}
  void Subscribe(const std::shared_ptr<WorkerLink>&, SubscribeRequest) override {}
  void OnRoom(const std::shared_ptr<WorkerLink>&) override {}
  void OnExpired(WorkerLink*, uint64_t) override {}

 private:
  mutable Mutex mu_;
  std::vector<uint64_t> cleared_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
