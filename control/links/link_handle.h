// How a WorkerLink knows a channel.
//
// Threading: values.
#pragma once

#include <cstdint>

namespace fanwire::control {

struct LinkHandle {
  uint32_t number = 0;  // the one that the worker knows; 0: not introduced
  uint32_t lane = 0;    // of the link's queue: that of the service
};

}  // namespace fanwire::control
