// What another process has used, from /proc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fanwire::bench {

struct ProcessUse {
  double cpu_seconds = 0;     // all threads, user and kernel
  double user_seconds = 0;    // the user part, at the kernel's tick resolution
  double system_seconds = 0;  // the kernel's part, likewise
  int64_t pss_bytes = 0;      // proportional share of resident memory
};

// Sums over `pids`; one that is gone counts as 0.
ProcessUse UseOf(const std::vector<int>& pids);

// Only the CPU time of `pids`, which is cheaper to ask for.
double CpuSecondsOf(const std::vector<int>& pids);

// Prints `json` and ends the process at once.  The gRPC library would now and then wait 10
// or 20 s before it ends, for its backup poller (1.51; grpc_core::Executor::ShutdownAll).
[[noreturn]] void PrintAndExit(const std::string& json);

// CLOCK_MONOTONIC in nanoseconds: the same in every process of this machine.
int64_t MonotonicNs();

}  // namespace fanwire::bench
