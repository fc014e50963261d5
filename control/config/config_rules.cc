#include "control/config/config_rules.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/address.h"
#include "common/config_file.h"
#include "common/log.h"
#include "common/origin.h"
#include "common/proto_time.h"
#include "common/utf8.h"
#include "control/config/config_keys.h"
#include "control/config/port_check.h"
#include "control/config/service_catalog.h"
#include "control/config/worker_config.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"
#include "proto/catalog_descriptors.h"
#include "proto/channel_name.h"
#include "proto/event_name.h"
#include "proto/request_name.h"

namespace fanwire::control {

namespace {

// How many workers' ops ports are kept free of other listeners if `workers` is auto: a machine with
// very many cores must not make a file bad that is good elsewhere.
constexpr int kMostAutoOpsPorts = 32;

// Whether a listener can be told to use `host`: workers look no names up.
bool IsAddress(const std::string& host) { return host == "localhost" || ParseIp(host).has_value(); }

constexpr absl::string_view kNow = "$$now";

bool MentionsNow(const google::protobuf::Struct& fields);

bool MentionsNow(const google::protobuf::Value& value) {
  if (value.has_struct_value()) return MentionsNow(value.struct_value());
  const auto& list = value.list_value().values();
  return value.string_value() == kNow ||
         std::any_of(list.begin(), list.end(), [](const auto& one) { return MentionsNow(one); });
}

bool MentionsNow(const google::protobuf::Struct& fields) {
  return std::any_of(fields.fields().begin(), fields.fields().end(),
                     [](const auto& field) { return MentionsNow(field.second); });
}

class Checker {
 public:
  Checker(const v1::Config& config, const ConfigSource& source, std::vector<std::string>* faults)
      : config_(config), source_(source), faults_(faults) {}

  void Run() {
    CheckControl();
    CheckOrder();
    CheckKeys("auth", config_.auth().keys());
    CheckOrigins("auth", config_.auth().allowed_origins());
    CheckRules("", config_.channels());
    if (config_.services().empty()) Fault("services", "at least one service is needed");
    std::set<std::string> names;
    for (int i = 0; i < config_.services_size(); ++i) {
      const v1::ServiceConfig& service = config_.services(i);
      const std::string path = absl::StrCat("services[", i, "]");
      CheckName(path, service, &names);
      CheckListeners(path, service);
      CheckService(path, service);
    }
    if (!config_.services().empty() && !names.contains(config_.default_service())) {
      // The key's own default need not exist in a configuration of other services, also where
      // `wsctl config show` has written it out.
      const auto* const key = v1::Config::descriptor()->FindFieldByName("default_service");
      if (config_.default_service() != KeyOf(key).default_()) {
        Fault("default_service",
              absl::StrCat("there is no service \"", config_.default_service(), "\""));
      }
    }
  }

 private:
  void Fault(absl::string_view path, absl::string_view text) {
    faults_->push_back(source_.Message(path, text));
  }

  void CheckControl() {
    const v1::ControlConfig& control = config_.control();
    CheckGrpc(control);
    CheckOps("control.ops_listen", control.ops_listen(), 1);
    CheckOps("worker.ops_listen", config_.worker().ops_listen(), OpsPorts());
    // The default comes from the environment, as it is.
    if (const std::string fault = TextFault(control.socket()); !fault.empty()) {
      Fault("control.socket", absl::StrCat(QuotedText(control.socket()), ": ", fault));
    } else if (const auto socket = ParseAddress("unix:" + control.socket()); !socket.ok()) {
      Fault("control.socket", socket.status().message());
    }
    if (const std::string fault = TextFault(config_.engine().path()); !fault.empty()) {
      Fault("engine.path", absl::StrCat(QuotedText(config_.engine().path()), ": ", fault));
    } else if (config_.engine().path()[0] != '/') {
      Fault("engine.path",
            absl::StrCat("expected an absolute path, found ", QuotedText(config_.engine().path())));
    }
    const std::string& redis = config_.engine().redis().server();
    if (const auto server = ParseAddress(redis); !server.ok()) {
      Fault("engine.redis.server", server.status().message());
    } else if (server->is_unix() || server->port == 0) {
      Fault("engine.redis.server", absl::StrCat("expected HOST:PORT, found ", QuotedText(redis)));
    }
    uint32_t workers = 0;
    if (config_.workers() != "auto" &&
        (!absl::SimpleAtoi(config_.workers(), &workers) || workers > 1024)) {
      Fault("workers", absl::StrCat("expected \"auto\" or a whole number from 0 to 1024, found ",
                                    QuotedText(config_.workers())));
    }
    LogLevel level;
    if (!ParseLogLevel(config_.log().level(), &level)) {
      Fault("log.level", absl::StrCat("expected debug, info, warning or error, found ",
                                      QuotedText(config_.log().level())));
    }
    if (config_.log().format() != "text" && config_.log().format() != "json") {
      Fault("log.format",
            absl::StrCat("expected text or json, found ", QuotedText(config_.log().format())));
    }
  }

