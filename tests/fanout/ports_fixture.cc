#include "tests/fanout/ports_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

EventLoop::Options FineTicks() {
  EventLoop::Options options;
  options.tick = absl::Milliseconds(1);
  return options;
}

// A descriptor connected to the port, or -1.
int Dial(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

}  // namespace

PortsFixture::PortsFixture()
    : loop_(FineTicks()),
      tracks_([this] { return loop_.Now(); }, [](const Track&, bool) {}),
      hub_(&loop_, &sockets_, &tracks_),
      upstream_(&loop_),
      context_{.loop = &loop_, .hub = &hub_, .upstream = &upstream_, .clock = &clock_},
      health_{.ready = true, .control = true, .uptime = absl::Seconds(90), .worker = "worker-7"} {
  ports_ = std::make_unique<ServicePorts>(&context_, &sockets_, [this] { return health_; });
}

PortsFixture::~PortsFixture() {
  ports_ = nullptr;
  EXPECT_EQ(sockets_.open_sockets(), 0u);
}

v1::WorkerConfig PortsFixture::Config() {
  v1::WorkerConfig config;
  config.set_nonce(1);
  config.set_version(1);
  config.set_attached_workers(1);
  v1::WorkerProcessConfig& worker = *config.mutable_worker();
  worker.set_notsent_lowat_bytes(16 << 10);
  worker.set_send_buffer_bytes(64 << 10);
  worker.set_fanout_slice(512);
  AddListener(AddService(&config, "mahavishnu"));
  return config;
}

v1::WorkerService* PortsFixture::AddService(v1::WorkerConfig* config, const std::string& name) {
  v1::WorkerService* const service = config->add_services();
  service->set_name(name);
  service->set_server_name(name);
  service->set_welcome_message("Connected");
  v1::LimitsConfig& limits = *service->mutable_limits();
  limits.set_max_channel_bytes(256);
  limits.set_max_channels_per_session(1000);
  limits.set_max_message_bytes(1 << 20);
  limits.set_session_backlog_bytes(64 << 10);
  limits.set_max_connections(1000);
  for (auto* const timeout : {limits.mutable_handshake_timeout(), limits.mutable_auth_timeout(),
                              limits.mutable_ping_interval(), limits.mutable_pong_timeout(),
                              limits.mutable_close_timeout(), limits.mutable_recovery_timeout(),
                              limits.mutable_control_wait()}) {
    timeout->set_seconds(30);
  }
  return service;
}

v1::ListenerConfig* PortsFixture::AddListener(v1::WorkerService* service, uint32_t port) {
  v1::ListenerConfig* const listener = service->add_listeners();
  listener->set_host("127.0.0.1");
  listener->set_port(port);
  return listener;
}

absl::Status PortsFixture::Apply(const v1::WorkerConfig& config, ServicePorts::Opening opening) {
  ack_.Clear();
  absl::Status status = ports_->Apply(config, opening, &ack_);
  if (!status.ok()) return status;
  for (Service* const service : ports_->services()) service->slots().Grant(1000);
  return status;
}

std::vector<uint16_t> PortsFixture::ports() const {
  std::vector<uint16_t> ports;
  for (const v1::BoundListener& bound : ack_.listeners()) {
    ports.push_back(static_cast<uint16_t>(bound.port()));
  }
  return ports;
}

PairClient* PortsFixture::Dialled(uint16_t port) {
  const int fd = Dial(port);
  FANWIRE_CHECK(fd >= 0);
  clients_.push_back(std::make_unique<PairClient>(fd));
  return clients_.back().get();
}

PairClient* PortsFixture::Connect(uint16_t port, absl::string_view target,
                                  absl::string_view headers) {
  PairClient* const client = Dialled(port);
  client->Say(WsClient::UpgradeRequest(target, headers));
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty() || client->ended; }));
  if (client->messages.empty()) return client;
  const Json& first = client->messages.front();
  if (!first.contains("data") || !first["data"].contains("connection_id")) return client;
  client->id = client->messages.front()["data"]["connection_id"];
  client->Clear();
  for (const Service* const service : ports_->services()) {
    if (Session* const session = service->FindSession(client->id)) client->session = session;
  }
  return client;
}

PairClient* PortsFixture::Subscribed(uint16_t port, absl::string_view channel) {
  PairClient* const client = Connect(port);
  client->Subscribe(channel);
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_EQ(client->Next()["status"], "subscribed");
  return client;
}

bool PortsFixture::Listens(uint16_t port) {
  const int fd = Dial(port);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

std::string PortsFixture::Http(uint16_t port, absl::string_view target, absl::string_view method) {
  return Answer(port, absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: here\r\n\r\n"));
}

std::string PortsFixture::Answer(uint16_t port, absl::string_view request) {
  const int fd = Dial(port);
  FANWIRE_CHECK(fd >= 0);
  FANWIRE_CHECK(::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(request.size()));
  std::string answer;
  EXPECT_TRUE(RunUntil([&] {
    char chunk[4096];
    ssize_t count = 0;
    while ((count = ::recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0) {
      answer.append(chunk, static_cast<size_t>(count));
    }
    return count == 0 || (errno != EAGAIN && errno != EINTR);
  }));
  ::close(fd);
  return answer;
}

bool PortsFixture::RunUntil(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (true) {
    for (const auto& client : clients_) client->Pump();
    if (condition()) return true;
    if (absl::Now() > give_up) return false;
    loop_.RunTurn(absl::Milliseconds(2));
  }
}

void PortsFixture::RunFor(absl::Duration time) {
  bool over = false;
  loop_.RunAfter(time, [&over] { over = true; });
  EXPECT_TRUE(RunUntil([&] { return over; }));
}

}  // namespace fanwire::fanout
