// WireReader goes through one protobuf message in place: where every event passes, building its
// object would cost more than all that is done with it.
//
//   WireReader reader(bytes);
//   while (reader.Next()) {
//     switch (reader.tag()) {
//       case WireTag(v1::Event::kServiceFieldNumber, WireType::kBytes): service = reader.Bytes();
//       break; default: reader.Skip();
//     }
//   }
//   if (!reader.ok()) …  // malformed
//
// A singular field may come again: who takes the last one, and goes on in what is there of a
// message, does as protobuf demands.
//
// Threading: of its user.  Nothing is copied: what it returns lies in `bytes`.
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

  // Goes to the next field, whose value must have been taken or skipped before; false at the end,
  // and where the bytes are no message.
  bool Next() {
    if (at_ == end_) return false;
    const uint64_t tag = RawVarint(kMaxTagBytes);
    tag_ = static_cast<uint32_t>(tag);
    if (tag_ >> 3 == 0) Fail();
    return ok_;
  }

  uint32_t tag() const { return tag_; }

  // The value of a field of that type; 0 or empty where the bytes are no message.
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
  // Leaves the value out, of whatever type.
  void Skip() { SkipValue(0); }

  // False once something was malformed; Next() is, too, from then on.
  bool ok() const { return ok_; }

 private:
  static constexpr int kMaxTagBytes = 5;  // and of sizes
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
