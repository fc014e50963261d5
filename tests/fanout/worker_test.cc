// A whole worker against a control of the test's: its configuration, its clients, its end.
#include "fanout/worker.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_workers_server.h"
#include "tests/testing/wait_for.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    config_.set_nonce(1);
    config_.set_version(1);
    config_.set_attached_workers(1);
    // The worker leaves a control that it has not heard of for three intervals.
    config_.mutable_heartbeat_interval()->set_seconds(1);
    config_.mutable_log()->set_level("error");
    v1::WorkerProcessConfig& worker = *config_.mutable_worker();
    worker.set_ops_listen("127.0.0.1:0");
    worker.mutable_orphan_timeout()->set_seconds(600);
    worker.mutable_drain_window()->set_nanos(1'000'000);
    worker.mutable_drain_deadline()->set_nanos(200'000'000);
    worker.set_fanout_slice(512);
    AddService("mahavishnu");
  }

  v1::WorkerService* AddService(const std::string& name) {
    v1::WorkerService* const service = config_.add_services();
    service->set_name(name);
    service->set_server_name(name);
    v1::ListenerConfig* const listener = service->add_listeners();
    listener->set_host("127.0.0.1");
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

  void StartWorker() {
    WorkerFlags options;
    options.control = server_.address();
    options.worker_id = "worker-2";
    options.slot = 2;
    worker_ = Worker::Start(options, [] {});
  }

  // Sends the configuration; its answer.
  v1::ConfigAck Configure() {
    v1::ControlMessage message;
    config_.set_nonce(++nonce_);
    *message.mutable_config() = config_;
    EXPECT_TRUE(server_.Send(message));
    v1::ConfigAck ack;
    EXPECT_TRUE(WaitFor([&] {
      return server_.Count([&](const v1::WorkerItem& item) {
        if (!item.has_config_ack() || item.config_ack().nonce() != nonce_) return false;
        ack = item.config_ack();
        return true;
      }) > 0;
    }));
    return ack;
  }

  void Grant(uint32_t slots, const std::string& service = "mahavishnu") {
    v1::ControlMessage message;
    v1::SlotGrant* const grant = message.mutable_slot_grants()->add_grants();
    grant->set_service(service);
    grant->set_slots(slots);
    EXPECT_TRUE(server_.Send(message));
  }

  // Attached, configured and with slots; the port of its first listener.
  uint16_t Ready() {
    StartWorker();
    EXPECT_TRUE(WaitFor([&] { return server_.attachments() == 1; }));
    const v1::ConfigAck ack = Configure();
    EXPECT_EQ(ack.error(), "");
    if (ack.listeners_size() == 0) return 0;
    ops_ = ack.ops_address();
    for (const v1::WorkerService& service : config_.services()) Grant(100, service.name());
    return static_cast<uint16_t>(ack.listeners(0).port());
  }

  static Json Read(WsClient* client) {
    const std::optional<std::string> text = client->ReadText();
    return text.has_value() ? Json::parse(*text) : Json();
  }

  // The next item that fits, waited for.
  v1::WorkerItem Await(const std::function<bool(const v1::WorkerItem&)>& fits) {
    v1::WorkerItem found;
    EXPECT_TRUE(WaitFor([&] {
      return server_.Count([&](const v1::WorkerItem& item) {
        if (!fits(item)) return false;
        found = item;
        return true;
      }) > 0;
    }));
    return found;
  }

  // A client that has read its welcome.
  std::unique_ptr<WsClient> Connect(uint16_t port) {
    auto client = std::make_unique<WsClient>(port);
    EXPECT_TRUE(client->Handshake());
    EXPECT_EQ(Read(client.get())["event"], "session.created");
    return client;
  }

  // Subscribes, as control at offset `head` with handle `handle`, and reads the confirmation.
  void Subscribe(WsClient* client, const std::string& channel, uint32_t handle, int64_t head = 0,
                 v1::GapPolicy gap = v1::GAP_POLICY_NOTIFY) {
    client->SendText(Json{
        {"type", "request"}, {"id", "s"}, {"event", "subscribe"}, {"data", {{"channel", channel}}}}
                         .dump());
    const uint64_t query = Await([&](const v1::WorkerItem& item) {
                             return item.subscribe_query().channel() == channel;
                           })
                               .subscribe_query()
                               .query_id();
    v1::ControlMessage message;
    v1::ChannelDef& def = *message.mutable_batch()->add_items()->mutable_channel_def();
    def.set_handle(handle);
    def.set_service("mahavishnu");
    def.set_channel(channel);
    def.set_epoch("e1");
    def.set_offset(head);
    def.set_policy(v1::BACKLOG_POLICY_CLOSE);
    def.set_gap_policy(gap);
    v1::SubscribeResult& result = *message.mutable_batch()->add_items()->mutable_subscribe_result();
    result.set_query_id(query);
    result.set_handle(handle);
    result.mutable_head()->set_epoch("e1");
    result.mutable_head()->set_offset(head);
    result.set_last_page(true);
    EXPECT_TRUE(server_.Send(message));
    EXPECT_EQ(Read(client)["data"]["offset"], head);
  }

  static void AddDeliver(v1::ControlMessage* message, uint32_t handle, int64_t offset,
                         uint64_t tracked = 0) {
    v1::Deliver& deliver = *message->mutable_batch()->add_items()->mutable_deliver();
    deliver.set_handle(handle);
    deliver.set_offset(offset);
    deliver.set_publication_id(tracked);
    deliver.set_envelope(absl::StrCat(R"({"type":"event","offset":)", offset, "}"));
  }

  // The answer of the worker's own HTTP port.
  std::string Ops(const std::string& path) {
    WsClient client(static_cast<uint16_t>(std::stoi(ops_.substr(ops_.rfind(':') + 1))));
    client.SendRaw(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    return client.ReadToEnd();
  }

  FakeWorkersServer server_;
  v1::WorkerConfig config_;
  uint64_t nonce_ = 0;
  std::string ops_;
  std::unique_ptr<Worker> worker_;
};

// ------------------------------------------------------------------------------- configuration

TEST_F(WorkerTest, SaysWhoItIs) {
  StartWorker();
  const v1::Hello hello =
      Await([](const v1::WorkerItem& item) { return item.has_hello(); }).hello();
  EXPECT_EQ(hello.protocol_version(), 1u);
  EXPECT_EQ(hello.worker_id(), "worker-2");
  EXPECT_EQ(hello.slot(), 2u);
  EXPECT_GT(hello.incarnation(), 0u);
  EXPECT_EQ(hello.config_version(), 0u);
  EXPECT_FALSE(hello.draining());
}

TEST_F(WorkerTest, PutsAConfigurationInForceAndServesIt) {
  const uint16_t port = Ready();
  ASSERT_NE(port, 0);
  Connect(port);
  EXPECT_THAT(Ops("/readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ops("/metrics"), HasSubstr("fanwire_worker_sessions{service=\"mahavishnu\"}"));
}

TEST_F(WorkerTest, RefusesAConfigurationThatCannotBeAndKeepsTheFormer) {
  const uint16_t port = Ready();
  config_.set_version(2);
  AddService("broken")->mutable_listeners(0)->set_host("nowhere");
  const v1::ConfigAck ack = Configure();
  EXPECT_THAT(ack.error(), HasSubstr("broken"));
  EXPECT_EQ(ack.version(), 1u);
  EXPECT_EQ(ack.listeners_size(), 0);
  Connect(port);
}

TEST_F(WorkerTest, ClientsOfARemovedServiceAreToldAndClosed) {
  AddService("akosha");
  StartWorker();
  ASSERT_TRUE(WaitFor([&] { return server_.attachments() == 1; }));
  const v1::ConfigAck ack = Configure();
  ASSERT_EQ(ack.listeners_size(), 2);
  Grant(10, "akosha");
  const auto client = Connect(static_cast<uint16_t>(ack.listeners(1).port()));
  config_.mutable_services()->RemoveLast();
  Configure();
  const Json told = Read(client.get());
  EXPECT_EQ(told["event"], "server.draining");
  EXPECT_EQ(told["data"]["reason"], "service was removed");
  const auto close = client->ReadFrame();
  ASSERT_TRUE(close.has_value());
  EXPECT_EQ(close->opcode, 8);
}

// ------------------------------------------------------------------------------- publications

TEST_F(WorkerTest, DeliversAcknowledgesAndReports) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5, 41);
  v1::ControlMessage message;
  AddDeliver(&message, 5, 42, /*tracked=*/77);
  ASSERT_TRUE(server_.Send(message));
  EXPECT_EQ(Read(client.get())["offset"], 42);
  const v1::DeliveryReport report = Await([](const v1::WorkerItem& item) {
                                      return item.has_delivery_report();
                                    }).delivery_report();
  EXPECT_EQ(report.publication_id(), 77u);
  EXPECT_EQ(report.matched(), 1);
  EXPECT_EQ(report.written(), 1);
  EXPECT_TRUE(report.final());
  // Two items of the subscribe, and this.
  Await([](const v1::WorkerItem& item) { return item.ack().seq() == 3; });
}

