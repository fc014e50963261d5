#include "control/requests/presence_store.h"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

const WorkerProcess kOne{.worker_id = "worker-0", .incarnation = 1};
const WorkerProcess kTwo{.worker_id = "worker-1", .incarnation = 1};
// Took the place of kOne.
const WorkerProcess kNext{.worker_id = "worker-0", .incarnation = 2};

constexpr absl::Duration kGone = absl::ZeroDuration();
constexpr absl::Duration kBack = absl::Seconds(10);

class PresenceStoreTest : public ::testing::Test {
 protected:
  void Join(const WorkerProcess& process, const std::string& id, const std::string& user,
            const std::string& info = "", Telling telling = Telling::kTell,
            const std::string& channel = "diagram:1") {
    store_->Join(process,
                 {.service = "excalidraw",
                  .channel = channel,
                  .connection_id = id,
                  .user_id = user,
                  .info = info},
                 telling, &events_);
  }
  void Leave(const WorkerProcess& process, const std::string& id,
             absl::Duration return_by = kGone) {
    store_->Leave(process, "excalidraw", "diagram:1", id, return_by, &events_);
  }
  // What happened since the last call: "+c1/ana", "-c1/ana".
  std::vector<std::string> Events() {
    std::vector<std::string> texts;
    for (const PresenceEvent& event : std::exchange(events_, {})) {
      texts.push_back(absl::StrCat(event.joined ? "+" : "-", event.connection.connection_id, "/",
                                   event.connection.user_id, event.connection.info));
    }
    return texts;
  }
  PresencePage Page(const PresencePlace& place = {}, size_t limit = 100) const {
    return store_->List("excalidraw", "diagram:1", place, limit);
  }
  // "c1/ana@worker-0", with "?" if it is away.
  std::vector<std::string> Listed() const {
    std::vector<std::string> texts;
    for (const PresencePage::Entry& entry : Page().entries) {
      texts.push_back(absl::StrCat(entry.connection_id, "/", entry.user_id, "@", entry.worker_id,
                                   entry.away ? "?" : ""));
    }
    EXPECT_EQ(Page().total, static_cast<int64_t>(texts.size()));
    return texts;
  }
  void Expire(absl::Duration now) { store_->Expire(now, &events_); }

  std::unique_ptr<PresenceStore> store_ = PresenceStore::MakeInMemory();
  PresenceEvents events_;
};

TEST_F(PresenceStoreTest, AUserJoinsWithTheFirstConnectionAndLeavesWithTheLast) {
  Join(kOne, "c1", "ana", R"({"name":"Ana"})");
  Join(kTwo, "c2", "ana");
  EXPECT_THAT(Events(), ElementsAre(R"(+c1/ana{"name":"Ana"})"));
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0", "c2/ana@worker-1"));
  EXPECT_EQ(Page().members, 1);
  Leave(kOne, "c1");
  EXPECT_THAT(Events(), IsEmpty());
  Leave(kTwo, "c2");
  EXPECT_THAT(Events(), ElementsAre("-c2/ana"));
  EXPECT_THAT(Listed(), IsEmpty());
}

TEST_F(PresenceStoreTest, AnAnonymousConnectionIsAMemberOfItsOwn) {
  Join(kOne, "c1", "");
  Join(kOne, "c2", "");
  EXPECT_THAT(Events(), ElementsAre("+c1/", "+c2/"));
  EXPECT_EQ(Page().members, 2);
  Leave(kOne, "c1");
  EXPECT_THAT(Events(), ElementsAre("-c1/"));
}

// A user may be called as a connection is.
TEST_F(PresenceStoreTest, AUserIsNotTakenForAConnection) {
  Join(kOne, "c1", "");
  Join(kOne, "c2", "c1");
  EXPECT_THAT(Events(), ElementsAre("+c1/", "+c2/c1"));
}

