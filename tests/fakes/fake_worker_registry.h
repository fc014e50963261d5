// A WorkerRegistry of workers that a test describes: what they hold is what they answer.
//
// Threading: safe from every thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

class FakeWorkerRegistry final : public WorkerRegistry {
 public:
  struct Worker {
    v1::WorkerInfo info;
    std::vector<v1::ConnectionInfo> connections = {};
    std::vector<v1::RoomInfo> rooms = {};
    // Questions that it does not answer before it is well again.
    int silent_for = 0;
    // It was attached before and is not now, so it cannot be asked.
    bool absent = false;
  };
  struct Drained {
    std::string id;
    DrainOrder order;
    std::function<void(int64_t, bool)> progress;
  };

  // Attached from now on.
  void Add(Worker worker) {
    MutexLock lock(&mu_);
    if (worker.info.state() == v1::WORKER_STATE_UNSPECIFIED) {
      worker.info.set_state(v1::WORKER_STATE_READY);
    }
    workers_.push_back(std::move(worker));
  }

  int questions() const {
    MutexLock lock(&mu_);
    return questions_;
  }
  std::vector<v1::DisconnectCommand> disconnects() const {
    MutexLock lock(&mu_);
    return disconnects_;
  }
  std::vector<Drained> drains() const {
    MutexLock lock(&mu_);
    return drains_;
  }

  // ---- WorkerRegistry

  absl::Status Attach(const v1::Hello&, const std::shared_ptr<WorkerLink>&) override {
    return absl::OkStatus();
  }
  void Detach(const std::shared_ptr<WorkerLink>&, const absl::Status&) override {}
  void OnConfigAck(const std::shared_ptr<WorkerLink>&, const v1::ConfigAck&) override {}
  void OnHeartbeat(const std::shared_ptr<WorkerLink>&, const v1::Heartbeat&) override {}
  void OnSlotRequest(const std::shared_ptr<WorkerLink>&, const v1::SlotRequest&) override {}
  void OnDrainStatus(const std::shared_ptr<WorkerLink>&, const v1::DrainStatus&) override {}
  void OnQueryReply(const std::shared_ptr<WorkerLink>&, const v1::QueryReply&) override {}
  void OnClientRequest(const std::shared_ptr<WorkerLink>&, const v1::ClientRequest&) override {}
  void OnClientCancel(const std::shared_ptr<WorkerLink>&, const v1::ClientCancel&) override {}
  void OnPresence(const std::shared_ptr<WorkerLink>&, const v1::PresenceUpdate&) override {}
  void OnSnapshotDone(const std::shared_ptr<WorkerLink>&) override {}
  void SetConfig(std::shared_ptr<const v1::WorkerConfig>) override {}
  void SetRegisteredRequests(uint64_t, std::shared_ptr<const v1::RegisteredRequests>) override {}
  void SetSlotLimit(absl::string_view, uint32_t) override {}
  std::vector<v1::WorkerConfigState> ConfigStates() const override { return {}; }

  std::vector<v1::WorkerInfo> Workers() const override {
    MutexLock lock(&mu_);
    std::vector<v1::WorkerInfo> infos;
    for (const Worker& worker : workers_) infos.push_back(worker.info);
    return infos;
  }
  absl::StatusOr<v1::WorkerInfo> GetWorker(absl::string_view id) const override {
    MutexLock lock(&mu_);
    for (const Worker& worker : workers_) {
      if (worker.info.id() == id) return worker.info;
    }
    return NoSuchWorker(id);
  }
  int32_t attached_count() const override {
    MutexLock lock(&mu_);
    return static_cast<int32_t>(workers_.size());
  }
  int32_t serving_count() const override {
    MutexLock lock(&mu_);
    return static_cast<int32_t>(std::count_if(
        workers_.begin(), workers_.end(),
        [](const Worker& worker) { return worker.info.state() == v1::WORKER_STATE_READY; }));
  }
  void Forget(absl::string_view) override {}
  void Expect(absl::string_view, bool) override {}
  void SetForgetDeadAfter(absl::Duration) override {}

