#include "cli/commands/config.h"

#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::ofstream(path_) << "services: []\n";
    wsctl_.admin.verdict.ok = true;
    wsctl_.admin.verdict.resolved_yaml = "services: []\nlog: {}\n";
  }
  ~ConfigTest() override { unlink(path_.c_str()); }

  const std::string path_ = testing::TempDir() + "wsctl_config_" + std::to_string(getpid());
  CliRunner wsctl_;
};

TEST_F(ConfigTest, AGoodFileIsFine) {
  const Outcome outcome = wsctl_.Run({"config", "check", path_});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, path_ + ": fine\n");
  EXPECT_EQ(wsctl_.admin.checked, std::pair(std::string("services: []\n"), path_));
}

TEST_F(ConfigTest, FromStandardInput) {
  EXPECT_EQ(wsctl_.RunWithInput({"config", "check", "-"}, "log: {}\n").out, "stdin: fine\n");
  EXPECT_EQ(wsctl_.admin.checked, std::pair(std::string("log: {}\n"), std::string("stdin")));
}

TEST_F(ConfigTest, ResolvedShowsWhatWouldBeInForce) {
  EXPECT_EQ(wsctl_.Run({"config", "check", path_, "--resolved"}).out, "services: []\nlog: {}\n");
  const auto json = nlohmann::json::parse(
      wsctl_.Run({"config", "check", path_, "--resolved", "--output", "json"}).out);
  EXPECT_EQ(json["resolved_yaml"], "services: []\nlog: {}\n");
}

TEST_F(ConfigTest, FaultsAreListedAndFail) {
  wsctl_.admin.verdict = {.ok = false,
                          .errors = {"bad.yaml:3:5: services[0].prot: no such key", "two"},
                          .warnings = {"careful"},
                          .resolved_yaml = ""};
  const Outcome outcome = wsctl_.Run({"config", "check", path_});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_EQ(outcome.out, "bad.yaml:3:5: services[0].prot: no such key\ntwo\nwarning: careful\n");
  EXPECT_THAT(outcome.err, HasSubstr(path_ + ": 2 faults"));
  const Outcome as_json = wsctl_.Run({"config", "check", path_, "--output", "json"});
  EXPECT_EQ(as_json.code, 67);
  EXPECT_EQ(nlohmann::json::parse(as_json.out),
            nlohmann::json::parse(
                R"({"ok": false, "errors": ["bad.yaml:3:5: services[0].prot: no such key", "two"],
                    "warnings": ["careful"]})"));
}

TEST_F(ConfigTest, WhatIsNotUtf8IsRefusedWithItsPlaceAndSentToNobody) {
  std::ofstream(path_) << "services:\n- welcome_message: \"caf\xe9\"\n";
  const Outcome outcome = wsctl_.Run({"config", "check", path_});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_EQ(outcome.out, path_ + ":2:24: byte 0xE9 is not UTF-8; save the file in UTF-8\n");
  EXPECT_THAT(outcome.err, HasSubstr(": 1 fault"));
  EXPECT_EQ(wsctl_.admin.checked.first, "");
}

TEST_F(ConfigTest, TheNameOfAFileMayBeAnyBytes) {
  const std::string path = path_ + "\xe9";
  std::ofstream(path) << "log: {}\n";
  const Outcome outcome = wsctl_.Run({"config", "check", path});
  EXPECT_EQ(outcome.out, path_ + "\\xe9: fine\n");
  EXPECT_EQ(wsctl_.admin.checked.second, path_ + "\\xe9");
  unlink(path.c_str());
}

