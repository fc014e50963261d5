// EventIds makes ids of the form of UUIDs: random bits that are one publisher's, then the seq.
//
// Threading: none; the publisher guards it with its mutex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string_view>

namespace fanwire::client {

class EventIds {
 public:
  EventIds() {
    std::random_device random;
    const auto bits = [&random] { return static_cast<uint64_t>(random()) << 32 | random(); };
    const uint64_t high = bits(), low = bits();
    // Version 8, "custom", and the variant of RFC 9562.
    std::snprintf(text_, sizeof(text_), "%08x-%04x-8%03x-%04x-%012x",
                  static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                  static_cast<unsigned>(high & 0xfff), static_cast<unsigned>(low & 0x3fff) | 0x8000,
                  0U);
  }

  // The id with this seq; valid until the next call.
  std::string_view Make(uint64_t seq) {
    static constexpr char kDigits[] = "0123456789abcdef";
    for (size_t i = kBytes; i > kFixedBytes; seq >>= 4) text_[--i] = kDigits[seq & 15];
    return {text_, kBytes};
  }

 private:
  static constexpr size_t kBytes = 36;
  static constexpr size_t kFixedBytes = 24;
  char text_[kBytes + 1] = {};
};

}  // namespace fanwire::client
