#include "cli/commands/workers.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WorkersTest : public testing::Test {
 protected:
  WorkersTest() {
    WorkerInfo worker;
    worker.id = "worker-0";
    worker.pid = 4242;
    worker.address = "local";
    worker.state = "ready";
    worker.sessions = 5;
    worker.subscriptions = 7;
    worker.rss_bytes = uint64_t{20} << 20;
    worker.cpu_percent = 1.25;
    worker.file_limit = 1024;
    worker.max_connections = 768;
    worker.supervised = true;
    worker.attached_at = absl::FromUnixSeconds(1'770'724'500);
    worker.listeners = {{.service = "mahavishnu", .configured_port = 0, .port = 8690}};
    wsctl_.admin.workers = {.workers = {worker}, .config_version = 3};
  }

  CliRunner wsctl_;
};

TEST_F(WorkersTest, ListForPeople) {
  const Outcome outcome = wsctl_.Run({"workers", "list"});
  EXPECT_EQ(outcome.out,
            "ID         PID  ADDRESS  STATE  SESSIONS  SUBSCRIPTIONS  CPU %  MEMORY  QUEUE  "
            "RESTARTS  ATTACHED\n"
            "worker-0  4242  local    ready         5              7    1.2  20 MiB      0  "
            "       0  2026-02-10T11:55:00.000Z\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(WorkersTest, ListAsJson) {
  const auto json = nlohmann::json::parse(wsctl_.Run({"workers", "list", "--output", "json"}).out);
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["id"], "worker-0");
  EXPECT_EQ(json[0]["pid"], 4242);
  EXPECT_EQ(json[0]["address"], "local");
  EXPECT_EQ(json[0]["state"], "ready");
  EXPECT_EQ(json[0]["sessions"], 5);
  EXPECT_EQ(json[0]["attached_at"], "2026-02-10T11:55:00.000Z");
  EXPECT_TRUE(json[0]["last_heartbeat"].is_null());
  EXPECT_EQ(json[0]["listeners"][0]["port"], 8690);
  EXPECT_EQ(json[0]["file_limit"], 1024);
  EXPECT_EQ(json[0]["max_connections"], 768);
}

TEST_F(WorkersTest, ARefusedConfigurationIsSaid) {
  wsctl_.admin.workers.workers[0].config_version = 2;
  wsctl_.admin.workers.workers[0].config_error = "port 80: in use\x1b[2J";
  EXPECT_EQ(wsctl_.Run({"workers", "list"}).err,
            "worker-0 refused configuration 3 and keeps 2: port 80: in use\\x1b[2J\n");
}

TEST_F(WorkersTest, APortThatIsNotOpenIsSaid) {
  wsctl_.admin.workers.workers[0].listeners = {
      {.service = "akosha", .configured_port = 8692, .host = "127.0.0.1", .error = "taken"}};
  EXPECT_THAT(wsctl_.Run({"workers", "list"}).err,
              testing::HasSubstr("worker-0 has port 8692 of akosha not open and tries again every "
                                 "5 s: taken"));
  const auto json = nlohmann::json::parse(wsctl_.Run({"workers", "list", "--output", "json"}).out);
  EXPECT_EQ(json[0]["listeners"][0]["error"], "taken");
  EXPECT_EQ(json[0]["listeners"][0]["port"], 0);
}

TEST_F(WorkersTest, AStoppedWorkerHasNoProcess) {
  wsctl_.admin.workers.workers[0].state = "stopped";
  wsctl_.admin.workers.workers[0].pid = 0;
  EXPECT_THAT(wsctl_.Run({"workers", "list", "--output", "plain"}).out,
              testing::StartsWith("worker-0\t-\t"));
}

