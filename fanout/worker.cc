#include "fanout/worker.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/http_probe.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/proto_time.h"
#include "common/version.h"
#include "fanout/control_link.h"
#include "fanout/drain.h"
#include "fanout/hub.h"
#include "fanout/interest.h"
#include "fanout/service_ports.h"
#include "fanout/session.h"
#include "fanout/worker_queries.h"
#include "fanout/worker_report.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

// Of fan-outs that are not over, the bytes from which on control's window is kept shut.
constexpr size_t kMaxPendingBytes = 4 << 20;

// An acknowledgement is a message of its own, another turn here and work in control: it is made for
// so many items or bytes, a fraction of the smallest window, or after so long.
constexpr uint64_t kAckItems = 128;
constexpr uint64_t kAckBytes = 256 << 10;
constexpr absl::Duration kAckDelay = absl::Milliseconds(50);

// How long the last reports may take to reach control when the worker ends.
constexpr absl::Duration kFarewell = absl::Seconds(2);

// Ports that the ops listener tries from the configured one on.
constexpr int kOpsPorts = 64;

class WorkerImpl final : public Worker, public ControlLinkHandler, public Upstream {
 public:
  WorkerImpl(const WorkerFlags& flags, std::function<void()> on_finished);
  ~WorkerImpl() override;

  void Stop() override {
    loop_.Post([this] { BeginDrain("worker is stopping"); });
  }
  bool finished() const override { return finished_.load(std::memory_order_acquire); }
  int exit_code() const override { return exit_code_.load(std::memory_order_acquire); }

  // ---- ControlLinkHandler

  void FillHello(v1::Hello* hello) override;
  void OnAttached(const v1::ControlMessage& welcome) override;
  void OnItem(LinkItem item) override;
  void OnControlMessage(const v1::ControlMessage& message) override;
  void OnTurn() override;
  void OnDetached(const absl::Status& status) override;
  void OnFenced(const absl::Status& status) override;

  // ---- Upstream

  void Want(Channel* channel) override { interest_->Want(channel); }
  void Unwant(Channel* channel) override { interest_->Unwant(channel); }
  void Want(PatternTable* table) override { interest_->Want(table); }
  void Unwant(PatternTable* table) override { interest_->Unwant(table); }
  uint64_t Ask(Session* session, const SubscribeAsk& ask) override {
    return interest_->Ask(session, ask);
  }
  uint64_t Request(Session* session, absl::string_view request, absl::string_view data) override {
    return interest_->Request(session, request, data);
  }
  void Forget(uint64_t ask) override { interest_->Forget(ask); }
  void WaitForSlot(Session* session) override;
  void StopWaiting(Session* session) override;
  void SlotsChanged(Service* service) override { AskForSlots(service); }

 private:
  // ---- on the loop

  void Begin();
  void ApplyOther(const v1::BatchItem& item);
  void ApplyGap(const v1::ChannelGap& gap);
  void Apply(const v1::WorkerConfig& config);
  // Ends the sessions of services that the configuration does not have any more.
  void LeaveRemovedServices();
  void StartOps(const v1::WorkerProcessConfig& config);
  // Tells control what was applied, now or soon.
  void Acknowledge();
  void SendAck();
  void SendReport(const Track& track, bool final);
  void AskForSlots(Service* service);
  void OnGrants(const v1::SlotGrants& grants);
  void OnDrainOrder(const v1::Drain& drain);
  void BeginDrain(const std::string& reason);
  void BeginDrain(DrainOrder order, bool exit);
  void End(int exit_code);
  void Tick();
  void Heartbeat();
  void ArmOrphan();
  WorkerSnapshot Snapshot();
  bool ready() const {
    return link_->attached() && config_version_ > 0 && ports_->listening() && !drain_->started();
  }
  ServicePorts::Health PortHealth() const {
    return {.ready = ready(), .control = link_->attached(), .uptime = loop_.Now() - began_};
  }

  // ---- on the ops thread

  // The newest snapshot; waits a moment for the loop to make one.
  WorkerSnapshot FreshSnapshot();

