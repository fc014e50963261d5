#include "control/routing/pattern_table.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"

namespace fanwire::control {

namespace {

constexpr absl::string_view kOne = "*";    // matches one segment
constexpr absl::string_view kRest = "**";  // matches all remaining segments, at least one

// RemoveAll() removes this many patterns at a time while it holds the mutex.
constexpr size_t kRemovedAtOnce = 256;

// Removes the first segment from `*rest` and returns it.  `*rest` is null after the last segment.
absl::string_view TakeSegment(absl::string_view* rest) {
  const size_t end = rest->find(':');
  const absl::string_view segment = rest->substr(0, end);
  *rest = end == absl::string_view::npos ? absl::string_view() : rest->substr(end + 1);
  return segment;
}

// Returns whether TakeSegment() has taken the last segment.  An empty segment that is still to be
// taken is not null.
bool IsOver(absl::string_view rest) { return rest.data() == nullptr; }

bool IsWildcard(absl::string_view segment) { return segment == kOne || segment == kRest; }

// Returns the first two segments, or the whole text if it has fewer.
absl::string_view FirstTwo(absl::string_view text) {
  const size_t first = text.find(':');
  return first == absl::string_view::npos ? text : text.substr(0, text.find(':', first + 1));
}

}  // namespace

// A node of the trie.  It stands for the segments on the path from the root to it.
struct PatternTable::Node {
  using Links = std::vector<Wanting>;

  absl::flat_hash_map<std::string, std::unique_ptr<Node>> literals;
  std::unique_ptr<Node> one;  // the child for the segment "*"
  Links ends;                 // links of the patterns that end here
  Links rests;                // links of the patterns that end with "**" after this node

  bool empty() const { return literals.empty() && one == nullptr && ends.empty() && rests.empty(); }

  // Appends the links whose patterns match `rest`, the segments after this node.
  void Match(absl::string_view rest, Links* links) const {
    if (IsOver(rest)) return Append(ends, links);
    Append(rests, links);
    const absl::string_view segment = TakeSegment(&rest);
    if (const auto it = literals.find(segment); it != literals.end()) {
      it->second->Match(rest, links);
    }
    if (one != nullptr) one->Match(rest, links);
  }

  void Insert(absl::string_view rest, const Wanting& link) {
    if (IsOver(rest)) return ends.push_back(link);
    if (rest == kRest) return rests.push_back(link);
    const absl::string_view segment = TakeSegment(&rest);
    std::unique_ptr<Node>& next = segment == kOne ? one : literals[segment];
    if (next == nullptr) next = std::make_unique<Node>();
    next->Insert(rest, link);
  }

  // Removes a pattern, which must exist, and the nodes that become empty.
  void Erase(absl::string_view rest, const WorkerLink* link) {
    if (IsOver(rest)) return EraseLink(link, &ends);
    if (rest == kRest) return EraseLink(link, &rests);
    const absl::string_view segment = TakeSegment(&rest);
    if (segment == kOne) {
      one->Erase(rest, link);
      if (one->empty()) one = nullptr;
      return;
    }
    const auto it = literals.find(segment);
    it->second->Erase(rest, link);
    if (it->second->empty()) literals.erase(it);
  }

 private:
  static void Append(const Links& found, Links* links) {
    for (const Wanting& wanting : found) {
      const auto known = std::find_if(links->begin(), links->end(), [&](const Wanting& each) {
        return each.link == wanting.link;
      });
      if (known == links->end()) {
        links->push_back(wanting);
      } else {
        known->since = std::min(known->since, wanting.since);
      }
    }
  }

  static void EraseLink(const WorkerLink* link, Links* links) {
    const auto it = std::find_if(links->begin(), links->end(),
                                 [&](const Wanting& each) { return each.link.get() == link; });
    std::swap(*it, links->back());
    links->pop_back();
  }
};

PatternTable::PatternTable() : root_(std::make_unique<Node>()) {}

PatternTable::~PatternTable() = default;

uint16_t PatternTable::CounterOf(absl::string_view beginning) {
  return static_cast<uint16_t>(absl::HashOf(beginning) % kCounters);
}

PatternTable::Counters PatternTable::CountersOf(absl::string_view channel) {
  return {.first = CounterOf(ChannelKind(channel)), .first_two = CounterOf(FirstTwo(channel))};
}

void PatternTable::Changed(absl::string_view pattern) {
  absl::string_view rest = pattern;
  if (IsWildcard(TakeSegment(&rest))) {
    any_.fetch_add(1, std::memory_order_release);
    return;
  }
  const bool one_literal = IsOver(rest) || IsWildcard(TakeSegment(&rest));
  std::atomic<uint64_t>& counter = one_literal ? by_first_[CounterOf(ChannelKind(pattern))]
                                               : by_first_two_[CounterOf(FirstTwo(pattern))];
  counter.fetch_add(1, std::memory_order_release);
}

bool PatternTable::Add(const ChannelPattern& pattern, const std::shared_ptr<WorkerLink>& link,
                       absl::Duration since) {
  MutexLock lock(&mu_);
  if (!patterns_of_[link.get()].insert(pattern.text()).second) return false;
  root_->Insert(pattern.text(), {.link = link, .since = since});
  Changed(pattern.text());
  return true;
}

bool PatternTable::Remove(const ChannelPattern& pattern, const WorkerLink* link) {
  MutexLock lock(&mu_);
  const auto it = patterns_of_.find(link);
  if (it == patterns_of_.end() || it->second.erase(pattern.text()) == 0) return false;
  if (it->second.empty()) patterns_of_.erase(it);
  root_->Erase(pattern.text(), link);
  Changed(pattern.text());
  return true;
}

void PatternTable::RemoveAll(const WorkerLink* link) {
  absl::flat_hash_set<std::string> patterns;
  {
    MutexLock lock(&mu_);
    const auto it = patterns_of_.find(link);
    if (it == patterns_of_.end()) return;
    patterns = std::move(it->second);
    patterns_of_.erase(it);
  }
  for (auto it = patterns.begin(); it != patterns.end();) {
    MutexLock lock(&mu_);
    for (size_t n = 0; n < kRemovedAtOnce && it != patterns.end(); ++n, ++it) {
      root_->Erase(*it, link);
      Changed(*it);
    }
  }
}

bool PatternTable::Wants(const WorkerLink* link) const {
  MutexLock lock(&mu_);
  return patterns_of_.contains(link);
}

void PatternTable::Match(absl::string_view channel, std::vector<Wanting>* links) const {
  MutexLock lock(&mu_);
  root_->Match(channel, links);
}

}  // namespace fanwire::control
