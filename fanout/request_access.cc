#include "fanout/request_access.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/json_text.h"
#include "common/proto_time.h"
#include "fanout/reply.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

// Whether control answers the request for every service, about the channel that its data names.
bool IsAboutChannel(absl::string_view request) {
  return request == "history" || request == "presence";
}

absl::Status CheckChannelAccess(const TokenVerifier& verifier, const Identity& identity,
                                absl::string_view channel) {
  if (verifier.MaySubscribe(identity, channel)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("Not authorized to subscribe to ", channel));
}

}  // namespace

RequestAccess::RequestAccess(const v1::WorkerService& service) {
  for (const v1::ServiceRequest& request : service.requests()) {
    if (!request.kind().empty() && !request.argument().empty()) {
      states_.try_emplace(request.kind(), EntityRequest{request.name(), request.argument()});
    }
    Rule rule{.argument = request.argument(),
              .kind = request.kind(),
              .feeds = {request.feeds().begin(), request.feeds().end()},
              .any_of = {request.any_of().begin(), request.any_of().end()},
              .served = request.served()};
    if (request.has_timeout()) rule.timeout = ToDuration(request.timeout());
    if (rule.served && absl::EndsWith(request.name(), "*")) {
      patterns_.emplace_back(request.name(), std::move(rule));
      continue;
    }
    // A request may be both: who may ask is said where it is served.
    Rule& known = rules_[request.name()];
    if (!known.served) known = std::move(rule);
  }
}

const RequestAccess::Rule* RequestAccess::FindPattern(absl::string_view request) const {
  for (const auto& [pattern, rule] : patterns_) {
    if (RequestMatches(pattern, request)) return &rule;
  }
  return nullptr;
}

RequestAccess::Handling RequestAccess::HandlingOf(absl::string_view request,
                                                  const RequestNames& registered) const {
  if (IsAboutChannel(request)) return {.answered = true};
  const auto it = rules_.find(request);
  if (it != rules_.end() && it->second.served) {
    return {.answered = true, .served = true, .timeout = it->second.timeout};
  }
  if (const Rule* const rule = FindPattern(request); rule != nullptr) {
    return {.answered = true, .served = true, .timeout = rule->timeout};
  }
  const bool served = registered.Matches(request);
  return {.answered = served || it != rules_.end(), .served = served};
}

absl::Status RequestAccess::Check(const TokenVerifier& verifier, const Identity& identity,
                                  absl::string_view request, absl::string_view data) const {
  if (IsAboutChannel(request)) {
    const absl::string_view channel = FindJsonMember(data, "channel");
    if (channel.empty() || channel[0] != '"') return absl::OkStatus();
    return CheckChannelAccess(verifier, identity, JsonTextOf(channel));
  }
  static const Rule kForAdministrators;
  const auto it = rules_.find(request);
  const Rule* const pattern = it == rules_.end() ? FindPattern(request) : nullptr;
  const Rule& rule = it != rules_.end()   ? it->second
                     : pattern != nullptr ? *pattern
                                          : kForAdministrators;
  if (!rule.kind.empty()) {
    const std::string id = JsonName(FindJsonMember(data, rule.argument)).value_or("");
    const absl::string_view entity = WithoutKind(rule.kind, id);
    if (entity.empty()) return absl::OkStatus();
    return CheckChannelAccess(verifier, identity, absl::StrCat(rule.kind, ":", entity));
  }
  for (const std::string& channel : rule.feeds) {
    absl::Status status = CheckChannelAccess(verifier, identity, channel);
    if (!status.ok()) return status;
  }
  if (!rule.feeds.empty() || verifier.HasOneOf(identity, rule.any_of)) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("Not authorized to request ", request));
}

std::optional<RequestAccess::StateRequest> RequestAccess::StateRequestOf(
    absl::string_view channel) const {
  const size_t colon = channel.find(':');
  if (colon == absl::string_view::npos) return std::nullopt;
  const auto it = states_.find(channel.substr(0, colon));
  if (it == states_.end()) return std::nullopt;
  StateRequest request{.name = it->second.name, .data = "{"};
  AppendJsonText(it->second.argument, &request.data);
  request.data.push_back(':');
  AppendJsonText(channel.substr(colon + 1), &request.data);
  request.data.push_back('}');
  return request;
}

}  // namespace fanwire::fanout
