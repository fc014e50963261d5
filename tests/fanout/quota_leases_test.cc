// What control is asked for, and which session gets what it grants.
#include "fanout/quota_leases.h"

#include <string>
#include <vector>

#include "tests/fakes/fake_link.h"
#include "tests/fanout/ports_fixture.h"
#include "tests/testing/status.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// The sessions' Upstream, whose connections come from leases.
class LeasingUpstream final : public GrantingUpstream {
 public:
  LeasingUpstream(EventLoop* loop, QuotaLeases* leases) : GrantingUpstream(loop), leases_(leases) {}

  void WaitForSlot(Session* session) override { leases_->WaitForSlot(session); }
  void StopWaiting(Session* session) override { leases_->StopWaiting(session); }
  void SlotsChanged(Service* service) override { leases_->Ask(service); }

 private:
  QuotaLeases* const leases_;
};

class QuotaLeasesTest : public PortsFixture {
 protected:
  QuotaLeasesTest() : leases_(&link_, ports_.get()), upstream_(&loop_, &leases_) {
    context_.upstream = &upstream_;
  }
  ~QuotaLeasesTest() override { ports_ = nullptr; }  // sessions leave

  // One service without any quota.
  void Open() { ASSERT_OK(ports_->Apply(Config(), ServicePorts::Opening::kAllOrNone, &ack_)); }

  // A client that has asked for the upgrade.
  PairClient* Arrived() {
    PairClient* const client = Dialled(ports()[0]);
    const uint32_t waiting = service()->slots().waiting();
    const uint32_t in_use = service()->slots().in_use();
    client->Say(WsClient::UpgradeRequest("/"));
    EXPECT_TRUE(RunUntil([&] {
      return service()->slots().waiting() > waiting || service()->slots().in_use() > in_use;
    }));
    return client;
  }

  void Grant(uint32_t slots, const std::string& name = "mahavishnu") {
    v1::SlotGrants grants;
    grants.add_grants()->set_service(name);
    grants.mutable_grants(0)->set_slots(slots);
    leases_.OnGrants(grants);
  }

  bool Welcomed(const PairClient* client) {
    return RunUntil([&] { return !client->messages.empty(); });
  }

  // The requests sent since the last call.
  std::vector<v1::SlotRequest> Asked() {
    std::vector<v1::SlotRequest> asked;
    for (const v1::WorkerItem& item : link_.Take()) {
      if (item.has_slot_request()) asked.push_back(item.slot_request());
    }
    return asked;
  }

  FakeLink link_;
  QuotaLeases leases_;
  LeasingUpstream upstream_;
};

TEST_F(QuotaLeasesTest, ASessionWithoutAConnectionWaitsAndControlIsAsked) {
  Open();
  const PairClient* const client = Arrived();
  const std::vector<v1::SlotRequest> asked = Asked();
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].service(), "mahavishnu");
  EXPECT_EQ(asked[0].waiting(), 1u);
  EXPECT_EQ(asked[0].in_use(), 0u);
  EXPECT_GT(asked[0].want(), 1u);
  EXPECT_FALSE(asked[0].confirms());
  EXPECT_THAT(client->messages, IsEmpty());
  Grant(asked[0].want());
  EXPECT_TRUE(Welcomed(client));
  EXPECT_EQ(service()->slots().waiting(), 0u);
  EXPECT_EQ(service()->slots().in_use(), 1u);
}

TEST_F(QuotaLeasesTest, WhoWaitsLongestIsServedFirst) {
  Open();
  const PairClient* const first = Arrived();
  const PairClient* const second = Arrived();
  Grant(1);
  EXPECT_TRUE(Welcomed(first));
  EXPECT_THAT(second->messages, IsEmpty());
  EXPECT_EQ(service()->slots().waiting(), 1u);
  Grant(2);
  EXPECT_TRUE(Welcomed(second));
}

TEST_F(QuotaLeasesTest, ASessionThatLeavesWaitsNoMore) {
  Open();
  PairClient* const first = Arrived();
  const PairClient* const second = Arrived();
  first->Close();
  ASSERT_TRUE(RunUntil([&] { return service()->slots().waiting() == 1; }));
  Grant(1);
  EXPECT_TRUE(Welcomed(second));
}

TEST_F(QuotaLeasesTest, NothingIsAskedTwice) {
  Open();
  Arrived();
  EXPECT_THAT(Asked(), SizeIs(1));
  leases_.AskForAll();
  EXPECT_THAT(Asked(), IsEmpty());
}

TEST_F(QuotaLeasesTest, AnAttachmentIsAskedAnew) {
  Open();
  Arrived();
  Asked();
  leases_.AskAnew();
  EXPECT_THAT(Asked(), SizeIs(1));
}

TEST_F(QuotaLeasesTest, WhatControlMissedIsAskedWhenItIsThere) {
  Open();
  link_.is_attached = false;
  Arrived();
  EXPECT_THAT(Asked(), IsEmpty());
  link_.is_attached = true;
  leases_.AskForAll();
  EXPECT_THAT(Asked(), SizeIs(1));
}

TEST_F(QuotaLeasesTest, WhatControlTakesBackIsConfirmedWithWhatStaysInUse) {
  Open();
  Grant(10);
  ASSERT_TRUE(Welcomed(Arrived()));
  Asked();
  Grant(0);
  const std::vector<v1::SlotRequest> asked = Asked();
  ASSERT_FALSE(asked.empty());
  EXPECT_TRUE(asked[0].confirms());
  EXPECT_EQ(asked[0].want(), 1u);
  EXPECT_EQ(asked[0].in_use(), 1u);
}

TEST_F(QuotaLeasesTest, AGrantForAServiceThatIsNotHereHasNoEffect) {
  Open();
  Grant(10, "akosha");
  EXPECT_THAT(Asked(), IsEmpty());
  EXPECT_EQ(service()->slots().held(), 0u);
}

TEST_F(QuotaLeasesTest, HelloTellsWhatIsHeld) {
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"));
  ASSERT_OK(ports_->Apply(config, ServicePorts::Opening::kAllOrNone, &ack_));
  Grant(10);
  ASSERT_TRUE(Welcomed(Arrived()));
  v1::Hello hello;
  leases_.FillHello(&hello);
  ASSERT_EQ(hello.slots_size(), 1);
  EXPECT_EQ(hello.slots(0).service(), "mahavishnu");
  EXPECT_EQ(hello.slots(0).want(), 10u);
  EXPECT_EQ(hello.slots(0).in_use(), 1u);
}

}  // namespace
}  // namespace fanwire::fanout
