// RequestDispatcher with responders that delay, fail, die, reorder, and answer twice, too late or
// what nobody asked.
#include "control/requests/request_dispatcher.h"

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/publish.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::string_view kConfig = R"(
limits:
  max_responders: 3
  max_concurrent_requests: 4
  max_open_requests: 6
  max_open_request_bytes: 1MiB
services:
- name: s
  port: 8690
  served_requests:
  - {request: get_listed, any_of: [p]}
  - {request: "job_*"}
  status_requests:
  - {request: get_status, argument: id}
- name: other
  port: 8691
)";

v1::Config DispatchedConfig(absl::string_view yaml) {
  LoadedConfig loaded = LoadConfig(std::string(yaml), "test.yaml", {});
  EXPECT_THAT(loaded.errors, IsEmpty());
  return std::move(*loaded.config);
}

// A responder's stream that keeps what it is to send.
class FakeResponder final : public Responder {
 public:
  void QueueWelcome(uint32_t max_concurrent) override { welcome = max_concurrent; }
  void QueueRequest(v1::IncomingRequest request) override {
    EXPECT_GT(welcome, 0u) << "a request before the welcome";
    queued_.push_back(std::move(request));
  }
  void QueueCancel(uint64_t request_id) override { cancelled.push_back(request_id); }
  void QueueRefusal(uint64_t request_id, const absl::Status& fault) override {
    refused.emplace_back(request_id, fault);
  }
  void QueueGoAway(const std::string& reason) override { go_away = reason; }
  void QueueEnd() override { ended_ = true; }
  void Flush() override {
    for (v1::IncomingRequest& request : queued_) requests.push_back(std::move(request));
    queued_.clear();
    ended = ended_;
  }

  // The id of the oldest request that was not taken yet.
  uint64_t Take() {
    if (requests.empty()) {
      ADD_FAILURE() << "it has no request";
      return 0;
    }
    const uint64_t id = requests.front().request_id();
    requests.erase(requests.begin());
    return id;
  }

  uint32_t welcome = 0;
  std::vector<v1::IncomingRequest> requests;  // sent
  std::vector<uint64_t> cancelled;
  std::vector<std::pair<uint64_t, absl::Status>> refused;
  std::string go_away;
  bool ended = false;

 private:
  std::vector<v1::IncomingRequest> queued_;
  bool ended_ = false;
};

class FakeRetained final : public ClientRequestHandler {
 public:
  void Handle(const v1::ClientRequest& request, Reply reply) override {
    requests.push_back(request.request());
    v1::ClientReply answer;
    answer.set_data(R"({"retained":true})");
    reply(std::move(answer));
  }
  std::vector<std::string> requests;
};

class RequestDispatcherTest : public ::testing::Test {
 protected:
  struct Joined {
    std::shared_ptr<FakeResponder> stream;
    uint64_t number = 0;
  };
  Joined Join(const std::vector<std::string>& names, uint32_t max_concurrent = 0,
              const std::string& service = "s") {
    Joined joined{.stream = std::make_shared<FakeResponder>()};
    const auto number = TryJoin(names, joined.stream, max_concurrent, service);
    EXPECT_OK(number);
    joined.number = number.value_or(0);
    return joined;
  }
  absl::StatusOr<uint64_t> TryJoin(const std::vector<std::string>& names,
                                   std::shared_ptr<FakeResponder> stream = nullptr,
                                   uint32_t max_concurrent = 0, const std::string& service = "s") {
    if (stream == nullptr) stream = std::make_shared<FakeResponder>();
    v1::ResponderHello hello;
    hello.set_service(service);
    hello.set_responder_id("me");
    hello.set_max_concurrent(max_concurrent);
    for (const std::string& name : names) hello.add_requests(name);
    return dispatcher_.Join(hello, std::move(stream));
  }

  // A client asks; its replies are kept under the returned id.
  uint64_t Ask(const std::string& name, absl::Duration timeout = absl::Seconds(10),
               uint64_t link = 1, const std::string& data = "{}") {
    v1::ClientRequest request;
    const uint64_t id = ++last_;
    request.set_request_id(id);
    request.set_service("s");
    request.set_connection_id("c1");
    request.set_user_id("u1");
    request.add_permissions("p1");
    request.set_request(name);
    request.set_data(data);
    request.set_timeout_ms(absl::ToInt64Milliseconds(timeout));
    dispatcher_.Handle(link, request, [this, id](v1::ClientReply reply) {
      replies_[id].push_back(std::move(reply));
    });
    return id;
  }
  // The one reply to the question: its data, or its error's code; empty if there is none.
  std::string ReplyTo(uint64_t id) {
    const std::vector<v1::ClientReply>& replies = replies_[id];
    EXPECT_LE(replies.size(), 1u) << "more than one reply";
    if (replies.empty()) return "";
    return replies[0].error_code().empty() ? replies[0].data() : replies[0].error_code();
  }
  std::string MessageTo(uint64_t id) {
    return replies_[id].empty() ? "" : replies_[id][0].error_message();
  }

  void Answer(const Joined& responder, uint64_t request, const std::string& json = R"({"a":1})") {
    ServedAnswer answer;
    answer.json = json;
    dispatcher_.OnAnswer(responder.number, request, std::move(answer));
  }
  void AnswerError(const Joined& responder, uint64_t request, ServedResult result,
                   const std::string& code, const std::string& message = "why",
                   absl::Status fault = absl::OkStatus()) {
    dispatcher_.OnAnswer(responder.number, request,
                         {.result = result,
                          .json = {},
                          .error_code = code,
                          .error_message = message,
                          .fault = std::move(fault)});
  }
  void Busy(const Joined& responder, uint64_t request, const std::string& message = "busy") {
    AnswerError(responder, request, ServedResult::kUnavailable, "UNAVAILABLE", message);
  }
  void Die(const Joined& responder) {
    dispatcher_.OnGone(responder.number, absl::CancelledError("died"));
  }
  void Cancel(uint64_t id, bool late = false, uint64_t link = 1) {
    v1::ClientCancel cancel;
    cancel.set_request_id(id);
    cancel.set_late(late);
    dispatcher_.Cancel(link, cancel);
  }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }
  int64_t Ended(ServedResult result) {
    return dispatcher_.CountsOf("s").by_result[static_cast<size_t>(result)];
  }
  // "s: a b" for each service, as workers were told last.
  std::vector<std::string> Registered() const {
    std::vector<std::string> all;
    if (registered_ == nullptr) return all;
    for (const v1::ServiceRequestNames& names : registered_->services()) {
      std::string& text = all.emplace_back(names.service() + ":");
      for (const std::string& name : names.requests()) absl::StrAppend(&text, " ", name);
    }
    return all;
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  FakeRetained retained_;
  std::shared_ptr<const v1::RegisteredRequests> registered_;
  uint64_t version_ = 0;
  int told_ = 0;
  std::map<uint64_t, std::vector<v1::ClientReply>> replies_;
  uint64_t last_ = 100;
  RequestDispatcher dispatcher_{
      DispatchedConfig(kConfig), &retained_, &clock_, &timers_,
      [this](uint64_t version, std::shared_ptr<const v1::RegisteredRequests> registered) {
        EXPECT_GT(version, version_);
        version_ = version;
        registered_ = std::move(registered);
        ++told_;
      }};
};

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
  dispatcher_.SetServices(DispatchedConfig(R"(
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
  RequestDispatcher dispatcher(DispatchedConfig(R"(
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
