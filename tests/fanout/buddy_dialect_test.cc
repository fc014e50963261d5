// What clients of session-buddy's dialect say and get.
#include "fanout/buddy_dialect.h"

#include <string>
#include <utility>

#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class BuddyDialectTest : public SessionFixture {
 protected:
  PairClient* Buddy() {
    SessionStart start;
    start.dialect = Dialect::kSessionBuddy;
    PairClient* const client = Connect(std::move(start));
    EXPECT_EQ(client->Next()["type"], "connected");
    return client;
  }

  const Service::Channels& channels() { return service_->channels(Dialect::kSessionBuddy); }
};

TEST_F(BuddyDialectTest, EveryClientBeginsOnTheChannelOfAllSkills) {
  PairClient* const client = Buddy();
  EXPECT_TRUE(SessionOf(client)->SubscribesTo("metrics"));
  EXPECT_EQ(SessionOf(client)->Describe().channel_count, 1);
}

TEST_F(BuddyDialectTest, ASubscribeMovesTheClientToOneSkillAndAnUnsubscribeBack) {
  PairClient* const client = Buddy();
  client->SayJson(Json{{"type", "subscribe"}, {"skill", "review"}});
  Quiet();
  const Json confirmed = client->Next();
  EXPECT_EQ(confirmed["skill"], "review");
  EXPECT_TRUE(SessionOf(client)->SubscribesTo("metrics:review"));
  EXPECT_FALSE(SessionOf(client)->SubscribesTo("metrics"));
  client->SayJson(Json{{"type", "unsubscribe"}});
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_TRUE(SessionOf(client)->SubscribesTo("metrics"));
  EXPECT_THAT(channels(), SizeIs(1));
}

TEST_F(BuddyDialectTest, ASkillThatIsNoChannelNameIsConfirmedAndBringsNothing) {
  PairClient* const client = Buddy();
  client->SayJson(Json{{"type", "subscribe"}, {"skill", " trailing "}});
  Quiet();
  EXPECT_EQ(client->Next()["skill"], " trailing ");
  EXPECT_EQ(SessionOf(client)->Describe().channel_count, 0);
}

TEST_F(BuddyDialectTest, WhatCannotBeReadIsIgnoredAndAPingIsAnswered) {
  PairClient* const client = Buddy();
  client->Say("no JSON");
  client->SayJson(Json{{"type", "ping"}});
  Quiet();
  EXPECT_EQ(client->Next(), (Json{{"type", "pong"}}));
  EXPECT_THAT(client->messages, IsEmpty());
}

}  // namespace
}  // namespace fanwire::fanout
