#include "fanout/channel.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/policies.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

TEST(ChannelRefTest, AChannelLivesAsLongAsItsLastReference) {
  auto service = std::make_unique<Service>(std::make_shared<ServiceSettings>(v1::WorkerService()));
  std::vector<ChannelRef> references;
  references.emplace_back(service->FindOrMakeChannel(Dialect::kCommon, "a"));
  references.push_back(references.front());
  references.push_back(std::move(references.front()));
  EXPECT_FALSE(references.front());
  service = nullptr;
  references.erase(references.begin());
  EXPECT_EQ(references.front()->references(), 2u);
  references.pop_back();
  EXPECT_EQ(references.front()->name, "a");
}

class SubscriberTableTest : public SessionFixture {
 protected:
  const SubscriberTable& table() {
    return service_->FindChannel(Dialect::kCommon, "a")->subscribers;
  }

  // Every subscriber's session knows where it is: it can leave without harm to the others.
  void ExpectSound(size_t size) {
    ASSERT_EQ(table().size(), size);
    std::set<const Session*> sessions;
    for (const Subscriber& subscriber : table().entries()) {
      if (subscriber.session != nullptr) sessions.insert(subscriber.session);
    }
    EXPECT_EQ(sessions.size(), size);
  }
};

TEST_F(SubscriberTableTest, WhoLeavesIsReplacedByTheLast) {
  std::vector<PairClient*> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Subscribed("a"));
  clients[1]->Unsubscribe("a");
  Quiet();
  ExpectSound(4);
  EXPECT_EQ(table().entries()[1].session, SessionOf(clients[4]));
  clients[4]->Unsubscribe("a");  // it must know its new place
  Quiet();
  ExpectSound(3);
  for (const Subscriber& subscriber : table().entries()) {
    EXPECT_NE(subscriber.session, SessionOf(clients[4]));
  }
}

TEST_F(SubscriberTableTest, WhileWalkedNothingMovesAndAfterwardsHolesAreClosed) {
  std::vector<PairClient*> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(Subscribed("a"));
  auto& walked = const_cast<SubscriberTable&>(table());
  walked.BeginWalk();
  walked.BeginWalk();
  for (const int leaves : {0, 2, 5}) clients[static_cast<size_t>(leaves)]->Unsubscribe("a");
  Quiet();
  EXPECT_EQ(table().entries().size(), 6u);
  EXPECT_EQ(table().size(), 3u);
  EXPECT_EQ(table().entries()[1].session, SessionOf(clients[1]));
  EXPECT_EQ(table().entries()[2].session, nullptr);
  SubscribeTo(clients[0], "a");  // at the end, not into a hole
  EXPECT_EQ(table().entries()[6].session, SessionOf(clients[0]));
  walked.EndWalk();
  EXPECT_TRUE(table().walked());
  EXPECT_EQ(table().entries().size(), 7u);
  walked.EndWalk();
  ExpectSound(4);
  EXPECT_EQ(table().entries().size(), 4u);
  for (PairClient* const client : clients) client->Unsubscribe("a");
  Quiet();
  EXPECT_EQ(service_->FindChannel(Dialect::kCommon, "a"), nullptr);
}

TEST_F(SubscriberTableTest, ATableOfHolesAloneIsEmptyAfterwards) {
  PairClient* const client = Subscribed("a");
  auto& walked = const_cast<SubscriberTable&>(table());
  const ChannelRef held(service_->FindChannel(Dialect::kCommon, "a"));
  walked.BeginWalk();
  client->Unsubscribe("a");
  Quiet();
  EXPECT_TRUE(walked.empty());
  walked.EndWalk();
  EXPECT_TRUE(walked.entries().empty());
}

TEST_F(SubscriberTableTest, AfterManyHaveLeftTheMemoryIsGivenBack) {
  std::vector<PairClient*> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(Subscribed("a"));
  const size_t before = table().entries().capacity();
  for (size_t i = 1; i < clients.size(); ++i) clients[i]->Unsubscribe("a");
  Quiet();
  EXPECT_LT(table().entries().capacity(), before / 2);
  ExpectSound(1);
}

}  // namespace
}  // namespace fanwire::fanout
