// The limit of open files of this process (RLIMIT_NOFILE), which connections count into.
//
// Threading: any thread; the limit is the whole process's.
#pragma once

#include <cstdint>

namespace fanwire {

// Raises the soft limit to the hard one, which needs no privilege.  Returns the limit that holds
// now.  Call it at the start of a program that holds connections: many systems start programs with
// a soft limit of 1024.
uint64_t RaiseFileLimit();

}  // namespace fanwire
