#include "tests/fanout/net/ws_server.h"

#include <future>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/check.h"

namespace fanwire::fanout {

namespace {

EventLoop::Options FineTicks() {
  EventLoop::Options options;
  options.tick = absl::Milliseconds(2);  // so that timeouts of some milliseconds can be tested
  return options;
}

}  // namespace

class WsServer::Echo final : public ConnectionHandler {
 public:
  Echo(WsServer* server, Connection* connection) : server_(server), connection_(connection) {}

  void OnOpen() override {
    server_->last_opened_ = connection_;
    if (server_->hooks_.on_open) server_->hooks_.on_open(connection_);
  }
  void OnText(absl::string_view payload) override {
    if (server_->hooks_.on_text) return server_->hooks_.on_text(connection_, payload);
    connection_->SendText(payload);
  }
  void OnBinary(absl::string_view payload) override {
    connection_->Offer(Frame::Make(Opcode::kBinary, payload, 1));
  }
  void OnDrained() override {
    if (server_->hooks_.on_drained) server_->hooks_.on_drained(connection_);
  }
  void OnClosed(const CloseInfo& info) override {
    {
      const MutexLock lock(&server_->mu_);
      server_->closed_.push_back(info);
    }
    server_->closed_changed_.SignalAll();
    if (server_->last_opened_ == connection_) server_->last_opened_ = nullptr;
    delete this;
  }

 private:
  WsServer* const server_;
  Connection* const connection_;
};

WsServer::WsServer(const ConnectionOptions& options, Hooks hooks,
                   const ListenerOptions& listener_options)
    : hooks_(std::move(hooks)),
      loop_(FineTicks()),
      group_(std::make_unique<ConnectionGroup>(options, &loop_, &table_, this)) {
  auto listener = Listener::Open(
      listener_options, &loop_, &table_,
      [this](int fd, const PeerAddress& peer) { group_->Add(fd, peer); },
      [this](int fd, const PeerAddress& peer) { group_->AddToRefuse(fd, peer); });
  FANWIRE_CHECK(listener.ok());
  listener_ = *std::move(listener);
  port_ = listener_->port();
  thread_ = std::thread([this] { loop_.Run(); });
}

WsServer::~WsServer() {
  loop_.Stop();
  thread_.join();
  listener_.reset();
  group_.reset();  // tells the handlers, which need all else
}

void WsServer::OnLoop(const std::function<void()>& fn) {
  std::promise<void> done;
  loop_.Post([&] {
    fn();
    done.set_value();
  });
  done.get_future().wait();
}

void WsServer::Pass(absl::Duration time) {
  std::promise<void> over;
  loop_.Post([&] { loop_.RunAfter(time, [&over] { over.set_value(); }); });
  over.get_future().wait();
}

bool WsServer::Await(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    OnLoop([] {});  // lets a turn pass
  }
  return true;
}

ConnectionCounters WsServer::counters() {
  ConnectionCounters counters;
  OnLoop([&] { counters = group_->counters(); });
  return counters;
}

size_t WsServer::connections() {
  size_t size = 0;
  OnLoop([&] { size = group_->size(); });
  return size;
}

std::optional<CloseInfo> WsServer::WaitForClosed() {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  const MutexLock lock(&mu_);
  while (closed_.empty()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return std::nullopt;
    closed_changed_.WaitWithTimeout(&mu_, left);
  }
  CloseInfo info = std::move(closed_.front());
  closed_.pop_front();
  return info;
}

ConnectionHandler* WsServer::OnUpgrade(Connection* connection, const HttpRequest& request,
                                       HttpResponse* refusal) {
  if (hooks_.refuse && hooks_.refuse(request, refusal)) return nullptr;
  return new Echo(this, connection);
}

bool WsServer::OnHttpRequest(const HttpRequest& request, HttpResponse* response) {
  if (request.path != "/healthz") return false;
  response->body = "ok\n";
  return true;
}

}  // namespace fanwire::fanout