TEST_F(WorkerTest, OneAcknowledgementServesManyTurns) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5);
  constexpr int kMessages = 100;  // each read before the next is sent: a turn of its own
  for (int i = 1; i <= kMessages; ++i) {
    v1::ControlMessage message;
    AddDeliver(&message, 5, i);
    ASSERT_TRUE(server_.Send(message));
    EXPECT_EQ(Read(client.get())["offset"], i);
  }
  Await([](const v1::WorkerItem& item) { return item.ack().seq() == kMessages + 2; });
  EXPECT_LT(server_.Count([](const v1::WorkerItem& item) { return item.has_ack(); }),
            kMessages / 2);
}

TEST_F(WorkerTest, WhatControlSendsAgainIsNotDeliveredAgain) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5, 10);
  v1::ControlMessage message;
  for (const int64_t offset : {11, 12, 11, 12, 13}) AddDeliver(&message, 5, offset);
  AddDeliver(&message, 99, 1);  // of no channel
  ASSERT_TRUE(server_.Send(message));
  for (const int64_t offset : {11, 12, 13}) EXPECT_EQ(Read(client.get())["offset"], offset);
}

TEST_F(WorkerTest, AGapIsToldOnceAndThenGoesOnLive) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5, 10);
  v1::ControlMessage message;
  for (int i = 0; i < 2; ++i) {
    v1::ChannelGap& gap = *message.mutable_batch()->add_items()->mutable_channel_gap();
    gap.set_handle(5);
    gap.set_from(11);
    gap.set_to(20);
    gap.set_reason("history_expired");
    gap.set_epoch("e1");
  }
  AddDeliver(&message, 5, 21);
  ASSERT_TRUE(server_.Send(message));
  const Json skipped = Read(client.get());
  EXPECT_EQ(skipped["event"], "channel.skipped");
  EXPECT_EQ(skipped["data"]["from"], 11);
  EXPECT_EQ(skipped["data"]["to"], 20);
  EXPECT_EQ(skipped["data"]["reason"], "history_expired");
  EXPECT_FALSE(skipped["data"].contains("epoch"));
  EXPECT_EQ(Read(client.get())["offset"], 21);
}

