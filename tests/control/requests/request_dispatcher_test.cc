// RequestDispatcher: who answers a request, and how the load is spread; responders that delay,
// reorder, and answer twice or what nobody asked.
#include "control/requests/request_dispatcher.h"

#include <memory>
#include <string>
#include <vector>

#include "tests/control/requests/request_dispatcher_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ------------------------------------------------------------------------------- one request

TEST_F(RequestDispatcherTest, ARequestReachesTheResponderWithAllThatBelongsToItAndIsAnsweredOnce) {
  const Joined one = Join({"get_x"});
  EXPECT_EQ(one.stream->welcome, 4u);
  const uint64_t asked = Ask("get_x", absl::Seconds(7), 1, R"({"n":18446744073709551616})");
  ASSERT_THAT(one.stream->requests, SizeIs(1));
  const v1::IncomingRequest request = one.stream->requests[0];
  EXPECT_EQ(request.request(), "get_x");
  EXPECT_EQ(request.data(), R"({"n":18446744073709551616})");
  EXPECT_EQ(request.remaining().seconds(), 7);
  EXPECT_EQ(request.connection_id(), "c1");
  EXPECT_EQ(request.user_id(), "u1");
  EXPECT_THAT(request.permissions(), ElementsAre("p1"));
  EXPECT_EQ(request.attempt(), 1u);
  EXPECT_EQ(ReplyTo(asked), "");
  Answer(one, request.request_id(), R"({"n":123456789012345678901234567890})");
  EXPECT_EQ(ReplyTo(asked), R"({"n":123456789012345678901234567890})");
  EXPECT_EQ(Ended(ServedResult::kAnswered), 1);
  EXPECT_EQ(dispatcher_.CountsOf("s").open, 0);
  Pass(absl::Seconds(20));
  EXPECT_EQ(ReplyTo(asked), R"({"n":123456789012345678901234567890})");
}

TEST_F(RequestDispatcherTest, AnswersMayComeInAnyOrderAndReachWhoAsked) {
  const Joined one = Join({"get_x"});
  const uint64_t first = Ask("get_x"), second = Ask("get_x", absl::Seconds(10), 2);
  const uint64_t a = one.stream->Take(), b = one.stream->Take();
  Answer(one, b, R"({"b":2})");
  EXPECT_EQ(ReplyTo(first), "");
  EXPECT_EQ(ReplyTo(second), R"({"b":2})");
  Answer(one, a, R"({"a":1})");
  EXPECT_EQ(ReplyTo(first), R"({"a":1})");
}

TEST_F(RequestDispatcherTest, ErrorsReachTheClient) {
  const Joined one = Join({"get_x"});
  const uint64_t asked = Ask("get_x");
  AnswerError(one, one.stream->Take(), ServedResult::kNotFound, "NOT_FOUND", "no such thing");
  EXPECT_EQ(ReplyTo(asked), "NOT_FOUND");
  EXPECT_EQ(MessageTo(asked), "no such thing");
  EXPECT_EQ(Ended(ServedResult::kNotFound), 1);
}

TEST_F(RequestDispatcherTest, ABadAnswerIsAnErrorForTheClientAndToldToTheResponder) {
  const Joined one = Join({"get_x"});
  const uint64_t asked = Ask("get_x"), id = one.stream->Take();
  AnswerError(one, id, ServedResult::kBadAnswer, "INTERNAL_ERROR", "Internal server error",
              absl::InvalidArgumentError("data: not an object"));
  EXPECT_EQ(ReplyTo(asked), "INTERNAL_ERROR");
  ASSERT_THAT(one.stream->refused, SizeIs(1));
  EXPECT_EQ(one.stream->refused[0].first, id);
  EXPECT_EQ(one.stream->refused[0].second.message(), "data: not an object");
}

TEST_F(RequestDispatcherTest, ASecondAnswerAndOneThatNobodyAskedForAreIgnored) {
  const Joined one = Join({"get_x"}), two = Join({"get_y"});
  const uint64_t asked = Ask("get_x"), id = one.stream->Take();
  Answer(two, id, R"({"stolen":true})");
  EXPECT_EQ(ReplyTo(asked), "");
  Answer(one, id + 1000);
  Answer(one, id);
  Answer(one, id, R"({"again":true})");
  EXPECT_EQ(ReplyTo(asked), R"({"a":1})");
  EXPECT_EQ(dispatcher_.CountsOf("s").ignored_answers, 3);
}