  const WorkerFlags flags_;
  const std::function<void()> on_finished_;
  const uint64_t incarnation_;
  EventLoop loop_;
  SendTable sockets_;
  TrackTable tracks_;
  Hub hub_;
  SessionContext sessions_;
  std::unique_ptr<ServicePorts> ports_;
  std::unique_ptr<Drain> drain_;
  std::unique_ptr<ControlLink> link_;
  std::unique_ptr<Interest> interest_;

  absl::Duration began_;
  absl::flat_hash_map<uint32_t, ChannelRef> handles_;
  uint64_t applied_items_ = 0;
  uint64_t applied_bytes_ = 0;
  uint64_t acked_items_ = 0;
  uint64_t acked_bytes_ = 0;
  std::map<std::string, std::deque<Session*>> slot_waiters_;  // by service
  std::unique_ptr<v1::WorkerConfig> config_;
  uint64_t config_version_ = 0;
  absl::Duration heartbeat_ = absl::Seconds(1);
  uint64_t heartbeats_ = 0;
  int64_t attachments_ = 0;
  absl::Duration tick_due_;
  absl::Duration loop_lag_;
  EventLoop::TimerId tick_timer_ = 0;
  EventLoop::TimerId ack_timer_ = 0;  // set: the next Ack is put off
  bool ack_is_due_ = false;           // and only waits until less is under way
  EventLoop::TimerId orphan_timer_ = 0;
  bool exit_when_drained_ = false;
  bool ending_ = false;

  std::atomic<bool> finished_{false};
  std::atomic<int> exit_code_{0};

  std::mutex snapshot_mu_;
  std::condition_variable snapshot_made_;
  WorkerSnapshot snapshot_;
  uint64_t snapshots_ = 0;

  MetricsRegistry metrics_;
  std::string ops_address_;
  std::unique_ptr<HttpProbe> ops_;
  std::thread thread_;
};

WorkerImpl::WorkerImpl(const WorkerFlags& flags, std::function<void()> on_finished)
    : flags_(flags),
      on_finished_(std::move(on_finished)),
      incarnation_(static_cast<uint64_t>(absl::ToUnixNanos(absl::Now()))),
      tracks_([] { return Clock::Real()->Now(); },
              [this](const Track& track, bool final) { SendReport(track, final); }),
      hub_(&loop_, &sockets_, &tracks_) {
  sessions_ = {.loop = &loop_, .hub = &hub_, .upstream = this, .clock = Clock::Real()};
  ports_ = std::make_unique<ServicePorts>(&sessions_, &sockets_, [this] { return PortHealth(); });
  drain_ = std::make_unique<Drain>(&loop_, ports_.get());
  link_ = ControlLink::Make({.address = flags_.control}, &loop_, this);
  interest_ = std::make_unique<Interest>(link_.get(), [this] { return ports_->services(); });
  metrics_.Add(CollectProcess);
  metrics_.Add([this](MetricSink& sink) { CollectWorker(FreshSnapshot(), sink); });
  loop_.Post([this] { Begin(); });
  thread_ = std::thread([this] { loop_.Run(); });
}

WorkerImpl::~WorkerImpl() {
  ops_ = nullptr;
  loop_.Stop();
  thread_.join();
  loop_.Cancel(tick_timer_);
  loop_.Cancel(ack_timer_);
  loop_.Cancel(orphan_timer_);
  drain_ = nullptr;
  handles_.clear();
  ports_ = nullptr;  // tells sessions, which need all else
  interest_ = nullptr;
  link_ = nullptr;
}

void WorkerImpl::Begin() {
  began_ = loop_.Now();
  LogInfo("worker.start", {{"worker", flags_.worker_id},
                           {"slot", flags_.slot},
                           {"control", flags_.control},
                           {"version", kVersion}});
  link_->Start();
  tick_due_ = loop_.Now() + heartbeat_;
  tick_timer_ = loop_.RunAfter(heartbeat_, [this] { Tick(); });
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
  hello->set_address(host);
  hello->set_config_version(config_version_);
  hello->set_supervised(flags_.supervised);
  hello->set_ops_address(ops_address_);
  hello->set_draining(drain_->started());
  int64_t connections = 0;
  for (Service* const service : ports_->services()) {
    connections += static_cast<int64_t>(service->sessions().size());
    if (service->slots().held() == 0) continue;
    v1::SlotRequest* const slots = hello->add_slots();
    slots->set_service(service->name());
    slots->set_want(service->slots().held());
    slots->set_in_use(service->slots().in_use());
  }
  hello->set_connections(connections);
}

