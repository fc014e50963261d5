#include "cli/admin_client.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cli/rpc_channel.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/fake_control.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class AdminClientTest : public testing::Test {
 protected:
  AdminClientTest() {
    auto channel = RpcChannel::Make({.address = control_.address(), .source = "--server"},
                                    absl::Seconds(20), std::nullopt);
    EXPECT_OK(channel);
    client_ = MakeAdminClient(*std::move(channel));
  }

  FakeControl control_;
  std::unique_ptr<AdminClient> client_;
};

TEST_F(AdminClientTest, EachToolHasItsMethod) {
  v1::ToolResponse response;
  response.set_json("{\"a\":1}");
  control_.Answer(response);
  const std::pair<Tool, const char*> tools[] = {{Tool::kHealthCheck, "HealthCheck"},
                                                {Tool::kGetStatus, "GetStatus"},
                                                {Tool::kListRooms, "ListRooms"},
                                                {Tool::kGetMetrics, "GetMetrics"}};
  for (const auto& [tool, method] : tools) {
    const auto json = client_->CallTool(tool, {.service = "akosha", .default_service = true});
    ASSERT_OK(json);
    EXPECT_EQ(*json, "{\"a\":1}");
    EXPECT_EQ(control_.method(), method);
    EXPECT_EQ(control_.Asked<v1::ToolRequest>().back().service(), "akosha");
    EXPECT_TRUE(control_.Asked<v1::ToolRequest>().back().default_service());
  }
}

TEST_F(AdminClientTest, ATestEventsDataIsSentAsItIs) {
  const std::string data = R"({"z": 9007199254740993, "a": [1.50]})";
  ASSERT_OK(client_->BroadcastTestEvent(
      {.service = "s", .event_type = "a.b", .room = "c:d", .data = data}));
  const auto asked = control_.Asked<v1::BroadcastTestEventRequest>().back();
  EXPECT_EQ(asked.service(), "s");
  EXPECT_EQ(asked.event_type(), "a.b");
  EXPECT_EQ(asked.room(), "c:d");
  EXPECT_EQ(asked.data(), data);
  ASSERT_OK(client_->BroadcastTestEvent({.event_type = "a.b", .room = "c:d"}));
  EXPECT_EQ(control_.Asked<v1::BroadcastTestEventRequest>().back().data(), "");
}

TEST_F(AdminClientTest, ATestEventsDataThatIsNoObjectIsRefusedHere) {
  for (const char* data : {"[1]", "1", "{", "nonsense"}) {
    EXPECT_THAT(client_->BroadcastTestEvent({.event_type = "e", .room = "r", .data = data}),
                StatusIs(absl::StatusCode::kInvalidArgument, "data: not a JSON object"))
        << data;
  }
  const std::string deep(65, '[');
  EXPECT_THAT(
      client_->BroadcastTestEvent({.event_type = "e", .room = "r", .data = "{\"a\":" + deep + "}"}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nested deeper than 64")));
  EXPECT_THAT(control_.Asked<v1::BroadcastTestEventRequest>(), SizeIs(0));
}

TEST_F(AdminClientTest, ServicesWithTheirListeners) {
  v1::ListServicesResponse response;
  v1::ServiceInfo* service = response.add_services();
  service->set_name("session-buddy");
  service->set_max_connections(1000);
  service->set_message_rate_limit(0.5);
  service->set_sessions(1);
  service->set_subscriptions(2);
  service->set_channels(3);
  service->set_publications(4);
  v1::ListenerInfo* listener = service->add_listeners();
  listener->set_host("127.0.0.1");
  listener->set_port(8765);
  listener->set_dialect(v1::DIALECT_SESSION_BUDDY);
  listener->set_tls(true);
  listener->set_auth_required(true);
  v1::ResponderInfo* responder = response.add_responders();
  responder->set_service("session-buddy");
  responder->set_id("buddy:7");
  responder->add_requests("get_x");
  responder->set_outstanding(5);
  responder->set_max_concurrent(6);
  responder->set_leaving(true);
  response.add_responders()->set_service("removed");
  control_.Answer(response);
  const auto services = client_->ListServices();
  ASSERT_OK(services);
  ASSERT_EQ(services->size(), 1u);
  const ServiceInfo& got = services->front();
  EXPECT_EQ(got.name, "session-buddy");
  EXPECT_EQ(got.max_connections, 1000u);
  EXPECT_EQ(got.message_rate_limit, 0.5);
  EXPECT_EQ(got.sessions, 1);
  EXPECT_EQ(got.subscriptions, 2);
  EXPECT_EQ(got.channels, 3);
  EXPECT_EQ(got.publications, 4);
  ASSERT_EQ(got.listeners.size(), 1u);
  EXPECT_EQ(got.listeners[0].host, "127.0.0.1");
  EXPECT_EQ(got.listeners[0].port, 8765u);
  EXPECT_EQ(got.listeners[0].dialect, "session_buddy");
  EXPECT_TRUE(got.listeners[0].tls);
  EXPECT_TRUE(got.listeners[0].auth_required);
  ASSERT_THAT(got.responders, SizeIs(1));
  EXPECT_EQ(got.responders[0].id, "buddy:7");
  EXPECT_EQ(got.responders[0].requests, std::vector<std::string>{"get_x"});
  EXPECT_EQ(got.responders[0].outstanding, 5);
  EXPECT_EQ(got.responders[0].max_concurrent, 6);
  EXPECT_TRUE(got.responders[0].leaving);
}

// A page of channels named "c<from>", "c<from + 1>" …
v1::ListChannelsResponse Page(int from, int count, const std::string& next) {
  v1::ListChannelsResponse page;
  for (int i = 0; i < count; ++i) page.add_channels()->set_channel(absl::StrCat("c", from + i));
  page.set_next_page_token(next);
  page.set_total(5);
  return page;
}

TEST_F(AdminClientTest, ChannelsArePagedUntilThereIsNoMore) {
  control_.Answer(Page(0, 2, "two"));
  control_.Answer(Page(2, 2, "four"));
  control_.Answer(Page(4, 1, ""));
  const auto list =
      client_->ListChannels({.service = "s", .pattern = "c*", .sort = ChannelSort::kRecent});
  ASSERT_OK(list);
  ASSERT_EQ(list->channels.size(), 5u);
  EXPECT_EQ(list->channels[4].channel, "c4");
  EXPECT_EQ(list->total, 5);
  const auto asked = control_.Asked<v1::ListChannelsRequest>();
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[0].page_token(), "");
  EXPECT_EQ(asked[1].page_token(), "two");
  EXPECT_EQ(asked[2].page_token(), "four");
  for (const auto& request : asked) {
    EXPECT_EQ(request.service(), "s");
    EXPECT_EQ(request.pattern(), "c*");
    EXPECT_EQ(request.sort(), v1::CHANNEL_SORT_RECENT);
    EXPECT_EQ(request.page_size(), 1000u);
  }
}

TEST_F(AdminClientTest, ChannelsStopAtTheLimit) {
  control_.Answer(Page(0, 2, "two"));
  control_.Answer(Page(2, 1, "three"));
  const auto list = client_->ListChannels({.limit = 3});
  ASSERT_OK(list);
  EXPECT_EQ(list->channels.size(), 3u);
  const auto asked = control_.Asked<v1::ListChannelsRequest>();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].page_size(), 3u);
  EXPECT_EQ(asked[1].page_size(), 1u);
  EXPECT_EQ(list->next_page_token, "three");
}

