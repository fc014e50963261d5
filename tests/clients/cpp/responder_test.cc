#include "fanwire/responder.h"

#include <atomic>
#include <future>
#include <stdexcept>

#include "clients/cpp/src/request_wire.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/cpp/fake_asker.h"
#include "tests/testing/wait_for.h"

namespace fanwire::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr milliseconds kForever = seconds(60);  // only hangs take so long

class ResponderTest : public testing::Test {
 protected:
  ResponderOptions Options() {
    ResponderOptions options;
    options.target = asker_.target();
    options.reconnect_first = milliseconds(1);
    options.reconnect_last = milliseconds(20);
    options.stop_timeout = kForever;
    return options;
  }

  FakeAsker asker_;
};

Response Named(const std::string& name) { return Response::Json("{\"by\":\"" + name + "\"}"); }

TEST_F(ResponderTest, ARequestArrivesWholeAndIsAnswered) {
  ResponderOptions options = Options();
  options.id = "me";
  options.max_concurrent = 7;
  Responder responder("mahavishnu", options);
  std::promise<Request> got;
  responder.Serve("get_state", [&got](const Request& request) {
    got.set_value(request);
    return Response::Json("{\"n\": 123456789012345678901234567890}");
  });
  responder.Serve("list_*", [](const Request&) { return Named("list"); });
  ASSERT_EQ(responder.Start(), Status());
  ASSERT_EQ(responder.WaitUntilServing(kForever), Status());
  const uint64_t id = asker_.Ask("get_state", "{\"a\":1}");
  EXPECT_EQ(asker_.Answer(id).json(), "{\"n\": 123456789012345678901234567890}");
  const Request request = got.get_future().get();
  EXPECT_EQ(request.name(), "get_state");
  EXPECT_EQ(request.json(), "{\"a\":1}");
  EXPECT_EQ(request.connection_id(), "conn");
  EXPECT_EQ(request.user_id(), "user");
  EXPECT_THAT(request.permissions(), ElementsAre("a:read", "b:read"));
  EXPECT_EQ(request.attempt(), 2U);
  EXPECT_GT(request.deadline(), std::chrono::steady_clock::now());
  const v1::ResponderHello hello = asker_.hellos().at(0);
  EXPECT_EQ(hello.service(), "mahavishnu");
  EXPECT_THAT(hello.requests(), ElementsAre("get_state", "list_*"));
  EXPECT_EQ(hello.max_concurrent(), 7U);
  EXPECT_EQ(hello.responder_id(), "me");
}

TEST_F(ResponderTest, TheExactNameGoesFirstThenTheLongest) {
  Responder responder("s", Options());
  for (const char* name : {"get_*", "get_workflow", "get_work*", "*"}) {
    responder.Serve(name, [name](const Request&) { return Named(name); });
  }
  ASSERT_EQ(responder.Start(), Status());
  EXPECT_EQ(asker_.Answer(asker_.Ask("get_workflow")).json(), "{\"by\":\"get_workflow\"}");
  EXPECT_EQ(asker_.Answer(asker_.Ask("get_works")).json(), "{\"by\":\"get_work*\"}");
  EXPECT_EQ(asker_.Answer(asker_.Ask("get_work")).json(), "{\"by\":\"get_work*\"}");
  EXPECT_EQ(asker_.Answer(asker_.Ask("get_")).json(), "{\"by\":\"get_*\"}");
  EXPECT_EQ(asker_.Answer(asker_.Ask("x")).json(), "{\"by\":\"*\"}");
}

