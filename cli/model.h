// The structs that commands and clients exchange.  They hold the contents of the messages of
// proto/fanwire/v1 that operators and publishers see, so that neither commands nor their tests
// include generated headers.
//
// The fields have the names and meanings that the proto files document.  An unknown time is
// absl::InfinitePast(); an enum is its lower-case name without the prefix ("drop_oldest").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/event_catalog.h"

namespace fanwire::cli {

inline bool IsKnown(absl::Time time) { return time != absl::InfinitePast(); }

struct Position {
  std::string epoch = {};  // empty: no position
  int64_t offset = 0;      // 1, 2, 3 … within the epoch; 0 before the first publication

  bool exists() const { return !epoch.empty(); }
};

// Counts by reason: {"conflated", 3}.
using DropCounts = std::map<std::string, int64_t>;

// -------------------------------------------------------------------------------------- catalog

struct ServiceCatalog {
  std::string service = {};
  std::string check = {};  // "off", "warn", "enforce"; empty: unknown
  std::vector<CatalogEvent> events = {};
};

// ---------------------------------------------------------------------------------- publishing

struct Event {
  std::string service = {};
  std::string channel = {};
  std::string event = {};
  std::string json = {};  // one JSON object; empty: {}
  std::string id = {};
  std::string idempotency_key = {};
  std::optional<absl::Duration> ttl = {};
  bool skip_history = false;
};

enum class ReceiptLevel { kAccepted, kRouted, kWritten };

struct ReceiptRequest {
  ReceiptLevel level = ReceiptLevel::kAccepted;
  std::optional<absl::Duration> wait = {};  // for kWritten; absent: control's default
};

struct Delivery {
  int64_t matched = 0;
  int64_t written = 0;
  DropCounts dropped = {};
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int workers_total = 0;
  int workers_reported = 0;
};

struct StageTimes {  // microseconds since control received the event; 0: stage not reached
  int64_t accepted_us = 0;
  int64_t routed_us = 0;
  int64_t first_written_us = 0;
  int64_t last_written_us = 0;
};

struct Receipt {
  absl::Status status = {};  // not OK: the event was refused, and no other field is set
  std::string id = {};
  Position position = {};
  ReceiptLevel level = ReceiptLevel::kAccepted;
  std::optional<Delivery> delivery = {};
  bool duplicate = false;
  bool timed_out = false;
  std::optional<StageTimes> stage_times = {};
};

struct Publication {
  std::string service = {};
  std::string channel = {};
  std::string event = {};
  Position position = {};
  std::string envelope = {};  // the JSON that clients receive
  absl::Time received = absl::InfinitePast();
};

// ------------------------------------------------------------------------------------- the tools

enum class Tool { kHealthCheck, kGetStatus, kListRooms, kGetMetrics };

struct ToolRequest {
  std::string service = {};      // empty: all services, or the default one if default_service
  bool default_service = false;  // an empty service means the configured default_service
};

struct TestEvent {
  std::string service = {};  // empty: the configured default_service
  std::string event_type = {};
  std::string room = {};
  std::string data = {};  // one JSON object; empty: {}
};

// -------------------------------------------------- services, channels, connections and workers

struct ListenerInfo {
  std::string host = {};
  uint32_t port = 0;
  std::string dialect = {};
  bool tls = false;
  bool auth_required = false;
  std::string error = {};  // why no worker has it open; empty: one has, or nobody knows
};

// A process of a service that answers clients' requests.
struct ResponderInfo {
  std::string id = {};
  std::vector<std::string> requests = {};  // exact, or with a last '*'
  int64_t outstanding = 0;
  int64_t max_concurrent = 0;
  bool leaving = false;
};

struct ServiceInfo {
  std::string name = {};
  std::vector<ListenerInfo> listeners = {};
  uint32_t max_connections = 0;
  double message_rate_limit = 0;
  int64_t sessions = 0;
  int64_t subscriptions = 0;
  int64_t channels = 0;
  int64_t publications = 0;
  std::vector<ResponderInfo> responders = {};
};

enum class ChannelSort { kName, kSubscribers, kPublications, kRecent };

struct ChannelQuery {
  std::string service = {};
  std::string pattern = {};
  ChannelSort sort = ChannelSort::kName;
  int64_t limit = 0;            // 0: all
  std::string page_token = {};  // ChannelList::next_page_token of a list with the same query
};

struct ChannelInfo {
  std::string service = {};
  std::string channel = {};
  Position head = {};
  int64_t history_publications = 0;
  int64_t history_bytes = 0;
  int64_t oldest_offset = 0;
  int64_t publications = 0;
  absl::Time last_published = absl::InfinitePast();
  int workers = 0;
  int64_t subscribers = 0;
  uint32_t history_size = 0;
  absl::Duration history_ttl = {};
  std::string backlog_policy = {};
};

struct ChannelList {
  std::vector<ChannelInfo> channels = {};
  int64_t total = 0;
  std::string next_page_token = {};  // empty: no more
};

struct HistoryQuery {
  std::string service = {};
  std::string channel = {};
  uint32_t limit = 100;
  Position since = {};   // only publications after this position
  Position before = {};  // only publications before this position
  bool reverse = false;  // the newest ones, newest first
  // Enough once the envelopes have so many bytes, although there may be more; 0: no limit.
  int64_t max_bytes = 0;
};

struct History {
  Position head = {};
  std::vector<Publication> publications = {};
  bool more = false;
  std::string incomplete_reason = {};  // why not all after `since` is kept; empty: it is
};

// A connection that is a member of a channel.
struct PresenceMember {
  std::string connection = {};
  std::string user = {};  // empty: anonymous
  std::string info = {};  // a JSON object
  std::string worker = {};
  bool away = false;  // its worker is gone; it has some time to return
};

struct PresenceQuery {
  std::string service = {};
  std::string channel = {};
  uint32_t limit = 1000;  // 0: all
};

struct PresenceList {
  std::vector<PresenceMember> members = {};
  int64_t total = 0;  // connections, also those beyond the limit
  int64_t users = 0;  // an anonymous connection counts as one
};

struct ConnectionFilter {
  std::string service = {};
  std::string id = {};
  std::string user = {};
  std::string address = {};
  std::string channel = {};
  bool slow = false;

