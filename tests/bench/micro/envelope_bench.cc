// control/events/envelope: checking a publisher's data, and writing the envelope that clients get.

#include <benchmark/benchmark.h>

#include <string>

#include "common/check.h"
#include "control/events/envelope.h"
#include "control/events/json_document.h"
#include "control/events/publication.h"

namespace fanwire::control {

namespace {

// An object of so many bytes, with nesting, numbers and escapes as events have them.
std::string Data(size_t bytes) {
  std::string data =
      R"({"workflow_id":"wf_1","stage":3,"progress":0.25,"ok":true,"tags":["a","b\n"],"text":")";
  if (data.size() + 2 < bytes) data.append(bytes - data.size() - 2, 'x');
  return data + "\"}";
}

void BM_EventDataParse(benchmark::State& state) {
  const std::string data = Data(static_cast<size_t>(state.range(0)));
  JsonDocument document;
  for (auto _ : state) FANWIRE_CHECK(document.Parse(data).ok());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(data.size()));
}
BENCHMARK(BM_EventDataParse)->Arg(128)->Arg(512)->Arg(4096)->Arg(65536);

void BM_WriteEnvelope(benchmark::State& state) {
  const std::string data = Data(static_cast<size_t>(state.range(0)));
  const EnvelopeParts parts{.id = "0b4f7c1e-9b1c-4f7e-8a51-0e3c8f6b2d10",
                            .event = "workflow.started",
                            .data = data,
                            .timestamp = "2026-02-10T20:00:00.123456+00:00",
                            .room = "workflow:wf_1"};
  const Epoch epoch = Epoch::Random();
  for (auto _ : state) {
    const PublicationPtr publication = Publication::Make(
        {.event = parts.event, .max_envelope_bytes = MaxEnvelopeBytes(parts), .received_at = {}});
    WriteEnvelope(parts, publication.get());
    publication->Seal(epoch, 42);
    benchmark::DoNotOptimize(publication->envelope().data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_WriteEnvelope)->Arg(128)->Arg(512)->Arg(4096)->Arg(65536);

}  // namespace
}  // namespace fanwire::control