TEST_F(PresenceStoreTest, RepeatedChangesDoNothing) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c1", "ana", R"({"name":"A"})");
  EXPECT_THAT(Events(), ElementsAre("+c1/ana"));
  EXPECT_EQ(Page().entries.front().info, R"({"name":"A"})");
  Leave(kOne, "c1");
  Leave(kOne, "c1");
  Leave(kOne, "never");
  EXPECT_THAT(Events(), ElementsAre(R"(-c1/ana{"name":"A"})"));
}

TEST_F(PresenceStoreTest, AConnectionMayChangeItsUser) {
  Join(kOne, "c1", "");
  Join(kOne, "c1", "ana", R"({"n":1})");
  EXPECT_THAT(Events(), ElementsAre("+c1/", "-c1/", R"(+c1/ana{"n":1})"));
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0"));
  EXPECT_EQ(store_->Counts("excalidraw").members, 1);
  EXPECT_EQ(store_->Counts("excalidraw").connections, 1);
}

TEST_F(PresenceStoreTest, ChannelsAndServicesAreApart) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c1", "ana", "", Telling::kTell, "diagram:2");
  EXPECT_THAT(Events(), ElementsAre("+c1/ana", "+c1/ana"));
  EXPECT_EQ(store_->Counts("excalidraw").channels, 2);
  EXPECT_EQ(store_->Counts("excalidraw").members, 2);
  EXPECT_EQ(store_->Counts("akosha").members, 0);
  EXPECT_THAT(store_->List("akosha", "diagram:1", {}, 10).entries, IsEmpty());
}

// ------------------------------------------------------------------------------- a lost worker

TEST_F(PresenceStoreTest, TheMembersOfALostWorkerLeaveWhenTheirTimeIsOver) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c2", "");
  Events();
  store_->Lose(kOne, kBack);
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0?", "c2/@worker-0?"));
  Expire(kBack - absl::Nanoseconds(1));
  EXPECT_THAT(Events(), IsEmpty());
  Expire(kBack);
  EXPECT_THAT(Events(), UnorderedElementsAre("-c1/ana", "-c2/"));
  EXPECT_THAT(Listed(), IsEmpty());
}

TEST_F(PresenceStoreTest, WhoReturnsOnAnotherWorkerHasNeverLeft) {
  Join(kOne, "c1", "ana");
  Events();
  store_->Lose(kOne, kBack);
  Join(kTwo, "c2", "ana");
  EXPECT_THAT(Listed(), ElementsAre("c2/ana@worker-1"));  // the lost one is not shown
  Expire(kBack);
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_EQ(store_->Counts("excalidraw").connections, 1);
  Leave(kTwo, "c2");
  EXPECT_THAT(Events(), ElementsAre("-c2/ana"));
}

TEST_F(PresenceStoreTest, WhoReturnsAndGoesWithinTheTimeLeavesAtItsEnd) {
  Join(kOne, "c1", "ana");
  Events();
  store_->Lose(kOne, kBack);
  Join(kTwo, "c2", "ana");
  Leave(kTwo, "c2");
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0?"));
  Expire(kBack);
  EXPECT_THAT(Events(), ElementsAre("-c1/ana"));
}

// Its link was cut: the process and its connections live.
TEST_F(PresenceStoreTest, ASnapshotOfTheSameProcessBringsItsMembersBack) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c2", "ben");
  Join(kOne, "c3", "");
  Events();
  store_->Lose(kOne, kBack);
  store_->BeginSnapshot(kOne);
  Join(kOne, "c1", "ana");
  Join(kOne, "c3", "");
  Join(kOne, "c4", "cid");
  EXPECT_THAT(Events(), ElementsAre("+c4/cid"));
  store_->EndSnapshot(kOne, &events_);
  EXPECT_THAT(Events(), ElementsAre("-c2/ben"));  // left while the link was cut
  Expire(kBack);
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0", "c4/cid@worker-0", "c3/@worker-0"));
}

