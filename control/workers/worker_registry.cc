#include "control/workers/worker_registry.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/proto_time.h"
#include "common/version.h"
#include "control/links/worker_link.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/subscriptions.h"
#include "control/workers/attached_worker.h"
#include "control/workers/connection_quota.h"
#include "control/workers/ledger.h"
#include "control/workers/worker_queries.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

constexpr uint32_t kProtocolVersion = 1;
// A worker is silent after so many missed heartbeats.
constexpr int kMissedHeartbeats = 3;

using Worker = AttachedWorker;
using Progress = AttachedWorker::Progress;

ConnectionQuota::Claim ToClaim(const v1::SlotRequest& request) {
  return {.want = request.want(), .in_use = request.in_use(), .waiting = request.waiting()};
}

class Registry final : public WorkerRegistry {
 public:
  Registry(const Options& options, Subscriptions* subscriptions, ReceiptTracker* receipts,
           Ledger* ledger, const Clock* clock, TimerQueue* timers)
      : options_(options),
        subscriptions_(subscriptions),
        receipts_(receipts),
        ledger_(ledger),
        clock_(clock),
        queries_(clock, timers) {}

  absl::Status Attach(const v1::Hello& hello, const std::shared_ptr<WorkerLink>& link) override;
  void Detach(const std::shared_ptr<WorkerLink>& link, const absl::Status& reason) override;
  void OnConfigAck(const std::shared_ptr<WorkerLink>& link, const v1::ConfigAck& ack) override;
  void OnHeartbeat(const std::shared_ptr<WorkerLink>& link,
                   const v1::Heartbeat& heartbeat) override;
  void OnSlotRequest(const std::shared_ptr<WorkerLink>& link,
                     const v1::SlotRequest& request) override;
  void OnDrainStatus(const std::shared_ptr<WorkerLink>& link,
                     const v1::DrainStatus& status) override;
  void OnQueryReply(const std::shared_ptr<WorkerLink>& link, const v1::QueryReply& reply) override;
  void OnClientRequest(const std::shared_ptr<WorkerLink>& link,
                       const v1::ClientRequest& request) override;
  void OnSnapshotDone(const std::shared_ptr<WorkerLink>& link) override;

  void SetConfig(std::shared_ptr<const v1::WorkerConfig> config) override;
  void SetSlotLimit(absl::string_view service, uint32_t max_connections) override;
  std::vector<v1::WorkerConfigState> ConfigStates() const override;

