// ServiceSettings is what a worker's sessions need to know of one service's configuration.
//
// Threading: immutable; replaced whole by a new configuration.
// Source:    proto/fanwire/v1/worker.proto WorkerService, as control resolved it
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/http_head.h"
#include "fanout/publish_rules.h"
#include "fanout/reply.h"
#include "fanout/request_access.h"
#include "fanout/token_verifier.h"
#include "proto/channel_name.h"

namespace fanwire::v1 {
class LimitsConfig;
class WorkerService;
}  // namespace fanwire::v1

namespace fanwire::fanout {

// The limits of request heads.  A control of an earlier version tells none: the defaults hold then.
HttpHeadLimits HeadLimitsOf(const v1::LimitsConfig& limits);

struct ServiceSettings {
  explicit ServiceSettings(const v1::WorkerService& service);

  // What a welcome says of the service; the session's own facts are missing.
  WelcomeFacts Welcome() const;

  // Whether the members of the channel are tracked.
  bool TracksPresence(absl::string_view channel) const;

  std::string name;
  std::string server_name;  // the welcome's data.server
  std::string welcome_message;
  TokenVerifier verifier;
  CorrelationMode correlation = CorrelationMode::kAuto;
  bool subscribe_by_component_id = false;
  bool token_in_header = true;
  bool token_in_query = true;
  RequestAccess requests;                          // that control answers
  PublishRules publishing;                         // what clients may publish
  absl::flat_hash_set<std::string> channel_kinds;  // that metrics name
  bool recoverable = false;                        // some channel keeps history
  std::vector<ChannelPattern> presence;            // channels whose members are tracked

  uint32_t max_channel_bytes = 256;
  uint32_t max_channels_per_session = 1000;
  uint64_t max_message_bytes = 1 << 20;
  HttpHeadLimits head;
  uint64_t session_backlog_bytes = 1 << 20;
  uint64_t presence_info_bytes = 1024;
  double message_rate_limit = 100;  // 0: unlimited
  double message_rate_burst = 150;
  double ping_rate_limit = 0;      // 0: unlimited
  double history_rate_bytes = 0;   // 0: unlimited
  double client_publish_rate = 0;  // 0: unlimited
  double client_publish_burst = 0;
  uint64_t max_client_event_bytes = 256 << 10;
  uint32_t max_connections = 1000;
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration auth_timeout = absl::Seconds(10);
  absl::Duration ping_interval = absl::Seconds(20);
  absl::Duration pong_timeout = absl::Seconds(20);
  absl::Duration close_timeout = absl::Seconds(10);
  absl::Duration recovery_timeout = absl::Seconds(30);
  absl::Duration control_wait = absl::Seconds(30);
};

}  // namespace fanwire::fanout
