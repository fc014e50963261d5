// What the kernel tells of the processes of this machine, in /proc.
//
// Threading: pure functions.
// Cost:      system calls; for the start and for reloads.
// Source:    proc(5)
#pragma once

#include <sys/types.h>

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace fanwire::fanout {

// The ids of all processes, in no order.
std::vector<pid_t> ProcessIds();

// Calls `each` with what a descriptor of the process is ("socket:[4711]", "/memfd:x (deleted)"; cut
// at 128 bytes), for one descriptor after the other until `each` returns false.  For a process that
// is gone, or that this one may not look at, it is not called.
void ForEachDescriptor(pid_t pid, absl::FunctionRef<bool(absl::string_view target)> each);

}  // namespace fanwire::fanout
