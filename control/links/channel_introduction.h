// ChannelIntroduction is what a worker is told about a channel before the first item of it.
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
  int64_t offset = 0;  // of the last publication before the first that is sent under the handle
};

}  // namespace fanwire::control
