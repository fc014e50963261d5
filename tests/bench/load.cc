// bench_load opens many subscribers at one server, publishes, and prints one JSON object of what
// was delivered, how fast, and what the server used for it.
//
//   bench_load --port 8690 --pid 4711 --connections 1000 --publish stream --server 127.0.0.1:8701
//     --service mahavishnu --channel bench --window 1 --seconds 3
//
// --window W: W publications are sent together, and the next W when every subscriber has all of
// them; with --ahead A up to A such windows are under way.  --rate R: R publications a second,
// whatever is delivered.  Neither: the connections stay idle for --seconds, and the server's CPU
// time is told apart for seconds with pings and without.
//
// --spin: while deliveries are outstanding the reader polls instead of sleeping.  A reader that
// sleeps makes the server pay a wake-up for many a send; whether it does is a matter of chance, and
// moves a server's cost by a third.
//
// --never-read N: the last N connections, with a receive buffer of --never-read-buffer, stop
// reading once they are open.  What they cost in the end is told: the kernel's memory of the
// server's side of them, and the growth of the server.
//
// --channels-total and --channels-each spread subscriptions and publications over many channels
// (channel_mix.h); --pattern subscribes every connection to all of them by one pattern.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/channel_mix.h"
#include "tests/bench/histogram.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/publisher.h"
#include "tests/bench/socket_memory.h"
#include "tests/bench/subscribers.h"

namespace fanwire::bench {
namespace {

// A reader that spins goes to sleep after so long without anything to read.
constexpr int64_t kSpinNs = 50'000'000;

struct Options {
  Target target;
  ConnectOptions connect;
  std::vector<int> pids;
  std::vector<int> control_pids;
  std::string publish;  // ws, http, nats, stream, unary
  Target publish_target;
  std::string server = "127.0.0.1:8701";
  std::string service = "mahavishnu";
  ChannelMix::Options mix;
  int window = 0;
  int ahead = 1;
  double rate = 0;
  double seconds = 3;
  double warmup_seconds = 0.5;
  size_t payload_bytes = 512;
  bool spin = false;
  bool announce = false;
};

std::unique_ptr<Publisher> MakePublisher(const Options& options, const ChannelMix& mix) {
  if (options.publish == "ws") return MakeWebSocketPublisher(options.publish_target);
  if (options.publish == "http") return MakeHttpPublisher(options.publish_target);
  if (options.publish == "nats")
    return MakeNatsPublisher(options.publish_target, options.mix.channel);
  if (options.publish == "stream") {
    return MakeStreamPublisher(options.server, options.service, &mix);
  }
  if (options.publish == "unary") {
    return MakeUnaryPublisher(options.server, options.service, &mix);
  }
  return nullptr;
}

// Awaits `wanted` deliveries in all; returns false, after telling so, if they do not come.
bool AwaitDeliveries(int64_t wanted, bool spin, Subscribers& subscribers) {
  const int64_t give_up = MonotonicNs() + 10'000'000'000;
  int64_t last_read = MonotonicNs();
  while (subscribers.deliveries() < wanted) {
    const bool spinning = spin && MonotonicNs() - last_read < kSpinNs;
    if (subscribers.Poll(spinning ? 0 : 100) > 0) {
      last_read = MonotonicNs();
    } else if (spinning) {
      sched_yield();  // who shares this core goes first: publishing is under way, too
    }
    if (MonotonicNs() > give_up) {
      std::fprintf(stderr, "bench_load: %lld deliveries are missing after 10 s\n",
                   static_cast<long long>(wanted - subscribers.deliveries()));
      return false;
    }
  }
  return true;
}

// Publishes for `seconds`; returns how many publications, or -1.
int64_t RunWindow(const Options& options, const ChannelMix& mix, double seconds, int64_t* seq,
                  Publisher& publisher, Subscribers& subscribers) {
  const int64_t end = MonotonicNs() + static_cast<int64_t>(seconds * 1e9);
  int64_t published = 0;
  int64_t wanted = subscribers.deliveries();
  std::deque<int64_t> under_way;  // deliveries in all, at the end of each window
  while (MonotonicNs() < end) {
    for (int i = 0; i < options.window; ++i) wanted += mix.SubscribersOf(*seq + i);
    if (!publisher.Publish(*seq, options.window, options.payload_bytes)) return -1;
    *seq += options.window;
    published += options.window;
    under_way.push_back(wanted);
    if (under_way.size() < static_cast<size_t>(options.ahead)) continue;
    if (!AwaitDeliveries(under_way.front(), options.spin, subscribers)) return -1;
    under_way.pop_front();
  }
  return AwaitDeliveries(wanted, options.spin, subscribers) ? published : -1;
}

int64_t RunRate(const Options& options, const ChannelMix& mix, double seconds, int64_t* seq,
                Publisher& publisher, Subscribers& subscribers) {
  const int64_t start = MonotonicNs();
  const int64_t end = start + static_cast<int64_t>(seconds * 1e9);
  int64_t published = 0;
  int64_t wanted = subscribers.deliveries();
  while (true) {
    const int64_t now = MonotonicNs();
    if (now >= end) break;
    const int64_t next =
        start + static_cast<int64_t>(1e9 * static_cast<double>(published) / options.rate);
    if (now >= next) {
      wanted += mix.SubscribersOf(*seq);
      if (!publisher.Publish((*seq)++, 1, options.payload_bytes)) return -1;
      ++published;
      subscribers.Poll(0);
    } else {
      subscribers.Poll(next - now > 1'000'000 ? 1 : 0);
    }
  }
  // What is under way counts too.
  const int64_t give_up = MonotonicNs() + 2'000'000'000;
  while (subscribers.deliveries() < wanted && MonotonicNs() < give_up) {
    subscribers.Poll(10);
  }
  return published;
}

// What the server did in seconds without pings, and in those with.
struct IdleUse {
  double quiet_seconds = 0;
  double quiet_cpu_seconds = 0;
  double other_cpu_seconds = 0;
  double other_seconds = 0;

