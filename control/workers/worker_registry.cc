#include "control/workers/worker_registry.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/mutex.h"
#include "control/links/worker_link.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/subscriptions.h"
#include "control/workers/attached_worker.h"
#include "control/workers/connection_quota.h"
#include "control/workers/control_messages.h"
#include "control/workers/ledger.h"
#include "control/workers/presence_handler.h"
#include "control/workers/request_handlers.h"
#include "control/workers/worker_queries.h"
#include "control/workers/worker_table.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// A worker that misses this many heartbeats is silent.
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
        queries_(clock, timers),
        forget_dead_after_(options.forget_dead_after) {}

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
  void OnClientCancel(const std::shared_ptr<WorkerLink>& link,
                      const v1::ClientCancel& cancel) override;
  void OnPresence(const std::shared_ptr<WorkerLink>& link,
                  const v1::PresenceUpdate& update) override;
  void OnSnapshotDone(const std::shared_ptr<WorkerLink>& link) override;

  void SetConfig(std::shared_ptr<const v1::WorkerConfig> config) override;
  void SetRegisteredRequests(uint64_t version,
                             std::shared_ptr<const v1::RegisteredRequests> registered) override;
  void SetSlotLimit(absl::string_view service, uint32_t max_connections) override;
  std::vector<v1::WorkerConfigState> ConfigStates() const override {
    MutexLock lock(&mu_);
    return workers_.ConfigStates();
  }

  std::vector<v1::WorkerInfo> Workers() const override {
    MutexLock lock(&mu_);
    return workers_.Infos(*ledger_);
  }
  absl::StatusOr<v1::WorkerInfo> GetWorker(absl::string_view worker_id) const override;
  int32_t attached_count() const override {
    MutexLock lock(&mu_);
    return static_cast<int32_t>(workers_.attached_count());
  }
  int32_t serving_count() const override {
    MutexLock lock(&mu_);
    return workers_.serving_count();
  }
  void Forget(absl::string_view worker_id) override;
  void Expect(absl::string_view worker_id, bool runs) override {
    MutexLock lock(&mu_);
    workers_.Expect(worker_id, runs);
  }
  void SetForgetDeadAfter(absl::Duration time) override {
    MutexLock lock(&mu_);
    forget_dead_after_ = time;
  }
  void QueryAll(const v1::Query& query, absl::Duration timeout,
                std::function<void(QueryResult)> done) override;
  absl::Status BeginDrain(absl::string_view worker_id, bool unless_last) override {
    MutexLock lock(&mu_);
    return workers_.BeginDrain(worker_id, unless_last, ledger_->WorkerSessions(worker_id));
  }
  absl::Status Drain(absl::string_view worker_id, const DrainOrder& order,
                     Progress progress) override;

  void SetRequestHandler(absl::string_view request, ClientRequestHandler* handler) override {
    handlers_.Set(request, handler);
  }
  void SetDefaultRequestHandler(DefaultRequestHandler* handler) override {
    handlers_.SetDefault(handler);
  }
  void SetPresenceHandler(PresenceHandler* handler) override { presence_ = handler; }
  void AddObserver(WorkerObserver* observer) override { observers_.push_back(observer); }

  void Tick() override;
  void CloseAll(const absl::Status& status) override;

 private:
  // Holds the mutex.  When it has released the mutex, it runs the outboxes that were filled under
  // it.
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

  using Message = ControlMessagePtr;

  // Returns the worker that is attached by `link`; null if the attachment has ended.
  Worker* Find(const std::shared_ptr<WorkerLink>& link) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Puts `function` into the worker's outbox.
  void Later(Worker* worker, Outbox::Function function) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SendLater(Worker* worker, Message message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Ends the worker's attachment.  Ends its drains too, unless `keep_drains`: then they go on in
  // the next attachment.
  void EndAttachment(Worker* worker, const absl::Status& reason, bool silent, bool keep_drains)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Call after workers have attached or detached.  Sends the rates and grants that depend on their
  // number.
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

  // Set before the start, and unchanged after it.
  RequestHandlers handlers_;
  PresenceHandler* presence_ = nullptr;
  std::vector<WorkerObserver*> observers_;

  mutable Mutex mu_{LockRank::kRegistry};
  WorkerTable workers_ ABSL_GUARDED_BY(mu_);
  ConnectionQuota quota_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const v1::WorkerConfig> config_ ABSL_GUARDED_BY(mu_);
  size_t config_workers_ ABSL_GUARDED_BY(mu_) = 0;  // attached_workers that was last sent to all
  // Null: nobody has said yet.
  std::shared_ptr<const v1::RegisteredRequests> registered_ ABSL_GUARDED_BY(mu_);
  uint64_t registered_version_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_nonce_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_heartbeat_ ABSL_GUARDED_BY(mu_) = 1;
  absl::Duration forget_dead_after_ ABSL_GUARDED_BY(mu_);
  absl::Duration last_tick_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  std::vector<std::shared_ptr<Outbox>> touched_ ABSL_GUARDED_BY(mu_);
};

