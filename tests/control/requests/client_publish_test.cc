#include "control/requests/client_publish.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/engine/memory_engine.h"
#include "control/routing/channel_info.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_engine.h"
#include "tests/testing/routing.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;

class ClientPublishTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const ServiceTable> Services() {
    const LoadedConfig loaded = LoadConfig(R"(
services:
- name: excalidraw
  port: 3042
  max_channels: 3
  max_event_bytes: 100
  catalog: none
  catalog_check: enforce
  events:
  - {name: diagram.updated, channels: ["diagram:{id}"], data: {n: i}}
)",
                                           "test.yaml", {});
    EXPECT_THAT(loaded.errors, IsEmpty());
    return ServiceTable::Make(*loaded.config);
  }

  static v1::ClientRequest Request(const std::string& channel, const std::string& data,
                                   uint64_t id = 7) {
    v1::ClientRequest request;
    request.set_request_id(id);
    request.set_service("excalidraw");
    request.set_connection_id("c-1");
    request.set_request("publish");
    request.mutable_publish()->set_channel(channel);
    request.mutable_publish()->set_event("diagram.updated");
    request.mutable_publish()->set_data(data);
    return request;
  }

  // Handles the request; its reply, now or later, is added to replies_.
  void Handle(const v1::ClientRequest& request) {
    handler_->Handle(request,
                     [this](v1::ClientReply reply) { replies_.push_back(std::move(reply)); });
  }

  // Those that are in the channel's history.
  std::vector<Json> Kept(const std::string& channel) {
    const auto kept =
        routing_->ReadHistory({.service = "excalidraw", .channel = channel, .since = std::nullopt});
    std::vector<Json> events;
    for (const PublicationPtr& publication : kept->publications) {
      const absl::string_view envelope = publication->envelope();
      events.push_back(Json::parse(envelope.begin(), envelope.end()));
    }
    return events;
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  FakeEngine engine_;
  const std::unique_ptr<Routing> routing_ =
      std::make_unique<Routing>(Router::Options(), &engine_, &clock_, &timers_, Services());
  const std::unique_ptr<ClientRequestHandler> handler_ =
      MakeClientPublishHandler(routing_->router.get());
  std::vector<v1::ClientReply> replies_;
};

TEST_F(ClientPublishTest, TheEventIsPublishedAndTheReplyHasItsPosition) {
  Handle(Request("diagram:a", R"({"n":1})"));
  v1::ClientRequest of_a_user = Request("diagram:a", R"({"n":2})", 8);
  of_a_user.set_user_id("ana \"x\"");
  Handle(of_a_user);
  const std::vector<Json> events = Kept("diagram:a");
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0]["event"], "diagram.updated");
  EXPECT_EQ(events[0]["data"], (Json{{"n", 1}}));
  EXPECT_EQ(events[0]["publisher"], (Json{{"connection_id", "c-1"}, {"user_id", nullptr}}));
  EXPECT_EQ(events[1]["publisher"], (Json{{"connection_id", "c-1"}, {"user_id", "ana \"x\""}}));
  ASSERT_THAT(replies_, SizeIs(2));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(replies_[i].request_id(), static_cast<uint64_t>(7 + i));
    EXPECT_EQ(replies_[i].error_code(), "");
    EXPECT_EQ(Json::parse(replies_[i].data()), (Json{{"status", "published"},
                                                     {"channel", "diagram:a"},
                                                     {"epoch", events[i]["epoch"]},
                                                     {"offset", i + 1}}));
  }
}

TEST_F(ClientPublishTest, WhatSkipsHistoryHasNoPosition) {
  v1::ClientRequest request = Request("diagram:a", R"({"n":1})");
  request.mutable_publish()->set_skip_history(true);
  Handle(request);
  EXPECT_THAT(Kept("diagram:a"), IsEmpty());
  EXPECT_EQ(replies_.at(0).data(), R"({"status":"published","channel":"diagram:a"})");
}

