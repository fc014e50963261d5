// What control may ask of a worker's sessions.
#include "fanout/worker_queries.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/policies.h"
#include "tests/fanout/ports_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class WorkerQueriesTest : public PortsFixture {
 protected:
  WorkerQueriesTest() {
    v1::WorkerConfig config = Config();
    AddListener(AddService(&config, "akosha"));
    v1::ListenerConfig* const buddy = AddListener(config.mutable_services(1));
    buddy->set_dialect(v1::DIALECT_SESSION_BUDDY);
    EXPECT_OK(Apply(config));
  }

  std::vector<v1::QueryReply> Ask(const v1::Query& query) {
    std::vector<v1::QueryReply> replies;
    AnswerQuery(query, "worker-3", *ports_, [&](std::unique_ptr<v1::WorkerItem> item) {
      replies.push_back(item->query_reply());
    });
    EXPECT_FALSE(replies.empty());
    for (size_t i = 0; i < replies.size(); ++i) {
      EXPECT_EQ(replies[i].query_id(), query.query_id());
      EXPECT_EQ(replies[i].last(), i + 1 == replies.size());
    }
    return replies;
  }

  // Ids of the sessions that fit.
  std::vector<std::string> Ids(const v1::ConnectionFilter& filter, int64_t limit = 0) {
    v1::Query query;
    query.set_query_id(4);
    *query.mutable_connections()->mutable_filter() = filter;
    query.mutable_connections()->set_limit(limit);
    std::vector<std::string> ids;
    for (const v1::QueryReply& reply : Ask(query)) {
      for (const v1::ConnectionInfo& info : reply.connections()) ids.push_back(info.id());
    }
    return ids;
  }

  std::map<std::string, int64_t> Rooms(const std::string& service = "") {
    v1::Query query;
    query.mutable_rooms()->set_service(service);
    std::map<std::string, int64_t> rooms;
    for (const v1::QueryReply& reply : Ask(query)) {
      for (const v1::RoomInfo& room : reply.rooms()) {
        rooms[room.service() + "/" + room.channel() + (room.pattern() ? " (pattern)" : "")] =
            room.subscribers();
      }
    }
    return rooms;
  }

  int64_t Disconnect(const v1::ConnectionFilter& filter, uint32_t code = 0,
                     const std::string& reason = "") {
    v1::Query query;
    *query.mutable_disconnect()->mutable_filter() = filter;
    query.mutable_disconnect()->set_code(code);
    query.mutable_disconnect()->set_reason(reason);
    return Ask(query).back().affected();
  }

  static v1::ConnectionFilter Of(const std::string& service) {
    v1::ConnectionFilter filter;
    filter.set_service(service);
    return filter;
  }
};

TEST_F(WorkerQueriesTest, WithoutSessionsTheAnswerIsEmptyAndTheLast) {
  EXPECT_THAT(Ids({}), IsEmpty());
  EXPECT_THAT(Rooms(), IsEmpty());
  EXPECT_EQ(Disconnect(Of("mahavishnu")), 0);
}

TEST_F(WorkerQueriesTest, AQuestionOfALaterVersionIsAnsweredEmpty) {
  v1::Query query;
  query.set_query_id(9);
  const std::vector<v1::QueryReply> replies = Ask(query);
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].connections_size(), 0);
}

TEST_F(WorkerQueriesTest, AConnectionIsDescribed) {
  PairClient* const client = Connect(ports()[0], "/", "User-Agent: tester\r\n");
  for (const char* channel : {"a", "w:*"}) {
    client->Subscribe(channel);
    ASSERT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
    client->Clear();
  }
  v1::Query query;
  query.mutable_connections();
  const std::vector<v1::QueryReply> replies = Ask(query);
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].affected(), 1);
  ASSERT_EQ(replies[0].connections_size(), 1);
  const v1::ConnectionInfo& info = replies[0].connections(0);
  EXPECT_EQ(info.id(), client->id);
  EXPECT_EQ(info.service(), "mahavishnu");
  EXPECT_EQ(info.worker_id(), "worker-3");
  EXPECT_EQ(info.user(), "");
  EXPECT_EQ(info.address(), client->session->peer().ToString());
  EXPECT_THAT(info.channels(), ElementsAre("a", "w:*"));
  EXPECT_EQ(info.channel_count(), 2);
  EXPECT_EQ(info.received(), 2);
  EXPECT_EQ(info.delivered(), 0);
  EXPECT_EQ(info.dropped(), 0);
  EXPECT_EQ(info.user_agent(), "tester");
  EXPECT_EQ(info.dialect(), v1::DIALECT_COMMON);
  EXPECT_EQ(info.connected_at_us(), absl::ToUnixMicros(clock_.WallNow()));
}