TEST_F(ResponderTest, ErrorsAndExceptions) {
  Responder responder("s", Options());
  responder.Serve("missing", [](const Request&) {
    return Response::Error(RequestError::kNotFound, "no workflow wf_1");
  });
  responder.Serve("throws", [](const Request&) -> Response { throw std::runtime_error("why"); });
  responder.Serve("binary",
                  [](const Request&) -> Response { throw std::runtime_error("no file \xff\xfe"); });
  responder.Serve("odd", [](const Request&) -> Response { throw 7; });
  ASSERT_EQ(responder.Start(), Status());
  const v1::RequestAnswer missing = asker_.Answer(asker_.Ask("missing"));
  EXPECT_EQ(missing.error().code(), v1::REQUEST_ERROR_CODE_NOT_FOUND);
  EXPECT_EQ(missing.error().message(), "no workflow wf_1");
  const v1::RequestAnswer thrown = asker_.Answer(asker_.Ask("throws"));
  EXPECT_EQ(thrown.error().code(), v1::REQUEST_ERROR_CODE_INTERNAL_ERROR);
  EXPECT_EQ(thrown.error().message(), "why");
  EXPECT_EQ(asker_.Answer(asker_.Ask("binary")).error().message(),
            "no file \xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(asker_.Answer(asker_.Ask("odd")).error().code(), v1::REQUEST_ERROR_CODE_INTERNAL_ERROR);
  EXPECT_EQ(asker_.Answer(asker_.Ask("other")).error().code(), v1::REQUEST_ERROR_CODE_UNAVAILABLE);
}

// Handlers that wait until they are released.
class Gate {
 public:
  void Wait() {
    MutexLock lock(&mu_);
    ++waiting_;
    while (!open_) changed_.Wait(&mu_);
  }
  void Open() {
    MutexLock lock(&mu_);
    open_ = true;
    changed_.SignalAll();
  }
  int waiting() {
    MutexLock lock(&mu_);
    return waiting_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

TEST_F(ResponderTest, HandlersRunBesideEachOther) {
  Gate gate;
  Responder responder("s", Options());
  responder.Serve("slow", [&gate](const Request&) {
    gate.Wait();
    return Named("slow");
  });
  responder.Serve("quick", [](const Request&) { return Named("quick"); });
  ASSERT_EQ(responder.Start(), Status());
  const uint64_t slow = asker_.Ask("slow");
  ASSERT_TRUE(WaitFor([&] { return gate.waiting() == 1; }));
  EXPECT_EQ(asker_.Answer(asker_.Ask("quick")).json(), "{\"by\":\"quick\"}");
  gate.Open();
  EXPECT_EQ(asker_.Answer(slow).json(), "{\"by\":\"slow\"}");
}

TEST_F(ResponderTest, StoppingAnswersWhatIsHere) {
  Gate gate;
  Responder responder("s", Options());
  responder.Serve("slow", [&gate](const Request&) {
    gate.Wait();
    return Named("slow");
  });
  ASSERT_EQ(responder.Start(), Status());
  std::vector<uint64_t> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(asker_.Ask("slow"));
  ASSERT_TRUE(WaitFor([&] { return gate.waiting() == 4; }));
  std::thread stop([&] { EXPECT_EQ(responder.Stop(kForever), Status()); });
  ASSERT_TRUE(WaitFor([&] { return !asker_.connected(); }));
  EXPECT_EQ(asker_.answers(), 0U);
  gate.Open();
  stop.join();
  for (const uint64_t id : ids) EXPECT_EQ(asker_.Answer(id).json(), "{\"by\":\"slow\"}");
  EXPECT_EQ(responder.Stop(kForever), Status());
  EXPECT_EQ(asker_.hellos().size(), 1U);  // it does not come back
}

TEST_F(ResponderTest, StoppingInAHandlerOrCallbackIsAnError) {
  Responder* self = nullptr;
  Status in_callback;
  ResponderOptions options = Options();
  options.on_connection = [&](const Status& status) {
    if (status.ok()) in_callback = self->Stop(kForever);
  };
  Responder responder("s", options);
  self = &responder;
  responder.Serve("stop", [&](const Request&) {
    return Response::Error(RequestError::kNotFound, responder.Stop(kForever).message());
  });
  ASSERT_EQ(responder.Start(), Status());
  EXPECT_THAT(asker_.Answer(asker_.Ask("stop")).error().message(),
              HasSubstr("called in a handler or a callback"));
  EXPECT_EQ(responder.Stop(kForever), Status());
  EXPECT_EQ(in_callback.code(), Code::kFailedPrecondition);
}

TEST_F(ResponderTest, StoppingEndsWithItsTimeout) {
  Gate gate;
  std::atomic<bool> ended = false, cancelled = false;
  ResponderOptions options = Options();
  options.on_connection = [&ended](const Status& status) { ended = !status.ok(); };
  Responder responder("s", options);
  responder.Serve("slow", [&](const Request& request) {
    gate.Wait();
    cancelled = request.cancelled();
    return Named("slow");
  });
  ASSERT_EQ(responder.Start(), Status());
  asker_.Ask("slow");
  ASSERT_TRUE(WaitFor([&] { return gate.waiting() == 1; }));
  // The handler is waited for, but its answer is not sent.
  std::thread open([&] {
    // Its request is cancelled when the stream ends, after the timeout.
    EXPECT_TRUE(WaitFor([&] { return ended.load(); }));
    gate.Open();
  });
  const Status status = responder.Stop(milliseconds(5));
  open.join();
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("1 requests were not answered"));
}

TEST_F(ResponderTest, AfterALostStreamOldAnswersAreNotSent) {
  Gate gate;
  Mutex mu;
  std::vector<bool> cancelled;
  Responder responder("s", Options());
  responder.Serve("slow", [&](const Request& request) {
    gate.Wait();
    MutexLock lock(&mu);
    cancelled.push_back(request.cancelled());
    return Named("slow");
  });
  responder.Serve("quick", [](const Request&) { return Named("quick"); });
  ASSERT_EQ(responder.Start(), Status());
  const uint64_t slow = asker_.Ask("slow");
  ASSERT_TRUE(WaitFor([&] { return gate.waiting() == 1; }));
  asker_.End({grpc::StatusCode::UNAVAILABLE, "broken"});
  ASSERT_TRUE(WaitFor([&] { return asker_.hellos().size() >= 3; }));
  asker_.End(grpc::Status::OK);
  ASSERT_EQ(responder.WaitUntilServing(kForever), Status());
  gate.Open();
  EXPECT_EQ(asker_.Answer(asker_.Ask("quick")).json(), "{\"by\":\"quick\"}");
  EXPECT_EQ(responder.Stop(kForever), Status());
  EXPECT_EQ(asker_.answers(), 1U) << slow;  // FakeAsker checks that no answer is of an old id
  MutexLock lock(&mu);
  EXPECT_THAT(cancelled, ElementsAre(true));
}

TEST_F(ResponderTest, ACancelledRequestSaysSo) {
  Gate gate;
  std::promise<bool> cancelled;
  Responder responder("s", Options());
  responder.Serve("slow", [&](const Request& request) {
    gate.Wait();
    cancelled.set_value(WaitFor([&] { return request.cancelled(); }));
    return Named("slow");
  });
  ASSERT_EQ(responder.Start(), Status());
  const uint64_t id = asker_.Ask("slow");
  ASSERT_TRUE(WaitFor([&] { return gate.waiting() == 1; }));
  gate.Open();
  v1::ServeRequestsResponse cancel;
  cancel.mutable_cancel()->add_request_ids(999);
  cancel.mutable_cancel()->add_request_ids(id);
  asker_.Send(cancel);
  EXPECT_TRUE(cancelled.get_future().get());
  asker_.Answer(id);
}

TEST_F(ResponderTest, RefusalsAreTold) {
  std::promise<Status> refused, connection;
  ResponderOptions options = Options();
  options.on_refused_answer = [&](const Status& status) { refused.set_value(status); };
  Responder responder("s", options);
  responder.Serve("x", [](const Request&) { return Named("x"); });
  asker_.End({grpc::StatusCode::NOT_FOUND, "no such service"});
  ASSERT_EQ(responder.Start(), Status());
  ASSERT_TRUE(WaitFor([&] { return asker_.hellos().size() >= 2; }));
  const Status status = responder.WaitUntilServing(milliseconds(0));
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("no such service"));
  asker_.End(grpc::Status::OK);
  ASSERT_EQ(responder.WaitUntilServing(kForever), Status());
  v1::ServeRequestsResponse message;
  message.mutable_refused()->set_request_id(1);
  message.mutable_refused()->mutable_status()->set_code(3);
  message.mutable_refused()->mutable_status()->set_message("not an object");
  asker_.Send(message);
  EXPECT_EQ(refused.get_future().get(), Status(Code::kInvalidArgument, "not an object"));
}

TEST_F(ResponderTest, WhatStartRefuses) {
  Responder nothing("s", Options());
  EXPECT_EQ(nothing.Start().code(), Code::kFailedPrecondition);
  ResponderOptions options = Options();
  options.target = "http://x";
  Responder responder("s", options);
  responder.Serve("x", [](const Request&) { return Named("x"); });
  EXPECT_EQ(responder.Start().code(), Code::kInvalidArgument);
  EXPECT_EQ(responder.Stop(kForever), Status());
}

TEST(RequestWireTest, TextsThatAreNotUtf8AreMadeSo) {
  const std::string bad = "\xef\xbf\xbd";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"\xc0\x80", bad + bad},
      {"\xe2\x82", bad + bad},
      {"\xed\xa0\x80", bad + bad + bad},
      {"\xe0\x80\x80", bad + bad + bad},
      {"\xf4\x90\x80\x80", bad + bad + bad + bad},
      {"\xf0\x80\x80\x80", bad + bad + bad + bad},
      {"\xf5z", bad + "z"}};
  for (const auto& [text, expected] : cases) {
    v1::ServeRequestsRequest message;
    ASSERT_TRUE(message.ParseFromString(WriteResponderGoAway(text)));
    EXPECT_EQ(message.go_away().reason(), expected);
  }
}

TEST(RequestWireTest, ACutMessageIsMalformed) {
  v1::ServeRequestsResponse requests;
  for (int i = 0; i < 2; ++i) {
    v1::IncomingRequest* request = requests.mutable_requests()->add_requests();
    request->set_request_id(300);
    request->set_request("get");
    request->set_data("{}");
  }
  v1::ServeRequestsResponse cancel;
  for (const uint64_t id : {1ULL, 1000ULL, ~0ULL}) cancel.mutable_cancel()->add_request_ids(id);
  ServeAnswer answer;
  for (const std::string& message : {requests.SerializeAsString(), cancel.SerializeAsString()}) {
    for (size_t size = 1; size < message.size(); ++size) {
      EXPECT_FALSE(ReadServeAnswer(message.substr(0, size), {}, &answer)) << size;
    }
    EXPECT_TRUE(ReadServeAnswer(message, {}, &answer));
  }
  EXPECT_THAT(answer.cancelled, ElementsAre(1, 1000, ~0ULL));
  EXPECT_FALSE(ReadServeAnswer("\x1a\x03\x0a\x01\x80", {}, &answer));  // a packed number is cut
}

}  // namespace
}  // namespace fanwire::client
