// fanout/client_message and fanout/reply: reading what clients say, writing what they are answered.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "fanout/client_message.h"
#include "fanout/reply.h"

namespace fanwire::fanout {

namespace {

constexpr char kPing[] = R"({"type":"request","id":"7","event":"ping","data":{}})";
const absl::Time kTime = absl::FromUnixSeconds(1'770'000'000);

std::string Subscribe(int64_t channels) {
  std::string text = R"({"id":"5f4d","type":"request","event":"subscribe","data":{)";
  if (channels == 1) return text + R"("channel":"workflow:wf_1"}})";
  for (int64_t i = 0; i < channels; ++i) {
    absl::StrAppend(&text, i == 0 ? "\"channels\":[" : ",", "\"workflow:wf_", i, "\"");
  }
  return text + "]}}";
}

void BM_ParsePing(benchmark::State& state) {
  for (auto _ : state) {
    const auto message = ParseClientMessage(kPing, false);
    FANWIRE_CHECK(message.ok());
    benchmark::DoNotOptimize(message);
  }
}
BENCHMARK(BM_ParsePing);

void BM_ParseSubscribe(benchmark::State& state) {
  const std::string text = Subscribe(state.range(0));
  for (auto _ : state) {
    const auto message = ParseClientMessage(text, false);
    FANWIRE_CHECK(message.ok());
    benchmark::DoNotOptimize(message);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ParseSubscribe)->Arg(1)->Arg(100)->Arg(1000);

void BM_PongText(benchmark::State& state) {
  const auto ping = ParseClientMessage(kPing, false);
  FANWIRE_CHECK(ping.ok());
  for (auto _ : state) {
    benchmark::DoNotOptimize(PongText(ContextOf(*ping, CorrelationMode::kAuto), kTime));
  }
}
BENCHMARK(BM_PongText);

void BM_ConfirmationText(benchmark::State& state) {
  const auto message = ParseClientMessage(Subscribe(state.range(0)), false);
  FANWIRE_CHECK(message.ok());
  std::vector<Confirmation> confirmations;
  for (const ChannelRequest& request : message->channels) {
    Confirmation& confirmation = confirmations.emplace_back();
    confirmation.channel = request.channel;
    confirmation.has_position = true;
    confirmation.epoch = "9f86d081884c7d65";
    confirmation.offset = 41;
  }
  const ReplyContext context = ContextOf(*message, CorrelationMode::kAuto);
  for (auto _ : state) {
    benchmark::DoNotOptimize(ConfirmationText(context, true, message->many, confirmations, kTime));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_ConfirmationText)->Arg(1)->Arg(100)->Arg(1000);

void BM_WelcomeText(benchmark::State& state) {
  WelcomeFacts facts;
  facts.connection_id = "0b4f7c1e-9b1c-4f7e-8a51-0e3c8f6b2d10";
  facts.server = "mahavishnu";
  facts.message = "Connected to mahavishnu";
  facts.rate_limit = 100;
  facts.burst = 150;
  facts.max_message_bytes = 1 << 20;
  facts.max_channels = 1000;
  for (auto _ : state) benchmark::DoNotOptimize(WelcomeText(facts, kTime));
}
BENCHMARK(BM_WelcomeText);

}  // namespace
}  // namespace fanwire::fanout
