#include "control/requests/history_request.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/engine/memory_engine.h"
#include "control/routing/channel_info.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_channel_queries.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/routing.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;

class Sink final : public ReceiptSink {
 public:
  void OnReceipt(uint64_t, const PublishOutcome& outcome) override {
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  }
};

class HistoryRequestTest : public ::testing::Test {
 protected:
  static std::shared_ptr<const ServiceTable> Services() {
    const LoadedConfig loaded = LoadConfig(R"(
services:
- name: mahavishnu
  port: 8690
  max_event_bytes: 1000000
  channels: [{pattern: "short:*", history_size: 5}, {pattern: "none:*", history_size: 0}]
)",
                                           "test.yaml", {});
    EXPECT_THAT(loaded.errors, IsEmpty());
    return ServiceTable::Make(*loaded.config);
  }

  // Events whose data.n counts from 1.
  void Publish(const std::string& channel, int count, size_t fill = 0) {
    const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
    for (int n = 1; n <= count; ++n) {
      const std::string data = Json{{"n", n}, {"fill", std::string(fill, 'x')}}.dump();
      Event event;
      event.service = "mahavishnu";
      event.channel = channel;
      event.event = "thing.happened";
      event.json = data;
      run->Publish(event, {}, &sink_, 0);
    }
  }

  v1::ClientReply Ask(const Json& data, const std::string& service = "mahavishnu") {
    return AskText(data.dump(), service);
  }
  v1::ClientReply AskText(const std::string& data, const std::string& service = "mahavishnu") {
    v1::ClientRequest request;
    request.set_request_id(7);
    request.set_service(service);
    request.set_request("history");
    request.set_data(data);
    v1::ClientReply reply;
    int replies = 0;
    handler_->Handle(request, [&](v1::ClientReply given) {
      ++replies;
      reply = std::move(given);
    });
    EXPECT_EQ(replies, 1);
    EXPECT_EQ(reply.request_id(), 7u);
    return reply;
  }

  Json Answer(const Json& data) {
    const v1::ClientReply reply = Ask(data);
    EXPECT_EQ(reply.error_code(), "") << reply.error_message();
    return Json::parse(reply.data());
  }

  static std::vector<int> Numbers(const Json& answer) {
    std::vector<int> numbers;
    for (const Json& event : answer["events"]) numbers.push_back(event["data"]["n"]);
    return numbers;
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  std::unique_ptr<Engine> engine_ = MakeMemoryEngine(64 << 20);
  const std::unique_ptr<Routing> routing_ =
      std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_, Services());
  std::unique_ptr<ClientRequestHandler> handler_ =
      MakeHistoryRequestHandler(routing_->queries.get());
  Sink sink_;
};

TEST_F(HistoryRequestTest, TellsTheEnvelopesThatSubscribersGot) {
  Publish("a:b", 3);
  const Json answer = Answer({{"channel", "a:b"}});
  const auto kept =
      routing_->ReadHistory({.service = "mahavishnu", .channel = "a:b", .since = std::nullopt});
  ASSERT_THAT(kept->publications, SizeIs(3));
  ASSERT_THAT(answer["events"], SizeIs(3));
  for (size_t i = 0; i < 3; ++i) {
    const absl::string_view envelope = kept->publications[i]->envelope();
    EXPECT_EQ(answer["events"][i], Json::parse(envelope.begin(), envelope.end()));
    EXPECT_EQ(answer["events"][i]["offset"], i + 1);
  }
  EXPECT_EQ(answer["channel"], "a:b");
  EXPECT_EQ(answer["epoch"], kept->head.epoch.ToText());
  EXPECT_EQ(answer["offset"], 3);
  EXPECT_FALSE(answer.contains("more"));
}

