// Keys and small values of the rocksdb engine's database (proto/fanwire/v1/store.proto).
//
// Threading: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "control/engine/rocksdb_store.h"
#include "control/events/publication.h"

namespace fanwire::control {

// Big-endian, so that keys are in the order of numbers.
inline void WriteBigEndian(uint64_t value, char* out) {
  for (int i = 7; i >= 0; --i, value >>= 8) out[i] = static_cast<char>(value & 0xff);
}
inline uint64_t ReadBigEndian(const char* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// The key in the column `heads`.
struct HeadKey {
  static constexpr size_t kBytes = 8;

  explicit HeadKey(Epoch epoch) { WriteBigEndian(epoch.value, bytes); }

  char bytes[kBytes];
};

// The key in the column `history`.
struct HistoryKey {
  static constexpr size_t kBytes = 16;

  HistoryKey(Epoch epoch, int64_t offset) {
    WriteBigEndian(epoch.value, bytes);
    WriteBigEndian(static_cast<uint64_t>(offset), bytes + 8);
  }

  char bytes[kBytes];
};

void WriteHead(const ChannelHead& head, std::string* value);
// False if `value` is malformed.
bool ReadHead(absl::string_view value, ChannelHead* head);

std::string WriteEpoch(Epoch epoch);
bool ReadEpoch(absl::string_view value, Epoch* epoch);

}  // namespace fanwire::control