  // Answers at once, each worker in two replies.
  void QueryAll(const v1::Query& query, absl::Duration,
                std::function<void(QueryResult)> done) override {
    QueryResult result;
    {
      MutexLock lock(&mu_);
      ++questions_;
      if (query.has_disconnect()) disconnects_.push_back(query.disconnect());
      for (Worker& worker : workers_) {
        ++result.workers_total;
        if (worker.absent) continue;
        ++result.workers_asked;
        if (worker.silent_for > 0) {
          --worker.silent_for;
          continue;
        }
        ++result.workers_answered;
        Answer(worker, query, &result);
      }
    }
    done(std::move(result));
  }

  absl::Status BeginDrain(absl::string_view id, bool unless_last) override {
    MutexLock lock(&mu_);
    begun_.emplace_back(std::string(id), unless_last);
    return refuse_drains_;
  }
  // The calls of BeginDrain().
  std::vector<std::pair<std::string, bool>> begun() const {
    MutexLock lock(&mu_);
    return begun_;
  }
  // What it answers from now on.
  void RefuseDrains(const absl::Status& status) {
    MutexLock lock(&mu_);
    refuse_drains_ = status;
  }
  absl::Status Drain(absl::string_view id, const DrainOrder& order,
                     std::function<void(int64_t, bool)> progress) override {
    MutexLock lock(&mu_);
    const bool attached = std::any_of(workers_.begin(), workers_.end(),
                                      [&](const Worker& worker) { return worker.info.id() == id; });
    if (!attached) return NoSuchWorker(id);
    drains_.push_back({.id = std::string(id), .order = order, .progress = std::move(progress)});
    return absl::OkStatus();
  }

  void SetRequestHandler(absl::string_view, ClientRequestHandler*) override {}
  void SetDefaultRequestHandler(DefaultRequestHandler*) override {}
  void SetPresenceHandler(PresenceHandler*) override {}
  void AddObserver(WorkerObserver*) override {}
  void Tick() override {}
  void CloseAll(const absl::Status&) override {}

 private:
  static absl::Status NoSuchWorker(absl::string_view id) {
    return absl::NotFoundError(absl::StrCat("worker \"", id, "\" is not attached"));
  }

  static bool Fits(const v1::ConnectionInfo& info, const v1::ConnectionFilter& filter) {
    const auto is = [](const std::string& wanted, const std::string& has) {
      return wanted.empty() || wanted == has;
    };
    return is(filter.service(), info.service()) && is(filter.id(), info.id()) &&
           is(filter.user(), info.user()) && (!filter.slow() || info.backlog_bytes() > 0);
  }

  static void Answer(const Worker& worker, const v1::Query& query, QueryResult* result) {
    v1::QueryReply replies[2];
    int next = 0;
    const auto reply = [&]() -> v1::QueryReply& { return replies[next++ % 2]; };
    if (query.has_connections()) {
      for (const v1::ConnectionInfo& info : worker.connections) {
        if (Fits(info, query.connections().filter())) *reply().add_connections() = info;
      }
    }
    if (query.has_rooms()) {
      for (const v1::RoomInfo& room : worker.rooms) {
        if (!query.rooms().service().empty() && query.rooms().service() != room.service()) continue;
        v1::RoomInfo* const added = reply().add_rooms();
        *added = room;
        if (!query.rooms().connection_ids()) added->clear_connection_ids();
      }
    }
    if (query.has_disconnect()) {
      for (const v1::ConnectionInfo& info : worker.connections) {
        v1::QueryReply& each = reply();
        if (Fits(info, query.disconnect().filter())) each.set_affected(each.affected() + 1);
      }
    }
    replies[1].set_last(true);
    for (v1::QueryReply& each : replies) result->replies.push_back(std::move(each));
  }

  mutable Mutex mu_;
  std::vector<Worker> workers_ ABSL_GUARDED_BY(mu_);
  int questions_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<v1::DisconnectCommand> disconnects_ ABSL_GUARDED_BY(mu_);
  std::vector<Drained> drains_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<std::string, bool>> begun_ ABSL_GUARDED_BY(mu_);
  absl::Status refuse_drains_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