TEST_F(WorkersTest, StatesHaveTheirColour) {
  wsctl_.terminal = true;
  const std::pair<const char*, const char*> colours[] = {{"ready", "\x1b[32mready"},
                                                         {"dead", "\x1b[31mdead"},
                                                         {"backoff", "\x1b[31mbackoff"},
                                                         {"draining", "\x1b[33mdraining"}};
  for (const auto& [state, shown] : colours) {
    wsctl_.admin.workers.workers[0].state = state;
    EXPECT_THAT(wsctl_.Run({"workers", "list"}).out, HasSubstr(shown));
  }
}

TEST_F(WorkersTest, OneWorkerForPeopleAndAsJson) {
  const Outcome outcome = wsctl_.Run({"workers", "show", "worker-0"});
  EXPECT_THAT(outcome.out, HasSubstr("state           ready\n"));
  EXPECT_THAT(outcome.out, HasSubstr("ports           mahavishnu:8690\n"));
  EXPECT_THAT(outcome.out, HasSubstr("memory          20 MiB\n"));
  EXPECT_THAT(outcome.out, HasSubstr("file limit      1024\n"));
  EXPECT_THAT(outcome.out, HasSubstr("connection cap  768\n"));
  const auto json =
      nlohmann::json::parse(wsctl_.Run({"workers", "show", "worker-0", "--output", "json"}).out);
  EXPECT_EQ(json["id"], "worker-0");
  EXPECT_EQ(json["sessions"], 5);
  wsctl_.admin.workers.workers[0].config_error = "port 80: in use";
  EXPECT_THAT(wsctl_.Run({"workers", "show", "worker-0"}).err, HasSubstr("port 80: in use"));
  const Outcome unknown = wsctl_.Run({"workers", "show", "worker-9"});
  EXPECT_EQ(unknown.code, 69);
  EXPECT_EQ(unknown.err, "wsctl: NOT_FOUND: no worker \"worker-9\"; known are worker-0\n");
}

TEST_F(WorkersTest, AGroupWithoutACommandIsItsList) {
  EXPECT_EQ(wsctl_.Run({"workers"}).out, wsctl_.Run({"workers", "list"}).out);
}

TEST_F(WorkersTest, At80ColumnsARowIsALine) {
  wsctl_.terminal = true;
  wsctl_.width = 80;
  const Outcome outcome = wsctl_.Run({"workers", "list", "--no-color"});
  EXPECT_EQ(outcome.out,
            "ID         PID  ADDRESS  STATE  SESSIONS  CPU %  MEMORY  QUEUE  ATTACHED\n"
            "worker-0  4242  local    ready         5    1.2  20 MiB      0  5m ago\n");
  EXPECT_EQ(outcome.err, "(not shown: SUBSCRIPTIONS, RESTARTS; --wide shows all)\n");
}

TEST_F(WorkersTest, NoWorkersAreSaidInWords) {
  wsctl_.admin.workers.workers.clear();
  EXPECT_EQ(wsctl_.Run({"workers", "list"}).out, "no workers\n");
  EXPECT_EQ(wsctl_.Run({"workers", "list", "--output", "json"}).out, "[]\n");
  EXPECT_EQ(wsctl_.Run({"workers", "list", "--output", "plain"}).out, "");
}

TEST_F(WorkersTest, ControlDecidesWhetherAWorkerIsTheLastOneUnlessItIsForced) {
  EXPECT_EQ(wsctl_.Run({"workers", "drain", "worker-0", "--force"}).code, 0);
  EXPECT_EQ(wsctl_.admin.drain_request.worker, "worker-0");
  EXPECT_FALSE(wsctl_.admin.drain_request.unless_last);
  const std::string refusal = "worker-0 is the last worker that serves clients";
  wsctl_.admin.drain_failure = absl::FailedPreconditionError(refusal);
  const Outcome refused = wsctl_.Run({"workers", "drain", "worker-0"});
  EXPECT_TRUE(wsctl_.admin.drain_request.unless_last);
  EXPECT_EQ(refused.code, 73);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err,
              HasSubstr(refusal + "; `wsctl workers restart worker-0` replaces it, --force drains "
                                  "it all the same"));
  // Only control's own workers can be replaced by it.
  wsctl_.admin.workers.workers[0].supervised = false;
  EXPECT_THAT(wsctl_.Run({"workers", "drain", "worker-0"}).err,
              HasSubstr(refusal + "; --force drains it all the same"));
}

