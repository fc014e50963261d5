#include "control/requests/status_requests.h"

#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/events/envelope.h"
#include "control/requests/status_table.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::json;

v1::Config Load(const std::string& yaml) {
  LoadedConfig loaded = LoadConfig(yaml, "test.yaml", {});
  EXPECT_THAT(loaded.errors, IsEmpty());
  return std::move(*loaded.config);
}

// One service with these status requests.
v1::Config WithRequests(const std::string& requests) {
  return Load("services:\n- name: mahavishnu\n  port: 8690\n  status_requests:\n" + requests);
}

v1::Config Shipped() {
  const auto text = ReadConfigFile(FANWIRE_SOURCE_DIR "/deploy/config/fanwire.yaml");
  EXPECT_OK(text);
  return Load(text.value_or(""));
}

PublicationPtr MakePublication(const std::string& event, const std::string& channel,
                               const std::string& data) {
  const EnvelopeParts parts{.id = "id-1",
                            .event = event,
                            .data = data,
                            .timestamp = "2026-02-10T20:00:00.000000+00:00",
                            .room = channel};
  PublicationPtr publication = Publication::Make({.event = event,
                                                  .exclude_connection = {},
                                                  .max_envelope_bytes = MaxEnvelopeBytes(parts),
                                                  .received_us = 1'770'000'000'123'456,
                                                  .received_at = absl::Seconds(1)});
  WriteEnvelope(parts, publication.get());
  return publication;
}

class StatusRequestsTest : public ::testing::Test {
 protected:
  void Start(const v1::Config& config) {
    state_ = std::make_unique<StatusRequests>(config, &clock_);
  }

  void Say(const std::string& event, const Json& data, bool mirror = false,
           const std::string& service = "mahavishnu", const std::string& channel = "a:b") {
    const PublicationPtr publication = MakePublication(event, channel, data.dump());
    state_->OnPublication({service, channel, mirror, publication});
  }

  v1::ClientReply Ask(const std::string& request, const Json& data,
                      const std::string& service = "mahavishnu") {
    v1::ClientRequest message;
    message.set_request_id(77);
    message.set_service(service);
    message.set_request(request);
    message.set_data(data.dump());
    std::promise<v1::ClientReply> promise;
    state_->Handle(message, [&](v1::ClientReply reply) { promise.set_value(std::move(reply)); });
    v1::ClientReply reply = promise.get_future().get();
    EXPECT_EQ(reply.request_id(), 77u);
    return reply;
  }

  Json Answer(const std::string& request, const Json& data,
              const std::string& service = "mahavishnu") {
    const v1::ClientReply reply = Ask(request, data, service);
    EXPECT_EQ(reply.error_code(), "") << reply.error_message();
    return Json::parse(reply.data());
  }

  FakeClock clock_;
  std::unique_ptr<StatusRequests> state_;
};

constexpr char kPool[] = R"(
  - request: get_pool
    argument: pool_id
    initial: {workers: [], total: 0}
    events:
    - event: pool.changed
      key: $pool_id
      set: {status: $status, mode: fixed, seen: $$event, on: $$channel, at: $$time, all: $data}
    - event: worker.added
      key: $pool_id
      add: {total: 1}
      upsert: {list: workers, by: id, value: {id: $worker_id, status: $state}}
    - event: worker.removed
      key: $pool_id
      remove: {list: workers, by: id, value: $worker_id}
    - event: note.*
      key: $pool_id
      append: {list: notes, value: $text}
    - event: pool.closed
      key: $pool_id
      forget: true
)";

TEST_F(StatusRequestsTest, ValuesComeFromTheEvent) {
  Start(WithRequests(kPool));
  Say("pool.changed", {{"pool_id", "p"}, {"status", {{"x", 1.5}}}}, false, "mahavishnu", "pool:p");
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}}),
            (Json{{"pool_id", "p"},
                  {"workers", Json::array()},
                  {"total", 0},
                  {"status", {{"x", 1.5}}},
                  {"mode", "fixed"},
                  {"seen", "pool.changed"},
                  {"on", "pool:p"},
                  {"at", "2026-02-02T02:40:00.123456+00:00"},
                  {"all", {{"pool_id", "p"}, {"status", {{"x", 1.5}}}}}}));
}

