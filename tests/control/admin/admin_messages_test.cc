#include "control/admin/admin_messages.h"

#include <string>
#include <vector>

#include "control/processes/worker_processes.h"
#include "control/routing/channel_info.h"
#include "fanwire/v1/admin.pb.h"
#include "tests/control/admin/admin_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ------------------------------------------------------------------------------- channels

class ChannelInfoTest : public AdminFixture {};

TEST_F(ChannelInfoTest, AChannelShowsTheRuleInForce) {
  v1::ChannelInfo info;
  ChannelSummary summary;
  summary.service = "mahavishnu";
  summary.channel = "workflow:1";
  ToProto(summary, *services_, &info);
  EXPECT_EQ(info.history_size(), 7u);
  EXPECT_EQ(info.history_ttl().seconds(), 300);
  EXPECT_EQ(info.backlog_policy(), v1::BACKLOG_POLICY_LATEST);
  EXPECT_FALSE(info.has_last_published());
}

TEST(SubscriberCountsTest, AddsUpExactNamesAndLeavesPatternsOut) {
  QueryResult result;
  for (const auto& [channel, pattern, subscribers] :
       {std::tuple("a", false, 2), std::tuple("a", false, 3), std::tuple("a:*", true, 7)}) {
    v1::RoomInfo* const room = result.replies.emplace_back().add_rooms();
    room->set_service("s");
    room->set_channel(channel);
    room->set_pattern(pattern);
    room->set_subscribers(subscribers);
  }
  const SubscriberCounts counts = CountSubscribers(result);
  EXPECT_EQ(counts.size(), 1u);
  EXPECT_EQ(counts.at({"s", "a"}), 5);
}

// ------------------------------------------------------------------------------- connections

class ConnectionListTest : public ::testing::Test {
 protected:
  static void Add(const std::string& id, int64_t connected_at, uint64_t backlog, int64_t dropped,
                  QueryResult* result) {
    v1::ConnectionInfo* const info = result->replies.emplace_back().add_connections();
    info->set_id(id);
    info->set_connected_at_us(connected_at);
    info->set_backlog_bytes(backlog);
    info->set_dropped(dropped);
  }

  static v1::ListConnectionsResponse List(v1::ListConnectionsRequest::Sort sort, uint32_t limit) {
    QueryResult result{.replies = {}, .workers_total = 3, .workers_answered = 2};
    Add("a", 30, 0, 4, &result);
    Add("b", 10, 7, 4, &result);
    Add("c", 20, 9, 5, &result);
    v1::ListConnectionsRequest request;
    request.set_sort(sort);
    request.set_limit(limit);
    v1::ListConnectionsResponse response;
    MakeConnectionList(request, &result, &response);
    return response;
  }
  static std::vector<std::string> Ids(const v1::ListConnectionsResponse& response) {
    std::vector<std::string> ids;
    for (const v1::ConnectionInfo& info : response.connections()) ids.push_back(info.id());
    return ids;
  }
};

TEST_F(ConnectionListTest, SortsAsAsked) {
  EXPECT_THAT(Ids(List(v1::ListConnectionsRequest::SORT_AGE, 0)), ElementsAre("b", "c", "a"));
  EXPECT_THAT(Ids(List(v1::ListConnectionsRequest::SORT_BACKLOG, 0)), ElementsAre("c", "b", "a"));
  EXPECT_THAT(Ids(List(v1::ListConnectionsRequest::SORT_DROPS, 0)), ElementsAre("c", "a", "b"));
}

TEST_F(ConnectionListTest, TellsHowManyThereAreBeyondTheLimit) {
  const v1::ListConnectionsResponse response = List(v1::ListConnectionsRequest::SORT_BACKLOG, 1);
  EXPECT_THAT(Ids(response), ElementsAre("c"));
  EXPECT_EQ(response.total(), 3);
  EXPECT_EQ(response.workers_total(), 3);
  EXPECT_EQ(response.workers_answered(), 2);
}

TEST(DisconnectTest, FillsInWhatIsNotSaid) {
  v1::DisconnectRequest request;
  request.mutable_filter()->set_user("ana");
  v1::DisconnectCommand command;
  ASSERT_OK(ReadDisconnect(request, &command));
  EXPECT_EQ(command.filter().user(), "ana");
  EXPECT_EQ(command.code(), 4500u);
  EXPECT_EQ(command.reason(), "disconnected by operator");
}

TEST(DisconnectTest, WithoutAFilterNobodyIsDisconnected) {
  v1::DisconnectCommand command;
  EXPECT_THAT(ReadDisconnect({}, &command),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("filter")));
}

TEST(DisconnectTest, AnyFieldIsAFilter) {
  for (const char* field : {"service", "id", "user", "address", "channel"}) {
    v1::DisconnectRequest request;
    v1::ConnectionFilter* const filter = request.mutable_filter();
    filter->GetReflection()->SetString(filter, filter->GetDescriptor()->FindFieldByName(field),
                                       "x");
    v1::DisconnectCommand command;
    EXPECT_OK(ReadDisconnect(request, &command)) << field;
  }
  v1::DisconnectRequest request;
  request.mutable_filter()->set_slow(true);
  v1::DisconnectCommand command;
  EXPECT_OK(ReadDisconnect(request, &command));
}

