// A worker's configuration: put in force as a whole or not at all.
#include "fanout/worker_configuration.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/jwt.h"
#include "common/log.h"
#include "tests/fanout/ports_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::HasSubstr;

class WorkerConfigurationTest : public PortsFixture {
 protected:
  WorkerConfigurationTest() : configuration_(ports_.get(), &hub_), config_(Config()) {
    config_.mutable_log()->set_level("error");
    v1::WorkerProcessConfig& worker = *config_.mutable_worker();
    worker.mutable_orphan_timeout()->set_seconds(30);
    worker.mutable_drain_window()->set_seconds(2);
    worker.mutable_drain_deadline()->set_seconds(7);
    worker.mutable_reconnect_after_min()->set_seconds(1);
    worker.mutable_reconnect_after_max()->set_seconds(9);
  }
  ~WorkerConfigurationTest() override { SetLogLevel(level_); }

  bool Apply(bool open_ports = true) {
    ack_.Clear();
    config_.set_version(config_.version() + 1);
    const bool applied =
        configuration_.Apply(config_, open_ports, ServicePorts::Opening::kAllOrNone, &ack_);
    for (Service* const service : ports_->services()) service->slots().Grant(1000);
    return applied;
  }

  const LogLevel level_ = GetLogLevel();
  WorkerConfiguration configuration_;
  v1::WorkerConfig config_;  // version 1; each Apply() is the next
};

TEST_F(WorkerConfigurationTest, OpensItsListenersAndIsRemembered) {
  EXPECT_FALSE(configuration_.received());
  EXPECT_EQ(configuration_.version(), 0u);
  ASSERT_TRUE(Apply());
  EXPECT_TRUE(configuration_.received());
  EXPECT_EQ(configuration_.version(), 2u);
  EXPECT_EQ(configuration_.orphan_timeout(), absl::Seconds(30));
  ASSERT_EQ(ack_.listeners_size(), 1);
  EXPECT_TRUE(Listens(ports()[0]));
  EXPECT_EQ(ack_.error(), "");
}

TEST_F(WorkerConfigurationTest, OneThatIsRefusedChangesNothing) {
  ASSERT_TRUE(Apply());
  const uint16_t port = ports()[0];
  config_.mutable_worker()->mutable_orphan_timeout()->set_seconds(99);
  config_.mutable_log()->set_level("debug");
  AddListener(AddService(&config_, "akosha"))->set_host("no address");
  SetLogLevel(LogLevel::kError);
  EXPECT_FALSE(Apply());
  EXPECT_THAT(ack_.error(), HasSubstr("no address"));
  EXPECT_EQ(ack_.listeners_size(), 0);
  EXPECT_EQ(configuration_.version(), 2u);
  EXPECT_EQ(configuration_.orphan_timeout(), absl::Seconds(30));
  EXPECT_EQ(GetLogLevel(), LogLevel::kError);
  EXPECT_TRUE(Listens(port));
}

TEST_F(WorkerConfigurationTest, OtherPermissionsEndSubscriptionsThatTheyDoNotAllow) {
  const JwtKey key = {"k1", "a secret of some length"};
  v1::WorkerService& service = *config_.mutable_services(0);
  v1::Key* const known = service.add_keys();
  known->set_id(key.id);
  known->set_secret(key.secret);
  service.set_token_in_query(true);
  v1::PermissionRule* const rule = service.add_permissions();
  rule->set_prefix("workflow:");
  rule->add_any_of("workflow:read");
  ASSERT_TRUE(Apply());
  JwtClaims claims;
  claims.permissions = {"workflow:read"};
  PairClient* const client = Connect(ports()[0], absl::StrCat("/?token=", MintJwt(claims, key)));
  client->Subscribe("workflow:1");
  ASSERT_TRUE(RunUntil([&] { return !client->Named("subscribe").empty(); }));
  PairClient* const anonymous = Subscribed(ports()[0], "workflow:1");
  client->Clear();
  anonymous->Clear();
  config_.mutable_worker()->mutable_orphan_timeout()->set_seconds(31);
  ASSERT_TRUE(Apply());  // the same permissions
  rule->set_any_of(0, "workflow:admin");
  ASSERT_TRUE(Apply());
  ASSERT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_EQ(client->messages[0]["event"], "channel.unsubscribed");
  EXPECT_EQ(client->messages[0]["data"],
            (Json{{"channel", "workflow:1"}, {"reason", "permissions_changed"}}));
  EXPECT_EQ(this->service()->counts().subscriptions, 1);
  EXPECT_TRUE(anonymous->messages.empty());
}