TEST_F(WorkerQueriesTest, ControlCanReadTheAnswerWhateverAUserAgentIs) {
  Connect(ports()[0], "/", "User-Agent: caf\xe9\r\n");
  Connect(ports()[0], "/", absl::StrCat("User-Agent: ", std::string(199, 'x'), "\xc3\xa9\r\n"));
  v1::Query query;
  query.mutable_connections();
  for (const v1::QueryReply& reply : Ask(query)) {
    v1::QueryReply read;
    EXPECT_TRUE(read.ParseFromString(reply.SerializeAsString())) << reply.DebugString();
  }
}

TEST_F(WorkerQueriesTest, EveryFilterThatIsSetMustFit) {
  PairClient* const first = Subscribed(ports()[0], "a");
  PairClient* const second = Subscribed(ports()[0], "b");
  PairClient* const other = Subscribed(ports()[1], "a");
  EXPECT_THAT(Ids({}), UnorderedElementsAre(first->id, second->id, other->id));
  EXPECT_THAT(Ids(Of("akosha")), ElementsAre(other->id));
  EXPECT_THAT(Ids(Of("unknown")), IsEmpty());
  v1::ConnectionFilter filter;
  filter.set_channel("a");
  EXPECT_THAT(Ids(filter), UnorderedElementsAre(first->id, other->id));
  filter.set_service("mahavishnu");
  EXPECT_THAT(Ids(filter), ElementsAre(first->id));
  filter.set_id(second->id);
  EXPECT_THAT(Ids(filter), IsEmpty());
  filter.set_channel("b");
  EXPECT_THAT(Ids(filter), ElementsAre(second->id));
  filter.Clear();
  filter.set_user("ann");
  EXPECT_THAT(Ids(filter), IsEmpty());
  filter.Clear();
  filter.set_address(second->session->peer().ToString());
  EXPECT_THAT(Ids(filter), ElementsAre(second->id));
  filter.set_address("127.0.0.1");
  EXPECT_THAT(Ids(filter), SizeIs(3));
  filter.set_address("192.0.2.1");
  EXPECT_THAT(Ids(filter), IsEmpty());
}

TEST_F(WorkerQueriesTest, SlowOnesAreThoseWithABacklog) {
  PairClient* const slow = Subscribed(ports()[0], "a");
  Subscribed(ports()[0], "a");
  v1::ConnectionFilter filter;
  filter.set_slow(true);
  EXPECT_THAT(Ids(filter), IsEmpty());
  slow->reads = false;
  Channel* const channel = service()->FindChannel(Dialect::kCommon, "a");
  while (!slow->session->slow()) {
    hub_.Deliver(channel, {.frame = Frame::Text("{\"type\":\"event\",\"pad\":\"" +
                                                std::string(8000, '.') + "\"}")});
    hub_.CommitAll();
    hub_.Run();
    for (const auto& client : clients_) client->Pump();
  }
  EXPECT_THAT(Ids(filter), ElementsAre(slow->id));
}

TEST_F(WorkerQueriesTest, ALimitCutsTheListButNotTheNumber) {
  for (int i = 0; i < 5; ++i) Connect(ports()[0]);
  EXPECT_THAT(Ids({}, 2), SizeIs(2));
  v1::Query query;
  query.mutable_connections()->set_limit(2);
  EXPECT_EQ(Ask(query).front().affected(), 5);
  EXPECT_THAT(Ids({}, 10), SizeIs(5));
}

