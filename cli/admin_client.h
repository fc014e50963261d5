// AdminClient is control's Admin API as commands use it: values in, values or a status out.
//
// Errors:    as the proto says.  UNAVAILABLE and DEADLINE_EXCEEDED name the address and what to
// try. Threading: one call at a time, from one thread; Cancel() from any. Ownership: the caller
// owns the client and what it returns.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

class RpcChannel;

class AdminClient {
 public:
  virtual ~AdminClient() = default;

  // The tool's JSON object, as control wrote it.
  virtual absl::StatusOr<std::string> CallTool(Tool tool, const ToolRequest& request) = 0;
  //   INVALID_ARGUMENT  `data` is no JSON object
  virtual absl::StatusOr<std::string> BroadcastTestEvent(const TestEvent& event) = 0;

  virtual absl::StatusOr<std::vector<ServiceInfo>> ListServices() = 0;
  // Asks for page after page until `limit`.
  virtual absl::StatusOr<ChannelList> ListChannels(const ChannelQuery& query) = 0;
  virtual absl::StatusOr<ChannelInfo> GetChannel(absl::string_view service,
                                                 absl::string_view channel) = 0;
  virtual absl::StatusOr<History> GetHistory(const HistoryQuery& query) = 0;
  virtual absl::StatusOr<ConnectionList> ListConnections(const ConnectionQuery& query) = 0;
  virtual absl::StatusOr<ConnectionInfo> GetConnection(absl::string_view id) = 0;
  virtual absl::StatusOr<DisconnectResult> Disconnect(const DisconnectRequest& request) = 0;
  virtual absl::StatusOr<WorkerList> ListWorkers() = 0;

  // Returns when the worker is gone; `on_remaining` hears of its sessions until then.
  virtual absl::Status DrainWorker(const DrainRequest& request,
                                   const std::function<void(int64_t)>& on_remaining) = 0;
  // Returns when all are done.
  virtual absl::Status RestartWorkers(
      const RestartRequest& request,
      const std::function<void(const RestartProgress&)>& on_progress) = 0;
  // Runs until `on_update` returns false or Cancel() (both OK), or control ends it.
  virtual absl::Status Tail(const TailRequest& request,
                            const std::function<bool(const TailUpdate&)>& on_update) = 0;

  virtual absl::StatusOr<std::vector<LedgerEntry>> GetLedger(absl::string_view service) = 0;
  virtual absl::StatusOr<ConfigText> GetConfig() = 0;
  virtual absl::StatusOr<ConfigVerdict> CheckConfig(absl::string_view yaml,
                                                    absl::string_view file_name) = 0;
  virtual absl::StatusOr<ReloadResult> ReloadConfig() = 0;
  // Returns the level that was in force.
  virtual absl::StatusOr<std::string> SetLogLevel(absl::string_view level) = 0;
  virtual absl::StatusOr<ServerVersion> GetVersion() = 0;

  // Ends the call under way and every later one.
  virtual void Cancel() = 0;
};

// A client over gRPC.
std::unique_ptr<AdminClient> MakeAdminClient(std::shared_ptr<RpcChannel> channel);

}  // namespace fanwire::cli