TEST_F(WorkerTest, AGapClosesWhereThatIsThePolicy) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5, 10, v1::GAP_POLICY_CLOSE);
  v1::ControlMessage message;
  v1::ChannelGap& gap = *message.mutable_batch()->add_items()->mutable_channel_gap();
  gap.set_handle(5);
  gap.set_to(3);
  gap.set_reason("epoch_changed");
  gap.set_epoch("e2");
  ASSERT_TRUE(server_.Send(message));
  const auto close = client->ReadFrame();
  ASSERT_TRUE(close.has_value());
  ASSERT_EQ(close->opcode, 8);
  EXPECT_EQ(static_cast<uint8_t>(close->payload[0]) << 8 | static_cast<uint8_t>(close->payload[1]),
            4003);
}

TEST_F(WorkerTest, AfterABreakItTellsWhereEachChannelIs) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5, 10);
  v1::ControlMessage message;
  AddDeliver(&message, 5, 11);
  ASSERT_TRUE(server_.Send(message));
  EXPECT_EQ(Read(client.get())["offset"], 11);
  server_.Drop();
  ASSERT_TRUE(WaitFor([&] { return server_.attachments() == 2; }));
  const v1::InterestSnapshot snapshot = Await([](const v1::WorkerItem& item) {
                                          return item.interest_snapshot().last();
                                        }).interest_snapshot();
  ASSERT_EQ(snapshot.interests_size(), 1);
  EXPECT_EQ(snapshot.interests(0).channel(), "a");
  ASSERT_EQ(snapshot.positions_size(), 1);
  EXPECT_EQ(snapshot.positions(0).position().epoch(), "e1");
  EXPECT_EQ(snapshot.positions(0).position().offset(), 11);
  // The same channel under a handle of the new attachment.
  message.Clear();
  v1::ChannelDef& def = *message.mutable_batch()->add_items()->mutable_channel_def();
  def.set_handle(1);
  def.set_service("mahavishnu");
  def.set_channel("a");
  def.set_epoch("e1");
  def.set_offset(10);
  AddDeliver(&message, 1, 11);
  AddDeliver(&message, 1, 12);
  ASSERT_TRUE(server_.Send(message));
  EXPECT_EQ(Read(client.get())["offset"], 12);
}