TEST_F(AdminClientTest, ChannelsGoOnWithThePageTokenOfTheListBefore) {
  control_.Answer(Page(2, 1, ""));
  const auto list = client_->ListChannels({.limit = 3, .page_token = "two"});
  ASSERT_OK(list);
  EXPECT_EQ(control_.Asked<v1::ListChannelsRequest>().back().page_token(), "two");
  EXPECT_EQ(list->next_page_token, "");
}

v1::ListPresenceResponse MemberPage(int from, int count, const std::string& next) {
  v1::ListPresenceResponse page;
  for (int i = 0; i < count; ++i) {
    v1::PresenceMember* const member = page.add_members();
    member->set_connection_id(absl::StrCat("c", from + i));
    member->set_user_id("ana");
    member->set_info(R"({"n":1})");
    member->set_worker_id("worker-0");
    member->set_away(true);
  }
  page.set_next_page_token(next);
  page.set_total(5);
  page.set_users(1);
  return page;
}

TEST_F(AdminClientTest, MembersArePagedUntilThereIsNoMore) {
  control_.Answer(MemberPage(0, 2, "two"));
  control_.Answer(MemberPage(2, 3, ""));
  const auto list = client_->ListPresence({.service = "s", .channel = "c", .limit = 0});
  ASSERT_OK(list);
  ASSERT_EQ(list->members.size(), 5u);
  EXPECT_EQ(list->members[4].connection, "c4");
  EXPECT_EQ(list->members[4].user, "ana");
  EXPECT_EQ(list->members[4].info, R"({"n":1})");
  EXPECT_EQ(list->members[4].worker, "worker-0");
  EXPECT_TRUE(list->members[4].away);
  EXPECT_EQ(list->total, 5);
  EXPECT_EQ(list->users, 1);
  const auto asked = control_.Asked<v1::ListPresenceRequest>();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].service(), "s");
  EXPECT_EQ(asked[0].channel(), "c");
  EXPECT_EQ(asked[0].page_token(), "");
  EXPECT_EQ(asked[1].page_token(), "two");
}

TEST_F(AdminClientTest, MembersStopAtTheLimit) {
  control_.Answer(MemberPage(0, 2, "two"));
  control_.Answer(MemberPage(2, 1, "three"));
  const auto list = client_->ListPresence({.service = "s", .channel = "c", .limit = 3});
  ASSERT_OK(list);
  EXPECT_EQ(list->members.size(), 3u);
  const auto asked = control_.Asked<v1::ListPresenceRequest>();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].page_size(), 3u);
  EXPECT_EQ(asked[1].page_size(), 1u);
}

