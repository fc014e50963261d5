// An incarnation is the number of one process among those that have the same name one after
// another, such as "worker-0".
//
// It is the time of the process's start since its machine was started, so that setting the wall
// clock does not change the order of processes, and tells starts of machines apart.
//
// Threading: pure functions.
#pragma once

#include <cstdint>

namespace fanwire {

// A number for this process: a later call returns a higher one, until the machine is started again.
uint64_t NewIncarnation();

// Whether the process `a` is known to have started before `b`.  Processes of different starts of
// machines cannot be compared: neither is known to be the earlier one.
bool IsEarlierIncarnation(uint64_t a, uint64_t b);

}  // namespace fanwire
