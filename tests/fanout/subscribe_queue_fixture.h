// What the tests of SubscribeQueue share: a session and a control that are both the test's.  The
// session writes down what it is told to do, in order.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanout/service.h"
#include "fanout/session.h"
#include "fanout/subscribe_queue.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/fakes/fake_clock.h"

namespace fanwire::fanout {

inline constexpr uint64_t kBudget = 64 << 10;
inline constexpr absl::Duration kControlWait = absl::Seconds(5);
inline constexpr absl::Duration kRecoveryTimeout = absl::Seconds(30);

// Counts interest, and remembers what was forgotten.
class CountingUpstream final : public Upstream {
 public:
  void Want(Channel* channel) override { ++interest[channel->name]; }
  void Unwant(Channel* channel) override { --interest[channel->name]; }
  void Want(PatternTable* table) override { ++interest[table->pattern.text()]; }
  void Unwant(PatternTable* table) override { --interest[table->pattern.text()]; }
  void Forget(uint64_t ask) override { forgotten.push_back(ask); }
  uint64_t Ask(Session*, const SubscribeAsk&) override { return 0; }  // the host asks
  uint64_t Request(Session*, const RequestAsk&) override { return 0; }
  void WaitForSlot(Session*) override {}
  void StopWaiting(Session*) override {}
  void SlotsChanged(Service*) override {}

  std::map<std::string, int> interest;
  std::vector<uint64_t> forgotten;
};

// A session that writes down what it is told to do.
class NotingHost final : public SubscribeHost {
 public:
  explicit NotingHost(SubscriptionSet* subscriptions) : subscriptions_(subscriptions) {}

  bool active() const override { return active_; }
  bool MaySubscribe(absl::string_view name) const override {
    return !forbidden.contains(std::string(name));
  }
  absl::StatusOr<RequestAccess::StateRequest> FindState(absl::string_view channel) const override {
    if (channel == "untold") return absl::InvalidArgumentError("state: no status request tells it");
    if (channel == "private") return absl::PermissionDeniedError("Not authorized");
    return RequestAccess::StateRequest{.name = "get",
                                       .data = absl::StrCat("{\"id\":\"", channel, "\"}")};
  }
  bool Passes(const EventFilter* filter, const RecoveredEvent& event) const override {
    return event.exclude_connection != "me" && (filter == nullptr || filter->contains("happened"));
  }
  uint64_t Ask(const SubscribeAsk& ask) override {
    asks.push_back({++last_ask, ask});
    log.push_back(absl::StrCat(
        "ask ", ask.channel != nullptr ? ask.channel->name : ask.pattern->pattern.text(),
        ask.recover ? absl::StrCat(" after ", ask.offset) : "",
        ask.state_request.empty() ? "" : " ", ask.state_request));
    return last_ask;
  }
  void Subscribe(Channel* channel, PatternTable* pattern,
                 std::shared_ptr<const EventFilter> filter) override {
    subscriptions_->Add(reinterpret_cast<Session*>(session_), 0, channel, pattern,
                        std::move(filter));
    log.push_back(absl::StrCat("subscribe ", subscriptions_->back().name()));
  }
  void Join(Channel* channel, std::shared_ptr<const std::string> info) override {
    presence.push_back(absl::StrCat("join ", channel->name, info == nullptr ? "" : " ",
                                    info == nullptr ? "" : *info));
  }
  void Leave(Channel* channel) override {
    presence.push_back(absl::StrCat("leave ", channel->name));
  }
  void Reply(const std::string& text) override {
    replies.push_back(nlohmann::json::parse(text));
    const nlohmann::json& reply = replies.back();
    const nlohmann::json& id = reply["correlation_id"];
    log.push_back(absl::StrCat(
        "reply ", id.is_string() ? id.get<std::string>() : "",
        reply["type"] == "error" ? absl::StrCat(" ", reply["error_code"].get<std::string>()) : ""));
    if (close_at_reply) Close();
  }
  void FlushTurn() override {}
  void Settle() override {
    log.push_back("settle");
    if (close_at_settle) Close();
  }
  void SetPaused(bool paused) override {
    if (paused == paused_) return;
    paused_ = paused;
    log.push_back(paused ? "pause" : "go on");
    if (!paused && reads) first_waiting = 0;
    if (!paused && close_at_go_on) Close();
  }
  void Append(Backlog::Item item) override {
    if (item.kind == Backlog::Kind::kNotice) {
      const std::string text(item.frame->bytes());
      notices.push_back(nlohmann::json::parse(text.substr(text.find("{\"")))["data"]);
      log.push_back("notice");
    } else {
      log.push_back(absl::StrCat(item.channel->name, " ", item.offset));
    }
  }
  void Flush() override { queue->RequestNextPage(); }
  size_t waiting_bytes() const override { return waiting; }
  uint64_t bytes_sent() const override { return sent; }
  int64_t FirstWaiting(const Channel*) const override { return first_waiting; }
  void DropWaiting(const Channel* channel) override {
    log.push_back(absl::StrCat("drop ", channel->name));
  }
  void DropForbidden() override { log.push_back("drop forbidden"); }

  void Close() {
    active_ = false;
    queue->Cancel();
    log.push_back("closed");
  }