TEST_F(StatusRequestsTest, AnUnknownThingIsNotFound) {
  Start(WithRequests(kPool));
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}}),
            (Json{{"pool_id", "p"}, {"status", "not_found"}}));
}

TEST_F(StatusRequestsTest, AnUnknownThingMayHaveTheTimeOfTheAnswer) {
  Start(Shipped());
  const char* const kFirst = "2026-02-02T02:40:00.000000+00:00";
  EXPECT_EQ(Answer("get_component_status", {{"component_id", "c"}}, "fastblocks"),
            (Json{{"component_id", "c"}, {"status", "not_found"}, {"timestamp", kFirst}}));
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Answer("get_state", {{"state_path", "a.b"}}, "fastblocks"),
            (Json{{"state_path", "a.b"},
                  {"value", nullptr},
                  {"status", "not_found"},
                  {"timestamp", "2026-02-02T02:40:01.000000+00:00"}}));
}

TEST_F(StatusRequestsTest, AnUnknownThingHasTheConfiguredAnswer) {
  Start(WithRequests(R"(
  - request: get_run
    argument: run_id
    missing: {status: unknown, gates: []}
    events: [{event: run.started, key: $run_id, set: {status: running}}]
)"));
  EXPECT_EQ(Answer("get_run", {{"run_id", 5}}),
            (Json{{"run_id", 5}, {"status", "unknown"}, {"gates", Json::array()}}));
}

TEST_F(StatusRequestsTest, AMissingArgumentIsRefused) {
  Start(WithRequests(kPool));
  for (const Json& data : {Json::object(), Json{{"pool_id", nullptr}}, Json{{"pool_id", ""}},
                           Json{{"pool_id", {1}}}, Json{{"pool_id", true}}}) {
    const v1::ClientReply reply = Ask("get_pool", data);
    EXPECT_EQ(reply.error_code(), "INVALID_REQUEST") << data;
    EXPECT_THAT(reply.error_message(), HasSubstr("get_pool: data.pool_id is "));
  }
}

TEST_F(StatusRequestsTest, ARequestThatTheServiceHasNotIsUnknown) {
  Start(WithRequests(kPool));
  EXPECT_EQ(Ask("get_moon", {}).error_code(), "UNKNOWN_REQUEST");
  const v1::ClientReply reply = Ask("get_pool", {{"pool_id", "p"}}, "akosha");
  EXPECT_EQ(reply.error_code(), "UNKNOWN_REQUEST");
  EXPECT_EQ(reply.error_message(), "Unknown request event: get_pool");
}

TEST_F(StatusRequestsTest, ListsAreChangedByIdentity) {
  Start(WithRequests(kPool));
  for (const char* worker : {"w1", "w2", "w3"}) {
    Say("worker.added", {{"pool_id", "p"}, {"worker_id", worker}, {"state", "idle"}});
  }
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w2"}, {"state", "busy"}});
  Say("worker.removed", {{"pool_id", "p"}, {"worker_id", "w1"}});
  Say("worker.removed", {{"pool_id", "p"}, {"worker_id", "never"}});
  const Json answer = Answer("get_pool", {{"pool_id", "p"}});
  EXPECT_EQ(answer["workers"],
            (Json{{{"id", "w2"}, {"status", "busy"}}, {{"id", "w3"}, {"status", "idle"}}}));
  EXPECT_EQ(answer["total"], 4);
}

TEST_F(StatusRequestsTest, AListKeepsItsNewestAtMostAThousand) {
  Start(WithRequests(kPool));
  for (int i = 1; i <= 1000; ++i) Say("note.made", {{"pool_id", "p"}, {"text", i}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["notes"].size(), 1000u);
  Say("note.made", {{"pool_id", "p"}, {"text", 1001}});
  const Json notes = Answer("get_pool", {{"pool_id", "p"}})["notes"];
  ASSERT_EQ(notes.size(), 901u);
  EXPECT_EQ(notes.front(), 101);
  EXPECT_EQ(notes.back(), 1001);
}

TEST_F(StatusRequestsTest, AFieldThatTheEventHasNotChangesNothing) {
  Start(WithRequests(kPool));
  Say("pool.changed", {{"pool_id", "p"}, {"status", "up"}});
  Say("pool.changed", {{"pool_id", "p"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["status"], "up");
  Say("pool.changed", {{"pool_id", "p"}, {"status", nullptr}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["status"], nullptr);
}

TEST_F(StatusRequestsTest, AnIdWithItsKindBeforeItIsTheSame) {
  Start(WithRequests(kPool));
  Say("worker.added", {{"pool_id", "pool:p"}, {"worker_id", "w1"}});
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w2"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["total"], 2);
  const Json answer = Answer("get_pool", {{"pool_id", "pool:p"}});
  EXPECT_EQ(answer["total"], 2);
  EXPECT_EQ(answer["pool_id"], "pool:p");  // as it was asked
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "worker:p"}})["status"], "not_found");
  EXPECT_EQ(Ask("get_pool", {{"pool_id", "pool:"}}).error_code(), "INVALID_REQUEST");
}

TEST_F(StatusRequestsTest, AKindOfTheConfigurationHoldsInsteadOfTheArgumentsName) {
  const std::string requests = R"(
  - request: get_run
    argument: run_id
    kind: test
    events: [{event: test.started, key: $run_id, set: {status: running}}]
)";
  Start(WithRequests(requests));
  Say("test.started", {{"run_id", "test:1"}});
  EXPECT_EQ(Answer("get_run", {{"run_id", "1"}})["status"], "running");
  EXPECT_EQ(Answer("get_run", {{"run_id", "run:1"}})["status"], "not_found");
}

