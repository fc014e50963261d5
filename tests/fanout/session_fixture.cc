#include "tests/fanout/session_fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "fanwire/v1/worker.pb.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

EventLoop::Options FineTicks() {
  EventLoop::Options options;
  options.tick = absl::Milliseconds(1);
  return options;
}

}  // namespace

// ------------------------------------------------------------------------------- client

void PairClient::Write(absl::string_view bytes) {
  if (fd_ < 0) return;
  // Small enough for the kernel's buffer, or the server has closed.
  const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  FANWIRE_CHECK(sent == static_cast<ssize_t>(bytes.size()) || errno == EPIPE ||
                errno == ECONNRESET);
}

void PairClient::Say(absl::string_view text) {
  if (!upgraded_ && text.substr(0, 4) == "GET ") return Write(text);
  ClientFrame frame;
  frame.payload = std::string(text);
  Write(Encode(frame));
}

void PairClient::Request(absl::string_view event, const Json& data, absl::string_view id) {
  SayJson(Json{
      {"type", "request"}, {"id", std::string(id)}, {"event", std::string(event)}, {"data", data}});
}

void PairClient::Subscribe(absl::string_view channel, const Json& more) {
  Json data = more;
  data["channel"] = std::string(channel);
  Request("subscribe", data);
}

void PairClient::SendClose(uint16_t code) {
  ClientFrame frame;
  frame.opcode = 8;
  frame.payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  Write(Encode(frame));
}

void PairClient::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool PairClient::Pump() {
  if (!reads || fd_ < 0 || ended) return false;
  char chunk[64 * 1024];
  bool any = false;
  while (true) {
    const ssize_t count = ::recv(fd_, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (count > 0) {
      any = true;
      buffer_.append(chunk, static_cast<size_t>(count));
      continue;
    }
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      any = true;
      ended = true;
    }
    break;
  }
  size_t at = 0;
  if (!upgraded_) {
    const size_t end = buffer_.find("\r\n\r\n");
    if (end == std::string::npos) return any;
    at = end + 4;
    upgraded_ = true;
  }
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(buffer_[at + i]); };
  while (buffer_.size() >= at + 2) {
    size_t header = 2;
    uint64_t size = byte(1) & 0x7f;
    if (size >= 126) {
      header = size == 126 ? 4 : 10;
      if (buffer_.size() < at + header) break;
      size = 0;
      for (size_t i = 2; i < header; ++i) size = size << 8 | byte(i);
    }
    if (buffer_.size() < at + header + size) break;
    const absl::string_view payload(buffer_.data() + at + header, size);
    const uint8_t opcode = byte(0) & 0x0f;
    if (opcode == 1) messages.push_back(Json::parse(payload.begin(), payload.end()));
    if (opcode == 8) {
      close_code = size < 2 ? 1005
                            : static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                                    static_cast<uint8_t>(payload[1]));
      close_reason = size > 2 ? std::string(payload.substr(2)) : "";
    }
    at += header + size;
  }
  buffer_.erase(0, at);
  return any;
}

Json PairClient::Next() {
  if (messages.empty()) return nullptr;
  Json first = std::move(messages.front());
  messages.erase(messages.begin());
  return first;
}

std::vector<Json> PairClient::Named(absl::string_view event) const {
  std::vector<Json> named;
  for (const Json& message : messages) {
    if (message.value("event", Json()) == Json(std::string(event))) named.push_back(message);
  }
  return named;
}

std::vector<int64_t> PairClient::Offsets(absl::string_view channel) const {
  std::vector<int64_t> offsets;
  for (const Json& message : messages) {
    if (!message.contains("offset") || message["room"] != std::string(channel)) continue;
    offsets.push_back(message["offset"]);
  }
  return offsets;
}

std::vector<int64_t> PairClient::Numbers() const {
  std::vector<int64_t> numbers;
  for (const Json& message : messages) {
    if (message.contains("number")) numbers.push_back(message["number"]);
  }
  return numbers;
}

std::vector<std::string> PairClient::Errors() const {
  std::vector<std::string> errors;
  for (const Json& message : messages) {
    if (message["type"] == "error") errors.push_back(message["error_code"]);
  }
  return errors;
}

// ------------------------------------------------------------------------------- fixture

