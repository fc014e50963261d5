// LinkHandle identifies a channel on one WorkerLink.
//
// Threading: values.
#pragma once

#include <cstdint>

namespace fanwire::control {

struct LinkHandle {
  uint32_t number = 0;  // by which the worker knows it; 0: not introduced yet
  uint32_t lane = 0;    // of the link's queue; each service has its own
};

}  // namespace fanwire::control
