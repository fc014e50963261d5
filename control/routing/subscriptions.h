// Subscriptions brings each worker what it wants: its interest in channels and patterns, the
// answers to its sessions' subscribes, and, from history, whatever could not be sent live.
//
// A channel of a link is either live (every publication is queued as it is routed) or dirty (from
// `next_offset` on it is read from history, a page at a time, as the link's queue has room; once
// the page reaches the head the channel is live again).  Both happen under the channel's lock, so
// that nothing is lost or sent twice between them.
//
// Threading: safe from every thread.
#pragma once

#include <memory>
#include <optional>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "control/links/subscribe.h"
#include "control/links/worker_link.h"
#include "control/routing/channel_directory.h"
#include "control/routing/interest_view.h"

namespace fanwire::control {

class Subscriptions {
 public:
  Subscriptions(ChannelDirectory* directory, const Clock* clock)
      : directory_(directory), clock_(clock) {}

  // As the functions of Router with the same names.
  void AddInterest(const std::shared_ptr<WorkerLink>& link, const InterestView& interest);
  void RemoveInterest(const std::shared_ptr<WorkerLink>& link, const InterestView& interest);
  void ClearInterest(const std::shared_ptr<WorkerLink>& link);
  void BeginSnapshot(const std::shared_ptr<WorkerLink>& link);
  void EndSnapshot(const std::shared_ptr<WorkerLink>& link);
  void Resume(const std::shared_ptr<WorkerLink>& link, absl::string_view service,
              absl::string_view channel, absl::string_view epoch, int64_t offset);
  void Subscribe(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request);
  void Repair(const std::shared_ptr<WorkerLink>& link);

 private:
  // Lets channels that the worker's patterns match, and of which it knows nothing because they came
  // while it was away, begin with what it missed.
  void FindMissed(const std::shared_ptr<WorkerLink>& link);
  // Finds or makes the channel's entry of this link; the shard must be locked.
  ChannelLink* Want(const std::shared_ptr<ChannelState>& channel,
                    const std::shared_ptr<WorkerLink>& link);
  // A request that comes from its worker follows the interest it needs; one that has waited may
  // come after the interest's end.
  enum class Turn { kFirst, kLater };
  void AnswerOrDefer(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request, Turn turn);
  // The answer from the channel's state; nothing if history must be fetched first.
  std::optional<SubscribeAnswer> MakeAnswer(const std::shared_ptr<WorkerLink>& link,
                                            const SubscribeRequest& request, ChannelState* channel,
                                            ChannelLink* wanting);
  // Queues one page of a dirty channel.
  void RepairPage(const std::shared_ptr<WorkerLink>& link,
                  const std::shared_ptr<ChannelState>& channel);

  ChannelDirectory* const directory_;
  const Clock* const clock_;
};

}  // namespace fanwire::control
