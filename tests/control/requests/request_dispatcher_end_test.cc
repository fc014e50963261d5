// RequestDispatcher: responders that die, fail, leave or answer too late, and clients that leave.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/requests/request_dispatcher.h"
#include "tests/control/requests/request_dispatcher_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ------------------------------------------------------------------------------- another responder

TEST_F(RequestDispatcherTest, WhatADeadResponderHadGoesToAnother) {
  const Joined one = Join({"get_x"}), two = Join({"get_x"}), three = Join({"get_y"});
  const uint64_t asked = Ask("get_x", absl::Seconds(10));
  const uint64_t id = one.stream->Take();
  clock_.Advance(absl::Seconds(4));
  Die(one);
  ASSERT_THAT(two.stream->requests, SizeIs(1));
  EXPECT_EQ(two.stream->requests[0].request_id(), id);
  EXPECT_EQ(two.stream->requests[0].attempt(), 2u);
  EXPECT_EQ(two.stream->requests[0].remaining().seconds(), 6);
  EXPECT_EQ(two.stream->requests[0].data(), "{}");
  Answer(one, id, R"({"from the dead":1})");
  EXPECT_EQ(ReplyTo(asked), "");
  Answer(two, two.stream->Take());
  EXPECT_EQ(ReplyTo(asked), R"({"a":1})");
  EXPECT_EQ(dispatcher_.CountsOf("s").given_again, 1);
  EXPECT_THAT(three.stream->requests, IsEmpty());
  Die(one);  // told twice
}

TEST_F(RequestDispatcherTest, WhatAResponderCannotAnswerGoesToEachOtherOnce) {
  const Joined one = Join({"get_x"}), two = Join({"get_x"});
  const uint64_t asked = Ask("get_x");
  Busy(one, one.stream->Take());
  EXPECT_THAT(one.stream->requests, IsEmpty());
  ASSERT_THAT(two.stream->requests, SizeIs(1));
  EXPECT_EQ(ReplyTo(asked), "");
  Busy(two, two.stream->Take(), "database down");
  EXPECT_EQ(ReplyTo(asked), "UNAVAILABLE");
  EXPECT_EQ(MessageTo(asked), "database down");
  EXPECT_EQ(Ended(ServedResult::kUnavailable), 1);
  EXPECT_EQ(dispatcher_.CountsOf("s").open, 0);
}

TEST_F(RequestDispatcherTest, WhatADeadResponderHadWaitsForAFullOne) {
  const Joined one = Join({"get_x"}, 1), two = Join({"get_x"}, 1);
  const uint64_t first = Ask("get_x"), second = Ask("get_x");
  Die(one);
  EXPECT_EQ(dispatcher_.CountsOf("s").waiting, 1);
  Answer(two, two.stream->Take());
  EXPECT_EQ(ReplyTo(second), R"({"a":1})");
  Answer(two, two.stream->Take());
  EXPECT_EQ(ReplyTo(first), R"({"a":1})");
}

TEST_F(RequestDispatcherTest, ARequestThatKillsRespondersIsGivenToNoMoreThanThree) {
  const Joined one = Join({"get_x"}), two = Join({"get_x"}), three = Join({"get_x"});
  const uint64_t asked = Ask("get_x");
  Die(one);
  const Joined four = Join({"get_x"});
  for (const Joined& next : {two, three}) {
    EXPECT_EQ(ReplyTo(asked), "");
    EXPECT_THAT(next.stream->requests, SizeIs(1));
    Die(next);
  }
  EXPECT_THAT(four.stream->requests, IsEmpty());
  EXPECT_EQ(ReplyTo(asked), "UNAVAILABLE");
  EXPECT_THAT(MessageTo(asked), HasSubstr("3 processes have gone while they had the request"));
  EXPECT_EQ(dispatcher_.CountsOf("s").open, 0);
}

TEST_F(RequestDispatcherTest, WhenTheLastResponderDiesNobodyWaitsInSilence) {
  const Joined one = Join({"get_x", "get_status"}, 1);
  const uint64_t given = Ask("get_x"), waiting = Ask("get_x"), retained = Ask("get_status");
  Die(one);
  EXPECT_EQ(ReplyTo(given), "UNAVAILABLE");
  EXPECT_THAT(MessageTo(given), HasSubstr("has gone"));
  EXPECT_EQ(ReplyTo(waiting), "UNAVAILABLE");
  EXPECT_EQ(ReplyTo(retained), R"({"retained":true})");
  EXPECT_EQ(dispatcher_.CountsOf("s").open, 0);
  EXPECT_EQ(dispatcher_.CountsOf("s").responders, 0);
}

