// Checks whether a text has no special characters, as is the case for most names, ids and keys.
// The functions read eight bytes at a time and so avoid slower checks of each byte.
//
// Threading: pure functions.
// Cost:      a few nanoseconds for 36 bytes.
#pragma once

#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace fanwire {

namespace plain_text_internal {

inline constexpr uint64_t kOnes = 0x0101010101010101;
inline constexpr uint64_t kHighs = 0x8080808080808080;

// Returns faults(word) of all eight-byte words of `text`, combined with OR.  The last word may
// overlap the one before it; a text shorter than a word is padded with 'x'.
template <typename Faults>
inline uint64_t OfAllWords(absl::string_view text, Faults faults) {
  const char* at = text.data();
  const size_t size = text.size();
  uint64_t word = kOnes * 'x';
  if (size < sizeof(word)) {
    for (size_t i = 0; i < size; ++i) {
      word = (word << 8) | static_cast<unsigned char>(at[i]);
    }
    return faults(word);
  }
  uint64_t found = 0;
  const char* const last = at + size - sizeof(word);
  for (; at < last; at += sizeof(word)) {
    std::memcpy(&word, at, sizeof(word));
    found |= faults(word);
  }
  std::memcpy(&word, last, sizeof(word));
  return found | faults(word);
}

// Sets the high bit of each zero byte.  If there is a zero byte, other high bits may be set too.
inline uint64_t Zeros(uint64_t word) { return (word - kOnes) & ~word; }

}  // namespace plain_text_internal

// Whether all bytes are printable ASCII, 0x20 to 0x7e.
inline bool IsPrintableAscii(absl::string_view text) {
  using plain_text_internal::kOnes;
  // Subtraction sets the high bit of a byte below 0x20; addition sets that of a 0x7f.
  const uint64_t faults = plain_text_internal::OfAllWords(
      text, [](uint64_t word) { return word | (word - kOnes * 0x20) | (word + kOnes); });
  return (faults & plain_text_internal::kHighs) == 0;
}

// Whether JSON needs no escapes in `text`: it has no control character, quote or backslash.
inline bool IsPlainJsonText(absl::string_view text) {
  using plain_text_internal::kOnes;
  using plain_text_internal::Zeros;
  const uint64_t faults = plain_text_internal::OfAllWords(text, [](uint64_t word) {
    return ((word - kOnes * 0x20) & ~word) | Zeros(word ^ kOnes * '"') | Zeros(word ^ kOnes * '\\');
  });
  return (faults & plain_text_internal::kHighs) == 0;
}

}  // namespace fanwire