Worker* Registry::Find(const std::shared_ptr<WorkerLink>& link) {
  Worker* const worker = workers_.Find(link.get());
  if (worker != nullptr) worker->heard = clock_->Now();
  return worker;
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
  if (absl::Status status = CheckHello(hello); !status.ok()) return status;
  Section section(this);
  if (Find(link) != nullptr) return absl::FailedPreconditionError("a second Hello on one stream");
  Worker& worker = workers_.Make(hello.worker_id());
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
  // A process that has a configuration was attached before: to this control or to an earlier one.
  ledger_->Attached(worker.id, worker.incarnation(), hello.config_version() > 0);
  worker.awaited_nonce = config_ == nullptr ? 0 : next_nonce_;
  workers_.AddLink(link.get(), &worker);
  for (const v1::SlotRequest& held : hello.slots()) {
    quota_.Adopt(worker.id, held.service(), ToClaim(held));
  }

  SendLater(&worker, MakeWelcome(options_.control_incarnation, options_.heartbeat_interval));
  if (workers_.attached_count() == config_workers_) PushConfig(&worker);
  AfterChange();
  if (registered_ != nullptr) SendLater(&worker, MakeRegisteredRequests(*registered_));

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
  const std::shared_ptr<WorkerLink> link = worker->End(clock_->Now());
  workers_.RemoveLink(link.get());
  quota_.Release(worker->id);
  ledger_->WorkerGone(worker->id, worker->incarnation());
  LogInfo(silent ? "worker.silent" : "worker.detached",
          {{"worker", worker->id}, {"pid", worker->pid()}, {"reason", reason}});
  Later(worker, [this, link, reason, id = worker->id, pid = worker->pid(), silent] {
    link->Close(reason);
    subscriptions_->ClearInterest(link);
    receipts_->WorkerGone(link->id());
    queries_.LinkGone(link->id());
    handlers_.LinkGone(link->id());
    if (presence_ != nullptr) presence_->LinkGone(link->id());
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
  // The attachment has ended before, by replacement or silence, and its interest was cleared then.
  // But items that the stream delivered after that may have added interest again.
  link->Close(reason);
  subscriptions_->ClearInterest(link);
  receipts_->WorkerGone(link->id());
  handlers_.LinkGone(link->id());
  if (presence_ != nullptr) presence_->LinkGone(link->id());
}

void Registry::AfterChange() {
  if (workers_.attached_count() != config_workers_) PushConfigToAll();
  SendGrants();
}

void Registry::Forget(absl::string_view worker_id) {
  Section section(this);
  if (workers_.Forget(worker_id)) ledger_->Forget(worker_id);
}

void Registry::CloseAll(const absl::Status& status) {
  Section section(this);
  for (Worker* const worker : workers_.Attached()) {
    EndAttachment(worker, status, /*silent=*/false, /*keep_drains=*/false);
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
  SendLater(worker, MakeSnapshotRequest());
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
  // While this process itself stood still (it was stopped, or the machine slept), no heartbeat
  // could be received.
  const absl::Duration stood_still =
      std::max(now - last_tick_ - options_.heartbeat_interval, absl::ZeroDuration());
  last_tick_ = now;
  std::vector<Worker*> silent;
  for (Worker* const worker : workers_.Attached()) {
    worker->heard = std::min(worker->heard + stood_still, now);
    if (now - worker->heard > kMissedHeartbeats * options_.heartbeat_interval) {
      silent.push_back(worker);
      continue;
    }
    SendLater(worker, MakeHeartbeat(next_heartbeat_));
  }
  ++next_heartbeat_;
  for (Worker* const worker : silent) {
    EndAttachment(
        worker,
        absl::DeadlineExceededError(absl::StrCat("worker \"", worker->id, "\" was silent for ",
                                                 absl::FormatDuration(now - worker->heard))),
        /*silent=*/true, /*keep_drains=*/false);
  }
  for (const std::string& id : workers_.ForgetGone(now, forget_dead_after_)) ledger_->Forget(id);
  quota_.Tick();
  AfterChange();
}

// ------------------------------------------------------------------------------- configuration

void Registry::SetConfig(std::shared_ptr<const v1::WorkerConfig> config) {
  Section section(this);
  config_ = std::move(config);
  for (Worker* const worker : workers_.Attached()) worker->awaited_nonce = next_nonce_;
  PushConfigToAll();
}

void Registry::PushConfigToAll() {
  config_workers_ = workers_.attached_count();
  for (Worker* const worker : workers_.Attached()) PushConfig(worker);
}

void Registry::PushConfig(Worker* worker) {
  if (config_ == nullptr) return;
  SendLater(worker, MakeConfig(*config_, next_nonce_++, workers_.attached_count(),
                               options_.heartbeat_interval));
}

void Registry::OnConfigAck(const std::shared_ptr<WorkerLink>& link, const v1::ConfigAck& ack) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  worker->TakeConfigAck(ack);
}

void Registry::SetRegisteredRequests(uint64_t version,
                                     std::shared_ptr<const v1::RegisteredRequests> registered) {
  Section section(this);
  if (version <= registered_version_) return;
  registered_version_ = version;
  registered_ = std::move(registered);
  for (Worker* const worker : workers_.Attached()) {
    SendLater(worker, MakeRegisteredRequests(*registered_));
  }
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
  for (auto& [id, message] : MakeGrants(quota_.Settle())) {
    SendLater(workers_.Find(id), std::move(message));
  }
}

// ------------------------------------------------------------------------------- queries

absl::StatusOr<v1::WorkerInfo> Registry::GetWorker(absl::string_view worker_id) const {
  MutexLock lock(&mu_);
  const Worker* const worker = workers_.Find(worker_id);
  if (worker == nullptr) {
    return absl::NotFoundError(absl::StrCat("no worker \"", worker_id, "\""));
  }
  v1::WorkerInfo info;
  worker->Describe(*ledger_, &info);
  return info;
}

void Registry::QueryAll(const v1::Query& query, absl::Duration timeout,
                        std::function<void(QueryResult)> done) {
  QueryResult nobody;
  {
    Section section(this);
    std::set<uint64_t> links;
    for (const Worker* const worker : workers_.Attached()) links.insert(worker->link->id());
    const int32_t absent = workers_.unseen_count();
    if (!links.empty()) {
      const uint64_t id = queries_.Open(std::move(links), absent, timeout, std::move(done));
      for (Worker* const worker : workers_.Attached()) {
        SendLater(worker, MakeQuery(query, id));
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
  Worker* const worker = workers_.Find(worker_id);
  if (worker == nullptr || !worker->attached()) {
    return absl::NotFoundError(absl::StrCat("worker \"", worker_id, "\" is not attached"));
  }
  if (!worker->draining) worker->drain_remaining = ledger_->WorkerSessions(worker->id);
  worker->draining = true;
  worker->drains.push_back(std::move(progress));
  SendLater(worker, MakeDrain(order));
  return absl::OkStatus();
}

void Registry::OnDrainStatus(const std::shared_ptr<WorkerLink>& link,
                             const v1::DrainStatus& status) {
  Section section(this);
  Worker* const worker = Find(link);
  if (worker == nullptr) return;
  worker->draining = true;
  worker->drained = status.done();
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
  handlers_.Handle(link, request);
}

void Registry::OnClientCancel(const std::shared_ptr<WorkerLink>& link,
                              const v1::ClientCancel& cancel) {
  handlers_.Cancel(link->id(), cancel);
}

// ------------------------------------------------------------------------------- presence

void Registry::OnPresence(const std::shared_ptr<WorkerLink>& link,
                          const v1::PresenceUpdate& update) {
  WorkerProcess process;
  {
    Section section(this);
    const Worker* const worker = Find(link);
    if (worker == nullptr) return;
    process = {.worker_id = worker->id, .incarnation = worker->incarnation()};
  }
  if (presence_ != nullptr) presence_->OnPresence(process, link->id(), update);
}

}  // namespace

std::unique_ptr<WorkerRegistry> WorkerRegistry::Make(const Options& options,
                                                     Subscriptions* subscriptions,
                                                     ReceiptTracker* receipts, Ledger* ledger,
                                                     const Clock* clock, TimerQueue* timers) {
  return std::make_unique<Registry>(options, subscriptions, receipts, ledger, clock, timers);
}

}  // namespace fanwire::control
