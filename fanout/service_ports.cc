#include "fanout/service_ports.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/log.h"
#include "common/time_format.h"
#include "common/utf8.h"
#include "common/version.h"
#include "fanout/origin_policy.h"
#include "fanout/port_holders.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

void Add(const ConnectionCounters& from, ConnectionCounters* to) {
  to->accepted += from.accepted;
  to->opened += from.opened;
  to->rejected_requests += from.rejected_requests;
  to->http_requests += from.http_requests;
  to->handshake_timeouts += from.handshake_timeouts;
  to->closed_by_peer += from.closed_by_peer;
  to->lost += from.lost;
  to->protocol_errors += from.protocol_errors;
  to->messages_too_big += from.messages_too_big;
  to->pings_sent += from.pings_sent;
  to->pong_timeouts += from.pong_timeouts;
  to->close_timeouts += from.close_timeouts;
  to->bytes_received += from.bytes_received;
  to->messages_received += from.messages_received;
}

void Add(const ListenerCounters& from, ListenerCounters* to) {
  to->accepted += from.accepted;
  to->refused_cap += from.refused_cap;
  to->refused_descriptors += from.refused_descriptors;
  to->paced += from.paced;
  to->errors += from.errors;
}

// How long a port that the configuration no longer names goes on to accept what waits.
constexpr absl::Duration kLastAccepts = absl::Seconds(2);

constexpr size_t kLoggedOriginBytes = 200;

ConnectionOptions OptionsFor(const ServiceSettings& settings) {
  ConnectionOptions options;
  options.limits.max_message_bytes = settings.max_message_bytes;
  options.limits.head = settings.head;
  options.handshake_timeout = settings.handshake_timeout;
  options.ping_interval = settings.ping_interval;
  options.pong_timeout = settings.pong_timeout;
  options.close_timeout = settings.close_timeout;
  options.ping_rate_limit = settings.ping_rate_limit;
  return options;
}

bool Same(const ConnectionOptions& a, const ConnectionOptions& b) {
  return a.limits.max_message_bytes == b.limits.max_message_bytes &&
         a.limits.head == b.limits.head && a.handshake_timeout == b.handshake_timeout &&
         a.ping_interval == b.ping_interval && a.pong_timeout == b.pong_timeout &&
         a.close_timeout == b.close_timeout && a.ping_rate_limit == b.ping_rate_limit;
}

}  // namespace

// One listening port of a service.
class ServicePorts::Port final : public ConnectionHost {
 public:
  Port(ServicePorts* owner, Service* service, const v1::ListenerConfig& config)
      : owner_(owner), service_(service), rules_(config) {}

  absl::Status Open(const ListenerOptions& listener, const ConnectionOptions& connections) {
    listener_options_ = listener;
    if (groups_.empty() || !Same(connections, groups_.back()->options())) AddGroup(connections);
    absl::Status status = Listen();
    error_ = std::string(status.message());
    if (status.ok()) return status;
    return absl::Status(status.code(),
                        absl::StrCat("service \"", service_->name(), "\", ", listener.address, ":",
                                     listener.port, ": ", error_));
  }

  // Tries to open a port that could not be opened.  Returns whether anything is different now.
  bool Retry() {
    const absl::Status status = Listen();
    if (status.ok()) {
      LogInfo("listener.opened", {{"service", service_->name()},
                                  {"address", listener_options_.address},
                                  {"port", port()}});
    }
    return std::exchange(error_, std::string(status.message())) != status.message();
  }

  void Close() {
    error_.clear();
    if (listener_ == nullptr) return;
    Add(listener_->counters(), &owner_->retired_listened_);
    listener_ = nullptr;
  }

  // Accepts what waits, for so long at most, then closes.
  void Drain(absl::Duration at_most) {
    error_.clear();
    if (listener_ == nullptr) return;
    draining_ = true;
    listener_->Drain(at_most);
  }

  // Whether it is still open after Drain().
  bool draining() {
    if (draining_ && listener_ != nullptr && !listener_->open()) Close();
    return draining_ && listener_ != nullptr;
  }

  // Whether this port is what the configuration asks for.
  bool Fits(const Service* service, const v1::ListenerConfig& config) const {
    return service == service_ && config.host() == listener_options_.address &&
           config.port() == listener_options_.port;
  }
  // Other rules for connections accepted from now on.
  void Update(const v1::ListenerConfig& config, const ListenerOptions& listener,
              const ConnectionOptions& connections) {
    rules_ = Rules(config);
    listener_options_ = listener;
    if (listener_ != nullptr) listener_->Update(listener.accepts_per_second, listener.socket);
    if (!Same(connections, groups_.back()->options())) AddGroup(connections);
  }

