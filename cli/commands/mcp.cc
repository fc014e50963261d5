#include "cli/commands/mcp.h"

#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/commands/all.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/reader_watch.h"
#include "common/mutex.h"

namespace fanwire::cli {
namespace {

// How long calls may go on after standard input has ended.  MCP clients send SIGTERM 2 s after it.
constexpr absl::Duration kGrace = absl::Seconds(1);
// How long wsctl tries to end in order after a signal: it cannot while nobody reads its output.
constexpr absl::Duration kEndPatience = absl::Seconds(1);

// Tells another thread that something is over.
class Over {
 public:
  void Tell() {
    MutexLock lock(&mu_);
    told_ = true;
    changed_.SignalAll();
  }
  // Returns whether it was told within `timeout`.
  bool Wait(absl::Duration timeout) {
    const absl::Time until = absl::Now() + timeout;
    MutexLock lock(&mu_);
    while (!told_ && absl::Now() < until) changed_.WaitWithTimeout(&mu_, until - absl::Now());
    return told_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool told_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

absl::Status RunMcp(const McpSettings& settings, Invocation& run) {
  absl::Status status = CheckStandardInput(run.stdin_fd());
  if (!status.ok()) return status;
  // A wrong --context is told now, not as the failure of each call.
  status = run.MakeClients().status();
  if (!status.ok()) return status;
  if (isatty(run.stdin_fd()) == 1) {
    run.out().Note(
        "wsctl mcp waits for an MCP client's messages on standard input; Ctrl-D ends it");
  }
  LineReader reader(run.stdin_fd(), settings.max_message_bytes);
  Over over;
  const InterruptScope interrupt([&] {
    reader.Wake();
    if (!over.Wait(kEndPatience)) std::_Exit(EXIT_SUCCESS);
  });
  const ReaderWatch watch(run.out().results_fd(), [&reader] { reader.Wake(); });
  auto server = std::make_unique<McpServer>(
      settings, [&run] { return run.MakeClients(); },
      [&](const std::string& line) {
        run.out().Raw(absl::StrCat(line, "\n"));
        if (run.out().broken()) reader.Wake();
      });
  std::string line;
  for (bool more = true; more;) {
    switch (reader.Next(&line, /*wait=*/true)) {
      case LineReader::Result::kLine:
        server->OnLine(line);
        break;
      case LineReader::Result::kTooLong:
        server->OnTooLongLine();
        break;
      case LineReader::Result::kNothing:
        break;
      case LineReader::Result::kWoken:
        more = false;
        break;
      case LineReader::Result::kEnd:
        server->Finish(kGrace);
        more = false;
        break;
      case LineReader::Result::kFailed:
        status = absl::NotFoundError("cannot read standard input");
        more = false;
        break;
    }
  }
  server.reset();
  over.Tell();
  return run.out().broken() ? run.out().written() : status;
}

void AddMcpCommand(Command root) {
  struct Options {
    McpSettings settings;
    uint32_t max_message_bytes = 2u << 20;
    uint32_t max_result_bytes = 2u << 20;
    uint32_t max_calls = 32;
  };
  auto options = std::make_shared<Options>();
  root.AddCommand("mcp", "Serve the tools to an MCP client on standard input and output",
                  "wsctl mcp",
                  [options](Invocation& run) {
                    McpSettings settings = options->settings;
                    settings.max_message_bytes = options->max_message_bytes;
                    settings.max_result_bytes = options->max_result_bytes;
                    settings.max_calls = options->max_calls;
                    return RunMcp(settings, run);
                  })
      .Details(
          "Speaks the Model Context Protocol over stdio: an agent's client starts this command,\n"
          "for instance after `claude mcp add fanwire -- wsctl mcp`.\n"
          "Tools: the five websocket_* tools, list_services, list_channels, list_connections,\n"
          "list_workers, get_ledger, get_catalog, get_history and tail_events; with --allow-write\n"
          "also publish_event, drain_worker and disconnect_clients.  docs/mcp.md shows how to add "
          "it "
          "to\n"
          "clients.")
      .Flag("--allow-write", &options->settings.allow_write,
            "Offer the tools that publish, drain workers and disconnect clients")
      .Number("--max-calls", &options->max_calls, 1, 1000,
              "Run at most N calls at the same time; four times as many wait; default 32")
      .Number("--max-message-bytes", &options->max_message_bytes, 4096, 64u << 20,
              "Skip messages of more than N bytes; default 2097152")
      .Number("--max-result-bytes", &options->max_result_bytes, 4096, 64u << 20,
              "Give results of at most N bytes of JSON; default 2097152");
}

}  // namespace fanwire::cli
