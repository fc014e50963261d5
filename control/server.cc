#include "control/server.h"

#include <grpcpp/impl/service_type.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/address.h"
#include "common/clock.h"
#include "common/http_probe.h"
#include "common/incarnation.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/proto_time.h"
#include "common/timer_queue.h"
#include "common/version.h"
#include "control/admin/admin_service.h"
#include "control/admin/agent_tools.h"
#include "control/admin/channel_listings.h"
#include "control/admin/control_metrics.h"
#include "control/admin/control_process.h"
#include "control/admin/tail.h"
#include "control/config/service_table.h"
#include "control/config/worker_config.h"
#include "control/dialects/session_buddy_feed.h"
#include "control/engine/engine.h"
#include "control/event_records.h"
#include "control/grpc_server.h"
#include "control/make_engine.h"
#include "control/processes/process_host.h"
#include "control/processes/supervisor.h"
#include "control/processes/worker_commands.h"
#include "control/publish/publish_service.h"
#include "control/reload.h"
#include "control/requests/client_publish.h"
#include "control/requests/history_request.h"
#include "control/requests/presence.h"
#include "control/requests/presence_store.h"
#include "control/requests/request_dispatcher.h"
#include "control/requests/responder_streams.h"
#include "control/requests/status_requests.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_feed.h"
#include "control/routing/channel_queries.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/router.h"
#include "control/routing/subscriptions.h"
#include "control/runtime_dir.h"
#include "control/socket_watch.h"
#include "control/workers/ledger.h"
#include "control/workers/service_reach.h"
#include "control/workers/worker_registry.h"
#include "control/workers/worker_service.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// How long a stop waits until what was accepted has reached the workers; half of its time at most.
constexpr absl::Duration kFlushWait = absl::Seconds(5);

// How long the seqs of a publisher whose stream is idle are remembered at least, and how often
// control looks for such publishers.
constexpr absl::Duration kLeastIdle = absl::Minutes(1);
constexpr absl::Duration kIdleCheck = absl::Seconds(10);

// How often control looks for members of channels whose time to return is over.
constexpr absl::Duration kPresenceCheck = absl::Milliseconds(200);

SupervisorSettings SettingsOf(const v1::Config& config) {
  return {.workers = WorkerCount(config),
          .frozen_kill_after = ToDuration(config.control().frozen_kill_after()),
          .drain_window = ToDuration(config.worker().drain_window()),
          .drain_deadline = ToDuration(config.worker().drain_deadline()),
          .orphan_timeout = ToDuration(config.worker().orphan_timeout())};
}

class ServerImpl final : public Server, public ControlProcess, public ReloadTarget {
 public:
  ServerImpl(const ServerOptions& options, LoadedConfig config)
      : options_(options),
        config_(std::move(config.config)),
        catalog_files_(std::move(config.catalog_files)) {}
  ~ServerImpl() override { StopParts(); }

  absl::Status Start();

  // ---- Server

  void Reload() override;
  void Stop() override;

  // ---- ControlProcess

  ConfigInForce config() const override {
    MutexLock lock(&mu_);
    return {.config = config_,
            .catalog_files = catalog_files_,
            .services = services_,
            .file = options_.config_file,
            .version = version_};
  }
  ConfigOverrides config_overrides() const override { return options_.overrides; }
  void Reload(ReloadDone done) override { reload_->Request(std::move(done)); }
  std::vector<ProcessInfo> LocalWorkers() const override { return supervisor_->Workers(); }
  absl::Status DrainLocalWorker(absl::string_view worker_id, const DrainOrder& order,
                                std::function<void(int64_t, bool)> progress) override {
    return supervisor_->Drain(worker_id, order, std::move(progress));
  }
  absl::Status RestartLocalWorkers(const std::vector<std::string>& worker_ids, bool only_stopped,
                                   std::function<void(const RestartProgress&)> progress) override {
    return supervisor_->Restart(worker_ids, only_stopped, std::move(progress));
  }

  // ---- ReloadTarget

  void PushConfig(const ConfigInForce& config) override;
  std::vector<v1::WorkerConfigState> ConfigStates() const override {
    return registry_->ConfigStates();
  }
  void AdmitServices(std::shared_ptr<const ServiceTable> services) override {
    directory_->SetServices(std::move(services));
  }
  void PutInForce(const ConfigInForce& config) override;
  void SetVersion(uint64_t version) override {
    MutexLock lock(&mu_);
    version_ = version;
  }

