// WireFields writes the fields of one protobuf message into a buffer of fixed size on the stack.
// The functions beside it append fields of any size to a string.
//
// Threading: values and pure functions.
// Source:    protobuf.dev "Encoding"
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/wire/wire_reader.h"

namespace fanwire {

// The largest sizes, for field numbers below 16: of a number with its tag, and of the head (tag and
// size) of a text shorter than 16 KiB.
inline constexpr size_t kWireNumberBytes = 1 + 10;
inline constexpr size_t kWireHeadBytes = 1 + 2;
// The largest head of a text of any size, for field numbers below 16.
inline constexpr size_t kWireLongHeadBytes = 1 + 10;

inline size_t WireVarintSize(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

// The size of the head of a text or message of `size` bytes.
inline size_t WireHeadSize(int field, size_t size) {
  return WireVarintSize(WireTag(field, WireType::kBytes)) + WireVarintSize(size);
}

// Writes `value` at `out` and returns the end of what it wrote.
inline char* WriteWireVarint(uint64_t value, char* out) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}

inline void AppendWireVarint(uint64_t value, std::string* out) {
  char buffer[10];
  out->append(buffer, static_cast<size_t>(WriteWireVarint(value, buffer) - buffer));
}

// Appends the head of a text or message of `size` bytes.
inline void AppendWireHead(int field, size_t size, std::string* out) {
  AppendWireVarint(WireTag(field, WireType::kBytes), out);
  AppendWireVarint(size, out);
}

// Appends a text or message with its head.
inline void AppendWireBytes(int field, absl::string_view bytes, std::string* out) {
  AppendWireHead(field, bytes.size(), out);
  out->append(bytes.data(), bytes.size());
}

// The caller must make sure that the fields need no more than kMaxBytes.
template <size_t kMaxBytes>
class WireFields {
 public:
  // Writes a number; leaves out 0, as protobuf does.
  void Number(int field, uint64_t value) {
    if (value == 0) return;
    Put(WireTag(field, WireType::kVarint));
    Put(value);
  }
  void Bytes(int field, absl::string_view bytes) {
    Head(field, bytes.size());
    std::memcpy(bytes_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  // Writes the head of a text or message of `size` bytes, which the caller writes elsewhere.
  void Head(int field, size_t size) {
    Put(WireTag(field, WireType::kBytes));
    Put(size);
  }

  absl::string_view bytes() const { return {bytes_.data(), size_}; }
  size_t size() const { return size_; }

 private:
  void Put(uint64_t number) {
    char* const at = bytes_.data() + size_;
    size_ += static_cast<size_t>(WriteWireVarint(number, at) - at);
  }

  std::array<char, kMaxBytes> bytes_;
  size_t size_ = 0;
};

}  // namespace fanwire
