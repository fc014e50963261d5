#include "cli/mcp/mcp_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/mcp/rpc_message.h"

namespace fanwire::cli {

McpCall::McpCall(Settings settings, std::string progress_token,
                 std::function<void(const std::string& params)> tell_progress)
    : settings_(settings),
      progress_token_(std::move(progress_token)),
      tell_progress_(std::move(tell_progress)) {}

void McpCall::LendClients(Clients clients) {
  MutexLock lock(&mu_);
  clients_ = std::move(clients);
  if (ended_) clients_.admin->Cancel();
}

Clients McpCall::TakeClients() {
  MutexLock lock(&mu_);
  return std::move(clients_);
}

void McpCall::Progress(double done, std::optional<double> total, absl::string_view message) {
  if (!wants_progress() || cancelled()) return;
  std::string params = absl::StrCat("{\"progressToken\":", progress_token_, ",\"progress\":", done);
  if (total.has_value()) absl::StrAppend(&params, ",\"total\":", *total);
  absl::StrAppend(&params, ",\"message\":", RpcText(message), "}");
  tell_progress_(params);
}

void McpCall::SetCollects() {
  MutexLock lock(&mu_);
  collects_ = true;
  if (end_early_) End();
}

void McpCall::Cancel() {
  MutexLock lock(&mu_);
  cancelled_ = true;
  End();
}

void McpCall::Stop() {
  MutexLock lock(&mu_);
  End();
}

void McpCall::EndEarly() {
  MutexLock lock(&mu_);
  end_early_ = true;
  if (collects_) End();
}

void McpCall::End() {
  ended_ = true;
  if (clients_.admin != nullptr) clients_.admin->Cancel();
}

bool McpCall::cancelled() const {
  MutexLock lock(&mu_);
  return cancelled_;
}

bool McpCall::ended() const {
  MutexLock lock(&mu_);
  return ended_;
}

}  // namespace fanwire::cli