  // Whether `key` is off or an address, HOST:PORT, which is then in `out`.
  bool ReadListen(absl::string_view key, const std::string& text, std::optional<Address>* out) {
    if (text == kListenOff) return true;
    const absl::StatusOr<Address> address = ParseAddress(text);
    if (!address.ok()) {
      Fault(key, absl::StrCat(address.status().message(), "; \"off\" switches it off"));
      return false;
    }
    if (address->is_unix()) {
      Fault(key,
            absl::StrCat(QuotedText(text),
                         " is a unix socket; expected HOST:PORT, or \"off\" to switch it off"));
      return false;
    }
    *out = *address;
    return true;
  }

  void CheckGrpc(const v1::ControlConfig& control) {
    constexpr absl::string_view kKey = "control.grpc_listen";
    std::optional<Address> address;
    if (!ReadListen(kKey, control.grpc_listen(), &address) || !address) return;
    if (!IsLoopback(address->host) && !control.allow_insecure()) {
      Fault(kKey, absl::StrCat("\"", address->host,
                               "\" is not loopback, and there is no TLS: use 127.0.0.1,"
                               " or set control.allow_insecure: true in a network you trust"));
    }
    // gRPC takes IPv6 along with 0.0.0.0.
    const std::optional<IpAddress> ip = ParseIp(address->host);
    AddPort(kKey, kKey, ip && ip->is_any() ? "::" : address->host, address->port);
  }

  // `count` ports from the one given on.
  void CheckOps(absl::string_view key, const std::string& text, uint32_t count) {
    std::optional<Address> address;
    if (!ReadListen(key, text, &address) || !address) return;
    const std::optional<IpAddress> ip = ParseIp(address->host);
    // HttpProbe looks no names up, and takes IPv4 addresses in their usual form alone.
    const bool unusual = ip && ip->is_v4() && !absl::StrContains(address->host, ':') &&
                         ip->ToString() != address->host;
    if (address->host != "localhost" && (!ip || unusual)) {
      Fault(key, absl::StrCat("expected an IPv4 or IPv6 address, or localhost, found ",
                              QuotedText(address->host)));
      return;
    }
    if (address->port == 0) return;
    for (uint32_t i = 0; i < count && address->port + i <= 65535; ++i) {
      AddPort(key, i == 0 ? std::string(key) : absl::StrCat(key, " + ", i, ", of worker-", i),
              address->host, address->port + i);
    }
  }

  // How many ports from worker.ops_listen on workers of this machine take.
  uint32_t OpsPorts() const {
    const int workers = std::clamp(WorkerCount(config_), 1, 1024);
    return static_cast<uint32_t>(config_.workers() == "auto" ? std::min(workers, kMostAutoOpsPorts)
                                                             : workers);
  }

  void AddPort(absl::string_view key, absl::string_view owner, absl::string_view host,
               uint32_t port) {
    if (const std::string fault = ports_.Add(owner, host, port); !fault.empty()) Fault(key, fault);
  }

  void CheckOrder() {
    const v1::WorkerProcessConfig& worker = config_.worker();
    if (ToDuration(worker.drain_window()) > ToDuration(worker.drain_deadline())) {
      Fault("worker.drain_window", "the window is longer than worker.drain_deadline");
    }
    if (ToDuration(worker.reconnect_after_min()) > ToDuration(worker.reconnect_after_max())) {
      Fault("worker.reconnect_after_min", "more than worker.reconnect_after_max");
    }
  }

