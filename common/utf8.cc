#include "common/utf8.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/plain_text.h"

namespace fanwire {
namespace {

constexpr size_t kQuotedBytes = 64;
constexpr absl::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// How many bytes the character at the beginning of `text` has; 0: it is not UTF-8.  Not for an
// empty text.
size_t CharacterBytes(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  uint8_t low = 0x80, high = 0xbf;  // range of the second byte
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;   // shorter forms exist
    if (lead == 0xed) high = 0x9f;  // surrogates
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;   // shorter forms exist
    if (lead == 0xf4) high = 0x8f;  // beyond U+10FFFF
  } else {
    return 0;
  }
  if (length > text.size() || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

// The code point of one character of UTF-8.
uint32_t CodePoint(absl::string_view character) {
  if (character.size() == 1) return static_cast<uint8_t>(character[0]);
  uint32_t code = static_cast<uint8_t>(character[0]) & (0xffu >> (character.size() + 1));
  for (const char c : character.substr(1)) code = (code << 6) | (static_cast<uint8_t>(c) & 0x3fu);
  return code;
}

bool IsNoncharacter(uint32_t code) {
  return (code & 0xfffe) == 0xfffe || (code >= 0xfdd0 && code <= 0xfdef);
}

}  // namespace

size_t FirstBadUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = CharacterBytes(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return absl::string_view::npos;
}

std::string TextFault(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = CharacterBytes(text.substr(i));
    if (length == 0) {
      return absl::StrFormat("byte 0x%02X (byte %d of the text) is not UTF-8",
                             static_cast<uint8_t>(text[i]), i + 1);
    }
    const uint32_t code = CodePoint(text.substr(i, length));
    if (code == 0) {
      return absl::StrCat("byte ", i + 1, " of the text is a NUL character; remove it");
    }
    if (IsNoncharacter(code)) {
      return absl::StrFormat("U+%04X (byte %d of the text) is not a character; remove it", code,
                             i + 1);
    }
    i += length;
  }
  return "";
}

std::string ToUtf8(absl::string_view text, size_t max_bytes) {
  if (IsPrintableAscii(text)) return std::string(text.substr(0, max_bytes));
  std::string made;
  made.reserve(std::min(text.size(), max_bytes));
  while (!text.empty()) {
    const size_t size = CharacterBytes(text);
    const absl::string_view character = size == 0 ? kReplacement : text.substr(0, size);
    if (character.size() > max_bytes - made.size()) break;
    made.append(character.data(), character.size());
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return made;
}

std::string QuotedText(absl::string_view text) {
  size_t shown = 0;
  while (shown < text.size()) {
    const size_t length = CharacterBytes(text.substr(shown));
    if (length == 0 || shown + length > kQuotedBytes) break;
    shown += length;
  }
  if (shown == text.size()) return absl::StrCat("\"", absl::Utf8SafeCEscape(text), "\"");
  // A text that is not UTF-8 is shown byte by byte.
  const bool broken = CharacterBytes(text.substr(shown)) == 0;
  if (!broken) return absl::StrCat("\"", absl::Utf8SafeCEscape(text.substr(0, shown)), "…\"");
  const bool cut = text.size() > kQuotedBytes;
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kQuotedBytes)), cut ? "…\"" : "\"");
}

}  // namespace fanwire
