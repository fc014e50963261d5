// What control is told of interest and asks, and whom its answers reach.
#include "fanout/interest.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"
#include "tests/fakes/fake_link.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// The sessions' Upstream as a worker has it.
class ThroughInterest final : public Upstream {
 public:
  explicit ThroughInterest(Interest* interest) : interest_(interest) {}

  void Want(Channel* channel) override { interest_->Want(channel); }
  void Unwant(Channel* channel) override { interest_->Unwant(channel); }
  void Want(PatternTable* table) override { interest_->Want(table); }
  void Unwant(PatternTable* table) override { interest_->Unwant(table); }
  uint64_t Ask(Session* session, const SubscribeAsk& ask) override {
    return interest_->Ask(session, ask);
  }
  uint64_t Request(Session* session, const RequestAsk& ask) override {
    return interest_->Request(session, ask);
  }
  void Forget(uint64_t ask) override { interest_->Forget(ask); }
  void WaitForSlot(Session* /*session*/) override {}
  void StopWaiting(Session* /*session*/) override {}
  void SlotsChanged(Service* /*service*/) override {}

 private:
  Interest* const interest_;
};

class InterestTest : public SessionFixture {
 protected:
  InterestTest()
      : interest_(&link_, [this] { return std::vector<Service*>{service_.get()}; }),
        upstream_(&interest_) {
    context_.upstream = &upstream_;
  }
  ~InterestTest() override {
    group_ = nullptr;  // sessions leave
    EXPECT_EQ(interest_.digest(), std::make_pair(uint64_t{0}, uint64_t{0}));
    EXPECT_EQ(interest_.asks(), 0u);
  }

  // "+channel", "-channel" of the deltas sent, "?channel" of the queries, in order; takes them.
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    for (const v1::WorkerItem& item : link_.Take()) {
      for (const auto& one : item.interest_delta().add()) told.push_back("+" + one.channel());
      for (const auto& one : item.interest_delta().remove()) told.push_back("-" + one.channel());
      if (item.has_subscribe_query()) {
        told.push_back("?" + item.subscribe_query().channel());
        queries_.push_back(item.subscribe_query());
      }
      if (item.has_client_request()) told.push_back("!" + item.client_request().request());
    }
    return told;
  }

  // Grants the query with so many recovered events before `offset`.
  void Grant(const v1::SubscribeQuery& query, int64_t offset) {
    v1::SubscribeResult result;
    result.set_query_id(query.query_id());
    if (!query.pattern()) {
      result.mutable_head()->set_epoch("e1");
      result.mutable_head()->set_offset(offset);
    }
    result.set_last_page(true);
    interest_.OnSubscribeResult(result);
    Quiet();
  }

  // Subscribes and is granted; forgets what was told.
  void Join(PairClient* client, absl::string_view channel) {
    client->Subscribe(channel);
    Quiet();
    Told();
    Grant(queries_.back(), 0);
    Channel* const known = service_->FindChannel(Dialect::kCommon, channel);
    if (known != nullptr) known->epoch = "e1";
    EXPECT_EQ(client->Next()["status"], "subscribed");
  }

  // FNV-1a 64, as worker.proto has it.
  static uint64_t Hash(const std::string& service, int dialect, const std::string& channel) {
    std::string text = service;
    text.push_back('\0');
    text += std::to_string(dialect);
    text.push_back('\0');
    text += channel;
    uint64_t hash = 14695981039346656037u;
    for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
    return hash;
  }

  FakeLink link_;
  Interest interest_;
  ThroughInterest upstream_;
  std::vector<v1::SubscribeQuery> queries_;
};

// ------------------------------------------------------------------------------- deltas

TEST_F(InterestTest, TheFirstSubscriberIsToldAndThenAskedFor) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  Quiet();
  EXPECT_THAT(Told(), ElementsAre("+a", "?a"));
  EXPECT_EQ(queries_.back().service(), "mahavishnu");
  EXPECT_FALSE(queries_.back().pattern());
  EXPECT_FALSE(queries_.back().has_recover());
  EXPECT_GT(queries_.back().page_bytes(), 0u);
  EXPECT_EQ(queries_.back().address(), SessionOf(client)->peer().Host());
  Grant(queries_.back(), 7);
  EXPECT_EQ(client->Next()["data"]["offset"], 7);
}

