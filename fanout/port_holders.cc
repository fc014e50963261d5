#include "fanout/port_holders.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "fanout/process_files.h"

namespace fanwire::fanout {

namespace {

constexpr absl::string_view kListening = "0A";  // the kernel's TCP_LISTEN, as in proc(5)

// An address as IPv6, an IPv4 one mapped.
using Bytes = std::array<uint8_t, 16>;

constexpr Bytes kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool IsV4(const Bytes& address) {
  return std::equal(address.begin(), address.begin() + 12, kMappedPrefix.begin());
}
bool IsAnyV6(const Bytes& address) { return address == Bytes{}; }
bool IsAny(const Bytes& address) { return IsAnyV6(address) || address == kMappedPrefix; }

bool ParseHost(absl::string_view host, Bytes* address) {
  const std::string text(host == "localhost" ? "127.0.0.1" : host);
  *address = kMappedPrefix;
  if (inet_pton(AF_INET, text.c_str(), address->data() + 12) == 1) return true;
  return inet_pton(AF_INET6, text.c_str(), address->data()) == 1;
}

// Reads "0100007F" or the 32 digits of an IPv6 address: words of the machine's byte order.
bool ParseTableAddress(absl::string_view hex, Bytes* address) {
  if (hex.size() != 8 && hex.size() != 32) return false;
  *address = kMappedPrefix;
  uint8_t* out = address->data() + (hex.size() == 8 ? 12 : 0);
  for (; !hex.empty(); hex.remove_prefix(8), out += 4) {
    uint32_t word = 0;
    if (!absl::SimpleHexAtoi(hex.substr(0, 8), &word)) return false;
    std::memcpy(out, &word, sizeof(word));
  }
  return true;
}

// Whether a connection could go to either.
bool Overlap(const Bytes& a, const Bytes& b) {
  if (a == b || IsAnyV6(a) || IsAnyV6(b)) return true;
  return (IsAny(a) && IsV4(b)) || (IsAny(b) && IsV4(a));
}

// Adds the numbers of the sockets that listen there.
void ReadTable(const char* path, const Bytes& address, uint16_t port, std::set<uint64_t>* inodes) {
  std::ifstream table(path);
  std::string line;
  std::getline(table, line);  // the headings
  while (std::getline(table, line)) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    if (fields.size() < 10) continue;
    // Listening sockets come first; of the others there may be very many.
    if (fields[3] != kListening) return;
    const std::pair<absl::string_view, absl::string_view> local = absl::StrSplit(fields[1], ':');
    Bytes listens;
    uint32_t number = 0;
    uint64_t inode = 0;
    if (absl::SimpleHexAtoi(local.second, &number) && number == port &&
        ParseTableAddress(local.first, &listens) && Overlap(address, listens) &&
        absl::SimpleAtoi(fields[9], &inode)) {
      inodes->insert(inode);
    }
  }
}

std::string CommandOf(pid_t pid) {
  std::string command;
  std::ifstream file(absl::StrCat("/proc/", pid, "/comm"));
  std::getline(file, command);
  return command;
}

// Takes the sockets of process `pid` out of `inodes`.  Returns whether there were any.
bool TakeSockets(pid_t pid, std::set<uint64_t>* inodes) {
  bool found = false;
  ForEachDescriptor(pid, [&](absl::string_view text) {
    uint64_t inode = 0;
    if (absl::ConsumePrefix(&text, "socket:[") && absl::ConsumeSuffix(&text, "]") &&
        absl::SimpleAtoi(text, &inode)) {
      found |= inodes->erase(inode) > 0;
    }
    return !inodes->empty();
  });
  return found;
}

}  // namespace

std::vector<PortHolder> PortHolders(absl::string_view host, uint16_t port) {
  std::vector<PortHolder> holders;
  Bytes address;
  if (port == 0 || !ParseHost(host, &address)) return holders;
  std::set<uint64_t> inodes;
  ReadTable("/proc/self/net/tcp", address, port, &inodes);
  ReadTable("/proc/self/net/tcp6", address, port, &inodes);
  if (inodes.empty()) return holders;
  // Workers first: the holder is most likely one, and then no other process is looked at.
  std::vector<std::pair<bool, pid_t>> pids;
  const std::string self = CommandOf(getpid());
  for (const pid_t pid : ProcessIds()) pids.emplace_back(CommandOf(pid) != self, pid);
  std::sort(pids.begin(), pids.end());
  for (const auto& [other, pid] : pids) {
    if (inodes.empty()) return holders;
    if (!TakeSockets(pid, &inodes) || pid == getpid()) continue;
    holders.push_back({.pid = pid, .command = CommandOf(pid)});
  }
  return holders;
}

absl::Status CheckPortHolders(absl::string_view host, uint16_t port,
                              const std::function<bool(pid_t)>& shares) {
  for (const PortHolder& holder : PortHolders(host, port)) {
    if (shares && shares(holder.pid)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat("the port is held by process ", holder.pid, " (", holder.command,
                     "), which is not a worker of this control; end that process or choose another "
                     "port"));
  }
  return absl::OkStatus();
}

}  // namespace fanwire::fanout
