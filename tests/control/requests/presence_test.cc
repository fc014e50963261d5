#include "control/requests/presence.h"

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/routing/router.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_router.h"
#include "tests/testing/status.h"

namespace fanwire::control {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const WorkerProcess kFirst{.worker_id = "worker-0", .incarnation = 1};
const WorkerProcess kSecond{.worker_id = "worker-1", .incarnation = 1};

constexpr char kConfig[] = R"(
services:
- name: excalidraw
  port: 3042
  presence_max_members: 3
  presence:
  - pattern: "diagram:**"
    presence_events: true
    publish: {channel: "presence:*", joined_event: user.joined, left_event: user.left,
              id_field: diagram_id, info_field: user_info}
  - {pattern: "quiet:**"}
  - {pattern: "loud:**", presence_events: true}
- name: akosha
  port: 8692
)";

std::shared_ptr<const ServiceTable> TableOf(const std::string& yaml) {
  const LoadedConfig loaded = LoadConfig(yaml, "fanwire.yaml", {});
  EXPECT_TRUE(loaded.ok()) << ::testing::PrintToString(loaded.errors);
  return ServiceTable::Make(*loaded.config);
}

// Several changes of one channel: "+c1/ana", "-c1", "~c1" (its worker sends it away).
v1::PresenceUpdate Update(const std::vector<std::string>& changes,
                          const std::string& channel = "loud:1") {
  v1::PresenceUpdate update;
  for (const std::string& text : changes) {
    v1::PresenceChange* const change = update.add_changes();
    const size_t slash = text.find('/');
    change->set_service("excalidraw");
    change->set_channel(channel);
    change->set_connection_id(text.substr(1, slash == std::string::npos ? slash : slash - 1));
    if (slash != std::string::npos) change->set_user_id(text.substr(slash + 1));
    change->set_left(text[0] != '+');
    change->set_may_return(text[0] == '~');
  }
  return update;
}

v1::PresenceUpdate Snapshot(const std::vector<std::string>& members,
                            const std::string& channel = "loud:1") {
  v1::PresenceUpdate update = Update(members, channel);
  update.set_snapshot_first(true);
  update.set_snapshot_last(true);
  return update;
}

class PresenceTest : public ::testing::Test {
 protected:
  // What the subscribers were told since the last call: "+c1/ana".
  std::vector<std::string> Told() {
    std::vector<std::string> told;
    for (const std::string& event : std::exchange(router_.events, {})) {
      if (!event.starts_with("notice ")) continue;
      const Json data =
          Json::parse(event.substr(event.find('{'), event.rfind('}') + 1 - event.find('{')));
      told.push_back(
          absl::StrCat(event.find("presence.joined") != std::string::npos ? "+" : "-",
                       data["connection_id"].get<std::string>(), "/",
                       data["user_id"].is_null() ? "null" : data["user_id"].get<std::string>()));
    }
    return told;
  }
  v1::ClientReply Ask(const std::string& data, const std::string& service = "excalidraw") {
    v1::ClientRequest request;
    request.set_service(service);
    request.set_request("presence");
    request.set_data(data);
    v1::ClientReply answer;
    int replies = 0;
    presence_.Handle(request, [&](v1::ClientReply reply) {
      answer = std::move(reply);
      ++replies;
    });
    EXPECT_EQ(replies, 1);
    return answer;
  }
  Json Asked(const std::string& channel) {
    const v1::ClientReply reply = Ask(Json{{"channel", channel}}.dump());
    EXPECT_EQ(reply.error_code(), "") << reply.error_message();
    return Json::parse(reply.data());
  }

  FakeClock clock_;
  FakeRouter router_;
  Presence presence_{PresenceStore::MakeInMemory(), &router_, &clock_, TableOf(kConfig),
                     absl::Seconds(10)};
};