// ------------------------------------------------------------------------------- time

TEST_F(RequestDispatcherTest, AtItsDeadlineARequestIsOverAndALateAnswerIsDropped) {
  const Joined one = Join({"get_x"});
  const uint64_t asked = Ask("get_x", absl::Seconds(2)), longer = Ask("get_x", absl::Seconds(5));
  const uint64_t id = one.stream->Take(), other = one.stream->Take();
  Pass(absl::Milliseconds(1999));
  EXPECT_EQ(ReplyTo(asked), "");
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(ReplyTo(asked), "UNAVAILABLE");
  EXPECT_THAT(one.stream->cancelled, ElementsAre(id));
  Answer(one, id, R"({"late":1})");
  EXPECT_EQ(ReplyTo(asked), "UNAVAILABLE");
  EXPECT_EQ(Ended(ServedResult::kLate), 1);
  EXPECT_EQ(dispatcher_.CountsOf("s").ignored_answers, 0) << "it had to be answered";
  Pass(absl::Seconds(3));
  EXPECT_EQ(ReplyTo(longer), "UNAVAILABLE");
  EXPECT_THAT(one.stream->cancelled, ElementsAre(id, other));
}

TEST_F(RequestDispatcherTest, AShorterDeadlineIsKeptBehindALongerOne) {
  Join({"get_x"});
  const uint64_t longer = Ask("get_x", absl::Seconds(10)), shorter = Ask("get_x", absl::Seconds(1));
  Pass(absl::Seconds(1));
  EXPECT_EQ(ReplyTo(shorter), "UNAVAILABLE");
  EXPECT_EQ(ReplyTo(longer), "");
  Pass(absl::Seconds(9));
  EXPECT_EQ(ReplyTo(longer), "UNAVAILABLE");
}

TEST_F(RequestDispatcherTest, ARequestThatWaitsForRoomEndsAtItsDeadlineToo) {
  const Joined one = Join({"get_x"}, 1);
  Ask("get_x", absl::Seconds(9));
  const uint64_t waiting = Ask("get_x", absl::Seconds(3));
  Pass(absl::Seconds(3));
  EXPECT_EQ(ReplyTo(waiting), "UNAVAILABLE");
  EXPECT_THAT(one.stream->cancelled, IsEmpty());
  EXPECT_EQ(dispatcher_.CountsOf("s").waiting, 0);
}

TEST_F(RequestDispatcherTest, ARequestWithoutATimeoutHasTheDefault) {
  Join({"get_x"});
  const uint64_t asked = Ask("get_x", absl::ZeroDuration());
  Pass(absl::Milliseconds(9999));
  EXPECT_EQ(ReplyTo(asked), "");
  Pass(absl::Milliseconds(1));
  EXPECT_EQ(ReplyTo(asked), "UNAVAILABLE");
}

TEST_F(RequestDispatcherTest, ACancelledRequestOccupiesItsResponderUntilItIsAnswered) {
  const Joined one = Join({"get_x"}, 1);
  const uint64_t left = Ask("get_x");
  const uint64_t next = Ask("get_x");
  const uint64_t id = one.stream->Take();
  Cancel(left);
  EXPECT_THAT(one.stream->cancelled, ElementsAre(id));
  EXPECT_THAT(one.stream->requests, IsEmpty()) << "it may still be at work";
  Answer(one, id);
  EXPECT_EQ(ReplyTo(left), "");
  Answer(one, one.stream->Take());
  EXPECT_EQ(ReplyTo(next), R"({"a":1})");
  EXPECT_EQ(Ended(ServedResult::kCancelled), 1);
  Cancel(left);
  Cancel(next);
  EXPECT_EQ(Ended(ServedResult::kCancelled), 1);
}

TEST_F(RequestDispatcherTest, AWorkerCancelsOnlyItsOwnRequests) {
  const Joined one = Join({"get_x"});
  const uint64_t mine = Ask("get_x", absl::Seconds(10), 1);
  const uint64_t other = Ask("get_x", absl::Seconds(10), 2);
  const uint64_t id = one.stream->Take(), id2 = one.stream->Take();
  Cancel(mine, /*late=*/true, /*link=*/2);
  EXPECT_THAT(one.stream->cancelled, IsEmpty());
  dispatcher_.LinkGone(1);
  EXPECT_THAT(one.stream->cancelled, ElementsAre(id));
  Answer(one, id2);
  EXPECT_EQ(ReplyTo(other), R"({"a":1})");
  EXPECT_EQ(ReplyTo(mine), "");
}

