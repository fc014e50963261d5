// bench_publish publishes to Fanwire's control as fast as it accepts, and prints one JSON object:
// accepted events per second, how long receipts took, and what control used for it.
//
//   bench_publish --server 127.0.0.1:8701 --service mahavishnu --kind stream --channels 1000
//     --pid 4711 --memory --seconds 2
//
// --memory first measures, on a control that was just started, what a channel and what an entry of
// history takes: the growth of its proportional share of resident memory (smaps_rollup) while each
// channel gets an event without history, and then while up to --fill events are kept.
//
// --fill-history N: publishes N events to each channel first, so that rings of history of that size
// are full, and an append takes the place of the oldest entry: the steady state.  Without it what
// is measured is the filling phase, in which each append takes fresh memory.
//
// --port adds workers' interest: --sessions subscribe, each to all channels by a pattern, with a
// filter that no event passes.  So a worker gets every publication from control and sends none.
// With --session-channels M each session subscribes to M channels of its own by name instead, and
// those published to are spread evenly over all of them.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "tests/bench/channel_mix.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/publish_load.h"
#include "tests/bench/subscribers.h"

namespace fanwire::bench {
namespace {

constexpr char kPrefix[] = "publish:";

struct Options {
  PublishLoadOptions load;
  std::string service = "mahavishnu";
  int64_t channels = 1000;
  int64_t fill = 100000;
  int64_t fill_history = 0;
  size_t payload_bytes = 512;
  double seconds = 2;
  double warmup_seconds = 0.3;
  int port = 0;
  int64_t sessions = 1;
  int64_t session_channels = 0;
  bool memory = false;
  std::vector<int> pids;
  std::vector<int> worker_pids;
};

// Publishes so many events as fast as it goes; returns false, after telling why, if it fails.
bool PublishAll(const Options& options, EventSource* source, int64_t events) {
  PublishTally tally;
  source->Limit(events);
  MakePublishLoad(options.load, source, &tally)->Wait();
  const PublishTally::Counts counts = tally.counts();
  if (counts.accepted == events) return true;
  std::fprintf(stderr, "bench_publish: %lld of %lld events were accepted; %s\n",
               static_cast<long long>(counts.accepted), static_cast<long long>(events),
               counts.error.c_str());
  return false;
}

struct Memory {
  double bytes_per_channel = 0;
  double bytes_per_entry = 0;
};

bool MeasureMemory(const Options& options, Memory* memory) {
  // What serving this load takes at all is in place before the first look.
  EventSource warm(options.service, "warm:", 1, options.payload_bytes);
  warm.set_skip_history(true);
  if (!PublishAll(options, &warm, 2000)) return false;

  EventSource source(options.service, kPrefix, options.channels, options.payload_bytes);
  source.set_skip_history(true);
  const int64_t empty = UseOf(options.pids).pss_bytes;
  if (!PublishAll(options, &source, options.channels)) return false;
  const int64_t with_channels = UseOf(options.pids).pss_bytes;
  // Under the default history_size, so that each of them is kept.
  const int64_t entries = std::min(options.fill, options.channels * 900);
  source.set_skip_history(false);
  if (!PublishAll(options, &source, entries)) return false;
  const int64_t with_history = UseOf(options.pids).pss_bytes;
  memory->bytes_per_channel =
      static_cast<double>(with_channels - empty) / static_cast<double>(options.channels);
  memory->bytes_per_entry =
      static_cast<double>(with_history - with_channels) / static_cast<double>(entries);
  return true;
}

int Run(const Options& options) {
  Memory memory;
  if (options.memory && !MeasureMemory(options, &memory)) return 1;

  const bool by_name = options.session_channels > 0;
  const int64_t total = by_name ? options.sessions * options.session_channels : options.channels;
  const ChannelMix mix({.channel = "publish",
                        .total = total,
                        .each = by_name ? options.session_channels : 1,
                        .pattern = !by_name,
                        .events = "bench.none"},
                       options.sessions);
  EventSource source(options.service, kPrefix, options.channels, options.payload_bytes,
                     total / options.channels);
  // Before anybody listens: nobody reads meanwhile.
  if (options.fill_history > 0) {
    if (!PublishAll(options, &source, options.channels * options.fill_history)) return 1;
    source.Unlimit();
  }

  Subscribers subscribers;
  if (options.port > 0) {
    const std::string error =
        subscribers.Connect({.host = "127.0.0.1", .port = options.port, .path = "/"},
                            {.connections = static_cast<int>(options.sessions),
                             .subscribe = mix.SubscribeText(0),
                             .mix = by_name ? &mix : nullptr,
                             .frames_before_ready = 2,
                             .timeout_seconds = 120});
    if (!error.empty()) {
      std::fprintf(stderr, "bench_publish: %s\n", error.c_str());
      return 1;
    }
  }

  PublishTally tally;
  const std::unique_ptr<PublishLoad> load = MakePublishLoad(options.load, &source, &tally);
  const auto wait = [&](double seconds) {
    const int64_t end = MonotonicNs() + static_cast<int64_t>(seconds * 1e9);
    while (MonotonicNs() < end) subscribers.Poll(10);
  };
  wait(options.warmup_seconds);
  const int64_t start = MonotonicNs();
  tally.StartMeasuring();
  const ProcessUse control_before = UseOf(options.pids);
  const ProcessUse worker_before = UseOf(options.worker_pids);
  const ProcessUse self_before = UseOf({getpid()});
  wait(options.seconds);
  const PublishTally::Counts counts = tally.counts();
  const double elapsed = static_cast<double>(MonotonicNs() - start) * 1e-9;
  const ProcessUse control = UseOf(options.pids);
  const ProcessUse worker = UseOf(options.worker_pids);
  const ProcessUse self = UseOf({getpid()});
  source.Stop();
  load->Wait();
  if (counts.refused > 0) {
    std::fprintf(stderr, "bench_publish: %lld were refused: %s\n",
                 static_cast<long long>(counts.refused), counts.error.c_str());
    return 1;
  }

  if (const int64_t closed = subscribers.received().closed; closed > 0) {
    std::fprintf(stderr, "bench_publish: %lld sessions were closed\n",
                 static_cast<long long>(closed));
    return 1;
  }

  const auto accepted = static_cast<double>(counts.accepted);
  const double cpu = control.cpu_seconds - control_before.cpu_seconds;
  std::string json = "{";
  const auto add = [&](const char* key, double value) {
    absl::StrAppendFormat(&json, "%s\"%s\":%.6g", json.size() > 1 ? "," : "", key, value);
  };
  add("channels", static_cast<double>(options.channels));
  add("accepted", accepted);
  add("seconds", elapsed);
  add("accepted_per_second", accepted / elapsed);
  add("accepted_per_core", cpu > 0 ? accepted / cpu : 0);
  add("cpu_us_per_event", accepted > 0 ? cpu * 1e6 / accepted : 0);
  const double worker_cpu = worker.cpu_seconds - worker_before.cpu_seconds;
  add("worker_cpu_us_per_event", accepted > 0 ? worker_cpu * 1e6 / accepted : 0);
  add("subscriptions", options.port > 0 ? static_cast<double>(mix.subscriptions()) : 0);
  add("control_cpu_percent", 100 * cpu / elapsed);
  add("worker_cpu_percent", 100 * worker_cpu / elapsed);
  add("generator_cpu_percent", 100 * (self.cpu_seconds - self_before.cpu_seconds) / elapsed);
  add("p50_ms", tally.QuantileMs(0.5));
  add("p99_ms", tally.QuantileMs(0.99));
  add("p999_ms", tally.QuantileMs(0.999));
  add("memory_bytes_end", static_cast<double>(control.pss_bytes));
  if (options.memory) {
    add("memory_bytes_per_channel", memory.bytes_per_channel);
    add("memory_bytes_per_entry", memory.bytes_per_entry);
  }
  PrintAndExit(json + "}");
}

}  // namespace
}  // namespace fanwire::bench

