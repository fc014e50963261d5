#include "control/routing/pattern_table.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/links/worker_link.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class PatternTableTest : public ::testing::Test {
 protected:
  std::shared_ptr<WorkerLink> MakeLink(uint64_t id) {
    return std::make_shared<WorkerLink>(id, WorkerLink::Options(), &clock_, nullptr, nullptr);
  }
  static ChannelPattern Pattern(const std::string& text) { return *ChannelPattern::Parse(text); }
  std::vector<uint64_t> Match(const std::string& channel) {
    std::vector<PatternTable::Wanting> links;
    table_.Match(channel, &links);
    std::vector<uint64_t> ids;
    for (const auto& wanting : links) ids.push_back(wanting.link->id());
    return ids;
  }
  uint64_t Generation(const std::string& channel) {
    return table_.generation(PatternTable::CountersOf(channel));
  }

  FakeClock clock_;
  PatternTable table_;
};

TEST_F(PatternTableTest, TellsSinceWhenALinkWantsAChannelByTheEarliestOfItsPatterns) {
  const auto one = MakeLink(1);
  table_.Add(Pattern("a:*"), one, absl::Seconds(7));
  table_.Add(Pattern("**"), one, absl::Seconds(5));
  table_.Add(Pattern("*:x"), one, absl::Seconds(9));
  std::vector<PatternTable::Wanting> links;
  table_.Match("a:x", &links);
  ASSERT_EQ(links.size(), 1u);
  EXPECT_EQ(links[0].since, absl::Seconds(5));
}

TEST_F(PatternTableTest, FindsEveryLinkThatWantsAChannelOnce) {
  const auto one = MakeLink(1), two = MakeLink(2), three = MakeLink(3);
  EXPECT_TRUE(table_.Add(Pattern("workflow:*"), one));
  EXPECT_TRUE(table_.Add(Pattern("workflow:**"), one));
  EXPECT_TRUE(table_.Add(Pattern("**"), one));
  EXPECT_TRUE(table_.Add(Pattern("*:wf_1"), two));
  EXPECT_TRUE(table_.Add(Pattern("pool:*"), three));
  EXPECT_THAT(Match("workflow:wf_1"), UnorderedElementsAre(1, 2));
  EXPECT_THAT(Match("workflow:a:b"), ElementsAre(1));
  EXPECT_THAT(Match("pool:p"), UnorderedElementsAre(1, 3));
  EXPECT_THAT(Match("other"), ElementsAre(1));
}

TEST_F(PatternTableTest, KnowsWhoWantsAnyPattern) {
  const auto one = MakeLink(1), two = MakeLink(2);
  EXPECT_FALSE(table_.Wants(one.get()));
  table_.Add(Pattern("a:*"), one);
  table_.Add(Pattern("b:*"), one);
  table_.Add(Pattern("b:*"), two);
  EXPECT_TRUE(table_.Wants(one.get()));
  table_.Remove(Pattern("a:*"), one.get());
  EXPECT_TRUE(table_.Wants(one.get()));
  table_.Remove(Pattern("b:*"), one.get());
  EXPECT_FALSE(table_.Wants(one.get()));
  EXPECT_TRUE(table_.Wants(two.get()));
}

TEST_F(PatternTableTest, APatternTwiceIsOneInterest) {
  const auto link = MakeLink(1);
  EXPECT_TRUE(table_.Add(Pattern("a:*"), link));
  const uint64_t version = Generation("a:1");
  EXPECT_FALSE(table_.Add(Pattern("a:*"), link));
  EXPECT_EQ(Generation("a:1"), version);
  EXPECT_TRUE(table_.Remove(Pattern("a:*"), link.get()));
  EXPECT_FALSE(table_.Remove(Pattern("a:*"), link.get()));
  EXPECT_THAT(Match("a:1"), IsEmpty());
}

