// ServeRequests over a real connection: the stream's rules, and every way in which it can end.
#include "control/requests/responder_streams.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc_status.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/requests/request_dispatcher.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class NobodyElse final : public ClientRequestHandler {
 public:
  void Handle(const v1::ClientRequest&, Reply reply) override {
    v1::ClientReply answer;
    answer.set_error_code("UNKNOWN_REQUEST");
    reply(std::move(answer));
  }
};

// A responder's end.
class StreamResponder {
 public:
  explicit StreamResponder(v1::Publisher::Stub* stub) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    stream_ = stub->ServeRequests(&context_);
  }

  bool Hello(const std::vector<std::string>& names, uint32_t max_concurrent = 0,
             const std::string& service = "s") {
    v1::ServeRequestsRequest message;
    message.mutable_hello()->set_service(service);
    message.mutable_hello()->set_responder_id("me");
    message.mutable_hello()->set_max_concurrent(max_concurrent);
    for (const std::string& name : names) message.mutable_hello()->add_requests(name);
    return stream_->Write(message);
  }
  std::optional<v1::ServeRequestsResponse> Read() {
    v1::ServeRequestsResponse message;
    if (!stream_->Read(&message)) return std::nullopt;
    return message;
  }
  // Says hello and reads the welcome.
  void Join(const std::vector<std::string>& names, uint32_t max_concurrent = 0) {
    ASSERT_TRUE(Hello(names, max_concurrent));
    const auto welcome = Read();
    ASSERT_TRUE(welcome.has_value() && welcome->has_welcome());
    max_concurrent_ = welcome->welcome().max_concurrent();
  }
  // Reads so many requests.
  std::vector<v1::IncomingRequest> Take(size_t count) {
    std::vector<v1::IncomingRequest> all;
    while (all.size() < count) {
      const auto message = Read();
      if (!message.has_value() || !message->has_requests()) {
        ADD_FAILURE() << "no requests";
        break;
      }
      for (const v1::IncomingRequest& request : message->requests().requests()) {
        all.push_back(request);
      }
    }
    return all;
  }
  void Answer(uint64_t id, const std::string& json) {
    v1::ServeRequestsRequest message;
    v1::RequestAnswer* const answer = message.mutable_answers()->add_answers();
    answer->set_request_id(id);
    answer->set_json(json);
    EXPECT_TRUE(stream_->Write(message));
  }
  void GoAway() {
    v1::ServeRequestsRequest message;
    message.mutable_go_away()->set_reason("restart");
    EXPECT_TRUE(stream_->Write(message));
  }
  void HalfClose() { stream_->WritesDone(); }
  void Kill() { context_.TryCancel(); }
  absl::Status Finish() { return FromGrpcStatus(stream_->Finish()); }
  uint32_t max_concurrent() const { return max_concurrent_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ServeRequestsRequest, v1::ServeRequestsResponse>>
      stream_;
  uint32_t max_concurrent_ = 0;
};

// The Publisher service without its other calls.
class ServingService final
    : public v1::Publisher::WithRawCallbackMethod_ServeRequests<v1::Publisher::Service> {
 public:
  explicit ServingService(ResponderStreams* streams) : streams_(streams) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeRequests(
      grpc::CallbackServerContext* /*context*/) override {
    return streams_->Open();
  }

 private:
  ResponderStreams* const streams_;
};

class ResponderStreamsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LoadedConfig loaded = LoadConfig(
        "limits: {max_concurrent_requests: 8}\n"
        "services: [{name: s, port: 8690, served_requests: [{request: 'get_*'}]}]\n",
        "test.yaml", {});
    ASSERT_THAT(loaded.errors, SizeIs(0));
    dispatcher_ = std::make_unique<RequestDispatcher>(*loaded.config, &nobody_, Clock::Real(),
                                                      &real_timers_, [](uint64_t, auto) {});
    streams_ = std::make_unique<ResponderStreams>(dispatcher_.get());
    char folder[] = "/tmp/fanwire-serve-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    address_ = absl::StrCat("unix:", folder_, "/s");
    service_ = std::make_unique<ServingService>(streams_.get());
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ =
        v1::Publisher::NewStub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  }
  void TearDown() override {
    dispatcher_->Close();
    server_->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
    server_->Wait();
    server_ = nullptr;
    EXPECT_EQ(dispatcher_->CountsOf("s").responders, 0);
    unlink((folder_ + "/s").c_str());
    rmdir(folder_.c_str());
  }

  using Future = std::future<v1::ClientReply>;
  Future Ask(const std::string& name, const std::string& data = "{}") {
    auto promise = std::make_shared<std::promise<v1::ClientReply>>();
    Future future = promise->get_future();
    v1::ClientRequest request;
    request.set_request_id(++last_);
    request.set_service("s");
    request.set_request(name);
    request.set_data(data);
    request.set_timeout_ms(60'000);
    dispatcher_->Handle(1, request,
                        [promise](v1::ClientReply reply) { promise->set_value(std::move(reply)); });
    return future;
  }
  void CancelLast() {
    v1::ClientCancel cancel;
    cancel.set_request_id(last_);
    dispatcher_->Cancel(1, cancel);
  }

  TimerQueue real_timers_{Clock::Real()};
  NobodyElse nobody_;
  std::unique_ptr<RequestDispatcher> dispatcher_;
  std::unique_ptr<ResponderStreams> streams_;
  std::unique_ptr<ServingService> service_;
  std::string folder_, address_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Publisher::Stub> stub_;
  uint64_t last_ = 0;
};

TEST_F(ResponderStreamsTest, RequestsAreServedInAnyOrder) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_*"}, 5);
  EXPECT_EQ(responder.max_concurrent(), 5u);
  std::vector<Future> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(Ask("get_x", absl::StrCat(R"({"n":)", i, "}")));
  const std::vector<v1::IncomingRequest> requests = responder.Take(5);
  ASSERT_THAT(requests, SizeIs(5));
  for (size_t i = 5; i-- > 0;) {
    EXPECT_EQ(requests[i].data(), absl::StrCat(R"({"n":)", i, "}"));
    responder.Answer(requests[i].request_id(), requests[i].data());
  }
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(futures[i].get().data(), absl::StrCat(R"({"n":)", i, "}"));
  }
}

TEST_F(ResponderStreamsTest, ManyRequestsPassThroughASmallWindow) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_x"});
  EXPECT_EQ(responder.max_concurrent(), 8u);
  std::vector<Future> futures;
  for (int i = 0; i < 500; ++i) futures.push_back(Ask("get_x", absl::StrCat(R"({"n":)", i, "}")));
  for (size_t served = 0; served < futures.size();) {
    for (const v1::IncomingRequest& request : responder.Take(1)) {
      responder.Answer(request.request_id(), request.data());
      ++served;
    }
  }
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(futures[static_cast<size_t>(i)].get().data(), absl::StrCat(R"({"n":)", i, "}"));
  }
}

TEST_F(ResponderStreamsTest, ABadAnswerIsToldToTheResponderWhichGoesOn) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_x"});
  Future bad = Ask("get_x");
  const uint64_t id = responder.Take(1).at(0).request_id();
  responder.Answer(id, "[1]");
  EXPECT_EQ(bad.get().error_code(), "INTERNAL_ERROR");
  const auto refused = responder.Read();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->refused().request_id(), id);
  EXPECT_EQ(refused->refused().status().code(), 3);
  EXPECT_THAT(refused->refused().status().message(), HasSubstr("data: "));
  Future good = Ask("get_x");
  responder.Answer(responder.Take(1).at(0).request_id(), "{}");
  EXPECT_EQ(good.get().data(), "{}");
}

TEST_F(ResponderStreamsTest, ACancelledRequestIsToldByItsId) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_x"});
  Future left = Ask("get_x");
  const uint64_t id = responder.Take(1).at(0).request_id();
  CancelLast();
  const auto cancel = responder.Read();
  ASSERT_TRUE(cancel.has_value());
  EXPECT_THAT(cancel->cancel().request_ids(), ElementsAre(id));
}

