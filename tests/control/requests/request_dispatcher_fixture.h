// What the tests of RequestDispatcher share: responders whose streams are fakes, clients whose
// replies are kept, and time that stands still.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/requests/request_dispatcher.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/publish.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_responder.h"
#include "tests/testing/status.h"

namespace fanwire::control {

inline constexpr char kDispatcherConfig[] = R"(
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

inline v1::Config LoadDispatcherConfig(const std::string& yaml) {
  LoadedConfig loaded = LoadConfig(yaml, "test.yaml", {});
  EXPECT_THAT(loaded.errors, ::testing::IsEmpty());
  return std::move(*loaded.config);
}

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
    std::shared_ptr<FakeResponder> stream = {};
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
      LoadDispatcherConfig(kDispatcherConfig), &retained_, &clock_, &timers_,
      [this](uint64_t version, std::shared_ptr<const v1::RegisteredRequests> registered) {
        EXPECT_GT(version, version_);
        version_ = version;
        registered_ = std::move(registered);
        ++told_;
      }};
};

}  // namespace fanwire::control
