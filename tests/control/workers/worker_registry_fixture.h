// What the tests of WorkerRegistry share: workers whose stream is a fake, and a registry between
// them and fake Subscriptions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/timer_queue.h"
#include "control/links/worker_link.h"
#include "control/routing/receipt_tracker.h"
#include "control/workers/ledger.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_subscriptions.h"
#include "tests/testing/link_message.h"
#include "tests/testing/status.h"

namespace fanwire::control {

// A worker's end of its stream: keeps what control writes.
class FakeStream final : public LinkTransport {
 public:
  FakeStream(uint64_t id, const WorkerLink::Options& options, const Clock* clock,
             FakeSubscriptions* subscriptions)
      : link(std::make_shared<WorkerLink>(id, options, clock, this, subscriptions)) {}

  void Write(LinkMessage message) override {
    {
      MutexLock lock(&mu_);
      sent_.push_back(Parse(message));
    }
    if (on_write) on_write();
    if (!stalled) link->OnWriteDone(true);
  }
  void Finish(const absl::Status& status) override {
    MutexLock lock(&mu_);
    finished_ = true;
    finish_status_ = status;
  }

  // What was sent since the last call.
  std::vector<v1::ControlMessage> Take() {
    MutexLock lock(&mu_);
    return std::exchange(sent_, {});
  }
  // As Take(), in short: "welcome", "config", "slot_grants" …
  std::vector<std::string> TakeKinds() {
    std::vector<std::string> kinds;
    for (const v1::ControlMessage& message : Take()) {
      kinds.push_back(v1::ControlMessage::descriptor()
                          ->FindFieldByNumber(static_cast<int>(message.message_case()))
                          ->name());
    }
    return kinds;
  }
  bool finished() const {
    MutexLock lock(&mu_);
    return finished_;
  }
  absl::Status finish_status() const {
    MutexLock lock(&mu_);
    return finish_status_;
  }

  bool stalled = false;  // takes a message and never is done with it
  std::function<void()> on_write;
  const std::shared_ptr<WorkerLink> link;

 private:
  mutable Mutex mu_;
  std::vector<v1::ControlMessage> sent_ ABSL_GUARDED_BY(mu_);
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status finish_status_ ABSL_GUARDED_BY(mu_);
};

// "+worker-0 pid=7" and "-worker-0 pid=7", " silent" if it was.  Asks the registry back, which
// would hang if its mutex were held.
class Watcher final : public WorkerObserver {
 public:
  explicit Watcher(WorkerRegistry* registry) : registry_(registry) {}

  void OnWorkerAttached(absl::string_view worker_id, uint32_t slot, uint32_t pid,
                        bool supervised) override {
    Add(absl::StrCat("+", worker_id, " pid=", pid));
    last_slot = slot;
    last_supervised = supervised;
  }
  void OnWorkerDetached(absl::string_view worker_id, uint32_t pid, bool silent) override {
    Add(absl::StrCat("-", worker_id, " pid=", pid, silent ? " silent" : ""));
  }

  std::vector<std::string> Take() {
    MutexLock lock(&mu_);
    return std::exchange(seen_, {});
  }
  uint32_t last_slot = 0;
  bool last_supervised = false;

 private:
  void Add(std::string text) {
    registry_->attached_count();
    MutexLock lock(&mu_);
    seen_.push_back(std::move(text));
  }

  WorkerRegistry* const registry_;
  Mutex mu_;
  std::vector<std::string> seen_ ABSL_GUARDED_BY(mu_);
};

class WorkerRegistryTest : public ::testing::Test {
 protected:
  WorkerRegistryTest() { registry_->AddObserver(&watcher_); }

  std::unique_ptr<FakeStream> MakeStream(const WorkerLink::Options& options = {}) {
    auto stream = std::make_unique<FakeStream>(next_link_++, options, &clock_, &subscriptions_);
    stream->on_write = [this] { registry_->attached_count(); };  // hangs under the mutex
    return stream;
  }

  static v1::Hello MakeHello(const std::string& id, uint64_t incarnation = 1) {
    v1::Hello hello;
    hello.set_protocol_version(1);
    hello.set_worker_id(id);
    hello.set_incarnation(incarnation);
    hello.set_pid(static_cast<uint32_t>(100 + incarnation));
    return hello;
  }

  // An attached worker, whose first messages are taken.
  std::unique_ptr<FakeStream> Attach(const v1::Hello& hello) {
    std::unique_ptr<FakeStream> stream = MakeStream();
    EXPECT_OK(registry_->Attach(hello, stream->link));
    stream->Take();
    return stream;
  }
  std::unique_ptr<FakeStream> Attach(const std::string& id, uint64_t incarnation = 1) {
    return Attach(MakeHello(id, incarnation));
  }

  // Whether a receipt that waits for the worker's report has been given.
  std::shared_ptr<const bool> AwaitReport(const FakeStream& worker) {
    auto given = std::make_shared<bool>(false);
    const uint64_t record = receipts_.Open();
    receipts_.AddPart(record, worker.link->id());
    receipts_.Await(record, absl::InfiniteDuration(),
                    [given](const ReceiptTracker::Result&) { *given = true; });
    return given;
  }

  // All interest told.
  void Snapshot(const FakeStream& worker) {
    subscriptions_.EndSnapshot(worker.link);
    registry_->OnSnapshotDone(worker.link);
  }

  // A configuration taken, with one port open.
  void OpenPorts(const FakeStream& worker) {
    v1::ConfigAck ack;
    ack.set_nonce(1);
    ack.set_version(1);
    ack.add_listeners()->set_service("akosha");
    registry_->OnConfigAck(worker.link, ack);
  }

  void Beat(const FakeStream& worker, const v1::Heartbeat& heartbeat = {}) {
    registry_->OnHeartbeat(worker.link, heartbeat);
  }

  // A heartbeat interval goes by, at whose end `alive` are heard and control ticks.
  void Pass(const std::vector<const FakeStream*>& alive = {}) {
    clock_.Advance(absl::Seconds(1));
    for (const FakeStream* const worker : alive) Beat(*worker);
    registry_->Tick();
  }

  v1::WorkerInfo Info(const std::string& id) {
    const absl::StatusOr<v1::WorkerInfo> info = registry_->GetWorker(id);
    EXPECT_OK(info);
    return info.ok() ? *info : v1::WorkerInfo();
  }

  void SetConfig(uint64_t version) {
    auto config = std::make_shared<v1::WorkerConfig>();
    config->set_version(version);
    registry_->SetConfig(std::move(config));
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  FakeSubscriptions subscriptions_;
  ReceiptTracker receipts_{&clock_, &timers_};
  Ledger ledger_;
  uint64_t next_link_ = 1;
  std::unique_ptr<WorkerRegistry> registry_ = WorkerRegistry::Make(
      {.control_incarnation = 42}, &subscriptions_, &receipts_, &ledger_, &clock_, &timers_);
  Watcher watcher_{registry_.get()};
};

}  // namespace fanwire::control
