// An Engine in front of another one that acknowledges appends when a test says so.
//
// Threading: safe from every thread.  While an append is acknowledged, nothing else may be
//            published to its channels.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "control/engine/engine.h"

namespace fanwire::control {

class HeldEngine final : public Engine {
 public:
  explicit HeldEngine(std::unique_ptr<Engine> inner) : inner_(std::move(inner)) {}

  // Appends wait from now on.
  void Hold() {
    MutexLock lock(&mu_);
    holding_ = true;
  }
  // Appends that wait.
  size_t held() const {
    MutexLock lock(&mu_);
    return held_.size();
  }
  // Ends the append that has waited for the longest time.
  void ReleaseFirst(const absl::Status& status) {
    Held first;
    {
      MutexLock lock(&mu_);
      first = std::move(held_.front());
      held_.erase(held_.begin());
    }
    if (status.ok()) {
      inner_->Append(first.appends, first.now, []() -> EngineCallback { return nullptr; });
    }
    first.done(status);
  }

  absl::string_view name() const override { return "held"; }
  std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                      const HistoryPolicy& policy) override {
    return inner_->Open(service, channel, policy);
  }
  void Forget(std::unique_ptr<EngineChannel> channel) override {
    inner_->Forget(std::move(channel));
  }
  AppendOutcome Append(absl::Span<const EngineAppend> appends, absl::Duration now,
                       absl::FunctionRef<EngineCallback()> make_done) override {
    {
      MutexLock lock(&mu_);
      if (holding_) {
        held_.push_back(
            {.appends = {appends.begin(), appends.end()}, .now = now, .done = make_done()});
        return AppendOutcome::kPending;
      }
    }
    return inner_->Append(appends, now, make_done);
  }
  int64_t history_bytes() const override { return inner_->history_bytes(); }
  int64_t excess_bytes() const override { return inner_->excess_bytes(); }
  absl::Status Health() const override { return inner_->Health(); }

 private:
  struct Held {
    std::vector<EngineAppend> appends;
    absl::Duration now;
    EngineCallback done;
  };

  const std::unique_ptr<Engine> inner_;
  mutable Mutex mu_;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Held> held_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