  Service* service() const { return service_; }
  const ListenerOptions& listener_options() const { return listener_options_; }
  uint16_t port() const { return listener_ == nullptr ? 0 : listener_->port(); }
  // Why it could not be opened; empty if it is open, or was closed.
  const std::string& error() const { return error_; }
  bool listening() const { return listener_ != nullptr && !draining_; }
  // Destroys groups of former rules that are empty; whether nothing at all is left.
  bool Sweep() {
    const bool accepts = listening() || draining() || !error_.empty();
    for (size_t i = 0; i < groups_.size();) {
      const bool current = accepts && i + 1 == groups_.size();
      if (current || groups_[i]->size() > 0) {
        ++i;
        continue;
      }
      Add(groups_[i]->counters(), &owner_->retired_[service_]);
      groups_.erase(groups_.begin() + static_cast<ptrdiff_t>(i));
    }
    return groups_.empty();
  }
  void AddCounters(ConnectionCounters* sum) const {
    for (const auto& group : groups_) Add(group->counters(), sum);
  }
  ListenerCounters listened() const {
    return listener_ == nullptr ? ListenerCounters() : listener_->counters();
  }

  // ---- ConnectionHost

  ConnectionHandler* OnUpgrade(Connection* connection, const HttpRequest& request,
                               HttpResponse* refusal) override {
    if (!rules_.origins.Allows(request)) {
      RefuseOrigin(*connection, request, refusal);
      return nullptr;
    }
    const ServiceSettings& settings = service_->settings();
    SessionStart start;
    start.dialect = rules_.dialect;
    start.auth_required = rules_.auth_required;
    start.loopback = rules_.loopback;
    start.user_agent = owner_->agents_.Keep(request.Header("user-agent"));
    if (settings.verifier.has_keys()) {
      std::string token;
      if (settings.token_in_header) token = std::string(request.BearerToken());
      if (token.empty() && settings.token_in_query) {
        token = request.QueryParameter("token").value_or("");
      }
      if (!token.empty()) {
        absl::StatusOr<Identity> identity =
            settings.verifier.Verify(token, owner_->sessions_->clock->WallNow());
        if (identity.ok()) {
          start.identity = std::make_unique<Identity>(*std::move(identity));
        } else {
          start.bad_token = true;
          start.token_fault = std::string(identity.status().message());
        }
      }
    }
    return new Session(owner_->sessions_, service_, connection, std::move(start));
  }

  bool OnHttpRequest(const HttpRequest& request, HttpResponse* response) override {
    const Health health = owner_->health_();
    if (request.path == "/readyz") {
      response->status = health.ready ? 200 : 503;
      response->content_type = "application/json";
      response->body = health.ready ? "{\"ready\":true}" : "{\"ready\":false}";
      return true;
    }
    if (request.path != "/health" && request.path != "/healthz") return false;
    const ServiceCounts& counts = service_->counts();
    std::string server;
    AppendJsonText(service_->settings().server_name, &server);
    std::string worker;
    AppendJsonText(health.worker, &worker);
    response->status = 200;
    response->content_type = "application/json";
    response->body = absl::StrCat(
        "{\"status\":\"healthy\",\"server\":", server, ",\"worker\":", worker, ",\"version\":\"",
        kVersion, "\",\"timestamp\":\"", FormatIso8601(owner_->sessions_->clock->WallNow()),
        "\",\"checks\":{\"websocket\":\"passing\",\"control\":\"",
        health.control ? "passing" : "failing",
        "\"},\"metrics\":{\"active_connections\":", service_->sessions().size(),
        ",\"total_connections\":", counts.sessions_opened,
        ",\"uptime_seconds\":", absl::ToInt64Seconds(health.uptime), "}}");
    return true;
  }

 private:
  // What the configuration says of handshakes.
  struct Rules {
    explicit Rules(const v1::ListenerConfig& config)
        : dialect(static_cast<Dialect>(config.dialect())),
          auth_required(config.auth_required()),
          loopback(IsLoopback(config.host())),
          origins(config) {}

    Dialect dialect;
    bool auth_required;
    bool loopback;
    OriginPolicy origins;
  };

  void RefuseOrigin(const Connection& connection, const HttpRequest& request,
                    HttpResponse* refusal) {
    service_->counts().Count(CountedError::kOriginRefused);
    refusal->status = 403;
    refusal->body =
        "pages of this origin may not connect: add it to services[].listeners[].allowed_origins or "
        "auth.allowed_origins\n";
    int64_t left_out = 0;
    if (!owner_->origin_log_.Admit(&left_out)) return;
    LogWarning("origin.refused", {{"service", service_->name()},
                                  {"origin", ToUtf8(request.Header("Origin"), kLoggedOriginBytes)},
                                  {"address", connection.peer().ToString()},
                                  {"allow_by", "auth.allowed_origins"},
                                  {"left_out", left_out}});
  }