TEST_F(InterestTest, FurtherSubscribersAreNotToldAndOnlyTheLastToLeaveIs) {
  PairClient* const first = Welcomed();
  PairClient* const second = Welcomed();
  Join(first, "a");
  second->Subscribe("a");
  Quiet();
  EXPECT_THAT(Told(), ElementsAre("?a"));
  Grant(queries_.back(), 0);
  first->Unsubscribe("a");
  Quiet();
  EXPECT_THAT(Told(), IsEmpty());
  second->Unsubscribe("a");
  Quiet();
  EXPECT_THAT(Told(), ElementsAre("-a"));
}

TEST_F(InterestTest, AConnectionThatGoesLeavesAllItsChannelsAndAsks) {
  PairClient* const client = Welcomed();
  Join(client, "a");
  Join(client, "w:*");
  client->Subscribe("b");
  Quiet();
  EXPECT_THAT(Told(), ElementsAre("+b", "?b"));
  EXPECT_EQ(interest_.asks(), 1u);
  client->Close();
  Quiet();
  EXPECT_THAT(Told(), UnorderedElementsAre("-a", "-w:*", "-b"));
  EXPECT_EQ(interest_.asks(), 0u);
  EXPECT_EQ(interest_.digest().first, 0u);
}

TEST_F(InterestTest, APatternIsAskedForAsOne) {
  PairClient* const client = Welcomed();
  client->Subscribe("w:*");
  Quiet();
  EXPECT_THAT(Told(), ElementsAre("+w:*", "?w:*"));
  EXPECT_TRUE(queries_.back().pattern());
  Grant(queries_.back(), 0);
  EXPECT_EQ(client->Next()["status"], "subscribed");
}

TEST_F(InterestTest, ARecoveryIsAskedForFromItsPosition) {
  PairClient* const client = Welcomed();
  client->Subscribe("a", {{"recover", {{"epoch", "e7"}, {"offset", 41}}}});
  Quiet();
  Told();
  EXPECT_EQ(queries_.back().recover().epoch(), "e7");
  EXPECT_EQ(queries_.back().recover().offset(), 41);
}

TEST_F(InterestTest, TheDigestIsThatOfTheContract) {
  PairClient* const client = Welcomed();
  for (const char* channel : {"a", "workflow:42", "w:*"}) Join(client, channel);
  const auto [count, hash] = interest_.digest();
  EXPECT_EQ(count, 3u);
  EXPECT_EQ(hash, Hash("mahavishnu", 0, "a") ^ Hash("mahavishnu", 0, "workflow:42") ^
                      Hash("mahavishnu", 0, "w:*"));
  client->Unsubscribe("a");
  Quiet();
  EXPECT_EQ(interest_.digest().first, 2u);
  EXPECT_EQ(interest_.digest().second,
            Hash("mahavishnu", 0, "workflow:42") ^ Hash("mahavishnu", 0, "w:*"));
}

// ------------------------------------------------------------------------------- served requests

class ServedInterestTest : public InterestTest {
 protected:
  ServedInterestTest() {
    Configure([](v1::WorkerService* service) {
      v1::ServiceRequest* const request = service->add_requests();
      request->set_name("get_x");
      request->set_served(true);
      request->mutable_timeout()->set_seconds(5);
    });
  }

  // The items of one kind that were sent since the last call.
  std::vector<v1::WorkerItem> Sent(v1::WorkerItem::ItemCase kind) {
    std::vector<v1::WorkerItem> sent;
    for (v1::WorkerItem& item : link_.Take()) {
      if (item.item_case() == kind) sent.push_back(std::move(item));
    }
    return sent;
  }
  std::vector<v1::WorkerItem> Requests() { return Sent(v1::WorkerItem::kClientRequest); }
};

