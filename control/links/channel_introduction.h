// ChannelIntroduction describes a channel to a worker, before the first item of the channel is
// sent.
//
// Threading: values.
// Ownership: borrows its strings.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "control/events/publication.h"
#include "proto/policies.h"

namespace fanwire::control {

struct ChannelIntroduction {
  absl::string_view service;
  absl::string_view channel;
  uint32_t lane = 0;  // ServiceState::lane
  Dialect dialect = Dialect::kCommon;
  Epoch epoch;
  int backlog_policy = 0;  // numbers of config.proto, resolved
  int gap_policy = 0;
  int64_t offset = 0;  // the first publication sent with this handle has a higher one
};

}  // namespace fanwire::control
