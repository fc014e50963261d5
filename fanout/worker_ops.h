// WorkerOps answers operators over HTTP: the worker's metrics, and whether it is alive and ready.
//
// Threading: made, started, stopped and destroyed by the worker.  The answers are given on the HTTP
//            server's thread, from snapshots that the loop makes for them.
// Ownership: borrows the loop, which must have ended before this is destroyed.
// Cost:      nothing until somebody asks; then one snapshot.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "common/http_head.h"
#include "common/http_probe.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "fanout/net/event_loop.h"
#include "fanout/worker_report.h"

namespace fanwire::fanout {

class WorkerOps {
 public:
  // `take_snapshot` is called on the loop.
  WorkerOps(EventLoop* loop, std::function<WorkerSnapshot()> take_snapshot);
  WorkerOps(const WorkerOps&) = delete;
  WorkerOps& operator=(const WorkerOps&) = delete;

  // Listens at `listen`, or on the nearest free port after its port plus `slot`.  Does nothing if
  // it listens already, or `listen` is "off" or not an address; what else goes wrong is logged.
  void Start(absl::string_view listen, uint32_t slot);

  // For requests that come from now on.
  void SetHeadLimits(const HttpHeadLimits& limits);

  // Answers nobody any more.  The loop must still run, or not run any more: an answer that waits
  // for it gives up after a second.
  void Stop();

  // Where it listens; empty if it does not.
  const std::string& address() const { return address_; }

 private:
  // Returns a snapshot made after the call, or the newest if the loop makes none within a second.
  WorkerSnapshot FreshSnapshot();

  EventLoop* const loop_;
  const std::function<WorkerSnapshot()> take_snapshot_;
  MetricsRegistry metrics_;
  std::string address_;
  std::unique_ptr<HttpProbe> probe_;

  Mutex mu_;  // a leaf
  HttpHeadLimits head_limits_ ABSL_GUARDED_BY(mu_);
  CondVar made_;
  WorkerSnapshot snapshot_ ABSL_GUARDED_BY(mu_);
  uint64_t snapshots_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace fanwire::fanout
