// AttachedWorker is what WorkerRegistry keeps of one worker, attached or not.
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
  // Whether clients can connect: it is attached, took a configuration, has its ports open and does
  // not drain.
  bool serving() const { return attached() && !draining && !listeners_.empty(); }
  // Whether a process of this incarnation is to be refused: it was replaced, or a later one is
  // attached.  One that is gone says nothing by its number: the clock may have gone back since.
  bool Supersedes(uint64_t incarnation) const;

  // Another attachment begins.
  void Begin(const v1::Hello& hello, std::shared_ptr<WorkerLink> to, const Clock& clock);
  // Returns the attachment that ends.
  std::shared_ptr<WorkerLink> End();

  void TakeHeartbeat(const v1::Heartbeat& heartbeat, absl::Time received);
  // Whether the interest told in `heartbeat` has differed from the link's for so long that a new
  // snapshot is to be asked for: two heartbeats in a row, then after twice as many each time that
  // the snapshot did not help.
  bool Drifted(const v1::Heartbeat& heartbeat);
  void TakeConfigAck(const v1::ConfigAck& ack);

  void Describe(const Ledger& ledger, v1::WorkerInfo* out) const;
  void DescribeConfig(v1::WorkerConfigState* out) const;

  std::string id;
  std::unique_ptr<v1::Hello> hello;  // the last one
  std::shared_ptr<WorkerLink> link;  // null: not attached
  // What is done for this worker without the registry's mutex, in the order that was decided under
  // it: messages, closes, what observers are told.
  const std::shared_ptr<Outbox> lane = std::make_shared<Outbox>();

  absl::Duration heard;  // monotonic
  // WorkerLink::unapplied_since() of the last attachment of this incarnation.
  absl::Duration unapplied_since = absl::InfiniteDuration();
  bool snapshot_done = false;
  uint64_t awaited_nonce = 0;  // the first push of the configuration in force
  bool draining = false;
  int64_t drain_remaining = 0;
  std::vector<Progress> drains;

 private:
  double cpu_percent() const;

  std::deque<uint64_t> replaced_;  // incarnations, the last ones
  absl::Time attached_at_;
  absl::Time last_heartbeat_ = absl::InfinitePast();
  bool counted_ = false;  // a heartbeat of this attachment came, so that the ledger knows it
  uint64_t rss_bytes_ = 0;
  int64_t loop_lag_us_ = 0;
  std::deque<std::pair<int64_t, int64_t>> cpu_;  // monotonic ms, CPU ms

  int drifted_ = 0;  // heartbeats in a row whose digest differed
  int drift_patience_ = 0;

  uint64_t config_version_ = 0;  // as it says
  std::string config_error_;
  uint64_t acked_nonce_ = 0;
  std::vector<v1::BoundListener> listeners_;
  std::string ops_address_;  // empty: as the Hello said

  int64_t restarts_ = 0;
  int64_t past_repairs_ = 0;  // of earlier attachments
  int64_t past_dropped_ = 0;  // likewise
};

}  // namespace fanwire::control