 private:
  std::shared_ptr<const ServiceTable> services() const {
    MutexLock lock(&mu_);
    return services_;
  }
  void MakeParts();
  absl::Status Listen();
  absl::Status StartOps();
  Readiness Ready() const;
  void AwaitDelivery(absl::Duration timeout);
  void StopParts();

  const ServerOptions options_;
  const Clock* const clock_ = Clock::Real();
  RuntimeDir runtime_;

  mutable Mutex mu_;  // a leaf
  std::shared_ptr<const v1::Config> config_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const CatalogFiles> catalog_files_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ServiceTable> services_ ABSL_GUARDED_BY(mu_);
  uint64_t version_ ABSL_GUARDED_BY(mu_) = 1;

  // In the order in which they are made.
  std::unique_ptr<TimerQueue> timers_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ChannelDirectory> directory_;
  std::unique_ptr<ReceiptTracker> receipts_;
  std::unique_ptr<StatusRequests> retained_;
  std::unique_ptr<Subscriptions> subscriptions_;
  std::unique_ptr<ChannelFeed> channel_feed_;
  std::unique_ptr<ChannelQueries> queries_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<WorkerRegistry> registry_;
  std::unique_ptr<RequestDispatcher> dispatcher_;
  std::unique_ptr<ResponderStreams> responders_;
  std::unique_ptr<SessionBuddyFeed> feed_;
  std::unique_ptr<ClientRequestHandler> history_;
  std::unique_ptr<ClientRequestHandler> client_publish_;
  std::unique_ptr<Presence> presence_;
  std::unique_ptr<TailHub> tail_;
  std::unique_ptr<AgentTools> tools_;
  std::unique_ptr<ChannelListings> listings_;
  std::unique_ptr<ProcessHost> processes_;
  std::unique_ptr<WorkerCommands> orders_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<PublishService> publish_service_;
  std::unique_ptr<grpc::Service> worker_service_;
  std::unique_ptr<grpc::Service> admin_service_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<SocketWatch> socket_watch_;
  MetricsRegistry metrics_;
  std::unique_ptr<HttpProbe> ops_;
  std::unique_ptr<control::Reload> reload_;  // named in full: Reload is a function here
  bool stopped_ = false;
};

// ------------------------------------------------------------------------------- starting

absl::Status ServerImpl::Start() {
  const std::shared_ptr<const v1::Config> config = this->config().config;
  LogLevel level;
  if (ParseLogLevel(config->log().level(), &level)) SetLogLevel(level);
  SetLogFormat(config->log().format() == "json" ? LogFormat::kJson : LogFormat::kText);
  if (absl::Status status = runtime_.Take(config->control().socket()); !status.ok()) return status;
  MakeParts();
  if (absl::Status status = engine_->Start(); !status.ok()) return status;
  if (absl::Status status =
          RestoreEventRecords(engine_.get(), directory_.get(), publish_service_.get(), clock_,
                              {.keys = config->control().idempotency_max_keys(),
                               .publishers = config->control().max_publishers()});
      !status.ok()) {
    return status;
  }
  if (absl::Status status = Listen(); !status.ok()) return status;
  if (absl::Status status = StartOps(); !status.ok()) return status;
  supervisor_->Start();
  LogInfo("control.started", {{"version", kVersion},
                              {"config", options_.config_file},
                              {"socket", config->control().socket()},
                              {"workers", WorkerCount(*config)},
                              {"services", config->services_size()},
                              {"engine", engine_->name()}});
  return absl::OkStatus();
}

