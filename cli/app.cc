#include "cli/app.h"

#include <grpc/support/log.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/commands/all.h"
#include "cli/commands/completion.h"
#include "cli/exit_code.h"
#include "cli/local_check.h"
#include "cli/rpc_channel.h"
#include "cli/standard_streams.h"
#include "cli/text.h"

namespace fanwire::cli {
namespace {

constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);

// Completion must not make a person wait at the prompt.
constexpr absl::Duration kCompletionPatience = absl::Milliseconds(500);

// Runs `wsctl __complete -- WORDS…`, which the shells' completion scripts call.
int Complete(const std::vector<std::string>& arguments, const World& world) {
  GlobalOptions options;
  options.timeout = kCompletionPatience;
  const size_t skipped = arguments.size() > 1 && arguments[1] == "--" ? 2 : 1;
  const std::vector<std::string> words(arguments.begin() + static_cast<int64_t>(skipped),
                                       arguments.end());
  // Ask the control that the completed command line will use.
  const auto take = [&](size_t i, absl::string_view flag, std::string* target) {
    absl::string_view word = words[i];
    if (word == flag && i + 2 < words.size()) *target = words[i + 1];
    if (absl::ConsumePrefix(&word, flag) && absl::ConsumePrefix(&word, "=")) {
      *target = std::string(word);
    }
  };
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    take(i, "--server", &options.server.server);
    take(i, "--context", &options.server.context);
  }
  GlobalOptions targets;
  const std::unique_ptr<CommandTree> tree = MakeCommandTree(&targets);
  Invocation invocation(&world, &options);
  return ExitCode(RunComplete(words, *tree, invocation));
}

// Writes the error of `status`, if it is one, to stderr and returns the exit code.
int Finish(const absl::Status& status, const World& world) {
  if (status.ok() || IsBrokenPipe(status) || IsTold(status)) return ExitCode(status);
  const absl::string_view message(status.message().data(), status.message().size());
  world.notes
      ->Write(absl::StrCat(
          "wsctl: ", IsUsageError(status) ? "" : absl::StatusCodeToString(status.code()),
          IsUsageError(status) ? "" : ": ", EscapeLines(message), "\n"))
      .IgnoreError();
  return ExitCode(status);
}

}  // namespace

std::unique_ptr<CommandTree> MakeCommandTree(GlobalOptions* options) {
  auto tree = std::make_unique<CommandTree>(
      "Operates Fanwire: publishes, watches, and manages services, workers and connections.",
      "wsctl");
  tree->SetTableTargets(&options->wide, &options->columns);
  Command root = tree->root();
  root.Text("--server", "ADDR", &options->server.server,
            "HOST[:PORT] or unix:PATH; else FANWIRE_SERVER, the local socket, 127.0.0.1:8701")
      .AnyBytes("--server")  // the path of a socket
      .Text("--context", "NAME", &options->server.context,
            "Use this server of ~/.config/fanwire/wsctl.yaml", Values::kContexts)
      .Choice<Format>(
          "-o,--output", &options->format,
          {{"table", Format::kTable}, {"plain", Format::kPlain}, {"json", Format::kJson}},
          "Format of the results; default table")
      .Duration("--timeout", &options->timeout, "Longest wait for an answer; default 10s",
                absl::Milliseconds(1))
      .Flag("--no-color", &options->no_color, "Print no colours, as if NO_COLOR were set")
      .Flag("--verbose", &options->verbose, "Print to stderr which control is asked, and why");
  AddToolCommands(root);
  AddPublishCommand(root);
  AddTailCommand(root);
  AddServiceCommands(root);
  AddChannelCommands(root);
  AddConnectionCommands(root);
  AddPresenceCommand(root);
  AddWorkerCommands(root);
  AddLedgerCommand(root);
  AddEngineCommands(root);
  AddMcpCommand(root);
  AddCatalogCommands(root);
  AddConfigCommands(root);
  AddLogLevelCommand(root);
  AddTokenCommands(root);
  AddContextCommands(root);
  AddVersionCommand(root);
  AddCompletionCommand(root);
  root.AddHelpCommand();
  return tree;
}

absl::StatusOr<Clients> ConnectOverGrpc(const ServerTarget& target, const GlobalOptions& options) {
  const auto channel =
      RpcChannel::Make(target, options.timeout.value_or(kDefaultTimeout), options.timeout);
  if (!channel.ok()) return channel.status();
  return Clients{.admin = MakeAdminClient(*channel), .publish = MakePublishClient(*channel)};
}

int RunApp(const std::vector<std::string>& arguments, const World& world) {
  if (!arguments.empty() && arguments[0] == "__complete") return Complete(arguments, world);
  GlobalOptions options;
  const std::unique_ptr<CommandTree> tree = MakeCommandTree(&options);
  const CommandTree::Parsed parsed = tree->Parse(arguments);
  switch (parsed.kind) {
    case CommandTree::Parsed::Kind::kHelp:
      return Finish(world.results->Write(parsed.text), world);
    case CommandTree::Parsed::Kind::kUsageError:
      world.notes->Write(parsed.text).IgnoreError();
      return kExitUsage;
    case CommandTree::Parsed::Kind::kRun:
      break;
  }
  if (!options.columns.empty() && options.format == Format::kJson) {
    return Finish(UsageError("--columns chooses columns of a table, not keys of --output json"),
                  world);
  }
  Invocation invocation(&world, &options);
  absl::Status status = (*parsed.run)(invocation);
  if (status.ok()) status = invocation.out().outcome();
  return Finish(status, world);
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // a write to a closed pipe fails with EPIPE instead
  // The calls' statuses already report connection failures; gRPC's log would repeat them.
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
  const StandardStreams streams = CheckStandardStreams();
  FdSink results(STDOUT_FILENO);
  FdSink notes(STDERR_FILENO);
  World world;
  world.results = &results;
  world.notes = &notes;
  // Do nothing if its result could not be reported.
  if (!streams.notes || !streams.results) {
    return Finish(
        absl::DataLossError(absl::StrCat("cannot write to standard ",
                                         streams.notes ? "output" : "error", ": it is closed")),
        world);
  }
  world.results_terminal = isatty(STDOUT_FILENO) == 1;
  world.notes_terminal = isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (world.results_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    world.width = size.ws_col;
  }
  world.stdin_fd = streams.input ? STDIN_FILENO : -1;
  world.environment = [](const std::string& name) -> const char* {
    return std::getenv(name.c_str());
  };
  world.clock = Clock::Real();
  world.connect = ConnectOverGrpc;
  world.check_config = [](absl::string_view yaml, absl::string_view name) {
    return CheckConfigWith(ControlProgram(), yaml, name);
  };
  world.read_catalog = [](const std::string& config_file) {
    return ReadCatalogWith(ControlProgram(), config_file);
  };
  return RunApp(std::vector<std::string>(argv + 1, argv + argc), world);
}

}  // namespace fanwire::cli
