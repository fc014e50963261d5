// InterestView names a channel or pattern that a worker wants.
//
// Threading: a value.
// Ownership: borrows its texts.
#pragma once

#include "absl/strings/string_view.h"
#include "proto/policies.h"

namespace fanwire::control {

struct InterestView {
  absl::string_view service;
  absl::string_view channel;
  bool pattern = false;
  Dialect dialect = Dialect::kCommon;
};

}  // namespace fanwire::control
