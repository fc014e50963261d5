#include "control/config/config_rules.h"

#include <google/protobuf/util/message_differencer.h>
#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/address.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

using google::protobuf::Duration;

// Fills what was not given.  Numbers: 0 is "not given", but for those that are `optional`.
bool IsUnset(const std::string& text) { return text.empty(); }
template <typename Number>
bool IsUnset(Number number) {
  return number == Number{};
}

#define FANWIRE_DEFAULT(message, field, value) \
  if (IsUnset((message)->field())) (message)->set_##field(value)
#define FANWIRE_DEFAULT_DURATION(message, field, value) \
  if (!(message)->has_##field()) SetDuration(value, (message)->mutable_##field())

void FillControl(v1::ControlConfig* control) {
  FANWIRE_DEFAULT(control, grpc_listen, "127.0.0.1:8701");
  FANWIRE_DEFAULT(control, socket, DefaultRuntimeDir() + "/control.sock");
  FANWIRE_DEFAULT(control, ops_listen, "127.0.0.1:8702");
  FANWIRE_DEFAULT_DURATION(control, adopt_window, absl::Seconds(3));
  FANWIRE_DEFAULT_DURATION(control, idempotency_window, absl::Minutes(10));
  FANWIRE_DEFAULT(control, idempotency_max_keys, 100'000);
  FANWIRE_DEFAULT(control, worker_queue_bytes, 64 << 20);
  FANWIRE_DEFAULT(control, worker_queue_publications, 65'536);
  FANWIRE_DEFAULT(control, worker_window_bytes, 8 << 20);
  FANWIRE_DEFAULT(control, worker_window_publications, 16'384);
  FANWIRE_DEFAULT_DURATION(control, heartbeat_interval, absl::Seconds(1));
  FANWIRE_DEFAULT_DURATION(control, frozen_kill_after, absl::Seconds(10));
  FANWIRE_DEFAULT_DURATION(control, max_receipt_wait, absl::Seconds(30));
  FANWIRE_DEFAULT_DURATION(control, shutdown_timeout, absl::Seconds(30));
}

void FillWorker(v1::WorkerProcessConfig* worker) {
  FANWIRE_DEFAULT(worker, ops_listen, "127.0.0.1:8710");
  FANWIRE_DEFAULT_DURATION(worker, orphan_timeout, absl::Minutes(10));
  FANWIRE_DEFAULT_DURATION(worker, drain_window, absl::Seconds(5));
  FANWIRE_DEFAULT_DURATION(worker, drain_deadline, absl::Seconds(15));
  FANWIRE_DEFAULT_DURATION(worker, reconnect_after_min, absl::Milliseconds(100));
  FANWIRE_DEFAULT_DURATION(worker, reconnect_after_max, absl::Seconds(5));
  FANWIRE_DEFAULT(worker, send_buffer_bytes, 64 << 10);
  FANWIRE_DEFAULT(worker, notsent_lowat_bytes, 16 << 10);
  FANWIRE_DEFAULT(worker, accept_rate, 5000);
  FANWIRE_DEFAULT(worker, fanout_slice, 512);
  FANWIRE_DEFAULT_DURATION(worker, fanout_slice_time, absl::Microseconds(500));
}

// `rate_given`: a rate of 0 in the file means unlimited, not the default.
void FillLimits(bool rate_given, v1::LimitsConfig* limits) {
  FANWIRE_DEFAULT(limits, max_channel_bytes, 256);
  FANWIRE_DEFAULT(limits, max_channels, 1'000'000);
  FANWIRE_DEFAULT(limits, max_channels_per_session, 1000);
  FANWIRE_DEFAULT(limits, max_message_bytes, 1 << 20);
  FANWIRE_DEFAULT(limits, max_event_bytes, 64 << 10);
  FANWIRE_DEFAULT(limits, session_backlog_bytes, 1 << 20);
  if (!rate_given) limits->set_message_rate_limit(100);
  FANWIRE_DEFAULT(limits, message_rate_burst, 1.5 * limits->message_rate_limit());
  FANWIRE_DEFAULT(limits, max_connections, 1000);
  FANWIRE_DEFAULT_DURATION(limits, handshake_timeout, absl::Seconds(10));
  FANWIRE_DEFAULT_DURATION(limits, auth_timeout, absl::Seconds(10));
  FANWIRE_DEFAULT_DURATION(limits, ping_interval, absl::Seconds(20));
  FANWIRE_DEFAULT_DURATION(limits, pong_timeout, absl::Seconds(20));
  FANWIRE_DEFAULT_DURATION(limits, close_timeout, absl::Seconds(10));
  FANWIRE_DEFAULT_DURATION(limits, recovery_timeout, absl::Seconds(30));
  FANWIRE_DEFAULT_DURATION(limits, control_wait, absl::Seconds(30));
  FANWIRE_DEFAULT(limits, max_batch, 10'000);
}

void FillService(const v1::Config& config, v1::ServiceConfig* service) {
  if (service->port() != 0 && service->listeners().empty()) {
    service->add_listeners()->set_port(service->port());
  }
  for (v1::ListenerConfig& listener : *service->mutable_listeners()) {
    FANWIRE_DEFAULT(&listener, host, "127.0.0.1");
    if (!listener.has_auth_required()) listener.set_auth_required(config.auth().required());
  }
  FANWIRE_DEFAULT(service, server_name, service->name());
  FANWIRE_DEFAULT(service, welcome_message, absl::StrCat("Connected to ", service->name()));
  const v1::LimitsConfig& limits = config.limits();
  FANWIRE_DEFAULT(service, max_connections, limits.max_connections());
  // A service's own rate brings its own burst.
  if (service->message_rate_limit() != 0 && service->message_rate_burst() == 0) {
    service->set_message_rate_burst(1.5 * service->message_rate_limit());
  }
  FANWIRE_DEFAULT(service, message_rate_limit, limits.message_rate_limit());
  FANWIRE_DEFAULT(service, message_rate_burst, limits.message_rate_burst());
  FANWIRE_DEFAULT(service, session_backlog_bytes, limits.session_backlog_bytes());
  FANWIRE_DEFAULT(service, max_channels_per_session, limits.max_channels_per_session());
  FANWIRE_DEFAULT(service, max_event_bytes, limits.max_event_bytes());
  FANWIRE_DEFAULT(service, max_channels, limits.max_channels());
  FANWIRE_DEFAULT(service, catalog_check, v1::CATALOG_CHECK_OFF);
  FANWIRE_DEFAULT(service, correlation, v1::CORRELATION_MODE_AUTO);
  FANWIRE_DEFAULT_DURATION(service, update_interval, absl::Seconds(1));
  if (!service->has_token_in_header()) service->set_token_in_header(true);
  if (!service->has_token_in_query()) service->set_token_in_query(true);
  // An empty secret is a variable that is not set: no key.
  auto* keys = service->mutable_keys();
  keys->erase(std::remove_if(keys->begin(), keys->end(),
                             [](const v1::Key& key) { return key.secret().empty(); }),
              keys->end());
  for (v1::StatusRequest& request : *service->mutable_status_requests()) {
    FANWIRE_DEFAULT(&request, max_entities, 10'000);
    if (!request.has_kind() && !request.has_recent()) {
      absl::string_view kind = request.argument();
      if (absl::ConsumeSuffix(&kind, "_id")) request.set_kind(kind.data(), kind.size());
    }
    if (request.has_recent()) FANWIRE_DEFAULT(request.mutable_recent(), max, 100);
  }
}

#undef FANWIRE_DEFAULT
#undef FANWIRE_DEFAULT_DURATION

void FillDefaults(bool rate_given, v1::Config* config) {
  if (config->workers().empty()) config->set_workers("auto");
  if (config->default_service().empty()) config->set_default_service("mahavishnu");
  FillControl(config->mutable_control());
  FillWorker(config->mutable_worker());
  v1::EngineConfig* engine = config->mutable_engine();
  if (engine->kind() == v1::EngineConfig::KIND_UNSPECIFIED) {
    engine->set_kind(v1::EngineConfig::KIND_MEMORY);
  }
  if (!engine->has_channel_idle_ttl()) {
    SetDuration(absl::Hours(24), engine->mutable_channel_idle_ttl());
  }
  if (engine->max_history_bytes() == 0) engine->set_max_history_bytes(uint64_t{1} << 30);
  FillLimits(rate_given, config->mutable_limits());
  v1::LogConfig* log = config->mutable_log();
  if (log->level().empty()) log->set_level("info");
  if (log->format().empty()) log->set_format("text");
  auto* keys = config->mutable_auth()->mutable_keys();
  keys->erase(std::remove_if(keys->begin(), keys->end(),
                             [](const v1::Key& key) { return key.secret().empty(); }),
              keys->end());
  for (v1::ServiceConfig& service : *config->mutable_services()) FillService(*config, &service);
}

// ------------------------------------------------------------------ checks

// Whether a listener can be told to use `host`: workers look no names up.
bool IsAddress(const std::string& host) {
  if (host == "localhost") return true;
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

class Checker {
 public:
  Checker(const v1::Config& config, const ConfigSource& source, LoadedConfig* out)
      : config_(config), source_(source), out_(out) {}

  void Run() {
    CheckControl();
    CheckRanges();
    CheckKeys("auth", config_.auth().keys());
    CheckRules("", config_.channels());
    if (config_.services().empty()) Fault("services", "at least one service is needed");
    std::set<std::string> names;
    std::map<std::string, std::string> bound;
    for (int i = 0; i < config_.services_size(); ++i) {
      const v1::ServiceConfig& service = config_.services(i);
      const std::string path = absl::StrCat("services[", i, "]");
      CheckName(path, service, &names);
      CheckListeners(path, service, &bound);
      CheckService(path, service);
    }
    if (!config_.services().empty() && !names.contains(config_.default_service())) {
      // The shipped default need not exist in a configuration of other services.
      if (source_.Where("default_service") != source_.file()) {
        Fault("default_service", absl::StrCat("no service \"", config_.default_service(), "\""));
      }
    }
  }

 private:
  void Fault(absl::string_view path, absl::string_view text) {
    out_->errors.push_back(source_.Message(path, text));
  }

  void CheckControl() {
    const v1::ControlConfig& control = config_.control();
    const absl::StatusOr<Address> grpc = ParseAddress(control.grpc_listen());
    if (!grpc.ok()) {
      Fault("control.grpc_listen", grpc.status().message());
    } else if (!grpc->is_unix() && !IsLoopback(grpc->host) && !control.allow_insecure()) {
      Fault("control.grpc_listen",
            absl::StrCat("\"", grpc->host,
                         "\" is not loopback, and there is no TLS: use 127.0.0.1,"
                         " or set control.allow_insecure: true in a network you trust"));
    }
    if (const auto ops = ParseAddress(control.ops_listen()); !ops.ok()) {
      Fault("control.ops_listen", ops.status().message());
    }
    if (const auto ops = ParseAddress(config_.worker().ops_listen()); !ops.ok()) {
      Fault("worker.ops_listen", ops.status().message());
    }
    if (const auto socket = ParseAddress("unix:" + control.socket()); !socket.ok()) {
      Fault("control.socket", socket.status().message());
    }
    uint32_t workers = 0;
    if (config_.workers() != "auto" &&
        (!absl::SimpleAtoi(config_.workers(), &workers) || workers > 1024)) {
      Fault("workers", absl::StrCat("\"", config_.workers(),
                                    "\" is neither auto nor a number from 0 to 1024"));
    }
    LogLevel level;
    if (!ParseLogLevel(config_.log().level(), &level)) {
      Fault("log.level",
            absl::StrCat("\"", config_.log().level(), "\" is none of debug, info, warning, error"));
    }
    if (config_.log().format() != "text" && config_.log().format() != "json") {
      Fault("log.format",
            absl::StrCat("\"", config_.log().format(), "\" is neither text nor json"));
    }
  }

  void Range(const char* path, uint64_t value, uint64_t low, uint64_t high) {
    if (value < low || value > high) {
      Fault(path, absl::StrCat(value, " is not between ", low, " and ", high));
    }
  }

  void AtLeast(absl::string_view path, const Duration& value, absl::Duration low) {
    if (ToDuration(value) < low) {
      Fault(path, absl::StrCat(absl::FormatDuration(ToDuration(value)), " is less than ",
                               absl::FormatDuration(low)));
    }
  }

  void CheckRanges() {
    const v1::LimitsConfig& limits = config_.limits();
    Range("limits.max_channel_bytes", limits.max_channel_bytes(), 1, kMaxChannelNameBytes);
    Range("limits.max_event_bytes", limits.max_event_bytes(), 1, 1'000'000);
    Range("limits.max_message_bytes", limits.max_message_bytes(), 256, 64 << 20);
    Range("limits.session_backlog_bytes", limits.session_backlog_bytes(), 1024, uint64_t{1} << 32);
    Range("limits.max_batch", limits.max_batch(), 1, 1'000'000);
    if (limits.message_rate_limit() < 0) {
      Fault("limits.message_rate_limit", "a rate cannot be negative");
    }
    const v1::ControlConfig& control = config_.control();
    AtLeast("control.heartbeat_interval", control.heartbeat_interval(), absl::Milliseconds(50));
    Range("control.worker_queue_bytes", control.worker_queue_bytes(), 2 << 20, uint64_t{1} << 40);
    Range("control.worker_window_bytes", control.worker_window_bytes(), 2 << 20, uint64_t{1} << 40);
    Range("control.worker_window_publications", control.worker_window_publications(), 1024,
          UINT32_MAX);
    const v1::WorkerProcessConfig& worker = config_.worker();
    if (ToDuration(worker.drain_window()) > ToDuration(worker.drain_deadline())) {
      Fault("worker.drain_window", "the window is longer than worker.drain_deadline");
    }
    if (ToDuration(worker.reconnect_after_min()) > ToDuration(worker.reconnect_after_max())) {
      Fault("worker.reconnect_after_min", "more than worker.reconnect_after_max");
    }
    Range("worker.notsent_lowat_bytes", worker.notsent_lowat_bytes(), 1024, 64 << 20);
    Range("worker.send_buffer_bytes", worker.send_buffer_bytes(), 4096, 256 << 20);
    AtLeast("limits.ping_interval", limits.ping_interval(), absl::Milliseconds(100));
    AtLeast("limits.pong_timeout", limits.pong_timeout(), absl::Milliseconds(100));
    AtLeast("limits.handshake_timeout", limits.handshake_timeout(), absl::Milliseconds(100));
  }

  void CheckKeys(const std::string& path, const google::protobuf::RepeatedPtrField<v1::Key>& keys) {
    for (int i = 0; i < keys.size(); ++i) {
      const std::string at = absl::StrCat(path, ".keys[", i, "]");
      if (keys[i].secret().size() < 16) {
        Fault(at, absl::StrCat("a secret of ", keys[i].secret().size(),
                               " bytes; at least 16, better 32 random ones"));
      }
      if (!keys[i].algorithm().empty() && keys[i].algorithm() != "HS256") {
        Fault(at + ".algorithm",
              absl::StrCat("\"", keys[i].algorithm(), "\": only HS256 is known"));
      }
    }
  }

  void CheckRules(const std::string& path,
                  const google::protobuf::RepeatedPtrField<v1::ChannelRule>& rules) {
    for (int i = 0; i < rules.size(); ++i) {
      const std::string at = absl::StrCat(path, path.empty() ? "" : ".", "channels[", i, "]");
      if (const auto pattern = ChannelPattern::Parse(rules[i].pattern()); !pattern.ok()) {
        Fault(at + ".pattern", pattern.status().message());
      }
      if (rules[i].history_size() > 1'000'000) {
        Fault(at + ".history_size", "at most 1000000 publications");
      }
    }
  }

  void CheckName(const std::string& path, const v1::ServiceConfig& service,
                 std::set<std::string>* names) {
    const std::string& name = service.name();
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (name.empty() || name.size() > 64 || !plain || name[0] == '-') {
      Fault(path + ".name", absl::StrCat("\"", name,
                                         "\": 1 to 64 lower-case letters, digits "
                                         "and '-'"));
    } else if (!names->insert(name).second) {
      Fault(path + ".name", absl::StrCat("\"", name, "\" is there already"));
    }
  }

  void CheckListeners(const std::string& path, const v1::ServiceConfig& service,
                      std::map<std::string, std::string>* bound) {
    if (service.listeners().empty()) Fault(path, "a service needs a port, or listeners");
    if (service.port() > 65535) Fault(path + ".port", "a port is at most 65535");
    for (int i = 0; i < service.listeners_size(); ++i) {
      const v1::ListenerConfig& listener = service.listeners(i);
      const std::string at = absl::StrCat(path, ".listeners[", i, "]");
      if (listener.port() > 65535) Fault(at + ".port", "a port is at most 65535");
      const bool is_address = IsAddress(listener.host());
      if (!is_address) {
        Fault(at + ".host", absl::StrCat("\"", listener.host(),
                                         "\" is no address: IPv4, IPv6 or localhost expected"));
      }
      if (listener.port() != 0) {
        const auto [it, fresh] =
            bound->emplace(absl::StrCat(listener.host(), ":", listener.port()), service.name());
        if (!fresh) {
          Fault(at + ".port", absl::StrCat(it->first, " is taken by service \"", it->second, "\""));
        }
      }
      const bool keys = !service.keys().empty() || !config_.auth().keys().empty();
      if (listener.auth_required() && !keys) {
        Fault(at + ".auth_required",
              "a token is demanded, but there is no key to check it: set keys (is the variable "
              "of the secret set?)");
      }
      if (is_address && !listener.auth_required() && !IsLoopback(listener.host()) &&
          !config_.auth().allow_anonymous_beyond_loopback()) {
        Fault(at + ".host",
              absl::StrCat("\"", listener.host(),
                           "\" is not loopback, and anybody may read all: "
                           "set auth_required: true, or auth.allow_anonymous_beyond_loopback"));
      }
    }
  }

  void CheckService(const std::string& path, const v1::ServiceConfig& service) {
    CheckKeys(path, service.keys());
    CheckRules(path, service.channels());
    // One that it has from `limits` is told there.
    if (service.max_event_bytes() > 1'000'000 &&
        service.max_event_bytes() != config_.limits().max_event_bytes()) {
      Fault(path + ".max_event_bytes", "at most 1000000");
    }
    if (service.message_rate_limit() < 0 &&
        service.message_rate_limit() != config_.limits().message_rate_limit()) {
      Fault(path + ".message_rate_limit", "a rate cannot be negative");
    }
    AtLeast(path + ".update_interval", service.update_interval(), absl::Milliseconds(10));
    for (int i = 0; i < service.permissions_size(); ++i) {
      const v1::PermissionRule& rule = service.permissions(i);
      const std::string at = absl::StrCat(path, ".permissions[", i, "]");
      if (rule.prefix().empty()) Fault(at, "prefix is missing");
      if (rule.any_of().empty()) Fault(at, "any_of is missing");
    }
    for (int i = 0; i < service.mirrors_size(); ++i) {
      const v1::MirrorRule& rule = service.mirrors(i);
      const std::string at = absl::StrCat(path, ".mirrors[", i, "]");
      if (rule.events().empty()) Fault(at, "events is missing");
      const size_t open = rule.to().find('{');
      const size_t close = rule.to().find('}');
      if (rule.to().empty() || IsPattern(rule.to()) ||
          (open == std::string::npos) != (close == std::string::npos) ||
          (open != std::string::npos && close < open + 2)) {
        Fault(at + ".to", absl::StrCat("\"", rule.to(),
                                       "\" is no channel with at most one "
                                       "{field}"));
      }
    }
    std::set<std::string> events;
    for (int i = 0; i < service.events_size(); ++i) {
      const v1::CatalogEvent& event = service.events(i);
      const std::string at = absl::StrCat(path, ".events[", i, "]");
      if (event.name().empty()) Fault(at, "name is missing");
      if (!events.insert(event.name()).second) {
        Fault(at + ".name", absl::StrCat("\"", event.name(), "\" is there already"));
      }
      for (const auto& [key, type] : event.data()) {
        if (type.empty() || !absl::StrContains("sinbola", type[0]) || type.size() > 2 ||
            (type.size() == 2 && type[1] != '?')) {
          Fault(at, absl::StrCat("data.", key, ": type \"", type,
                                 "\" is none of s, i, n, b, o, l, a, or one with '?'"));
        }
      }
    }
    std::set<std::string> requests;
    for (int i = 0; i < service.status_requests_size(); ++i) {
      const v1::StatusRequest& request = service.status_requests(i);
      const std::string at = absl::StrCat(path, ".status_requests[", i, "]");
      if (request.request().empty()) Fault(at, "request is missing");
      if (!requests.insert(request.request()).second) {
        Fault(at + ".request", absl::StrCat("\"", request.request(), "\" is there already"));
      }
      if (!request.has_recent() && request.argument().empty()) Fault(at, "argument is missing");
      if (request.has_recent() &&
          (request.recent().list().empty() || request.recent().events().empty())) {
        Fault(at + ".recent", "list and events are needed");
      }
    }
  }

  const v1::Config& config_;
  const ConfigSource& source_;
  LoadedConfig* const out_;
};

}  // namespace

LoadedConfig::LoadedConfig() : config(std::make_unique<v1::Config>()) {}
LoadedConfig::~LoadedConfig() = default;
LoadedConfig::LoadedConfig(LoadedConfig&&) noexcept = default;
LoadedConfig& LoadedConfig::operator=(LoadedConfig&&) noexcept = default;

std::string LoadedConfig::ErrorText() const { return absl::StrJoin(errors, "\n"); }

std::string LoadedConfig::ToJson() const {
  nlohmann::ordered_json object = {{"ok", ok()}, {"errors", errors}, {"warnings", warnings}};
  if (ok()) object["resolved_yaml"] = ConfigToYaml(*config);
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

LoadedConfig LoadConfig(absl::string_view text, const std::string& file_name,
                        const ConfigOverrides& overrides) {
  LoadedConfig loaded;
  ConfigSource source(file_name);
  const EnvironmentLookup environment =
      overrides.environment ? overrides.environment : ProcessEnvironment();
  loaded.errors = ParseConfig(text, environment, loaded.config.get(), &source);
  for (std::string& fault :
       OverrideFromEnvironment("FANWIRE_", overrides.variables, loaded.config.get(), &source)) {
    loaded.errors.push_back(std::move(fault));
  }
  for (const std::string& setting : overrides.settings) {
    const std::vector<std::string> parts = absl::StrSplit(setting, absl::MaxSplits('=', 1));
    if (parts.size() != 2) {
      loaded.errors.push_back(absl::StrCat("--set ", setting, ": expected key=value"));
      continue;
    }
    const absl::Status status = OverrideConfig(parts[0], parts[1], absl::StrCat("--set ", parts[0]),
                                               loaded.config.get(), &source);
    if (!status.ok()) loaded.errors.emplace_back(status.message());
  }
  // A file with faults of form would bring a tail of faults of meaning that are none.
  if (!loaded.ok()) return loaded;
  const bool rate_given = source.Where("limits.message_rate_limit") != source.Where("limits");
  FillDefaults(rate_given, loaded.config.get());
  Checker(*loaded.config, source, &loaded).Run();
  return loaded;
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    const std::string text = absl::StrCat("config file ", path, ": ", strerror(error));
    return error == EACCES ? absl::PermissionDeniedError(text) : absl::NotFoundError(text);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

int WorkerCount(const v1::Config& config) {
  int count = 0;
  if (absl::SimpleAtoi(config.workers(), &count)) return count;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

namespace {

// Kinds of channel that the configuration names: of catalogs, rules, permissions and mirrors.
std::set<std::string> ChannelKinds(const v1::Config& config, const v1::ServiceConfig& service) {
  std::set<std::string> kinds;
  const auto add = [&kinds](absl::string_view name) {
    const absl::string_view kind = ChannelKind(name);
    if (!kind.empty() && !absl::StrContains(kind, '*') && !absl::StrContains(kind, '{')) {
      kinds.emplace(kind);
    }
  };
  for (const v1::CatalogEvent& event : service.events()) {
    for (const std::string& channel : event.channels()) add(channel);
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
  return !covered(*ChannelPattern::Parse("**"));  // by default history is kept
}

}  // namespace

void BuildWorkerConfig(const v1::Config& config, v1::WorkerConfig* out) {
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
    *service->mutable_keys() = in.keys();
    service->mutable_keys()->MergeFrom(config.auth().keys());
    *service->mutable_permissions() = in.permissions();
    *service->mutable_admin_permissions() = in.admin_permissions();
    service->set_correlation(in.correlation());
    service->set_subscribe_by_component_id(in.subscribe_by_component_id());
    for (const v1::StatusRequest& request : in.status_requests()) {
      service->add_requests(request.request());
    }
    service->set_read_permission_reads_all(in.read_permission_reads_all());
    service->set_token_in_header(in.token_in_header());
    service->set_token_in_query(in.token_in_query());
    *service->mutable_update_interval() = in.update_interval();
    for (const std::string& kind : ChannelKinds(config, in)) service->add_channel_kinds(kind);
    service->set_recoverable(KeepsHistory(config, in));
  }
}

std::vector<std::string> ConfigDifference(const v1::Config& before, const v1::Config& after) {
  using google::protobuf::Descriptor;
  using google::protobuf::FieldDescriptor;
  using google::protobuf::util::MessageDifferencer;
  std::vector<std::string> paths;
  const Descriptor* descriptor = v1::Config::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->name() == "services") continue;
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_repeated()) {
      MessageDifferencer differ;
      if (!differ.CompareWithFields(before, after, {field}, {field}))
        paths.push_back(field->name());
      continue;
    }
    const auto& left = before.GetReflection()->GetMessage(before, field);
    const auto& right = after.GetReflection()->GetMessage(after, field);
    const Descriptor* inner = field->message_type();
    for (int k = 0; k < inner->field_count(); ++k) {
      MessageDifferencer differ;
      if (!differ.CompareWithFields(left, right, {inner->field(k)}, {inner->field(k)})) {
        paths.push_back(absl::StrCat(field->name(), ".", inner->field(k)->name()));
      }
    }
  }
  std::map<std::string, const v1::ServiceConfig*> old_services;
  for (const v1::ServiceConfig& service : before.services()) {
    old_services[service.name()] = &service;
  }
  for (const v1::ServiceConfig& service : after.services()) {
    const auto it = old_services.find(service.name());
    const std::string path = absl::StrCat("services[", service.name(), "]");
    if (it == old_services.end()) {
      paths.push_back(path);
      continue;
    }
    const Descriptor* inner = v1::ServiceConfig::descriptor();
    for (int k = 0; k < inner->field_count(); ++k) {
      MessageDifferencer differ;
      if (!differ.CompareWithFields(*it->second, service, {inner->field(k)}, {inner->field(k)})) {
        paths.push_back(absl::StrCat(path, ".", inner->field(k)->name()));
      }
    }
    old_services.erase(it);
  }
  for (const auto& [name, service] : old_services) {
    paths.push_back(absl::StrCat("services[", name, "]"));
  }
  return paths;
}

bool NeedsRestart(absl::string_view path) {
  if (absl::StartsWith(path, "engine.")) return true;
  for (const char* fixed :
       {"control.grpc_listen", "control.socket", "control.ops_listen", "control.allow_insecure",
        "control.worker_queue_bytes", "control.worker_queue_publications",
        "control.worker_window_bytes", "control.worker_window_publications", "control.adopt_window",
        "control.heartbeat_interval", "control.idempotency_window", "control.idempotency_max_keys",
        "control.max_receipt_wait", "worker.ops_listen"}) {
    if (path == fixed) return true;
  }
  return false;
}

}  // namespace fanwire::control