TEST_F(StatusRequestsTest, AForgottenThingIsUnknownAgain) {
  Start(WithRequests(kPool));
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w1"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["total"], 1);
  Say("pool.closed", {{"pool_id", "p"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["status"], "not_found");
}

TEST_F(StatusRequestsTest, MirrorCopiesAndOtherServicesAreIgnored) {
  Start(WithRequests(kPool));
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w1"}});
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w1"}}, /*mirror=*/true);
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w1"}}, false, "akosha");
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["total"], 1);
}

TEST_F(StatusRequestsTest, EventsThatNameNothingAreIgnored) {
  Start(WithRequests(kPool));
  const std::string long_name(StatusTable::kMaxKeyBytes + 1, 'x');
  for (const Json& name : {Json(nullptr), Json(""), Json(1.5), Json::array(), Json(long_name)}) {
    Say("worker.added", {{"pool_id", name}, {"worker_id", "w1"}});
  }
  Say("worker.added", {{"worker_id", "w1"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", long_name}})["status"], "not_found");
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "null"}})["status"], "not_found");
}

TEST_F(StatusRequestsTest, AWholeNumberNamesTheSameThingAsItsText) {
  Start(WithRequests(kPool));
  Say("worker.added", {{"pool_id", 42}, {"worker_id", "w1"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "42"}})["total"], 1);
  EXPECT_EQ(Answer("get_pool", {{"pool_id", 42}})["pool_id"], 42);
}

TEST_F(StatusRequestsTest, NumbersBeyond64BitsAreNoObstacle) {
  Start(WithRequests(kPool));
  const PublicationPtr publication = MakePublication(
      "pool.changed", "a:b", R"({"pool_id":"p","status":"up","n":123456789012345678901234567890})");
  state_->OnPublication({"mahavishnu", "a:b", false, publication});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["status"], "up");
}