v1::WorkerService SessionFixture::Defaults() {
  v1::WorkerService service;
  service.set_name("mahavishnu");
  service.set_server_name("mahavishnu");
  service.set_welcome_message("Connected to Mahavishnu orchestration");
  v1::LimitsConfig& limits = *service.mutable_limits();
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

SessionFixture::SessionFixture()
    : loop_(FineTicks()),
      tracks_([this] { return loop_.Now(); },
              [this](const Track& track, bool final) { reports_.emplace_back(track, final); }),
      hub_(&loop_, &sockets_, &tracks_, &slice_clock_),
      config_(Defaults()) {
  service_ = std::make_unique<Service>(std::make_shared<ServiceSettings>(config_));
  service_->slots().Grant(1000);
  control_ = std::make_unique<FakeControl>(&loop_, &hub_, &tracks_, service_.get());
  turn_hook_ = loop_.AddTurnHook([this] { ++turns_; });
  context_ = {.loop = &loop_, .hub = &hub_, .upstream = control_.get(), .clock = &clock_};
  group_ = std::make_unique<ConnectionGroup>(ConnectionOptions(), &loop_, &sockets_, this);
}

SessionFixture::~SessionFixture() {
  EXPECT_EQ(LedgerError(), 0);
  group_ = nullptr;  // tells the sessions, which need all else
  EXPECT_EQ(LedgerError(), 0);
  EXPECT_EQ(counts().queued, 0);
  EXPECT_EQ(counts().slow_sessions, 0);
  EXPECT_EQ(counts().backlog_bytes, 0);
  EXPECT_EQ(counts().subscriptions, 0);
  EXPECT_EQ(service_->slots().in_use(), 0u);
  EXPECT_TRUE(service_->sessions().empty());
  // Whatever a test does: nobody's interest outlives him.
  for (const auto& [name, count] : control_->interest) EXPECT_EQ(count, 0) << name;
  EXPECT_TRUE(control_->asks.empty());
  EXPECT_TRUE(control_->requests.empty());
}

void SessionFixture::Configure(const std::function<void(v1::WorkerService*)>& change) {
  change(&config_);
  service_->set_settings(std::make_shared<ServiceSettings>(config_));
}

ConnectionHandler* SessionFixture::OnUpgrade(Connection* connection, const HttpRequest&,
                                             HttpResponse*) {
  made_ = new Session(&context_, service_.get(), connection, std::move(start_));
  return made_;
}

PairClient* SessionFixture::Connect(SessionStart start) {
  int ends[2] = {-1, -1};
  FANWIRE_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
  const int large = 1 << 20;
  ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
  PeerAddress peer;
  peer.bytes[15] = 1;
  peer.port = static_cast<uint16_t>(50000 + clients_.size());
  start_ = std::move(start);
  made_ = nullptr;
  group_->Add(ends[0], peer);
  clients_.push_back(std::make_unique<PairClient>(ends[1]));
  PairClient* const client = clients_.back().get();
  client->Say(WsClient::UpgradeRequest());
  while (made_ == nullptr && loop_.RunTurn(absl::Seconds(5))) {
  }
  FANWIRE_CHECK(made_ != nullptr);
  client->session = made_;
  client->id = std::string(made_->id());
  Quiet();
  return client;
}

PairClient* SessionFixture::Welcomed(SessionStart start) {
  PairClient* const client = Connect(std::move(start));
  const Json welcome = client->Next();
  EXPECT_EQ(welcome["event"], "session.created");
  EXPECT_EQ(welcome["data"]["connection_id"], client->id);
  return client;
}

PairClient* SessionFixture::Subscribed(absl::string_view channel) {
  PairClient* const client = Welcomed();
  SubscribeTo(client, channel);
  return client;
}

void SessionFixture::SubscribeTo(PairClient* client, absl::string_view channel, const Json& more) {
  client->Subscribe(channel, more);
  Quiet();
  control_->Answer();
  control_->Apply();
  Quiet();
  for (size_t i = 0; i < client->messages.size(); ++i) {
    if (client->messages[i]["event"] != "subscribe") continue;
    EXPECT_EQ(client->messages[i]["status"], "subscribed");
    client->messages.erase(client->messages.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
  ADD_FAILURE() << "no confirmation of " << channel;
}

int SessionFixture::RunReady() {
  // What is ready when the first of these is posted is before the second.
  const int before = turns_;
  for (int i = 0; i < 2; ++i) {
    bool done = false;
    loop_.Post([&done] { done = true; });
    while (!done) loop_.RunTurn(absl::Seconds(5));
  }
  return turns_ - before - 2;
}

void SessionFixture::Quiet() {
  bool busy = true;
  while (busy) {
    busy = false;
    busy |= RunReady() > 0;
    for (const auto& client : clients_) busy |= client->Pump();
  }
}

int64_t SessionFixture::Publish(absl::string_view channel, const FakePublication& publication) {
  const int64_t offset = control_->Publish(channel, publication);
  control_->Apply();
  Quiet();
  return offset;
}

void SessionFixture::Settle() {
  do {
    control_->Answer();
    control_->Apply();
    Quiet();
  } while (!control_->asks.empty() || control_->queued() > 0);
}

bool SessionFixture::RunUntil(const std::function<bool()>& condition) {
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (!condition()) {
    if (absl::Now() > give_up) return false;
    loop_.RunTurn(absl::Milliseconds(5));
    for (const auto& client : clients_) client->Pump();
  }
  return true;
}

int64_t SessionFixture::LedgerError() const {
  const ServiceCounts& counts = this->counts();
  const int64_t dropped = std::accumulate(counts.dropped.begin(), counts.dropped.end(), int64_t{0});
  return counts.matched -
         (counts.written + dropped + counts.lost_connection + counts.expired + counts.queued);
}

}  // namespace fanwire::fanout