TEST_F(ServedInterestTest, ARequestHasTheTokensPermissionsAndItsTime) {
  SessionStart alice;
  alice.identity = std::make_unique<Identity>();
  alice.identity->user = "alice";
  alice.identity->permissions = {"admin", "p"};
  PairClient* const client = Welcomed(std::move(alice));
  client->Request("get_x", {{"n", 1}});
  client->Request("history", {{"channel", "a"}});
  Quiet();
  const std::vector<v1::WorkerItem> sent = Requests();
  ASSERT_THAT(sent, SizeIs(2));
  const v1::ClientRequest& served = sent[0].client_request();
  EXPECT_EQ(served.request(), "get_x");
  EXPECT_EQ(served.user_id(), "alice");
  EXPECT_EQ(served.data(), R"({"n":1})");
  EXPECT_THAT(served.permissions(), ElementsAre("admin", "p"));
  EXPECT_GT(served.timeout_ms(), 4000);
  EXPECT_LE(served.timeout_ms(), 5000);
  EXPECT_THAT(sent[1].client_request().permissions(), IsEmpty());
  EXPECT_EQ(sent[1].client_request().timeout_ms(), 0);
}

TEST_F(ServedInterestTest, AClientThatLeavesCancelsWhatAResponderMayWorkOn) {
  PairClient* const client = Welcomed();
  client->Request("get_x", Json::object());
  client->Request("history", {{"channel", "a"}});
  Quiet();
  const uint64_t id = Requests().at(0).client_request().request_id();
  client->Close();
  Quiet();
  const std::vector<v1::WorkerItem> cancels = Sent(v1::WorkerItem::kClientCancel);
  ASSERT_THAT(cancels, SizeIs(1));
  EXPECT_EQ(cancels[0].client_cancel().request_id(), id);
  EXPECT_FALSE(cancels[0].client_cancel().late());
  EXPECT_EQ(interest_.asks(), 0u);
}