void ServerImpl::MakeParts() {
  const std::shared_ptr<const v1::Config> config = this->config().config;
  const v1::ControlConfig& control = config->control();
  const auto services = ServiceTable::Make(*config, *this->config().catalog_files);
  {
    MutexLock lock(&mu_);
    services_ = services;
  }
  timers_ = std::make_unique<TimerQueue>(clock_);
  engine_ = options_.make_engine != nullptr ? options_.make_engine() : MakeEngine(*config, clock_);
  directory_ = std::make_unique<ChannelDirectory>(
      ChannelDirectory::Options{
          .idempotency_window = ToDuration(control.idempotency_window()),
          .idempotency_max_keys = control.idempotency_max_keys(),
          .channel_idle_ttl = ToDuration(config->engine().channel_idle_ttl())},
      engine_.get(), clock_);
  directory_->SetServices(services);
  receipts_ = std::make_unique<ReceiptTracker>(clock_, timers_.get());
  retained_ = std::make_unique<StatusRequests>(*config, clock_);
  subscriptions_ = Subscriptions::Make(directory_.get(), receipts_.get(), retained_.get(), clock_);
  channel_feed_ = std::make_unique<ChannelFeed>(directory_.get(), receipts_.get(),
                                                subscriptions_.get(), clock_);
  engine_->SetFeed(channel_feed_.get());
  queries_ = ChannelQueries::Make(directory_.get(), clock_);
  router_ = Router::Make({.max_receipt_wait = ToDuration(control.max_receipt_wait())},
                         directory_.get(), receipts_.get(), engine_.get(), clock_);
  ledger_ = std::make_unique<Ledger>();
  registry_ = WorkerRegistry::Make({.heartbeat_interval = ToDuration(control.heartbeat_interval()),
                                    .control_incarnation = NewIncarnation(),
                                    .forget_dead_after = ToDuration(control.forget_dead_after())},
                                   subscriptions_.get(), receipts_.get(), ledger_.get(), clock_,
                                   timers_.get());
  dispatcher_ = std::make_unique<RequestDispatcher>(
      *config, retained_.get(), clock_, timers_.get(),
      [this](uint64_t version, std::shared_ptr<const v1::RegisteredRequests> registered) {
        registry_->SetRegisteredRequests(version, std::move(registered));
      });
  responders_ = std::make_unique<ResponderStreams>(dispatcher_.get());
  feed_ = std::make_unique<SessionBuddyFeed>(router_.get(), queries_.get(), timers_.get(), clock_);
  feed_->SetServices(*services);
  history_ = MakeHistoryRequestHandler(queries_.get());
  client_publish_ = MakeClientPublishHandler(router_.get());
  presence_ = std::make_unique<Presence>(PresenceStore::MakeInMemory(), router_.get(), clock_,
                                         services, ToDuration(control.presence_grace()));
  tail_ = std::make_unique<TailHub>(clock_, timers_.get());
  tools_ = std::make_unique<AgentTools>(
      AgentTools::Parts{.router = router_.get(),
                        .queries = queries_.get(),
                        .registry = registry_.get(),
                        .ledger = ledger_.get(),
                        .clock = clock_,
                        .services = [this] { return this->services(); }});
  listings_ = std::make_unique<ChannelListings>(queries_.get(), clock_);
  processes_ = ProcessHost::Make();
  orders_ = WorkerCommands::Make(registry_.get());
  supervisor_ = std::make_unique<Supervisor>(
      SupervisorOptions{.worker_program = options_.worker_program,
                        .control_address = absl::StrCat("unix:", control.socket()),
                        .runtime_dir = runtime_.path(),
                        .settings = SettingsOf(*config),
                        .adopt_window = ToDuration(control.adopt_window())},
      clock_, processes_.get(), orders_.get());

  router_->AddObserver(retained_.get());
  router_->AddObserver(feed_.get());
  router_->AddObserver(tail_.get());
  registry_->SetRequestHandler("history", history_.get());
  registry_->SetRequestHandler("publish", client_publish_.get());
  registry_->SetRequestHandler("presence", presence_.get());
  registry_->SetPresenceHandler(presence_.get());
  registry_->SetDefaultRequestHandler(dispatcher_.get());
  registry_->AddObserver(supervisor_.get());
  PushConfig(this->config());

  publish_service_ = PublishService::Make(
      {.max_batch = [this] { return this->services()->max_batch(); },
       .max_publishers = control.max_publishers(),
       .keep_idle = std::max(kLeastIdle, ToDuration(control.idempotency_window())),
       .serve_requests = [this] { return responders_->Open(); }},
      router_.get());
  worker_service_ =
      MakeWorkerService({.max_queued_bytes = control.worker_queue_bytes(),
                         .max_queued_items = control.worker_queue_publications(),
                         .window_bytes = control.worker_window_bytes(),
                         .window_items = control.worker_window_publications()},
                        subscriptions_.get(), receipts_.get(), registry_.get(), clock_);
  admin_service_ = MakeAdminService({.queries = queries_.get(),
                                     .listings = listings_.get(),
                                     .registry = registry_.get(),
                                     .dispatcher = dispatcher_.get(),
                                     .presence = presence_.get(),
                                     .ledger = ledger_.get(),
                                     .tools = tools_.get(),
                                     .tail = tail_.get(),
                                     .host = this,
                                     .engine = engine_.get(),
                                     .started_at = clock_->WallNow()});
  reload_ = std::make_unique<control::Reload>(
      control::Reload::Options{.config_file = options_.config_file,
                               .overrides = options_.overrides},
      this, clock_);
  timers_->Every(ToDuration(control.heartbeat_interval()), [this] { registry_->Tick(); });
  timers_->Every(absl::Seconds(1), [this] {
    directory_->Sweep();
    listings_->Expire();
  });
  timers_->Every(kPresenceCheck, [this] { presence_->Tick(); });
  timers_->Every(kIdleCheck, [this] { publish_service_->ReleaseIdle(clock_->Now()); });
  timers_->Start();
}