TEST_F(WorkerTest, AttachedAgainItTellsItsCountsFirst) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5, 10);
  v1::ControlMessage message;
  AddDeliver(&message, 5, 11);
  ASSERT_TRUE(server_.Send(message));
  EXPECT_EQ(Read(client.get())["offset"], 11);
  server_.Drop();
  ASSERT_TRUE(WaitFor([&] { return server_.attachments() == 2; }));
  Await([](const v1::WorkerItem& item) { return item.interest_snapshot().last(); });
  std::vector<v1::WorkerItem> items = server_.items();
  std::erase_if(items, [](const v1::WorkerItem& item) { return item.has_hello(); });
  ASSERT_FALSE(items.empty());
  ASSERT_TRUE(items[0].has_heartbeat()) << items[0].ShortDebugString();
  ASSERT_EQ(items[0].heartbeat().services_size(), 1);
  EXPECT_EQ(items[0].heartbeat().services(0).matched(), 1);
}

// ------------------------------------------------------------------------------- orders

TEST_F(WorkerTest, HeartbeatsTellItsLoad) {
  const uint16_t port = Ready();
  const auto client = Connect(port);
  Subscribe(client.get(), "a", 5);
  const v1::Heartbeat heartbeat = Await([](const v1::WorkerItem& item) {
                                    return item.heartbeat().interest_count() == 1;
                                  }).heartbeat();
  ASSERT_EQ(heartbeat.services_size(), 1);
  EXPECT_EQ(heartbeat.services(0).sessions(), 1);
  EXPECT_EQ(heartbeat.services(0).subscriptions(), 1);
  EXPECT_GT(heartbeat.rss_bytes(), 0u);
  EXPECT_GT(heartbeat.file_limit(), heartbeat.max_connections());
  EXPECT_GT(heartbeat.max_connections(), 0u);
}

TEST_F(WorkerTest, AClientWithoutASlotWaitsForOne) {
  StartWorker();
  ASSERT_TRUE(WaitFor([&] { return server_.attachments() == 1; }));
  const auto port = static_cast<uint16_t>(Configure().listeners(0).port());
  WsClient client(port);
  ASSERT_TRUE(client.Handshake());
  Await([](const v1::WorkerItem& item) { return item.slot_request().waiting() == 1; });
  Grant(4);
  EXPECT_EQ(Read(&client)["event"], "session.created");
  // Asked for them back, it keeps what is in use, and says so.
  Grant(0);
  const v1::SlotRequest confirmed = Await([](const v1::WorkerItem& item) {
                                      return item.slot_request().confirms();
                                    }).slot_request();
  EXPECT_EQ(confirmed.want(), 1u);
  EXPECT_EQ(confirmed.in_use(), 1u);
}

TEST_F(WorkerTest, AnswersQueriesAndSendsSnapshotsAndClientsTheirReplies) {
  const auto client = Connect(Ready());
  v1::ControlMessage message;
  message.mutable_query()->set_query_id(6);
  message.mutable_query()->mutable_connections();
  ASSERT_TRUE(server_.Send(message));
  const v1::QueryReply reply = Await([](const v1::WorkerItem& item) {
                                 return item.query_reply().query_id() == 6;
                               }).query_reply();
  ASSERT_EQ(reply.connections_size(), 1);
  EXPECT_EQ(reply.connections(0).worker_id(), "worker-2");
  const auto snapshots = [&] {
    return server_.Count([](const v1::WorkerItem& item) { return item.has_interest_snapshot(); });
  };
  const int64_t before = snapshots();
  message.mutable_snapshot_request();
  ASSERT_TRUE(server_.Send(message));
  ASSERT_TRUE(WaitFor([&] { return snapshots() == before + 1; }));
  client->SendText(R"({"type":"request","id":"h","event":"history","data":{"channel":"a"}})");
  const uint64_t request =
      Await([](const v1::WorkerItem& item) { return item.has_client_request(); })
          .client_request()
          .request_id();
  message.mutable_client_replies()->add_replies()->set_request_id(request);
  message.mutable_client_replies()->mutable_replies(0)->set_data(R"({"events":[]})");
  ASSERT_TRUE(server_.Send(message));
  EXPECT_EQ(Read(client.get())["data"]["events"], Json::array());
}