TEST_F(ServedInterestTest, AtItsDeadlineARequestIsCancelledAsLate) {
  Configure([](v1::WorkerService* service) {
    service->mutable_requests(0)->mutable_timeout()->set_seconds(0);
    service->mutable_requests(0)->mutable_timeout()->set_nanos(5'000'000);
  });
  PairClient* const client = Welcomed();
  client->Request("get_x", Json::object(), "g1");
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_EQ(client->messages[0]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(client->messages[0]["error_message"], "the service did not answer in time: try again");
  EXPECT_EQ(client->messages[0]["correlation_id"], "g1");
  const std::vector<v1::WorkerItem> cancels = Sent(v1::WorkerItem::kClientCancel);
  ASSERT_THAT(cancels, SizeIs(1));
  EXPECT_TRUE(cancels[0].client_cancel().late());
}

TEST_F(ServedInterestTest, WhenControlIsLostWhatItWasSentIsUnavailableAndTheRestIsAskedAgain) {
  PairClient* const client = Welcomed();
  client->Request("get_x", Json::object(), "sent");
  client->Request("history", {{"channel", "a"}}, "h");
  Quiet();
  EXPECT_THAT(Requests(), SizeIs(2));
  link_.is_attached = false;
  client->Request("get_x", Json::object(), "kept");
  Quiet();
  interest_.OnDetached();
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(1));
  EXPECT_EQ(client->messages[0]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(client->messages[0]["correlation_id"], "sent");
  link_.is_attached = true;
  interest_.TellInterest();
  interest_.AskAgain();
  std::vector<std::string> again;
  for (const v1::WorkerItem& item : Requests()) again.push_back(item.client_request().request());
  EXPECT_THAT(again, ElementsAre("history", "get_x"));
}

// ------------------------------------------------------------------------------- publications

class PublishInterestTest : public ServedInterestTest {
 protected:
  PublishInterestTest() {
    Configure([](v1::WorkerService* service) {
      service->mutable_limits()->set_max_client_event_bytes(1000);
      v1::PublishRule* const rule = service->add_publish_rules();
      rule->set_pattern("diagram:*");
      rule->add_events("*");
      rule->set_anonymous(true);
      rule->set_skip_history(true);
      rule->add_copies("copy:*");
    });
  }

  PairClient* Local() {
    SessionStart start;
    start.loopback = true;
    return Welcomed(std::move(start));
  }
  void Publish(PairClient* client, const std::string& id) {
    client->Request(
        "publish",
        {{"channel", "diagram:a"}, {"event", "e"}, {"data", {{"id", id}}}, {"echo", false}}, id);
    Quiet();
  }
  // The data of what was sent since the last call.
  std::vector<std::string> SentData() {
    std::vector<std::string> data;
    for (const v1::WorkerItem& item : Requests()) {
      data.push_back(item.client_request().publish().data());
    }
    return data;
  }
};

TEST_F(PublishInterestTest, APublicationSaysWhoPublishesWhatAndWhere) {
  SessionStart alice;
  alice.identity = std::make_unique<Identity>();
  alice.identity->user = "alice";
  alice.identity->permissions = {"admin"};
  PairClient* const client = Welcomed(std::move(alice));
  Publish(client, "1");
  const std::vector<v1::WorkerItem> sent = Requests();
  ASSERT_THAT(sent, SizeIs(1));
  const v1::ClientRequest& request = sent[0].client_request();
  EXPECT_EQ(request.request(), "publish");
  EXPECT_EQ(request.service(), "mahavishnu");
  EXPECT_EQ(request.connection_id(), client->id);
  EXPECT_EQ(request.user_id(), "alice");
  EXPECT_EQ(request.data(), "");
  const v1::ClientPublish& publish = request.publish();
  EXPECT_EQ(publish.channel(), "diagram:a");
  EXPECT_EQ(publish.event(), "e");
  EXPECT_EQ(publish.data(), R"({"id":"1"})");
  EXPECT_THAT(publish.copies(), ElementsAre("copy:a"));
  EXPECT_TRUE(publish.skip_history());
  EXPECT_TRUE(publish.exclude_publisher());
}

TEST_F(PublishInterestTest, WhatControlMayHavePublishedIsNeverSentAgain) {
  PairClient* const client = Local();
  Publish(client, "sent");
  EXPECT_THAT(SentData(), ElementsAre(R"({"id":"sent"})"));
  link_.is_attached = false;
  Publish(client, "kept 1");
  Publish(client, "kept 2");
  interest_.OnDetached();
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(1));
  EXPECT_EQ(client->messages[0]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(client->messages[0]["correlation_id"], "sent");
  EXPECT_THAT(std::string(client->messages[0]["error_message"]),
              ::testing::HasSubstr("may have been carried out"));
  link_.is_attached = true;
  interest_.TellInterest();
  interest_.AskAgain();
  EXPECT_THAT(SentData(), ElementsAre(R"({"id":"kept 1"})", R"({"id":"kept 2"})"));
  // A second loss: both were sent now.
  link_.is_attached = false;
  interest_.OnDetached();
  Quiet();
  EXPECT_THAT(client->Errors(), ElementsAre("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"));
  EXPECT_EQ(interest_.asks(), 0u);
}

TEST_F(PublishInterestTest, WhatWasNotSentInTimeIsNotSentLater) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->mutable_control_wait()->set_seconds(0);
    service->mutable_limits()->mutable_control_wait()->set_nanos(5'000'000);
  });
  PairClient* const client = Local();
  link_.is_attached = false;
  Publish(client, "late");
  ASSERT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_THAT(client->Errors(), ElementsAre("UNAVAILABLE"));
  link_.is_attached = true;
  interest_.TellInterest();
  interest_.AskAgain();
  EXPECT_THAT(SentData(), IsEmpty());
}

TEST_F(PublishInterestTest, AClientThatLeavesCancelsNoPublication) {
  PairClient* const client = Local();
  Publish(client, "1");
  EXPECT_THAT(SentData(), SizeIs(1));
  client->Close();
  Quiet();
  EXPECT_THAT(Sent(v1::WorkerItem::kClientCancel), IsEmpty());
  EXPECT_EQ(interest_.asks(), 0u);
}

// ------------------------------------------------------------------------------- attachments

