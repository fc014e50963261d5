// WaitingInterest keeps the links that want a channel of one service by name while the channel has
// no state.  A worker's interest alone makes no state.  The subscribe that follows it makes the
// state, or the first publication; then the links move from here to the state.
//
// Threading: safe from every thread; its mutex is a leaf, locked after the channels' shards.  A
//            name is added and taken under the lock of its channel's shard.
// Cost:      a hash lookup each; RemoveAll() looks at every name.  empty() takes no lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"

namespace fanwire::control {

class WorkerLink;

class WaitingInterest {
 public:
  using Links = std::vector<std::shared_ptr<WorkerLink>>;

  // Adds the link.  Returns false if the link wants the channel already.
  bool Add(absl::string_view channel, const std::shared_ptr<WorkerLink>& link);
  // Removes the link.  Returns false if the link does not want the channel.
  bool Remove(absl::string_view channel, const WorkerLink* link);
  // Forgets all that the link wants.
  void RemoveAll(const WorkerLink* link);

  bool Contains(absl::string_view channel, const WorkerLink* link) const;
  // Removes and returns the links that want the channel.
  Links Take(absl::string_view channel);

  bool empty() const { return size_.load(std::memory_order_relaxed) == 0; }

 private:
  mutable Mutex mu_;
  absl::flat_hash_map<std::string, Links> links_ ABSL_GUARDED_BY(mu_);  // by channel
  std::atomic<size_t> size_{0};                                         // of links_
};

}  // namespace fanwire::control