TEST_F(WorkersTest, ADrainShowsItsProgressAndWhatComesThen) {
  wsctl_.terminal = true;
  wsctl_.admin.drain_progress = {7, 2, 0};
  const Outcome outcome =
      wsctl_.Run({"workers", "drain", "worker-0", "--window", "10s", "--deadline", "1m"});
  EXPECT_EQ(outcome.out,
            "worker-0 is drained and stays stopped until `wsctl workers restart worker-0`\n");
  EXPECT_THAT(outcome.err, HasSubstr("worker-0: 2 sessions left"));
  EXPECT_EQ(wsctl_.admin.drain_request.worker, "worker-0");
  EXPECT_EQ(wsctl_.admin.drain_request.window, absl::Seconds(10));
  EXPECT_EQ(wsctl_.admin.drain_request.deadline, absl::Minutes(1));
}

TEST_F(WorkersTest, ADrainOfAWorkerThatControlDidNotStartPromisesNoRestart) {
  wsctl_.admin.workers.workers[0].supervised = false;
  EXPECT_EQ(wsctl_.Run({"workers", "drain", "worker-0"}).out,
            "worker-0 is drained and has ended; control did not start it: start it again where it "
            "was started\n");
}

TEST_F(WorkersTest, ADrainAsJsonCountsItsSessions) {
  wsctl_.admin.drain_progress = {7, 2, 0};
  const Outcome outcome = wsctl_.Run({"workers", "drain", "worker-0", "--output", "json"});
  EXPECT_EQ(nlohmann::json::parse(outcome.out),
            nlohmann::json::parse(R"({"id": "worker-0", "drained": true, "sessions": 7})"));
  EXPECT_EQ(outcome.err, "");
  EXPECT_FALSE(wsctl_.admin.drain_request.window.has_value());
}

TEST_F(WorkersTest, ARestartNamesWhoIsReady) {
  wsctl_.admin.restart_progress = {{.worker = "worker-0", .state = "draining"},
                                   {.worker = "worker-0", .state = "ready"},
                                   {.worker = "worker-1", .state = "ready"}};
  EXPECT_EQ(wsctl_.Run({"workers", "restart"}).out, "worker-0, worker-1 ready\n");
  EXPECT_TRUE(wsctl_.admin.restart_request.workers.empty());
  EXPECT_EQ(nlohmann::json::parse(wsctl_
                                      .Run({"workers", "restart", "worker-0", "worker-1",
                                            "--only-stopped", "--output", "json"})
                                      .out),
            nlohmann::json::parse(R"({"restarted": ["worker-0", "worker-1"]})"));
  EXPECT_THAT(wsctl_.admin.restart_request.workers, ElementsAre("worker-0", "worker-1"));
  EXPECT_TRUE(wsctl_.admin.restart_request.only_stopped);
}

TEST_F(WorkersTest, NothingToRestartIsSaid) {
  const Outcome outcome = wsctl_.Run({"workers", "restart", "--only-stopped"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "no worker to restart\n");
}

TEST_F(WorkersTest, FailuresEndEachCommand) {
  wsctl_.admin.failure = absl::NotFoundError("no worker \"worker-9\"");
  EXPECT_EQ(wsctl_.Run({"workers", "list"}).code, 69);
  EXPECT_EQ(wsctl_.Run({"workers", "drain", "worker-9"}).code, 69);
  EXPECT_EQ(wsctl_.Run({"workers", "restart", "worker-9"}).code, 69);
  EXPECT_EQ(wsctl_.Run({"workers", "drain"}).code, 2);
}

}  // namespace
}  // namespace fanwire::cli
