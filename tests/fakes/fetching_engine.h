// FetchingEngine keeps everything in memory, and yet must fetch it before it can be read: it
// answers kFetching until the test lets a fetch end, in whatever order.
//
// Threading: confined to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "control/engine/engine.h"
#include "control/engine/memory_engine.h"

namespace fanwire::control {

class FetchingEngine final : public Engine {
 public:
  // Whether reads are answered kFetching.
  bool fetches = true;

  // Fetches that have not ended, oldest first.
  size_t fetching() const { return fetches_.size(); }
  // Ends one of them: its channel can be read once.
  void EndFetch(size_t index) {
    Fetch fetch = std::move(fetches_[index]);
    fetches_.erase(fetches_.begin() + static_cast<std::ptrdiff_t>(index));
    readable_.insert(fetch.channel);
    fetch.ready(absl::OkStatus());
  }

  absl::string_view name() const override { return "fetching"; }
  std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                      const HistoryPolicy& policy) override {
    return std::make_unique<Channel>(this, memory_->Open(service, channel, policy));
  }
  void Forget(std::unique_ptr<EngineChannel> /*channel*/) override {}
  AppendOutcome Append(absl::Span<const EngineAppend> appends, absl::Duration now,
                       absl::FunctionRef<EngineCallback()> make_done) override {
    std::vector<EngineAppend> inner(appends.begin(), appends.end());
    for (EngineAppend& append : inner) {
      append.channel = static_cast<Channel*>(append.channel)->inner.get();
    }
    return memory_->Append(inner, now, make_done);
  }
  int64_t history_bytes() const override { return memory_->history_bytes(); }
  int64_t excess_bytes() const override { return memory_->excess_bytes(); }
  absl::Status Health() const override { return absl::OkStatus(); }

 private:
  struct Channel final : EngineChannel {
    Channel(FetchingEngine* owner, std::unique_ptr<EngineChannel> of)
        : engine(owner), inner(std::move(of)) {}

    Position head() const override { return inner->head(); }
    HistoryState Describe(absl::Duration now) override { return inner->Describe(now); }
    const HistoryPolicy& policy() const override { return inner->policy(); }
    void SetPolicy(const HistoryPolicy& policy, absl::Duration now) override {
      inner->SetPolicy(policy, now);
    }
    ReadOutcome ReadAfter(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
                          std::vector<PublicationPtr>* page,
                          absl::FunctionRef<EngineCallback()> make_ready) override {
      if (engine->fetches && engine->readable_.erase(this) == 0) {
        engine->fetches_.push_back({this, make_ready()});
        return ReadOutcome::kFetching;
      }
      return inner->ReadAfter(after, until, max_bytes, now, page, make_ready);
    }
    int64_t FirstSince(absl::Duration received) const override {
      return inner->FirstSince(received);
    }
    bool Trim(absl::Duration now) override { return inner->Trim(now); }
    absl::Duration oldest_received_at() const override { return inner->oldest_received_at(); }
    void DropOldest() override { inner->DropOldest(); }

    FetchingEngine* const engine;
    const std::unique_ptr<EngineChannel> inner;
  };
  struct Fetch {
    const EngineChannel* channel;
    EngineCallback ready;
  };

  const std::unique_ptr<Engine> memory_ = MakeMemoryEngine(64 << 20);
  std::vector<Fetch> fetches_;
  std::set<const EngineChannel*> readable_;
};

}  // namespace fanwire::control