  // Why this cannot be a key's secret, or an empty text.
  static std::string SecretFault(absl::string_view secret) {
    if (secret == kHiddenSecret) {
      return "the secret is \"***\", as `wsctl config show` prints it; write the secret itself or "
             "a "
             "variable";
    }
    // What was not replaced is no secret: everybody can read it in the file.
    const absl::string_view name = absl::ClippedSubstr(secret, 1);
    const bool is_variable =
        absl::StartsWith(secret, "$") && !name.empty() && !absl::ascii_isdigit(name[0]) &&
        std::all_of(name.begin(), name.end(),
                    [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; });
    if (is_variable || absl::StrContains(secret, "${")) {
      return "the secret is or contains a variable that was not replaced; write it as "
             "\"${NAME}\" or \"${NAME:-}\", and give the variable the secret itself";
    }
    if (absl::StripAsciiWhitespace(secret).empty()) return "the secret has only spaces";
    if (secret.size() >= 16) return "";
    return absl::StrCat("a secret of ", secret.size(),
                        " bytes; at least 16, better 32 random ones");
  }

  void CheckKeys(const std::string& path, const google::protobuf::RepeatedPtrField<v1::Key>& keys) {
    for (int i = 0; i < keys.size(); ++i) {
      const std::string at = absl::StrCat(path, ".keys[", i, "]");
      if (const std::string fault = SecretFault(keys[i].secret()); !fault.empty()) {
        Fault(at, fault);
      }
      if (!keys[i].algorithm().empty() && keys[i].algorithm() != "HS256") {
        Fault(at + ".algorithm",
              absl::StrCat("expected HS256, found ", QuotedText(keys[i].algorithm()),
                           "; only HS256 is known"));
      }
    }
  }

