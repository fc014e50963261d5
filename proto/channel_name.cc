#include "proto/channel_name.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/plain_text.h"
#include "common/utf8.h"

namespace fanwire {
namespace {

// Quotes a name for an error message: cuts it, and replaces characters that could break a log line.
std::string Quoted(absl::string_view name) {
  constexpr size_t kShown = 64;
  std::string shown;
  for (const char c : name.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte >= 0x7f || c == '"' ? '?' : c;
  }
  return absl::StrCat("channel \"", shown, name.size() > kShown ? "…" : "", "\"");
}

absl::Status CheckCommon(absl::string_view name, size_t max_bytes) {
  if (name.empty()) return absl::InvalidArgumentError("channel name is empty");
  const size_t limit = std::min(max_bytes, kMaxChannelNameBytes);
  if (name.size() > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(name), ": ", name.size(), " bytes, at most ", limit));
  }
  if (name.front() == ' ') {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(name), ": space at the start"));
  }
  if (name.back() == ' ') {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(name), ": space at the end"));
  }
  if (name.front() == ':') {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(name), ": first segment is empty"));
  }
  if (!IsPrintableAscii(name)) {
    for (size_t i = 0; i < name.size(); ++i) {
      const auto byte = static_cast<unsigned char>(name[i]);
      if (byte < 0x20 || byte == 0x7f) {
        return absl::InvalidArgumentError(
            absl::StrCat(Quoted(name), ": control character at byte ", i));
      }
    }
    const size_t bad = FirstBadUtf8(name);
    if (bad != absl::string_view::npos) {
      return absl::InvalidArgumentError(absl::StrCat(Quoted(name), ": not UTF-8 at byte ", bad));
    }
  }
  if (absl::StrContains(name, '*') &&
      (absl::StartsWith(name, "**:") || absl::StrContains(name, ":**:"))) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(name), ": \"**\" can only be the last segment"));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsPattern(absl::string_view name) {
  if (!absl::StrContains(name, '*')) return false;
  size_t start = 0;
  while (true) {
    const size_t end = std::min(name.find(':', start), name.size());
    const absl::string_view segment = name.substr(start, end - start);
    if (segment == "*" || (segment == "**" && end == name.size())) return true;
    if (end == name.size()) return false;
    start = end + 1;
  }
}

absl::string_view ChannelKind(absl::string_view name) {
  return name.substr(0, std::min(name.find(':'), name.size()));
}

absl::string_view WithoutKind(absl::string_view kind, absl::string_view id) {
  if (kind.empty() || id.size() <= kind.size() || id[kind.size()] != ':') return id;
  return id.substr(0, kind.size()) == kind ? id.substr(kind.size() + 1) : id;
}

absl::Status CheckChannelName(absl::string_view name, size_t max_bytes) {
  if (absl::Status status = CheckCommon(name, max_bytes); !status.ok()) return status;
  if (IsPattern(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(name), ": a wildcard is allowed in a subscription only"));
  }
  return absl::OkStatus();
}

absl::Status CheckChannelOrPattern(absl::string_view name, size_t max_bytes) {
  return CheckCommon(name, max_bytes);
}

ChannelPattern::ChannelPattern(absl::string_view text) : text_(text) {
  segments_ = absl::StrSplit(text, ':');
  if (segments_.back() == "**") {
    open_ended_ = true;
    segments_.pop_back();
  }
}

absl::StatusOr<ChannelPattern> ChannelPattern::Parse(absl::string_view text) {
  if (absl::Status status = CheckChannelOrPattern(text); !status.ok()) return status;
  return ChannelPattern(text);
}

bool ChannelPattern::Matches(absl::string_view channel) const {
  size_t start = 0;
  bool exhausted = false;  // the name has no further segment
  for (const std::string& wanted : segments_) {
    if (exhausted) return false;
    const size_t end = std::min(channel.find(':', start), channel.size());
    const absl::string_view segment = channel.substr(start, end - start);
    if (wanted != "*" && segment != wanted) return false;
    if (end == channel.size()) {
      exhausted = true;
    } else {
      start = end + 1;
    }
  }
  return open_ended_ ? !exhausted : exhausted;
}

bool ChannelPattern::Covers(const ChannelPattern& other) const {
  const size_t mine = segments_.size();
  const size_t theirs = other.segments_.size();
  if (open_ended_) {
    // `other` must always have more segments than `mine`.
    if (theirs + (other.open_ended_ ? 1 : 0) <= mine) return false;
  } else if (other.open_ended_ || theirs != mine) {
    return false;
  }
  for (size_t i = 0; i < mine; ++i) {
    if (segments_[i] == "*") continue;
    if (i >= theirs || segments_[i] != other.segments_[i]) return false;
  }
  return true;
}

}  // namespace fanwire