void WorkerImpl::OnAttached(const v1::ControlMessage& message) {
  const v1::Welcome& welcome = message.welcome();
  heartbeat_ = std::max(ToDuration(welcome.heartbeat_interval()), absl::Milliseconds(10));
  link_->SetHeartbeatInterval(heartbeat_);
  ++attachments_;
  loop_.Cancel(std::exchange(orphan_timer_, 0));
  // Handles and counts are those of the attachment.
  hub_.CommitAll();
  hub_.Drain();
  tracks_.Disown();
  for (const auto& [handle, channel] : handles_) {
    if (channel->handle == handle) channel->handle = 0;
  }
  handles_.clear();
  // All channels, not only those with a handle: one may have waited in vain to be introduced again.
  std::vector<ChannelRef> channels;
  for (Service* const service : ports_->services()) {
    for (size_t d = 0; d < kDialects; ++d) {
      for (const auto& [name, channel] : service->channels(static_cast<Dialect>(d))) {
        channels.push_back(channel);
      }
    }
  }
  for (const ChannelRef& channel : channels) channel->service->ForgetIfIdle(channel.get());
  applied_items_ = applied_bytes_ = acked_items_ = acked_bytes_ = 0;
  interest_->TellAll();
  for (Service* const service : ports_->services()) {
    service->slots().Reset();
    AskForSlots(service);
  }
}

void WorkerImpl::OnDetached(const absl::Status& /*status*/) { ArmOrphan(); }

void WorkerImpl::ArmOrphan() {
  if (orphan_timer_ != 0 || config_ == nullptr || drain_->started()) return;
  const absl::Duration timeout = ToDuration(config_->worker().orphan_timeout());
  orphan_timer_ = loop_.RunAfter(timeout, [this, timeout] {
    orphan_timer_ = 0;
    LogWarning("worker.orphaned", {{"for", timeout}});
    BeginDrain("control is gone");
  });
}

void WorkerImpl::OnFenced(const absl::Status& status) {
  LogError("worker.fenced", {{"reason", status}});
  exit_code_.store(1, std::memory_order_release);
  BeginDrain("worker was replaced");
}

// ------------------------------------------------------------------------------- channels

void WorkerImpl::OnItem(LinkItem item) {
  ++applied_items_;
  applied_bytes_ += item.envelope_bytes;
  if (item.other != nullptr) return ApplyOther(*item.other);
  const auto it = handles_.find(item.handle);
  if (it == handles_.end()) return;  // of a service that is gone
  Channel* const channel = it->second.get();
  if (item.offset > 0) {
    // Control goes on from the position in a snapshot, but had sent more before it read that.
    if (item.offset <= channel->offset) return;
    channel->offset = item.offset;
  }
  Delivery delivery{.frame = std::move(item.frame),
                    .offset = item.offset,
                    .conflate_key = item.conflate_key,
                    .received_us = item.received_us,
                    .event = item.event};
  if (item.ttl_ms > 0) delivery.expires_at = loop_.Now() + absl::Milliseconds(item.ttl_ms);
  if (item.publication_id != 0) delivery.track = tracks_.Open(item.publication_id);
  if (!item.exclude_connection.empty()) {
    delivery.excluded = channel->service->FindSession(item.exclude_connection);
  }
  hub_.Deliver(channel, std::move(delivery));
}