// ------------------------------------------------------------------------------- who answers

TEST_F(RequestDispatcherTest, WithoutAResponderTheRetainedStateAnswersOrNobody) {
  EXPECT_EQ(ReplyTo(Ask("get_status")), R"({"retained":true})");
  EXPECT_EQ(ReplyTo(Ask("get_unknown")), R"({"retained":true})") << "which says UNKNOWN_REQUEST";
  for (const char* name : {"get_listed", "job_1"}) {
    const uint64_t asked = Ask(name);
    EXPECT_EQ(ReplyTo(asked), "UNAVAILABLE");
    EXPECT_THAT(MessageTo(asked), HasSubstr("no process that answers it is connected"));
  }
  EXPECT_THAT(retained_.requests, ElementsAre("get_status", "get_unknown"));
  EXPECT_EQ(Ended(ServedResult::kUnavailable), 2);
}

TEST_F(RequestDispatcherTest, AResponderComesBeforeTheRetainedStateAndAPatternServesAsWell) {
  const Joined one = Join({"get_*"});
  Ask("get_status");
  Ask("get_unknown");
  EXPECT_THAT(one.stream->requests, SizeIs(2));
  EXPECT_EQ(ReplyTo(Ask("job_1")), "UNAVAILABLE");
  EXPECT_THAT(retained_.requests, IsEmpty());
  Die(one);
  EXPECT_EQ(ReplyTo(Ask("get_status")), R"({"retained":true})");
}

TEST_F(RequestDispatcherTest, ServicesDoNotServeEachOther) {
  const Joined other = Join({"*"}, 0, "other");
  EXPECT_EQ(ReplyTo(Ask("get_listed")), "UNAVAILABLE");
  EXPECT_THAT(other.stream->requests, IsEmpty());
}

TEST_F(RequestDispatcherTest, BadHellosAreRefusedWithTheReason) {
  EXPECT_THAT(TryJoin({}), StatusIs(kInvalid, HasSubstr("requests: empty")));
  EXPECT_THAT(TryJoin({"ok", "history"}),
              StatusIs(kInvalid, HasSubstr("requests[1]: \"history\" is a request that Fanwire")));
  EXPECT_THAT(TryJoin({"a*b"}), StatusIs(kInvalid, HasSubstr("requests[0]: ")));
  EXPECT_THAT(TryJoin(std::vector<std::string>(101, "x")),
              StatusIs(kInvalid, HasSubstr("101 names, at most 100")));
  EXPECT_THAT(TryJoin({"x"}, nullptr, 0, "nobody"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"nobody\": not configured")));
  v1::ResponderHello hello;
  hello.set_service("s");
  hello.add_requests("x");
  hello.set_responder_id(std::string(129, 'i'));
  EXPECT_THAT(dispatcher_.Join(hello, std::make_shared<FakeResponder>()),
              StatusIs(kInvalid, HasSubstr("responder_id: 129 bytes, at most 128")));
  for (int i = 0; i < 3; ++i) Join({"x"});
  EXPECT_THAT(TryJoin({"x"}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("limits.max_responders")));
}

TEST_F(RequestDispatcherTest, WorkersAreToldTheNamesWhenTheyChange) {
  const Joined one = Join({"b", "a"});
  EXPECT_THAT(Registered(), ElementsAre("s: a b"));
  const Joined two = Join({"a"});
  EXPECT_EQ(told_, 1) << "nothing has changed";
  Join({"z*"}, 0, "other");
  EXPECT_THAT(Registered(), ElementsAre("other: z*", "s: a b"));
  Die(one);
  EXPECT_THAT(Registered(), ElementsAre("other: z*", "s: a"));
  dispatcher_.OnGoAway(two.number, "bye");
  EXPECT_THAT(Registered(), ElementsAre("other: z*"));
}

// ------------------------------------------------------------------------------- spreading

