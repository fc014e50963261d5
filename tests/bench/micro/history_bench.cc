// control/engine/channel_log: appending to a channel's history, and reading from it.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "common/check.h"
#include "control/engine/channel_log.h"

namespace fanwire::control {

namespace {

constexpr absl::Duration kNow = absl::Seconds(1);

// A publication with an envelope of some 700 bytes, as 512 bytes of data give.
PublicationPtr Make() {
  constexpr size_t kBytes = 700;
  PublicationPtr publication =
      Publication::Make({.event = "workflow.started",
                         .max_envelope_bytes = kBytes + Publication::kSealBytes,
                         .received_at = kNow});
  std::string envelope = "{\"data\":{}";
  envelope.append(kBytes - envelope.size() - 1, ' ');
  envelope += '}';
  envelope.copy(publication->buffer(), envelope.size());
  publication->SetEnvelope(envelope.size(), 8, 2);
  return publication;
}

EngineCallback NoCallback() { return {}; }

// Making a publication and appending it; the argument is how many are kept.
void BM_ChannelLogAppend(benchmark::State& state) {
  MemoryBudget budget(int64_t{1} << 30);
  ChannelLog log({.size = static_cast<uint32_t>(state.range(0)), .ttl = absl::Hours(1)}, &budget);
  for (auto _ : state) log.Append(Make(), kNow);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ChannelLogAppend)->Arg(0)->Arg(100)->Arg(1000);

// What BM_ChannelLogAppend does beside appending.
void BM_MakePublication(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Make());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_MakePublication);

// Reading the newest so many of 1,000.
void BM_ChannelLogRead(benchmark::State& state) {
  MemoryBudget budget(int64_t{1} << 30);
  ChannelLog log({.size = 1000, .ttl = absl::Hours(1)}, &budget);
  for (int i = 0; i < 1000; ++i) log.Append(Make(), kNow);
  const int64_t after = log.head().offset - state.range(0);
  std::vector<PublicationPtr> page;
  for (auto _ : state) {
    page.clear();
    const ReadOutcome outcome =
        log.ReadAfter(after, log.head().offset, 1 << 20, kNow, &page, NoCallback);
    FANWIRE_CHECK(outcome == ReadOutcome::kOk &&
                  page.size() == static_cast<size_t>(state.range(0)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ChannelLogRead)->Arg(1)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace fanwire::control
