// PatternTable holds which links want which patterns of one service and dialect.
//
// A channel's state caches the links that match its name, together with version(); as long as the
// version stands, publishing does not look here.
//
// Threading: safe from every thread; its mutex comes after Router's shards and before WorkerLink's.
// Cost:      Match() looks only at the patterns whose first segment can fit.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"
#include "proto/channel_name.h"

namespace fanwire::control {

class WorkerLink;

class PatternTable {
 public:
  // Whether the link did not want it already.
  bool Add(const ChannelPattern& pattern, const std::shared_ptr<WorkerLink>& link);
  // Whether the link had wanted it.
  bool Remove(const ChannelPattern& pattern, const WorkerLink* link);
  void RemoveAll(const WorkerLink* link);

  // Whether the link wants any.
  bool Wants(const WorkerLink* link) const;
  // Appends each link that wants `channel` once.
  void Match(absl::string_view channel, std::vector<std::shared_ptr<WorkerLink>>* links) const;

  // Changes with every change of the table; 0 as long as it was never used.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }

 private:
  struct Wanted {
    ChannelPattern pattern;
    std::shared_ptr<WorkerLink> link;
  };
  using List = std::vector<Wanted>;

  // The list a pattern belongs to: of its first segment, or "*" if that is a wildcard.
  static absl::string_view FirstSegment(absl::string_view pattern);

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, List> by_first_ ABSL_GUARDED_BY(mu_);
  std::atomic<uint64_t> version_{0};
};

}  // namespace fanwire::control