TEST_F(WorkerTest, AnOrderToDrainClosesClientsAndKeepsTheProcess) {
  const auto client = Connect(Ready());
  v1::ControlMessage message;
  v1::Drain& drain = *message.mutable_drain();
  drain.mutable_window()->set_nanos(1'000'000);
  drain.mutable_deadline()->set_nanos(300'000'000);
  drain.set_close_code(1001);
  drain.set_reason("maintenance");
  ASSERT_TRUE(server_.Send(message));
  EXPECT_EQ(Read(client.get())["data"]["reason"], "maintenance");
  Await([](const v1::WorkerItem& item) { return item.drain_status().done(); });
  EXPECT_FALSE(worker_->finished());
  EXPECT_THAT(Ops("/readyz"), StartsWith("HTTP/1.1 503"));
  // Told later to go as well, it goes.
  drain.set_exit(true);
  ASSERT_TRUE(server_.Send(message));
  EXPECT_TRUE(WaitFor([&] { return worker_->finished(); }));
  EXPECT_EQ(worker_->exit_code(), 0);
}

// ------------------------------------------------------------------------------- the end

TEST_F(WorkerTest, StoppedItDrainsItsClientsTellsItsLastCountsAndEnds) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5);
  worker_->Stop();
  EXPECT_EQ(Read(client.get())["event"], "server.draining");
  ASSERT_TRUE(WaitFor([&] { return worker_->finished(); }));
  EXPECT_EQ(worker_->exit_code(), 0);
  const v1::Heartbeat last = Await([](const v1::WorkerItem& item) {
                               return item.has_heartbeat() &&
                                      item.heartbeat().services_size() > 0 &&
                                      item.heartbeat().services(0).sessions_closed() == 1;
                             }).heartbeat();
  EXPECT_EQ(last.services(0).sessions(), 0);
}

TEST_F(WorkerTest, BeforeItWasConfiguredItEndsAtOnce) {
  server_.Stop();
  StartWorker();
  worker_->Stop();
  EXPECT_TRUE(WaitFor([&] { return worker_->finished(); }));
  EXPECT_EQ(worker_->exit_code(), 0);
}

TEST_F(WorkerTest, OneWhosePlaceIsTakenEndsWithOne) {
  server_.set_refusal(absl::FailedPreconditionError("replaced"));
  StartWorker();
  ASSERT_TRUE(WaitFor([&] { return worker_->finished(); }));
  EXPECT_EQ(worker_->exit_code(), 1);
}

TEST_F(WorkerTest, WithoutControlForTooLongItDrainsAndEnds) {
  config_.mutable_worker()->mutable_orphan_timeout()->set_seconds(0);
  config_.mutable_worker()->mutable_orphan_timeout()->set_nanos(100'000'000);
  const auto client = Connect(Ready());
  server_.Stop();
  const Json told = Read(client.get());
  EXPECT_EQ(told["event"], "server.draining");
  EXPECT_EQ(told["data"]["reason"], "control is gone");
  ASSERT_TRUE(WaitFor([&] { return worker_->finished(); }));
  EXPECT_EQ(worker_->exit_code(), 0);
}

TEST_F(WorkerTest, ClientsStayWhileControlIsAway) {
  const auto client = Connect(Ready());
  Subscribe(client.get(), "a", 5);
  server_.Stop();
  client->SendText(R"({"type":"ping","id":"p"})");
  EXPECT_EQ(Read(client.get())["type"], "pong");
  EXPECT_TRUE(WaitFor([&] { return absl::StartsWith(Ops("/readyz"), "HTTP/1.1 503"); }));
  server_.Start();
  ASSERT_TRUE(WaitFor([&] { return server_.attachments() == 2; }));
  EXPECT_EQ(server_.items()[0].hello().connections(), 1);
  EXPECT_EQ(server_.items()[0].hello().config_version(), 1u);
}

}  // namespace
}  // namespace fanwire::fanout
