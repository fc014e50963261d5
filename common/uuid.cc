#include "common/uuid.h"

#include <array>
#include <cstring>

#include "absl/random/random.h"

namespace fanwire {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// The two hexadecimal digits of each byte.
constexpr std::array<std::array<char, 2>, 256> kHexPairs = [] {
  std::array<std::array<char, 2>, 256> pairs{};
  for (size_t byte = 0; byte < pairs.size(); ++byte) {
    pairs[byte] = {kHex[byte >> 4], kHex[byte & 15]};
  }
  return pairs;
}();

// The index in the text of each of the 16 bytes; the groups have 8-4-4-4-12 digits.
constexpr size_t kPlaces[] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
constexpr size_t kTextBytes = 36;

// The value of each lower-case hexadecimal digit; 0xff for any other character.
constexpr std::array<uint8_t, 256> kHexValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(0xff);
  for (uint8_t value = 0; value < 16; ++value) {
    values[static_cast<unsigned char>(kHex[value])] = value;
  }
  return values;
}();

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

void AppendUuid(std::string* out) {
  const uint64_t bits[2] = {Random64(), Random64()};
  UuidBytes bytes;
  std::memcpy(bytes.data(), bits, sizeof(bits));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;  // the version
  bytes[8] = (bytes[8] & 0x3f) | 0x80;  // the variant
  AppendUuidOf(bytes, out);
}

void AppendUuidOf(const UuidBytes& bytes, std::string* out) {
  char text[] = "00000000-0000-0000-0000-000000000000";
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::memcpy(text + kPlaces[i], kHexPairs[bytes[i]].data(), 2);
  }
  out->append(text, kTextBytes);
}

bool UuidToBytes(absl::string_view text, UuidBytes* bytes) {
  if (text.size() != kTextBytes) return false;
  if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return false;
  uint8_t digits = 0;  // all of them, combined with OR
  for (size_t i = 0; i < bytes->size(); ++i) {
    const uint8_t high = kHexValues[static_cast<unsigned char>(text[kPlaces[i]])];
    const uint8_t low = kHexValues[static_cast<unsigned char>(text[kPlaces[i] + 1])];
    digits |= high | low;
    (*bytes)[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digits < 16;
}

std::string NewUuid() {
  std::string text;
  AppendUuid(&text);
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