TEST(DisconnectTest, OnlyCodesThatAnOperatorMaySend) {
  v1::DisconnectRequest request;
  request.mutable_filter()->set_id("x");
  v1::DisconnectCommand command;
  for (const uint32_t code : {1000, 1001, 1008, 1012, 1013, 3000, 4500, 4999}) {
    request.set_code(code);
    ASSERT_OK(ReadDisconnect(request, &command));
    EXPECT_EQ(command.code(), code);
  }
  for (const uint32_t code : {1, 999, 1002, 1005, 1006, 1007, 1011, 1015, 2999, 5000, 70000}) {
    request.set_code(code);
    EXPECT_THAT(ReadDisconnect(request, &command),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::to_string(code))));
  }
}

TEST(DisconnectTest, AReasonFitsIntoACloseFrame) {
  v1::DisconnectRequest request;
  request.mutable_filter()->set_id("x");
  v1::DisconnectCommand command;
  request.set_reason(std::string(123, 'r'));
  EXPECT_OK(ReadDisconnect(request, &command));
  request.set_reason(std::string(124, 'r'));
  EXPECT_THAT(ReadDisconnect(request, &command),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 123")));
}

// ------------------------------------------------------------------------------- workers

class MergeWorkersTest : public ::testing::Test {
 protected:
  static v1::WorkerInfo Attached(const std::string& id, uint32_t slot, uint32_t pid,
                                 v1::WorkerState state) {
    v1::WorkerInfo info;
    info.set_id(id);
    info.set_slot(slot);
    info.set_pid(pid);
    info.set_address("local");
    info.set_state(state);
    return info;
  }
  static ProcessInfo Slot(uint32_t slot, uint32_t pid, ProcessState state, int64_t restarts = 0) {
    return {.id = absl::StrCat("worker-", slot),
            .number = slot,
            .pid = pid,
            .state = state,
            .restarts = restarts};
  }
  // "worker-0 pid=7 ready restarts=1", by the states' names of the API.
  static std::vector<std::string> Merged(std::vector<v1::WorkerInfo> attached,
                                         const std::vector<ProcessInfo>& slots) {
    std::vector<std::string> merged;
    for (const v1::WorkerInfo& info : MergeWorkers(std::move(attached), slots)) {
      merged.push_back(absl::StrCat(info.id(), " ", info.pid(), " ",
                                    v1::WorkerState_Name(info.state()).substr(13), " ",
                                    info.restarts(), info.supervised() ? "" : " external"));
    }
    return merged;
  }
};

TEST_F(MergeWorkersTest, OneOfBothIsListedOnceWithItsRestarts) {
  EXPECT_THAT(Merged({Attached("worker-0", 0, 7, v1::WORKER_STATE_READY)},
                     {Slot(0, 7, ProcessState::kRunning, 3)}),
              ElementsAre("worker-0 7 READY 3"));
}

TEST_F(MergeWorkersTest, TheRegistryKnowsBetterOfWhatIsAttached) {
  EXPECT_THAT(
      Merged({Attached("worker-0", 0, 7, v1::WORKER_STATE_CATCHING_UP),
              Attached("worker-1", 1, 8, v1::WORKER_STATE_DRAINING),
              Attached("worker-2", 2, 9, v1::WORKER_STATE_DEAD)},
             {Slot(0, 7, ProcessState::kStarting), Slot(1, 8, ProcessState::kRunning),
              Slot(2, 9, ProcessState::kRunning)}),
      ElementsAre("worker-0 7 CATCHING_UP 0", "worker-1 8 DRAINING 0", "worker-2 9 DEAD 0"));
}

TEST_F(MergeWorkersTest, ASlotKnowsBetterOfWhatIsNot) {
  EXPECT_THAT(Merged({Attached("worker-0", 0, 7, v1::WORKER_STATE_DEAD),
                      Attached("worker-1", 1, 8, v1::WORKER_STATE_DEAD),
                      Attached("worker-2", 2, 9, v1::WORKER_STATE_DEAD),
                      Attached("worker-3", 3, 10, v1::WORKER_STATE_DEAD)},
                     {Slot(0, 0, ProcessState::kBackoff), Slot(1, 0, ProcessState::kStopped),
                      Slot(2, 99, ProcessState::kStarting), Slot(3, 10, ProcessState::kDead)}),
              ElementsAre("worker-0 0 BACKOFF 0", "worker-1 0 STOPPED 0", "worker-2 99 STARTING 0",
                          "worker-3 10 DEAD 0"));
}

TEST_F(MergeWorkersTest, AReadyWorkerThatWasToldToEndIsDraining) {
  EXPECT_THAT(Merged({Attached("worker-0", 0, 7, v1::WORKER_STATE_READY)},
                     {Slot(0, 7, ProcessState::kDraining)}),
              ElementsAre("worker-0 7 DRAINING 0"));
}

TEST_F(MergeWorkersTest, ASlotThatNeverAttachedIsListed) {
  EXPECT_THAT(
      Merged({}, {Slot(0, 7, ProcessState::kStarting), Slot(1, 0, ProcessState::kBackoff, 5)}),
      ElementsAre("worker-0 7 STARTING 0", "worker-1 0 BACKOFF 5"));
}

TEST_F(MergeWorkersTest, WorkersOfOthersAreListedAndAllAreInOrderOfSlot) {
  EXPECT_THAT(
      Merged({Attached("far", 20, 5, v1::WORKER_STATE_READY),
              Attached("worker-10", 10, 6, v1::WORKER_STATE_READY)},
             {Slot(2, 7, ProcessState::kStarting), Slot(10, 6, ProcessState::kRunning)}),
      ElementsAre("worker-2 7 STARTING 0", "worker-10 6 READY 0", "far 5 READY 0 external"));
}

}  // namespace
}  // namespace fanwire::control
