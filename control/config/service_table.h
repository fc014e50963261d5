// ServiceTable is what the configuration says of services, made ready for the publish path: limits,
// channel policies, mirrors, catalog.
//
// Threading: immutable; shared as shared_ptr<const ServiceTable>, replaced whole by a reload.
// Cost:      Find() is one hash lookup; PolicyFor() tries the rules in order.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/config/catalog.h"
#include "control/config/history_policy.h"
#include "control/config/service_catalog.h"
#include "proto/channel_name.h"
#include "proto/policies.h"

namespace fanwire::v1 {
class Config;
}

namespace fanwire::control {

// What holds for one channel.
struct ChannelPolicy {
  HistoryPolicy history;
  BacklogPolicy backlog = BacklogPolicy::kClose;
  GapPolicy gap = GapPolicy::kNotify;
  std::string conflate_field;
};

struct MirrorRule {
  std::vector<std::string> events;  // exact, or with a last '*'
  std::string if_field;
  std::string to;  // "worker:{worker_id}"
};

// Channels whose members are tracked.
struct PresenceRule {
  // Events that are published when members come and go.
  struct Publish {
    std::string channel;  // a last '*' stands for the id
    std::string joined_event;
    std::string left_event;
    std::string id_field;
    std::string info_field;  // empty: none
  };

  ChannelPattern pattern;
  bool events = false;  // presence.joined and presence.left
  std::optional<Publish> publish;
};

struct ListenerSpec {
  std::string host;
  uint32_t port = 0;
  bool session_buddy = false;
  bool auth_required = false;
};

struct ServiceSpec {
  std::string name;
  std::vector<ListenerSpec> listeners;
  uint32_t max_connections = 0;
  double message_rate_limit = 0;  // 0: unlimited
  size_t max_channel_bytes = 0;
  size_t max_channels = 0;
  size_t max_unpublished_channels = 0;
  size_t max_event_bytes = 0;
  std::vector<MirrorRule> mirrors;
  std::vector<PresenceRule> presence;
  size_t presence_max_members = 0;
  Catalog catalog;
  absl::Duration update_interval;

  // Whether any listener speaks session-buddy's dialect.
  bool has_session_buddy() const;
  // The common protocol's port, else the first.
  const ListenerSpec& main_listener() const;

  ChannelPolicy PolicyFor(absl::string_view channel) const;
  // Null: the channel's members are not tracked.
  const PresenceRule* PresenceFor(absl::string_view channel) const;
  // Whether a channel rule of this service names a conflate field at all.
  bool conflates = false;

  struct Rule {
    ChannelPattern pattern;
    bool has_size = false, has_ttl = false, has_backlog = false, has_gap = false;
    ChannelPolicy policy;
  };
  std::vector<Rule> rules;  // the service's own, then the global ones
  ChannelPolicy fallback;   // where no rule sets a key
};

class ServiceTable {
 public:
  // `config` is resolved and checked (config_loader.h), `files` are those that it names.
  static std::shared_ptr<const ServiceTable> Make(const v1::Config& config,
                                                  const CatalogFiles& files = {});

  // Null if there is no such service.
  const ServiceSpec* Find(absl::string_view name) const;
  // What a caller that asked for `name` is told if Find() returned null: NOT_FOUND with the name
  // and, if a service of this table has a similar name, a suggestion.
  absl::Status NoSuchService(absl::string_view name) const;
  const std::vector<std::unique_ptr<ServiceSpec>>& services() const { return services_; }
  const std::string& default_service() const { return default_service_; }
  size_t max_batch() const { return max_batch_; }

 private:
  ServiceTable() = default;

  std::vector<std::unique_ptr<ServiceSpec>> services_;
  absl::flat_hash_map<std::string, const ServiceSpec*> by_name_;
  std::string default_service_;
  size_t max_batch_ = 0;
};

// Whether `name` is `pattern`, or begins with it up to its last '*'.
bool EventMatches(absl::string_view pattern, absl::string_view name);

}  // namespace fanwire::control