TEST_F(RequestDispatcherTest, ADeadRespondersCancelledRequestsAreNotGivenAgain) {
  const Joined one = Join({"get_x"});
  const uint64_t left = Ask("get_x");
  const Joined two = Join({"get_x"});
  Cancel(left);
  Die(one);
  EXPECT_THAT(two.stream->requests, IsEmpty());
}

// ------------------------------------------------------------------------------- leaving

TEST_F(RequestDispatcherTest, AResponderThatLeavesFinishesWhatItHas) {
  const Joined one = Join({"get_x"}), two = Join({"get_x"});
  const uint64_t asked = Ask("get_x");
  const uint64_t id = one.stream->Take();
  dispatcher_.OnGoAway(one.number, "restart");
  EXPECT_FALSE(one.stream->ended);
  for (int i = 0; i < 3; ++i) Ask("get_x");
  EXPECT_THAT(one.stream->requests, IsEmpty());
  EXPECT_THAT(two.stream->requests, SizeIs(3));
  Answer(one, id);
  EXPECT_EQ(ReplyTo(asked), R"({"a":1})");
  EXPECT_TRUE(one.stream->ended);
  EXPECT_EQ(one.stream->go_away, "");
}

TEST_F(RequestDispatcherTest, AResponderThatHasNothingLeavesAtOnceAndWhatWaitsForItFails) {
  const Joined one = Join({"get_x"}, 1);
  const uint64_t given = Ask("get_x"), waiting = Ask("get_x");
  dispatcher_.OnGoAway(one.number, "restart");
  EXPECT_EQ(ReplyTo(waiting), "UNAVAILABLE");
  EXPECT_EQ(ReplyTo(given), "");
  dispatcher_.OnGoAway(one.number, "again");
  const Joined two = Join({"get_y"});
  dispatcher_.OnGoAway(two.number, "bye");
  EXPECT_TRUE(two.stream->ended);
}

TEST_F(RequestDispatcherTest, WhenControlStopsNothingNewIsGivenAndNobodyIsLeftInSilence) {
  const Joined one = Join({"get_x"});
  const uint64_t answered = Ask("get_x"), open = Ask("get_x");
  const uint64_t id = one.stream->Take();
  const int told = told_;
  dispatcher_.GoAway("control is stopping");
  EXPECT_EQ(one.stream->go_away, "control is stopping");
  EXPECT_EQ(told_, told) << "workers keep what they know";
  EXPECT_THAT(TryJoin({"get_x"}), StatusIs(absl::StatusCode::kUnavailable, _));
  const uint64_t late = Ask("get_x");
  EXPECT_EQ(ReplyTo(late), "UNAVAILABLE");
  EXPECT_THAT(MessageTo(late), HasSubstr("control is stopping"));
  Answer(one, id);
  EXPECT_EQ(ReplyTo(answered), R"({"a":1})");
  dispatcher_.Close();
  EXPECT_EQ(ReplyTo(open), "UNAVAILABLE");
  EXPECT_EQ(dispatcher_.CountsOf("s").open, 0);
}