TEST_F(StatusRequestsTest, NumbersKeepEveryDigit) {
  Start(WithRequests(R"(
  - request: get_thing
    argument: id
    events:
    - {event: thing.seen, key: $id, set: {n: $n, deep: $o.n, all: $data}}
    - {event: thing.merged, key: $id, set: {merged: $$merged}}
    - {event: thing.listed, key: $id, append: {list: seen, value: $n}}
    - {event: thing.counted, key: $id, add: {total: 1}}
    - {event: thing.total, key: $id, set: {total: $n}}
  - request: get_recent
    argument: id
    recent: {events: [thing.seen], list: things}
)"));
  const auto say = [&](const char* event, const std::string& data) {
    const PublicationPtr publication = MakePublication(event, "a:b", data);
    state_->OnPublication({"mahavishnu", "a:b", false, publication});
  };
  for (const char* number : {"12345678901234567890123456789", "18446744073709551616", "1e400",
                             "0.1000000000000000000001", "-0", "1.0"}) {
    const std::string data =
        absl::StrCat("{\"id\":\"x\",\"n\":", number, ",\"o\":{\"n\":", number, "}}");
    say("thing.seen", data);
    say("thing.merged", data);
    say("thing.listed", data);
    const std::string answer = Ask("get_thing", {{"id", "x"}}).data();
    EXPECT_THAT(answer, HasSubstr(absl::StrCat("\"deep\":", number, ",\"n\":", number)));
    EXPECT_THAT(answer, HasSubstr(absl::StrCat("\"all\":", data)));
    EXPECT_THAT(answer, HasSubstr(absl::StrCat("\"merged\":", data)));
    EXPECT_THAT(answer, HasSubstr(absl::StrCat(number, "]")));
    EXPECT_THAT(Ask("get_recent", {{"id", "x"}}).data(), HasSubstr(data));
  }
  say("thing.total", R"({"id":"x","n":18446744073709551615})");
  say("thing.counted", R"({"id":"x"})");
  EXPECT_THAT(Ask("get_thing", {{"id", "x"}}).data(), HasSubstr("\"total\":18446744073709551616"));
}

TEST_F(StatusRequestsTest, AWholeNumberOfAnySizeNamesAThingAndIsToldAsItWasAsked) {
  Start(WithRequests(kPool));
  const PublicationPtr publication = MakePublication(
      "pool.changed", "a:b", R"({"pool_id":12345678901234567890123456789,"status":"up"})");
  state_->OnPublication({"mahavishnu", "a:b", false, publication});
  v1::ClientRequest request;
  request.set_service("mahavishnu");
  request.set_request("get_pool");
  request.set_data(R"({"pool_id":"other","pool_id":12345678901234567890123456789})");
  std::promise<std::string> answer;
  state_->Handle(request, [&](const v1::ClientReply& reply) { answer.set_value(reply.data()); });
  const std::string data = answer.get_future().get();
  EXPECT_THAT(data, HasSubstr(R"("pool_id":12345678901234567890123456789)"));
  EXPECT_THAT(data, HasSubstr(R"("status":"up")"));
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "12345678901234567890123456789"}})["status"], "up");
}

TEST_F(StatusRequestsTest, TheLongestUntouchedEntityGoesFirst) {
  Start(WithRequests(std::string(kPool) + "    max_entities: 2\n"));
  for (const char* pool : {"a", "b", "a", "c"}) {
    Say("worker.added", {{"pool_id", pool}, {"worker_id", "w1"}});
  }
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "a"}})["total"], 2);
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "b"}})["status"], "not_found");
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "c"}})["total"], 1);
}