void WorkerImpl::ApplyOther(const v1::BatchItem& item) {
  switch (item.item_case()) {
    case v1::BatchItem::kChannelDef: {
      const v1::ChannelDef& def = item.channel_def();
      Service* const service = ports_->Find(def.service());
      if (service == nullptr) return;
      const auto dialect = static_cast<Dialect>(def.dialect());
      Channel* const channel = service->FindOrMakeChannel(dialect, def.channel());
      channel->handle = def.handle();
      channel->offset =
          channel->epoch == def.epoch() ? std::max(channel->offset, def.offset()) : def.offset();
      channel->epoch = def.epoch();
      if (dialect == Dialect::kCommon) {
        channel->backlog = static_cast<BacklogPolicy>(def.policy());
        channel->gap = static_cast<GapPolicy>(def.gap_policy());
      }
      handles_[def.handle()] = ChannelRef(channel);
      return;
    }
    case v1::BatchItem::kChannelRelease: {
      const auto it = handles_.find(item.channel_release().handle());
      if (it == handles_.end()) return;
      const ChannelRef channel = std::move(it->second);
      handles_.erase(it);
      if (channel->handle == item.channel_release().handle()) {
        channel->handle = 0;
        // What is published from here on passes by: the position is nobody's.
        if (channel->subscribers.empty() && channel->service->PatternsOf(channel.get()).empty()) {
          channel->epoch.clear();
          channel->offset = 0;
        }
      }
      channel->service->ForgetIfIdle(channel.get());
      return;
    }
    case v1::BatchItem::kChannelGap:
      return ApplyGap(item.channel_gap());
    case v1::BatchItem::kSubscribeResult: {
      for (const auto& publication : item.subscribe_result().publications()) {
        applied_bytes_ += publication.envelope().size();
      }
      return interest_->OnSubscribeResult(item.subscribe_result());
    }
    case v1::BatchItem::kEventDef:
      return hub_.DefineEvent(item.event_def().handle(), item.event_def().name());
    default:
      return;  // of a later version
  }
}

void WorkerImpl::ApplyGap(const v1::ChannelGap& gap) {
  const auto it = handles_.find(gap.handle());
  if (it == handles_.end()) return;
  Channel* const channel = it->second.get();
  const bool new_epoch = gap.reason() == "epoch_changed";
  if (!new_epoch && gap.epoch() == channel->epoch && gap.to() <= channel->offset) return;  // known
  channel->epoch = gap.epoch();
  channel->offset = gap.to();
  if (gap.reason() != "expired" && channel->gap == GapPolicy::kClose) {
    std::vector<Session*> sessions;
    hub_.CommitAll();
    hub_.Drain();
    for (const Subscriber& subscriber : channel->subscribers.entries()) {
      sessions.push_back(subscriber.session);
    }
    for (const PatternTable* const pattern : channel->service->PatternsOf(channel)) {
      for (const Subscriber& subscriber : pattern->subscribers.entries()) {
        sessions.push_back(subscriber.session);
      }
    }
    for (Session* const session : sessions) session->CloseForGap();
    return;
  }
  hub_.Deliver(channel,
               {.frame = Frame::Text(SkippedText(channel->name, gap.from(), gap.to(), gap.reason(),
                                                 new_epoch ? gap.epoch() : "", absl::Now())),
                .notice = true});
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): what counts references frees it

void WorkerImpl::OnTurn() {
  hub_.CommitAll();
  hub_.Run();
  Acknowledge();
}

void WorkerImpl::Acknowledge() {
  if (applied_items_ == acked_items_) return;
  const bool due = applied_items_ - acked_items_ >= kAckItems ||
                   applied_bytes_ - acked_bytes_ >= kAckBytes || drain_->started();
  if (due && hub_.pending_bytes() <= kMaxPendingBytes) return SendAck();
  if (ack_timer_ != 0 && (!due || ack_is_due_)) return;
  // What is under way must shrink first; or more may come, and one acknowledgement do for all.
  loop_.Cancel(ack_timer_);
  ack_is_due_ = due;
  ack_timer_ = loop_.RunAfter(due ? absl::Milliseconds(1) : kAckDelay, [this] {
    ack_timer_ = 0;
    if (applied_items_ == acked_items_) return;
    if (hub_.pending_bytes() <= kMaxPendingBytes) return SendAck();
    Acknowledge();
  });
}

void WorkerImpl::SendAck() {
  acked_items_ = applied_items_;
  acked_bytes_ = applied_bytes_;
  auto item = std::make_unique<v1::WorkerItem>();
  item->mutable_ack()->set_seq(applied_items_);
  item->mutable_ack()->set_bytes(applied_bytes_);
  link_->Send(std::move(item));
}