// It was killed; the process that takes its place has none of its connections.
TEST_F(PresenceStoreTest, TheSnapshotOfTheNextProcessDoesNotEndTheTimeOfTheMembers) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c2", "ben");
  Events();
  store_->Lose(kOne, kBack);
  store_->BeginSnapshot(kNext);
  store_->EndSnapshot(kNext, &events_);
  EXPECT_THAT(Events(), IsEmpty());
  Join(kNext, "c3", "ana");
  Expire(kBack);
  EXPECT_THAT(Events(), ElementsAre("-c2/ben"));
}

TEST_F(PresenceStoreTest, ChangesWithinASnapshotCount) {
  Join(kOne, "c1", "ana");
  Events();
  store_->BeginSnapshot(kOne);
  Join(kOne, "c2", "ben");
  Leave(kOne, "c1");
  store_->EndSnapshot(kOne, &events_);
  EXPECT_THAT(Events(), ElementsAre("+c2/ben", "-c1/ana"));
  EXPECT_THAT(Listed(), ElementsAre("c2/ben@worker-0"));
}

TEST_F(PresenceStoreTest, MembersThatOthersWereToldOfBeforeAreAddedInSilence) {
  store_->BeginSnapshot(kOne);
  Join(kOne, "c1", "ana", "", Telling::kSilent);
  store_->EndSnapshot(kOne, &events_);
  EXPECT_THAT(Events(), IsEmpty());
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0"));
  Leave(kOne, "c1");
  EXPECT_THAT(Events(), ElementsAre("-c1/ana"));
}

TEST_F(PresenceStoreTest, AnAnonymousMemberThatWasToldAsGoneJoinsAgain) {
  Join(kOne, "c1", "");
  store_->Lose(kOne, kBack);
  Expire(kBack);
  EXPECT_THAT(Events(), ElementsAre("+c1/", "-c1/"));
  store_->BeginSnapshot(kOne);
  Join(kOne, "c1", "");
  store_->EndSnapshot(kOne, &events_);
  EXPECT_THAT(Events(), ElementsAre("+c1/"));
}

// ------------------------------------------------------------------------------- a drain

TEST_F(PresenceStoreTest, WhoseWorkerDrainsHasTimeToConnectToAnother) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c2", "ben");
  Events();
  Leave(kOne, "c1", kBack);
  Leave(kOne, "c2", kBack);
  Join(kTwo, "c3", "ana");
  store_->Lose(kOne, kBack + absl::Seconds(5));  // its link ends; the time goes on
  EXPECT_THAT(Events(), IsEmpty());
  Expire(kBack);
  EXPECT_THAT(Events(), ElementsAre("-c2/ben"));
}

TEST_F(PresenceStoreTest, ASnapshotDoesNotEndTheTimeOfWhoWasSentAway) {
  Join(kOne, "c1", "ana");
  Join(kOne, "c2", "ben");
  Events();
  Leave(kOne, "c1", kBack);
  store_->BeginSnapshot(kOne);
  Join(kOne, "c2", "ben");
  store_->EndSnapshot(kOne, &events_);
  EXPECT_THAT(Events(), IsEmpty());
  Expire(kBack);
  EXPECT_THAT(Events(), ElementsAre("-c1/ana"));
}

// ------------------------------------------------------------------------------- order

TEST_F(PresenceStoreTest, ALateLeaveOfAnotherProcessDoesNotCount) {
  Join(kOne, "c1", "ana");
  Join(kNext, "c1", "ana");
  Leave(kOne, "c1");
  EXPECT_THAT(Events(), ElementsAre("+c1/ana"));
  EXPECT_THAT(Listed(), ElementsAre("c1/ana@worker-0"));
  Leave(kNext, "c1");
  EXPECT_THAT(Events(), ElementsAre("-c1/ana"));
}

