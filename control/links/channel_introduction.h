// ChannelIntroduction is what a worker is told of a channel when it first hears of it.
//
// Threading: a value that borrows its texts.
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
  int64_t offset = 0;  // last position assigned before anything sent by the handle
};

}  // namespace fanwire::control
