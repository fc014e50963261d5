#include "control/dialects/session_buddy_feed.h"

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/events/envelope.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "tests/fakes/fake_channel_queries.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_router.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Json = nlohmann::json;

constexpr absl::Duration kInterval = absl::Seconds(1);

class SessionBuddyFeedTest : public ::testing::Test {
 protected:
  SessionBuddyFeedTest() { SetServices("1s"); }

  void SetServices(const std::string& interval, const std::string& name = "buddy") {
    const LoadedConfig loaded = LoadConfig(
        absl::StrCat("services:\n- name: ", name, "\n  update_interval: ", interval,
                     "\n  listeners: [{port: 8765, dialect: session_buddy}, {port: 8688}]\n"
                     "- {name: other, port: 8690}\n"),
        "test.yaml", {});
    ASSERT_THAT(loaded.errors, IsEmpty());
    feed_->SetServices(*ServiceTable::Make(*loaded.config));
  }

  void Publish(const std::string& data, const std::string& channel = "metrics",
               const std::string& event = "metrics_update", bool mirror = false,
               const std::string& service = "buddy") {
    const EnvelopeParts parts{
        .id = "id", .event = event, .data = data, .timestamp = "t", .room = channel};
    const PublicationPtr publication =
        Publication::Make({.event = event,
                           .exclude_connection = {},
                           .max_envelope_bytes = MaxEnvelopeBytes(parts),
                           .received_at = absl::ZeroDuration()});
    WriteEnvelope(parts, publication.get());
    feed_->OnPublication({service, channel, mirror, publication});
  }

  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }

  const std::vector<std::string>& Frames(const std::string& channel) {
    return router_.frames["buddy " + channel];
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  FakeRouter router_;
  FakeChannelQueries queries_;
  std::unique_ptr<SessionBuddyFeed> feed_ =
      std::make_unique<SessionBuddyFeed>(&router_, &queries_, &timers_, &clock_);
};

std::string Skill(int n) {
  return absl::StrCat(R"({"skill_name":"skill-)", n, R"(","total_invocations":)", 100 - n,
                      R"(,"completion_rate":0.5,"avg_duration_seconds":null})");
}

std::string Skills(int count) {
  std::string text = "[";
  for (int n = 0; n < count; ++n) absl::StrAppend(&text, n == 0 ? "" : ",", Skill(n));
  return text + "]";
}

std::string Data(int skills, const std::string& anomalies = "[]") {
  return absl::StrCat(R"({"top_skills":)", Skills(skills), R"(,"anomalies":)", anomalies, "}");
}

TEST_F(SessionBuddyFeedTest, ListsAreEmptyBeforeTheFirstPublish) {
  queries_.interest["buddy"] = {"metrics", "metrics:skill-1"};
  Pass(kInterval);
  EXPECT_THAT(Frames("metrics"), ElementsAre(R"({"type": "metrics_update", )"
                                             R"("timestamp": "2026-02-02T02:40:01.000000+00:00", )"
                                             R"("data": {"top_skills": [], "anomalies": []}})"));
  EXPECT_THAT(Frames("metrics:skill-1"), IsEmpty());
  EXPECT_EQ(queries_.last_dialect, Dialect::kSessionBuddy);
  EXPECT_EQ(router_.last_dialect, Dialect::kSessionBuddy);
}

TEST_F(SessionBuddyFeedTest, TheTextIsAsPythonWritesIt) {
  queries_.interest["buddy"] = {"metrics"};
  Publish(
      R"({"top_skills":[{"skill_name":"caf\u00e9 😀\n\"","total_invocations":3,)"
      R"("completion_rate":1.0,"avg_duration_seconds":null,"list":[1,[],{}]}],"anomalies":[]})");
  Pass(kInterval);
  EXPECT_THAT(
      Frames("metrics"),
      ElementsAre(R"({"type": "metrics_update", "timestamp": "2026-02-02T02:40:01.000000+00:00", )"
                  R"("data": {"top_skills": [{"skill_name": "caf\u00e9 \ud83d\ude00\n\"", )"
                  R"("total_invocations": 3, "completion_rate": 1.0, )"
                  R"("avg_duration_seconds": null, "list": [1, [], {}]}], "anomalies": []}})"));
}

TEST_F(SessionBuddyFeedTest, NumbersKeepTheirDigits) {
  queries_.interest["buddy"] = {"metrics"};
  Publish(
      R"({"top_skills":[{"a":18446744073709551616,"b":0.50,"c":1e400}],"anomalies":[{"d":-0}]})");
  Pass(kInterval);
  ASSERT_THAT(Frames("metrics"), SizeIs(1));
  EXPECT_THAT(Frames("metrics").front(),
              HasSubstr(R"({"top_skills": [{"a": 18446744073709551616, "b": 0.50, "c": 1e400}], )"
                        R"("anomalies": [{"d": -0}]})"));
}

TEST_F(SessionBuddyFeedTest, TheNewestIsRepeatedEachInterval) {
  queries_.interest["buddy"] = {"metrics"};
  Publish(Data(1));
  Publish(Data(3, R"([{"skill_name":"skill-1"}])"));
  for (int i = 0; i < 3; ++i) Pass(kInterval);
  ASSERT_THAT(Frames("metrics"), SizeIs(3));
  std::vector<std::string> times;
  for (const std::string& frame : Frames("metrics")) {
    const Json json = Json::parse(frame);
    EXPECT_EQ(json["data"], Json::parse(Data(3, R"([{"skill_name":"skill-1"}])")));
    times.push_back(json["timestamp"]);
  }
  EXPECT_THAT(times,
              ElementsAre("2026-02-02T02:40:01.000000+00:00", "2026-02-02T02:40:02.000000+00:00",
                          "2026-02-02T02:40:03.000000+00:00"));
  Publish(Data(2));
  Pass(kInterval);
  EXPECT_THAT(Json::parse(Frames("metrics").back())["data"]["top_skills"], SizeIs(2));
}

