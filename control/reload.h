// Reload reads the configuration again while control runs, and puts the settings in force that can
// change: first in the workers, then, when each attached worker has acknowledged them, in control.
//
// Threading: Request() and BeginStop() are safe from every thread and never block; workers are
//            awaited and answers given on a thread of Reload's own.  One reload runs at a time:
//            requests that come meanwhile wait for the next one, which answers all of them.  Files
//            are read on a thread of their own for each reload.  Control stops without waiting for
//            that thread, because a file system may not answer.
// Ownership: borrows the target and the clock.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "control/admin/control_process.h"
#include "control/config/config_loader.h"

namespace fanwire {
class MetricSink;
}

namespace fanwire::v1 {
class ReloadConfigResponse;
class WorkerConfigState;
}  // namespace fanwire::v1

namespace fanwire::control {

// What a reload changes.  Called on Reload's thread.
class ReloadTarget {
 public:
  virtual ~ReloadTarget() = default;

  virtual ConfigInForce config() const = 0;

  // Sends a configuration to every worker that is attached, and to those that attach later.
  virtual void PushConfig(const ConfigInForce& config) = 0;
  // Returns each attached worker's answer to the configuration that was sent last.
  virtual std::vector<v1::WorkerConfigState> ConfigStates() const = 0;

  // Lets publishers reach these services, before the workers open their ports.
  virtual void AdmitServices(std::shared_ptr<const ServiceTable> services) = 0;
  // Puts a configuration in force in this process; the workers have it by then.
  virtual void PutInForce(const ConfigInForce& config) = 0;
  // Gives the configuration in force another version, after a worker has refused a newer one.
  virtual void SetVersion(uint64_t version) = 0;
};

class Reload {
 public:
  using Response = absl::StatusOr<v1::ReloadConfigResponse>;
  using Done = std::function<void(Response)>;

  struct Options {
    std::string config_file;
    ConfigOverrides overrides;
    absl::Duration worker_wait = absl::Seconds(5);  // for the workers' acknowledgements
  };

  Reload(Options options, ReloadTarget* target, const Clock* clock);
  ~Reload();  // Stop()
  Reload(const Reload&) = delete;
  Reload& operator=(const Reload&) = delete;

  // Reads the file after this call.  Answers when it is in force, or with the reason why it is not.
  //   INVALID_ARGUMENT     file:line:column: what is wrong, a line each; nothing changes
  //   FAILED_PRECONDITION  a worker refused it; the previous one stays in force in all workers
  //   UNAVAILABLE          Stop() was called
  void Request(Done done);

  // Adds whether the last reload succeeded, and when it ended.  Before the first reload these are
  // those of the start, which also reads the configuration.
  void CollectMetrics(MetricSink& sink) const;

  // Ends the running reload, and answers it and the waiting ones with UNAVAILABLE.  Nothing is
  // changed any more, except a configuration that is being put in force at this moment.
  void BeginStop();
  // BeginStop(); returns when the thread has ended.  Does not wait for files.
  void Stop();

 private:
  using States = std::vector<v1::WorkerConfigState>;
  struct Shared;

  void Run();
  void Remember(bool success);
  Response ReloadOnce();
  // Reads the file on a thread of its own.
  absl::StatusOr<LoadedConfig> Load();
  // Sends the previous configuration to the workers again.
  absl::Status GoBack(ConfigInForce before, const std::string& refusals);
  // Waits until every worker has answered the last configuration, a worker has refused it, or the
  // time is over.
  absl::StatusOr<States> AwaitWorkers();
  bool stopping() const;

  const Options options_;
  ReloadTarget* const target_;
  const Clock* const clock_;
  const std::shared_ptr<Shared> shared_;  // with the threads that read files

  std::thread thread_;
};

}  // namespace fanwire::control