TEST_F(StatusRequestsTest, NestedFieldsAndMergedData) {
  Start(WithRequests(R"(
  - request: get_diagram
    argument: id
    events:
    - {event: diagram.made, key: $id, set: {color: $style.color, deep: $style.pen.width}}
    - {event: diagram.*, key: $id, set: {diagram: $$merged}}
)"));
  Say("diagram.made", {{"id", "d"}, {"title", "T"}, {"v", 1}, {"style", {{"color", "red"}}}});
  Say("diagram.updated", {{"id", "d"}, {"v", 2}});
  EXPECT_EQ(
      Answer("get_diagram", {{"id", "d"}}),
      (Json{{"id", "d"},
            {"color", "red"},
            {"diagram", {{"id", "d"}, {"title", "T"}, {"v", 2}, {"style", {{"color", "red"}}}}}}));
}

TEST_F(StatusRequestsTest, MergedDataLiesUnderWhatRulesSet) {
  Start(WithRequests(R"(
  - request: get_thing
    argument: id
    initial: {status: new}
    events:
    - {event: thing.told, key: $id, merge_data: true}
)"));
  Say("thing.told", {{"id", "t"}, {"status", "from data"}, {"size", 1}});
  Say("thing.told", {{"id", "t"}, {"size", 2}});
  EXPECT_EQ(Answer("get_thing", {{"id", "t"}}),
            (Json{{"id", "t"}, {"status", "new"}, {"size", 2}}));
}

TEST_F(StatusRequestsTest, AnEntityNeverOutgrowsAnAnswer) {
  Start(WithRequests(kPool));
  for (int i = 0; i < 60; ++i) {
    Say("note.made", {{"pool_id", "p"}, {"text", std::string(60'000, 'a' + i % 26)}});
  }
  const v1::ClientReply reply = Ask("get_pool", {{"pool_id", "p"}});
  ASSERT_EQ(reply.error_code(), "");
  EXPECT_LE(reply.data().size(), StatusTable::kMaxAnswerBytes);
  const Json notes = Json::parse(reply.data())["notes"];
  EXPECT_GT(notes.size(), 3u);
  EXPECT_EQ(notes.back(), std::string(60'000, 'a' + 59 % 26));
}

constexpr char kRecent[] = R"(
  - request: get_patterns
    argument: category
    recent: {events: [pattern.detected], list: patterns, max: 3, filter_field: kind,
             filter_default: all}
  - request: get_anomalies
    recent: {events: [anomaly.*], list: anomalies}
)";

TEST_F(StatusRequestsTest, RecentEventsAreToldNewestLast) {
  Start(WithRequests(kRecent));
  EXPECT_EQ(Answer("get_patterns", Json::object()),
            (Json{{"category", "all"}, {"patterns", Json::array()}, {"count", 0}}));
  for (int i = 1; i <= 4; ++i) {
    Say("pattern.detected", {{"n", i}, {"kind", i % 2 == 0 ? "even" : "odd"}});
  }
  Json answer = Answer("get_patterns", Json::object());
  EXPECT_EQ(answer["count"], 3);
  EXPECT_EQ(answer["patterns"], (Json{{{"n", 2}, {"kind", "even"}},
                                      {{"n", 3}, {"kind", "odd"}},
                                      {{"n", 4}, {"kind", "even"}}}));
  EXPECT_EQ(Answer("get_patterns", {{"category", "all"}})["count"], 3);
  answer = Answer("get_patterns", {{"category", "even"}});
  EXPECT_EQ(answer["category"], "even");
  EXPECT_EQ(answer["count"], 2);
  EXPECT_EQ(answer["patterns"][0]["n"], 2);
  EXPECT_EQ(Answer("get_patterns", {{"category", "none"}})["count"], 0);
  EXPECT_EQ(Ask("get_patterns", {{"category", {1}}}).error_code(), "INVALID_REQUEST");
}

TEST_F(StatusRequestsTest, RecentEventsWithoutAnArgument) {
  Start(WithRequests(kRecent));
  Say("anomaly.detected", {{"anomaly_id", "a1"}});
  EXPECT_EQ(Answer("get_anomalies", Json::object()),
            (Json{{"anomalies", {{{"anomaly_id", "a1"}}}}, {"count", 1}}));
}

TEST_F(StatusRequestsTest, RecentEventsAreCutAtTheMessageLimit) {
  Start(WithRequests(kRecent));
  for (int i = 0; i < 100; ++i) {
    Say("anomaly.detected", {{"n", i}, {"fill", std::string(60'000, 'x')}});
  }
  const v1::ClientReply reply = Ask("get_anomalies", Json::object());
  EXPECT_LE(reply.data().size(), StatusTable::kMaxAnswerBytes);
  const Json answer = Json::parse(reply.data());
  EXPECT_EQ(answer["count"], 17);
  EXPECT_EQ(answer["anomalies"].back()["n"], 99);
}

TEST_F(StatusRequestsTest, AReloadKeepsWhatTheSameRequestsKnow) {
  Start(WithRequests(std::string(kPool) + kRecent));
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w1"}});
  Say("anomaly.detected", {{"anomaly_id", "a1"}});
  state_->SetServices(WithRequests(std::string(kPool) + R"(
  - request: get_anomalies
    recent: {events: [anomaly.*], list: anomalies, max: 5}
)"));
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["total"], 1);
  EXPECT_EQ(Answer("get_anomalies", Json::object())["count"], 0);  // defined anew
  EXPECT_EQ(Ask("get_patterns", Json::object()).error_code(), "UNKNOWN_REQUEST");
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w2"}});
  EXPECT_EQ(Answer("get_pool", {{"pool_id", "p"}})["total"], 2);
  state_->SetServices(Load("services: [{name: mahavishnu, port: 8690}]"));
  Say("worker.added", {{"pool_id", "p"}, {"worker_id", "w3"}});
  EXPECT_EQ(Ask("get_pool", {{"pool_id", "p"}}).error_code(), "UNKNOWN_REQUEST");
}

TEST_F(StatusRequestsTest, AnAnswerReflectsAllThatWasAcceptedBefore) {
  Start(WithRequests(kPool));
  std::vector<std::thread> publishers;
  for (int thread = 0; thread < 4; ++thread) {
    publishers.emplace_back([this, thread] {
      const std::string pool = absl::StrCat("p", thread);
      for (int i = 1; i <= 1500; ++i) {
        Say("worker.added", {{"pool_id", pool}, {"worker_id", "w"}});
        if (i % 500 == 0) {
          EXPECT_EQ(Answer("get_pool", {{"pool_id", pool}})["total"], i);
        }
      }
    });
  }
  for (std::thread& publisher : publishers) publisher.join();
  EXPECT_EQ(state_->dropped(), 0);
}

TEST_F(StatusRequestsTest, RequestsThatStillWaitAtTheEndAreAnswered) {
  int answered = 0;
  Start(WithRequests(kPool));
  v1::ClientRequest message;
  message.set_service("mahavishnu");
  message.set_request("get_pool");
  message.set_data(R"({"pool_id":"p"})");
  for (int i = 0; i < 200; ++i) {
    state_->Handle(message, [&](const v1::ClientReply& reply) {
      ++answered;
      EXPECT_TRUE(reply.error_code().empty() || reply.error_code() == "UNAVAILABLE");
    });
  }
  state_.reset();
  EXPECT_EQ(answered, 200);
}

// ------------------------------------------------------------------ the shipped configuration

TEST_F(StatusRequestsTest, ShippedWorkflow) {
  Start(Shipped());
  const auto say = [&](const std::string& event, Json data) {
    data["workflow_id"] = "w";
    Say("workflow." + event, data);
  };
  say("started", {{"prompt", "do it"}, {"total_stages", 2}});
  say("stage_started", {{"stage_name", "plan"}});
  say("stage_completed", {{"stage_name", "plan"}, {"result", Json::object()}, {"progress", 50}});
  Json answer = Answer("get_workflow_status", {{"workflow_id", "w"}});
  EXPECT_EQ(answer["status"], "running");
  EXPECT_EQ(answer["stages_completed"], 1);
  EXPECT_EQ(answer["total_stages"], 2);
  EXPECT_EQ(answer["stages"], Json{"plan"});
  EXPECT_EQ(answer["progress"], 50);
  EXPECT_EQ(answer["completed_at"], nullptr);
  say("completed", {{"result", {{"ok", true}}}});
  answer = Answer("get_workflow_status", {{"workflow_id", "w"}});
  EXPECT_EQ(answer["status"], "completed");
  EXPECT_EQ(answer["progress"], 100);
  EXPECT_TRUE(answer["started_at"].is_string());
  EXPECT_TRUE(answer["completed_at"].is_string());
  // Started again, it begins anew.
  say("started", Json::object());
  say("failed", {{"error", "boom"}});
  answer = Answer("get_workflow_status", {{"workflow_id", "w"}});
  EXPECT_EQ(answer["status"], "failed");
  EXPECT_EQ(answer["error"], "boom");
  EXPECT_EQ(answer["stages_completed"], 0);
}

TEST_F(StatusRequestsTest, ShippedPool) {
  Start(Shipped());
  const auto say = [&](const std::string& event, Json data) {
    data["pool_id"] = "p";
    Say(event, data);
  };
  say("pool.spawned", {{"config", {{"pool_type", "local"}}}});
  say("worker.added", {{"worker_id", "k1"}});
  say("worker.added", {{"worker_id", "k2"}});
  say("worker.status_changed", {{"worker_id", "k1"}, {"status", "busy"}});
  say("worker.removed", {{"worker_id", "k2"}});
  say("pool.status_changed", {{"status", {{"queue_size", 3}}}});
  say("task.completed", {{"worker_id", "k1"}, {"result", {{"success", true}}}});
  const Json answer = Answer("get_pool_status", {{"pool_id", "p"}});
  EXPECT_EQ(answer["status"], "running");
  EXPECT_EQ(answer["pool_type"], "local");
  EXPECT_EQ(answer["queue_size"], 3);
  EXPECT_EQ(answer["total_tasks_completed"], 1);
  EXPECT_EQ(answer["workers"], (Json{{{"worker_id", "k1"}, {"status", "busy"}}}));
}

TEST_F(StatusRequestsTest, ShippedOthers) {
  Start(Shipped());
  Say("test.started", {{"run_id", "r"}, {"total_tests", 10}}, false, "crackerjack");
  Say("test.failed", {{"run_id", "r"}}, false, "crackerjack");
  Json answer = Answer("get_test_status", {{"run_id", "r"}}, "crackerjack");
  EXPECT_EQ(answer["status"], "running");
  EXPECT_EQ(answer["failures"], 1);
  EXPECT_EQ(Answer("get_test_status", {{"run_id", "x"}}, "crackerjack")["status"], "unknown");
  Say("quality_gate.checked",
      {{"project", "q"},
       {"gate_name", "all"},
       {"status", "passed"},
       {"score", 91},
       {"quality_gate_report", {{"passed", true}, {"errors", Json::array()}}}},
      false, "crackerjack");
  answer = Answer("get_quality_gate", {{"project", "q"}}, "crackerjack");
  EXPECT_EQ(answer["status"], "passed");
  EXPECT_EQ(answer["passed"], true);
  EXPECT_EQ(answer["gates"][0]["score"], 91);
  Say("adapter.stored", {{"adapter_id", "a"}, {"version", "2"}}, false, "dhruva");
  answer = Answer("get_adapter_status", {{"adapter_id", "a"}}, "dhruva");
  EXPECT_EQ(answer["status"], "found");
  EXPECT_EQ(answer["adapter"]["version"], "2");
  Say("diagram.created", {{"diagram_id", "d"}, {"title", "T"}}, false, "excalidraw");
  Say("diagram.updated", {{"diagram_id", "d"}, {"version", 2}}, false, "excalidraw");
  Say("user.joined", {{"diagram_id", "d"}, {"user_id", "ana"}}, false, "excalidraw");
  answer = Answer("get_diagram_status", {{"diagram_id", "d"}}, "excalidraw");
  EXPECT_EQ(answer["status"], "found");
  EXPECT_EQ(answer["diagram"], (Json{{"diagram_id", "d"}, {"title", "T"}, {"version", 2}}));
  EXPECT_EQ(answer["users"], (Json{{{"user_id", "ana"}}}));
  Say("component.rendered", {{"component_id", "c"}, {"render_time", 1.5}}, false, "fastblocks");
  answer = Answer("get_component_status", {{"component_id", "c"}}, "fastblocks");
  EXPECT_EQ(answer["status"], "active");
  EXPECT_EQ(answer["last_event"], "component.rendered");
  Say("component.unmounted", {{"component_id", "c"}}, false, "fastblocks");
  EXPECT_EQ(Answer("get_component_status", {{"component_id", "c"}}, "fastblocks")["status"],
            "unmounted");
  Say("state.changed", {{"state_path", "a.b"}, {"new_value", {{"x", 1}}}}, false, "fastblocks");
  EXPECT_EQ(Answer("get_state", {{"state_path", "a.b"}}, "fastblocks")["value"], (Json{{"x", 1}}));
  EXPECT_EQ(Answer("get_state", {{"state_path", "c"}}, "fastblocks")["value"], nullptr);
}

}  // namespace
}  // namespace fanwire::control
