#include "common/uuid.h"

#include "absl/random/random.h"

namespace fanwire {
namespace {

constexpr char kHex[] = "0123456789abcdef";

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

uint64_t Random64() {
  thread_local absl::BitGen generator;  // seeds itself from the system
  return absl::Uniform<uint64_t>(generator);
}

std::string RandomHex64() {
  std::string text(16, '0');
  uint64_t value = Random64();
  for (char& c : text) {
    c = kHex[value & 15];
    value >>= 4;
  }
  return text;
}

std::string NewUuid() {
  uint64_t bits[2] = {Random64(), Random64()};
  std::string text(36, '-');
  int nibble = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) continue;
    text[i] = kHex[bits[nibble / 16] >> (4 * (nibble % 16)) & 15];
    ++nibble;
  }
  text[14] = '4';
  text[19] = kHex[8 | (bits[1] & 3)];
  return text;
}

bool IsUuid4(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return false;
    } else if (!IsHex(text[i])) {
      return false;
    }
  }
  const char variant = text[19];
  return text[14] == '4' && (variant == '8' || variant == '9' || variant == 'a' || variant == 'b' ||
                             variant == 'A' || variant == 'B');
}

}  // namespace fanwire
