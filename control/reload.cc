#include "control/reload.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "control/config/config_difference.h"
#include "control/config/service_table.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// How often the workers' acknowledgements are looked at.
constexpr absl::Duration kPoll = absl::Milliseconds(20);

// A status of a call may have 8 KB, in which some characters take three bytes.
constexpr size_t kMaxListedBytes = 2000;

absl::Status Stopping() { return absl::UnavailableError("control is stopping"); }

// `config` and those services of `more` that it has not.
v1::Config WithServicesOf(v1::Config config, const v1::Config& more) {
  std::set<std::string> names;
  for (const v1::ServiceConfig& service : config.services()) names.insert(service.name());
  for (const v1::ServiceConfig& service : more.services()) {
    if (!names.contains(service.name())) *config.add_services() = service;
  }
  return config;
}

// Adds the keys whose files have other contents than before.
void AddChangedFiles(const ConfigInForce& before, const LoadedConfig& after,
                     v1::ReloadConfigResponse* response) {
  for (const v1::ServiceConfig& service : after.config->services()) {
    const std::string path = absl::StrCat("services[", service.name(), "].catalog_files");
    const auto& applied = response->applied();
    if (!CatalogFiles::Same(service, *before.catalog_files, *after.catalog_files) &&
        std::find(applied.begin(), applied.end(), path) == applied.end() &&
        before.services->Find(service.name()) != nullptr) {
      response->add_applied(path);
    }
  }
}

// The first faults, a line each: no more than fits into the status of a call.
std::string Listed(const std::vector<std::string>& faults) {
  std::string text;
  for (size_t i = 0; i < faults.size(); ++i) {
    if (i > 0 && text.size() + faults[i].size() > kMaxListedBytes) {
      absl::StrAppend(&text, "\nand ", faults.size() - i,
                      " more faults, which `wsctl config check` shows");
      break;
    }
    absl::StrAppend(&text, i > 0 ? "\n" : "", faults[i]);
  }
  return text;
}

// "worker-0: REASON; worker-1: REASON" of those that refused what was pushed last.
std::string Refusals(const std::vector<v1::WorkerConfigState>& states) {
  std::string refusals;
  for (const v1::WorkerConfigState& state : states) {
    if (state.error().empty()) continue;
    absl::StrAppend(&refusals, refusals.empty() ? "" : "; ", state.id(), ": ", state.error());
  }
  return refusals;
}

}  // namespace

struct Reload::Shared {
  Mutex mu;  // a leaf
  CondVar changed;
  std::vector<Done> waiting ABSL_GUARDED_BY(mu);
  bool stopping ABSL_GUARDED_BY(mu) = false;
  std::unique_ptr<LoadedConfig> loaded ABSL_GUARDED_BY(mu);  // set: the file has been read
  bool last_succeeded ABSL_GUARDED_BY(mu) = true;
  absl::Time last_ended ABSL_GUARDED_BY(mu);
};

Reload::Reload(Options options, ReloadTarget* target, const Clock* clock)
    : options_(std::move(options)),
      target_(target),
      clock_(clock),
      shared_(std::make_shared<Shared>()) {
  shared_->last_ended = clock_->WallNow();
  thread_ = std::thread([this] { Run(); });
}

Reload::~Reload() { Stop(); }

void Reload::Request(Done done) {
  {
    MutexLock lock(&shared_->mu);
    if (!shared_->stopping) {
      shared_->waiting.push_back(std::move(done));
      shared_->changed.SignalAll();
      return;
    }
  }
  done(Stopping());
}

void Reload::BeginStop() {
  MutexLock lock(&shared_->mu);
  shared_->stopping = true;
  shared_->changed.SignalAll();
}

void Reload::Stop() {
  BeginStop();
  if (thread_.joinable()) thread_.join();
}

bool Reload::stopping() const {
  MutexLock lock(&shared_->mu);
  return shared_->stopping;
}

void Reload::Run() {
  for (;;) {
    std::vector<Done> asked;
    bool stopping = false;
    {
      MutexLock lock(&shared_->mu);
      while (shared_->waiting.empty() && !shared_->stopping) shared_->changed.Wait(&shared_->mu);
      asked.swap(shared_->waiting);
      stopping = shared_->stopping;
    }
    if (asked.empty()) return;  // nobody waits, and nobody will
    const Response response = stopping ? Response(Stopping()) : ReloadOnce();
    if (!stopping) Remember(response.ok());
    for (const Done& done : asked) done(response);
  }
}

