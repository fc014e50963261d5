// Fuzzes what a client can put into a worker's messages to control.  Beyond "no crash": whatever
// the client sends, control can read every message, so no client can end the worker's stream.
//
// The lines of the input are: the User-Agent, the claims of a signed token (JSON, or what pretends
// to be), the path and query, the close reason, then one client message a line, each sent as text
// and as a binary message.  The client connects to a listener of each dialect.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/check.h"
#include "common/log.h"
#include "fanout/hub.h"
#include "fanout/interest.h"
#include "fanout/service_ports.h"
#include "fanout/worker_queries.h"
#include "fanout/worker_report.h"
#include "fanwire/v1/worker.pb.h"
#include "tests/fakes/fake_link.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";
constexpr int kMaxTurns = 1000;

std::string SignedToken(absl::string_view claims) {
  const std::string text = absl::StrCat(absl::WebSafeBase64Escape(R"({"alg":"HS256","typ":"JWT"})"),
                                        ".", absl::WebSafeBase64Escape(claims));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), kSecret, sizeof(kSecret) - 1,
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
  return absl::StrCat(
      text, ".",
      absl::WebSafeBase64Escape(absl::string_view(reinterpret_cast<const char*>(digest), size)));
}

v1::WorkerConfig Config() {
  v1::WorkerConfig config;
  config.set_attached_workers(1);
  v1::WorkerService& service = *config.add_services();
  service.set_name("mahavishnu");
  service.add_admin_permissions("mahavishnu:admin");
  service.set_token_in_header(true);
  service.set_token_in_query(true);
  service.add_keys()->set_secret(kSecret);
  service.add_requests()->set_name("get_workflow_status");
  v1::PublishRule& rule = *service.add_publish_rules();
  rule.set_pattern("**");
  rule.add_events("*");
  rule.set_anonymous(true);
  rule.add_copies("copy:*");
  v1::PublishEvent& event = *service.add_publish_events();
  event.set_name("workflow.started");
  event.add_channels("workflow:{workflow_id}");
  v1::LimitsConfig& limits = *service.mutable_limits();
  limits.set_max_client_event_bytes(1 << 20);
  limits.set_max_channel_bytes(256);
  limits.set_max_channels_per_session(1000);
  limits.set_max_message_bytes(1 << 20);
  limits.set_session_backlog_bytes(1 << 20);
  limits.set_max_connections(1000);
  limits.set_max_head_bytes(32 << 10);
  limits.set_max_head_lines(128);
  for (auto* const timeout : {limits.mutable_handshake_timeout(), limits.mutable_auth_timeout(),
                              limits.mutable_ping_interval(), limits.mutable_pong_timeout(),
                              limits.mutable_close_timeout(), limits.mutable_recovery_timeout(),
                              limits.mutable_control_wait()}) {
    timeout->set_seconds(30);
  }
  for (const v1::Dialect dialect : {v1::DIALECT_COMMON, v1::DIALECT_SESSION_BUDDY}) {
    v1::ListenerConfig& listener = *service.add_listeners();
    listener.set_host("127.0.0.1");
    listener.set_dialect(dialect);
  }
  return config;
}

// A worker whose messages to control end in a FakeLink.
class Worker final : public Upstream {
 public:
  Worker()
      : tracks_([this] { return loop_.Now(); }, [](const Track&, bool) {}),
        hub_(&loop_, &sockets_, &tracks_),
        sessions_{.loop = &loop_, .hub = &hub_, .upstream = this, .clock = Clock::Real()},
        interest_(&link_, [this] { return ports_.services(); }),
        ports_(&sessions_, &sockets_,
               [] { return ServicePorts::Health{.ready = true, .control = true, .uptime = {}}; }) {
    v1::ConfigAck ack;
    FANWIRE_CHECK(ports_.Apply(Config(), ServicePorts::Opening::kAllOrNone, &ack).ok());
    for (const v1::BoundListener& listener : ack.listeners()) {
      listening_.push_back(static_cast<uint16_t>(listener.port()));
    }
    service()->slots().Grant(1000);
  }

  const std::vector<uint16_t>& listening() const { return listening_; }