TEST_F(PresenceStoreTest, AListIsReadInPages) {
  std::vector<std::string> all;
  for (int user = 0; user < 5; ++user) {
    for (int k = 0; k < 3; ++k) {
      const std::string id = absl::StrCat("c", user, k);
      Join(user % 2 == 0 ? kOne : kTwo, id, user == 4 ? "" : absl::StrCat("u", user));
      all.push_back(id);
    }
  }
  Leave(kTwo, "c10", kBack);  // u1 has others
  std::erase(all, "c10");
  for (size_t limit = 1; limit <= all.size() + 1; ++limit) {
    std::vector<std::string> read;
    PresencePlace place;
    while (true) {
      const PresencePage page = Page(place, limit);
      EXPECT_EQ(page.total, static_cast<int64_t>(all.size()));
      EXPECT_LE(page.entries.size(), limit);
      for (const auto& entry : page.entries) read.push_back(entry.connection_id);
      if (!page.more) break;
      place = {.user_id = page.entries.back().user_id,
               .connection_id = page.entries.back().connection_id};
    }
    EXPECT_EQ(read, all) << limit;
  }
}

// Whatever happens, the counts are those of the lists, and each member's joins and leaves
// alternate; in the end nothing is left.
TEST_F(PresenceStoreTest, ManyChangesInAnyOrderKeepTheBooks) {
  std::mt19937 random(43);
  const auto pick = [&](int below) {
    return std::uniform_int_distribution<int>(0, below - 1)(random);
  };
  const WorkerProcess processes[] = {kOne, kTwo, kNext};
  std::set<std::string> told;
  absl::Duration now = absl::Seconds(1);
  const auto account = [&] {
    for (const PresenceEvent& event : std::exchange(events_, {})) {
      const PresentConnection& member = event.connection;
      const std::string key = absl::StrCat(
          member.channel, " ", member.user_id.empty() ? member.connection_id : member.user_id);
      EXPECT_EQ(event.joined, !told.contains(key)) << key;
      event.joined ? void(told.insert(key)) : void(told.erase(key));
    }
  };
  for (int step = 0; step < 20'000; ++step) {
    const WorkerProcess& process = processes[pick(3)];
    const std::string id = absl::StrCat("c", pick(12));
    const std::string channel = absl::StrCat("diagram:", pick(2));
    switch (pick(9)) {
      case 0:
      case 1:
      case 2:
      case 3:
        Join(process, id, pick(3) == 0 ? "" : absl::StrCat("u", pick(3)), "", Telling::kTell,
             channel);
        break;
      case 4:
      case 5:
        store_->Leave(process, "excalidraw", channel, id,
                      pick(2) == 0 ? kGone : now + absl::Seconds(pick(10)), &events_);
        break;
      case 6:
        store_->Lose(process, now + absl::Seconds(pick(10)));
        break;
      case 7:
        store_->BeginSnapshot(process);
        for (int k = pick(4); k > 0; --k) {
          Join(process, absl::StrCat("c", pick(12)), absl::StrCat("u", pick(3)));
        }
        store_->EndSnapshot(process, &events_);
        break;
      default:
        Expire(now += absl::Seconds(1));
    }
    account();
    int64_t members = 0;
    for (const char* const each : {"diagram:0", "diagram:1"}) {
      const PresencePage page = store_->List("excalidraw", each, {}, 1000);
      EXPECT_EQ(page.total, static_cast<int64_t>(page.entries.size()));
      members += page.members;
    }
    ASSERT_EQ(store_->Counts("excalidraw").members, members);
    ASSERT_EQ(static_cast<int64_t>(told.size()), members);
  }
  for (const WorkerProcess& process : processes) store_->Lose(process, now);
  Expire(now + absl::Hours(1));
  account();
  EXPECT_THAT(told, IsEmpty());
  EXPECT_EQ(store_->Counts("excalidraw").connections, 0);
  EXPECT_EQ(store_->Counts("excalidraw").channels, 0);
}

}  // namespace
}  // namespace fanwire::control