TEST_F(RequestDispatcherTest, AReloadChangesLimitsAndEndsServicesThatAreGone) {
  const Joined one = Join({"get_x"}), other = Join({"z"}, 0, "other");
  dispatcher_.SetServices(LoadDispatcherConfig(R"(
limits: {max_concurrent_requests: 1}
services:
- {name: s, port: 8690, served_requests: [{request: get_new}]}
)"));
  EXPECT_EQ(other.stream->go_away, "the service was removed");
  EXPECT_TRUE(other.stream->ended);
  EXPECT_THAT(Registered(), ElementsAre("s: get_x"));
  EXPECT_THAT(TryJoin({"z"}, nullptr, 0, "other"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_EQ(Join({"get_x"}).stream->welcome, 1u);
  EXPECT_EQ(ReplyTo(Ask("get_new")), "UNAVAILABLE");
  Ask("get_listed");
  EXPECT_THAT(retained_.requests, ElementsAre("get_listed"));
  EXPECT_EQ(one.stream->go_away, "");
}

// ------------------------------------------------------------------------------- for operators

TEST_F(RequestDispatcherTest, RespondersAreListed) {
  const Joined one = Join({"b", "a"}, 3);
  Join({"z"}, 0, "other");
  Ask("a");
  dispatcher_.OnGoAway(one.number, "bye");
  const std::vector<RequestDispatcher::ResponderInfo> all = dispatcher_.Responders();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].service, "other");
  EXPECT_EQ(all[1].service, "s");
  EXPECT_EQ(all[1].id, "me");
  EXPECT_THAT(all[1].requests, ElementsAre("b", "a"));
  EXPECT_EQ(all[1].outstanding, 1);
  EXPECT_EQ(all[1].max_concurrent, 3);
  EXPECT_TRUE(all[1].leaving);
  EXPECT_EQ(dispatcher_.CountsOf("nobody").responders, 0);
}

// ------------------------------------------------------------------------------- threads

// A responder that answers at once, some requests twice, and dies now and then.
TEST(RequestDispatcherThreadsTest, EveryRequestEndsOnceWhateverRespondersDo) {
  constexpr int kAskers = 3;
  constexpr int kEach = 2000;
  FakeClock clock;
  TimerQueue timers(&clock);
  FakeRetained retained;
  RequestDispatcher dispatcher(LoadDispatcherConfig(R"(
limits: {max_open_requests: 100000, max_responders: 100}
services: [{name: s, port: 8690, served_requests: [{request: get_x}]}]
)"),
                               &retained, &clock, &timers, [](uint64_t, auto) {});
  class Quick final : public Responder {
   public:
    void QueueWelcome(uint32_t) override {}
    void QueueRequest(v1::IncomingRequest request) override {
      MutexLock lock(&mu_);
      ids_.push_back(request.request_id());
    }
    void QueueCancel(uint64_t) override {}
    void QueueRefusal(uint64_t, const absl::Status&) override {}
    void QueueGoAway(const std::string&) override {}
    void QueueEnd() override {}
    void Flush() override {}
    std::vector<uint64_t> Take() {
      MutexLock lock(&mu_);
      return std::exchange(ids_, {});
    }

   private:
    Mutex mu_;
    std::vector<uint64_t> ids_ ABSL_GUARDED_BY(mu_);
  };
  std::atomic<bool> stop = false;
  const auto serve = [&](bool dies) {
    while (!stop) {
      v1::ResponderHello hello;
      hello.set_service("s");
      hello.add_requests("get_x");
      const auto stream = std::make_shared<Quick>();
      const auto number = dispatcher.Join(hello, stream);
      ASSERT_OK(number);
      for (int answered = 0; !stop && (!dies || answered < 20);) {
        for (const uint64_t id : stream->Take()) {
          ServedAnswer answer;
          if (id % 7 == 0) answer.result = ServedResult::kUnavailable;
          answer.json = "{}";
          dispatcher.OnAnswer(*number, id, answer);
          if (id % 5 == 0) dispatcher.OnAnswer(*number, id, answer);
          ++answered;
        }
        std::this_thread::yield();
      }
      dispatcher.OnGone(*number, absl::CancelledError("died"));
    }
  };
  std::thread steady(serve, false), mortal(serve, true);
  std::vector<std::atomic<int>> replies(static_cast<size_t>(kAskers) * kEach);
  std::vector<std::thread> askers;
  for (int asker = 0; asker < kAskers; ++asker) {
    askers.emplace_back([&, asker] {
      for (int i = 0; i < kEach; ++i) {
        const auto at = static_cast<size_t>(asker * kEach + i);
        v1::ClientRequest request;
        request.set_service("s");
        request.set_request("get_x");
        request.set_request_id(static_cast<uint64_t>(i));
        dispatcher.Handle(static_cast<uint64_t>(asker), request,
                          [&replies, at](v1::ClientReply) { ++replies[at]; });
        if (i % 50 == 0) clock.Advance(absl::Milliseconds(1));
      }
    });
  }
  for (std::thread& asker : askers) asker.join();
  stop = true;
  steady.join();
  mortal.join();
  dispatcher.Close();
  for (const std::atomic<int>& count : replies) EXPECT_EQ(count, 1);
  EXPECT_EQ(dispatcher.CountsOf("s").open, 0);
}

}  // namespace

}  // namespace fanwire::control