  std::vector<v1::WorkerInfo> Workers() const override;
  absl::StatusOr<v1::WorkerInfo> GetWorker(absl::string_view worker_id) const override;
  int32_t attached_count() const override;
  int32_t serving_count() const override;
  void Forget(absl::string_view worker_id) override;
  void QueryAll(const v1::Query& query, absl::Duration timeout,
                std::function<void(QueryResult)> done) override;
  absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                     Progress progress) override;

  void SetRequestHandler(absl::string_view request, ClientRequestHandler* handler) override {
    handlers_[std::string(request)] = handler;
  }
  void SetDefaultRequestHandler(ClientRequestHandler* handler) override {
    default_handler_ = handler;
  }
  void AddObserver(WorkerObserver* observer) override { observers_.push_back(observer); }

  void Tick() override;
  void CloseAll(const absl::Status& status) override;

 private:
  // Holds the mutex.  After it has released the mutex, runs the outboxes that were filled
  // meanwhile.
  class ABSL_SCOPED_LOCKABLE Section {
   public:
    explicit Section(Registry* registry) ABSL_EXCLUSIVE_LOCK_FUNCTION(registry->mu_)
        : registry_(registry) {
      registry_->mu_.Lock();
    }
    ~Section() ABSL_UNLOCK_FUNCTION() {
      const std::vector<std::shared_ptr<Outbox>> outboxes = std::exchange(registry_->touched_, {});
      registry_->mu_.Unlock();
      for (const std::shared_ptr<Outbox>& outbox : outboxes) outbox->Run();
    }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

   private:
    Registry* const registry_;
  };

  using Message = std::unique_ptr<v1::ControlMessage>;

  // The worker whose attachment `link` is; null if it has ended.
  Worker* Find(const std::shared_ptr<WorkerLink>& link) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts `function` into the worker's outbox.
  void Later(Worker* worker, Outbox::Function function) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendLater(Worker* worker, Message message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Ends the worker's attachment.  Its drains end too unless they go on in the next attachment.
  void EndAttachment(Worker* worker, const absl::Status& reason, bool silent, bool keep_drains)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Workers have come or gone: pushes rates and quotas that depend on their number.
  void AfterChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PushConfig(Worker* worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PushConfigToAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendGrants() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellProgress(Worker* worker, bool done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Subscriptions* const subscriptions_;
  ReceiptTracker* const receipts_;
  Ledger* const ledger_;
  const Clock* const clock_;
  WorkerQueries queries_;

  // Wiring; unchanged after the start.
  std::map<std::string, ClientRequestHandler*, std::less<>> handlers_;
  ClientRequestHandler* default_handler_ = nullptr;
  std::vector<WorkerObserver*> observers_;

  mutable Mutex mu_{LockRank::kRegistry};
  std::map<std::string, Worker, std::less<>> workers_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<const WorkerLink*, Worker*> attached_ ABSL_GUARDED_BY(mu_);
  ConnectionQuota quota_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const v1::WorkerConfig> config_ ABSL_GUARDED_BY(mu_);
  size_t config_workers_ ABSL_GUARDED_BY(mu_) = 0;  // attached_workers as last pushed to all
  uint64_t next_nonce_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_heartbeat_ ABSL_GUARDED_BY(mu_) = 1;
  absl::Duration last_tick_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  std::vector<std::shared_ptr<Outbox>> touched_ ABSL_GUARDED_BY(mu_);
};

Worker* Registry::Find(const std::shared_ptr<WorkerLink>& link) {
  const auto it = attached_.find(link.get());
  if (it == attached_.end()) return nullptr;
  it->second->heard = clock_->Now();
  return it->second;
}

void Registry::Later(Worker* worker, Outbox::Function function) {
  worker->outbox->Add(std::move(function));
  touched_.push_back(worker->outbox);
}

void Registry::SendLater(Worker* worker, Message message) {
  Later(worker, [link = worker->link, message = std::move(message)]() mutable {
    link->Send(std::move(message));
  });
}

// ------------------------------------------------------------------------------- coming and going

absl::Status Registry::Attach(const v1::Hello& hello, const std::shared_ptr<WorkerLink>& link) {
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::InvalidArgumentError(absl::StrCat("protocol version ", hello.protocol_version(),
                                                   ": this control speaks ", kProtocolVersion));
  }
  if (hello.worker_id().empty()) return absl::InvalidArgumentError("worker_id is empty");

  Section section(this);
  if (Find(link) != nullptr) return absl::FailedPreconditionError("a second Hello on one stream");
  Worker& worker = workers_[hello.worker_id()];
  if (worker.Supersedes(hello.incarnation())) {
    return absl::FailedPreconditionError(
        absl::StrCat("worker \"", hello.worker_id(), "\": incarnation ", hello.incarnation(),
                     " has been replaced by ", worker.incarnation()));
  }
  if (worker.attached()) {
    const bool same_process = hello.incarnation() == worker.incarnation();
    EndAttachment(&worker, absl::FailedPreconditionError("replaced by a later attachment"),
                  /*silent=*/false, /*keep_drains=*/same_process && hello.draining());
  }
  worker.Begin(hello, link, *clock_);
  // It has a configuration: an earlier control had it attached, unless this one did.
  ledger_->Attached(worker.id, worker.incarnation(), hello.config_version() > 0);
  worker.awaited_nonce = config_ == nullptr ? 0 : next_nonce_;
  attached_[link.get()] = &worker;
  for (const v1::SlotRequest& held : hello.slots()) {
    quota_.Adopt(worker.id, held.service(), ToClaim(held));
  }

  auto message = std::make_unique<v1::ControlMessage>();
  v1::Welcome* const welcome = message->mutable_welcome();
  welcome->set_control_incarnation(options_.control_incarnation);
  SetDuration(options_.heartbeat_interval, welcome->mutable_heartbeat_interval());
  welcome->set_version(kVersion.data(), kVersion.size());
  SendLater(&worker, std::move(message));
  if (attached_.size() == config_workers_) PushConfig(&worker);
  AfterChange();

  LogInfo("worker.attached", {{"worker", worker.id},
                              {"pid", hello.pid()},
                              {"incarnation", hello.incarnation()},
                              {"version", hello.version()},
                              {"sessions", hello.connections()}});
  Later(&worker, [this, id = worker.id, slot = hello.slot(), pid = hello.pid(),
                  supervised = hello.supervised()] {
    for (WorkerObserver* const observer : observers_) {
      observer->OnWorkerAttached(id, slot, pid, supervised);
    }
  });
  return absl::OkStatus();
}

void Registry::EndAttachment(Worker* worker, const absl::Status& reason, bool silent,
                             bool keep_drains) {
  const std::shared_ptr<WorkerLink> link = worker->End();
  attached_.erase(link.get());
  quota_.Release(worker->id);
  ledger_->WorkerGone(worker->id, worker->incarnation());
  LogInfo(silent ? "worker.silent" : "worker.detached",
          {{"worker", worker->id}, {"pid", worker->pid()}, {"reason", reason}});
  Later(worker, [this, link, reason, id = worker->id, pid = worker->pid(), silent] {
    link->Close(reason);
    subscriptions_->ClearInterest(link);
    receipts_->WorkerGone(link->id());
    queries_.LinkGone(link->id());
    for (WorkerObserver* const observer : observers_) observer->OnWorkerDetached(id, pid, silent);
  });
  if (!keep_drains) TellProgress(worker, /*done=*/true);
}

void Registry::Detach(const std::shared_ptr<WorkerLink>& link, const absl::Status& reason) {
  {
    Section section(this);
    if (Worker* const worker = Find(link); worker != nullptr) {
      EndAttachment(worker, reason, /*silent=*/false, /*keep_drains=*/false);
      AfterChange();
      return;
    }
  }
  // It was replaced or silent, and cleared then; but until now its stream could still tell
  // interest.
  link->Close(reason);
  subscriptions_->ClearInterest(link);
  receipts_->WorkerGone(link->id());
}

void Registry::AfterChange() {
  if (attached_.size() != config_workers_) PushConfigToAll();
  SendGrants();
}

void Registry::Forget(absl::string_view worker_id) {
  Section section(this);
  const auto it = workers_.find(worker_id);
  if (it == workers_.end() || it->second.attached()) return;
  ledger_->Forget(worker_id);
  workers_.erase(it);
}

void Registry::CloseAll(const absl::Status& status) {
  Section section(this);
  for (auto& [id, worker] : workers_) {
    if (!worker.attached()) continue;
    EndAttachment(&worker, status, /*silent=*/false, /*keep_drains=*/false);
  }
  AfterChange();
}

// ------------------------------------------------------------------------------- heartbeats

void Registry::OnHeartbeat(const std::shared_ptr<WorkerLink>& link,
                           const v1::Heartbeat& heartbeat) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  worker->TakeHeartbeat(heartbeat, clock_->WallNow());
  ledger_->Update(worker->id, worker->incarnation(), heartbeat);
  for (const v1::ServiceLoad& load : heartbeat.services()) {
    const int64_t sessions = std::clamp<int64_t>(load.sessions(), 0, UINT32_MAX);
    quota_.SetInUse(worker->id, load.service(), static_cast<uint32_t>(sessions));
  }
  SendGrants();
  if (!worker->Drifted(heartbeat)) return;
  LogWarning("worker.interest_drifted", {{"worker", worker->id},
                                         {"told", heartbeat.interest_count()},
                                         {"known", worker->link->interest_digest().value().count}});
  auto message = std::make_unique<v1::ControlMessage>();
  message->mutable_snapshot_request();
  SendLater(worker, std::move(message));
}