TEST_F(ClientPublishTest, CopiesArePublicationsOfTheirOwnAndThePublisherCanBeLeftOut) {
  v1::ClientRequest request = Request("diagram:a", R"({"n":1})");
  request.mutable_publish()->add_copies("other:a");
  request.mutable_publish()->set_exclude_publisher(true);
  Handle(request);
  Handle(Request("diagram:a", R"({"n":2})"));
  const auto kept = routing_->ReadHistory(
      {.service = "excalidraw", .channel = "diagram:a", .since = std::nullopt});
  ASSERT_THAT(kept->publications, SizeIs(2));
  EXPECT_EQ(kept->publications[0]->exclude_connection(), "c-1");
  EXPECT_EQ(kept->publications[1]->exclude_connection(), "");
  const std::vector<Json> copies = Kept("other:a");
  ASSERT_THAT(copies, SizeIs(1));
  EXPECT_EQ(copies[0]["room"], "other:a");
  EXPECT_EQ(copies[0]["id"], Kept("diagram:a")[0]["id"]);
  EXPECT_EQ(copies[0]["publisher"]["connection_id"], "c-1");
}

TEST_F(ClientPublishTest, RefusalsHaveTheCodesOfTheWire) {
  const auto refused = [&](v1::ClientRequest request) {
    replies_.clear();
    Handle(request);
    EXPECT_THAT(replies_, SizeIs(1));
    EXPECT_EQ(replies_[0].data(), "");
    return std::make_pair(replies_[0].error_code(), replies_[0].error_message());
  };
  EXPECT_THAT(refused(Request("diagram:a", R"({"n":"x"})")),
              ::testing::Pair("INVALID_REQUEST", HasSubstr("data.n: expected a whole number")));
  EXPECT_THAT(refused(Request("diagram:a", "[1]")).first, "INVALID_REQUEST");
  EXPECT_THAT(refused(Request("diagram:a", R"({"n":1,"x":")" + std::string(100, 'x') + "\"}")),
              ::testing::Pair("INVALID_REQUEST", HasSubstr("at most 100 allowed")));
  EXPECT_THAT(refused(Request("diagram:*", R"({"n":1})")).first, "INVALID_REQUEST");
  v1::ClientRequest reserved = Request("diagram:a", "{}");
  reserved.mutable_publish()->set_event("channel.skipped");
  EXPECT_THAT(refused(reserved), ::testing::Pair("INVALID_REQUEST", HasSubstr("reserved")));
  v1::ClientRequest gone = Request("diagram:a", "{}");
  gone.set_service("gone");
  EXPECT_THAT(refused(gone).first, "NOT_FOUND");
  v1::ClientRequest empty = Request("diagram:a", "{}");
  empty.clear_publish();
  EXPECT_THAT(refused(empty), ::testing::Pair("INVALID_REQUEST", "publish: there is no event"));
  for (const char* channel : {"diagram:a", "diagram:b", "diagram:c"}) {
    Handle(Request(channel, R"({"n":1})"));
  }
  EXPECT_THAT(refused(Request("diagram:d", R"({"n":1})")).first, "LIMIT_EXCEEDED");
  routing_->router->StopPublishing();
  EXPECT_THAT(refused(Request("diagram:a", R"({"n":1})")),
              ::testing::Pair("UNAVAILABLE", "the event cannot be taken at present: try again"));
}

TEST_F(ClientPublishTest, TheReplyWaitsForTheEngineAndTellsWhenItFails) {
  engine_.Delay({.appends = true});
  Handle(Request("diagram:a", R"({"n":1})", 1));
  Handle(Request("diagram:a", R"({"n":2})", 2));
  Handle(Request("diagram:a", R"({"n":3})", 3));
  EXPECT_THAT(replies_, IsEmpty());
  engine_.EndFirst(FakeEngine::Kind::kAppend, absl::OkStatus());
  engine_.EndFirst(FakeEngine::Kind::kAppend, absl::UnavailableError("the disk is full"));
  engine_.EndFirst(FakeEngine::Kind::kAppend, absl::InternalError("secret"));
  ASSERT_THAT(replies_, SizeIs(3));
  EXPECT_EQ(replies_[0].request_id(), 1u);
  EXPECT_EQ(Json::parse(replies_[0].data())["offset"], 1);
  EXPECT_EQ(replies_[1].error_code(), "UNAVAILABLE");
  EXPECT_EQ(replies_[2].error_code(), "INTERNAL_ERROR");
  EXPECT_EQ(replies_[2].error_message(), "Internal server error");
}

}  // namespace
}  // namespace fanwire::control
