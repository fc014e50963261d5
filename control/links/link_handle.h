// LinkHandle identifies a channel on one WorkerLink.
//
// Threading: values.
#pragma once

#include <cstdint>

namespace fanwire::control {

struct LinkHandle {
  uint32_t number = 0;  // the channel's number in the worker's messages; 0: not introduced yet
  uint32_t lane = 0;    // the lane of the channel's service in the link's queue
};

}  // namespace fanwire::control
