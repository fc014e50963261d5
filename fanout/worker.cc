#include "fanout/worker.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/address.h"
#include "common/file_limit.h"
#include "common/incarnation.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/proto_time.h"
#include "common/utf8.h"
#include "common/version.h"
#include "fanout/acknowledgements.h"
#include "fanout/batch_applier.h"
#include "fanout/control_link.h"
#include "fanout/drain.h"
#include "fanout/heartbeat.h"
#include "fanout/hub.h"
#include "fanout/instance.h"
#include "fanout/interest.h"
#include "fanout/presence_tracker.h"
#include "fanout/quota_leases.h"
#include "fanout/service_ports.h"
#include "fanout/service_settings.h"
#include "fanout/session.h"
#include "fanout/worker_configuration.h"
#include "fanout/worker_ops.h"
#include "fanout/worker_queries.h"
#include "fanout/worker_report.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/request_name.h"

namespace fanwire::fanout {

namespace {

// How long the last reports may take to reach control when the worker ends.
constexpr absl::Duration kFarewell = absl::Seconds(2);

// How often ports are tried again that could not be opened.
constexpr absl::Duration kRetryPorts = absl::Seconds(5);

class WorkerImpl final : public Worker, public ControlLinkHandler, public Upstream {
 public:
  WorkerImpl(const WorkerFlags& flags, std::function<void()> on_finished);
  ~WorkerImpl() override;

  void Stop() override {
    loop_.Post([this] { BeginOwnDrain("worker is stopping"); });
  }
  bool finished() const override { return finished_.load(std::memory_order_acquire); }
  int exit_code() const override { return exit_code_.load(std::memory_order_acquire); }

  // ---- ControlLinkHandler

  void FillHello(v1::Hello* hello) override;
  void OnAttached(const v1::ControlMessage& welcome) override;
  void OnItem(LinkItem&& item) override { applier_.Apply(std::move(item)); }
  void OnControlMessage(const v1::ControlMessage& message) override;
  void OnTurn() override;
  void OnDetached(const absl::Status& status) override;
  void OnFenced(const absl::Status& status) override;

  // ---- Upstream

  void Want(Channel* channel) override { interest_.Want(channel); }
  void Unwant(Channel* channel) override { interest_.Unwant(channel); }
  void Want(PatternTable* table) override { interest_.Want(table); }
  void Unwant(PatternTable* table) override { interest_.Unwant(table); }
  uint64_t Ask(Session* session, const SubscribeAsk& ask) override {
    return interest_.Ask(session, ask);
  }
  uint64_t Request(Session* session, const RequestAsk& ask) override {
    // Control is to know who came before the question.
    if (ask.request == "presence") presence_.Flush();
    return interest_.Request(session, ask);
  }
  void Forget(uint64_t ask) override { interest_.Forget(ask); }
  void WaitForSlot(Session* session) override { leases_.WaitForSlot(session); }
  void StopWaiting(Session* session) override { leases_.StopWaiting(session); }
  void SlotsChanged(Service* service) override { leases_.Ask(service); }

 private:
  // All on the loop.
  void Begin();
  void Configure(const v1::WorkerConfig& config);
  // Warns if services may have more connections than this worker can hold.
  void WarnOfFileLimit(const v1::WorkerConfig& config);
  // Tries ports again, as long as there are some that could not be opened, and tells control.
  void ArmPortRetry();
  void SendReport(const Track& track, bool final);
  // What the responders of all services serve.
  void SetRegisteredRequests(const v1::RegisteredRequests& registered);
  void RegisterRequests();
  void OnBeat();
  void OnDrainOrder(const v1::Drain& drain);
  void BeginOwnDrain(absl::string_view reason);
  void BeginDrain(DrainOrder order, bool exit);
  void OnDrainProgress(int64_t remaining, bool done, bool changed);
  void PostEnd();
  void End();
  // Drains when control stays away for too long.
  void ArmOrphan();
  WorkerSnapshot Snapshot();
  // Whether clients of an open port are served.
  bool serving() const {
    return link_->attached() && configuration_.version() > 0 && !drain_.started();
  }
  ServicePorts::Health PortHealth() const {
    return {.ready = serving(),
            .control = link_->attached(),
            .uptime = loop_.Now() - began_,
            .worker = flags_.worker_id};
  }

  const WorkerFlags flags_;
  const std::function<void()> on_finished_;
  const uint64_t incarnation_;
  const uint64_t file_limit_;
  Instance instance_;

  // In the order of who needs whom: the ports' sessions need all above them until they are gone.
  EventLoop loop_;
  SendTable sockets_;
  TrackTable tracks_;
  Hub hub_;
  SessionContext sessions_;
  std::unique_ptr<ControlLink> link_;
  Interest interest_;
  PresenceTracker presence_;
  QuotaLeases leases_;
  Acknowledgements acknowledgements_;
  ServicePorts ports_;
  BatchApplier applier_;
  Drain drain_;
  WorkerConfiguration configuration_;
  Heartbeat heartbeat_;
  WorkerOps ops_;

