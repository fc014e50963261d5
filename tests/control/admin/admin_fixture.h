// What the tests of tools and of the admin service share: a real Router and Ledger, workers that a
// test describes, and a configuration of three services.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/timer_queue.h"
#include "control/admin/agent_tools.h"
#include "control/admin/control_process.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/engine/memory_engine.h"
#include "control/links/worker_link.h"
#include "control/routing/delivery_report.h"
#include "control/workers/ledger.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/fake_worker_registry.h"
#include "tests/testing/link_message.h"
#include "tests/testing/routing.h"
#include "tests/testing/status.h"

namespace fanwire::control {

inline constexpr char kAdminConfig[] = R"(
worker: {drain_window: 4s, drain_deadline: 9s}
services:
  - name: mahavishnu
    port: 8690
    max_connections: 300
    message_rate_limit: 50
    keys: [{id: k1, secret: a-secret-of-some-length}]
    channels: [{pattern: "workflow:*", history_size: 7, history_ttl: 5m, backlog_policy: latest}]
    mirrors: [{events: ["workflow.*"], to: global}]
  - name: akosha
    port: 8692
    message_rate_limit: 12.5
  - name: session-buddy
    listeners: [{port: 8765, dialect: session_buddy}, {port: 8688}]
)";

// A worker whose link is real: takes what it is sent and reports each tracked publication as
// matched by so many sessions.
class ReportingWorker final : public LinkTransport {
 public:
  ReportingWorker(uint64_t id, int64_t sessions, const Clock* clock, Routing* routing)
      : sessions_(sessions),
        receipts_(&routing->receipts),
        link_(std::make_shared<WorkerLink>(id, WorkerLink::Options(), clock, this,
                                           routing->subscriptions.get())) {}

  const std::shared_ptr<WorkerLink>& link() const { return link_; }

  void Write(LinkMessage message) override {
    std::vector<uint64_t> tracked;
    const v1::ControlMessage parsed = Parse(message);
    for (const v1::BatchItem& item : parsed.batch().items()) {
      if (!item.has_deliver()) continue;
      envelopes.push_back(item.deliver().envelope());
      if (item.deliver().publication_id() != 0) tracked.push_back(item.deliver().publication_id());
    }
    link_->OnWriteDone(true);
    for (const uint64_t id : tracked) {
      DeliveryReport report;
      report.tracking_id = id;
      report.counts.matched = sessions_;
      report.counts.written = sessions_;
      report.final = true;
      receipts_->OnReport(link_->id(), report);
    }
  }
  void Finish(const absl::Status&) override {}

  std::vector<std::string> envelopes;

 private:
  const int64_t sessions_;
  ReceiptTracker* const receipts_;
  const std::shared_ptr<WorkerLink> link_;
};

// An engine of which operators see what a test says.
class DescribedEngine final : public FakeEngine {
 public:
  absl::string_view name() const override { return kind; }
  absl::Status Health() const override { return health; }
  EngineStatus status() const override { return described; }

  std::string kind = "memory";
  absl::Status health;
  EngineStatus described;
};

// Keeps the last receipt.
class KeepReceipt final : public ReceiptSink {
 public:
  void OnReceipt(uint64_t, const PublishOutcome& outcome) override { status = outcome.status; }
  absl::Status status = absl::UnknownError("no receipt");
};

class AdminFixture : public ::testing::Test {
 protected:
  AdminFixture() {
    LoadedConfig loaded = LoadConfig(kAdminConfig, "fanwire.yaml", {});
    EXPECT_TRUE(loaded.ok()) << ::testing::PrintToString(loaded.errors);
    config_ = std::move(loaded.config);
    services_ = ServiceTable::Make(*config_);
    routing_ =
        std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_, services_);
    tools_ =
        std::make_unique<AgentTools>(AgentTools::Parts{.router = routing_->router.get(),
                                                       .queries = routing_->queries.get(),
                                                       .registry = &registry_,
                                                       .ledger = &ledger_,
                                                       .clock = &clock_,
                                                       .services = [this] { return services_; }});
  }

  // A worker in the registry; its sessions and rooms are added before.
  static FakeWorkerRegistry::Worker MakeWorker(const std::string& id) {
    FakeWorkerRegistry::Worker worker;
    worker.info.set_id(id);
    worker.info.set_slot(static_cast<uint32_t>(id.back() - '0'));
    worker.info.set_pid(worker.info.slot() + 1000);
    for (const char* const service : {"mahavishnu", "akosha", "session-buddy"}) {
      worker.info.add_listeners()->set_service(service);
    }
    return worker;
  }
  static v1::ConnectionInfo Connection(const std::string& service, const std::string& id) {
    v1::ConnectionInfo info;
    info.set_service(service);
    info.set_id(id);
    return info;
  }
  static v1::RoomInfo Room(const std::string& service, const std::string& channel,
                           const std::vector<std::string>& ids) {
    v1::RoomInfo room;
    room.set_service(service);
    room.set_channel(channel);
    room.set_pattern(channel.find('*') != std::string::npos);
    room.set_subscribers(static_cast<int64_t>(ids.size()));
    for (const std::string& id : ids) room.add_connection_ids(id);
    return room;
  }

  absl::Status Publish(const std::string& service, const std::string& channel,
                       const std::string& event = "test.event", const std::string& json = "{}") {
    Event view;
    view.service = service;
    view.channel = channel;
    view.event = event;
    view.json = json;
    KeepReceipt receipt;
    const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
    run->Publish(view, {}, &receipt, 0);
    return receipt.status;
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  std::unique_ptr<Engine> engine_ = MakeMemoryEngine(1 << 20);
  std::shared_ptr<const v1::Config> config_;
  std::shared_ptr<const ServiceTable> services_;
  std::unique_ptr<Routing> routing_;
  FakeWorkerRegistry registry_;
  Ledger ledger_;
  std::unique_ptr<AgentTools> tools_;
};

}  // namespace fanwire::control
