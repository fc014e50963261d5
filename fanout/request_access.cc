#include "fanout/request_access.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/json_text.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

absl::Status CheckChannelAccess(const TokenVerifier& verifier, const Identity& identity,
                                absl::string_view channel) {
  if (verifier.MaySubscribe(identity, channel)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("Not authorized to subscribe to ", channel));
}

}  // namespace

RequestAccess::RequestAccess(const v1::WorkerService& service) {
  for (const v1::ServiceRequest& request : service.requests()) {
    rules_[request.name()] = {.argument = request.argument(),
                              .kind = request.kind(),
                              .feeds = {request.feeds().begin(), request.feeds().end()},
                              .any_of = {request.any_of().begin(), request.any_of().end()}};
  }
}

absl::Status RequestAccess::Check(const TokenVerifier& verifier, const Identity& identity,
                                  absl::string_view request, absl::string_view data) const {
  if (request == "history") {
    const absl::string_view channel = FindJsonMember(data, "channel");
    if (channel.empty() || channel[0] != '"') return absl::OkStatus();
    return CheckChannelAccess(verifier, identity, JsonTextOf(channel));
  }
  const auto it = rules_.find(request);
  if (it == rules_.end()) return absl::OkStatus();
  const Rule& rule = it->second;
  if (!rule.kind.empty()) {
    const std::string id = JsonName(FindJsonMember(data, rule.argument)).value_or("");
    const absl::string_view entity = WithoutKind(rule.kind, id);
    if (entity.empty()) return absl::OkStatus();
    return CheckChannelAccess(verifier, identity, absl::StrCat(rule.kind, ":", entity));
  }
  for (const std::string& channel : rule.feeds) {
    const absl::Status status = CheckChannelAccess(verifier, identity, channel);
    if (!status.ok()) return status;
  }
  if (!rule.feeds.empty() || verifier.HasOneOf(identity, rule.any_of)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("Not authorized to request ", request));
}

}  // namespace fanwire::fanout
