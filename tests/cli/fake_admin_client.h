// FakeAdminClient is an AdminClient for tests: it records the requests and returns prepared
// answers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "cli/admin_client.h"

namespace fanwire::cli {

class FakeAdminClient : public AdminClient {
 public:
  // If not OK, every call returns this.
  absl::Status failure;

  std::string tool_json = "{}";
  Tool tool_asked = Tool::kHealthCheck;
  ToolRequest tool_request;
  TestEvent test_event;
  std::vector<ServiceInfo> services;
  ChannelList channels;
  ChannelQuery channel_query;
  ChannelInfo channel;
  std::pair<std::string, std::string> channel_asked;
  History history;
  HistoryQuery history_query;
  PresenceList presence;
  PresenceQuery presence_query;
  ConnectionList connections;
  ConnectionQuery connection_query;
  ConnectionInfo connection;
  std::string connection_asked;
  DisconnectResult disconnect_result;
  DisconnectRequest disconnect_request;
  WorkerList workers;
  DrainRequest drain_request;
  absl::Status drain_failure;  // of DrainWorker() alone
  std::vector<int64_t> drain_progress;
  RestartRequest restart_request;
  std::vector<RestartProgress> restart_progress;
  TailRequest tail_request;
  std::vector<TailUpdate> tail_updates;
  int tail_updates_taken = 0;
  // Tail() waits for Cancel(), which notifies this, after the last update.
  std::shared_ptr<absl::Notification> tail_cancelled;
  std::vector<LedgerEntry> ledger;
  std::string ledger_service;
  EngineStatus engine;
  std::vector<ServiceCatalog> catalogs;
  std::string catalog_service;
  ConfigText config;
  ConfigVerdict verdict;
  std::pair<std::string, std::string> checked;  // text, file name
  ReloadResult reload;
  std::string log_level = "info";
  ServerVersion version;

  absl::StatusOr<std::string> CallTool(Tool tool, const ToolRequest& request) override {
    tool_asked = tool;
    tool_request = request;
    return Answer(tool_json);
  }
  absl::StatusOr<std::string> BroadcastTestEvent(const TestEvent& event) override {
    test_event = event;
    return Answer(tool_json);
  }
  absl::StatusOr<std::vector<ServiceInfo>> ListServices() override { return Answer(services); }
  absl::StatusOr<ChannelList> ListChannels(const ChannelQuery& query) override {
    channel_query = query;
    return Answer(channels);
  }
  absl::StatusOr<ChannelInfo> GetChannel(absl::string_view service,
                                         absl::string_view name) override {
    channel_asked = {std::string(service), std::string(name)};
    return Answer(channel);
  }
  absl::StatusOr<History> GetHistory(const HistoryQuery& query) override {
    history_query = query;
    return Answer(history);
  }
  absl::StatusOr<PresenceList> ListPresence(const PresenceQuery& query) override {
    presence_query = query;
    return Answer(presence);
  }
  absl::StatusOr<ConnectionList> ListConnections(const ConnectionQuery& query) override {
    connection_query = query;
    return Answer(connections);
  }
  absl::StatusOr<ConnectionInfo> GetConnection(absl::string_view id) override {
    connection_asked = std::string(id);
    return Answer(connection);
  }
  absl::StatusOr<DisconnectResult> Disconnect(const DisconnectRequest& request) override {
    disconnect_request = request;
    return Answer(disconnect_result);
  }
  absl::StatusOr<WorkerList> ListWorkers() override { return Answer(workers); }
  absl::Status DrainWorker(const DrainRequest& request,
                           const std::function<void(int64_t)>& on_remaining) override {
    drain_request = request;
    if (!drain_failure.ok()) return drain_failure;
    for (const int64_t remaining : drain_progress) on_remaining(remaining);
    return failure;
  }
  absl::Status RestartWorkers(
      const RestartRequest& request,
      const std::function<void(const RestartProgress&)>& on_progress) override {
    restart_request = request;
    for (const RestartProgress& progress : restart_progress) on_progress(progress);
    return failure;
  }
  absl::Status Tail(const TailRequest& request,
                    const std::function<bool(const TailUpdate&)>& on_update) override {
    tail_request = request;
    for (const TailUpdate& update : tail_updates) {
      ++tail_updates_taken;
      if (!on_update(update)) return absl::OkStatus();
    }
    if (tail_cancelled != nullptr) {
      tail_cancelled->WaitForNotification();
      return absl::OkStatus();
    }
    return failure;
  }
  absl::StatusOr<std::vector<LedgerEntry>> GetLedger(absl::string_view service) override {
    ledger_service = std::string(service);
    return Answer(ledger);
  }
  absl::StatusOr<EngineStatus> GetEngineStatus() override { return Answer(engine); }
  absl::StatusOr<std::vector<ServiceCatalog>> GetCatalog(absl::string_view service) override {
    catalog_service = std::string(service);
    return Answer(catalogs);
  }
  absl::StatusOr<ConfigText> GetConfig() override { return Answer(config); }
  absl::StatusOr<ConfigVerdict> CheckConfig(absl::string_view yaml,
                                            absl::string_view file_name) override {
    checked = {std::string(yaml), std::string(file_name)};
    return Answer(verdict);
  }
  absl::StatusOr<ReloadResult> ReloadConfig() override { return Answer(reload); }
  absl::StatusOr<std::string> SetLogLevel(absl::string_view level) override {
    const std::string previous = std::exchange(log_level, std::string(level));
    return Answer(previous);
  }
  absl::StatusOr<ServerVersion> GetVersion() override { return Answer(version); }
  void Cancel() override {
    if (tail_cancelled != nullptr) tail_cancelled->Notify();
  }

  std::vector<std::string> TakeWarnings() override { return std::exchange(warnings, {}); }
  std::vector<std::string> warnings;

 private:
  template <typename Value>
  absl::StatusOr<Value> Answer(const Value& value) const {
    if (!failure.ok()) return failure;
    return value;
  }
};

}  // namespace fanwire::cli
