#include "control/config/service_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/edit_distance.h"
#include "common/proto_time.h"
#include "control/config/config_defaults.h"
#include "fanwire/v1/config.pb.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

constexpr size_t kShownNameBytes = 100;

ChannelPolicy PolicyOf(const v1::ChannelRule& rule) {
  return {.history = {.size = rule.history_size(), .ttl = ToDuration(rule.history_ttl())},
          .backlog = static_cast<BacklogPolicy>(rule.backlog_policy()),
          .gap = static_cast<GapPolicy>(rule.gap_policy()),
          .conflate_field = rule.conflate_field()};
}

void AddRules(const google::protobuf::RepeatedPtrField<v1::ChannelRule>& rules, ServiceSpec* spec) {
  for (const v1::ChannelRule& in : rules) {
    absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(in.pattern());
    FANWIRE_CHECK(pattern.ok(), std::string(pattern.status().message()));
    ServiceSpec::Rule rule{.pattern = *std::move(pattern), .policy = PolicyOf(in)};
    rule.has_size = in.has_history_size();
    rule.has_ttl = in.has_history_ttl();
    rule.has_backlog = in.backlog_policy() != v1::BACKLOG_POLICY_UNSPECIFIED;
    rule.has_gap = in.gap_policy() != v1::GAP_POLICY_UNSPECIFIED;
    spec->conflates |= !in.conflate_field().empty();
    spec->rules.push_back(std::move(rule));
  }
}

void AddPresence(const v1::ServiceConfig& in, ServiceSpec* spec) {
  for (const v1::PresenceRule& rule : in.presence()) {
    absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(rule.pattern());
    FANWIRE_CHECK(pattern.ok(), std::string(pattern.status().message()));
    PresenceRule& added = spec->presence.emplace_back(PresenceRule{
        .pattern = *std::move(pattern), .events = rule.presence_events(), .publish = {}});
    if (!rule.has_publish()) continue;
    added.publish = {.channel = rule.publish().channel(),
                     .joined_event = rule.publish().joined_event(),
                     .left_event = rule.publish().left_event(),
                     .id_field = rule.publish().id_field(),
                     .info_field = rule.publish().info_field()};
  }
  spec->presence_max_members = in.presence_max_members();
}

}  // namespace

bool EventMatches(absl::string_view pattern, absl::string_view name) {
  if (absl::EndsWith(pattern, "*")) {
    return absl::StartsWith(name, pattern.substr(0, pattern.size() - 1));
  }
  return pattern == name;
}

bool ServiceSpec::has_session_buddy() const {
  return std::any_of(listeners.begin(), listeners.end(),
                     [](const ListenerSpec& listener) { return listener.session_buddy; });
}

const ListenerSpec& ServiceSpec::main_listener() const {
  for (const ListenerSpec& listener : listeners) {
    if (!listener.session_buddy) return listener;
  }
  return listeners.front();
}

ChannelPolicy ServiceSpec::PolicyFor(absl::string_view channel) const {
  ChannelPolicy policy = fallback;
  bool size = false, ttl = false, backlog = false, gap = false, conflate = false;
  for (const Rule& rule : rules) {
    if (!rule.pattern.Matches(channel)) continue;
    if (rule.has_size && !std::exchange(size, true)) {
      policy.history.size = rule.policy.history.size;
    }
    if (rule.has_ttl && !std::exchange(ttl, true)) policy.history.ttl = rule.policy.history.ttl;
    if (rule.has_backlog && !std::exchange(backlog, true)) policy.backlog = rule.policy.backlog;
    if (rule.has_gap && !std::exchange(gap, true)) policy.gap = rule.policy.gap;
    if (!rule.policy.conflate_field.empty() && !std::exchange(conflate, true)) {
      policy.conflate_field = rule.policy.conflate_field;
    }
  }
  return policy;
}

const PresenceRule* ServiceSpec::PresenceFor(absl::string_view channel) const {
  for (const PresenceRule& rule : presence) {
    if (rule.pattern.Matches(channel)) return &rule;
  }
  return nullptr;
}

std::shared_ptr<const ServiceTable> ServiceTable::Make(const v1::Config& config,
                                                       const CatalogFiles& files) {
  std::shared_ptr<ServiceTable> table(new ServiceTable);
  const ChannelPolicy fallback = PolicyOf(FallbackRule());
  table->default_service_ = config.default_service();
  table->max_batch_ = config.limits().max_batch();
  for (const v1::ServiceConfig& in : config.services()) {
    auto spec = std::make_unique<ServiceSpec>();
    spec->name = in.name();
    spec->fallback = fallback;
    for (const v1::ListenerConfig& listener : in.listeners()) {
      spec->listeners.push_back({.host = listener.host(),
                                 .port = listener.port(),
                                 .session_buddy = listener.dialect() == v1::DIALECT_SESSION_BUDDY,
                                 .auth_required = listener.auth_required()});
    }
    spec->max_connections = in.max_connections();
    spec->message_rate_limit = in.message_rate_limit();
    spec->max_channel_bytes = config.limits().max_channel_bytes();
    spec->max_channels = in.max_channels();
    spec->max_unpublished_channels = in.max_unpublished_channels();
    spec->max_event_bytes = in.max_event_bytes();
    spec->update_interval = ToDuration(in.update_interval());
    AddRules(in.channels(), spec.get());
    AddRules(config.channels(), spec.get());
    for (const v1::MirrorRule& mirror : in.mirrors()) {
      spec->mirrors.push_back({.events = {mirror.events().begin(), mirror.events().end()},
                               .if_field = mirror.if_field(),
                               .to = mirror.to()});
    }
    AddPresence(in, spec.get());
    spec->catalog = MakeCatalog(in, files);
    table->by_name_[spec->name] = spec.get();
    table->services_.push_back(std::move(spec));
  }
  return table;
}

const ServiceSpec* ServiceTable::Find(absl::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

absl::Status ServiceTable::NoSuchService(absl::string_view name) const {
  std::vector<std::string> names;
  names.reserve(services_.size());
  for (const std::unique_ptr<ServiceSpec>& service : services_) names.push_back(service->name);
  const std::string nearest = NearestName(name, names, 2);
  // A name may be any text: what is repeated of it is cut, at a character.
  absl::string_view shown = name;
  if (name.size() > kShownNameBytes) {
    size_t end = kShownNameBytes;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) --end;
    shown = name.substr(0, end);
  }
  return absl::NotFoundError(absl::StrCat(
      "service \"", shown, shown.size() < name.size() ? "…" : "", "\" is not configured",
      nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?")));
}

}  // namespace fanwire::control