TEST_F(WorkerQueriesTest, ALongListComesInSeveralReplies) {
  PairClient* const client = Connect(ports()[0]);
  for (int i = 0; i < 3; ++i) {
    PairClient* const one = i == 0 ? client : Connect(ports()[0]);
    Json channels = Json::array();
    for (int c = 0; c < 900; ++c) channels.push_back(std::to_string(c) + std::string(240, 'x'));
    one->Request("subscribe", {{"channels", channels}});
    ASSERT_TRUE(RunUntil([&] { return !one->messages.empty(); }));
    one->Clear();
  }
  v1::Query query;
  query.mutable_connections();
  const std::vector<v1::QueryReply> replies = Ask(query);
  EXPECT_GE(replies.size(), 2u);
  EXPECT_EQ(replies[0].affected(), 3);
  int connections = 0;
  for (const v1::QueryReply& reply : replies) {
    connections += reply.connections_size();
    EXPECT_LT(reply.ByteSizeLong(), 1u << 20);
  }
  EXPECT_EQ(connections, 3);
}

TEST_F(WorkerQueriesTest, RoomsAreWhatSomebodySubscribesTo) {
  PairClient* const first = Subscribed(ports()[0], "a");
  Subscribed(ports()[0], "a");
  Subscribed(ports()[0], "w:*");
  Subscribed(ports()[1], "a");
  Connect(ports()[2]);  // in its dialect's own
  service()->FindOrMakeChannel(Dialect::kCommon, "nobody");
  EXPECT_EQ(Rooms(), (std::map<std::string, int64_t>{{"mahavishnu/a", 2},
                                                     {"mahavishnu/w:* (pattern)", 1},
                                                     {"akosha/a", 1},
                                                     {"akosha/session_buddy/metrics", 1}}));
  EXPECT_EQ(Rooms("mahavishnu"),
            (std::map<std::string, int64_t>{{"mahavishnu/a", 2}, {"mahavishnu/w:* (pattern)", 1}}));
  first->Close();
  ASSERT_TRUE(RunUntil([&] { return service()->sessions().size() == 2; }));
  EXPECT_EQ(Rooms("mahavishnu")["mahavishnu/a"], 1);
}

TEST_F(WorkerQueriesTest, ARoomsMembersAreNamedIfThatIsAsked) {
  PairClient* const first = Subscribed(ports()[0], "a");
  PairClient* const second = Subscribed(ports()[0], "a");
  v1::Query query;
  query.mutable_rooms()->set_service("mahavishnu");
  EXPECT_EQ(Ask(query)[0].rooms(0).connection_ids_size(), 0);
  query.mutable_rooms()->set_connection_ids(true);
  EXPECT_THAT(Ask(query)[0].rooms(0).connection_ids(), UnorderedElementsAre(first->id, second->id));
}

TEST_F(WorkerQueriesTest, DisconnectClosesThoseWhoFitAndNobodyElse) {
  PairClient* const out = Subscribed(ports()[0], "a");
  PairClient* const stays = Subscribed(ports()[0], "b");
  v1::ConnectionFilter filter;
  filter.set_channel("a");
  EXPECT_EQ(Disconnect(filter), 1);
  ASSERT_TRUE(RunUntil([&] { return out->close_code.has_value(); }));
  EXPECT_EQ(out->close_code, 4500);
  EXPECT_EQ(out->close_reason, "disconnected by operator");
  EXPECT_TRUE(stays->session->open());
  // Who is closing already is not counted, nor listed.
  EXPECT_EQ(Disconnect(Of("mahavishnu"), 1000, "enough"), 1);
  EXPECT_THAT(Ids({}), IsEmpty());
  ASSERT_TRUE(RunUntil([&] { return stays->close_code.has_value(); }));
  EXPECT_EQ(stays->close_code, 1000);
  EXPECT_EQ(stays->close_reason, "enough");
}

}  // namespace
}  // namespace fanwire::fanout