int main(int argc, char** argv) {
  using fanwire::bench::PublishKind;
  fanwire::bench::Options options;
  CLI::App app{"Publishes as fast as control accepts, and prints what that cost"};
  app.add_option("--server", options.load.server, "control's gRPC address")->required();
  app.add_option("--service", options.service, "declared service")->capture_default_str();
  app.add_option("--kind", options.load.kind, "unary, batch, stream or library")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, PublishKind>{{"unary", PublishKind::kUnary},
                                             {"batch", PublishKind::kBatch},
                                             {"stream", PublishKind::kStream},
                                             {"library", PublishKind::kLibrary}}));
  app.add_option("--in-flight", options.load.in_flight, "calls, or messages of each stream")
      ->check(CLI::Range(1, 10000));
  app.add_option("--batch", options.load.batch, "events of a batch or a stream's message")
      ->check(CLI::Range(1, 10000));
  app.add_option("--streams", options.load.streams, "streams at once")->check(CLI::Range(1, 64));
  app.add_option("--level", options.load.level, "receipts: 1 accepted, 2 routed, 3 written")
      ->check(CLI::Range(1, 3));
  app.add_option("--channels", options.channels, "published to round robin")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--payload", options.payload_bytes, "bytes of an event's data");
  app.add_option("--seconds", options.seconds, "how long to measure");
  app.add_option("--warmup", options.warmup_seconds, "seconds before that");
  app.add_flag("--memory", options.memory, "measure memory first; control must be fresh");
  app.add_option("--fill", options.fill, "most events kept for --memory");
  app.add_option("--fill-history", options.fill_history,
                 "events to each channel before it is measured");
  app.add_option("--port", options.port, "worker's port: adds its interest in all channels");
  app.add_option("--sessions", options.sessions, "sessions that subscribe")
      ->check(CLI::Range(1, 10000));
  app.add_option("--session-channels", options.session_channels,
                 "channels of its own that each subscribes to; 0: all by a pattern")
      ->check(CLI::Range(0, 10000));
  app.add_option("--pid", options.pids, "control's process");
  app.add_option("--worker-pid", options.worker_pids, "a worker's process; may be given again");
  CLI11_PARSE(app, argc, argv);
  if (options.session_channels > 0 &&
      options.channels > options.sessions * options.session_channels) {
    std::fprintf(stderr, "bench_publish: more --channels than are subscribed to\n");
    return 2;
  }
  return fanwire::bench::Run(options);
}