  absl::Status Listen() {
    const ListenerOptions& options = listener_options_;
    const auto held = [&] {
      return CheckPortHolders(options.address, options.port, owner_->shares_);
    };
    // Before, so as not to take a client from its holder; and after, because another worker may
    // have looked at the same moment.
    if (absl::Status status = held(); !status.ok()) return status;
    auto opened = Listener::Open(
        options, owner_->sessions_->loop, owner_->sockets_,
        [this](int fd, const PeerAddress& peer) { groups_.back()->Add(fd, peer); },
        [this](int fd, const PeerAddress& peer) { groups_.back()->AddToRefuse(fd, peer); });
    if (!opened.ok()) return opened.status();
    if (absl::Status status = held(); !status.ok()) return status;
    listener_ = *std::move(opened);
    return absl::OkStatus();
  }

  void AddGroup(const ConnectionOptions& options) {
    groups_.push_back(std::make_unique<ConnectionGroup>(options, owner_->sessions_->loop,
                                                        owner_->sockets_, this));
  }

  ServicePorts* const owner_;
  Service* const service_;
  Rules rules_;
  ListenerOptions listener_options_;
  std::vector<std::unique_ptr<ConnectionGroup>> groups_;  // the last one gets what is accepted
  std::unique_ptr<Listener> listener_;
  bool draining_ = false;
  std::string error_;
};

ServicePorts::ServicePorts(const SessionContext* sessions, SendTable* sockets,
                           std::function<Health()> health, size_t max_connections)
    : sessions_(sessions),
      sockets_(sockets),
      health_(std::move(health)),
      max_connections_(max_connections) {}

ServicePorts::~ServicePorts() {
  // Connections first: their sessions leave their services.
  ports_.clear();
  former_.clear();
}

absl::Status ServicePorts::Apply(const v1::WorkerConfig& config, Opening opening,
                                 v1::ConfigAck* ack) {
  const v1::WorkerProcessConfig& worker = config.worker();
  const double accept_rate = static_cast<double>(worker.accept_rate()) /
                             std::max(1, static_cast<int>(config.attached_workers()));
  struct Wanted {
    std::unique_ptr<Port> opened;  // null: `kept` stays
    Port* kept = nullptr;
    const v1::ListenerConfig* config = nullptr;
    ListenerOptions listener;
    ConnectionOptions connections;
  };
  std::vector<Wanted> wanted;
  std::vector<std::pair<Service*, std::shared_ptr<const ServiceSettings>>> settings;
  absl::flat_hash_map<std::string, std::unique_ptr<Service>> made;
  for (const v1::WorkerService& from : config.services()) {
    auto next = std::make_shared<const ServiceSettings>(from);
    Service* service = Find(from.name());
    if (service == nullptr) {
      made.emplace(from.name(), std::make_unique<Service>(next));
      service = made[from.name()].get();
    }
    settings.emplace_back(service, next);
    const ConnectionOptions connections = OptionsFor(*next);
    for (const v1::ListenerConfig& listener : from.listeners()) {
      ListenerOptions options;
      options.address = listener.host();
      options.port = static_cast<uint16_t>(listener.port());
      options.socket.notsent_lowat_bytes = static_cast<int>(worker.notsent_lowat_bytes());
      options.socket.send_buffer_bytes = static_cast<int>(worker.send_buffer_bytes());
      options.accepts_per_second = accept_rate;
      options.max_open = max_connections_;
      Port* kept = nullptr;
      for (const std::unique_ptr<Port>& port : ports_) {
        // Several ports of a service may ask for any free one: each keeps its own.
        const bool taken = std::any_of(wanted.begin(), wanted.end(),
                                       [&](const Wanted& want) { return want.kept == port.get(); });
        if (taken || !port->Fits(service, listener)) continue;
        kept = port.get();
        break;
      }
      Wanted& want = wanted.emplace_back(Wanted{.opened = nullptr,
                                                .kept = kept,
                                                .config = &listener,
                                                .listener = options,
                                                .connections = connections});
      if (kept != nullptr) continue;
      want.opened = std::make_unique<Port>(this, service, listener);
      absl::Status status = want.opened->Open(options, connections);
      if (!status.ok() && opening == Opening::kAllOrNone) return status;
      if (!status.ok()) LogError("listener.failed", {{"reason", status}});
    }
  }
  // Nothing fails from here on.
  for (auto& [name, service] : made) services_.emplace(name, std::move(service));
  for (auto& [service, next] : settings) service->set_settings(std::move(next));
  std::vector<std::unique_ptr<Port>> ports;
  for (Wanted& want : wanted) {
    if (want.kept != nullptr) {
      const auto it = std::find_if(ports_.begin(), ports_.end(),
                                   [&](const auto& port) { return port.get() == want.kept; });
      want.kept->Update(*want.config, want.listener, want.connections);
      if (!want.kept->error().empty()) want.kept->Retry();
      ports.push_back(std::move(*it));
      ports_.erase(it);
    } else {
      LogDebug("listener.open", {{"service", want.opened->service()->name()},
                                 {"address", want.opened->listener_options().address},
                                 {"port", want.opened->port()}});
      ports.push_back(std::move(want.opened));
    }
  }
  for (std::unique_ptr<Port>& port : ports_) {
    port->Drain(kLastAccepts);
    former_.push_back(std::move(port));
  }
  ports_ = std::move(ports);
  Describe(ack);
  return absl::OkStatus();
}