TEST_F(HistoryRequestTest, LimitSinceAndReverse) {
  Publish("a:b", 20);
  Json answer = Answer({{"channel", "a:b"}, {"limit", 4}});
  EXPECT_THAT(Numbers(answer), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(answer["more"], true);
  const Json epoch = answer["epoch"];
  answer = Answer({{"channel", "a:b"}, {"since", {{"epoch", epoch}, {"offset", 18}}}});
  EXPECT_THAT(Numbers(answer), ElementsAre(19, 20));
  EXPECT_FALSE(answer.contains("more"));
  EXPECT_THAT(Numbers(Answer({{"channel", "a:b"}, {"limit", 3}, {"reverse", true}})),
              ElementsAre(20, 19, 18));
  EXPECT_THAT(Numbers(Answer({{"channel", "a:b"}, {"since", {{"epoch", epoch}, {"offset", 20}}}})),
              IsEmpty());
  // Null is as if it were not there.
  EXPECT_THAT(
      Numbers(Answer(
          {{"channel", "a:b"}, {"since", nullptr}, {"limit", nullptr}, {"reverse", nullptr}})),
      SizeIs(20));
}

TEST_F(HistoryRequestTest, SinceAnotherEpochMeansEverything) {
  Publish("a:b", 3);
  for (const char* epoch : {"0123456789abcdef", "", "of another system"}) {
    EXPECT_THAT(Numbers(Answer({{"channel", "a:b"}, {"since", {{"epoch", epoch}, {"offset", 2}}}})),
                ElementsAre(1, 2, 3));
  }
}

TEST_F(HistoryRequestTest, WhatCannotFollowSinceIsToldAsIncomplete) {
  Publish("a:b", 3);
  Publish("short:a", 20);
  Publish("none:a", 3);
  const auto epoch_of = [&](const char* channel) {
    return Answer({{"channel", channel}})["epoch"].get<std::string>();
  };
  const auto since = [&](const char* channel, const std::string& epoch, int64_t offset) {
    return Answer({{"channel", channel}, {"since", {{"epoch", epoch}, {"offset", offset}}}});
  };
  const struct {
    const char* channel;
    std::string epoch;
    int64_t offset;
    const char* reason;  // null: the answer is complete
  } cases[] = {
      {"a:b", "0123456789abcdef", 2, "epoch_changed"},
      {"a:b", "of another system", 2, "epoch_changed"},
      {"a:b", epoch_of("a:b"), 4, "offset_unknown"},
      {"a:b", epoch_of("a:b"), INT64_MAX, "offset_unknown"},
      {"a:b", epoch_of("a:b"), 3, nullptr},
      {"a:b", epoch_of("a:b"), 0, nullptr},
      {"short:a", epoch_of("short:a"), 14, "history_expired"},
      {"short:a", epoch_of("short:a"), 15, nullptr},
      {"none:a", epoch_of("none:a"), 2, "history_disabled"},
      {"none:a", epoch_of("none:a"), 3, nullptr},
      {"never:seen", "0123456789abcdef", 0, "epoch_changed"},
  };
  for (const auto& [channel, epoch, offset, reason] : cases) {
    const Json answer = since(channel, epoch, offset);
    if (reason == nullptr) {
      EXPECT_FALSE(answer.contains("complete")) << answer;
      EXPECT_FALSE(answer.contains("reason")) << answer;
    } else {
      EXPECT_EQ(answer.value("complete", true), false) << answer;
      EXPECT_EQ(answer.value("reason", ""), reason) << answer;
    }
  }
  // What is kept is told in any case, and a cut answer says both.
  const Json cut = Answer({{"channel", "short:a"},
                           {"limit", 2},
                           {"since", {{"epoch", epoch_of("short:a")}, {"offset", 1}}}});
  EXPECT_THAT(Numbers(cut), ElementsAre(16, 17));
  EXPECT_EQ(cut["more"], true);
  EXPECT_EQ(cut["reason"], "history_expired");
  EXPECT_THAT(Numbers(since("a:b", epoch_of("a:b"), 9)), ElementsAre(1, 2, 3));
}

TEST_F(HistoryRequestTest, WithoutALimitAHundredAreTold) {
  Publish("a:b", 120);
  const Json answer = Answer({{"channel", "a:b"}});
  EXPECT_THAT(answer["events"], SizeIs(100));
  EXPECT_EQ(answer["more"], true);
  EXPECT_THAT(Answer({{"channel", "a:b"}, {"limit", 1000}})["events"], SizeIs(120));
}

TEST_F(HistoryRequestTest, WhatIsNotKeptIsNotTold) {
  Publish("short:a", 20);
  EXPECT_THAT(Numbers(Answer({{"channel", "short:a"}})), ElementsAre(16, 17, 18, 19, 20));
  Publish("none:a", 3);
  const Json answer = Answer({{"channel", "none:a"}});
  EXPECT_THAT(answer["events"], IsEmpty());
  EXPECT_EQ(answer["offset"], 3);
}

TEST_F(HistoryRequestTest, AnUnknownChannelIsEmpty) {
  EXPECT_EQ(
      Answer({{"channel", "never:\"seen\""}}),
      (Json{
          {"channel", "never:\"seen\""}, {"epoch", ""}, {"offset", 0}, {"events", Json::array()}}));
}

TEST_F(HistoryRequestTest, BadArgumentsAreRefused) {
  Publish("a", 1);
  for (Json arguments : std::vector<Json>{{{"limit", 0}},
                                          {{"limit", -1}},
                                          {{"limit", 1001}},
                                          {{"limit", uint64_t{1} << 63}},
                                          {{"limit", 1.5}},
                                          {{"limit", true}},
                                          {{"limit", "5"}},
                                          {{"since", "x"}},
                                          {{"since", Json::object()}},
                                          {{"since", {{"epoch", 5}, {"offset", 1}}}},
                                          {{"since", {{"epoch", "x"}, {"offset", -1}}}},
                                          {{"since", {{"epoch", "x"}, {"offset", 1.5}}}},
                                          {{"since", {{"epoch", "x"}, {"offset", UINT64_MAX}}}},
                                          {{"reverse", "yes"}},
                                          {{"reverse", 1}}}) {
    arguments["channel"] = "a";
    EXPECT_EQ(Ask(arguments).error_code(), "INVALID_REQUEST") << arguments;
  }
  EXPECT_EQ(Ask(Json::array()).error_code(), "INVALID_REQUEST");
}

// Scripts may match the texts.
TEST_F(HistoryRequestTest, BadArgumentsAreNamed) {
  EXPECT_EQ(Ask(Json::array()).error_message(), "history: data is not an object");
  EXPECT_EQ(Ask({{"channel", 5}}).error_message(), "history: data.channel is not a text");
  EXPECT_EQ(Ask({{"channel", "a"}, {"limit", 0}}).error_message(),
            "history: data.limit is not a whole number from 1 to 1000");
  EXPECT_EQ(AskText(R"({"channel":"a","limit":1e400})").error_message(),
            "history: data.limit is not a whole number from 1 to 1000");
  EXPECT_EQ(Ask({{"channel", "a"}, {"since", "x"}}).error_message(),
            "history: data.since is not {\"epoch\": text, \"offset\": whole number}");
  EXPECT_EQ(Ask({{"channel", "a"}, {"reverse", 1}}).error_message(),
            "history: data.reverse is neither true nor false");
}

TEST_F(HistoryRequestTest, BadChannelsAreRefused) {
  for (const Json& channel : std::vector<Json>{nullptr, "", 5, Json::array({"a"}), "workflow:*",
                                               "**", " a", std::string(300, 'x')}) {
    EXPECT_EQ(Ask({{"channel", channel}}).error_code(), "INVALID_CHANNEL") << channel;
  }
  EXPECT_THAT(Ask(Json::object()).error_message(), HasSubstr("data.channel is missing"));
}

TEST_F(HistoryRequestTest, AServiceThatIsGoneIsNotFound) {
  EXPECT_EQ(Ask({{"channel", "a"}}, "nobody").error_code(), "NOT_FOUND");
}

TEST_F(HistoryRequestTest, AFaultOfOursIsToldWithoutItsDetail) {
  FakeChannelQueries queries;
  queries.history_status = absl::DataLossError("block 17 of /var/lib/x is torn");
  handler_ = MakeHistoryRequestHandler(&queries);
  const v1::ClientReply reply = Ask({{"channel", "a"}});
  EXPECT_EQ(reply.error_code(), "INTERNAL_ERROR");
  EXPECT_EQ(reply.error_message(), "Internal server error");
}

TEST_F(HistoryRequestTest, AnswersAreCutAtTheMessageLimit) {
  Publish("large:a", 40, 60'000);
  std::vector<int> seen;
  Json question{{"channel", "large:a"}};
  while (true) {
    const v1::ClientReply reply = Ask(question);
    ASSERT_EQ(reply.error_code(), "");
    EXPECT_LE(reply.data().size(), (1u << 20) - (8u << 10));
    const Json answer = Json::parse(reply.data());
    const std::vector<int> numbers = Numbers(answer);
    ASSERT_THAT(numbers, SizeIs(Gt(5u)));
    seen.insert(seen.end(), numbers.begin(), numbers.end());
    if (!answer.contains("more")) break;
    question["since"] = {{"epoch", answer["epoch"]}, {"offset", answer["events"].back()["offset"]}};
  }
  std::vector<int> all;
  for (int n = 1; n <= 40; ++n) all.push_back(n);
  EXPECT_EQ(seen, all);
  // In reverse the newest come, and they too are cut.
  const Json newest = Answer({{"channel", "large:a"}, {"reverse", true}});
  EXPECT_EQ(Numbers(newest).front(), 40);
  EXPECT_EQ(newest["more"], true);
}

TEST_F(HistoryRequestTest, AnEventOfAlmostTheLargestSizeIsToldAlone) {
  Publish("huge:a", 2, 999'000);
  const Json answer = Answer({{"channel", "huge:a"}});
  EXPECT_THAT(Numbers(answer), ElementsAre(1));
  EXPECT_EQ(answer["more"], true);
}

}  // namespace
}  // namespace fanwire::control
