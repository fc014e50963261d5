#include "control/engine/memory_engine.h"

#include <algorithm>

#include "control/config/history_policy.h"
#include "control/engine/channel_log.h"

namespace fanwire::control {

namespace {

class MemoryEngine final : public Engine {
 public:
  explicit MemoryEngine(uint64_t max_history_bytes)
      : budget_(static_cast<int64_t>(std::min<uint64_t>(max_history_bytes, INT64_MAX))) {}

  absl::string_view name() const override { return "memory"; }

  absl::Status Start() override { return absl::OkStatus(); }
  void Close() override {}

  std::unique_ptr<EngineChannel> Open(
      absl::string_view /*service*/, absl::string_view /*channel*/, const HistoryPolicy& policy,
      absl::FunctionRef<OpenedCallback()> /*make_opened*/) override {
    return std::make_unique<ChannelLog>(policy, &budget_);
  }

  void Forget(std::unique_ptr<EngineChannel> /*channel*/) override {}

  AppendOutcome Append(absl::Span<const EngineAppend> appends, const EventRecord& /*record*/,
                       absl::Duration now,
                       absl::FunctionRef<EngineCallback()> /*make_done*/) override {
    for (const EngineAppend& append : appends) {
      if (!append.keep) continue;
      static_cast<ChannelLog*>(append.channel)->Append(append.publication, now);
    }
    return is_crowded() ? AppendOutcome::kDoneCrowded : AppendOutcome::kDone;
  }

  absl::Status VisitRecords(absl::FunctionRef<void(const KeptRecord&)> /*visit*/) override {
    return absl::OkStatus();
  }

  int64_t history_bytes() const override { return budget_.used.load(std::memory_order_relaxed); }

  int64_t excess_bytes() const override {
    return std::max<int64_t>(0, history_bytes() - (budget_.max_bytes - budget_.max_bytes / 64));
  }

  bool is_crowded() const override { return history_bytes() > budget_.max_bytes; }

  absl::Status Health() const override { return absl::OkStatus(); }

  EngineStatus status() const override {
    return {.history_bytes = history_bytes(), .max_history_bytes = budget_.max_bytes};
  }

  bool survives_restart() const override { return false; }

 private:
  MemoryBudget budget_;
};

}  // namespace

std::unique_ptr<Engine> MakeMemoryEngine(uint64_t max_history_bytes) {
  return std::make_unique<MemoryEngine>(max_history_bytes);
}

}  // namespace fanwire::control