  double quiet_percent() const {
    return quiet_seconds > 0 ? 100 * quiet_cpu_seconds / quiet_seconds : 0;
  }
  // Of all the time: what came on top of the quiet.
  double pings_percent() const {
    const double all = quiet_seconds + other_seconds;
    if (quiet_seconds <= 0 || all <= 0) return 0;
    return 100 * (quiet_cpu_seconds + other_cpu_seconds) / all - quiet_percent();
  }
};

int64_t RunIdle(const Options& options, double seconds, IdleUse* use, Subscribers& subscribers) {
  const int64_t end = MonotonicNs() + static_cast<int64_t>(seconds * 1e9);
  int64_t slice_start = MonotonicNs();
  double cpu_start = CpuSecondsOf(options.pids);
  int64_t pings_start = subscribers.received().pings;
  while (slice_start < end) {
    const int64_t slice_end = std::min(end, slice_start + 1'000'000'000);
    while (MonotonicNs() < slice_end) subscribers.Poll(100);
    const int64_t now = MonotonicNs();
    const double cpu = CpuSecondsOf(options.pids);
    const int64_t pings = subscribers.received().pings;
    const bool quiet = pings == pings_start;
    (quiet ? use->quiet_seconds : use->other_seconds) +=
        static_cast<double>(now - slice_start) * 1e-9;
    (quiet ? use->quiet_cpu_seconds : use->other_cpu_seconds) += cpu - cpu_start;
    slice_start = now;
    cpu_start = cpu;
    pings_start = pings;
  }
  return 0;
}

// What the kernel keeps on the server's side for those that never read, on average.
double KernelBytesOfNeverReading(const Options& options, const Subscribers& subscribers) {
  const std::map<Endpoint, int64_t> memory = SocketMemoryByPeer(options.target.port);
  double bytes = 0;
  for (const Endpoint& peer : subscribers.never_reading()) {
    const auto found = memory.find(peer);
    if (found != memory.end()) bytes += static_cast<double>(found->second);
  }
  return bytes / options.connect.never_read;
}

double Ms(int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }

int Run(Options options) {
  const ChannelMix mix(options.mix, options.connect.connections - options.connect.never_read);
  if (mix.many()) options.connect.mix = &mix;
  const ProcessUse before_connect = UseOf(options.pids);
  const ProcessUse control_before_connect = UseOf(options.control_pids);
  Subscribers subscribers;
  const int64_t connect_start = MonotonicNs();
  if (const std::string error = subscribers.Connect(options.target, options.connect);
      !error.empty()) {
    std::fprintf(stderr, "bench_load: %s\n", error.c_str());
    return 1;
  }
  const double connect_seconds = static_cast<double>(MonotonicNs() - connect_start) * 1e-9;
  const ProcessUse after_connect = UseOf(options.pids);
  const ProcessUse control_after_connect = UseOf(options.control_pids);

  const std::unique_ptr<Publisher> publisher = MakePublisher(options, mix);
  IdleUse idle;
  int64_t seq = 1;
  const auto run = [&](double seconds) -> int64_t {
    if (publisher == nullptr) return RunIdle(options, seconds, &idle, subscribers);
    if (options.window > 0) return RunWindow(options, mix, seconds, &seq, *publisher, subscribers);
    return RunRate(options, mix, seconds, &seq, *publisher, subscribers);
  };
  if (run(options.warmup_seconds) < 0) return 1;
  if (options.announce) std::fprintf(stderr, "measuring\n");

  subscribers.StartMeasuring();
  idle = {};
  const ProcessUse before = UseOf(options.pids);
  const ProcessUse control_before = UseOf(options.control_pids);
  const ProcessUse self_before = UseOf({getpid()});
  const int64_t start = MonotonicNs();
  const int64_t published = run(options.seconds);
  if (published < 0) return 1;
  const double elapsed = static_cast<double>(MonotonicNs() - start) * 1e-9;
  const ProcessUse after = UseOf(options.pids);
  const double control_cpu = UseOf(options.control_pids).cpu_seconds - control_before.cpu_seconds;
  const double self_cpu = UseOf({getpid()}).cpu_seconds - self_before.cpu_seconds;

  const Received received = subscribers.received();
  if (published > 0 && received.deliveries == 0) {
    std::fprintf(stderr,
                 "bench_load: nothing of %lld publications was delivered; %lld of %d "
                 "connections were closed\n",
                 static_cast<long long>(published), static_cast<long long>(received.closed),
                 options.connect.connections);
    return 1;
  }
  const double cpu = after.cpu_seconds - before.cpu_seconds;
  const auto deliveries = static_cast<double>(received.deliveries);
  const double connections = options.connect.connections;
  const Histogram& latency = subscribers.latency();
  std::string json = "{";
  const auto add = [&](absl::string_view key, double value) {
    absl::StrAppendFormat(&json, "%s\"%s\":%.6g", json.size() > 1 ? "," : "", key, value);
  };
  add("connections", connections);
  add("publications", static_cast<double>(published));
  add("deliveries", deliveries);
  add("seconds", elapsed);
  add("deliveries_per_second", deliveries / elapsed);
  add("deliveries_per_second_and_connection", deliveries / elapsed / connections);
  add("cpu_seconds", cpu);
  const double user = after.user_seconds - before.user_seconds;
  const double ticks = user + after.system_seconds - before.system_seconds;
  add("user_seconds", user);
  add("user_percent", ticks > 0 ? 100 * user / ticks : 0);
  add("deliveries_per_core", cpu > 0 ? deliveries / cpu : 0);
  const auto per_delivery = [&](double seconds) {
    return deliveries > 0 ? seconds * 1e9 / deliveries : 0;
  };
  add("wire_bytes_per_delivery",
      deliveries > 0 ? static_cast<double>(received.bytes) / deliveries : 0);
  add("ns_per_delivery", per_delivery(cpu));
  add("control_ns_per_delivery", per_delivery(control_cpu));
  add("generator_ns_per_delivery", per_delivery(self_cpu));
  add("cpu_percent", 100 * cpu / elapsed);
  if (publisher == nullptr) {
    add("pings", static_cast<double>(received.pings));
    add("quiet_cpu_percent", idle.quiet_percent());
    add("pings_cpu_percent", idle.pings_percent());
  }
  add("p50_ms", Ms(latency.Quantile(0.5)));
  add("p99_ms", Ms(latency.Quantile(0.99)));
  add("p999_ms", Ms(latency.Quantile(0.999)));
  add("max_ms", Ms(subscribers.max_latency_ns()));
  add("gaps", static_cast<double>(received.gaps));
  add("duplicates", static_cast<double>(received.duplicates));
  add("closed", static_cast<double>(received.closed));
  add("other_frames", static_cast<double>(received.other));
  add("min_per_connection", static_cast<double>(received.min_per_connection));
  add("max_per_connection", static_cast<double>(received.max_per_connection));
  add("setup_p50_ms", Ms(subscribers.setup().Quantile(0.5)));
  add("setup_p99_ms", Ms(subscribers.setup().Quantile(0.99)));
  add("connects_per_second", connections / connect_seconds);
  add("handshake_cpu_us",
      (after_connect.cpu_seconds - before_connect.cpu_seconds) * 1e6 / connections);
  add("memory_bytes_per_connection",
      static_cast<double>(after_connect.pss_bytes - before_connect.pss_bytes) / connections);
  const auto subscriptions = static_cast<double>(mix.subscriptions());
  add("memory_bytes_per_subscription",
      static_cast<double>(after_connect.pss_bytes - before_connect.pss_bytes) / subscriptions);
  add("control_memory_bytes_per_channel",
      static_cast<double>(control_after_connect.pss_bytes - control_before_connect.pss_bytes) /
          static_cast<double>(mix.channels()));
  add("subscriptions", subscriptions);
  add("subscribes_per_second", subscriptions / connect_seconds);
  add("memory_bytes_end", static_cast<double>(after.pss_bytes));
  const auto growth = static_cast<double>(after.pss_bytes - after_connect.pss_bytes);
  add("memory_growth_bytes", growth);
  if (options.connect.never_read > 0) {
    const double kernel = KernelBytesOfNeverReading(options, subscribers);
    add("never_read_kernel_bytes", kernel);
    add("never_read_memory_bytes", kernel + growth / options.connect.never_read);
  }
  PrintAndExit(json + "}");
}

}  // namespace
}  // namespace fanwire::bench

int main(int argc, char** argv) {
  fanwire::bench::Options options;
  CLI::App app{"Opens many WebSocket subscribers, publishes, and prints what was delivered"};
  app.add_option("--host", options.target.host, "server's address")->capture_default_str();
  app.add_option("--port", options.target.port, "server's WebSocket port")->required();
  app.add_option("--path", options.target.path, "request path")->capture_default_str();
  app.add_option("--pid", options.pids, "server's process; may be given again");
  app.add_option("--control-pid", options.control_pids, "Fanwire's control");
  app.add_option("--connections", options.connect.connections, "subscribers")->required();
  app.add_option("--in-flight", options.connect.in_flight, "handshakes at once");
  app.add_option("--never-read", options.connect.never_read, "so many of them stop reading");
  app.add_option("--never-read-buffer", options.connect.never_read_buffer_bytes,
                 "SO_RCVBUF of those, bytes");
  app.add_option("--subscribe", options.connect.subscribe, "text message after the handshake");
  app.add_option("--frames-before-ready", options.connect.frames_before_ready,
                 "frames to await before a connection counts");
  app.add_flag("--many-per-frame", options.connect.many_per_frame,
               "frames may hold several publications");
  app.add_option("--publish", options.publish, "ws, http, nats, stream or unary; none: stay idle");
  app.add_option("--publish-port", options.publish_target.port, "for ws, http and nats");
  app.add_option("--publish-path", options.publish_target.path, "for ws and http");
  app.add_option("--server", options.server, "gRPC address, for stream and unary");
  app.add_option("--service", options.service, "for stream and unary");
  app.add_option("--channel", options.mix.channel, "for stream, unary and nats");
  app.add_option("--channels-total", options.mix.total, "channels; 0: only --channel")
      ->check(CLI::Range(0, 1000000));
  app.add_option("--channels-each", options.mix.each, "channels of a connection")
      ->check(CLI::Range(1, 10000));
  app.add_flag("--pattern", options.mix.pattern, "one subscription to all channels each");
  app.add_option("--window", options.window, "publications in flight");
  app.add_option("--ahead", options.ahead, "windows under way at once");
  app.add_option("--rate", options.rate, "publications per second");
  app.add_option("--seconds", options.seconds, "how long to measure");
  app.add_option("--warmup", options.warmup_seconds, "seconds before that");
  app.add_option("--payload", options.payload_bytes, "bytes of a publication's data");
  app.add_flag("--spin", options.spin, "poll, not sleep, while deliveries are outstanding");
  app.add_flag("--announce", options.announce, "prints \"measuring\" to stderr when it begins");
  CLI11_PARSE(app, argc, argv);
  if (options.mix.total > 0 &&
      (options.mix.each > options.mix.total || options.connect.never_read > 0)) {
    std::fprintf(stderr,
                 "bench_load: --channels-total goes with at most as many --channels-each"
                 " and without --never-read\n");
    return 2;
  }
  if (!options.publish.empty() && options.window <= 0 && options.rate <= 0) {
    std::fprintf(stderr, "bench_load: --publish needs --window or --rate\n");
    return 2;
  }
  return fanwire::bench::Run(options);
}