TEST_F(PresenceTest, SubscribersAndTheServicesOwnChannelAreTold) {
  presence_.OnPresence(kFirst, 1, Snapshot({}));
  v1::PresenceUpdate update = Update({"+c1/ana"}, "diagram:d:7");
  update.mutable_changes(0)->set_info(R"({"name":"Ana","color":"#f00"})");
  presence_.OnPresence(kFirst, 1, update);
  presence_.OnPresence(kFirst, 1, Update({"-c1"}, "diagram:d:7"));
  const std::string member = R"({"channel":"diagram:d:7","connection_id":"c1","user_id":"ana",)"
                             R"("info":{"name":"Ana","color":"#f00"}})";
  EXPECT_THAT(
      router_.events,
      ElementsAre(
          absl::StrCat("notice excalidraw diagram:d:7 presence.joined ", member, " without c1"),
          R"(publish excalidraw presence:d:7 user.joined {"diagram_id":"d:7","user_id":"ana",)"
          R"("user_info":{"name":"Ana","color":"#f00"},)"
          R"("timestamp":"2026-02-02T02:40:00.000000+00:00"})",
          absl::StrCat("notice excalidraw diagram:d:7 presence.left ", member, " without c1"),
          R"(publish excalidraw presence:d:7 user.left {"diagram_id":"d:7","user_id":"ana",)"
          R"("timestamp":"2026-02-02T02:40:00.000000+00:00"})"));
}

TEST_F(PresenceTest, AnAnonymousMemberIsItsConnection) {
  v1::PresenceUpdate snapshot = Snapshot({"+c1"}, "diagram:1");
  snapshot.mutable_changes(0)->set_info(R"({"name":"A"})");
  presence_.OnPresence(kFirst, 1, snapshot);
  ASSERT_THAT(router_.events, SizeIs(2));
  EXPECT_THAT(router_.events[0],
              HasSubstr(R"("connection_id":"c1","user_id":null,"info":{"name":"A"}})"));
  EXPECT_THAT(router_.events[1], HasSubstr(R"("user_id":"c1","user_info":{"name":"A"},)"));
}

TEST_F(PresenceTest, WhoOnlyWatchesIsNoUserOfTheService) {
  v1::PresenceUpdate snapshot = Snapshot({"+c1", "+c2"}, "diagram:1");
  snapshot.mutable_changes(1)->set_info("{}");
  presence_.OnPresence(kFirst, 1, snapshot);
  presence_.OnPresence(kFirst, 1, Update({"-c1", "-c2"}, "diagram:1"));
  EXPECT_THAT(Told(), ElementsAre("+c1/null", "+c2/null", "-c1/null", "-c2/null"));
  presence_.OnPresence(kFirst, 1, Update({"+c1"}, "diagram:1"));
  EXPECT_THAT(router_.events, SizeIs(1));
}

TEST_F(PresenceTest, NobodyIsToldWhereThereAreNoEvents) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana"}, "quiet:1"));
  presence_.OnPresence(kFirst, 1, Update({"+c1/ana"}, "untracked:1"));
  EXPECT_THAT(router_.events, IsEmpty());
  EXPECT_EQ(Asked("quiet:1")["total"], 1);
}

TEST_F(PresenceTest, WhatCannotBePublishedHarmsNobody) {
  router_.outcome = absl::ResourceExhaustedError("full");
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2/ben"}, "diagram:1"));
  EXPECT_THAT(router_.events, SizeIs(4));
}

// ------------------------------------------------------------------------------- attachments

TEST_F(PresenceTest, ChangesBeforeASnapshotDoNotCount) {
  presence_.OnPresence(kFirst, 1, Update({"+c1/ana"}));
  EXPECT_THAT(Told(), IsEmpty());
  presence_.OnPresence(kFirst, 1, Snapshot({"+c2/ben"}));
  EXPECT_THAT(Told(), ElementsAre("+c2/ben"));
}

TEST_F(PresenceTest, ASnapshotMayComeInSeveralMessages) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2/ben", "+c3/cid"}));
  Told();
  v1::PresenceUpdate first = Update({"+c1/ana"});
  first.set_snapshot_first(true);
  presence_.OnPresence(kFirst, 2, first);
  presence_.OnPresence(kFirst, 2, Update({"+c3/cid"}));
  EXPECT_THAT(Told(), IsEmpty());
  v1::PresenceUpdate last = Update({});
  last.set_snapshot_last(true);
  presence_.OnPresence(kFirst, 2, last);
  EXPECT_THAT(Told(), ElementsAre("-c2/ben"));
}