TEST_F(SessionBuddyFeedTest, AtMostTenSkillsAndAnomalies) {
  queries_.interest["buddy"] = {"metrics"};
  Publish(Data(12, Skills(12)));
  Pass(kInterval);
  const Json data = Json::parse(Frames("metrics").back())["data"];
  EXPECT_EQ(data["top_skills"], Json::parse(Skills(10)));
  EXPECT_EQ(data["anomalies"], Json::parse(Skills(10)));
}

TEST_F(SessionBuddyFeedTest, OneSkillGetsItsNumbersWithoutAnomalies) {
  queries_.interest["buddy"] = {"metrics:skill-1", "metrics:skill-9", "metrics:skill-10"};
  Publish(Data(12, R"([{"skill_name":"skill-1"}])"));
  Pass(kInterval);
  EXPECT_THAT(Frames("metrics"), IsEmpty());  // nobody wants it
  ASSERT_THAT(Frames("metrics:skill-1"), SizeIs(1));
  const Json frame = Json::parse(Frames("metrics:skill-1")[0]);
  EXPECT_EQ(frame["data"], Json::parse("{\"top_skills\":[" + Skill(1) + "],\"anomalies\":[]}"));
  EXPECT_THAT(Frames("metrics:skill-9"), SizeIs(1));
  EXPECT_THAT(Frames("metrics:skill-10"), IsEmpty());  // the eleventh
}

TEST_F(SessionBuddyFeedTest, NobodyInterestedMeansNoFrames) {
  Publish(Data(3));
  Pass(kInterval);
  EXPECT_THAT(router_.frames, IsEmpty());
  queries_.interest["buddy"] = {"metrics"};
  Pass(kInterval);
  EXPECT_THAT(Frames("metrics"), SizeIs(1));
}

TEST_F(SessionBuddyFeedTest, OtherEventsChannelsMirrorsAndServicesAreIgnored) {
  queries_.interest["buddy"] = {"metrics"};
  queries_.interest["other"] = {"metrics"};
  Publish(Data(1), "elsewhere");
  Publish(Data(1), "metrics", "session.created");
  Publish(Data(1), "metrics", "metrics_update", /*mirror=*/true);
  Publish(Data(1), "metrics", "metrics_update", false, "other");
  Pass(kInterval);
  EXPECT_THAT(Json::parse(Frames("metrics").back())["data"]["top_skills"], IsEmpty());
  EXPECT_THAT(router_.frames["other metrics"], IsEmpty());
}

TEST_F(SessionBuddyFeedTest, DataOfAnotherShapeMakesEmptyLists) {
  queries_.interest["buddy"] = {"metrics"};
  for (const char* data : {R"({})", R"({"top_skills":5,"anomalies":{"a":1}})",
                           R"({"top_skills":[1,null,"x",[]],"anomalies":null})"}) {
    Publish(data);
    Pass(kInterval);
    EXPECT_EQ(Json::parse(Frames("metrics").back())["data"],
              Json::parse(R"({"top_skills":[],"anomalies":[]})"))
        << data;
  }
}

TEST_F(SessionBuddyFeedTest, FramesKeepStepButDoNotMakeUpForALongPause) {
  queries_.interest["buddy"] = {"metrics"};
  Pass(absl::Milliseconds(1300));  // 0.3 s late
  EXPECT_THAT(Frames("metrics"), SizeIs(1));
  Pass(absl::Milliseconds(700));  // the next is due 2 s after the start
  EXPECT_THAT(Frames("metrics"), SizeIs(2));
  Pass(absl::Seconds(60));
  const size_t after_pause = Frames("metrics").size();
  EXPECT_LE(after_pause, 4u);
  Pass(kInterval);
  EXPECT_LE(Frames("metrics").size(), after_pause + 1);
}

TEST_F(SessionBuddyFeedTest, AReloadChangesTheIntervalAndKeepsTheNumbers) {
  queries_.interest["buddy"] = {"metrics"};
  Publish(Data(3));
  SetServices("250ms");
  Pass(kInterval);  // as it was armed
  EXPECT_THAT(Frames("metrics"), SizeIs(1));
  for (int i = 0; i < 4; ++i) Pass(absl::Milliseconds(250));
  EXPECT_THAT(Frames("metrics"), SizeIs(5));
  EXPECT_THAT(Json::parse(Frames("metrics").back())["data"]["top_skills"], SizeIs(3));
}

TEST_F(SessionBuddyFeedTest, ARemovedServiceGetsNoFramesAndOneThatComesBackBeginsAnew) {
  queries_.interest["buddy"] = {"metrics"};
  queries_.interest["second"] = {"metrics"};
  Publish(Data(3));
  SetServices("1s", "second");
  Pass(absl::Milliseconds(500));
  SetServices("1s", "buddy");
  Pass(absl::Milliseconds(600));  // the first series' time has passed
  EXPECT_THAT(router_.frames, IsEmpty());
  Pass(absl::Milliseconds(400));
  ASSERT_THAT(Frames("metrics"), SizeIs(1));
  EXPECT_THAT(Json::parse(Frames("metrics")[0])["data"]["top_skills"], IsEmpty());
}

TEST_F(SessionBuddyFeedTest, ItsTimersDoNothingWhenItIsGone) {
  queries_.interest["buddy"] = {"metrics"};
  feed_.reset();
  Pass(kInterval);
  EXPECT_THAT(router_.frames, IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