TEST_F(RequestDispatcherTest, RequestsGoToTheResponderWithTheFewestWithoutAnAnswer) {
  const Joined one = Join({"get_x"}), two = Join({"get_x"});
  for (int i = 0; i < 4; ++i) Ask("get_x");
  EXPECT_THAT(one.stream->requests, SizeIs(2));
  EXPECT_THAT(two.stream->requests, SizeIs(2));
  Answer(two, two.stream->Take());
  Answer(two, two.stream->Take());
  Ask("get_x");
  Ask("get_x");
  EXPECT_THAT(one.stream->requests, SizeIs(2));
  EXPECT_THAT(two.stream->requests, SizeIs(2));
}

TEST_F(RequestDispatcherTest, OfRespondersWithEquallyManyTheyTakeTurns) {
  const Joined one = Join({"get_x"}), two = Join({"get_x"});
  std::vector<int> turns;
  for (int i = 0; i < 4; ++i) {
    Ask("get_x");
    const bool first = !one.stream->requests.empty();
    turns.push_back(first ? 1 : 2);
    Answer(first ? one : two, (first ? one : two).stream->Take());
  }
  EXPECT_THAT(turns, ElementsAre(1, 2, 1, 2));
}

TEST_F(RequestDispatcherTest, WhatFindsNoRoomWaitsInOrderForIt) {
  const Joined one = Join({"get_x"}, 2);
  EXPECT_EQ(one.stream->welcome, 2u);
  std::vector<uint64_t> asked;
  for (int i = 0; i < 5; ++i) asked.push_back(Ask("get_x", absl::Seconds(10), 1, absl::StrCat(i)));
  EXPECT_THAT(one.stream->requests, SizeIs(2));
  EXPECT_EQ(dispatcher_.CountsOf("s").waiting, 3);
  one.stream->Take();
  Answer(one, one.stream->Take());
  ASSERT_THAT(one.stream->requests, SizeIs(1));
  EXPECT_EQ(one.stream->requests[0].data(), "2");
  EXPECT_EQ(ReplyTo(asked[1]), R"({"a":1})");
  // Another one that comes takes what waits.
  const Joined two = Join({"get_x"});
  ASSERT_THAT(two.stream->requests, SizeIs(2));
  EXPECT_EQ(two.stream->requests[0].data(), "3");
  EXPECT_EQ(two.stream->requests[1].data(), "4");
  EXPECT_EQ(dispatcher_.CountsOf("s").waiting, 0);
}

TEST_F(RequestDispatcherTest, ARequestThatWaitsForAFullResponderDoesNotHoldUpOthers) {
  const Joined x = Join({"get_x"}, 1), y = Join({"get_y"}, 1);
  Ask("get_x");
  Ask("get_x");
  Ask("get_y");
  Ask("get_y");
  Answer(y, y.stream->Take());
  EXPECT_THAT(y.stream->requests, SizeIs(1));
  EXPECT_THAT(x.stream->requests, SizeIs(1));
}

TEST_F(RequestDispatcherTest, OverTheLimitsARequestIsRefusedAtOnce) {
  const Joined one = Join({"get_x"}, 2);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(ReplyTo(Ask("get_x")), "");
  const uint64_t one_too_many = Ask("get_x");
  EXPECT_EQ(ReplyTo(one_too_many), "UNAVAILABLE");
  EXPECT_THAT(MessageTo(one_too_many), HasSubstr("6 requests with"));
  Answer(one, one.stream->Take());
  EXPECT_EQ(ReplyTo(Ask("get_x")), "");
}

TEST_F(RequestDispatcherTest, OverTheBytesARequestIsRefusedButASingleOneMayBeLonger) {
  const Joined one = Join({"get_x"});
  const std::string longest(2 << 20, ' ');
  EXPECT_EQ(ReplyTo(Ask("get_x", absl::Seconds(10), 1, longest)), "");
  EXPECT_EQ(ReplyTo(Ask("get_x")), "UNAVAILABLE");
  Answer(one, one.stream->Take());
  EXPECT_EQ(ReplyTo(Ask("get_x")), "");
}

}  // namespace

}  // namespace fanwire::control