TEST_F(PresenceTest, ALinkThatIsCutAndAttachedAgainTellsNothing) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2"}));
  Told();
  presence_.LinkGone(1);
  clock_.Advance(absl::Seconds(9));
  presence_.Tick();
  presence_.OnPresence(kFirst, 2, Snapshot({"+c1/ana", "+c2"}));
  clock_.Advance(absl::Seconds(60));
  presence_.Tick();
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(PresenceTest, TheMembersOfADeadWorkerLeaveAfterTheGrace) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2/ben"}));
  presence_.OnPresence(kSecond, 2, Snapshot({}));
  Told();
  presence_.LinkGone(1);
  clock_.Advance(absl::Seconds(4));
  presence_.OnPresence(kSecond, 2, Update({"+c3/ben"}));
  clock_.Advance(absl::Seconds(5));
  presence_.Tick();
  EXPECT_THAT(Told(), IsEmpty());
  clock_.Advance(absl::Seconds(1));
  presence_.Tick();
  EXPECT_THAT(Told(), ElementsAre("-c1/ana"));
}

TEST_F(PresenceTest, AnotherGraceHoldsForWhatIsLostLater) {
  presence_.SetServices(TableOf(kConfig), absl::Seconds(2));
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana"}));
  Told();
  presence_.LinkGone(1);
  clock_.Advance(absl::Seconds(2));
  presence_.Tick();
  EXPECT_THAT(Told(), ElementsAre("-c1/ana"));
}

TEST_F(PresenceTest, ADrainTellsNothingOfWhoReturnsInTime) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2/ben"}));
  presence_.OnPresence(kSecond, 2, Snapshot({}));
  Told();
  presence_.OnPresence(kFirst, 1, Update({"~c1", "~c2"}));
  presence_.LinkGone(1);
  presence_.OnPresence(kSecond, 2, Update({"+c3/ana"}));
  EXPECT_THAT(Told(), IsEmpty());
  clock_.Advance(absl::Seconds(10));
  presence_.Tick();
  EXPECT_THAT(Told(), ElementsAre("-c2/ben"));
}

TEST_F(PresenceTest, AMemberThatAnEarlierControlToldOfIsNotToldAgain) {
  v1::PresenceUpdate restored = Snapshot({"+c1/ana"}, "diagram:1");
  restored.set_restored(true);
  presence_.OnPresence(kFirst, 1, restored);
  EXPECT_THAT(router_.events, IsEmpty());
  EXPECT_EQ(Asked("diagram:1")["total"], 1);
  presence_.OnPresence(kFirst, 1, Update({"-c1"}, "diagram:1"));
  EXPECT_THAT(router_.events, SizeIs(2));
}

TEST_F(PresenceTest, NobodyIsToldOfMembersThatAreNotTrackedAnyMore) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2/ben"}));
  Told();
  v1::PresenceUpdate rest = Snapshot({"+c2/ben"});
  rest.set_restored(true);
  presence_.OnPresence(kFirst, 1, rest);
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(Asked("loud:1")["total"], 1);
}