TEST_F(ResponderStreamsTest, AfterItsGoAwayTheStreamEndsWithTheLastAnswer) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_x"});
  Future open = Ask("get_x");
  const uint64_t id = responder.Take(1).at(0).request_id();
  responder.GoAway();
  ASSERT_TRUE(WaitFor([&] { return dispatcher_->Responders().at(0).leaving; }));
  EXPECT_EQ(Ask("get_x").get().error_code(), "UNAVAILABLE");
  responder.Answer(id, "{}");
  EXPECT_EQ(open.get().data(), "{}");
  EXPECT_FALSE(responder.Read().has_value());
  EXPECT_OK(responder.Finish());
}

TEST_F(ResponderStreamsTest, ControlsGoAwayIsToldAndTheStreamEndsWithTheLastAnswer) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_x"});
  Future open = Ask("get_x");
  const uint64_t id = responder.Take(1).at(0).request_id();
  dispatcher_->GoAway("control is stopping");
  const auto go_away = responder.Read();
  ASSERT_TRUE(go_away.has_value());
  EXPECT_EQ(go_away->go_away().reason(), "control is stopping");
  responder.Answer(id, "{}");
  EXPECT_EQ(open.get().data(), "{}");
  EXPECT_FALSE(responder.Read().has_value());
  EXPECT_OK(responder.Finish());
  StreamResponder late(stub_.get());
  late.Hello({"get_x"});
  EXPECT_THAT(late.Finish(), StatusIs(absl::StatusCode::kUnavailable, _));
}

TEST_F(ResponderStreamsTest, WhatAKilledResponderHadGoesToAnother) {
  StreamResponder killed(stub_.get());
  killed.Join({"get_x"});
  Future asked = Ask("get_x");
  const uint64_t id = killed.Take(1).at(0).request_id();
  StreamResponder other(stub_.get());
  other.Join({"get_x"});
  killed.Kill();
  const v1::IncomingRequest request = other.Take(1).at(0);
  EXPECT_EQ(request.request_id(), id);
  EXPECT_EQ(request.attempt(), 2u);
  other.Answer(id, R"({"by":"other"})");
  EXPECT_EQ(asked.get().data(), R"({"by":"other"})");
  EXPECT_THAT(killed.Finish(), StatusIs(absl::StatusCode::kCancelled, _));
}

TEST_F(ResponderStreamsTest, AResponderThatClosesItsSideIsGone) {
  StreamResponder responder(stub_.get());
  responder.Join({"get_x"});
  Future asked = Ask("get_x");
  responder.Take(1);
  responder.HalfClose();
  EXPECT_EQ(asked.get().error_code(), "UNAVAILABLE");
  EXPECT_OK(responder.Finish());
}

TEST_F(ResponderStreamsTest, WhatBreaksTheRulesEndsTheStreamWithTheReason) {
  StreamResponder no_hello(stub_.get());
  no_hello.Answer(1, "{}");
  EXPECT_THAT(no_hello.Finish(),
              StatusIs(kInvalid, "the first message of ServeRequests must be hello"));
  StreamResponder bad_name(stub_.get());
  bad_name.Hello({"subscribe"});
  EXPECT_THAT(bad_name.Finish(), StatusIs(kInvalid, HasSubstr("requests[0]: \"subscribe\"")));
  StreamResponder nobody(stub_.get());
  nobody.Hello({"get_x"}, 0, "nobody");
  EXPECT_THAT(nobody.Finish(), StatusIs(absl::StatusCode::kNotFound, _));
  StreamResponder twice(stub_.get());
  twice.Join({"get_x"});
  twice.Hello({"get_y"});
  EXPECT_THAT(twice.Finish(), StatusIs(kInvalid, HasSubstr("hello: this stream has had one")));
}

TEST_F(ResponderStreamsTest, MalformedBytesEndTheStreamWithTheReason) {
  grpc::GenericStub stub(grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, "/fanwire.v1.Publisher/ServeRequests", &queue);
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
  };
  call->StartCall(nullptr);
  wait();
  const grpc::Slice slice("\xff\xff\xff");
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  wait();
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("malformed bytes"));
  queue.Shutdown();
  wait();
}

}  // namespace

}  // namespace fanwire::control