void WorkerImpl::SendReport(const Track& track, bool final) {
  if (ending_) return;
  auto item = std::make_unique<v1::WorkerItem>();
  v1::DeliveryReport* const report = item->mutable_delivery_report();
  report->set_publication_id(track.publication_id);
  report->set_matched(track.matched);
  report->set_written(track.written);
  for (size_t i = 1; i < kDropReasons; ++i) {
    if (track.dropped[i] == 0) continue;
    v1::DropCount* const dropped = report->add_dropped();
    dropped->set_reason(static_cast<v1::DropReason>(i));
    dropped->set_count(track.dropped[i]);
  }
  report->set_lost_connection(track.lost_connection);
  report->set_expired(track.expired);
  report->set_first_written_us(track.first_written_us);
  report->set_last_written_us(track.last_written_us);
  report->set_final(final);
  link_->Send(std::move(item));
}

// ------------------------------------------------------------------------------- slots

void WorkerImpl::AskForSlots(Service* service) {
  const uint32_t want = service->slots().Wanted(service->settings().max_connections);
  if (want == 0 || !link_->attached()) {
    if (want != 0) service->slots().Reset();
    return;
  }
  auto item = std::make_unique<v1::WorkerItem>();
  v1::SlotRequest* const request = item->mutable_slot_request();
  request->set_service(service->name());
  request->set_want(want);
  request->set_in_use(service->slots().in_use());
  request->set_waiting(service->slots().waiting());
  link_->Send(std::move(item));
}

void WorkerImpl::WaitForSlot(Session* session) {
  Service* const service = session->service();
  slot_waiters_[service->name()].push_back(session);
  service->slots().AddWaiter();
  AskForSlots(service);
}

void WorkerImpl::StopWaiting(Session* session) {
  std::deque<Session*>& waiters = slot_waiters_[session->service()->name()];
  if (std::erase(waiters, session) > 0) session->service()->slots().RemoveWaiter();
}

void WorkerImpl::OnGrants(const v1::SlotGrants& grants) {
  for (const v1::SlotGrant& grant : grants.grants()) {
    Service* const service = ports_->Find(grant.service());
    if (service == nullptr) continue;
    if (service->slots().Grant(grant.slots())) {
      // Taken back: control counts on hearing what is really left.
      auto item = std::make_unique<v1::WorkerItem>();
      v1::SlotRequest* const request = item->mutable_slot_request();
      request->set_service(service->name());
      request->set_want(service->slots().held());
      request->set_in_use(service->slots().in_use());
      request->set_waiting(service->slots().waiting());
      request->set_confirms(true);
      link_->Send(std::move(item));
    }
    std::deque<Session*>& waiters = slot_waiters_[service->name()];
    while (!waiters.empty() && service->slots().Take()) {
      Session* const session = waiters.front();
      waiters.pop_front();
      service->slots().RemoveWaiter();
      session->OnSlot();
    }
    AskForSlots(service);
  }
}

// ------------------------------------------------------------------------------- orders

void WorkerImpl::OnControlMessage(const v1::ControlMessage& message) {
  switch (message.message_case()) {
    case v1::ControlMessage::kConfig:
      return Apply(message.config());
    case v1::ControlMessage::kQuery:
      return AnswerQuery(
          message.query(), flags_.worker_id, *ports_,
          [&](std::unique_ptr<v1::WorkerItem> item) { link_->Send(std::move(item)); });
    case v1::ControlMessage::kDrain:
      return OnDrainOrder(message.drain());
    case v1::ControlMessage::kSnapshotRequest:
      return interest_->TellInterest();
    case v1::ControlMessage::kClientReplies:
      return interest_->OnClientReplies(message.client_replies());
    case v1::ControlMessage::kSlotGrants:
      return OnGrants(message.slot_grants());
    default:
      return;  // a heartbeat, or of a later version
  }
}