void Registry::OnSnapshotDone(const std::shared_ptr<WorkerLink>& link) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  worker->snapshot_done = true;
}

void Registry::Tick() {
  Section section(this);
  const absl::Duration now = clock_->Now();
  // While this process itself stood still (stopped, or its machine slept) nobody could be heard.
  const absl::Duration stood_still =
      std::max(now - last_tick_ - options_.heartbeat_interval, absl::ZeroDuration());
  last_tick_ = now;
  std::vector<Worker*> silent;
  for (auto& [id, worker] : workers_) {
    if (!worker.attached()) continue;
    worker.heard = std::min(worker.heard + stood_still, now);
    if (now - worker.heard > kMissedHeartbeats * options_.heartbeat_interval) {
      silent.push_back(&worker);
      continue;
    }
    auto message = std::make_unique<v1::ControlMessage>();
    message->mutable_heartbeat()->set_seq(next_heartbeat_);
    SendLater(&worker, std::move(message));
  }
  ++next_heartbeat_;
  for (Worker* const worker : silent) {
    EndAttachment(
        worker,
        absl::DeadlineExceededError(absl::StrCat("worker \"", worker->id, "\" was silent for ",
                                                 absl::FormatDuration(now - worker->heard))),
        /*silent=*/true, /*keep_drains=*/false);
  }
  quota_.Tick();
  AfterChange();
}

