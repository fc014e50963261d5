#include "fanout/process_files.h"

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace fanwire::fanout {

namespace {

// Calls `each` with the name of every entry of the folder until it returns false.
void ForEachEntry(const std::string& path, absl::FunctionRef<bool(absl::string_view name)> each) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return;
  while (const dirent* const entry = readdir(folder.get())) {
    if (!each(entry->d_name)) return;
  }
}

}  // namespace

std::vector<pid_t> ProcessIds() {
  std::vector<pid_t> pids;
  ForEachEntry("/proc", [&](absl::string_view name) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(name, &pid)) pids.push_back(pid);
    return true;
  });
  return pids;
}

void ForEachDescriptor(pid_t pid, absl::FunctionRef<bool(absl::string_view target)> each) {
  const std::string folder = absl::StrCat("/proc/", pid, "/fd/");
  ForEachEntry(folder, [&](absl::string_view name) {
    std::array<char, 128> target;
    const ssize_t size = readlink(absl::StrCat(folder, name).c_str(), target.data(), target.size());
    if (size <= 0) return true;  // "." and "..", or closed meanwhile
    return each(absl::string_view(target.data(), static_cast<size_t>(size)));
  });
}

}  // namespace fanwire::fanout