void ServerImpl::PushConfig(const ConfigInForce& config) {
  auto worker = std::make_shared<v1::WorkerConfig>();
  BuildWorkerConfig(*config.config, worker.get(), *config.catalog_files);
  worker->set_version(config.version);
  for (const v1::WorkerService& service : worker->services()) {
    registry_->SetSlotLimit(service.name(), service.limits().max_connections());
  }
  registry_->SetConfig(std::move(worker));
}

absl::Status ServerImpl::Listen() {
  auto grpc =
      GrpcServer::Start(config().config->control(),
                        {publish_service_->service(), worker_service_.get(), admin_service_.get()});
  if (!grpc.ok()) return grpc.status();
  grpc_ = *std::move(grpc);
  const std::string socket = config().config->control().socket();
  socket_watch_ = std::make_unique<SocketWatch>(
      socket, &runtime_, [this, socket] { return grpc_->ListenAgain(socket); });
  timers_->Every(absl::Seconds(1), [this] { socket_watch_->Check(); });
  return absl::OkStatus();
}

absl::Status ServerImpl::StartOps() {
  const std::string listen = this->config().config->control().ops_listen();
  if (listen == kListenOff) return absl::OkStatus();
  const auto address = ParseAddress(listen);
  if (!address.ok()) return address.status();
  metrics_.Add(CollectProcess);
  metrics_.Add([this](MetricSink& sink) {
    CollectControl({.queries = queries_.get(),
                    .registry = registry_.get(),
                    .ledger = ledger_.get(),
                    .engine = engine_.get(),
                    .tail = tail_.get(),
                    .retained = retained_.get(),
                    .dispatcher = dispatcher_.get(),
                    .presence = presence_.get(),
                    .services = [this] { return services(); }},
                   sink);
    supervisor_->CollectMetrics(sink);
    reload_->CollectMetrics(sink);
    grpc_->CollectMetrics(sink);
  });
  HttpProbe::Options options;
  options.listen = *address;
  options.metrics = [this] { return metrics_.Text(); };
  options.ready = [this] { return Ready(); };
  options.head_limits = [this] {
    const auto limits = this->config().config->limits();
    return HttpHeadLimits{.max_bytes = limits.max_head_bytes(),
                          .max_lines = limits.max_head_lines()};
  };
  auto ops = HttpProbe::Start(std::move(options));
  if (!ops.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("control.ops_listen: ", listen, ": ", ops.status().message()));
  }
  ops_ = *std::move(ops);
  LogInfo("ops.listening", {{"address", ops_->address().ToString()}});
  return absl::OkStatus();
}

