#include "fanout/instance.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/address.h"
#include "fanout/process_files.h"

namespace fanwire::fanout {

namespace {

// The value of --control on the process's command line; empty if there is none.
std::string ControlOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/cmdline"));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::vector<absl::string_view> words = absl::StrSplit(text, '\0');
  for (size_t i = 1; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (word == "--control" && i + 1 < words.size()) return std::string(words[i + 1]);
    if (absl::ConsumePrefix(&word, "--control=")) return std::string(word);
  }
  return "";
}

// Whether both processes mean the same folder by the path: each may see other file systems.
bool SameFolder(pid_t pid, const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  struct stat here = {}, there = {};
  return stat(folder.c_str(), &here) == 0 &&
         stat(absl::StrCat("/proc/", pid, "/root", folder).c_str(), &there) == 0 &&
         here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

bool SameControl(const std::string& ours, pid_t pid) {
  const auto here = ParseAddress(ours);
  const auto there = ParseAddress(ControlOf(pid));
  if (!here.ok() || !there.ok() || here->is_unix() != there->is_unix()) return false;
  if (here->is_unix())
    return here->unix_path == there->unix_path && SameFolder(pid, here->unix_path);
  return here->port == there->port &&
         (here->host == there->host || (IsLoopback(here->host) && IsLoopback(there->host)));
}

// Whether the process has a descriptor whose file has this name.
bool HasMark(pid_t pid, const std::string& name) {
  const std::string wanted = absl::StrCat("/memfd:", name, " (deleted)");
  bool found = false;
  ForEachDescriptor(pid, [&](absl::string_view target) {
    found = target == wanted;
    return !found;
  });
  return found;
}

}  // namespace

Instance::Instance(std::string control) : control_(std::move(control)) {}

Instance::~Instance() {
  if (mark_ >= 0) close(mark_);
}

void Instance::Attached(uint64_t control_incarnation) {
  std::string name = absl::StrCat("fanwire-control-", control_incarnation);
  if (name == mark_name_) return;
  if (mark_ >= 0) close(mark_);
  mark_ = memfd_create(name.c_str(), MFD_CLOEXEC);
  mark_name_ = std::move(name);
}

bool Instance::Includes(pid_t pid) const {
  return SameControl(control_, pid) || (!mark_name_.empty() && HasMark(pid, mark_name_));
}

}  // namespace fanwire::fanout
