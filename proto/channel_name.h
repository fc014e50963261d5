// The grammar of channel names and subscription patterns, shared by control and the workers.
//
// A name is 1-256 bytes of UTF-8 without control characters (U+0000-001F, U+007F) and without a
// leading or trailing space.  ':' splits it into segments; every segment except the first may be
// empty.  A pattern may contain wildcards: a segment that is exactly "*" matches one segment, and a
// last segment "**" matches one or more segments.  Wildcards are allowed only in subscriptions, and
// "**" only as the last segment.
//
// Threading: pure functions and an immutable value.
// Source:    docs/protocol.md "Channels and patterns"
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace fanwire {

// Longest channel name or pattern, in bytes, whatever a configuration says.
inline constexpr size_t kMaxChannelNameBytes = 256;

// OK if `name` is a concrete channel: the grammar above without wildcards.
//   INVALID_ARGUMENT  the message says what is wrong and where: `channel "a b ": space at the end`
absl::Status CheckChannelName(absl::string_view name, size_t max_bytes = kMaxChannelNameBytes);

// OK if `name` is a concrete channel or a well-formed pattern.
//   INVALID_ARGUMENT  as above
absl::Status CheckChannelOrPattern(absl::string_view name, size_t max_bytes = kMaxChannelNameBytes);

// Whether `name` has a wildcard segment.  Cheap: looks for '*' first.
bool IsPattern(absl::string_view name);

// The text before the first ':', or all of `name`: "workflow" of "workflow:wf_1".
absl::string_view ChannelKind(absl::string_view name);

// Returns `id` without the kind that some publishers put before it: "local" for the id "pool:local"
// and the kind "pool".
absl::string_view WithoutKind(absl::string_view kind, absl::string_view id);

// A subscription pattern, parsed once so that it can be matched often.
//
// Cost: Matches() is one pass over the name and allocates nothing.
class ChannelPattern {
 public:
  // Parses a pattern or a plain name, which matches only itself.
  //   INVALID_ARGUMENT  as CheckChannelOrPattern()
  static absl::StatusOr<ChannelPattern> Parse(absl::string_view text);

  bool Matches(absl::string_view channel) const;

  // Whether this pattern matches every channel that `other` matches.
  bool Covers(const ChannelPattern& other) const;

  const std::string& text() const { return text_; }

 private:
  explicit ChannelPattern(absl::string_view text);

  std::string text_;
  std::vector<std::string> segments_;  // without a last "**"
  bool open_ended_ = false;            // the last segment is "**"
};

}  // namespace fanwire