TEST_F(InterestTest, WhileDetachedNothingIsToldAndAfterwardsEverything) {
  PairClient* const client = Welcomed();
  Join(client, "a");
  Join(client, "w:*");
  service_->FindChannel(Dialect::kCommon, "a")->offset = 12;
  link_.is_attached = false;
  client->Unsubscribe("a");
  Quiet();
  client->Subscribe("b");
  Quiet();
  client->Request("history", {{"channel", "b"}});
  Quiet();
  EXPECT_THAT(link_.Take(), IsEmpty());
  link_.is_attached = true;
  interest_.TellInterest();
  interest_.AskAgain();
  const std::vector<v1::WorkerItem> items = link_.Take();
  ASSERT_THAT(items, SizeIs(3));
  const v1::InterestSnapshot& snapshot = items[0].interest_snapshot();
  EXPECT_TRUE(snapshot.first());
  EXPECT_TRUE(snapshot.last());
  std::map<std::string, bool> wanted;
  for (const auto& one : snapshot.interests()) wanted[one.channel()] = one.pattern();
  EXPECT_EQ(wanted, (std::map<std::string, bool>{{"b", false}, {"w:*", true}}));
  // In the order in which they were asked.
  EXPECT_EQ(items[1].subscribe_query().channel(), "b");
  EXPECT_EQ(items[2].client_request().request(), "history");
}

TEST_F(InterestTest, ASnapshotHasThePositionsOfWhatHasSubscribers) {
  PairClient* const client = Welcomed();
  Join(client, "a");
  Join(client, "w:*");
  service_->FindChannel(Dialect::kCommon, "a")->offset = 12;
  // One that only the pattern wants, and one that nobody does.
  for (const char* name : {"w:1", "x"}) {
    Channel* const channel = service_->FindOrMakeChannel(Dialect::kCommon, name);
    channel->epoch = "e9";
    channel->offset = 3;
  }
  interest_.TellInterest();
  const std::vector<v1::WorkerItem> items = link_.Take();
  ASSERT_THAT(items, SizeIs(1));
  std::map<std::string, std::string> positions;
  for (const auto& at : items[0].interest_snapshot().positions()) {
    EXPECT_EQ(at.service(), "mahavishnu");
    positions[at.channel()] = absl::StrCat(at.position().epoch(), " ", at.position().offset());
  }
  EXPECT_EQ(positions, (std::map<std::string, std::string>{{"a", "e1 12"}, {"w:1", "e9 3"}}));
}

TEST_F(InterestTest, ALongSnapshotComesInSeveralMessagesPositionsLast) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_max_channels_per_session(10'000);
  });
  PairClient* const client = Welcomed();
  for (int batch = 0; batch < 3; ++batch) {
    Json channels = Json::array();
    for (int i = 0; i < 1000; ++i) {
      channels.push_back(absl::StrCat("c:", batch, ":", i, ":", std::string(150, 'x')));
    }
    client->Request("subscribe", {{"channels", channels}});
    Quiet();
    Told();
    for (const v1::SubscribeQuery& query : std::exchange(queries_, {})) Grant(query, 0);
  }
  for (const auto& [name, channel] : service_->channels(Dialect::kCommon)) {
    channel->epoch = "e1";
  }
  Told();
  interest_.TellInterest();
  const std::vector<v1::WorkerItem> items = link_.Take();
  ASSERT_GE(items.size(), 4u);
  int interests = 0, positions = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const v1::InterestSnapshot& part = items[i].interest_snapshot();
    EXPECT_EQ(part.first(), i == 0);
    EXPECT_EQ(part.last(), i + 1 == items.size());
    EXPECT_LT(items[i].ByteSizeLong(), 512u << 10);
    if (positions > 0) {
      EXPECT_EQ(part.interests_size(), 0);  // all interest comes before the first
    }
    interests += part.interests_size();
    positions += part.positions_size();
  }
  EXPECT_EQ(interests, 3000);
  EXPECT_EQ(positions, 3000);
}

TEST_F(InterestTest, OfNothingTheSnapshotIsEmptyButComes) {
  interest_.TellInterest();
  interest_.AskAgain();
  const std::vector<v1::WorkerItem> items = link_.Take();
  ASSERT_THAT(items, SizeIs(1));
  EXPECT_TRUE(items[0].interest_snapshot().first());
  EXPECT_TRUE(items[0].interest_snapshot().last());
  EXPECT_EQ(items[0].interest_snapshot().interests_size(), 0);
}

// ------------------------------------------------------------------------------- answers

