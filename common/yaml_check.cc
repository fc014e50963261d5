#include "common/yaml_check.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/utf8.h"

namespace fanwire {
namespace {

// What a part of the tree takes, with every alias replaced.
struct Extent {
  size_t nodes = 1;
  size_t bytes = 0;
  size_t depth = 0;  // of lists and maps in each other
};

// Thrown through the parser, which cannot be ended otherwise.
struct Refusal {
  YAML::Mark mark;
  std::string text;
};

[[noreturn]] void Refuse(const YAML::Mark& mark, const std::string& text) {
  throw Refusal{.mark = mark, .text = text};
}

// Follows the parser's events and adds up what the tree would take.
class TreeMeter final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) {
      Refuse(mark,
             "a second YAML document begins here; the configuration is the first one alone, so "
             "remove the \"---\" or what follows");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Leaf(mark, anchor, 0); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool quoted = tag == "!";
    if (value == "<<" && !quoted && !open_.empty() && open_.back().NextIsKey()) {
      Refuse(mark,
             "merge keys (<<) are not supported: write the keys themselves, or use an alias for "
             "the whole value");
    }
    Leaf(mark, anchor, value.size());
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto of_this = [&](const Open& open) { return open.anchor == anchor; };
    if (std::any_of(open_.begin(), open_.end(), of_this)) {
      Refuse(mark, "the alias stands for a value that contains the alias itself");
    }
    Add(mark, anchor < anchored_.size() ? anchored_[anchor] : Extent());
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Begin(mark, anchor, /*is_map=*/false);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Begin(mark, anchor, /*is_map=*/true);
  }
  void OnMapEnd() override { End(); }

 private:
  // A list or map that has begun.
  struct Open {
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;  // 0: none
    bool is_map = false;
    size_t children = 0;
    Extent extent = {};

    bool NextIsKey() const { return is_map && children % 2 == 0; }
  };

  void Begin(const YAML::Mark& mark, YAML::anchor_t anchor, bool is_map) {
    open_.push_back({.mark = mark, .anchor = anchor, .is_map = is_map});
    open_.back().extent.depth = 1;
    CheckDepth(mark, 0);
  }
  void End() {
    const Open done = open_.back();
    open_.pop_back();
    Remember(done.anchor, done.extent);
    Add(done.mark, done.extent);
  }
  void Leaf(const YAML::Mark& mark, YAML::anchor_t anchor, size_t bytes) {
    const Extent extent = {.nodes = 1, .bytes = bytes, .depth = 0};
    Remember(anchor, extent);
    Add(mark, extent);
  }
  void Remember(YAML::anchor_t anchor, const Extent& extent) {
    if (anchor == 0) return;
    if (anchored_.size() <= anchor) anchored_.resize(anchor + 1);
    anchored_[anchor] = extent;
  }

  // Adds a finished value to what contains it.  Each sum is at most the sum of two that are within
  // the limits, so that none can overflow.
  void Add(const YAML::Mark& mark, const Extent& part) {
    CheckDepth(mark, part.depth);
    if (open_.empty()) return;
    Open& around = open_.back();
    ++around.children;
    around.extent.nodes += part.nodes;
    around.extent.bytes += part.bytes;
    around.extent.depth = std::max(around.extent.depth, part.depth + 1);
    if (around.extent.nodes > kMaxConfigNodes) {
      Refuse(mark, absl::StrCat("the configuration has more than ", kMaxConfigNodes,
                                " keys and values, with every alias replaced by what it stands "
                                "for"));
    }
    if (around.extent.bytes > kMaxConfigBytes) {
      Refuse(mark, absl::StrCat("the texts of the configuration have more than ", kMaxConfigBytes,
                                " bytes, with every alias replaced by what it stands for"));
    }
  }
  void CheckDepth(const YAML::Mark& mark, size_t depth) const {
    if (open_.size() + depth <= kMaxConfigDepth) return;
    Refuse(mark, absl::StrCat("lists and maps lie more than ", kMaxConfigDepth,
                              " levels deep in each other"));
  }

  int documents_ = 0;
  std::vector<Open> open_;        // the innermost last
  std::vector<Extent> anchored_;  // by anchor
};

// What may help where a line is not YAML: "host: [::1]:8701" begins a list.
std::string Hint(absl::string_view text, const YAML::Mark& mark) {
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  const auto index = static_cast<size_t>(mark.line);
  if (mark.line < 0 || index >= lines.size()) return "";
  const size_t open = lines[index].find(": [");
  if (open == absl::string_view::npos) return "";
  const absl::string_view value = lines[index].substr(open + 2);
  const bool address = value.substr(0, value.find(']')).find(':') != absl::string_view::npos;
  return address ? "; put an IPv6 address in quotes: \"[::1]:8701\"" : "";
}

std::string Place(absl::string_view file, const YAML::Mark& mark) {
  if (mark.is_null()) return std::string(file);
  return absl::StrCat(file, ":", mark.line + 1, ":", mark.column + 1);
}

}  // namespace

std::string ConfigTextFault(absl::string_view text, absl::string_view file) {
  if (text.size() > kMaxConfigBytes) {
    return absl::StrCat(file, ": ", text.size(), " bytes; a configuration may have at most ",
                        kMaxConfigBytes);
  }
  size_t bad = std::min(FirstBadUtf8(text), text.size());
  // YAML has no other control characters, and yaml-cpp takes some for the end of the file.
  const auto is_control = [](char c) {
    return c == 0x7f || (c >= 0 && c < 0x20 && c != '\t' && c != '\n' && c != '\r');
  };
  const auto* const end = text.begin() + bad;
  bad = static_cast<size_t>(std::find_if(text.begin(), end, is_control) - text.begin());
  if (bad == text.size()) return "";
  const absl::string_view before = text.substr(0, bad);
  const size_t newline = before.rfind('\n');  // npos + 1 is 0
  const auto byte = static_cast<uint8_t>(text[bad]);
  return absl::StrFormat(
      "%s:%d:%d: %s", file, 1 + std::count(before.begin(), before.end(), '\n'), bad - newline,
      byte < 0x80 ? absl::StrFormat("control character U+%04X; remove it", byte)
                  : absl::StrFormat("byte 0x%02X is not UTF-8; save the file in UTF-8", byte));
}

std::string YamlFault(absl::string_view text, absl::string_view file) {
  if (std::string fault = ConfigTextFault(text, file); !fault.empty()) return fault;
  std::istringstream in{std::string(text)};
  TreeMeter meter;
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(meter)) {
    }
  } catch (const Refusal& refusal) {
    return absl::StrCat(Place(file, refusal.mark), ": ", refusal.text);
  } catch (const YAML::Exception& error) {
    return absl::StrCat(Place(file, error.mark), ": not valid YAML: ", error.msg,
                        Hint(text, error.mark));
  }
  return "";
}

}  // namespace fanwire
