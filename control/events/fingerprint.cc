#include "control/events/fingerprint.h"

#include <cstddef>

namespace fanwire::control {

namespace {

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
        return absl::HashOf(Text());
      default:
        return absl::HashOf(Literal());
    }
  }

 private:
  // Kinds of values, so that {} is not [].
  enum class Kind : uint8_t { kObject, kList };

  uint64_t Object() {
    uint64_t members = 0;
    uint64_t count = 0;
    for (rest_.remove_prefix(1); !End('}'); ++count) {
      const absl::string_view key = Text();
      SkipSpace();
      if (!rest_.empty()) rest_.remove_prefix(1);  // the colon
      members += absl::HashOf(key, Value());       // in any order
    }
    return absl::HashOf(Kind::kObject, count, members);
  }

  uint64_t List() {
    uint64_t items = 0;
    uint64_t count = 0;
    for (rest_.remove_prefix(1); !End(']'); ++count) items = absl::HashOf(items, Value());
    return absl::HashOf(Kind::kList, count, items);
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

}  // namespace

uint64_t JsonFingerprint(absl::string_view json) { return JsonHasher(json).Value(); }

}  // namespace fanwire::control
