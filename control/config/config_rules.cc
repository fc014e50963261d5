#include "control/config/config_rules.h"

#include <netdb.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/address.h"
#include "common/config_file.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "fanwire/v1/config.pb.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

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
  Checker(const v1::Config& config, const ConfigSource& source, std::vector<std::string>* faults)
      : config_(config), source_(source), faults_(faults) {}

  void Run() {
    CheckControl();
    CheckOrder();
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
      if (source_.Given("default_service")) {
        Fault("default_service", absl::StrCat("no service \"", config_.default_service(), "\""));
      }
    }
  }

 private:
  void Fault(absl::string_view path, absl::string_view text) {
    faults_->push_back(source_.Message(path, text));
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

  void CheckOrder() {
    const v1::WorkerProcessConfig& worker = config_.worker();
    if (ToDuration(worker.drain_window()) > ToDuration(worker.drain_deadline())) {
      Fault("worker.drain_window", "the window is longer than worker.drain_deadline");
    }
    if (ToDuration(worker.reconnect_after_min()) > ToDuration(worker.reconnect_after_max())) {
      Fault("worker.reconnect_after_min", "more than worker.reconnect_after_max");
    }
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
    for (int i = 0; i < service.listeners_size(); ++i) {
      const v1::ListenerConfig& listener = service.listeners(i);
      const std::string at = absl::StrCat(path, ".listeners[", i, "]");
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
  std::vector<std::string>* const faults_;
};

}  // namespace

void CheckRules(const v1::Config& config, const ConfigSource& source,
                std::vector<std::string>* faults) {
  Checker(config, source, faults).Run();
}

}  // namespace fanwire::control