  absl::Duration began_;
  int64_t attachments_ = 0;
  uint64_t configured_connections_ = 0;                        // over all services
  uint64_t control_incarnation_ = 0;                           // of the last attachment
  absl::flat_hash_map<std::string, RequestNames> registered_;  // by service
  // The first configuration of a control process opens what it can: there is none to go back to.
  ServicePorts::Opening opening_ = ServicePorts::Opening::kPossible;
  uint64_t config_nonce_ = 0;  // acknowledged last
  EventLoop::TimerId port_timer_ = 0;
  EventLoop::TimerId orphan_timer_ = 0;
  bool exit_when_drained_ = false;
  bool ending_ = false;

  std::atomic<bool> finished_{false};
  std::atomic<int> exit_code_{0};
  std::thread thread_;
};

WorkerImpl::WorkerImpl(const WorkerFlags& flags, std::function<void()> on_finished)
    : flags_(flags),
      on_finished_(std::move(on_finished)),
      incarnation_(NewIncarnation()),
      file_limit_(RaiseFileLimit()),
      instance_(flags.control),
      tracks_([] { return Clock::Real()->Now(); },
              [this](const Track& track, bool final) { SendReport(track, final); }),
      hub_(&loop_, &sockets_, &tracks_),
      sessions_{.loop = &loop_,
                .hub = &hub_,
                .upstream = this,
                .clock = Clock::Real(),
                .presence = &presence_},
      link_(ControlLink::Make({.address = flags_.control}, &loop_, this)),
      interest_(link_.get(), [this] { return ports_.services(); }),
      presence_(&loop_, link_.get()),
      leases_(link_.get(), &ports_),
      acknowledgements_(&loop_, link_.get(), [this] { return hub_.pending_bytes(); }),
      ports_(&sessions_, &sockets_, [this] { return PortHealth(); }),
      applier_(&hub_, &tracks_, &ports_, &interest_, &acknowledgements_),
      drain_(&loop_, &ports_),
      configuration_(&ports_, &hub_),
      heartbeat_(
          &loop_, link_.get(), [this] { OnBeat(); },
          [this](v1::Heartbeat* heartbeat) {
            const auto [count, hash] = interest_.digest();
            heartbeat->set_interest_count(count);
            heartbeat->set_interest_hash(hash);
            FillLoads(Snapshot(), heartbeat);
          }),
      ops_(&loop_, [this] { return Snapshot(); }) {
  ports_.SetSharing([this](pid_t pid) { return instance_.Includes(pid); });
  loop_.Post([this] { Begin(); });
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "loop");  // control's supervisor looks for it
    loop_.Run();
  });
}

WorkerImpl::~WorkerImpl() {
  ops_.Stop();
  loop_.Stop();
  thread_.join();
  loop_.Cancel(orphan_timer_);
  loop_.Cancel(port_timer_);
}

void WorkerImpl::Begin() {
  began_ = loop_.Now();
  LogInfo("worker.start", {{"worker", flags_.worker_id},
                           {"slot", flags_.slot},
                           {"control", flags_.control},
                           {"version", kVersion},
                           {"file_limit", file_limit_},
                           {"max_connections", ports_.max_connections()}});
  link_->Start();
  heartbeat_.Start();
}

// ------------------------------------------------------------------------------- attachment

void WorkerImpl::FillHello(v1::Hello* hello) {
  hello->set_protocol_version(1);
  hello->set_worker_id(flags_.worker_id);
  hello->set_slot(flags_.slot);
  hello->set_incarnation(incarnation_);
  hello->set_pid(static_cast<uint32_t>(getpid()));
  hello->set_version(std::string(kVersion));
  char host[256] = "local";
  const auto address = ParseAddress(flags_.control);
  if (address.ok() && !address->is_unix() && !IsLoopback(address->host)) {
    gethostname(host, sizeof(host) - 1);
  }
  hello->set_address(ToUtf8(host));
  hello->set_config_version(configuration_.version());
  hello->set_supervised(flags_.supervised);
  hello->set_ops_address(ops_.address());
  hello->set_draining(drain_.started());
  int64_t connections = 0;
  for (const Service* const service : ports_.services()) {
    connections += static_cast<int64_t>(service->sessions().size());
  }
  hello->set_connections(connections);
  leases_.FillHello(hello);
}