TEST_F(PatternTableTest, RemovingTakesOnlyThatPatternOfThatLink) {
  const auto one = MakeLink(1), two = MakeLink(2);
  table_.Add(Pattern("a:*"), one);
  table_.Add(Pattern("a:*"), two);
  table_.Add(Pattern("a:b"), one);
  EXPECT_FALSE(table_.Remove(Pattern("a:c"), one.get()));
  EXPECT_FALSE(table_.Remove(Pattern("z:*"), one.get()));
  EXPECT_TRUE(table_.Remove(Pattern("a:*"), one.get()));
  EXPECT_THAT(Match("a:x"), ElementsAre(2));
  EXPECT_THAT(Match("a:b"), UnorderedElementsAre(1, 2));
}

TEST_F(PatternTableTest, ALinkThatIsGoneLeavesNothing) {
  const auto one = MakeLink(1), two = MakeLink(2);
  table_.Add(Pattern("a:*"), one);
  table_.Add(Pattern("b:*"), one);
  table_.Add(Pattern("*:c"), one);
  table_.Add(Pattern("b:*"), two);
  table_.RemoveAll(one.get());
  EXPECT_EQ(one.use_count(), 1);
  EXPECT_THAT(Match("a:c"), IsEmpty());
  EXPECT_THAT(Match("b:c"), ElementsAre(2));
}

TEST_F(PatternTableTest, EmptySegmentsAreSegments) {
  const auto link = MakeLink(1);
  table_.Add(Pattern("a:*"), link);
  EXPECT_THAT(Match("a:"), ElementsAre(1));
  EXPECT_THAT(Match("a"), IsEmpty());
  EXPECT_THAT(Match("a::"), IsEmpty());
  table_.Add(Pattern("b::**"), link);
  EXPECT_THAT(Match("b::"), ElementsAre(1));
  EXPECT_THAT(Match("b:"), IsEmpty());
  EXPECT_THAT(Match("b:c:d"), IsEmpty());
}

TEST_F(PatternTableTest, AGenerationChangesWithEachPatternThatCanMatchAndIsNullBefore) {
  const auto link = MakeLink(1);
  table_.RemoveAll(link.get());
  table_.Remove(Pattern("a:*"), link.get());
  EXPECT_EQ(Generation("a:1"), 0u);
  for (const char* pattern : {"a:1", "a:*", "a:**", "*:1", "*", "**"}) {
    const uint64_t before = Generation("a:1");
    table_.Add(Pattern(pattern), link);
    const uint64_t added = Generation("a:1");
    EXPECT_NE(added, before) << pattern;
    table_.Remove(Pattern(pattern), link.get());
    EXPECT_NE(Generation("a:1"), added) << pattern;
    table_.Add(Pattern(pattern), link);
    const uint64_t again = Generation("a:1");
    table_.RemoveAll(link.get());
    EXPECT_NE(Generation("a:1"), again) << pattern;
  }
}

TEST_F(PatternTableTest, AChangedPatternConcernsFewOfTheChannelsThatBeginOtherwise) {
  const auto link = MakeLink(1);
  const auto concerned = [&](const std::string& pattern, const std::string& kind) {
    std::vector<uint64_t> before;
    for (int i = 0; i < 1000; ++i) before.push_back(Generation(absl::StrCat(kind, ":", i)));
    table_.Add(Pattern(pattern), link);
    int changed = 0;
    for (int i = 0; i < 1000; ++i) {
      changed += Generation(absl::StrCat(kind, ":", i)) != before[static_cast<size_t>(i)] ? 1 : 0;
    }
    return changed;
  };
  // A few channels share their counter with the pattern by chance.
  EXPECT_LT(concerned("a:5:*", "a"), 30);
  EXPECT_LT(concerned("a:5:**", "a"), 30);
  EXPECT_EQ(concerned("a:*:5", "a"), 1000);
  EXPECT_EQ(concerned("*:5:5", "a"), 1000);
}