// ------------------------------------------------------------------------------- configuration

void Registry::SetConfig(std::shared_ptr<const v1::WorkerConfig> config) {
  Section section(this);
  config_ = std::move(config);
  for (auto& [id, worker] : workers_) worker.awaited_nonce = next_nonce_;
  PushConfigToAll();
}

void Registry::PushConfigToAll() {
  config_workers_ = attached_.size();
  for (auto& [id, worker] : workers_) PushConfig(&worker);
}

void Registry::PushConfig(Worker* worker) {
  if (config_ == nullptr || !worker->attached()) return;
  auto message = std::make_unique<v1::ControlMessage>();
  v1::WorkerConfig* const config = message->mutable_config();
  *config = *config_;
  config->set_nonce(next_nonce_++);
  config->set_attached_workers(static_cast<int32_t>(attached_.size()));
  if (!config->has_heartbeat_interval()) {
    SetDuration(options_.heartbeat_interval, config->mutable_heartbeat_interval());
  }
  SendLater(worker, std::move(message));
}

void Registry::OnConfigAck(const std::shared_ptr<WorkerLink>& link, const v1::ConfigAck& ack) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  worker->TakeConfigAck(ack);
  if (!ack.error().empty()) {
    LogError("worker.config_refused",
             {{"worker", worker->id}, {"in_force", ack.version()}, {"reason", ack.error()}});
  }
}

std::vector<v1::WorkerConfigState> Registry::ConfigStates() const {
  MutexLock lock(&mu_);
  std::vector<v1::WorkerConfigState> states;
  for (const auto& [id, worker] : workers_) {
    if (worker.attached()) worker.DescribeConfig(&states.emplace_back());
  }
  return states;
}

// ------------------------------------------------------------------------------- connection quota

void Registry::SetSlotLimit(absl::string_view service, uint32_t max_connections) {
  Section section(this);
  quota_.SetLimit(service, max_connections);
  SendGrants();
}

void Registry::OnSlotRequest(const std::shared_ptr<WorkerLink>& link,
                             const v1::SlotRequest& request) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  if (request.confirms()) {
    quota_.Confirm(worker->id, request.service(), ToClaim(request));
  } else {
    quota_.Request(worker->id, request.service(), ToClaim(request));
  }
  SendGrants();
}

void Registry::SendGrants() {
  std::map<std::string, Message> messages;  // by worker
  for (const ConnectionQuota::Grant& grant : quota_.Settle()) {
    Message& message = messages[grant.worker];
    if (message == nullptr) message = std::make_unique<v1::ControlMessage>();
    v1::SlotGrant* const told = message->mutable_slot_grants()->add_grants();
    told->set_service(grant.service);
    told->set_slots(grant.connections);
  }
  for (auto& [id, message] : messages) {
    SendLater(&workers_.find(id)->second, std::move(message));
  }
}

// ------------------------------------------------------------------------------- questions

std::vector<v1::WorkerInfo> Registry::Workers() const {
  MutexLock lock(&mu_);
  std::vector<v1::WorkerInfo> all;
  all.reserve(workers_.size());
  for (const auto& [id, worker] : workers_) worker.Describe(*ledger_, &all.emplace_back());
  return all;
}

absl::StatusOr<v1::WorkerInfo> Registry::GetWorker(absl::string_view worker_id) const {
  MutexLock lock(&mu_);
  const auto it = workers_.find(worker_id);
  if (it == workers_.end()) {
    return absl::NotFoundError(absl::StrCat("no worker \"", worker_id, "\""));
  }
  v1::WorkerInfo info;
  it->second.Describe(*ledger_, &info);
  return info;
}

int32_t Registry::attached_count() const {
  MutexLock lock(&mu_);
  return static_cast<int32_t>(attached_.size());
}

int32_t Registry::serving_count() const {
  MutexLock lock(&mu_);
  return static_cast<int32_t>(
      std::count_if(attached_.begin(), attached_.end(),
                    [](const auto& entry) { return entry.second->serving(); }));
}

