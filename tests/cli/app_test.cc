#include "cli/app.h"

#include <fstream>
#include <iterator>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_code.h"
#include "common/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"

namespace fanwire::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

// Splits an example into words as a shell does.
std::vector<std::string> ShellWords(const std::string& line) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '\'') {
      quoted = !quoted;
    } else if (c == ' ' && !quoted) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

TEST(AppTest, EveryExampleOfTheHelpParses) {
  GlobalOptions options;
  for (const std::string& example : MakeCommandTree(&options)->Examples()) {
    std::vector<std::string> words = ShellWords(example.substr(0, example.find(" > ")));
    ASSERT_EQ(words[0], "wsctl") << example;
    words.erase(words.begin());
    GlobalOptions fresh;
    const auto tree = MakeCommandTree(&fresh);
    const CommandTree::Parsed parsed = tree->Parse(words);
    EXPECT_EQ(parsed.kind, CommandTree::Parsed::Kind::kRun) << example << "\n" << parsed.text;
  }
}

TEST(AppTest, VersionIsToldWithoutAskingControl) {
  CliRunner wsctl;
  wsctl.admin.failure = absl::UnavailableError("away");
  const Outcome outcome = wsctl.Run({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, absl::StrCat("wsctl ", kVersion, "\n"));
  EXPECT_EQ(outcome.err, "");
}

TEST(AppTest, EveryCommandHasHelp) {
  GlobalOptions options;
  for (std::vector<std::string> path : MakeCommandTree(&options)->Paths()) {
    path.emplace_back("--help");
    CliRunner wsctl;
    const Outcome outcome = wsctl.Run(path);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, HasSubstr("Usage: wsctl")) << absl::StrJoin(path, " ");
    // The help ends with the example, which is one line.
    const size_t example = outcome.out.rfind("\nExample:\n  wsctl ");
    ASSERT_NE(example, std::string::npos) << absl::StrJoin(path, " ");
    EXPECT_EQ(outcome.out.find('\n', example + 12), outcome.out.size() - 1);
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(AppTest, TheCommandsPromisedAreThere) {
  GlobalOptions options;
  std::set<std::string> paths;
  for (const auto& path : MakeCommandTree(&options)->Paths()) {
    paths.insert(absl::StrJoin(path, " "));
  }
  EXPECT_THAT(paths, IsSupersetOf({"health-check",
                                   "get-status",
                                   "list-rooms",
                                   "broadcast-test-event",
                                   "get-metrics",
                                   "websocket_health_check",
                                   "websocket_get_status",
                                   "websocket_list_rooms",
                                   "websocket_broadcast_test_event",
                                   "websocket_get_metrics",
                                   "publish",
                                   "tail",
                                   "channels list",
                                   "channels show",
                                   "channels history",
                                   "connections list",
                                   "connections show",
                                   "connections disconnect",
                                   "workers list",
                                   "workers drain",
                                   "workers restart",
                                   "services list",
                                   "config check",
                                   "config show",
                                   "config reload",
                                   "token mint",
                                   "token inspect",
                                   "version",
                                   "ledger",
                                   "engine status",
                                   "presence",
                                   "mcp",
                                   "log-level",
                                   "completion",
                                   "services show",
                                   "workers show",
                                   "context list",
                                   "context use",
                                   "help"}));
}

TEST(AppTest, TheManualHasEveryCommandAndOption) {
  std::ifstream stream(FANWIRE_SOURCE_DIR "/docs/cli.md");
  const std::string manual(std::istreambuf_iterator<char>(stream), {});
  ASSERT_FALSE(manual.empty());
  GlobalOptions options;
  const auto tree = MakeCommandTree(&options);
  for (std::vector<std::string> words : tree->Paths()) {
    const std::string path = absl::StrJoin(words, " ");
    EXPECT_THAT(manual, HasSubstr("wsctl " + path));
    words.emplace_back("--");
    for (const std::string& flag :
         tree->Complete(words, [](Values) { return std::vector<std::string>(); })) {
      EXPECT_THAT(manual, HasSubstr(flag)) << path;
    }
  }
}

TEST(AppTest, UsageErrorsGoToStderrAndExitWithTwo) {
  CliRunner wsctl;
  const Outcome unknown = wsctl.Run({"wrokers"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(unknown.out, "");
  EXPECT_THAT(unknown.err, HasSubstr("did you mean \"workers\"?"));
  EXPECT_EQ(wsctl.Run({}).code, 2);
  EXPECT_EQ(wsctl.Run({"health-check", "--output", "xml"}).code, 2);
}

TEST(AppTest, FailuresExitWithTheirCodeAndSayItOnStderr) {
  CliRunner wsctl;
  wsctl.admin.failure = absl::NotFoundError("no service \"x\"\nsecond line\x1b[2J");
  const Outcome outcome = wsctl.Run({"services", "list"});
  EXPECT_EQ(outcome.code, 69);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err, "wsctl: NOT_FOUND: no service \"x\"\nsecond line\\x1b[2J\n");
}

TEST(AppTest, AReaderThatGoesAwayIsNoFailure) {
  CliRunner wsctl;
  wsctl.results.failure = BrokenPipe();
  const Outcome outcome = wsctl.Run({"services", "list"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(wsctl.Run({"--help"}).code, 0);
}

TEST(AppTest, AFullDiskIsAFailure) {
  CliRunner wsctl;
  wsctl.results.failure = absl::DataLossError("cannot write the output: No space left on device");
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"services", "list"}, {"--help"}, {"completion", "bash"}}) {
    const Outcome outcome = wsctl.Run(words);
    EXPECT_EQ(outcome.code, 79);
    EXPECT_THAT(outcome.err, HasSubstr("No space left on device"));
  }
}

TEST(AppTest, GlobalFlagsReachTheConnection) {
  CliRunner wsctl;
  const Outcome outcome = wsctl.Run(
      {"services", "list", "--server", "unix:/run/x.sock", "--timeout", "3s", "--verbose"});
  EXPECT_EQ(wsctl.server.address, "unix:/run/x.sock");
  EXPECT_EQ(wsctl.timeout, absl::Seconds(3));
  EXPECT_EQ(outcome.err, "wsctl: control at unix:/run/x.sock (--server)\n");
  wsctl.Run({"services", "list", "--server", "a:1"});
  EXPECT_FALSE(wsctl.timeout.has_value());
}

TEST(AppTest, ATimeoutOfNothingIsRefused) {
  CliRunner wsctl;
  for (const char* timeout : {"0", "0s", "1us"}) {
    const Outcome outcome = wsctl.Run({"services", "list", "--timeout", timeout});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err,
                HasSubstr(absl::StrCat("--timeout: \"", timeout, "\" is less than 1ms")));
  }
  EXPECT_EQ(wsctl.server.address, "");
}

TEST(AppTest, VerboseNamesThePortThatIsMeant) {
  CliRunner wsctl;
  EXPECT_EQ(wsctl.Run({"services", "list", "--server", "localhost", "--verbose"}).err,
            "wsctl: control at localhost:8701 (--server)\n");
}

TEST(AppTest, JsonIsOneCompactLine) {
  CliRunner wsctl;
  wsctl.admin.services = {{.name = "a"}, {.name = "b"}};
  wsctl.admin.workers.workers = {{.id = "worker-0"}};
  wsctl.admin.ledger = {{.service = "a"}};
  wsctl.admin.channels.channels = {{.channel = "c"}};
  wsctl.admin.connections.connections = {{.id = "i"}};
  wsctl.admin.history.publications = {{.envelope = "{}"}, {.envelope = "{}"}};
  wsctl.admin.verdict.ok = true;
  for (const std::vector<std::string>& command : {std::vector<std::string>{"services", "list"},
                                                  {"workers", "list"},
                                                  {"workers", "drain", "w"},
                                                  {"workers", "restart"},
                                                  {"channels", "list"},
                                                  {"channels", "show", "s", "c"},
                                                  {"channels", "history", "s", "c"},
                                                  {"connections", "list"},
                                                  {"connections", "show", "i"},
                                                  {"connections", "disconnect", "--slow"},
                                                  {"ledger"},
                                                  {"engine", "status"},
                                                  {"presence", "s", "c"},
                                                  {"config", "check", "/dev/null"},
                                                  {"config", "show"},
                                                  {"config", "reload"},
                                                  {"log-level", "debug"},
                                                  {"token", "mint", "--secret", "0123456789abcdef"},
                                                  {"version"},
                                                  {"publish", "s", "c", "e"},
                                                  {"get-status"}}) {
    std::vector<std::string> words = command;
    words.insert(words.end(), {"--output", "json"});
    const Outcome outcome = wsctl.Run(words);
    EXPECT_EQ(outcome.code, 0) << absl::StrJoin(words, " ") << outcome.err;
    EXPECT_EQ(outcome.out.find('\n'), outcome.out.size() - 1) << outcome.out;
    EXPECT_EQ(outcome.out.find("\": "), std::string::npos) << outcome.out;
  }
}

TEST(AppTest, ABadContextEndsTheRunBeforeItConnects) {
  CliRunner wsctl;
  EXPECT_EQ(wsctl.Run({"services", "list", "--context", "production"}).code, 69);
  EXPECT_EQ(wsctl.Run({"publish", "s", "c", "e", "--context", "production"}).code, 69);
  EXPECT_EQ(wsctl.server.address, "");
}

TEST(AppTest, ColourOnATerminalUnlessSomethingSpeaksAgainstIt) {
  CliRunner wsctl;
  wsctl.admin.workers.workers.push_back({.id = "worker-0", .state = "ready"});
  const std::vector<std::string> list = {"workers", "list"};
  EXPECT_THAT(wsctl.Run(list).out, Not(HasSubstr("\x1b")));
  wsctl.terminal = true;
  EXPECT_THAT(wsctl.Run(list).out, HasSubstr("\x1b[32mready"));
  EXPECT_THAT(wsctl.Run({"workers", "list", "--no-color"}).out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(wsctl.Run({"workers", "list", "--output", "json"}).out, Not(HasSubstr("\x1b")));
  wsctl.environment["TERM"] = "dumb";
  EXPECT_THAT(wsctl.Run(list).out, Not(HasSubstr("\x1b")));
  wsctl.environment.erase("TERM");
  wsctl.environment["NO_COLOR"] = "1";
  EXPECT_THAT(wsctl.Run(list).out, Not(HasSubstr("\x1b")));
}

TEST(AppTest, CompletionAsksTheControlOfTheLine) {
  CliRunner wsctl;
  wsctl.admin.services = {{.name = "mahavishnu"}, {.name = "akosha"}};
  wsctl.admin.workers.workers = {{.id = "worker-0"}, {.id = "worker-1"}};
  EXPECT_EQ(wsctl.Run({"__complete", "--", "--server", "a:1", "tail", ""}).out,
            "akosha\nmahavishnu\n");
  EXPECT_EQ(wsctl.server.address, "a:1");
  EXPECT_EQ(wsctl.timeout, absl::Milliseconds(500));
  EXPECT_EQ(wsctl.Run({"__complete", "--", "--server=b:2", "workers", "drain", "w"}).out,
            "worker-0\nworker-1\n");
  EXPECT_EQ(wsctl.server.address, "b:2");
  // A --server or --context that is still being typed does not choose a control.
  wsctl.Run({"__complete", "--", "workers", "drain", "--server", "c"});
  EXPECT_EQ(wsctl.server.address, "b:2");
}

TEST(AppTest, TheShortNameOfOutput) {
  CliRunner wsctl;
  EXPECT_EQ(wsctl.Run({"services", "list", "-o", "json"}).out, "[]\n");
  EXPECT_EQ(wsctl.Run({"-ojson", "workers", "list"}).out, "[]\n");
}

TEST(AppTest, HelpOfACommandIsAResult) {
  CliRunner wsctl;
  const Outcome outcome = wsctl.Run({"help", "workers", "drain"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.out, wsctl.Run({"workers", "drain", "--help"}).out);
}

TEST(AppTest, NoUnsafeCharacterReachesATerminal) {
  CliRunner wsctl;
  const std::string evil = "x\u202ey\u009b\x1b[2J\u2066";
  FakeAdminClient& admin = wsctl.admin;
  admin.services = {{.name = evil, .listeners = {{.host = evil, .dialect = evil}}}};
  admin.channel = {.service = evil, .channel = evil, .head = {.epoch = evil}};
  admin.channel.backlog_policy = evil;
  admin.channels = {.channels = {admin.channel}, .total = 9};
  admin.connection = {.id = evil,
                      .service = evil,
                      .worker = evil,
                      .user = evil,
                      .address = evil,
                      .channels = {evil},
                      .user_agent = evil,
                      .dialect = evil};
  admin.connections = {.connections = {admin.connection}, .total = 9};
  admin.history = {.head = {.epoch = evil, .offset = 1},
                   .publications = {{.service = evil,
                                     .channel = evil,
                                     .event = evil,
                                     .position = {.epoch = evil, .offset = 1},
                                     .envelope = "{\"data\":{\"a\":\"\u202e\u009b\"}}"}},
                   .more = true};
  admin.tail_updates = {{.publications = admin.history.publications, .left_out = 1}};
  WorkerInfo worker;
  worker.id = worker.address = worker.state = worker.version = worker.config_error = evil;
  admin.workers = {.workers = {worker}};
  admin.presence.members = {{.connection = evil, .user = evil, .info = evil, .worker = evil}};
  admin.ledger = {{.service = evil, .dropped = {{evil, 1}}}};
  admin.engine.kind = admin.engine.reason = admin.engine.path = evil;
  admin.config = {.yaml = "a: " + evil + "\nb: c\n", .file = evil};
  admin.verdict = {.ok = false, .errors = {evil}, .warnings = {evil}};
  admin.reload = {.applied = {evil}, .workers = {{.id = evil, .error = evil}}};
  admin.restart_progress = {{.worker = evil, .state = "ready"}};
  admin.log_level = evil;
  admin.version = {.version = evil, .build = evil, .engine = evil};
  admin.tool_json = "{\"status\":\"running\",\"server\":{\"host\":\"\u202e\"},\"rooms\":{\"" +
                    std::string("\u202e\u009b") + "\":{\"subscribers\":1}}}";
  wsctl.publisher.receipt.id = evil;
  const std::vector<std::vector<std::string>> commands = {
      {"services", "list"},
      {"services", "show", evil},
      {"services", "show", "nobody"},
      {"channels", "list"},
      {"channels", "show", "s", "c"},
      {"channels", "history", "s", "c"},
      {"channels", "history", "s", "c", "--since", evil + ":1"},
      {"channels", "history", "s", "c", "--since", evil},
      {"connections", "list"},
      {"connections", "show", "i"},
      {"connections", "disconnect", evil},
      {"workers", "list"},
      {"workers", "show", evil},
      {"workers", "show", "nobody"},
      {"workers", "drain", evil},
      {"workers", "restart"},
      {"tail", "s"},
      {"ledger"},
      {"engine", "status"},
      {"presence", "s", "c"},
      {"config", "check", "/dev/null"},
      {"config", "show"},
      {"config", "reload"},
      {"log-level", "debug"},
      {"version"},
      {"get-status"},
      {"list-rooms"},
      {"health-check"},
      {"broadcast-test-event", evil, evil},
      {"publish", "s", "c", "e"},
      {"token", "mint", "--secret", "0123456789abcdef", "--user", evil},
      {evil},
      {"services", evil},
      {"services", "list", "--output", evil},
      {"services", "list", evil},
      {"completion", evil},
      {"services", "list", "--context", evil},
      {"__complete", "--", "tail", ""}};
  for (const bool fails : {false, true}) {
    admin.failure = fails ? absl::NotFoundError("no channel " + evil) : absl::OkStatus();
    for (const std::vector<std::string>& command : commands) {
      for (const char* format : {"table", "plain", "json"}) {
        wsctl.terminal = true;
        wsctl.width = 60;
        std::vector<std::string> words = command;
        if (words[0] != "__complete") words.insert(words.begin(), {"-o", format, "--no-color"});
        const Outcome outcome = wsctl.Run(words);
        const std::string all = outcome.out + outcome.err;
        for (const char* bad : {"\u202e", "\u009b", "\u2066", "\x1b[2J"}) {
          EXPECT_EQ(all.find(bad), std::string::npos) << absl::StrJoin(words, " ") << "\n" << all;
        }
      }
    }
  }
}

TEST(AppTest, InAPipeJsonIsWhatControlWrote) {
  CliRunner wsctl;
  wsctl.admin.history.publications = {{.envelope = "{\"data\":\"\u202e\"}"}};
  EXPECT_THAT(wsctl.Run({"channels", "history", "s", "c", "-o", "json"}).out, HasSubstr("\u202e"));
  wsctl.admin.config.yaml = "a: \"\u202e\"\n";
  EXPECT_EQ(wsctl.Run({"config", "show"}).out, "a: \"\u202e\"\n");
}

TEST(AppTest, CompletionWithoutControlKnowsLessAndDoesNotFail) {
  CliRunner wsctl;
  wsctl.admin.failure = absl::UnavailableError("away");
  for (const char* command : {"tail", "broadcast-test-event", "publish"}) {
    const Outcome outcome = wsctl.Run({"__complete", "--", command, ""});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_EQ(outcome.err, "");
  }
  EXPECT_EQ(wsctl.Run({"__complete", "--", "workers", "drain", ""}).out, "");
  EXPECT_EQ(wsctl.Run({"__complete", "work"}).out, "workers\n");
}

}  // namespace
}  // namespace fanwire::cli