TEST_F(InterestTest, ARefusalIsToldInTheWordsOfTheProtocol) {
  const std::vector<std::pair<int, std::string>> codes = {{3, "INVALID_CHANNEL"},
                                                          {5, "NOT_FOUND"},
                                                          {8, "LIMIT_EXCEEDED"},
                                                          {14, "UNAVAILABLE"},
                                                          {13, "INTERNAL_ERROR"}};
  PairClient* const client = Welcomed();
  for (const auto& [code, text] : codes) {
    client->Subscribe("a");
    Quiet();
    Told();
    v1::SubscribeResult result;
    result.set_query_id(queries_.back().query_id());
    result.mutable_status()->set_code(code);
    result.mutable_status()->set_message("the reason");
    interest_.OnSubscribeResult(result);
    Quiet();
    const Json error = client->Next();
    EXPECT_EQ(error["error_code"], text);
    // A fault of ours keeps its detail to itself.
    EXPECT_EQ(error["error_message"],
              text == "INTERNAL_ERROR" ? "Internal server error" : "the reason");
    EXPECT_THAT(Told(), ElementsAre("-a"));
  }
}

TEST_F(InterestTest, RecoveredPublicationsReachTheSessionAndFurtherPagesAreAskedFor) {
  PairClient* const client = Welcomed();
  client->Subscribe("a", {{"recover", {{"epoch", "e1"}, {"offset", 0}}}});
  Quiet();
  Told();
  const auto page = [&](int64_t from, int64_t to, bool last) {
    v1::SubscribeResult result;
    result.set_query_id(queries_.back().query_id());
    result.mutable_head()->set_epoch("e1");
    result.mutable_head()->set_offset(4);
    result.set_recovered(true);
    result.set_recover_count(4);
    for (int64_t offset = from; offset <= to; ++offset) {
      v1::RecoveredPublication* const one = result.add_publications();
      one->set_offset(offset);
      if (offset == 2) continue;  // expired
      one->set_envelope(absl::StrCat(R"({"type":"event","room":"a","offset":)", offset, "}"));
      if (offset == 3) one->set_exclude_connection(client->id);
    }
    result.mutable_next()->set_offset(to);
    result.set_last_page(last);
    interest_.OnSubscribeResult(result);
    Quiet();
  };
  page(1, 2, false);
  EXPECT_THAT(Told(), ElementsAre("?a"));
  EXPECT_EQ(queries_.back().recover().offset(), 2);
  page(3, 4, true);
  EXPECT_EQ(client->Next()["data"]["recovered_count"], 4);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1, 4));
  const std::vector<Json> skips = client->Named("channel.skipped");
  ASSERT_THAT(skips, SizeIs(1));
  EXPECT_EQ(skips[0]["data"]["from"], 2);
  EXPECT_EQ(skips[0]["data"]["reason"], "expired");
}

TEST_F(InterestTest, ARequestsAnswerReachesItsClient) {
  PairClient* const client = Welcomed();
  client->Request("history", {{"channel", "a"}, {"limit", 3}}, "r1");
  client->Request("history", {{"channel", "b"}}, "r2");
  client->Request("history", {{"channel", "c"}}, "r3");
  Quiet();
  const std::vector<v1::WorkerItem> items = link_.Take();
  ASSERT_THAT(items, SizeIs(3));
  EXPECT_EQ(items[0].client_request().connection_id(), client->id);
  EXPECT_EQ(items[0].client_request().service(), "mahavishnu");
  EXPECT_EQ(Json::parse(items[0].client_request().data())["limit"], 3);
  v1::ClientReplies replies;
  v1::ClientReply* reply = replies.add_replies();
  reply->set_request_id(items[1].client_request().request_id());
  reply->set_data(R"({"channel":"b","events":[]})");
  reply = replies.add_replies();
  reply->set_request_id(items[0].client_request().request_id());
  reply->set_error_code("NOT_FOUND");
  reply->set_error_message("no such channel");
  reply = replies.add_replies();
  reply->set_request_id(items[2].client_request().request_id());
  reply = replies.add_replies();
  reply->set_request_id(999);  // nobody's
  interest_.OnClientReplies(replies);
  Quiet();
  const Json second = client->Next(), first = client->Next(), third = client->Next();
  EXPECT_EQ(second["correlation_id"], "r2");
  EXPECT_EQ(second["data"]["channel"], "b");
  EXPECT_EQ(first["correlation_id"], "r1");
  EXPECT_EQ(first["error_code"], "NOT_FOUND");
  EXPECT_EQ(third["data"], Json::object());
  EXPECT_EQ(interest_.asks(), 0u);
}

