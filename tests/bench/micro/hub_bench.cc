// fanout/hub: from a publication's arrival to the last subscriber's send(), over real connections
// and sessions.  The other ends are Unix sockets of this process, read between the measured turns,
// so a send costs a system call and a copy, but no TCP.

#include <benchmark/benchmark.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/clock.h"
#include "fanout/hub.h"
#include "fanout/net/connection_group.h"
#include "fanout/net/event_loop.h"
#include "fanout/service.h"
#include "fanout/service_settings.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

constexpr char kUpgrade[] =
    "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
constexpr char kSubscribe[] =
    R"({"type":"request","id":"1","event":"subscribe","data":{"channel":"bench"}})";

// Grants every subscribe on the loop's next turn.
class GrantingUpstream final : public Upstream {
 public:
  explicit GrantingUpstream(EventLoop* loop) : loop_(loop) {}

  void Want(Channel*) override {}
  void Unwant(Channel*) override {}
  void Want(PatternTable*) override {}
  void Unwant(PatternTable*) override {}
  uint64_t Ask(Session* session, const SubscribeAsk&) override {
    const uint64_t ask = ++asks_;
    loop_->Post([session, ask] {
      SubscribeReply reply;
      reply.epoch = "9f86d081884c7d65";
      session->OnSubscribeReply(ask, std::move(reply));
    });
    return ask;
  }
  uint64_t Request(Session*, const RequestAsk&) override { return ++asks_; }
  void Forget(uint64_t) override {}
  void WaitForSlot(Session*) override {}
  void StopWaiting(Session*) override {}
  void SlotsChanged(Service*) override {}

 private:
  EventLoop* const loop_;
  uint64_t asks_ = 0;
};

std::shared_ptr<const ServiceSettings> Settings() {
  v1::WorkerService service;
  service.set_name("bench");
  service.set_server_name("bench");
  v1::LimitsConfig& limits = *service.mutable_limits();
  limits.set_max_channel_bytes(256);
  limits.set_max_channels_per_session(1000);
  limits.set_max_message_bytes(1 << 20);
  limits.set_session_backlog_bytes(1 << 20);
  limits.set_max_connections(1000000);
  limits.mutable_control_wait()->set_seconds(30);
  return std::make_shared<ServiceSettings>(service);
}

class HubBench final : public ConnectionHost {
 public:
  explicit HubBench(size_t subscribers)
      : tracks_([this] { return loop_.Now(); }, [](const Track&, bool) {}),
        hub_(&loop_, &sockets_, &tracks_),
        upstream_(&loop_),
        service_(Settings()),
        context_{.loop = &loop_, .hub = &hub_, .upstream = &upstream_, .clock = Clock::Real()},
        group_(ConnectionOptions(), &loop_, &sockets_, this) {
    service_.slots().Grant(static_cast<uint32_t>(subscribers));
    for (size_t i = 0; i < subscribers; ++i) Connect();
    channel_ = ChannelRef(service_.FindOrMakeChannel(Dialect::kCommon, "bench"));
    while (channel_->subscribers.size() < subscribers) {
      FANWIRE_CHECK(loop_.RunTurn(absl::Seconds(5)));
    }
    ReadAll();
  }
  ~HubBench() {
    for (const int fd : peers_) close(fd);
    while (group_.size() > 0 && loop_.RunTurn(absl::Seconds(5))) {
    }
  }

  ConnectionHandler* OnUpgrade(Connection* connection, const HttpRequest&, HttpResponse*) override {
    return new Session(&context_, &service_, connection, {});
  }
  bool OnHttpRequest(const HttpRequest&, HttpResponse*) override { return false; }

  // So many publications of one turn, to the last send.
  void Broadcast(int64_t publications) {
    for (int64_t i = 0; i < publications; ++i) {
      Delivery delivery;
      delivery.frame = Frame::Text(envelope_);
      delivery.offset = ++offset_;
      hub_.Deliver(channel_.get(), std::move(delivery));
    }
    hub_.CommitAll();
    hub_.Run();
    while (hub_.pending_bytes() > 0) FANWIRE_CHECK(loop_.RunTurn(absl::Seconds(5)));
  }

  // Empties what the subscribers have received.
  void ReadAll() {
    char buffer[65536];
    for (const int fd : peers_) {
      while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
      }
    }
  }

  int64_t written() const { return service_.counts().written; }

 private:
  void Connect() {
    int fds[2];
    FANWIRE_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    peers_.push_back(fds[1]);
    group_.Add(fds[0], PeerAddress());
    std::string bytes = kUpgrade;
    const std::string text = kSubscribe;
    bytes += '\x81';
    bytes += static_cast<char>(0x80 | text.size());
    bytes.append(4, '\0');  // the mask
    bytes += text;
    FANWIRE_CHECK(send(fds[1], bytes.data(), bytes.size(), 0) ==
                  static_cast<ssize_t>(bytes.size()));
  }

  const std::string envelope_ = std::string(700, 'x');  // what 512 bytes of data give
  EventLoop loop_;
  SendTable sockets_;
  TrackTable tracks_;
  Hub hub_;
  GrantingUpstream upstream_;
  Service service_;
  const SessionContext context_;
  ConnectionGroup group_;
  std::vector<int> peers_;
  ChannelRef channel_;
  int64_t offset_ = 0;
};

void BM_HubBroadcast(benchmark::State& state) {
  const int64_t subscribers = state.range(0);
  const int64_t publications = state.range(1);
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  HubBench bench(static_cast<size_t>(subscribers));
  // A Unix socket takes some 100 small messages before its send would block.
  const int64_t turns = std::max<int64_t>(1, 64 / publications);
  int64_t turn = 0;
  for (auto _ : state) {
    bench.Broadcast(publications);
    if (++turn % turns == 0) {
      state.PauseTiming();
      bench.ReadAll();
      state.ResumeTiming();
    }
  }
  FANWIRE_CHECK(bench.written() == state.iterations() * publications * subscribers);
  state.SetItemsProcessed(state.iterations() * publications * subscribers);
}
BENCHMARK(BM_HubBroadcast)
    ->ArgNames({"subscribers", "publications"})
    ->ArgsProduct({{1, 100, 1000}, {1, 16}});

}  // namespace
}  // namespace fanwire::fanout
