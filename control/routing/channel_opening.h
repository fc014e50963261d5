// ChannelOpening keeps what waits until the engine has opened a channel.  Nothing is routed before
// that.
//
// When the channel is open, the links of `attached` get their places first, in the same critical
// section, because what a subscribe is answered depends on them.  Then what waits goes on, in the
// order in which it came; what comes meanwhile goes behind it.
//
// Threading: guarded by the channel's shard.
// Cost:      a few hundred bytes for each subscribe; see docs/threading.md for its bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "control/engine/engine.h"
#include "control/routing/worker_position.h"

namespace fanwire::control {

class WorkerLink;

class ChannelOpening {
 public:
  // A link whose worker may have missed publications.  The link counts the channel as dirty.
  struct Attached {
    std::shared_ptr<WorkerLink> link;
    std::optional<WorkerPosition> position;  // none: it wants the channel by a pattern
  };

  enum class Kind {
    kRepair,   // of a dirty link; kept until the channel is open
    kRequest,  // a subscribe or a read: ended with an error after kMaxWait
    kNotice,   // dropped after kMaxWait, and if kMaxNotices wait already
  };
  struct Waiting {
    Kind kind = Kind::kRepair;
    const WorkerLink* link = nullptr;  // null: of no single one
    absl::Duration since = {};         // monotonic
    EngineCallback go = nullptr;       // called without locks
  };

  static constexpr absl::Duration kMaxWait = absl::Seconds(30);
  static constexpr size_t kMaxNotices = 1000;

  // Whether the engine has opened the channel, and only what waited has not ended yet.
  bool is_open() const { return open_; }
  void SetOpen() { open_ = true; }

  // Returns false if the link was there already.  Its earlier position is replaced by a later one.
  bool Attach(const std::shared_ptr<WorkerLink>& link, std::optional<WorkerPosition> position);
  // Returns whether the link is attached without a position.
  bool IsAttachedByPattern(const WorkerLink* link) const;
  void Detach(const WorkerLink* link);
  std::vector<Attached> TakeAttached() { return std::exchange(attached_, {}); }

  // Returns false if it is a notice too many.
  bool Wait(Waiting waiting);
  // Takes what waits, in order.
  std::deque<Waiting> Take();
  // Takes what has waited for too long at `now`.
  void TakeExpired(absl::Duration now, std::vector<Waiting>* expired);
  // Forgets what waits for this link, which is closed.
  void Drop(const WorkerLink* link);

 private:
  bool open_ = false;
  std::vector<Attached> attached_;
  std::deque<Waiting> waiting_;
  size_t notices_ = 0;  // in waiting_
};

}  // namespace fanwire::control