void WorkerImpl::OnAttached(const v1::ControlMessage& message) {
  heartbeat_.SetInterval(ToDuration(message.welcome().heartbeat_interval()));
  ++attachments_;
  // A control that does not know this process counts from here on: it must know the counts before
  // it sends anything.
  if (configuration_.received()) heartbeat_.Send();
  instance_.Attached(message.welcome().control_incarnation());
  const uint64_t former =
      std::exchange(control_incarnation_, message.welcome().control_incarnation());
  if (control_incarnation_ != former) {
    opening_ = ServicePorts::Opening::kPossible;
    SetRegisteredRequests(v1::RegisteredRequests());  // responders connect again
  }
  loop_.Cancel(std::exchange(orphan_timer_, 0));
  applier_.Restart();
  interest_.TellInterest();
  presence_.SendSnapshot(/*restored=*/control_incarnation_ != former);
  interest_.AskAgain();
  leases_.AskAnew();
}

void WorkerImpl::OnDetached(const absl::Status& /*status*/) {
  interest_.OnDetached();
  presence_.OnDetached();
  ArmOrphan();
}

void WorkerImpl::SetRegisteredRequests(const v1::RegisteredRequests& registered) {
  registered_.clear();
  for (const v1::ServiceRequestNames& names : registered.services()) {
    for (const std::string& name : names.requests()) registered_[names.service()].Add(name);
  }
  RegisterRequests();
}

void WorkerImpl::RegisterRequests() {
  for (Service* const service : ports_.services()) {
    const auto it = registered_.find(service->name());
    service->set_registered_requests(it == registered_.end() ? RequestNames() : it->second);
  }
}

void WorkerImpl::ArmOrphan() {
  if (orphan_timer_ != 0 || !configuration_.received() || drain_.started()) return;
  const absl::Duration timeout = configuration_.orphan_timeout();
  orphan_timer_ = loop_.RunAfter(timeout, [this, timeout] {
    orphan_timer_ = 0;
    LogWarning("worker.orphaned", {{"for", timeout}});
    BeginOwnDrain("control is gone");
  });
}

void WorkerImpl::OnFenced(const absl::Status& status) {
  LogError("worker.fenced", {{"reason", status}});
  exit_code_.store(1, std::memory_order_release);
  BeginOwnDrain("worker was replaced");
}

// ------------------------------------------------------------------------------- from control

void WorkerImpl::OnControlMessage(const v1::ControlMessage& message) {
  switch (message.message_case()) {
    case v1::ControlMessage::kConfig:
      return Configure(message.config());
    case v1::ControlMessage::kQuery:
      return AnswerQuery(
          message.query(), flags_.worker_id, ports_,
          [&](std::unique_ptr<v1::WorkerItem> item) { link_->Send(std::move(item)); });
    case v1::ControlMessage::kDrain:
      return OnDrainOrder(message.drain());
    case v1::ControlMessage::kSnapshotRequest:
      return interest_.TellInterest();
    case v1::ControlMessage::kClientReplies:
      return interest_.OnClientReplies(message.client_replies());
    case v1::ControlMessage::kSlotGrants:
      return leases_.OnGrants(message.slot_grants());
    case v1::ControlMessage::kRegisteredRequests:
      return SetRegisteredRequests(message.registered_requests());
    default:
      return;  // a heartbeat, or of a later version
  }
}

void WorkerImpl::OnTurn() {
  hub_.CommitAll();
  hub_.Run();
  acknowledgements_.OnTurn();
}

void WorkerImpl::Configure(const v1::WorkerConfig& config) {
  auto item = std::make_unique<v1::WorkerItem>();
  v1::ConfigAck* const ack = item->mutable_config_ack();
  ack->set_nonce(config.nonce());
  config_nonce_ = config.nonce();
  if (configuration_.Apply(config, /*open_ports=*/!drain_.started(), opening_, ack)) {
    opening_ = ServicePorts::Opening::kAllOrNone;
    heartbeat_.SetInterval(ToDuration(config.heartbeat_interval()));
    // The limits of heads are the same for all services.
    if (!config.services().empty()) {
      ops_.SetHeadLimits(HeadLimitsOf(config.services(0).limits()));
    }
    ops_.Start(config.worker().ops_listen(), flags_.slot);
    leases_.AskForAll();
    RegisterRequests();  // of services that are new
    presence_.Review(ports_.services());
    configuration_.CloseRemovedServices();
    WarnOfFileLimit(config);
  }
  ack->set_version(configuration_.version());
  ack->set_ops_address(ops_.address());
  link_->Send(std::move(item));
  ArmPortRetry();
}

void WorkerImpl::ArmPortRetry() {
  if (port_timer_ != 0 || !ports_.failed()) return;
  port_timer_ = loop_.RunAfter(kRetryPorts, [this] {
    port_timer_ = 0;
    if (ports_.RetryFailed()) {
      auto item = std::make_unique<v1::WorkerItem>();
      v1::ConfigAck* const ack = item->mutable_config_ack();
      ack->set_nonce(config_nonce_);
      ack->set_version(configuration_.version());
      ack->set_ops_address(ops_.address());
      ports_.Describe(ack);
      link_->Send(std::move(item));
    }
    ArmPortRetry();
  });
}