  // Runs turns until nothing is due any more.
  void RunTurns() {
    for (int i = 0; i < kMaxTurns && loop_.RunTurn(absl::ZeroDuration()); ++i) {
    }
  }

  void RunUntilClosed() {
    for (int i = 0; i < kMaxTurns && ports_.connections() > 0; ++i) {
      loop_.RunTurn(absl::Milliseconds(1));
    }
    FANWIRE_CHECK(ports_.connections() == 0);
  }

  // Has the worker tell all that it tells, and reads each message as control does.
  void CheckMessages() {
    interest_.TellInterest();
    interest_.AskAgain();
    const auto send = [this](std::unique_ptr<v1::WorkerItem> item) { link_.Send(std::move(item)); };
    v1::Query query;
    query.mutable_connections();
    AnswerQuery(query, "worker-0", ports_, send);
    query.mutable_rooms()->set_connection_ids(true);
    AnswerQuery(query, "worker-0", ports_, send);
    auto beat = std::make_unique<v1::WorkerItem>();
    WorkerSnapshot snapshot;
    snapshot.services.push_back(SnapshotOf(*service(), ports_.Counters(service())));
    FillLoads(snapshot, beat->mutable_heartbeat());
    send(std::move(beat));
    for (const v1::WorkerItem& item : link_.Take()) {
      v1::WorkerItem read;
      FANWIRE_CHECK(read.ParseFromString(item.SerializeAsString()), item.DebugString());
    }
  }

  // ---- Upstream

  void Want(Channel* channel) override { interest_.Want(channel); }
  void Unwant(Channel* channel) override { interest_.Unwant(channel); }
  void Want(PatternTable* table) override { interest_.Want(table); }
  void Unwant(PatternTable* table) override { interest_.Unwant(table); }
  uint64_t Ask(Session* session, const SubscribeAsk& ask) override {
    return interest_.Ask(session, ask);
  }
  uint64_t Request(Session* session, const RequestAsk& ask) override {
    return interest_.Request(session, ask);
  }
  void Forget(uint64_t ask) override { interest_.Forget(ask); }
  void WaitForSlot(Session* /*session*/) override {}
  void StopWaiting(Session* /*session*/) override {}
  void SlotsChanged(Service* /*service*/) override {}

 private:
  Service* service() { return ports_.Find("mahavishnu"); }

  EventLoop loop_;
  SendTable sockets_;
  TrackTable tracks_;
  Hub hub_;
  SessionContext sessions_;
  FakeLink link_;
  Interest interest_;
  ServicePorts ports_;
  std::vector<uint16_t> listening_;
};

void Connect(Worker* worker, uint16_t port, const std::vector<std::string>& lines) {
  const auto line = [&](size_t i) { return i < lines.size() ? lines[i] : std::string(); };
  WsClient client(port);
  FANWIRE_CHECK(client.connected());
  const std::string target = absl::StrCat("/", absl::StrReplaceAll(line(2), {{" ", "+"}}));
  client.SendRaw(WsClient::UpgradeRequest(
      target, absl::StrCat("User-Agent: ", line(0), "\r\nAuthorization: Bearer ",
                           SignedToken(line(1)), "\r\n")));
  worker->RunTurns();
  worker->CheckMessages();
  for (size_t i = 4; i < lines.size(); ++i) {
    for (const uint8_t opcode : {1, 2}) {
      ClientFrame message;
      message.opcode = opcode;
      message.payload = lines[i];
      client.Send(message);
      worker->RunTurns();
    }
  }
  worker->CheckMessages();
  client.SendClose(1000, line(3));
  worker->RunTurns();
  worker->CheckMessages();
  client.Reset();
  worker->RunUntilClosed();
}

}  // namespace
}  // namespace fanwire::fanout

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fanwire::fanout::Worker* const worker = [] {
    fanwire::SetLogLevel(fanwire::LogLevel::kError);
    return new fanwire::fanout::Worker;
  }();
  const std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(data), size), '\n');
  for (const uint16_t port : worker->listening()) Connect(worker, port, lines);
  return 0;
}