// A subscribe that asks for the state; control answers in either order, or is lost.
class StateInterestTest : public InterestTest {
 protected:
  StateInterestTest() {
    Configure([](v1::WorkerService* service) {
      v1::ServiceRequest* const request = service->add_requests();
      request->set_name("get_workflow_status");
      request->set_argument("workflow_id");
      request->set_kind("workflow");
    });
    client_ = Welcomed();
    Ask();
  }
  void Ask() {
    client_->Say(R"({"type":"subscribe","id":"s","data":{"channel":"workflow:1","state":true}})");
    Quiet();
    Told();
  }
  void Answer() {
    v1::SubscribeResult result;
    result.set_query_id(queries_.back().query_id());
    result.mutable_head()->set_epoch("e1");
    result.mutable_head()->set_offset(3);
    result.set_last_page(true);
    result.set_state_follows(true);
    interest_.OnSubscribeResult(result);
    Quiet();
  }
  void Tell(const char* json) {
    v1::ClientReplies replies;
    replies.add_replies()->set_request_id(queries_.back().query_id());
    replies.mutable_replies(0)->set_data(json);
    interest_.OnClientReplies(replies);
    Quiet();
  }

  PairClient* client_ = nullptr;
};

TEST_F(StateInterestTest, TheQueryNamesTheRequest) {
  EXPECT_EQ(queries_.back().state_request(), "get_workflow_status");
  EXPECT_EQ(queries_.back().state_data(), R"({"workflow_id":"1"})");
}

TEST_F(StateInterestTest, TheStateMayComeAfterTheAnswerOrBefore) {
  Answer();
  Tell(R"({"n":1})");
  EXPECT_EQ(client_->Next()["data"]["state"]["n"], 1);
  Ask();
  Tell(R"({"n":2})");
  Answer();
  const auto data = client_->Next()["data"];
  EXPECT_EQ(data["state"]["n"], 2);
  EXPECT_EQ(data["state_offset"], 3);
}

TEST_F(StateInterestTest, IfControlIsLostAfterItsAnswerThereIsNoState) {
  Answer();
  interest_.OnDetached();
  Quiet();
  EXPECT_EQ(client_->Next()["data"]["state_reason"], "unavailable");
}

TEST_F(StateInterestTest, IfControlIsLostBeforeItsAnswerBothAreAskedForAgain) {
  Tell(R"({"n":1})");
  interest_.OnDetached();
  interest_.TellInterest();
  interest_.AskAgain();
  Told();
  Answer();
  Tell(R"({"n":2})");
  EXPECT_EQ(client_->Next()["data"]["state"]["n"], 2);
}

TEST_F(InterestTest, AnswersThatNobodyWaitsForAreIgnored) {
  PairClient* const client = Welcomed();
  client->Subscribe("a");
  Quiet();
  Told();
  client->Close();
  Quiet();
  Grant(queries_.back(), 5);
  Grant(queries_.back(), 5);
  EXPECT_EQ(service_->FindChannel(Dialect::kCommon, "a"), nullptr);
}

TEST_F(InterestTest, ABuddysChannelsAreOfItsDialect) {
  SessionStart start;
  start.dialect = Dialect::kSessionBuddy;
  PairClient* const client = Connect(std::move(start));
  const std::vector<v1::WorkerItem> items = link_.Take();
  ASSERT_THAT(items, SizeIs(1));
  ASSERT_EQ(items[0].interest_delta().add_size(), 1);
  EXPECT_EQ(items[0].interest_delta().add(0).channel(), "metrics");
  EXPECT_EQ(items[0].interest_delta().add(0).dialect(), v1::DIALECT_SESSION_BUDDY);
  EXPECT_EQ(interest_.digest().second, Hash("mahavishnu", 1, "metrics"));
  EXPECT_NE(client, nullptr);
}

}  // namespace
}  // namespace fanwire::fanout
