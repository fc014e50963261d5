#include "control/config/worker_config.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "control/config/config_defaults.h"
#include "control/config/service_table.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

// Kinds of channel that the configuration names: of catalogs, rules, permissions and mirrors.
std::set<std::string> ChannelKinds(const v1::Config& config, const v1::ServiceConfig& service,
                                   const CatalogFiles& files) {
  std::set<std::string> kinds;
  const auto add = [&kinds](absl::string_view name) {
    const absl::string_view kind = ChannelKind(name);
    if (!kind.empty() && !absl::StrContains(kind, '*') && !absl::StrContains(kind, '{')) {
      kinds.emplace(kind);
    }
  };
  const Catalog catalog = MakeCatalog(service, files);
  for (const CatalogEvent& event : catalog.events()) {
    for (const std::string& channel : event.channels) add(channel);
  }
  for (const v1::ChannelRule& rule : service.channels()) add(rule.pattern());
  for (const v1::ChannelRule& rule : config.channels()) add(rule.pattern());
  for (const v1::PermissionRule& rule : service.permissions()) add(rule.prefix());
  for (const v1::MirrorRule& mirror : service.mirrors()) add(mirror.to());
  return kinds;
}

// Whether the rules leave the service a channel with history.
bool KeepsHistory(const v1::Config& config, const v1::ServiceConfig& service) {
  std::vector<ChannelPattern> without;
  const auto covered = [&without](const ChannelPattern& pattern) {
    return std::any_of(without.begin(), without.end(),
                       [&](const ChannelPattern& one) { return one.Covers(pattern); });
  };
  for (const auto* rules : {&service.channels(), &config.channels()}) {
    for (const v1::ChannelRule& rule : *rules) {
      if (!rule.has_history_size()) continue;
      absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(rule.pattern());
      if (!pattern.ok() || covered(*pattern)) continue;
      if (rule.history_size() > 0) return true;
      without.push_back(*std::move(pattern));
    }
  }
  return FallbackRule().history_size() > 0 && !covered(*ChannelPattern::Parse("**"));
}

void FillPublishing(const v1::ServiceConfig& service, const CatalogFiles& files,
                    v1::WorkerService* out) {
  if (service.client_publish().empty()) return;
  for (const v1::ClientPublishRule& in : service.client_publish()) {
    v1::PublishRule* const rule = out->add_publish_rules();
    rule->set_pattern(in.pattern());
    *rule->mutable_events() = in.events();
    *rule->mutable_any_of() = in.any_of();
    rule->set_anonymous(in.anonymous());
    rule->set_skip_history(in.skip_history());
    *rule->mutable_conflate_interval() = in.conflate_interval();
    *rule->mutable_copies() = in.copies();
  }
  // An event that has several forms has all of their channels.
  std::map<std::string, std::vector<std::string>> channels;
  const Catalog catalog = MakeCatalog(service, files);
  for (const CatalogEvent& event : catalog.events()) {
    const bool named = std::any_of(
        service.client_publish().begin(), service.client_publish().end(), [&](const auto& rule) {
          return std::any_of(
              rule.events().begin(), rule.events().end(),
              [&](const std::string& pattern) { return EventMatches(pattern, event.name); });
        });
    if (!named) continue;
    std::vector<std::string>& known = channels[event.name];
    known.insert(known.end(), event.channels.begin(), event.channels.end());
  }
  for (const auto& [name, templates] : channels) {
    v1::PublishEvent* const event = out->add_publish_events();
    event->set_name(name);
    for (const std::string& one : templates) event->add_channels(one);
  }
}

}  // namespace

int WorkerCount(const v1::Config& config) {
  int count = 0;
  if (absl::SimpleAtoi(config.workers(), &count)) return count;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void BuildWorkerConfig(const v1::Config& config, v1::WorkerConfig* out, const CatalogFiles& files) {
  *out->mutable_worker() = config.worker();
  *out->mutable_log() = config.log();
  *out->mutable_heartbeat_interval() = config.control().heartbeat_interval();
  for (const v1::ServiceConfig& in : config.services()) {
    v1::WorkerService* service = out->add_services();
    service->set_name(in.name());
    *service->mutable_listeners() = in.listeners();
    service->set_server_name(in.server_name());
    service->set_welcome_message(in.welcome_message());
    v1::LimitsConfig* limits = service->mutable_limits();
    *limits = config.limits();
    limits->set_max_connections(in.max_connections());
    limits->set_message_rate_limit(in.message_rate_limit());
    limits->set_message_rate_burst(in.message_rate_burst());
    limits->set_session_backlog_bytes(in.session_backlog_bytes());
    limits->set_max_channels_per_session(in.max_channels_per_session());
    limits->set_max_event_bytes(in.max_event_bytes());
    limits->set_max_channels(in.max_channels());
    limits->set_presence_max_members(in.presence_max_members());
    limits->set_presence_info_bytes(in.presence_info_bytes());
    *service->mutable_keys() = in.keys();
    service->mutable_keys()->MergeFrom(config.auth().keys());
    *service->mutable_permissions() = in.permissions();
    *service->mutable_admin_permissions() = in.admin_permissions();
    service->set_correlation(in.correlation());
    service->set_subscribe_by_component_id(in.subscribe_by_component_id());
    for (const v1::StatusRequest& request : in.status_requests()) {
      v1::ServiceRequest* const told = service->add_requests();
      told->set_name(request.request());
      told->set_argument(request.argument());
      told->set_kind(request.kind());
      *told->mutable_feeds() = request.feeds();
      *told->mutable_any_of() = request.any_of();
    }
    for (const v1::ServedRequest& request : in.served_requests()) {
      v1::ServiceRequest* const told = service->add_requests();
      told->set_name(request.request());
      *told->mutable_any_of() = request.any_of();
      told->set_served(true);
      *told->mutable_timeout() = request.timeout();
    }
    service->set_read_permission_reads_all(in.read_permission_reads_all());
    service->set_token_in_header(in.token_in_header());
    service->set_token_in_query(in.token_in_query());
    *service->mutable_update_interval() = in.update_interval();
    *service->mutable_leeway() = config.auth().leeway();
    for (const std::string& kind : ChannelKinds(config, in, files))
      service->add_channel_kinds(kind);
    service->set_recoverable(KeepsHistory(config, in));
    FillPublishing(in, files, service);
    for (const v1::PresenceRule& rule : in.presence()) service->add_presence(rule.pattern());
  }
}

}  // namespace fanwire::control