void WorkerImpl::Apply(const v1::WorkerConfig& config) {
  auto item = std::make_unique<v1::WorkerItem>();
  v1::ConfigAck* const ack = item->mutable_config_ack();
  ack->set_nonce(config.nonce());
  absl::Status status;
  if (!drain_->started()) status = ports_->Apply(config, ack);
  if (!status.ok()) {
    LogError("config.refused", {{"version", config.version()}, {"reason", status}});
    ack->clear_listeners();
    ack->set_error(std::string(status.message()));
  } else {
    config_ = std::make_unique<v1::WorkerConfig>(config);
    config_version_ = config.version();
    hub_.set_slice(std::max<uint32_t>(config.worker().fanout_slice(), 1),
                   ToDuration(config.worker().fanout_slice_time()));
    heartbeat_ = std::max(ToDuration(config.heartbeat_interval()), absl::Milliseconds(10));
    link_->SetHeartbeatInterval(heartbeat_);
    LogLevel level;
    if (ParseLogLevel(config.log().level(), &level)) SetLogLevel(level);
    SetLogFormat(config.log().format() == "json" ? LogFormat::kJson : LogFormat::kText);
    StartOps(config.worker());
    for (Service* const service : ports_->services()) AskForSlots(service);
    LeaveRemovedServices();
    LogInfo("config.applied", {{"version", config.version()},
                               {"services", config.services_size()},
                               {"listeners", ack->listeners_size()},
                               {"workers", config.attached_workers()}});
  }
  ack->set_version(config_version_);
  ack->set_ops_address(ops_address_);
  link_->Send(std::move(item));
}

void WorkerImpl::LeaveRemovedServices() {
  absl::flat_hash_set<absl::string_view> configured;
  for (const v1::WorkerService& service : config_->services()) configured.insert(service.name());
  std::vector<Session*> sessions;
  for (const Service* const service : ports_->services()) {
    if (configured.contains(service->name())) continue;
    for (const auto& [id, session] : service->sessions()) sessions.push_back(session);
  }
  if (sessions.empty()) return;
  constexpr absl::string_view kReason = "service was removed";
  const std::string text =
      DrainingText(ToDuration(config_->worker().reconnect_after_min()),
                   ToDuration(config_->worker().reconnect_after_max()), kReason, absl::Now());
  for (Session* const session : sessions) {
    session->SayGoodbye(text, CloseCode::kServiceRestart, kReason);
  }
}

