#include "control/events/fingerprint.h"

#include <bit>
#include <cstddef>
#include <cstring>

#define XXH_INLINE_ALL  // header only: no library to link
#include <xxhash.h>

namespace fanwire::control {

namespace {

// A change of these functions, or of what is passed to them, changes fingerprints that are stored.

// The hash of a text.  XXH3 hashes the text's length too.
uint64_t HashText(absl::string_view text) { return XXH3_64bits(text.data(), text.size()); }

// The bytes of a word in the order that a little-endian machine gives them.
uint64_t LittleEndian(uint64_t word) {
  return std::endian::native == std::endian::big ? __builtin_bswap64(word) : word;
}

// What words are hashed for.  The numbers count, so that {} is not [].
enum class Kind : uint64_t { kEvent = 1, kObject, kMember, kList, kItem, kMessage, kField };

// The hash of a fixed number of words, whose order counts.  Each text is one word, its hash, so
// that "ab" and "c" are not "a" and "bc".
template <typename... Words>
uint64_t HashWords(Kind kind, Words... words) {
  const uint64_t bytes[] = {LittleEndian(words)...};
  return XXH3_64bits_withSeed(bytes, sizeof(bytes), static_cast<uint64_t>(kind));
}

// Reads one JSON text from its start to its end.  Protobuf, which wrote it, nests a hundred levels
// at most.
class JsonHasher {
 public:
  explicit JsonHasher(absl::string_view json) : rest_(json) {}

  // The hash of the value that comes next.
  uint64_t Value() {
    SkipSpace();
    if (rest_.empty()) return 0;
    switch (rest_.front()) {
      case '{':
        return Object();
      case '[':
        return List();
      case '"':
        return HashText(Text());
      default:
        return HashText(Literal());
    }
  }

 private:
  uint64_t Object() {
    uint64_t members = 0;
    uint64_t count = 0;
    for (rest_.remove_prefix(1); !End('}'); ++count) {
      const absl::string_view key = Text();
      SkipSpace();
      if (!rest_.empty()) rest_.remove_prefix(1);                   // the colon
      members += HashWords(Kind::kMember, HashText(key), Value());  // in any order
    }
    return HashWords(Kind::kObject, count, members);
  }

  uint64_t List() {
    uint64_t items = 0;
    uint64_t count = 0;
    for (rest_.remove_prefix(1); !End(']'); ++count) items = HashWords(Kind::kItem, items, Value());
    return HashWords(Kind::kList, count, items);
  }

  // Goes on to what is next within an object or list.  Returns whether it has ended.
  bool End(char bracket) {
    SkipSpace();
    if (!rest_.empty() && rest_.front() == ',') {
      rest_.remove_prefix(1);
      SkipSpace();
    }
    if (rest_.empty()) return true;
    if (rest_.front() != bracket) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // A text with its quotes and escapes, as it stands.
  absl::string_view Text() {
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2 : 1;
    return Take(end + 1);
  }

  // A number, true, false or null.
  absl::string_view Literal() {
    const size_t end = rest_.find_first_of(",]} \t\r\n");
    return Take(end == 0 ? 1 : end);
  }

  absl::string_view Take(size_t bytes) {
    const absl::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  void SkipSpace() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n' ||
                              rest_.front() == '\t' || rest_.front() == '\r')) {
      rest_.remove_prefix(1);
    }
  }

  absl::string_view rest_;
};

// Reads a serialized message, and in it the messages that its texts may be.
class MessageHasher {
 public:
  // Below so many levels bytes are taken as they are.
  static constexpr int kMaxDepth = 32;

  // Returns false if the bytes are no message.
  static bool Hash(absl::string_view bytes, int depth, uint64_t* hash) {
    uint64_t fields = 0;
    uint64_t count = 0;
    for (; !bytes.empty(); ++count) {
      uint64_t tag = 0, value = 0;
      if (!TakeVarint(&bytes, &tag) || tag >> 3 == 0) return false;
      switch (tag & 7) {
        case 0:
          if (!TakeVarint(&bytes, &value)) return false;
          break;
        case 1:
        case 5: {
          const size_t size = (tag & 7) == 1 ? 8 : 4;
          if (bytes.size() < size) return false;
          std::memcpy(&value, bytes.data(), size);
          value = LittleEndian(value);
          bytes.remove_prefix(size);
          break;
        }
        case 2: {
          uint64_t size = 0;
          if (!TakeVarint(&bytes, &size) || size > bytes.size()) return false;
          const absl::string_view text = bytes.substr(0, size);
          if (depth == kMaxDepth || !Hash(text, depth + 1, &value)) value = HashText(text);
          bytes.remove_prefix(size);
          break;
        }
        default:
          return false;
      }
      fields += HashWords(Kind::kField, tag, value);  // in any order
    }
    *hash = HashWords(Kind::kMessage, count, fields);
    return true;
  }

 private:
  static bool TakeVarint(absl::string_view* bytes, uint64_t* value) {
    for (size_t i = 0; i < bytes->size() && i < 10; ++i) {
      const auto byte = static_cast<unsigned char>((*bytes)[i]);
      *value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        bytes->remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }
};

}  // namespace

uint64_t JsonFingerprint(absl::string_view json) { return JsonHasher(json).Value(); }

uint64_t MessageFingerprint(absl::string_view bytes) {
  uint64_t hash = 0;
  if (!MessageHasher::Hash(bytes, 0, &hash)) hash = HashText(bytes);
  return hash | 1;
}

uint64_t Fingerprint(const Event& event) {
  const uint64_t payload = event.typed_hash != 0     ? event.typed_hash
                           : event.typed_url.empty() ? HashText(event.json)
                                                     : JsonFingerprint(event.json);
  return HashWords(Kind::kEvent, HashText(event.channel), HashText(event.event),
                   HashText(event.typed_url), payload);
}

}  // namespace fanwire::control
