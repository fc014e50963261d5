// WantedChannels lists the channels of one dialect and service that some link wants by their exact
// names.
//
// Threading: safe from every thread; its mutex is a leaf, locked after the channels' shards.
// Cost:      Add() and Remove() are a hash lookup, List() copies the names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "common/mutex.h"

namespace fanwire::control {

class WantedChannels {
 public:
  // One more link wants the channel.
  void Add(absl::string_view channel);
  // One link less wants it.
  void Remove(absl::string_view channel);

  // The channels that are wanted, in no order.
  std::vector<std::string> List() const;

 private:
  mutable Mutex mu_;
  absl::flat_hash_map<std::string, int64_t> links_ ABSL_GUARDED_BY(mu_);  // by channel
};

}  // namespace fanwire::control
