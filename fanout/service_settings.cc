#include "fanout/service_settings.h"

#include <algorithm>
#include <utility>

#include "common/proto_time.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

CorrelationMode ModeOf(v1::CorrelationMode mode) {
  switch (mode) {
    case v1::CORRELATION_MODE_ID:
      return CorrelationMode::kId;
    case v1::CORRELATION_MODE_ECHO:
      return CorrelationMode::kEcho;
    default:
      return CorrelationMode::kAuto;
  }
}

}  // namespace

HttpHeadLimits HeadLimitsOf(const v1::LimitsConfig& limits) {
  HttpHeadLimits head;
  if (limits.max_head_bytes() > 0) head.max_bytes = limits.max_head_bytes();
  if (limits.max_head_lines() > 0) head.max_lines = limits.max_head_lines();
  return head;
}

ServiceSettings::ServiceSettings(const v1::WorkerService& service)
    : name(service.name()),
      server_name(service.server_name()),
      welcome_message(service.welcome_message()),
      verifier(service),
      correlation(ModeOf(service.correlation())),
      subscribe_by_component_id(service.subscribe_by_component_id()),
      token_in_header(service.token_in_header()),
      token_in_query(service.token_in_query()),
      requests(service),
      publishing(service),
      channel_kinds(service.channel_kinds().begin(), service.channel_kinds().end()),
      recoverable(service.recoverable()) {
  for (const std::string& text : service.presence()) {
    absl::StatusOr<ChannelPattern> pattern = ChannelPattern::Parse(text);
    if (pattern.ok()) presence.push_back(*std::move(pattern));  // control has checked it
  }
  const v1::LimitsConfig& limits = service.limits();
  max_channel_bytes = limits.max_channel_bytes();
  max_channels_per_session = limits.max_channels_per_session();
  max_message_bytes = limits.max_message_bytes();
  head = HeadLimitsOf(limits);
  session_backlog_bytes = limits.session_backlog_bytes();
  message_rate_limit = limits.message_rate_limit();
  message_rate_burst = limits.message_rate_burst();
  ping_rate_limit = limits.ping_rate_limit();
  history_rate_bytes = static_cast<double>(limits.history_rate_bytes());
  client_publish_rate = limits.client_publish_rate();
  client_publish_burst = limits.client_publish_burst();
  max_client_event_bytes = limits.max_client_event_bytes();
  presence_info_bytes = limits.presence_info_bytes();
  max_connections = limits.max_connections();
  handshake_timeout = ToDuration(limits.handshake_timeout());
  auth_timeout = ToDuration(limits.auth_timeout());
  ping_interval = ToDuration(limits.ping_interval());
  pong_timeout = ToDuration(limits.pong_timeout());
  close_timeout = ToDuration(limits.close_timeout());
  recovery_timeout = ToDuration(limits.recovery_timeout());
  control_wait = ToDuration(limits.control_wait());
}

bool ServiceSettings::TracksPresence(absl::string_view channel) const {
  return std::any_of(presence.begin(), presence.end(),
                     [&](const ChannelPattern& pattern) { return pattern.Matches(channel); });
}

WelcomeFacts ServiceSettings::Welcome() const {
  WelcomeFacts facts;
  facts.server = server_name;
  facts.message = welcome_message;
  facts.rate_limit = message_rate_limit;
  facts.burst = message_rate_burst;
  facts.max_message_bytes = max_message_bytes;
  facts.max_channels = max_channels_per_session;
  facts.recoverable = recoverable;
  facts.publishing = publishing.any();
  facts.presence = !presence.empty();
  return facts;
}

}  // namespace fanwire::fanout