TEST_F(ConfigTest, WithoutControlItIsCheckedHere) {
  wsctl_.admin.failure = absl::UnavailableError("away");
  wsctl_.verdict_here = ConfigVerdict{.ok = true};
  Outcome outcome = wsctl_.Run({"config", "check", path_});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, path_ + ": fine\n");
  EXPECT_THAT(outcome.err, HasSubstr("control is not reachable; checked on this machine"));
  wsctl_.verdict_here = ConfigVerdict{.errors = {"bad.yaml:3:5: two"}};
  outcome = wsctl_.Run({"config", "check", path_});
  EXPECT_EQ(outcome.code, 67);
  EXPECT_EQ(outcome.out, "bad.yaml:3:5: two\n");
  wsctl_.verdict_here = absl::UnavailableError("no program");
  outcome = wsctl_.Run({"config", "check", path_});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_THAT(outcome.err, HasSubstr("away"));
  EXPECT_THAT(outcome.err, HasSubstr("no program"));
  // The local check is used only if control cannot be reached.
  wsctl_.verdict_here = ConfigVerdict{.ok = true};
  wsctl_.admin.failure = absl::PermissionDeniedError("no");
  EXPECT_EQ(wsctl_.Run({"config", "check", path_}).code, 71);
}

TEST_F(ConfigTest, AFileThatIsNotThereIsNotFound) {
  EXPECT_EQ(wsctl_.Run({"config", "check", "/nonexistent"}).code, 69);
}

TEST_F(ConfigTest, ShowPrintsTheYamlAndNothingElse) {
  wsctl_.admin.config = {.yaml = "log: {}\n", .file = "/etc/fanwire.yaml", .version = 4};
  EXPECT_EQ(wsctl_.Run({"config", "show"}).out, "log: {}\n");
  EXPECT_EQ(wsctl_.Run({"config", "show"}).err, "");
  EXPECT_EQ(
      nlohmann::json::parse(wsctl_.Run({"config", "show", "--output", "json"}).out),
      nlohmann::json::parse(R"({"file": "/etc/fanwire.yaml", "version": 4, "yaml": "log: {}\n"})"));
  wsctl_.terminal = true;
  EXPECT_EQ(wsctl_.Run({"config", "show"}).err, "# /etc/fanwire.yaml, version 4\n");
}

TEST_F(ConfigTest, ReloadSaysWhatIsInForceAndWhatIsNot) {
  wsctl_.admin.reload = {.version = 5,
                         .applied = {"log.level"},
                         .needs_restart = {"engine"},
                         .workers = {{.id = "worker-0", .version = 5},
                                     {.id = "worker-1", .version = 4, .pending = true}}};
  const Outcome outcome = wsctl_.Run({"config", "reload"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out,
            "WHAT           KEY OR WORKER\n"
            "applied        log.level\n"
            "needs restart  engine\n"
            "no answer yet  worker-1\n");
  EXPECT_EQ(nlohmann::json::parse(wsctl_.Run({"config", "reload", "--output", "json"}).out),
            nlohmann::json::parse(R"({"version": 5, "applied": ["log.level"],
                "needs_restart": ["engine"], "workers": [
                {"id": "worker-0", "version": 5, "error": null, "pending": false},
                {"id": "worker-1", "version": 4, "error": null, "pending": true}]})"));
}

TEST_F(ConfigTest, AReloadWithoutChangesSaysSo) {
  wsctl_.admin.reload.version = 5;
  EXPECT_EQ(wsctl_.Run({"config", "reload"}).out, "nothing changed; version 5\n");
}

TEST_F(ConfigTest, AWorkerThatRefusesFailsTheReload) {
  wsctl_.admin.reload = {.version = 5,
                         .workers = {{.id = "worker-1", .version = 4, .error = "port 80: in use"}}};
  const Outcome outcome = wsctl_.Run({"config", "reload"});
  EXPECT_EQ(outcome.code, 73);
  EXPECT_THAT(outcome.out, HasSubstr("refused  worker-1"));
  EXPECT_EQ(outcome.err,
            "wsctl: FAILED_PRECONDITION: refused by workers, which keep their previous "
            "configuration:\nworker-1: port 80: in use\n");
}

TEST_F(ConfigTest, ABadFileLeavesTheOldOneAndFails) {
  wsctl_.admin.failure = absl::InvalidArgumentError("f.yaml:1:1: bad");
  EXPECT_EQ(wsctl_.Run({"config", "reload"}).code, 67);
  EXPECT_EQ(wsctl_.Run({"config", "show"}).code, 67);
}

}  // namespace
}  // namespace fanwire::cli
