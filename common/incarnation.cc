#include "common/incarnation.h"

#include <ctime>
#include <fstream>
#include <string>

namespace fanwire {

namespace {

// The lower bits are microseconds, enough for nine years.  The upper bits tell apart starts of
// machines.
constexpr int kTimeBits = 48;

// A hash of the kernel's number for this start of the machine, never 0.
uint64_t BootHash() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  hash >>= kTimeBits;
  return hash == 0 ? 1 : hash;
}

}  // namespace

uint64_t NewIncarnation() {
  static const uint64_t boot = BootHash();
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const auto us =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
  return boot << kTimeBits | (us & ((uint64_t{1} << kTimeBits) - 1));
}

bool IsEarlierIncarnation(uint64_t a, uint64_t b) {
  return a >> kTimeBits == b >> kTimeBits && a < b;
}

}  // namespace fanwire
