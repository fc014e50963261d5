// control/routing/router: a publication from the checked call to history and to the batches of the
// workers with interest, over a transport that writes nowhere and acknowledges at once.

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/engine/memory_engine.h"
#include "control/links/worker_link.h"
#include "fanwire/v1/worker.pb.h"
#include "tests/testing/routing.h"

namespace fanwire::control {

namespace {

// Bytes and items are not looked at: the link takes no more than what it has sent.
constexpr uint64_t kAll = UINT64_MAX;

class NullTransport final : public LinkTransport {
 public:
  void Write(LinkMessage message) override {
    benchmark::DoNotOptimize(&message);
    writing = true;
  }
  void Finish(const absl::Status&) override {}

  bool writing = false;
};

class NullSink final : public ReceiptSink {
 public:
  void OnReceipt(uint64_t, const PublishOutcome& outcome) override {
    FANWIRE_CHECK(outcome.status.ok());
    ++receipts;
  }

  int64_t receipts = 0;
};

struct Attached {
  NullTransport transport;
  std::shared_ptr<WorkerLink> link;
};

class RouterBench {
 public:
  RouterBench(int64_t links, int64_t channels) : timers_(Clock::Real()) {
    const LoadedConfig loaded =
        LoadConfig("services:\n- name: bench\n  port: 8690\n", "bench.yaml", {});
    FANWIRE_CHECK(loaded.ok());
    routing_ = std::make_unique<Routing>(Router::Options(), engine_.get(), Clock::Real(), &timers_,
                                         ServiceTable::Make(*loaded.config));
    for (int64_t i = 0; i < channels; ++i) channels_.push_back(absl::StrCat("bench:", i));
    for (int64_t i = 0; i < links; ++i) {
      auto attached = std::make_unique<Attached>();
      attached->link = std::make_shared<WorkerLink>(
          static_cast<uint64_t>(i + 1), WorkerLink::Options(), Clock::Real(), &attached->transport,
          routing_->subscriptions.get());
      routing_->subscriptions->BeginSnapshot(attached->link);
      for (const std::string& channel : channels_) {
        routing_->subscriptions->AddInterest(attached->link,
                                             {.service = "bench", .channel = channel});
      }
      routing_->subscriptions->EndSnapshot(attached->link);
      links_.push_back(std::move(attached));
    }
    Settle();
  }

  ~RouterBench() {
    for (const auto& attached : links_) {
      routing_->subscriptions->ClearInterest(attached->link);
      attached->link->Close(absl::OkStatus());
    }
  }

  // Publishes so many events, round robin over the channels, as one caller's.
  void Publish(int64_t events) {
    {
      const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
      for (int64_t i = 0; i < events; ++i) PublishNext(run.get());
    }
    Settle();
  }

  // The first link wants so many patterns, of which none matches a channel.
  enum class Patterns { kOtherKinds, kSameKind, kSameKindThenWildcard };
  void WantPatterns(int64_t count, Patterns patterns) {
    patterns_ = patterns;
    for (last_pattern_ = 0; last_pattern_ < count; ++last_pattern_) ChangePattern(last_pattern_);
  }
  // Publishes so many events; before each of them one pattern goes and another one comes.
  void PublishAmongChanges(int64_t events) {
    {
      const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
      for (int64_t i = 0; i < events; ++i) {
        ReplacePattern();
        PublishNext(run.get());
      }
    }
    Settle();
  }
  // The same changes without events.
  void ReplacePatterns(int64_t count) {
    for (int64_t i = 0; i < count; ++i) ReplacePattern();
    Settle();
  }

  int64_t sent() const {
    int64_t sent = 0;
    for (const auto& attached : links_) sent += attached->link->stats().sent_items;
    return sent;
  }

 private:
  void PublishNext(PublishRun* run) {
    Event event;
    event.service = "bench";
    event.channel = channels_[next_++ % channels_.size()];
    event.event = "bench.event";
    event.json = data_;
    run->Publish(event, {.level = ReceiptLevel::kAccepted}, &sink_, 0);
  }