TEST_F(AdminClientTest, EachOrderOfChannelsHasItsNumber) {
  const std::pair<ChannelSort, v1::ChannelSort> sorts[] = {
      {ChannelSort::kName, v1::CHANNEL_SORT_NAME},
      {ChannelSort::kSubscribers, v1::CHANNEL_SORT_SUBSCRIBERS},
      {ChannelSort::kPublications, v1::CHANNEL_SORT_PUBLICATIONS},
      {ChannelSort::kRecent, v1::CHANNEL_SORT_RECENT}};
  for (const auto& [sort, number] : sorts) {
    ASSERT_OK(client_->ListChannels({.sort = sort}));
    EXPECT_EQ(control_.Asked<v1::ListChannelsRequest>().back().sort(), number);
  }
}

TEST_F(AdminClientTest, AChannelWithAllThatIsKnown) {
  v1::ChannelInfo info;
  info.set_service("s");
  info.set_channel("c");
  info.mutable_head()->set_epoch("e1");
  info.mutable_head()->set_offset(42);
  info.set_history_publications(1);
  info.set_history_bytes(2);
  info.set_oldest_offset(3);
  info.set_publications(4);
  info.mutable_last_published()->set_seconds(1'770'724'500);
  info.mutable_last_published()->set_nanos(500'000'000);
  info.set_workers(5);
  info.set_subscribers(6);
  info.set_history_size(7);
  info.mutable_history_ttl()->set_seconds(300);
  info.set_backlog_policy(v1::BACKLOG_POLICY_DROP_OLDEST);
  control_.Answer(info);
  const auto channel = client_->GetChannel("s", "c");
  ASSERT_OK(channel);
  EXPECT_EQ(control_.Asked<v1::GetChannelRequest>().back().service(), "s");
  EXPECT_EQ(control_.Asked<v1::GetChannelRequest>().back().channel(), "c");
  EXPECT_EQ(channel->head.epoch, "e1");
  EXPECT_EQ(channel->head.offset, 42);
  EXPECT_EQ(channel->history_publications, 1);
  EXPECT_EQ(channel->history_bytes, 2);
  EXPECT_EQ(channel->oldest_offset, 3);
  EXPECT_EQ(channel->publications, 4);
  EXPECT_EQ(channel->last_published, absl::FromUnixMillis(1'770'724'500'500));
  EXPECT_EQ(channel->workers, 5);
  EXPECT_EQ(channel->subscribers, 6);
  EXPECT_EQ(channel->history_size, 7u);
  EXPECT_EQ(channel->history_ttl, absl::Minutes(5));
  EXPECT_EQ(channel->backlog_policy, "drop_oldest");
}

TEST_F(AdminClientTest, HistoryWithItsEnvelopes) {
  v1::GetHistoryResponse response;
  response.mutable_head()->set_offset(9);
  response.set_more(true);
  v1::Publication* publication = response.add_publications();
  publication->set_service("s");
  publication->set_channel("c");
  publication->set_event("a.b");
  publication->mutable_position()->set_epoch("e1");
  publication->mutable_position()->set_offset(8);
  publication->set_envelope("{\"n\": 1.50}");
  publication->set_received_us(1'770'724'500'000'001);
  control_.Answer(response);
  const auto history = client_->GetHistory({.service = "s",
                                            .channel = "c",
                                            .limit = 1,
                                            .since = {.epoch = "e1", .offset = 5},
                                            .before = {.epoch = "e1", .offset = 9},
                                            .reverse = true});
  ASSERT_OK(history);
  EXPECT_EQ(history->head.offset, 9);
  EXPECT_TRUE(history->more);
  ASSERT_EQ(history->publications.size(), 1u);
  EXPECT_EQ(history->publications[0].event, "a.b");
  EXPECT_EQ(history->publications[0].position.offset, 8);
  EXPECT_EQ(history->publications[0].envelope, "{\"n\": 1.50}");
  EXPECT_EQ(history->publications[0].received, absl::FromUnixMicros(1'770'724'500'000'001));
  const auto asked = control_.Asked<v1::GetHistoryRequest>().back();
  EXPECT_EQ(asked.service(), "s");
  EXPECT_EQ(asked.channel(), "c");
  EXPECT_EQ(asked.limit(), 1u);
  EXPECT_EQ(asked.since().epoch(), "e1");
  EXPECT_EQ(asked.since().offset(), 5);
  EXPECT_EQ(asked.before().epoch(), "e1");
  EXPECT_EQ(asked.before().offset(), 9);
  EXPECT_TRUE(asked.reverse());
  ASSERT_OK(client_->GetHistory({.service = "s", .channel = "c", .limit = 1}));
  EXPECT_FALSE(control_.Asked<v1::GetHistoryRequest>().back().has_since());
  EXPECT_FALSE(control_.Asked<v1::GetHistoryRequest>().back().has_before());
}

// An answer with the publications at these offsets.
v1::GetHistoryResponse HistoryPage(const std::string& epoch, const std::vector<int64_t>& offsets,
                                   bool more) {
  v1::GetHistoryResponse page;
  page.mutable_head()->set_epoch(epoch);
  page.mutable_head()->set_offset(20);
  for (const int64_t offset : offsets) {
    v1::Position* const position = page.add_publications()->mutable_position();
    position->set_epoch(epoch);
    position->set_offset(offset);
  }
  page.set_more(more);
  return page;
}

std::vector<int64_t> Offsets(const History& history) {
  std::vector<int64_t> offsets;
  for (const Publication& each : history.publications) offsets.push_back(each.position.offset);
  return offsets;
}

TEST_F(AdminClientTest, HistoryIsReadOnUntilTheLimitIsReached) {
  control_.Answer(HistoryPage("e1", {20, 19}, true));
  control_.Answer(HistoryPage("e1", {18}, true));
  control_.Answer(HistoryPage("e1", {17, 16}, true));
  const auto history =
      client_->GetHistory({.service = "s", .channel = "c", .limit = 5, .reverse = true});
  ASSERT_OK(history);
  EXPECT_THAT(Offsets(*history), ElementsAre(20, 19, 18, 17, 16));
  EXPECT_TRUE(history->more);
  const auto asked = control_.Asked<v1::GetHistoryRequest>();
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[1].limit(), 3u);
  EXPECT_EQ(asked[1].before().epoch(), "e1");
  EXPECT_EQ(asked[1].before().offset(), 19);
  EXPECT_FALSE(asked[1].has_since());
  EXPECT_EQ(asked[2].limit(), 2u);
  EXPECT_EQ(asked[2].before().offset(), 18);
}

TEST_F(AdminClientTest, HistoryAfterAPositionIsReadOnForwards) {
  control_.Answer(HistoryPage("e1", {4, 5}, true));
  control_.Answer(HistoryPage("e1", {6}, false));
  const auto history = client_->GetHistory(
      {.service = "s", .channel = "c", .limit = 9, .since = {.epoch = "e1", .offset = 3}});
  ASSERT_OK(history);
  EXPECT_THAT(Offsets(*history), ElementsAre(4, 5, 6));
  EXPECT_FALSE(history->more);
  EXPECT_EQ(control_.Asked<v1::GetHistoryRequest>().back().since().offset(), 5);
}

TEST_F(AdminClientTest, HistoryThatIsReadOnKeepsTheReasonWhyItIsNotComplete) {
  v1::GetHistoryResponse first = HistoryPage("e1", {4, 5}, true);
  first.set_reason("history_expired");
  v1::GetHistoryResponse second = HistoryPage("e1", {6}, false);
  second.set_complete(true);
  control_.Answer(first);
  control_.Answer(second);
  const HistoryQuery query = {
      .service = "s", .channel = "c", .since = {.epoch = "e1", .offset = 1}};
  const auto history = client_->GetHistory(query);
  ASSERT_OK(history);
  EXPECT_EQ(history->incomplete_reason, "history_expired");
  control_.Answer(second);
  EXPECT_EQ(client_->GetHistory(query)->incomplete_reason, "");
}

TEST_F(AdminClientTest, HistoryIsNotReadOnOnceItHasTheBytes) {
  v1::GetHistoryResponse page = HistoryPage("e1", {20, 19}, true);
  for (v1::Publication& publication : *page.mutable_publications()) {
    publication.set_envelope(std::string(50, 'x'));
  }
  control_.Answer(page);
  const auto history =
      client_->GetHistory({.service = "s", .channel = "c", .reverse = true, .max_bytes = 100});
  ASSERT_OK(history);
  EXPECT_THAT(Offsets(*history), ElementsAre(20, 19));
  EXPECT_TRUE(history->more);
  EXPECT_EQ(control_.Asked<v1::GetHistoryRequest>().size(), 1u);
}

TEST_F(AdminClientTest, HistoryIsNotReadOnIntoAnotherEpoch) {
  control_.Answer(HistoryPage("e1", {20, 19}, true));
  control_.Answer(HistoryPage("e2", {2, 1}, false));
  const auto history = client_->GetHistory({.service = "s", .channel = "c", .reverse = true});
  ASSERT_OK(history);
  EXPECT_THAT(Offsets(*history), ElementsAre(20, 19));
  EXPECT_EQ(history->head.epoch, "e1");
}

// As an older control answers, which does not know `before`.
TEST_F(AdminClientTest, HistoryIsNotReadInCircles) {
  control_.Answer(HistoryPage("e1", {20, 19}, true));
  const auto history = client_->GetHistory({.service = "s", .channel = "c", .reverse = true});
  ASSERT_OK(history);
  EXPECT_THAT(Offsets(*history), ElementsAre(20, 19));
  EXPECT_TRUE(history->more);
}

TEST_F(AdminClientTest, ConnectionsByFilterAndOrder) {
  v1::ListConnectionsResponse response;
  v1::ConnectionInfo* info = response.add_connections();
  info->set_id("c-1");
  info->set_service("s");
  info->set_worker_id("worker-0");
  info->set_user("ana");
  info->set_address("127.0.0.1:4242");
  info->add_channels("a:1");
  info->set_channel_count(2);
  info->set_backlog_bytes(3);
  info->set_backlog_frames(4);
  info->set_delivered(5);
  info->set_dropped(6);
  info->set_received(7);
  info->set_connected_at_us(1'770'724'500'000'000);
  info->set_user_agent("curl");
  info->set_dialect(v1::DIALECT_COMMON);
  response.set_total(9);
  response.set_workers_total(2);
  response.set_workers_answered(1);
  control_.Answer(response);
  const auto list = client_->ListConnections({.filter = {.service = "s",
                                                         .id = "c-1",
                                                         .user = "ana",
                                                         .address = "127.0.0.1",
                                                         .channel = "a:1",
                                                         .slow = true},
                                              .sort = ConnectionSort::kDrops,
                                              .limit = 10});
  ASSERT_OK(list);
  EXPECT_EQ(list->total, 9);
  EXPECT_EQ(list->workers_total, 2);
  EXPECT_EQ(list->workers_answered, 1);
  ASSERT_EQ(list->connections.size(), 1u);
  const ConnectionInfo& got = list->connections[0];
  EXPECT_EQ(got.id, "c-1");
  EXPECT_EQ(got.service, "s");
  EXPECT_EQ(got.worker, "worker-0");
  EXPECT_EQ(got.user, "ana");
  EXPECT_EQ(got.address, "127.0.0.1:4242");
  EXPECT_THAT(got.channels, ElementsAre("a:1"));
  EXPECT_EQ(got.channel_count, 2);
  EXPECT_EQ(got.backlog_bytes, 3u);
  EXPECT_EQ(got.backlog_frames, 4u);
  EXPECT_EQ(got.delivered, 5);
  EXPECT_EQ(got.dropped, 6);
  EXPECT_EQ(got.received, 7);
  EXPECT_EQ(got.connected_at, absl::FromUnixSeconds(1'770'724'500));
  EXPECT_EQ(got.user_agent, "curl");
  EXPECT_EQ(got.dialect, "common");
  const auto asked = control_.Asked<v1::ListConnectionsRequest>().back();
  EXPECT_EQ(asked.filter().service(), "s");
  EXPECT_EQ(asked.filter().id(), "c-1");
  EXPECT_EQ(asked.filter().user(), "ana");
  EXPECT_EQ(asked.filter().address(), "127.0.0.1");
  EXPECT_EQ(asked.filter().channel(), "a:1");
  EXPECT_TRUE(asked.filter().slow());
  EXPECT_EQ(asked.sort(), v1::ListConnectionsRequest::SORT_DROPS);
  EXPECT_EQ(asked.limit(), 10u);
  ASSERT_OK(client_->ListConnections({.sort = ConnectionSort::kBacklog}));
  EXPECT_EQ(control_.Asked<v1::ListConnectionsRequest>().back().sort(),
            v1::ListConnectionsRequest::SORT_BACKLOG);
  ASSERT_OK(client_->ListConnections({}));
  EXPECT_EQ(control_.Asked<v1::ListConnectionsRequest>().back().sort(),
            v1::ListConnectionsRequest::SORT_AGE);
}

TEST_F(AdminClientTest, OneConnectionAndItsEnd) {
  v1::ConnectionInfo info;
  info.set_id("c-1");
  control_.Answer(info);
  const auto connection = client_->GetConnection("c-1");
  ASSERT_OK(connection);
  EXPECT_EQ(connection->id, "c-1");
  EXPECT_FALSE(IsKnown(connection->connected_at));
  EXPECT_EQ(control_.Asked<v1::GetConnectionRequest>().back().id(), "c-1");
  v1::DisconnectResponse response;
  response.set_disconnected(3);
  response.set_workers_total(2);
  response.set_workers_answered(1);
  control_.Answer(response);
  const auto result =
      client_->Disconnect({.filter = {.user = "ana"}, .code = 4501, .reason = "go"});
  ASSERT_OK(result);
  EXPECT_EQ(result->disconnected, 3);
  EXPECT_EQ(result->workers_total, 2);
  EXPECT_EQ(result->workers_answered, 1);
  const auto asked = control_.Asked<v1::DisconnectRequest>().back();
  EXPECT_EQ(asked.filter().user(), "ana");
  EXPECT_EQ(asked.code(), 4501u);
  EXPECT_EQ(asked.reason(), "go");
}

TEST_F(AdminClientTest, WorkersWithAllThatIsKnown) {
  v1::ListWorkersResponse response;
  response.set_config_version(3);
  v1::WorkerInfo* info = response.add_workers();
  info->set_id("worker-1");
  info->set_slot(1);
  info->set_pid(4242);
  info->set_address("local");
  info->set_state(v1::WORKER_STATE_CATCHING_UP);
  info->set_sessions(5);
  info->set_subscriptions(6);
  info->set_incarnation(7);
  info->set_version("0.1.0");
  info->mutable_attached_at()->set_seconds(1'770'724'500);
  info->set_rss_bytes(8);
  info->set_cpu_percent(1.5);
  info->set_queue_publications(9);
  info->set_queue_bytes(10);
  info->set_in_flight_bytes(11);
  info->set_config_version(2);
  info->set_config_error("port 80: in use");
  info->set_restarts(12);
  info->set_repairs(13);
  info->set_dropped(17);
  info->set_ops_address("127.0.0.1:8711");
  info->set_supervised(true);
  info->set_loop_lag_us(14);
  info->set_file_limit(1024);
  info->set_max_connections(768);
  v1::BoundListener* listener = info->add_listeners();
  listener->set_service("s");
  listener->set_configured_port(0);
  listener->set_port(8690);
  control_.Answer(response);
  const auto list = client_->ListWorkers();
  ASSERT_OK(list);
  EXPECT_EQ(list->config_version, 3u);
  ASSERT_EQ(list->workers.size(), 1u);
  const WorkerInfo& got = list->workers[0];
  EXPECT_EQ(got.id, "worker-1");
  EXPECT_EQ(got.slot, 1u);
  EXPECT_EQ(got.pid, 4242u);
  EXPECT_EQ(got.address, "local");
  EXPECT_EQ(got.state, "catching_up");
  EXPECT_EQ(got.sessions, 5);
  EXPECT_EQ(got.subscriptions, 6);
  EXPECT_EQ(got.incarnation, 7u);
  EXPECT_EQ(got.version, "0.1.0");
  EXPECT_EQ(got.attached_at, absl::FromUnixSeconds(1'770'724'500));
  EXPECT_FALSE(IsKnown(got.last_heartbeat));
  EXPECT_EQ(got.rss_bytes, 8u);
  EXPECT_EQ(got.cpu_percent, 1.5);
  EXPECT_EQ(got.queue_publications, 9);
  EXPECT_EQ(got.queue_bytes, 10);
  EXPECT_EQ(got.in_flight_bytes, 11);
  EXPECT_EQ(got.config_version, 2u);
  EXPECT_EQ(got.config_error, "port 80: in use");
  EXPECT_EQ(got.restarts, 12);
  EXPECT_EQ(got.repairs, 13);
  EXPECT_EQ(got.dropped, 17);
  EXPECT_EQ(got.ops_address, "127.0.0.1:8711");
  EXPECT_TRUE(got.supervised);
  EXPECT_EQ(got.loop_lag_us, 14);
  EXPECT_EQ(got.file_limit, 1024u);
  EXPECT_EQ(got.max_connections, 768u);
  ASSERT_EQ(got.listeners.size(), 1u);
  EXPECT_EQ(got.listeners[0].service, "s");
  EXPECT_EQ(got.listeners[0].port, 8690u);
}

TEST_F(AdminClientTest, ADrainReportsUntilItIsDone) {
  for (const int64_t remaining : {7, 2, 0}) {
    v1::DrainWorkerProgress progress;
    progress.set_remaining(remaining);
    progress.set_done(remaining == 0);
    control_.Answer(progress);
  }
  std::vector<int64_t> heard;
  EXPECT_OK(client_->DrainWorker({.worker = "worker-0",
                                  .window = absl::Milliseconds(1500),
                                  .deadline = absl::Seconds(60),
                                  .unless_last = true},
                                 [&](int64_t remaining) { heard.push_back(remaining); }));
  EXPECT_THAT(heard, ElementsAre(7, 2, 0));
  const auto asked = control_.Asked<v1::DrainWorkerRequest>().back();
  EXPECT_EQ(asked.id(), "worker-0");
  EXPECT_EQ(asked.window().seconds(), 1);
  EXPECT_EQ(asked.window().nanos(), 500'000'000);
  EXPECT_EQ(asked.deadline().seconds(), 60);
  EXPECT_TRUE(asked.unless_last());
  EXPECT_FALSE(control_.patience().has_value());  // the stream has no deadline
  ASSERT_OK(client_->DrainWorker({.worker = "worker-0"}, [](int64_t) {}));
  EXPECT_FALSE(control_.Asked<v1::DrainWorkerRequest>().back().has_window());
  EXPECT_FALSE(control_.Asked<v1::DrainWorkerRequest>().back().unless_last());
}

TEST_F(AdminClientTest, ADrainThatEndsWithoutItsLastReportIsAFailure) {
  control_.Answer(v1::DrainWorkerProgress());
  EXPECT_THAT(client_->DrainWorker({.worker = "worker-0"}, [](int64_t) {}),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("control stopped reporting before the drain was done")));
  control_.Fail({grpc::StatusCode::NOT_FOUND, "no worker"});
  EXPECT_THAT(client_->DrainWorker({.worker = "worker-9"}, [](int64_t) {}),
              StatusIs(absl::StatusCode::kNotFound, "no worker"));
}

TEST_F(AdminClientTest, ARestartReportsEachStep) {
  for (const char* state : {"draining", "starting", "ready"}) {
    v1::RestartWorkersProgress progress;
    progress.set_id("worker-0");
    progress.set_state(state);
    control_.Answer(progress);
  }
  v1::RestartWorkersProgress last;
  last.set_done(true);
  control_.Answer(last);
  std::vector<std::pair<std::string, std::string>> heard;
  EXPECT_OK(client_->RestartWorkers({.workers = {"worker-0"}, .only_stopped = true},
                                    [&](const RestartProgress& progress) {
                                      heard.emplace_back(progress.worker, progress.state);
                                    }));
  EXPECT_THAT(heard, ElementsAre(Pair("worker-0", "draining"), Pair("worker-0", "starting"),
                                 Pair("worker-0", "ready")));
  const auto asked = control_.Asked<v1::RestartWorkersRequest>().back();
  EXPECT_THAT(asked.ids(), ElementsAre("worker-0"));
  EXPECT_TRUE(asked.only_stopped());
}

TEST_F(AdminClientTest, ATailGivesWhatComesUntilItIsStopped) {
  for (int64_t left_out = 0; left_out < 3; ++left_out) {
    v1::TailResponse response;
    response.add_publications()->set_channel(absl::StrCat("c", left_out));
    response.set_left_out(left_out);
    control_.Answer(response);
  }
  control_.Hang();
  std::vector<std::string> channels;
  EXPECT_OK(
      client_->Tail({.service = "s", .pattern = "c*", .events = {"x", "y"}, .max_per_second = 5},
                    [&](const TailUpdate& update) {
                      channels.push_back(update.publications[0].channel);
                      return update.left_out < 2;
                    }));
  EXPECT_THAT(channels, ElementsAre("c0", "c1", "c2"));
  const auto asked = control_.Asked<v1::TailRequest>().back();
  EXPECT_EQ(asked.service(), "s");
  EXPECT_EQ(asked.pattern(), "c*");
  EXPECT_THAT(asked.events(), ElementsAre("x", "y"));
  EXPECT_EQ(asked.max_per_second(), 5u);
}

TEST_F(AdminClientTest, CancelEndsATailThatWaits) {
  control_.Hang();
  std::thread canceller([&] {
    EXPECT_TRUE(WaitFor([&] { return control_.method() == "Tail"; }));
    client_->Cancel();
  });
  EXPECT_OK(client_->Tail({.service = "s"}, [](const TailUpdate&) { return true; }));
  canceller.join();
  EXPECT_OK(client_->Tail({.service = "s"}, [](const TailUpdate&) { return true; }));
}

TEST_F(AdminClientTest, ATailEndsAfterItsTime) {
  control_.Hang();
  EXPECT_OK(client_->Tail({.service = "s", .max_time = absl::Milliseconds(300)},
                          [](const TailUpdate&) { return true; }));
  // gRPC rounds what it sends of a deadline up: control may see a little more than 300 ms.
  EXPECT_LT(control_.patience(), absl::Seconds(1));
}

TEST_F(AdminClientTest, ATailThatControlEndsTellsWhy) {
  control_.Fail({grpc::StatusCode::UNAVAILABLE, "control is stopping"});
  EXPECT_THAT(client_->Tail({.service = "s"}, [](const TailUpdate&) { return true; }),
              StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
}

TEST_F(AdminClientTest, TheLedgerCountsDropsByReason) {
  v1::GetLedgerResponse response;
  v1::LedgerEntry* entry = response.add_entries();
  entry->set_service("s");
  entry->set_published(1);
  entry->set_matched(2);
  entry->set_written(3);
  entry->set_lost_connection(4);
  entry->set_expired(5);
  entry->set_queued(6);
  entry->set_recovered(7);
  entry->set_difference(8);
  v1::DropCount* drop = entry->add_dropped();
  drop->set_reason(v1::DROP_REASON_DROP_OLDEST);
  drop->set_count(9);
  entry->add_dropped()->set_reason(v1::DROP_REASON_CONFLATED);  // count 0
  control_.Answer(response);
  const auto ledger = client_->GetLedger("s");
  ASSERT_OK(ledger);
  EXPECT_EQ(control_.Asked<v1::GetLedgerRequest>().back().service(), "s");
  ASSERT_EQ(ledger->size(), 1u);
  const LedgerEntry& got = ledger->front();
  EXPECT_EQ(got.service, "s");
  EXPECT_THAT((std::vector<int64_t>{got.published, got.matched, got.written, got.lost_connection,
                                    got.expired, got.queued, got.recovered, got.difference}),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(got.dropped, ElementsAre(Pair("drop_oldest", 9)));
}

TEST_F(AdminClientTest, TheEngineIsToldWithTheReasonWhyItIsNotHealthy) {
  v1::GetEngineStatusResponse response;
  response.set_kind("disk");
  response.set_reason("no space left");
  response.set_path("/var/lib/fanwire");
  response.set_history_bytes(1);
  response.set_max_history_bytes(2);
  response.set_disk_bytes(3);
  response.set_waiting_publications(4);
  response.mutable_lag()->set_seconds(5);
  response.mutable_lag()->set_nanos(500'000'000);
  control_.Answer(response);
  response.set_healthy(true);
  control_.Answer(response);
  const auto engine = client_->GetEngineStatus();
  ASSERT_OK(engine);
  EXPECT_EQ(control_.method(), "GetEngineStatus");
  EXPECT_EQ(engine->kind, "disk");
  EXPECT_FALSE(engine->healthy);
  EXPECT_EQ(engine->reason, "no space left");
  EXPECT_EQ(engine->path, "/var/lib/fanwire");
  EXPECT_THAT((std::vector<int64_t>{engine->history_bytes, engine->max_history_bytes,
                                    engine->disk_bytes, engine->waiting_publications}),
              ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(engine->lag, absl::Milliseconds(5500));
  EXPECT_TRUE(client_->GetEngineStatus()->healthy);
}

TEST_F(AdminClientTest, TheConfigurationIsShownCheckedAndReloaded) {
  v1::GetConfigResponse shown;
  shown.set_yaml("log: {}\n");
  shown.set_file("/etc/fanwire.yaml");
  shown.set_version(4);
  control_.Answer(shown);
  const auto config = client_->GetConfig();
  ASSERT_OK(config);
  EXPECT_EQ(config->yaml, "log: {}\n");
  EXPECT_EQ(config->file, "/etc/fanwire.yaml");
  EXPECT_EQ(config->version, 4u);

  v1::CheckConfigResponse checked;
  checked.add_errors("bad");
  checked.add_warnings("careful");
  checked.set_resolved_yaml("resolved");
  control_.Answer(checked);
  const auto verdict = client_->CheckConfig("text", "file");
  ASSERT_OK(verdict);
  EXPECT_FALSE(verdict->ok);
  EXPECT_THAT(verdict->errors, ElementsAre("bad"));
  EXPECT_THAT(verdict->warnings, ElementsAre("careful"));
  EXPECT_EQ(verdict->resolved_yaml, "resolved");
  EXPECT_EQ(control_.Asked<v1::CheckConfigRequest>().back().yaml(), "text");
  EXPECT_EQ(control_.Asked<v1::CheckConfigRequest>().back().file_name(), "file");

  v1::ReloadConfigResponse reloaded;
  reloaded.set_version(5);
  reloaded.add_applied("log.level");
  reloaded.add_needs_restart("engine");
  v1::WorkerConfigState* worker = reloaded.add_workers();
  worker->set_id("worker-0");
  worker->set_version(4);
  worker->set_error("no");
  worker->set_pending(true);
  control_.Answer(reloaded);
  const auto result = client_->ReloadConfig();
  ASSERT_OK(result);
  EXPECT_EQ(result->version, 5u);
  EXPECT_THAT(result->applied, ElementsAre("log.level"));
  EXPECT_THAT(result->needs_restart, ElementsAre("engine"));
  ASSERT_EQ(result->workers.size(), 1u);
  EXPECT_EQ(result->workers[0].id, "worker-0");
  EXPECT_EQ(result->workers[0].version, 4u);
  EXPECT_EQ(result->workers[0].error, "no");
  EXPECT_TRUE(result->workers[0].pending);
}

TEST_F(AdminClientTest, LogLevelAndVersion) {
  v1::SetLogLevelResponse level;
  level.set_previous("info");
  control_.Answer(level);
  EXPECT_EQ(*client_->SetLogLevel("debug"), "info");
  EXPECT_EQ(control_.Asked<v1::SetLogLevelRequest>().back().level(), "debug");
  v1::GetVersionResponse response;
  response.set_version("9.8.7");
  response.set_build("g++");
  response.mutable_started_at()->set_seconds(1'770'724'500);
  response.set_pid(42);
  response.set_engine("memory");
  control_.Answer(response);
  const auto version = client_->GetVersion();
  ASSERT_OK(version);
  EXPECT_EQ(version->version, "9.8.7");
  EXPECT_EQ(version->build, "g++");
  EXPECT_EQ(version->started_at, absl::FromUnixSeconds(1'770'724'500));
  EXPECT_EQ(version->pid, 42u);
  EXPECT_EQ(version->engine, "memory");
}

TEST_F(AdminClientTest, AWarningOfControlIsKeptUntilItIsTaken) {
  EXPECT_THAT(client_->TakeWarnings(), IsEmpty());
  control_.Warn("incomplete: only 1 of 2 workers answered");
  ASSERT_OK(client_->GetChannel("s", "c"));
  EXPECT_THAT(client_->TakeWarnings(), ElementsAre("incomplete: only 1 of 2 workers answered"));
  EXPECT_THAT(client_->TakeWarnings(), IsEmpty());
}

TEST_F(AdminClientTest, ARefusalKeepsItsCodeAndWordsInEveryCall) {
  control_.Fail({grpc::StatusCode::NOT_FOUND, "not here"});
  const auto not_found = StatusIs(absl::StatusCode::kNotFound, "not here");
  EXPECT_THAT(client_->CallTool(Tool::kHealthCheck, {}), not_found);
  EXPECT_THAT(client_->BroadcastTestEvent({}), not_found);
  EXPECT_THAT(client_->ListServices(), not_found);
  EXPECT_THAT(client_->ListChannels({}), not_found);
  EXPECT_THAT(client_->GetChannel("s", "c"), not_found);
  EXPECT_THAT(client_->GetHistory({}), not_found);
  EXPECT_THAT(client_->ListConnections({}), not_found);
  EXPECT_THAT(client_->GetConnection("c"), not_found);
  EXPECT_THAT(client_->Disconnect({}), not_found);
  EXPECT_THAT(client_->ListWorkers(), not_found);
  EXPECT_THAT(client_->RestartWorkers({}, [](const RestartProgress&) {}), not_found);
  EXPECT_THAT(client_->GetLedger(""), not_found);
  EXPECT_THAT(client_->GetEngineStatus(), not_found);
  EXPECT_THAT(client_->GetConfig(), not_found);
  EXPECT_THAT(client_->CheckConfig("", ""), not_found);
  EXPECT_THAT(client_->ReloadConfig(), not_found);
  EXPECT_THAT(client_->SetLogLevel(""), not_found);
  EXPECT_THAT(client_->GetVersion(), not_found);
}

}  // namespace
}  // namespace fanwire::cli