  bool empty() const {
    return service.empty() && id.empty() && user.empty() && address.empty() && channel.empty() &&
           !slow;
  }
};

enum class ConnectionSort { kAge, kBacklog, kDrops };

struct ConnectionQuery {
  ConnectionFilter filter = {};
  ConnectionSort sort = ConnectionSort::kAge;
  uint32_t limit = 1000;
};

struct ConnectionInfo {
  std::string id = {};
  std::string service = {};
  std::string worker = {};
  std::string user = {};
  std::string address = {};
  std::vector<std::string> channels = {};
  int64_t channel_count = 0;  // of all channels; `channels` may hold only the first ones
  uint64_t backlog_bytes = 0;
  uint64_t backlog_frames = 0;
  int64_t delivered = 0;
  int64_t dropped = 0;
  int64_t received = 0;
  absl::Time connected_at = absl::InfinitePast();
  std::string user_agent = {};
  std::string dialect = {};
};

struct ConnectionList {
  std::vector<ConnectionInfo> connections = {};
  int64_t total = 0;
  int workers_total = 0;
  int workers_answered = 0;
};

struct DisconnectRequest {
  ConnectionFilter filter = {};
  uint32_t code = 0;        // 0: 4500
  std::string reason = {};  // empty: "disconnected by operator"
};

struct DisconnectResult {
  int64_t disconnected = 0;
  int workers_total = 0;
  int workers_answered = 0;
};

struct BoundListener {
  std::string service = {};
  uint32_t configured_port = 0;
  uint32_t port = 0;  // 0: not open
  std::string host = {};
  std::string error = {};  // why it is not open
};

struct WorkerInfo {
  std::string id = {};
  uint32_t slot = 0;
  uint32_t pid = 0;
  std::string address = {};
  std::string state = {};
  int64_t sessions = 0;
  int64_t subscriptions = 0;
  uint64_t incarnation = 0;
  std::string version = {};
  absl::Time attached_at = absl::InfinitePast();
  absl::Time last_heartbeat = absl::InfinitePast();
  uint64_t rss_bytes = 0;
  double cpu_percent = 0;
  int64_t queue_publications = 0;
  int64_t queue_bytes = 0;
  int64_t in_flight_bytes = 0;
  uint64_t config_version = 0;
  std::string config_error = {};
  int64_t restarts = 0;
  int64_t repairs = 0;
  int64_t dropped = 0;
  std::string ops_address = {};
  bool supervised = false;
  std::vector<BoundListener> listeners = {};
  int64_t loop_lag_us = 0;
  uint64_t file_limit = 0;
  uint64_t max_connections = 0;
};

struct WorkerList {
  std::vector<WorkerInfo> workers = {};
  uint64_t config_version = 0;
};

struct DrainRequest {
  std::string worker = {};
  std::optional<absl::Duration> window = {};
  std::optional<absl::Duration> deadline = {};
  bool unless_last = false;  // refuse if clients can connect to no other worker
};

struct RestartRequest {
  std::vector<std::string> workers = {};  // empty: all
  bool only_stopped = false;
};

struct RestartProgress {
  std::string worker = {};
  std::string state = {};
};

struct TailRequest {
  std::string service = {};
  std::string pattern = {};
  std::vector<std::string> events = {};
  uint32_t max_per_second = 0;  // 0: control's default
  // The stream ends after this time, besides the time that the command line gives streams.
  absl::Duration max_time = absl::InfiniteDuration();
};

struct TailUpdate {
  std::vector<Publication> publications = {};
  int64_t left_out = 0;  // publications left out since the last update
};

struct LedgerEntry {
  std::string service = {};
  int64_t published = 0;
  int64_t matched = 0;
  int64_t written = 0;
  DropCounts dropped = {};
  int64_t lost_connection = 0;
  int64_t expired = 0;
  int64_t queued = 0;
  int64_t recovered = 0;
  int64_t difference = 0;
};

struct EngineStatus {
  std::string kind = {};
  bool healthy = false;
  std::string reason = {};  // why it is not healthy
  std::string path = {};    // of its files; empty: it has none
  int64_t history_bytes = 0;
  int64_t max_history_bytes = 0;  // 0: no bound
  int64_t disk_bytes = 0;
  int64_t waiting_publications = 0;
  absl::Duration lag = absl::ZeroDuration();
};

struct ConfigText {
  std::string yaml = {};
  std::string file = {};
  uint64_t version = 0;
};

struct ConfigVerdict {
  bool ok = false;
  std::vector<std::string> errors = {};
  std::vector<std::string> warnings = {};
  std::string resolved_yaml = {};
};

struct WorkerConfigState {
  std::string id = {};
  uint64_t version = 0;
  std::string error = {};
  bool pending = false;
};

struct ReloadResult {
  uint64_t version = 0;
  std::vector<std::string> applied = {};
  std::vector<std::string> needs_restart = {};
  std::vector<WorkerConfigState> workers = {};
};

struct ServerVersion {
  std::string version = {};
  std::string build = {};
  absl::Time started_at = absl::InfinitePast();
  uint32_t pid = 0;
  std::string engine = {};
};

}  // namespace fanwire::cli