void WorkerImpl::StartOps(const v1::WorkerProcessConfig& config) {
  if (ops_ != nullptr) return;
  auto listen = ParseAddress(config.ops_listen());
  if (!listen.ok()) return;
  if (listen->port != 0) listen->port = static_cast<uint16_t>(listen->port + flags_.slot);
  HttpProbe::Options options;
  options.listen = *listen;
  options.ports_to_try = kOpsPorts;
  options.metrics = [this] { return metrics_.Text(); };
  options.ready = [this] {
    const WorkerSnapshot snapshot = FreshSnapshot();
    return Readiness{snapshot.ready,
                     absl::StrCat("{\"ready\":", snapshot.ready ? "true" : "false",
                                  ",\"control\":", snapshot.attached ? "true" : "false",
                                  ",\"draining\":", snapshot.draining ? "true" : "false", "}")};
  };
  auto ops = HttpProbe::Start(std::move(options));
  if (!ops.ok()) {
    LogError("ops.failed", {{"address", config.ops_listen()}, {"reason", ops.status()}});
    return;
  }
  ops_ = *std::move(ops);
  ops_address_ = ops_->address().ToString();
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

void WorkerImpl::BeginDrain(const std::string& reason) {
  DrainOrder order;
  order.reason = reason;
  if (config_ != nullptr) {
    order.window = ToDuration(config_->worker().drain_window());
    order.deadline = ToDuration(config_->worker().drain_deadline());
  }
  BeginDrain(std::move(order), /*exit=*/true);
}

void WorkerImpl::BeginDrain(DrainOrder order, bool exit) {
  exit_when_drained_ |= exit;
  if (drain_->done() && exit) {
    loop_.Post([this] { End(exit_code_.load(std::memory_order_acquire)); });
  }
  if (drain_->started()) return;
  if (config_ != nullptr) {
    order.reconnect_after_min = ToDuration(config_->worker().reconnect_after_min());
    order.reconnect_after_max = ToDuration(config_->worker().reconnect_after_max());
  }
  loop_.Cancel(std::exchange(orphan_timer_, 0));
  drain_->Start(order, [this, told = int64_t{-1}](int64_t remaining, bool done) mutable {
    if (remaining != told || done) {
      told = remaining;
      auto item = std::make_unique<v1::WorkerItem>();
      item->mutable_drain_status()->set_remaining(remaining);
      item->mutable_drain_status()->set_done(done);
      link_->Send(std::move(item));
    }
    if (done && exit_when_drained_) {
      loop_.Post([this] { End(exit_code_.load(std::memory_order_acquire)); });
    }
  });
}

void WorkerImpl::End(int exit_code) {
  if (std::exchange(ending_, true)) return;
  exit_code_.store(exit_code, std::memory_order_release);
  if (link_->attached()) Heartbeat();  // the last counts
  link_->Stop(kFarewell, [this] {
    LogInfo("worker.end", {{"worker", flags_.worker_id}});
    finished_.store(true, std::memory_order_release);
    on_finished_();
  });
}

// ------------------------------------------------------------------------------- once a second

void WorkerImpl::Tick() {
  loop_lag_ = std::max(loop_.Now() - tick_due_, absl::ZeroDuration());
  tick_due_ = loop_.Now() + heartbeat_;
  tick_timer_ = loop_.RunAfter(heartbeat_, [this] { Tick(); });
  ports_->Sweep();
  tracks_.ReportChanges();
  for (Service* const service : ports_->services()) AskForSlots(service);
  if (!ending_) Heartbeat();
  if (!link_->attached()) ArmOrphan();
}

void WorkerImpl::Heartbeat() {
  if (!link_->attached()) return;
  auto item = std::make_unique<v1::WorkerItem>();
  v1::Heartbeat* const heartbeat = item->mutable_heartbeat();
  heartbeat->set_seq(++heartbeats_);
  heartbeat->set_monotonic_ms(absl::ToInt64Milliseconds(loop_.Now()));
  heartbeat->set_rss_bytes(ResidentBytes());
  heartbeat->set_cpu_ms(static_cast<int64_t>(CpuSeconds() * 1000));
  heartbeat->set_loop_lag_us(absl::ToInt64Microseconds(loop_lag_));
  const auto [count, hash] = interest_->digest();
  heartbeat->set_interest_count(count);
  heartbeat->set_interest_hash(hash);
  FillLoads(Snapshot(), heartbeat);
  link_->Send(std::move(item));
}

WorkerSnapshot WorkerImpl::Snapshot() {
  WorkerSnapshot snapshot;
  for (Service* const service : ports_->services()) {
    ServiceSnapshot& out = snapshot.services.emplace_back();
    out.name = service->name();
    out.server_name = service->settings().server_name;
    out.counts = service->counts();
    out.connections = ports_->Counters(service);
    out.sessions = static_cast<int64_t>(service->sessions().size());
    for (size_t d = 0; d < kDialects; ++d) {
      out.channels += static_cast<int64_t>(service->channels(static_cast<Dialect>(d)).size());
    }
    for (const auto& [kind, counts] : service->kinds()) {
      out.kinds[kind] = {.broadcasts = counts.broadcasts, .fanout = counts.fanout.snapshot()};
    }
    out.event_latency = service->latencies().events.snapshot();
    out.request_latency = service->latencies().requests.snapshot();
  }
  snapshot.listeners = ports_->Listened();
  snapshot.connections = static_cast<int64_t>(ports_->connections());
  snapshot.attached = link_->attached();
  snapshot.ready = ready();
  snapshot.draining = drain_->started();
  snapshot.attachments = attachments_;
  snapshot.asks = static_cast<int64_t>(interest_->asks());
  snapshot.pending_bytes = static_cast<int64_t>(hub_.pending_bytes());
  snapshot.loop_lag = loop_lag_;
  snapshot.config_version = config_version_;
  return snapshot;
}

WorkerSnapshot WorkerImpl::FreshSnapshot() {
  std::unique_lock<std::mutex> lock(snapshot_mu_);
  const uint64_t seen = snapshots_;
  loop_.Post([this] {
    WorkerSnapshot made = Snapshot();
    const std::lock_guard<std::mutex> guard(snapshot_mu_);
    snapshot_ = std::move(made);
    ++snapshots_;
    snapshot_made_.notify_all();
  });
  snapshot_made_.wait_for(lock, std::chrono::seconds(1), [&] { return snapshots_ != seen; });
  return snapshot_;
}

}  // namespace

std::unique_ptr<Worker> Worker::Start(const WorkerFlags& flags, std::function<void()> on_finished) {
  return std::make_unique<WorkerImpl>(flags, std::move(on_finished));
}

}  // namespace fanwire::fanout
