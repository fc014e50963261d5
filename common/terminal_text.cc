#include "common/terminal_text.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/plain_text.h"

namespace fanwire {
namespace {

constexpr uint32_t kNonJoiner = 0x200c;
constexpr uint32_t kJoiner = 0x200d;
// Scripts that use joiners, and symbols, are beyond the Latin letters.
constexpr uint32_t kFirstJoinable = 0x0300;

// How one unsafe character is written.
void AppendEscape(uint32_t code_point, std::string* out) {
  if (code_point == '\n') {
    out->append("\\n");
  } else if (code_point == '\t') {
    out->append("\\t");
  } else if (code_point == '\r') {
    out->append("\\r");
  } else if (code_point < 0xa0) {
    absl::StrAppendFormat(out, "\\x%02x", code_point);
  } else if (code_point < 0x10000) {
    absl::StrAppendFormat(out, "\\u%04x", code_point);
  } else {
    absl::StrAppendFormat(out, "\\U%08x", code_point);
  }
}

void AppendJsonEscape(uint32_t code_point, std::string* out) {
  if (code_point < 0x20) {
    out->push_back(' ');
  } else if (code_point < 0x10000) {
    absl::StrAppendFormat(out, "\\u%04x", code_point);
  } else {
    const uint32_t rest = code_point - 0x10000;
    absl::StrAppendFormat(out, "\\u%04x\\u%04x", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
  }
}

// Copies `text`, and gives each character that may not stay to `append_unsafe` and each byte that
// is not UTF-8 to `append_bad`.
template <typename AppendUnsafe, typename AppendBad>
std::string Escape(absl::string_view text, AppendUnsafe append_unsafe, AppendBad append_bad) {
  if (IsPrintableAscii(text)) return std::string(text);
  std::string out;
  out.reserve(text.size() + 16);
  uint32_t before = 0;  // the previous character, if it was copied
  while (!text.empty()) {
    const Utf8Char point = FirstUtf8Char(text);
    const absl::string_view bytes = text.substr(0, point.bytes);
    text.remove_prefix(point.bytes);
    if (!point.valid) {
      append_bad(point.value, &out);
      before = 0;
      continue;
    }
    bool unsafe = IsUnsafeOnTerminal(point.value);
    if (point.value == kJoiner || point.value == kNonJoiner) {
      const uint32_t after = text.empty() ? 0 : FirstUtf8Char(text).value;
      unsafe = before < kFirstJoinable || after < kFirstJoinable || IsUnsafeOnTerminal(after);
    }
    if (unsafe) {
      append_unsafe(point.value, &out);
      before = 0;
    } else {
      out.append(bytes.data(), bytes.size());
      before = point.value;
    }
  }
  return out;
}

}  // namespace

Utf8Char FirstUtf8Char(absl::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xf0 && first < 0xf5   ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc2 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || text.size() < length) return {first, 1, false};
  uint32_t value = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {first, 1, false};
    value = value << 6 | (byte(i) & 0x3fu);
  }
  // Longer than needed, a surrogate, or beyond the last code point.
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff) {
    return {first, 1, false};
  }
  return {value, length, true};
}

bool IsUnsafeOnTerminal(uint32_t code_point) {
  struct Range {
    uint32_t from, to;
  };
  static constexpr Range kUnsafe[] = {
      {0x0000, 0x001f},    // C0
      {0x007f, 0x009f},    // DEL, C1
      {0x00ad, 0x00ad},    // soft hyphen
      {0x061c, 0x061c},    // Arabic letter mark
      {0x180e, 0x180e},    // Mongolian vowel separator
      {0x200b, 0x200f},    // zero width space, joiners, direction marks
      {0x2028, 0x202e},    // line and paragraph separators, embeddings and overrides of direction
      {0x2060, 0x206f},    // word joiner, invisible operators, isolates
      {0x3164, 0x3164},    // Hangul filler
      {0xfeff, 0xfeff},    // zero width no-break space
      {0xffa0, 0xffa0},    // halfwidth Hangul filler
      {0xfff0, 0xfffb},    // interlinear annotations
      {0x1bca0, 0x1bca3},  // shorthand controls
      {0x1d173, 0x1d17a},  // musical controls
      {0xe0000, 0xe0fff},  // tags
  };
  return std::any_of(std::begin(kUnsafe), std::end(kUnsafe), [&](const Range& range) {
    return code_point >= range.from && code_point <= range.to;
  });
}

std::string EscapeControls(absl::string_view text) {
  return Escape(text, AppendEscape, [](uint32_t byte, std::string* out) {
    absl::StrAppendFormat(out, "\\x%02x", byte);
  });
}

std::string EscapeJsonControls(absl::string_view json) {
  return Escape(json, AppendJsonEscape,
                [](uint32_t, std::string* out) { out->append("\xef\xbf\xbd"); });
}

}  // namespace fanwire
