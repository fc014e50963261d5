#include "control/routing/pattern_table.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/links/worker_link.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class PatternTableTest : public ::testing::Test {
 protected:
  std::shared_ptr<WorkerLink> MakeLink(uint64_t id) {
    return std::make_shared<WorkerLink>(id, WorkerLink::Options(), &clock_, nullptr, nullptr);
  }
  static ChannelPattern Pattern(const std::string& text) { return *ChannelPattern::Parse(text); }
  std::vector<uint64_t> Match(const std::string& channel) {
    std::vector<std::shared_ptr<WorkerLink>> links;
    table_.Match(channel, &links);
    std::vector<uint64_t> ids;
    for (const auto& link : links) ids.push_back(link->id());
    return ids;
  }

  FakeClock clock_;
  PatternTable table_;
};

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
  const uint64_t version = table_.version();
  EXPECT_FALSE(table_.Add(Pattern("a:*"), link));
  EXPECT_EQ(table_.version(), version);
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

TEST_F(PatternTableTest, TheVersionChangesWithTheTableAndOnlyThen) {
  const auto link = MakeLink(1);
  EXPECT_EQ(table_.version(), 0u);
  table_.RemoveAll(link.get());
  table_.Remove(Pattern("a:*"), link.get());
  EXPECT_EQ(table_.version(), 0u);
  table_.Add(Pattern("a:*"), link);
  const uint64_t added = table_.version();
  EXPECT_NE(added, 0u);
  table_.RemoveAll(link.get());
  EXPECT_NE(table_.version(), added);
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
    std::vector<std::shared_ptr<WorkerLink>> links;
    table_.Match("a:3", &links);
    ASSERT_THAT(links, ::testing::Contains(steady));
  }
  changing.join();
}

}  // namespace
}  // namespace fanwire::control