TEST_F(WorkerConfigurationTest, AWorkerThatDrainsOpensNoListener) {
  ASSERT_TRUE(Apply(/*open_ports=*/false));
  EXPECT_EQ(configuration_.version(), 2u);
  EXPECT_EQ(ack_.listeners_size(), 0);
  EXPECT_FALSE(ports_->listening());
}

TEST_F(WorkerConfigurationTest, TheLogIsAsConfigured) {
  SetLogLevel(LogLevel::kInfo);
  ASSERT_TRUE(Apply());
  EXPECT_EQ(GetLogLevel(), LogLevel::kError);
  config_.mutable_log()->set_level("warning");
  ASSERT_TRUE(Apply());
  EXPECT_EQ(GetLogLevel(), LogLevel::kWarning);
}

TEST_F(WorkerConfigurationTest, ReadingHasItsSlice) {
  config_.mutable_worker()->mutable_read_slice_time()->set_seconds(3600);
  ASSERT_TRUE(Apply());
  Connect(ports()[0]);
  EXPECT_FALSE(loop_.SliceOver());
  config_.mutable_worker()->clear_read_slice_time();
  ASSERT_TRUE(Apply());
  Connect(ports()[0]);
  EXPECT_TRUE(loop_.SliceOver());
}

TEST_F(WorkerConfigurationTest, SessionsOfARemovedServiceAreToldAndClosed) {
  AddListener(AddService(&config_, "akosha"));
  ASSERT_TRUE(Apply());
  PairClient* const stays = Connect(ports()[0]);
  PairClient* const goes = Connect(ports()[1]);
  config_.mutable_services()->RemoveLast();
  ASSERT_TRUE(Apply());
  configuration_.CloseRemovedServices();
  ASSERT_TRUE(RunUntil([&] { return goes->close_code.has_value(); }));
  EXPECT_EQ(goes->close_code, 1012);
  EXPECT_EQ(goes->close_reason, "service was removed");
  const Json told = goes->Next();
  EXPECT_EQ(told["event"], "server.draining");
  EXPECT_EQ(told["data"]["reason"], "service was removed");
  EXPECT_TRUE(stays->messages.empty());
  EXPECT_EQ(stays->close_code, std::nullopt);
}

TEST_F(WorkerConfigurationTest, ADrainOfItsOwnHasTheConfiguredTimes) {
  ASSERT_TRUE(Apply());
  DrainOrder order = configuration_.OwnDrain("stopping");
  EXPECT_EQ(order.reason, "stopping");
  EXPECT_EQ(order.window, absl::Seconds(2));
  EXPECT_EQ(order.deadline, absl::Seconds(7));
  configuration_.SetReconnectTimes(&order);
  EXPECT_EQ(order.reconnect_after_min, absl::Seconds(1));
  EXPECT_EQ(order.reconnect_after_max, absl::Seconds(9));
}

TEST_F(WorkerConfigurationTest, BeforeTheFirstOneADrainHasItsDefaults) {
  DrainOrder order = configuration_.OwnDrain("stopping");
  configuration_.SetReconnectTimes(&order);
  EXPECT_EQ(order.reason, "stopping");
  EXPECT_EQ(order.window, DrainOrder().window);
  EXPECT_EQ(order.deadline, DrainOrder().deadline);
  EXPECT_EQ(order.reconnect_after_min, DrainOrder().reconnect_after_min);
  EXPECT_EQ(order.reconnect_after_max, DrainOrder().reconnect_after_max);
}

}  // namespace
}  // namespace fanwire::fanout