bool ServicePorts::RetryFailed() {
  bool changed = false;
  for (const std::unique_ptr<Port>& port : ports_) {
    if (!port->error().empty()) changed |= port->Retry();
  }
  return changed;
}

bool ServicePorts::failed() const {
  return std::any_of(ports_.begin(), ports_.end(),
                     [](const auto& port) { return !port->error().empty(); });
}

void ServicePorts::Describe(v1::ConfigAck* ack) const {
  for (const std::unique_ptr<Port>& port : ports_) {
    v1::BoundListener* const bound = ack->add_listeners();
    bound->set_service(port->service()->name());
    bound->set_host(port->listener_options().address);
    bound->set_configured_port(port->listener_options().port);
    bound->set_port(port->port());
    bound->set_error(port->error());
  }
}

bool ServicePorts::Serves(const Service* service) const {
  return std::any_of(ports_.begin(), ports_.end(),
                     [service](const auto& port) { return port->service() == service; });
}

std::string ServicePorts::Failure(const Service* service) const {
  for (const std::unique_ptr<Port>& port : ports_) {
    if (port->service() == service && !port->error().empty()) return port->error();
  }
  return "";
}

void ServicePorts::DrainListeners() {
  for (const std::unique_ptr<Port>& port : ports_) port->Drain(absl::InfiniteDuration());
}

void ServicePorts::CloseListeners() {
  for (const auto* list : {&ports_, &former_}) {
    for (const std::unique_ptr<Port>& port : *list) port->Close();
  }
}

bool ServicePorts::draining_listeners() const {
  bool any = false;
  for (const auto* list : {&ports_, &former_}) {
    for (const std::unique_ptr<Port>& port : *list) any |= port->draining();
  }
  return any;
}

bool ServicePorts::listening() const {
  return !ports_.empty() && std::all_of(ports_.begin(), ports_.end(),
                                        [](const auto& port) { return port->listening(); });
}

std::vector<Service*> ServicePorts::services() const {
  std::vector<Service*> services;
  for (const auto& [name, service] : services_) services.push_back(service.get());
  std::sort(services.begin(), services.end(),
            [](const Service* a, const Service* b) { return a->name() < b->name(); });
  return services;
}

Service* ServicePorts::Find(absl::string_view name) const {
  const auto it = services_.find(name);
  return it == services_.end() ? nullptr : it->second.get();
}

void ServicePorts::LogRefused() {
  const ListenerCounters listened = Listened();
  const uint64_t refused = listened.refused_cap + listened.refused_descriptors;
  int64_t left_out = 0;
  if (refused == refused_told_ || !refusal_log_.Admit(&left_out)) return;
  LogWarning("connections.refused",
             {{"refused", refused - refused_told_},
              {"connections", connections()},
              {"max_connections", max_connections_},
              {"reason", "the limit of open files allows no more: raise ulimit -n, LimitNOFILE"}});
  refused_told_ = refused;
}

void ServicePorts::Sweep() {
  LogRefused();
  for (const std::unique_ptr<Port>& port : ports_) port->Sweep();
  std::erase_if(former_, [](const std::unique_ptr<Port>& port) { return port->Sweep(); });
}

ConnectionCounters ServicePorts::Counters(const Service* service) const {
  ConnectionCounters sum;
  if (const auto it = retired_.find(service); it != retired_.end()) sum = it->second;
  for (const auto* list : {&ports_, &former_}) {
    for (const std::unique_ptr<Port>& port : *list) {
      if (port->service() == service) port->AddCounters(&sum);
    }
  }
  return sum;
}

ListenerCounters ServicePorts::Listened() const {
  ListenerCounters sum = retired_listened_;
  for (const auto* list : {&ports_, &former_}) {
    for (const std::unique_ptr<Port>& port : *list) Add(port->listened(), &sum);
  }
  return sum;
}

}  // namespace fanwire::fanout
