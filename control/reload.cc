#include "control/reload.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/metrics.h"
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

Reload::Reload(Options options, ReloadTarget* target, const Clock* clock)
    : options_(std::move(options)),
      target_(target),
      clock_(clock),
      last_ended_(clock->WallNow()),
      thread_([this] { Run(); }) {}

Reload::~Reload() { Stop(); }

void Reload::Request(Done done) {
  {
    MutexLock lock(&mu_);
    if (!stopping_) {
      waiting_.push_back(std::move(done));
      changed_.SignalAll();
      return;
    }
  }
  done(Stopping());
}

void Reload::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Reload::Run() {
  for (;;) {
    std::vector<Done> asked;
    bool stopping = false;
    {
      MutexLock lock(&mu_);
      while (waiting_.empty() && !stopping_) changed_.Wait(&mu_);
      asked.swap(waiting_);
      stopping = stopping_;
    }
    if (asked.empty()) return;  // nobody waits, and nobody will
    const Response response = stopping ? Response(Stopping()) : ReloadOnce();
    if (!stopping) Remember(response.ok());
    for (const Done& done : asked) done(response);
  }
}

void Reload::Remember(bool success) {
  MutexLock lock(&mu_);
  last_succeeded_ = success;
  last_ended_ = clock_->WallNow();
}

void Reload::CollectMetrics(MetricSink& sink) const {
  MutexLock lock(&mu_);
  sink.Gauge("fanwire_config_last_reload_success",
             "Whether the last reload of the configuration succeeded; 1 before the first one.",
             last_succeeded_ ? 1 : 0);
  sink.Gauge("fanwire_config_last_reload_timestamp_seconds",
             "When the last reload of the configuration ended, successful or not; before the first "
             "one, when control started.",
             absl::ToDoubleSeconds(last_ended_ - absl::UnixEpoch()));
}

Reload::Response Reload::ReloadOnce() {
  LoadedConfig loaded = LoadConfigFile(options_.config_file, options_.overrides);
  if (!loaded.ok()) return absl::InvalidArgumentError(Listed(loaded.errors));

  const ConfigInForce before = target_->config();
  v1::ReloadConfigResponse response;
  for (std::string& path : KeepWhatNeedsRestart(*before.config, loaded.config.get())) {
    response.add_needs_restart(std::move(path));
  }
  for (std::string& path : ConfigDifference(*before.config, *loaded.config)) {
    response.add_applied(std::move(path));
  }
  const bool changed = response.applied_size() > 0;
  response.set_version(before.version + (changed ? 1 : 0));
  const std::shared_ptr<const v1::Config> after = std::move(loaded.config);
  if (changed) {
    // Sessions of a new service may come as soon as the first worker has opened its port.
    target_->AdmitServices(ServiceTable::Make(WithServicesOf(*before.config, *after)));
    target_->PushConfig(*after, response.version());
  }
  const auto states = AwaitWorkers();
  if (!states.ok()) return states.status();
  if (changed) {
    if (const std::string refusals = Refusals(*states); !refusals.empty()) {
      return GoBack(before, refusals);
    }
    target_->PutInForce(after, response.version());
  }
  for (const v1::WorkerConfigState& state : *states) *response.add_workers() = state;
  return response;
}

absl::Status Reload::GoBack(const ConfigInForce& before, const std::string& refusals) {
  // The refused one had a version of its own, which some worker may have in force.
  const uint64_t version = before.version + 2;
  target_->SetVersion(version);
  target_->AdmitServices(before.services);
  target_->PushConfig(*before.config, version);
  const auto states = AwaitWorkers();
  if (!states.ok()) return states.status();
  std::string message = absl::StrCat("refused by ", refusals,
                                     "; the configuration before stays, as version ", version);
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
    MutexLock lock(&mu_);
    if (!stopping_) changed_.WaitWithTimeout(&mu_, kPoll);
    if (stopping_) return Stopping();
  }
}

}  // namespace fanwire::control