void Registry::QueryAll(const v1::Query& query, absl::Duration timeout,
                        std::function<void(QueryResult)> done) {
  QueryResult nobody;
  {
    Section section(this);
    std::set<uint64_t> links;
    for (const auto& [link, worker] : attached_) links.insert(link->id());
    const auto absent =
        static_cast<int32_t>(std::count_if(workers_.begin(), workers_.end(), [](const auto& entry) {
          return entry.second.may_hold_sessions_unseen();
        }));
    if (!links.empty()) {
      const uint64_t id = queries_.Open(std::move(links), absent, timeout, std::move(done));
      for (const auto& [link, worker] : attached_) {
        auto message = std::make_unique<v1::ControlMessage>();
        *message->mutable_query() = query;
        message->mutable_query()->set_query_id(id);
        SendLater(worker, std::move(message));
      }
      return;
    }
    nobody.workers_total = absent;
  }
  done(std::move(nobody));
}

void Registry::OnQueryReply(const std::shared_ptr<WorkerLink>& link, const v1::QueryReply& reply) {
  {
    Section section(this);
    if (Find(link) == nullptr) return;
  }
  queries_.OnReply(link->id(), reply);
}

// ------------------------------------------------------------------------------- draining

absl::Status Registry::Drain(absl::string_view worker_id, const DrainOrder& order,
                             Progress progress) {
  Section section(this);
  const auto it = workers_.find(worker_id);
  if (it == workers_.end() || !it->second.attached()) {
    return absl::NotFoundError(absl::StrCat("worker \"", worker_id, "\" is not attached"));
  }
  Worker& worker = it->second;
  if (!worker.draining) worker.drain_remaining = ledger_->WorkerSessions(worker.id);
  worker.draining = true;
  worker.drains.push_back(std::move(progress));
  auto message = std::make_unique<v1::ControlMessage>();
  v1::Drain* const drain = message->mutable_drain();
  SetDuration(order.window, drain->mutable_window());
  SetDuration(order.deadline, drain->mutable_deadline());
  drain->set_close_code(order.close_code);
  drain->set_reason(order.reason);
  drain->set_exit(order.exit);
  SendLater(&worker, std::move(message));
  return absl::OkStatus();
}

void Registry::OnDrainStatus(const std::shared_ptr<WorkerLink>& link,
                             const v1::DrainStatus& status) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  worker->draining = true;
  worker->drain_remaining = status.remaining();
  TellProgress(worker, status.done());
}

void Registry::TellProgress(Worker* worker, bool done) {
  if (worker->drains.empty()) return;
  Later(worker, [drains = worker->drains, remaining = worker->drain_remaining, done] {
    for (const Progress& progress : drains) progress(remaining, done);
  });
  if (done) worker->drains.clear();
}

// ------------------------------------------------------------------------------- clients' requests

void Registry::OnClientRequest(const std::shared_ptr<WorkerLink>& link,
                               const v1::ClientRequest& request) {
  {
    Section section(this);
    if (Find(link) == nullptr) return;
  }
  // It may be called when the registry is gone: it holds the link alone.
  ClientRequestHandler::Reply reply = [weak = std::weak_ptr<WorkerLink>(link),
                                       id = request.request_id()](v1::ClientReply reply) {
    const std::shared_ptr<WorkerLink> link = weak.lock();
    if (link == nullptr) return;
    reply.set_request_id(id);
    auto message = std::make_unique<v1::ControlMessage>();
    *message->mutable_client_replies()->add_replies() = std::move(reply);
    if (link->Send(std::move(message)) || link->closed()) return;
    static LogLimiter limiter(absl::Seconds(10));
    if (int64_t left_out = 0; limiter.Admit(&left_out)) {
      LogWarning("worker.reply_dropped", {{"link", link->id()}, {"left_out", left_out}});
    }
  };
  const auto it = handlers_.find(request.request());
  if (it != handlers_.end()) {
    it->second->Handle(request, std::move(reply));
  } else if (default_handler_ != nullptr) {
    default_handler_->Handle(request, std::move(reply));
  } else {
    v1::ClientReply unknown;
    unknown.set_error_code("UNKNOWN_REQUEST");
    unknown.set_error_message(absl::StrCat("Unknown request event: ", request.request()));
    reply(std::move(unknown));
  }
}

}  // namespace

std::unique_ptr<WorkerRegistry> WorkerRegistry::Make(const Options& options,
                                                     Subscriptions* subscriptions,
                                                     ReceiptTracker* receipts, Ledger* ledger,
                                                     const Clock* clock, TimerQueue* timers) {
  return std::make_unique<Registry>(options, subscriptions, receipts, ledger, clock, timers);
}

}  // namespace fanwire::control
