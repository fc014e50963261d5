// WireReader reads the fields of one protobuf message in place.  It is for code that runs for every
// event, where parsing into a message object would cost more than the rest of the work.
//
//   WireReader reader(bytes);
//   while (reader.Next()) {
//     if (reader.tag() == BytesTag(v1::Event::kServiceFieldNumber)) service = reader.Bytes();
//     else reader.Skip();
//   }
//   if (!reader.ok()) …  // malformed
//
// A field that is not repeated may still occur several times.  Protobuf requires that its last
// value counts, and that the occurrences of a message field are merged.
//
// Threading: belongs to one thread.
// Ownership: borrows `bytes`; the values that it returns point into them.
// Cost:      one pass over the fields that are read; copies nothing.
// Source:    protobuf.dev "Encoding"
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace fanwire {

enum class WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

constexpr uint32_t WireTag(int field, WireType type) {
  return static_cast<uint32_t>(field) << 3 | static_cast<uint32_t>(type);
}

constexpr uint32_t BytesTag(int field) { return WireTag(field, WireType::kBytes); }
constexpr uint32_t VarintTag(int field) { return WireTag(field, WireType::kVarint); }

class WireReader {
 public:
  explicit WireReader(absl::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // Moves to the next field.  The value of the current field must have been read or skipped.
  // Returns false at the end of the message and if the message is malformed.
  bool Next() {
    if (at_ == end_) return false;
    const uint64_t tag = RawVarint(kMaxTagBytes);
    tag_ = static_cast<uint32_t>(tag);
    if (tag_ >> 3 == 0) Fail();
    return ok_;
  }

  uint32_t tag() const { return tag_; }

  // Read the value of a field of this type.  Return 0 or an empty text if the message is malformed.
  uint64_t Varint() { return RawVarint(kMaxVarintBytes); }
  absl::string_view Bytes() {
    const uint64_t size = RawVarint(kMaxTagBytes);
    if (size > static_cast<uint64_t>(end_ - at_)) {
      Fail();
      return {};
    }
    const absl::string_view bytes(at_, static_cast<size_t>(size));
    at_ += size;
    return bytes;
  }
  // Skips the value, whatever its type.
  void Skip() { SkipValue(0); }

  // False if the message is malformed so far; Next() then returns false too.
  bool ok() const { return ok_; }

 private:
  static constexpr int kMaxTagBytes = 5;  // longest tag or size
  static constexpr int kMaxVarintBytes = 10;
  static constexpr int kMaxGroupDepth = 100;

  uint64_t RawVarint(int max_bytes) {
    if (at_ != end_ && static_cast<unsigned char>(*at_) < 0x80) {
      return static_cast<unsigned char>(*at_++);
    }
    return LongVarint(max_bytes);
  }

  uint64_t LongVarint(int max_bytes) {
    uint64_t value = 0;
    for (int i = 0; i < max_bytes && at_ != end_; ++i) {
      const auto byte = static_cast<unsigned char>(*at_++);
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }

  void SkipBytes(size_t count) {
    if (count > static_cast<size_t>(end_ - at_)) return Fail();
    at_ += count;
  }

  void SkipValue(int depth) {
    switch (static_cast<WireType>(tag_ & 7)) {
      case WireType::kVarint:
        Varint();
        return;
      case WireType::kFixed64:
        return SkipBytes(8);
      case WireType::kBytes:
        Bytes();
        return;
      case WireType::kGroup: {
        if (depth == kMaxGroupDepth) return Fail();
        const uint32_t end = (tag_ & ~7U) | static_cast<uint32_t>(WireType::kEndGroup);
        while (Next()) {
          if (tag_ == end) return;
          SkipValue(depth + 1);
        }
        return Fail();
      }
      case WireType::kFixed32:
        return SkipBytes(4);
      default:
        return Fail();
    }
  }

  void Fail() {
    ok_ = false;
    at_ = end_;
  }

  const char* at_;
  const char* end_;
  uint32_t tag_ = 0;
  bool ok_ = true;
};

}  // namespace fanwire