  // A list that was not given is a copy of auth.allowed_origins, which is checked once.
  void CheckOrigins(const std::string& path,
                    const google::protobuf::RepeatedPtrField<std::string>& origins) {
    if (!source_.Given(path + ".allowed_origins")) return;
    for (int i = 0; i < origins.size(); ++i) {
      if (origins[i] == "*") continue;
      if (const auto origin = Origin::Parse(origins[i]); !origin.ok()) {
        Fault(absl::StrCat(path, ".allowed_origins[", i, "]"), origin.status().message());
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
    }
  }

  void CheckName(const std::string& path, const v1::ServiceConfig& service,
                 std::set<std::string>* names) {
    const std::string& name = service.name();
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (name.empty() || name.size() > 64 || !plain || name[0] == '-') {
      Fault(path + ".name",
            absl::StrCat("expected 1 to 64 lower-case letters, digits and '-', found ",
                         QuotedText(name)));
    } else if (!names->insert(name).second) {
      Fault(path + ".name", absl::StrCat("duplicate name \"", name, "\""));
    }
  }

  void CheckListeners(const std::string& path, const v1::ServiceConfig& service) {
    if (service.listeners().empty()) Fault(path, "a service needs a port, or listeners");
    for (int i = 0; i < service.listeners_size(); ++i) {
      const v1::ListenerConfig& listener = service.listeners(i);
      const std::string at = absl::StrCat(path, ".listeners[", i, "]");
      const bool is_address = IsAddress(listener.host());
      if (!is_address) {
        Fault(at + ".host", absl::StrCat("expected an IPv4 or IPv6 address, or localhost, found ",
                                         QuotedText(listener.host())));
      }
      AddPort(at + ".port", absl::StrCat("service \"", service.name(), "\""), listener.host(),
              listener.port());
      CheckOrigins(at, listener.allowed_origins());
      const bool keys = !service.keys().empty() || !config_.auth().keys().empty();
      if (listener.auth_required() && !keys) {
        Fault(at + ".auth_required",
              "a token is required, but there is no key to check it: set keys (is the variable "
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
        Fault(at + ".to",
              absl::StrCat("expected the name of a channel, with at most one {field}, found ",
                           QuotedText(rule.to())));
      }
    }
    CheckCatalog(path, service);
    std::set<std::string> events;
    for (int i = 0; i < service.events_size(); ++i) {
      const v1::CatalogEvent& event = service.events(i);
      const std::string at = absl::StrCat(path, ".events[", i, "]");
      if (event.name().empty()) Fault(at, "name is missing");
      if (!events.insert(event.name()).second) {
        Fault(at + ".name", absl::StrCat("duplicate name ", QuotedText(event.name())));
      }
      for (const auto& [key, type] : event.data()) {
        if (type.empty() || !absl::StrContains("sinbola", type[0]) || type.size() > 2 ||
            (type.size() == 2 && type[1] != '?')) {
          Fault(at,
                absl::StrCat("data.", QuotedText(key),
                             ": expected s, i, n, b, o, l or a, or one of them with '?', found ",
                             QuotedText(type)));
        }
      }
    }
    std::set<std::string> requests;
    for (int i = 0; i < service.status_requests_size(); ++i) {
      const v1::StatusRequest& request = service.status_requests(i);
      const std::string at = absl::StrCat(path, ".status_requests[", i, "]");
      if (request.request().empty()) Fault(at, "request is missing");
      if (!requests.insert(request.request()).second) {
        Fault(at + ".request", absl::StrCat("duplicate name ", QuotedText(request.request())));
      }
      if (!request.has_recent() && request.argument().empty()) Fault(at, "argument is missing");
      if (request.has_recent() &&
          (request.recent().list().empty() || request.recent().events().empty())) {
        Fault(at + ".recent", "list and events are needed");
      }
      CheckAccess(at, request);
      CheckNow(at, request);
    }
    CheckServed(path, service);
    CheckClientPublish(path, service);
    CheckPresence(path, service);
  }

  void CheckPresence(const std::string& path, const v1::ServiceConfig& service) {
    for (int i = 0; i < service.presence_size(); ++i) {
      const v1::PresenceRule& rule = service.presence(i);
      const std::string at = absl::StrCat(path, ".presence[", i, "]");
      if (const auto pattern = ChannelPattern::Parse(rule.pattern()); !pattern.ok()) {
        Fault(at + ".pattern", pattern.status().message());
      }
      if (!rule.has_publish()) continue;
      const v1::PresencePublish& publish = rule.publish();
      // Any id may stand for the '*', so an ordinary one does.
      std::string channel = publish.channel();
      if (absl::EndsWith(channel, ":*")) channel.back() = 'x';
      if (const absl::Status status = CheckChannelName(channel); !status.ok()) {
        Fault(at + ".publish.channel",
              absl::StrCat("expected the name of a channel, with at most one '*' as its last "
                           "segment: ",
                           status.message()));
      }
      for (const auto& [key, name] : {std::pair{"joined_event", publish.joined_event()},
                                      std::pair{"left_event", publish.left_event()}}) {
        const std::string event_at = absl::StrCat(at, ".publish.", key);
        if (const absl::Status status = CheckEventName(name); !status.ok()) {
          Fault(event_at, absl::StrCat("expected the name of an event: ", status.message()));
        } else if (IsReservedEventName(name)) {
          Fault(event_at, absl::StrCat("only Fanwire itself sends \"", name,
                                       "\"; take a name of the service's own"));
        }
      }
      if (publish.id_field().empty()) Fault(at + ".publish", "id_field is missing");
    }
  }

  // What is kept of an event does not change until the next one.
  void CheckNow(const std::string& at, const v1::StatusRequest& request) {
    bool mentioned = MentionsNow(request.initial());
    for (const v1::StatusRule& rule : request.events()) {
      mentioned |= rule.key() == kNow || MentionsNow(rule.set());
      for (const auto* const change : {&rule.append(), &rule.upsert(), &rule.remove()}) {
        mentioned |= MentionsNow(change->value());
      }
    }
    if (mentioned) Fault(at, "$$now is known in missing alone; of an event, $$time is the time");
  }

  void CheckServed(const std::string& path, const v1::ServiceConfig& service) {
    std::set<std::string> names;
    for (int i = 0; i < service.served_requests_size(); ++i) {
      const v1::ServedRequest& request = service.served_requests(i);
      const std::string at = absl::StrCat(path, ".served_requests[", i, "]");
      if (request.request().empty()) {
        Fault(at, "request is missing");
      } else if (const absl::Status status = CheckRequestName(request.request()); !status.ok()) {
        Fault(at + ".request", status.message());
      } else if (!names.insert(request.request()).second) {
        Fault(at + ".request", absl::StrCat("duplicate name ", QuotedText(request.request())));
      }
      for (int k = 0; k < request.any_of_size(); ++k) {
        if (request.any_of(k).empty()) Fault(absl::StrCat(at, ".any_of[", k, "]"), "empty");
      }
    }
  }

  void CheckClientPublish(const std::string& path, const v1::ServiceConfig& service) {
    for (int i = 0; i < service.client_publish_size(); ++i) {
      const v1::ClientPublishRule& rule = service.client_publish(i);
      const std::string at = absl::StrCat(path, ".client_publish[", i, "]");
      if (const auto pattern = ChannelPattern::Parse(rule.pattern()); !pattern.ok()) {
        Fault(at + ".pattern", pattern.status().message());
      }
      if (rule.events().empty()) Fault(at, "events is missing");
      for (int k = 0; k < rule.events_size(); ++k) {
        absl::string_view name = rule.events(k);
        const bool all = absl::ConsumeSuffix(&name, "*") && name.empty();
        absl::Status status = all ? absl::OkStatus() : CheckEventName(name);
        if (status.ok() && IsReservedEventName(name)) {
          status = absl::InvalidArgumentError("reserved: only Fanwire itself sends it");
        }
        if (!status.ok()) {
          Fault(absl::StrCat(at, ".events[", k, "]"),
                absl::StrCat(QuotedText(rule.events(k)), ": ", status.message()));
        }
      }
      for (int k = 0; k < rule.any_of_size(); ++k) {
        if (rule.any_of(k).empty()) Fault(absl::StrCat(at, ".any_of[", k, "]"), "empty");
      }
      for (int k = 0; k < rule.copies_size(); ++k) {
        // With any text for its '*' it is a channel.
        const std::string copy = absl::StrReplaceAll(rule.copies(k), {{"*", "x"}});
        if (const absl::Status status = CheckChannelName(copy); !status.ok()) {
          Fault(absl::StrCat(at, ".copies[", k, "]"), status.message());
        }
      }
    }
  }

  void CheckCatalog(const std::string& path, const v1::ServiceConfig& service) {
    const std::vector<std::string> names = BuiltInCatalogNames();
    if (service.catalog() == kNoCatalog ||
        std::find(names.begin(), names.end(), service.catalog()) != names.end()) {
      return;
    }
    Fault(path + ".catalog", absl::StrCat("expected ", absl::StrJoin(names, ", "), " or ",
                                          kNoCatalog, ", found ", QuotedText(service.catalog())));
  }

  // Who may ask: exactly one of kind, feeds and any_of decides, or none of them.
  void CheckAccess(const std::string& at, const v1::StatusRequest& request) {
    for (int i = 0; i < request.feeds_size(); ++i) {
      if (const absl::Status status = CheckChannelOrPattern(request.feeds(i)); !status.ok()) {
        Fault(absl::StrCat(at, ".feeds[", i, "]"), status.message());
      }
    }
    for (int i = 0; i < request.any_of_size(); ++i) {
      if (request.any_of(i).empty()) Fault(absl::StrCat(at, ".any_of[", i, "]"), "empty");
    }
    if (request.has_recent() && !request.kind().empty()) {
      Fault(at + ".kind", "a list of recent events has no kind: say in feeds where they come from");
    } else if (!request.kind().empty() && !(request.feeds().empty() && request.any_of().empty())) {
      Fault(at, absl::StrCat("who may subscribe to \"", request.kind(),
                             ":ID\" may ask, because the request has a kind: leave out feeds and "
                             "any_of, or set kind: \"\""));
    } else if (!request.feeds().empty() && !request.any_of().empty()) {
      Fault(at + ".any_of", "feeds says already who may ask: leave one of them out");
    }
  }

  const v1::Config& config_;
  const ConfigSource& source_;
  std::vector<std::string>* const faults_;
  PortCheck ports_;
};

}  // namespace

void CheckRules(const v1::Config& config, const ConfigSource& source,
                std::vector<std::string>* faults) {
  Checker(config, source, faults).Run();
}

}  // namespace fanwire::control
