// AttachedWorker is WorkerRegistry's record of one worker.  The record is kept when the attachment
// has ended.
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
  // Returns whether clients can connect: the worker is attached, has a configuration and an open
  // port, and is not draining.
  bool serving() const { return attached() && !draining && has_open_port_; }
  // Returns whether the worker is not attached and may still have clients, because it did not end
  // by a drain.
  bool may_hold_sessions_unseen() const {
    return !attached() && !(draining && drain_remaining == 0);
  }
  // Returns whether a process of this incarnation must be refused: it was replaced before, or the
  // attached process is known to have started later.
  bool Supersedes(uint64_t incarnation) const;

  // Begins another attachment.
  void Begin(const v1::Hello& hello, std::shared_ptr<WorkerLink> to, const Clock& clock);
  // Ends the attachment and returns its link.
  std::shared_ptr<WorkerLink> End(absl::Duration now);

  void TakeHeartbeat(const v1::Heartbeat& heartbeat, absl::Time received);
  // Returns whether a new snapshot of the worker's interest must be requested, because the digest
  // in two heartbeats in a row differed from the link's digest.  Each time that a snapshot did not
  // help, twice as many heartbeats must differ.
  bool Drifted(const v1::Heartbeat& heartbeat);
  void TakeConfigAck(const v1::ConfigAck& ack);

  void Describe(const Ledger& ledger, v1::WorkerInfo* out) const;
  void DescribeConfig(v1::WorkerConfigState* out) const;

  std::string id;
  std::unique_ptr<v1::Hello> hello;  // the latest
  std::shared_ptr<WorkerLink> link;  // null: not attached
  // Sends messages to the worker, closes links and calls observers without the registry's mutex, in
  // the order in which this was decided under the mutex.
  const std::shared_ptr<Outbox> outbox = std::make_shared<Outbox>();

  absl::Duration heard;  // when the last message came, monotonic
  // WorkerLink::unapplied_since() of the last attachment of this incarnation.
  absl::Duration unapplied_since = absl::InfiniteDuration();
  PatternTimes pattern_times;  // of the last attachment of this incarnation
  bool snapshot_done = false;
  uint64_t awaited_nonce = 0;  // of the first push of the configuration in force
  absl::Duration gone_at;      // when the last attachment ended, monotonic
  bool draining = false;
  bool drained = false;  // the last drain is over
  int64_t drain_remaining = 0;
  std::vector<Progress> drains;

 private:
  double cpu_percent() const;

  std::deque<uint64_t> replaced_;  // the last incarnations that were replaced
  absl::Time attached_at_;
  absl::Time last_heartbeat_ = absl::InfinitePast();
  bool counted_ = false;  // a heartbeat has come, so the ledger has counts of this attachment
  uint64_t rss_bytes_ = 0;
  int64_t loop_lag_us_ = 0;
  uint64_t file_limit_ = 0;
  uint64_t max_connections_ = 0;
  std::deque<std::pair<int64_t, int64_t>> cpu_;  // monotonic ms, CPU ms

  int drifted_ = 0;  // how many heartbeats in a row had another digest
  int drift_patience_ = 0;

  uint64_t config_version_ = 0;  // that the worker has acknowledged
  std::string config_error_;
  uint64_t acked_nonce_ = 0;
  std::vector<v1::BoundListener> listeners_;  // also those that could not be opened
  bool has_open_port_ = false;
  std::string ops_address_;  // empty: as in the Hello

  int64_t restarts_ = 0;
  int64_t past_repairs_ = 0;  // of earlier attachments
  int64_t past_dropped_ = 0;  // of earlier attachments
};

}  // namespace fanwire::control