// The new stream of a process may be known before the end of its old one.
TEST_F(PresenceTest, WhatComesLateOfAnEarlierAttachmentDoesNotCount) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana"}));
  presence_.OnPresence(kFirst, 2, Snapshot({"+c1/ana"}));
  Told();
  presence_.OnPresence(kFirst, 1, Update({"-c1"}));
  presence_.OnPresence(kFirst, 1, Snapshot({}));
  presence_.LinkGone(1);
  clock_.Advance(absl::Minutes(1));
  presence_.Tick();
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_EQ(Asked("loud:1")["total"], 1);
  presence_.LinkGone(2);
  presence_.OnPresence(kFirst, 2, Update({"+c2/ben"}));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(PresenceTest, EventsOfOneMemberAreToldInTheirOrderByManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  presence_.OnPresence(kFirst, 1, Snapshot({}));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        presence_.OnPresence(kFirst, 1, Update({"+c1/ana"}));
        presence_.OnPresence(kFirst, 1, Update({"-c1"}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> told = Told();
  ASSERT_EQ(told.size() % 2, 0u);
  for (size_t i = 0; i < told.size(); ++i) {
    ASSERT_EQ(told[i], i % 2 == 0 ? "+c1/ana" : "-c1/ana") << i;
  }
}

// ------------------------------------------------------------------------------- the request

TEST_F(PresenceTest, TheRequestListsConnections) {
  v1::PresenceUpdate snapshot = Snapshot({"+c2", "+c1/ana"}, "diagram:1");
  snapshot.mutable_changes(1)->set_info(R"({"name":"Ana"})");
  presence_.OnPresence(kFirst, 1, snapshot);
  EXPECT_EQ(Ask(R"({"channel":"diagram:1"})").data(),
            R"({"channel":"diagram:1","members":[)"
            R"({"connection_id":"c1","user_id":"ana","info":{"name":"Ana"}},)"
            R"({"connection_id":"c2","user_id":null,"info":{}}],"total":2})");
  EXPECT_EQ(Ask(R"({"channel":"diagram:2"})").data(),
            R"({"channel":"diagram:2","members":[],"total":0})");
}

TEST_F(PresenceTest, ALongListIsCutAndItsTotalIsExact) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/a", "+c2/b", "+c3/c"}));
  EXPECT_FALSE(Asked("loud:1").contains("more"));
  presence_.OnPresence(kFirst, 1, Update({"+c4/d", "+c5/e"}));
  const Json answer = Asked("loud:1");
  EXPECT_EQ(answer["members"].size(), 3u);
  EXPECT_EQ(answer["total"], 5);
  EXPECT_EQ(answer["more"], true);
}

TEST_F(PresenceTest, AnAnswerIsNoLongerThanClientsTake) {
  presence_.SetServices(TableOf(R"(
services:
- {name: excalidraw, port: 3042, presence_max_members: 100000, presence: [{pattern: "**"}]}
)"),
                        absl::Seconds(10));
  v1::PresenceUpdate snapshot = Snapshot({});
  const std::string info = Json{{"text", std::string(60'000, 'x')}}.dump();
  for (int i = 0; i < 30; ++i) {
    *snapshot.add_changes() = Update({absl::StrCat("+c", i)}).changes(0);
    snapshot.mutable_changes(i)->set_info(info);
  }
  presence_.OnPresence(kFirst, 1, snapshot);
  const v1::ClientReply reply = Ask(R"({"channel":"loud:1"})");
  EXPECT_LT(reply.data().size(), size_t{1} << 20);
  EXPECT_GT(reply.data().size(), size_t{900} << 10);
  const Json answer = Json::parse(reply.data());
  EXPECT_EQ(answer["total"], 30);
  EXPECT_EQ(answer["more"], true);
}

TEST_F(PresenceTest, ARefusalSaysWhatToDo) {
  EXPECT_EQ(Ask("{}").error_code(), "INVALID_CHANNEL");
  EXPECT_EQ(Ask(R"({"channel":7})").error_message(),
            "presence: data.channel is missing or not a text");
  EXPECT_EQ(Ask(R"({"channel":"diagram:*"})").error_code(), "INVALID_CHANNEL");
  EXPECT_EQ(Ask(R"({"channel":"other:1"})").error_code(), "INVALID_REQUEST");
  EXPECT_EQ(Ask(R"({"channel":"other:1"})", "akosha").error_message(),
            "presence: the members of channel \"other:1\" are not tracked: add a pattern that "
            "matches it to `presence` of service \"akosha\" in the configuration");
}

TEST_F(PresenceTest, OperatorsGetPages) {
  presence_.OnPresence(kFirst, 1, Snapshot({"+c1/ana", "+c2/ana", "+c3"}));
  const auto first = presence_.List("excalidraw", "loud:1", {}, 2);
  ASSERT_OK(first.status());
  EXPECT_TRUE(first->more);
  const auto second =
      presence_.List("excalidraw", "loud:1", {.user_id = "ana", .connection_id = "c2"}, 2);
  ASSERT_OK(second.status());
  EXPECT_THAT(second->entries, SizeIs(1));
  EXPECT_EQ(presence_.List("excalidraw", "other", {}, 2).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(presence_.List("none", "loud:1", {}, 2).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(presence_.List("excalidraw", "loud:*", {}, 2).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(presence_.Counts("excalidraw").members, 2);
}

}  // namespace
}  // namespace fanwire::control