  void ChangePattern(int64_t number, bool add = true) {
    std::string pattern;
    switch (patterns_) {
      case Patterns::kOtherKinds:
        pattern = absl::StrCat("kind-", number % 100, ":", number, ":*");
        break;
      case Patterns::kSameKind:
        pattern = absl::StrCat("bench:user-", number, ":*");
        break;
      case Patterns::kSameKindThenWildcard:
        pattern = absl::StrCat("bench:*:", number);
        break;
    }
    const InterestView interest{.service = "bench", .channel = pattern, .pattern = true};
    if (add) {
      routing_->subscriptions->AddInterest(links_.front()->link, interest);
    } else {
      routing_->subscriptions->RemoveInterest(links_.front()->link, interest);
    }
  }
  void ReplacePattern() {
    ChangePattern(first_pattern_++, /*add=*/false);
    ChangePattern(last_pattern_++);
  }

  // Ends the writes that were started until there is none.
  void Settle() {
    for (const auto& attached : links_) {
      while (attached->transport.writing) {
        attached->transport.writing = false;
        attached->link->OnWriteDone(true);
        attached->link->OnAck(kAll, kAll);
      }
    }
  }

  const std::string data_ = "{\"text\":\"" + std::string(501, 'x') + "\"}";  // 512 bytes
  const std::unique_ptr<Engine> engine_ = MakeMemoryEngine(256 << 20);
  TimerQueue timers_;
  std::unique_ptr<Routing> routing_;
  std::vector<std::string> channels_;
  std::vector<std::unique_ptr<Attached>> links_;
  NullSink sink_;
  size_t next_ = 0;
  Patterns patterns_ = Patterns::kOtherKinds;
  int64_t first_pattern_ = 0;  // those from here to the last are wanted
  int64_t last_pattern_ = 0;
};

void BM_RouterPublish(benchmark::State& state) {
  const int64_t links = state.range(0);
  const int64_t channels = state.range(1);
  const int64_t events = state.range(2);
  RouterBench bench(links, channels);
  bench.Publish(channels);  // their state is there
  const int64_t sent = bench.sent();
  for (auto _ : state) bench.Publish(events);
  FANWIRE_CHECK(links == 0 || bench.sent() - sent >= links * events);
  state.SetItemsProcessed(state.iterations() * events);
}
BENCHMARK(BM_RouterPublish)
    ->ArgNames({"links", "channels", "events"})
    ->Args({0, 1, 1})
    ->Args({1, 1, 1})
    ->Args({0, 1, 256})
    ->Args({1, 1, 256})
    ->Args({4, 1, 256})
    ->Args({0, 10000, 256})
    ->Args({1, 10000, 256});

// Publishing to a worker that wants very many patterns.  `place` is RouterBench::Patterns.  With
// `changes` 1 a pattern goes and another one comes before each event; what that costs publishing is
// the difference to BM_PatternChanges.
void BM_RouterPublishAmongPatterns(benchmark::State& state) {
  constexpr int64_t kEvents = 256;
  RouterBench bench(/*links=*/1, /*channels=*/100);
  bench.WantPatterns(state.range(0), static_cast<RouterBench::Patterns>(state.range(1)));
  bench.Publish(100);  // the channels' states are there
  for (auto _ : state) {
    if (state.range(2) == 0) {
      bench.Publish(kEvents);
    } else {
      bench.PublishAmongChanges(kEvents);
    }
  }
  state.SetItemsProcessed(state.iterations() * kEvents);
}
BENCHMARK(BM_RouterPublishAmongPatterns)
    ->ArgNames({"patterns", "place", "changes"})
    ->Args({1, 0, 1})
    ->Args({10000, 0, 0})
    ->Args({10000, 0, 1})
    ->Args({10000, 1, 0})
    ->Args({10000, 1, 1})
    ->Args({10000, 2, 1});

void BM_PatternChanges(benchmark::State& state) {
  constexpr int64_t kChanges = 256;
  RouterBench bench(/*links=*/1, /*channels=*/100);
  bench.WantPatterns(state.range(0), static_cast<RouterBench::Patterns>(state.range(1)));
  for (auto _ : state) bench.ReplacePatterns(kChanges);
  state.SetItemsProcessed(state.iterations() * kChanges);
}
BENCHMARK(BM_PatternChanges)
    ->ArgNames({"patterns", "place"})
    ->Args({1, 0})
    ->Args({10000, 0})
    ->Args({10000, 1})
    ->Args({10000, 2});

}  // namespace
}  // namespace fanwire::control
