#include "tests/bench/process_stats.h"

#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

namespace fanwire::bench {
namespace {

// schedstat counts nanoseconds on the CPU, exactly, but per thread.
double CpuSeconds(const std::string& proc) {
  double total = 0;
  const std::string tasks = proc + "/task";
  DIR* dir = opendir(tasks.c_str());
  if (dir == nullptr) return 0;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file(tasks + "/" + entry->d_name + "/schedstat");
    double nanoseconds = 0;
    if (file >> nanoseconds) total += nanoseconds * 1e-9;
  }
  closedir(dir);
  return total;
}

void AddUserAndSystem(const std::string& proc, ProcessUse* use) {
  std::ifstream file(proc + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return;
  std::istringstream rest(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) rest >> skipped;
  double user = 0, system = 0;
  rest >> user >> system;
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  use->user_seconds += user / ticks_per_second;
  use->system_seconds += system / ticks_per_second;
}

int64_t PssBytes(const std::string& proc) {
  std::ifstream file(proc + "/smaps_rollup");
  std::string word;
  while (file >> word) {
    if (word == "Pss:") {
      int64_t kib = 0;
      file >> kib;
      return kib * 1024;
    }
  }
  return 0;
}

}  // namespace

ProcessUse UseOf(const std::vector<int>& pids) {
  ProcessUse use;
  for (const int pid : pids) {
    const std::string proc = "/proc/" + std::to_string(pid);
    use.cpu_seconds += CpuSeconds(proc);
    AddUserAndSystem(proc, &use);
    use.pss_bytes += PssBytes(proc);
  }
  return use;
}

double CpuSecondsOf(const std::vector<int>& pids) {
  double total = 0;
  for (const int pid : pids) total += CpuSeconds("/proc/" + std::to_string(pid));
  return total;
}

void PrintAndExit(const std::string& json) {
  std::printf("%s\n", json.c_str());
  std::fflush(stdout);
  std::_Exit(0);
}

int64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace fanwire::bench
