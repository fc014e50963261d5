// AttachedWorker is WorkerRegistry's record of one worker.  It stays when the attachment has ended.
//
// Threading: guarded by WorkerRegistry's mutex.
// Ownership: shares the link.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/outbox.h"
#include "control/links/pattern_times.h"

namespace fanwire::v1 {
class BoundListener;
class ConfigAck;
class Heartbeat;
class Hello;
class WorkerConfigState;
class WorkerInfo;
}  // namespace fanwire::v1

namespace fanwire::control {

class Ledger;
class WorkerLink;

struct AttachedWorker {
  // (remaining, done)
  using Progress = std::function<void(int64_t, bool)>;

  AttachedWorker();
  ~AttachedWorker();
  AttachedWorker(const AttachedWorker&) = delete;
  AttachedWorker& operator=(const AttachedWorker&) = delete;

  bool attached() const { return link != nullptr; }
  uint64_t incarnation() const;
  uint32_t pid() const;
  // Whether clients can connect: the worker is attached, has taken a configuration, has a port open
  // and is not draining.
  bool serving() const { return attached() && !draining && has_open_port_; }
  // Whether it is not attached although it may still have clients: it did not end by a drain.
  bool may_hold_sessions_unseen() const {
    return !attached() && !(draining && drain_remaining == 0);
  }
  // Whether a process of this incarnation must be refused: it was replaced before, or one that is
  // known to have started later is attached.
  bool Supersedes(uint64_t incarnation) const;

  // Begins another attachment.
  void Begin(const v1::Hello& hello, std::shared_ptr<WorkerLink> to, const Clock& clock);
  // Ends the attachment and returns its link.
  std::shared_ptr<WorkerLink> End(absl::Duration now);

  void TakeHeartbeat(const v1::Heartbeat& heartbeat, absl::Time received);
  // Whether a new snapshot of the worker's interest must be requested, because the digest in the
  // heartbeat differed from the link's digest in two heartbeats in a row.  Each time that the
  // snapshot did not help, twice as many heartbeats must differ.
  bool Drifted(const v1::Heartbeat& heartbeat);
  void TakeConfigAck(const v1::ConfigAck& ack);

  void Describe(const Ledger& ledger, v1::WorkerInfo* out) const;
  void DescribeConfig(v1::WorkerConfigState* out) const;

  std::string id;
  std::unique_ptr<v1::Hello> hello;  // the last one
  std::shared_ptr<WorkerLink> link;  // null: not attached
  // Runs what must happen without the registry's mutex, in the order decided under it: messages to
  // the worker, closes, calls to observers.
  const std::shared_ptr<Outbox> outbox = std::make_shared<Outbox>();

  absl::Duration heard;  // monotonic
  // WorkerLink::unapplied_since() of the last attachment of this incarnation.
  absl::Duration unapplied_since = absl::InfiniteDuration();
  PatternTimes pattern_times;  // of the same
  bool snapshot_done = false;
  uint64_t awaited_nonce = 0;  // the first push of the configuration in force
  absl::Duration gone_at;      // not attached: since when, monotonic
  bool draining = false;
  bool drained = false;  // its last drain is over
  int64_t drain_remaining = 0;
  std::vector<Progress> drains;

 private:
  double cpu_percent() const;

  std::deque<uint64_t> replaced_;  // incarnations, the last ones
  absl::Time attached_at_;
  absl::Time last_heartbeat_ = absl::InfinitePast();
  bool counted_ = false;  // the ledger has counts of this attachment: a heartbeat came
  uint64_t rss_bytes_ = 0;
  int64_t loop_lag_us_ = 0;
  uint64_t file_limit_ = 0;
  uint64_t max_connections_ = 0;
  std::deque<std::pair<int64_t, int64_t>> cpu_;  // monotonic ms, CPU ms

  int drifted_ = 0;  // heartbeats in a row whose digest differed
  int drift_patience_ = 0;

  uint64_t config_version_ = 0;  // as the worker acknowledged it
  std::string config_error_;
  uint64_t acked_nonce_ = 0;
  std::vector<v1::BoundListener> listeners_;  // those that could not be opened too
  bool has_open_port_ = false;
  std::string ops_address_;  // empty: the one in the Hello holds

  int64_t restarts_ = 0;
  int64_t past_repairs_ = 0;  // of earlier attachments
  int64_t past_dropped_ = 0;  // likewise
};

}  // namespace fanwire::control