void Reload::Remember(bool success) {
  MutexLock lock(&shared_->mu);
  shared_->last_succeeded = success;
  shared_->last_ended = clock_->WallNow();
}

void Reload::CollectMetrics(MetricSink& sink) const {
  MutexLock lock(&shared_->mu);
  sink.Gauge("fanwire_config_last_reload_success",
             "Whether the last reload of the configuration succeeded; 1 before the first one.",
             shared_->last_succeeded ? 1 : 0);
  sink.Gauge("fanwire_config_last_reload_timestamp_seconds",
             "When the last reload of the configuration ended, successful or not; before the first "
             "one, when control started.",
             absl::ToDoubleSeconds(shared_->last_ended - absl::UnixEpoch()));
}

absl::StatusOr<LoadedConfig> Reload::Load() {
  std::thread reader([shared = shared_, options = options_] {
    auto loaded =
        std::make_unique<LoadedConfig>(LoadConfigFile(options.config_file, options.overrides));
    MutexLock lock(&shared->mu);
    shared->loaded = std::move(loaded);
    shared->changed.SignalAll();
  });
  reader.detach();
  MutexLock lock(&shared_->mu);
  while (shared_->loaded == nullptr && !shared_->stopping) shared_->changed.Wait(&shared_->mu);
  if (shared_->stopping) return Stopping();
  return std::move(*std::exchange(shared_->loaded, nullptr));
}

Reload::Response Reload::ReloadOnce() {
  absl::StatusOr<LoadedConfig> read = Load();
  if (!read.ok()) return read.status();
  LoadedConfig& loaded = *read;
  if (!loaded.ok()) return absl::InvalidArgumentError(Listed(loaded.errors));

  const ConfigInForce before = target_->config();
  v1::ReloadConfigResponse response;
  for (std::string& path : KeepWhatNeedsRestart(*before.config, loaded.config.get())) {
    response.add_needs_restart(std::move(path));
  }
  for (std::string& path : ConfigDifference(*before.config, *loaded.config)) {
    response.add_applied(std::move(path));
  }
  AddChangedFiles(before, loaded, &response);
  const bool changed = response.applied_size() > 0;
  response.set_version(before.version + (changed ? 1 : 0));
  ConfigInForce after{.config = std::move(loaded.config),
                      .catalog_files = std::move(loaded.catalog_files),
                      .file = before.file,
                      .version = response.version()};
  if (changed) {
    after.services = ServiceTable::Make(*after.config, *after.catalog_files);
    // Sessions of a new service may come as soon as the first worker has opened its port.
    target_->AdmitServices(
        ServiceTable::Make(WithServicesOf(*before.config, *after.config),
                           *CatalogFiles::Union(*before.catalog_files, *after.catalog_files)));
    target_->PushConfig(after);
  }
  const auto states = AwaitWorkers();
  if (!states.ok()) return states.status();
  if (changed) {
    if (const std::string refusals = Refusals(*states); !refusals.empty()) {
      return GoBack(before, refusals);
    }
    if (stopping()) return Stopping();
    target_->PutInForce(after);
  }
  for (const v1::WorkerConfigState& state : *states) *response.add_workers() = state;
  return response;
}

absl::Status Reload::GoBack(ConfigInForce before, const std::string& refusals) {
  // The refused one had a version of its own, which some worker may have in force.
  const uint64_t version = before.version + 2;
  before.version = version;
  target_->SetVersion(version);
  target_->AdmitServices(before.services);
  target_->PushConfig(before);
  const auto states = AwaitWorkers();
  if (!states.ok()) return states.status();
  std::string message = absl::StrCat(
      "refused by ", refusals, "; the previous configuration stays in force, as version ", version);
  if (const std::string again = Refusals(*states); !again.empty()) {
    absl::StrAppend(&message, ", which was refused by ", again);
  }
  return absl::FailedPreconditionError(message);
}

absl::StatusOr<Reload::States> Reload::AwaitWorkers() {
  const absl::Duration deadline = clock_->Now() + options_.worker_wait;
  for (;;) {
    States states = target_->ConfigStates();
    const bool waiting =
        std::any_of(states.begin(), states.end(),
                    [](const v1::WorkerConfigState& state) { return state.pending(); });
    if (!waiting || !Refusals(states).empty() || clock_->Now() >= deadline) return states;
    MutexLock lock(&shared_->mu);
    if (!shared_->stopping) shared_->changed.WaitWithTimeout(&shared_->mu, kPoll);
    if (shared_->stopping) return Stopping();
  }
}

}  // namespace fanwire::control
