// control/links/worker_link: publications queued for one worker and sent in batches, over a
// transport that writes nowhere and acknowledges at once.

#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/clock.h"
#include "control/links/worker_link.h"

namespace fanwire::control {

namespace {

// More than was sent counts as all that was sent.
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

class NullOwner final : public LinkOwner {
 public:
  void OnRoom(const std::shared_ptr<WorkerLink>&) override {}
  void OnExpired(WorkerLink*, uint64_t) override {}
};

PublicationPtr MakePublication(Epoch epoch, int64_t offset) {
  constexpr size_t kBytes = 512;
  PublicationPtr publication =
      Publication::Make({.event = "bench.event", .max_envelope_bytes = kBytes});
  const size_t before = kBytes - Publication::kSealBytes;
  std::memset(publication->buffer(), 'x', before);
  publication->SetEnvelope(before, 0, 0);
  publication->Seal(epoch, offset);
  return publication;
}

// `events` publications, round robin over `lanes` services, are queued; then all are sent.
void BM_WorkerLinkDeliver(benchmark::State& state) {
  const int64_t lanes = state.range(0);
  const int64_t events = state.range(1);
  NullTransport transport;
  NullOwner owner;
  const auto link =
      std::make_shared<WorkerLink>(1, WorkerLink::Options(), Clock::Real(), &transport, &owner);
  const Epoch epoch = Epoch::Random();
  std::vector<LinkHandle> handles;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    handles.push_back(link->Introduce(
        {.service = "bench", .channel = "x", .lane = static_cast<uint32_t>(lane), .epoch = epoch}));
  }
  std::vector<PublicationPtr> publications;
  for (int64_t i = 0; i < events; ++i) publications.push_back(MakePublication(epoch, i + 1));
  for (auto _ : state) {
    for (size_t i = 0; i < publications.size(); ++i) {
      link->Deliver(handles[i % handles.size()], publications[i], /*repair=*/false);
    }
    link->Flush();
    while (transport.writing) {
      transport.writing = false;
      link->OnWriteDone(true);
      link->OnAck(kAll, kAll);
    }
  }
  FANWIRE_CHECK(link->stats().sent_items >= static_cast<int64_t>(state.iterations()) * events);
  link->Close(absl::OkStatus());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * events);
}
BENCHMARK(BM_WorkerLinkDeliver)
    ->ArgNames({"lanes", "events"})
    ->Args({1, 1})
    ->Args({1, 256})
    ->Args({1, 4096})
    ->Args({4, 4096});

}  // namespace
}  // namespace fanwire::control