// The table with what a channel's state caches, beside a list of patterns that is searched from
// one end to the other.
TEST_F(PatternTableTest, WhatIsCachedByGenerationIsWhatALinearSearchFinds) {
  std::mt19937 random(20240611);
  const auto below = [&](size_t n) { return random() % n; };
  const std::vector<std::string> words = {"a", "b", "c", "", "aa"};
  const auto word = [&](size_t place) {
    std::string text;
    do {
      text = words[below(words.size())];
    } while (place == 0 && text.empty());
    return text;
  };
  const auto make_pattern = [&] {
    std::string text;
    const size_t segments = 1 + below(4);
    for (size_t i = 0; i < segments; ++i) {
      if (i > 0) text += ":";
      if (i + 1 == segments && below(3) == 0) {
        text += "**";
      } else {
        text += below(3) == 0 ? "*" : word(i);
      }
    }
    return text;
  };
  const auto make_channel = [&] {
    std::string text;
    const size_t segments = 1 + below(5);
    for (size_t i = 0; i < segments; ++i) absl::StrAppend(&text, i > 0 ? ":" : "", word(i));
    return text;
  };
  std::vector<std::shared_ptr<WorkerLink>> links;
  for (uint64_t id = 1; id <= 3; ++id) links.push_back(MakeLink(id));
  using Ids = std::set<uint64_t>;
  struct Cached {
    uint64_t generation = 0;
    Ids ids;
  };
  std::map<std::string, Cached> channels;
  while (channels.size() < 60) channels[make_channel()];
  std::map<std::pair<std::string, uint64_t>, ChannelPattern> wanted;  // by text and link
  int64_t lookups = 0, matches = 0;
  for (int step = 0; step < 2000; ++step) {
    const std::shared_ptr<WorkerLink>& link = links[below(links.size())];
    const ChannelPattern pattern = Pattern(make_pattern());
    if (below(200) == 0) {
      table_.RemoveAll(link.get());
      std::erase_if(wanted, [&](const auto& each) { return each.first.second == link->id(); });
    } else if (below(2) == 0) {
      ASSERT_EQ(table_.Add(pattern, link),
                wanted.emplace(std::pair(pattern.text(), link->id()), pattern).second);
    } else if (!wanted.empty() && below(4) > 0) {  // one that is there
      const auto it = std::next(wanted.begin(), static_cast<std::ptrdiff_t>(below(wanted.size())));
      ASSERT_TRUE(table_.Remove(it->second, links[it->first.second - 1].get()));
      wanted.erase(it);
    } else {
      ASSERT_EQ(table_.Remove(pattern, link.get()), wanted.erase({pattern.text(), link->id()}) > 0);
    }
    for (auto& [channel, cached] : channels) {
      if (const uint64_t now = Generation(channel); now != cached.generation) {
        const std::vector<uint64_t> found = Match(channel);
        cached = {.generation = now, .ids = {found.begin(), found.end()}};
        ASSERT_EQ(cached.ids.size(), found.size()) << channel << ": a link twice";
        ++lookups;
      }
      Ids expected;
      for (const auto& [key, each] : wanted) {
        if (each.Matches(channel)) expected.insert(key.second);
      }
      matches += static_cast<int64_t>(expected.size());
      ASSERT_EQ(cached.ids, expected) << channel << " after step " << step;
    }
  }
  EXPECT_GT(matches, 5000);
  EXPECT_LT(lookups, 2000 * 60 * 3 / 4);
  for (const auto& link : links) {
    table_.RemoveAll(link.get());
    EXPECT_EQ(link.use_count(), 1);
  }
}

TEST_F(PatternTableTest, ChangesAndMatchesMayMeet) {
  const auto steady = MakeLink(1);
  table_.Add(Pattern("a:**"), steady);
  std::atomic<bool> over{false};
  std::thread changing([&] {
    const auto other = MakeLink(2);
    for (int i = 0; i < 2000; ++i) {
      table_.Add(Pattern(absl::StrCat("a:", i % 7)), other);
      table_.Add(Pattern("*:x"), other);
      if (i % 3 == 0) table_.RemoveAll(other.get());
    }
    over = true;
  });
  while (!over) {
    std::vector<PatternTable::Wanting> links;
    table_.Match("a:3", &links);
    ASSERT_THAT(links, Contains(Field(&PatternTable::Wanting::link, steady)));
  }
  changing.join();
}

}  // namespace
}  // namespace fanwire::control