void WorkerImpl::WarnOfFileLimit(const v1::WorkerConfig& config) {
  uint64_t configured = 0;
  for (const v1::WorkerService& service : config.services()) {
    configured += service.limits().max_connections();
  }
  if (std::exchange(configured_connections_, configured) == configured) return;
  if (ports_.max_connections() >= configured) return;
  LogWarning("worker.file_limit",
             {{"file_limit", file_limit_},
              {"max_connections", ports_.max_connections()},
              {"configured", configured},
              {"remedy",
               "raise the hard limit of open files (ulimit -Hn, LimitNOFILE): clients "
               "beyond max_connections of this worker are refused"}});
}

// ------------------------------------------------------------------------------- reports

void WorkerImpl::SendReport(const Track& track, bool final) {
  if (ending_) return;
  auto item = std::make_unique<v1::WorkerItem>();
  FillDeliveryReport(track, final, item->mutable_delivery_report());
  link_->Send(std::move(item));
}

void WorkerImpl::OnBeat() {
  ports_.Sweep();
  for (Service* const service : ports_.services()) service->ForgetOldPositions(loop_.Now());
  tracks_.ReportChanges();
  leases_.AskForAll();
  if (!link_->attached()) ArmOrphan();
}

WorkerSnapshot WorkerImpl::Snapshot() {
  WorkerSnapshot snapshot;
  for (const Service* const service : ports_.services()) {
    snapshot.services.push_back(SnapshotOf(*service, ports_.Counters(service)));
    snapshot.services.back().configured = ports_.Serves(service);
    snapshot.services.back().port_error = ports_.Failure(service);
  }
  snapshot.listeners = ports_.Listened();
  snapshot.connections = static_cast<int64_t>(ports_.connections());
  snapshot.attached = link_->attached();
  snapshot.ready = serving() && ports_.listening();
  snapshot.draining = drain_.started();
  snapshot.attachments = attachments_;
  snapshot.asks = static_cast<int64_t>(interest_.asks());
  snapshot.pending_bytes = static_cast<int64_t>(hub_.pending_bytes());
  snapshot.loop_lag = heartbeat_.loop_lag();
  snapshot.config_version = configuration_.version();
  snapshot.file_limit = file_limit_;
  snapshot.max_connections = ports_.max_connections();
  return snapshot;
}

// ------------------------------------------------------------------------------- the end

void WorkerImpl::OnDrainOrder(const v1::Drain& drain) {
  DrainOrder order;
  order.window = ToDuration(drain.window());
  order.deadline = ToDuration(drain.deadline());
  if (drain.close_code() != 0) order.code = static_cast<CloseCode>(drain.close_code());
  order.reason = drain.reason().empty() ? "draining" : drain.reason();
  BeginDrain(std::move(order), drain.exit());
}

void WorkerImpl::BeginOwnDrain(absl::string_view reason) {
  BeginDrain(configuration_.OwnDrain(reason), /*exit=*/true);
}

void WorkerImpl::BeginDrain(DrainOrder order, bool exit) {
  exit_when_drained_ |= exit;
  if (drain_.done() && exit) PostEnd();
  if (drain_.started()) return;
  configuration_.SetReconnectTimes(&order);
  loop_.Cancel(std::exchange(orphan_timer_, 0));
  acknowledgements_.AcknowledgeEachTurn();
  drain_.Start(order, [this, told = int64_t{-1}](int64_t remaining, bool done) mutable {
    OnDrainProgress(remaining, done, /*changed=*/std::exchange(told, remaining) != remaining);
  });
}

void WorkerImpl::OnDrainProgress(int64_t remaining, bool done, bool changed) {
  if (changed || done) {
    auto item = std::make_unique<v1::WorkerItem>();
    item->mutable_drain_status()->set_remaining(remaining);
    item->mutable_drain_status()->set_done(done);
    link_->Send(std::move(item));
  }
  if (done && exit_when_drained_) PostEnd();
}

void WorkerImpl::PostEnd() {
  loop_.Post([this] { End(); });
}

void WorkerImpl::End() {
  if (std::exchange(ending_, true)) return;
  heartbeat_.SendLast();  // the last counts
  link_->Stop(kFarewell, [this] {
    LogInfo("worker.end", {{"worker", flags_.worker_id}});
    finished_.store(true, std::memory_order_release);
    on_finished_();
  });
}

}  // namespace

std::unique_ptr<Worker> Worker::Start(const WorkerFlags& flags, std::function<void()> on_finished) {
  return std::make_unique<WorkerImpl>(flags, std::move(on_finished));
}

}  // namespace fanwire::fanout
