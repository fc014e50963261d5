// AdminClient calls control's Admin API on behalf of commands.  It takes and returns plain structs
// instead of protobuf messages.
//
// Errors:    as admin.proto documents them.  The messages of UNAVAILABLE and DEADLINE_EXCEEDED
//            name control's address and suggest what to try.
// Threading: one call at a time, from one thread; Cancel() from any thread.
// Ownership: the caller owns the client and what it returns.
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

  // Takes what control warned of in the answers so far, one line each: a sum that is incomplete.
  virtual std::vector<std::string> TakeWarnings() { return {}; }

  // Returns the tool's JSON object exactly as control wrote it.
  virtual absl::StatusOr<std::string> CallTool(Tool tool, const ToolRequest& request) = 0;
  // Returns the tool's JSON object, as CallTool() does.
  //   INVALID_ARGUMENT  `event.data` is not a JSON object
  virtual absl::StatusOr<std::string> BroadcastTestEvent(const TestEvent& event) = 0;

  virtual absl::StatusOr<std::vector<ServiceInfo>> ListServices() = 0;
  // Fetches pages until it has `query.limit` channels or there are no more.
  virtual absl::StatusOr<ChannelList> ListChannels(const ChannelQuery& query) = 0;
  virtual absl::StatusOr<ChannelInfo> GetChannel(absl::string_view service,
                                                 absl::string_view channel) = 0;
  virtual absl::StatusOr<History> GetHistory(const HistoryQuery& query) = 0;
  // Fetches pages until it has `query.limit` members or there are no more.
  virtual absl::StatusOr<PresenceList> ListPresence(const PresenceQuery& query) = 0;
  virtual absl::StatusOr<ConnectionList> ListConnections(const ConnectionQuery& query) = 0;
  virtual absl::StatusOr<ConnectionInfo> GetConnection(absl::string_view id) = 0;
  virtual absl::StatusOr<DisconnectResult> Disconnect(const DisconnectRequest& request) = 0;
  virtual absl::StatusOr<WorkerList> ListWorkers() = 0;

  // Returns when the worker has exited.  Until then calls `on_remaining` with the number of
  // sessions that are left.
  virtual absl::Status DrainWorker(const DrainRequest& request,
                                   const std::function<void(int64_t)>& on_remaining) = 0;
  // Returns when all requested workers have been restarted.
  virtual absl::Status RestartWorkers(
      const RestartRequest& request,
      const std::function<void(const RestartProgress&)>& on_progress) = 0;
  // Calls `on_update` with each update.  Returns OK once `on_update` returns false, Cancel() is
  // called or the time of the stream is over, and the stream's status if control ends it.
  //   DEADLINE_EXCEEDED  the time was over before control was reached
  virtual absl::Status Tail(const TailRequest& request,
                            const std::function<bool(const TailUpdate&)>& on_update) = 0;

  virtual absl::StatusOr<std::vector<LedgerEntry>> GetLedger(absl::string_view service) = 0;
  virtual absl::StatusOr<EngineStatus> GetEngineStatus() = 0;
  // The catalogs of all services, or of one.
  virtual absl::StatusOr<std::vector<ServiceCatalog>> GetCatalog(absl::string_view service) = 0;
  virtual absl::StatusOr<ConfigText> GetConfig() = 0;
  virtual absl::StatusOr<ConfigVerdict> CheckConfig(absl::string_view yaml,
                                                    absl::string_view file_name) = 0;
  virtual absl::StatusOr<ReloadResult> ReloadConfig() = 0;
  // Returns the previous level.
  virtual absl::StatusOr<std::string> SetLogLevel(absl::string_view level) = 0;
  virtual absl::StatusOr<ServerVersion> GetVersion() = 0;

  // Cancels the current call and every later one.
  virtual void Cancel() = 0;
};

// Makes a client that calls control over gRPC.
std::unique_ptr<AdminClient> MakeAdminClient(std::shared_ptr<RpcChannel> channel);

}  // namespace fanwire::cli