  SubscribeQueue* queue = nullptr;
  std::set<std::string> forbidden = {"secret"};
  std::vector<std::string> log;
  std::vector<std::string> presence;  // what it joined and left
  std::vector<nlohmann::json> replies;
  std::vector<nlohmann::json> notices;
  std::deque<std::pair<uint64_t, SubscribeAsk>> asks;  // without an answer
  uint64_t last_ask = 0;
  size_t waiting = 0;
  uint64_t sent = 0;  // bytes, to the kernel
  int64_t first_waiting = 0;
  bool reads = false;  // the end of a pause sends all that waits
  bool close_at_reply = false;
  bool close_at_settle = false;
  bool close_at_go_on = false;

 private:
  SubscriptionSet* const subscriptions_;
  // Tables only compare it: none of them has two entries, of which one might move.
  alignas(Session) char session_[sizeof(Session)] = {};
  bool active_ = true;
  bool paused_ = false;
};

class SubscribeQueueFixture : public ::testing::Test {
 protected:
  SubscribeQueueFixture()
      : service_(Settings()),
        host_(&subscriptions_),
        queue_({.host = &host_,
                .subscriptions = &subscriptions_,
                .service = &service_,
                .upstream = &upstream_,
                .loop = &loop_,
                .clock = &clock_}) {
    host_.queue = &queue_;
  }
  ~SubscribeQueueFixture() override {
    if (host_.active()) host_.Close();
    EXPECT_TRUE(queue_.empty());
    EXPECT_FALSE(subscriptions_.recovering());
    while (!subscriptions_.empty()) {
      --upstream_.interest[std::string(subscriptions_.back().name())];
      subscriptions_.Remove(&subscriptions_.back());
    }
    for (const auto& [name, count] : upstream_.interest) EXPECT_EQ(count, 0) << name;
  }

  static std::shared_ptr<const ServiceSettings> Settings() {
    v1::WorkerService service;
    v1::LimitsConfig& limits = *service.mutable_limits();
    limits.set_max_channel_bytes(256);
    limits.set_max_channels_per_session(1000);
    limits.set_session_backlog_bytes(kBudget);
    limits.mutable_control_wait()->set_seconds(absl::ToInt64Seconds(kControlWait));
    limits.mutable_recovery_timeout()->set_seconds(absl::ToInt64Seconds(kRecoveryTimeout));
    return std::make_shared<ServiceSettings>(service);
  }

  // ---- requests: {"channel": …} or {"channels": [ … ]}

  void Request(const char* event, const nlohmann::json& data, absl::string_view id) {
    const nlohmann::json text = {
        {"type", "request"}, {"id", std::string(id)}, {"event", event}, {"data", data}};
    absl::StatusOr<ClientMessage> message = ParseClientMessage(text.dump(), false);
    ASSERT_TRUE(message.ok()) << message.status();
    ReplyContext context = ContextOf(*message, CorrelationMode::kId);
    queue_.Add(*std::move(message), std::move(context));
  }
  // The same without a text to parse.
  static ClientMessage Message(const char* channel, bool many = false) {
    ClientMessage message;
    message.kind = ClientMessage::Kind::kSubscribe;
    message.many = many;
    ChannelRequest& request = message.channels.emplace_back();
    request.channel = channel;
    request.channel_is_text = true;
    return message;
  }
  static ReplyContext Context(const char* correlation) {
    ReplyContext context;
    context.correlation = correlation;
    return context;
  }
  void Subscribe(const nlohmann::json& data, absl::string_view id = "s") {
    Request("subscribe", data, id);
  }
  void Subscribe(const char* channel) { Subscribe({{"channel", channel}}); }
  void Unsubscribe(const char* channel, absl::string_view id = "u") {
    Request("unsubscribe", {{"channel", channel}}, id);
  }
  static nlohmann::json From(int64_t offset, const char* channel = "a") {
    return {{"channel", channel}, {"recover", {{"epoch", "e1"}, {"offset", offset}}}};
  }

  // ---- control's answers

  static SubscribeReply Granted(int64_t offset = 0) {
    SubscribeReply reply;
    reply.epoch = "e1";
    reply.offset = offset;
    return reply;
  }
  static SubscribeReply Refused() {
    SubscribeReply reply;
    reply.error_code = "LIMIT_EXCEEDED";
    reply.error_message = "too many";
    return reply;
  }
  // A page of a recovery whose channel has `head` publications.
  static SubscribeReply Page(int64_t from, int64_t to, int64_t head) {
    SubscribeReply reply = Granted(head);
    reply.recovered = true;
    reply.recover_count = head - from + 1;
    for (int64_t offset = from; offset <= to; ++offset) {
      reply.events.push_back(
          {.offset = offset, .frame = Frame::Text("{}"), .event = 1, .exclude_connection = ""});
    }
    reply.last_page = to == head;
    reply.next_offset = to;
    return reply;
  }
  // Answers the oldest ask.
  void Answer(SubscribeReply reply) {
    ASSERT_FALSE(host_.asks.empty());
    const uint64_t ask = host_.asks.front().first;
    host_.asks.pop_front();
    queue_.OnReply(ask, std::move(reply));
  }
  void Subscribed(const char* channel) {
    Subscribe(channel);
    Answer(Granted());
    host_.log.clear();
    host_.replies.clear();
  }

  EventLoop loop_;
  FakeClock clock_;
  Service service_;
  CountingUpstream upstream_;
  SubscriptionSet subscriptions_;
  NotingHost host_;
  SubscribeQueue queue_;
};

}  // namespace fanwire::fanout