Readiness ServerImpl::Ready() const {
  const bool engine = engine_->Health().ok();
  // A control without workers of its own is ready for publishers before any has attached.
  const int32_t serving = registry_->serving_count();
  bool ready = engine && (serving > 0 || WorkerCount(*config().config) == 0);
  const std::vector<v1::WorkerInfo> workers = registry_->Workers();
  nlohmann::ordered_json services = nlohmann::ordered_json::object();
  for (const std::unique_ptr<ServiceSpec>& service : this->services()->services()) {
    const ServiceReach reach = ServiceReach::Of(service->name, workers);
    services[service->name]["ready"] = reach.open;
    if (!reach.open) services[service->name]["error"] = reach.error;
    if (serving > 0) ready = ready && reach.open;
  }
  const nlohmann::ordered_json json = {{"ready", ready},
                                       {"engine", engine},
                                       {"workers_attached", registry_->attached_count()},
                                       {"workers_serving", serving},
                                       {"services", std::move(services)}};
  return {ready, json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

// ------------------------------------------------------------------------------- reloading

void ServerImpl::Reload() {
  Reload([](const absl::StatusOr<v1::ReloadConfigResponse>& response) {
    if (!response.ok()) {
      LogError("config.reload_refused", {{"reason", response.status()}});
      return;
    }
    LogInfo("config.reloaded", {{"version", response->version()},
                                {"applied", absl::StrJoin(response->applied(), ",")},
                                {"needs_restart", absl::StrJoin(response->needs_restart(), ",")}});
  });
}

void ServerImpl::PutInForce(const ConfigInForce& in_force) {
  const std::shared_ptr<const v1::Config>& config = in_force.config;
  const std::shared_ptr<const ServiceTable>& services = in_force.services;
  {
    MutexLock lock(&mu_);
    config_ = config;
    catalog_files_ = in_force.catalog_files;
    services_ = services;
    version_ = in_force.version;
  }
  LogLevel level;
  if (ParseLogLevel(config->log().level(), &level)) SetLogLevel(level);
  SetLogFormat(config->log().format() == "json" ? LogFormat::kJson : LogFormat::kText);
  directory_->SetServices(services);
  retained_->SetServices(*config);
  dispatcher_->SetServices(*config);
  feed_->SetServices(*services);
  presence_->SetServices(services, ToDuration(config->control().presence_grace()));
  supervisor_->Apply(SettingsOf(*config));
  registry_->SetForgetDeadAfter(ToDuration(config->control().forget_dead_after()));
}

// ------------------------------------------------------------------------------- stopping

void ServerImpl::AwaitDelivery(absl::Duration timeout) {
  const absl::Duration deadline = clock_->Now() + timeout;
  while (clock_->Now() < deadline) {
    bool busy = engine_->status().waiting_publications > 0;
    for (const v1::WorkerInfo& worker : registry_->Workers()) {
      busy |= worker.state() != v1::WORKER_STATE_DEAD &&
              (worker.queue_publications() > 0 || worker.in_flight_bytes() > 0);
    }
    if (!busy) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void ServerImpl::Stop() {
  if (stopped_) return;
  LogInfo("control.stopping");
  reload_->BeginStop();
  const absl::Duration timeout = ToDuration(config().config->control().shutdown_timeout());
  const absl::Duration deadline = clock_->Now() + timeout;
  router_->StopPublishing();
  publish_service_->GoAway("control is stopping");
  dispatcher_->GoAway("control is stopping");
  // What was begun is accepted or refused, and reaches the sessions before they are told goodbye.
  AwaitDelivery(std::min(kFlushWait, timeout / 2));
  supervisor_->Stop(std::max(deadline - clock_->Now(), absl::Seconds(1)));
  StopParts();
  LogInfo("control.stopped");
}

void ServerImpl::StopParts() {
  if (std::exchange(stopped_, true)) return;
  if (reload_ != nullptr) reload_->Stop();
  if (tail_ != nullptr) tail_->EndAll(absl::UnavailableError("control is stopping"));
  if (dispatcher_ != nullptr) dispatcher_->Close();
  if (registry_ != nullptr) registry_->CloseAll(absl::UnavailableError("control is stopping"));
  // Before gRPC, which waits for publishers whose receipts come from the engine, and before the
  // parts are deleted that its callbacks need.
  if (engine_ != nullptr) engine_->Close();
  if (directory_ != nullptr) directory_->EndWaiting();
  if (socket_watch_ != nullptr) socket_watch_->Stop();
  if (grpc_ != nullptr) grpc_->Stop();
  ops_ = nullptr;
  if (timers_ != nullptr) timers_->Stop();
  if (router_ != nullptr) {
    router_->RemoveObserver(tail_.get());
    router_->RemoveObserver(feed_.get());
    router_->RemoveObserver(retained_.get());
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      LoadedConfig config) {
  auto server = std::make_unique<ServerImpl>(options, std::move(config));
  if (absl::Status status = server->Start(); !status.ok()) return status;
  return server;
}

}  // namespace fanwire::control
