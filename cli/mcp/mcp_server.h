// McpServer answers the messages of one MCP client: a line in, lines out.
//
// It serves two kinds of clients side by side.  Those of the versions up to 2025-11-25 begin with
// `initialize`; what follows without a version of its own is of the version agreed then.  Those of
// 2026-07-28 name their version in the `_meta` of every request and need no beginning.
//
// What needs no control is answered at once, on the reader's thread; a call of a tool runs on a
// thread of its own, so that a long one holds up nothing.
//
// Threading: OnLine(), OnTooLongLine() and Finish() from one thread, the reader's; Stop() from any.
//            `write` is called from many threads, one call at a time.
// Ownership: the destructor stops all calls and waits until they have returned.
// Cost:      `max_calls` threads at most; four times as many calls may wait for one.
// Source:    docs/mcp.md
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/mcp/call_threads.h"
#include "cli/mcp/client_pool.h"
#include "cli/mcp/mcp_call.h"
#include "cli/mcp/mcp_tool.h"
#include "cli/mcp/rpc_message.h"
#include "common/mutex.h"

namespace fanwire::cli {

struct McpSettings {
  bool allow_write = false;
  size_t max_message_bytes = size_t{2} << 20;
  size_t max_result_bytes = size_t{2} << 20;
  size_t max_calls = 32;
  absl::Duration progress_interval = absl::Seconds(1);
};

class McpServer {
 public:
  // `write` sends one line, given without its line break.
  McpServer(const McpSettings& settings, ClientPool::Make make_clients,
            std::function<void(const std::string& line)> write);
  ~McpServer();
  McpServer(const McpServer&) = delete;
  McpServer& operator=(const McpServer&) = delete;

  void OnLine(absl::string_view line);
  // A line over max_message_bytes was skipped.
  void OnTooLongLine();

  // The client sends nothing more.  Ends the calls that only collect, gives the others `grace` to
  // answer, and stops those that are left.
  void Finish(absl::Duration grace);
  // Stops all calls.
  void Stop();

 private:
  struct Request;
  struct Pending;
  // Gets a request's answer, exactly once; empty: it has none.
  using Answer = std::function<void(std::string line)>;

  // Takes one message and returns whether `answer` was or will be called.
  void OnMessage(const RpcMessage& message, bool in_batch, const Answer& answer);
  void OnNotification(const RpcMessage& message);
  void OnRequest(const Request& request, const Answer& answer);

  std::string Initialize(const Request& request);
  std::string Discover(const Request& request) const;
  void CallTool(const Request& request, const Answer& answer);
  void ReadCatalog(const std::string& uri, const Request& request, const Answer& answer);
  void Listen(const Request& request, const Answer& answer);

  // What a call does with its clients: returns an object as JSON.
  using Work = std::function<absl::StatusOr<std::string>(McpCall&)>;
  // Makes the request's answer of that object or of why there is none.
  using ToLine = std::function<std::string(absl::StatusOr<std::string>)>;
  // Runs `work` on a thread of its own.
  void Start(const Request& request, const Answer& answer, Work work, const ToLine& to_line);
  absl::StatusOr<std::string> RunWork(const Work& work, McpCall& call);
  // `object`, or RESOURCE_EXHAUSTED if it is larger than a result may be.
  absl::StatusOr<std::string> Checked(std::string object) const;

  // Enters a request as in progress.  Returns null if one of the same id is.
  std::shared_ptr<Pending> Begin(const Request& request, const Answer& answer);
  // Removes it; returns false if it was removed before.
  bool End(const std::string& key);
  std::vector<std::shared_ptr<Pending>> PendingRequests() const;

  void Write(const std::string& line);

  const McpSettings settings_;
  const std::function<void(const std::string& line)> write_;
  const std::vector<McpTool> tools_;
  const std::string tool_list_;  // the members of the result of tools/list
  ClientPool clients_;
  std::string
      handshake_version_;  // agreed by `initialize`; empty: not yet.  The reader's thread only

  Mutex write_mu_{LockRank::kLink};  // the sink's own locks are taken under it
  mutable Mutex mu_;
  CondVar changed_;
  // By RpcIdKey().
  std::map<std::string, std::shared_ptr<Pending>, std::less<>> pending_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;

  CallThreads threads_;  // last: its destructor waits for tasks that use the rest
};

}  // namespace fanwire::cli
