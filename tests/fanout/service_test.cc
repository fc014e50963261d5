#include "fanout/service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr auto kCommon = Dialect::kCommon;
constexpr auto kBuddy = Dialect::kSessionBuddy;

std::shared_ptr<const ServiceSettings> Settings() {
  v1::WorkerService service;
  service.set_name("mahavishnu");
  service.add_channel_kinds("workflow");
  return std::make_shared<ServiceSettings>(service);
}

ChannelPattern Parse(absl::string_view text) { return *ChannelPattern::Parse(text); }

TEST(ServiceTest, AChannelIsMadeOnceAndByDialect) {
  Service service(Settings());
  EXPECT_EQ(service.FindChannel(kCommon, "a"), nullptr);
  Channel* const channel = service.FindOrMakeChannel(kCommon, "a");
  EXPECT_EQ(service.FindOrMakeChannel(kCommon, "a"), channel);
  EXPECT_EQ(service.FindChannel(kBuddy, "a"), nullptr);
  Channel* const buddy = service.FindOrMakeChannel(kBuddy, "a");
  EXPECT_NE(buddy, channel);
  EXPECT_EQ(buddy->backlog, BacklogPolicy::kLatest);
  EXPECT_EQ(channel->backlog, BacklogPolicy::kClose);
}

TEST(ServiceTest, AChannelOfNoUseIsForgotten) {
  Service service(Settings());
  Channel* const channel = service.FindOrMakeChannel(kCommon, "a");
  channel->interest = 1;
  service.ForgetIfIdle(channel);
  EXPECT_NE(service.FindChannel(kCommon, "a"), nullptr);
  channel->interest = 0;
  channel->handle = 4;
  service.ForgetIfIdle(channel);
  EXPECT_NE(service.FindChannel(kCommon, "a"), nullptr);
  channel->handle = 0;
  channel->arrived.emplace_back();
  service.ForgetIfIdle(channel);
  EXPECT_NE(service.FindChannel(kCommon, "a"), nullptr);
  channel->arrived.clear();
  service.ForgetIfIdle(channel);
  EXPECT_EQ(service.FindChannel(kCommon, "a"), nullptr);
}

TEST(ServiceTest, AForgottenChannelThatIsHeldDoesNotTakeItsSuccessorAlong) {
  Service service(Settings());
  const ChannelRef held(service.FindOrMakeChannel(kCommon, "a"));
  service.ForgetIfIdle(held.get());
  Channel* const next = service.FindOrMakeChannel(kCommon, "a");
  EXPECT_NE(next, held.get());
  service.ForgetIfIdle(held.get());
  EXPECT_EQ(service.FindChannel(kCommon, "a"), next);
}

TEST(ServiceTest, PatternsOfAChannelFollowWhatComesAndGoes) {
  Service service(Settings());
  Channel* const channel = service.FindOrMakeChannel(kCommon, "w:1");
  EXPECT_THAT(service.PatternsOf(channel), IsEmpty());
  PatternTable* const star = service.FindOrMakePattern(kCommon, Parse("w:*"));
  PatternTable* const all = service.FindOrMakePattern(kCommon, Parse("**"));
  service.FindOrMakePattern(kCommon, Parse("p:*"));
  service.FindOrMakePattern(kBuddy, Parse("w:*"));
  EXPECT_EQ(service.FindOrMakePattern(kCommon, Parse("w:*")), star);
  EXPECT_THAT(service.PatternsOf(channel), UnorderedElementsAre(star, all));
  service.ForgetIfIdle(star);
  EXPECT_THAT(service.PatternsOf(channel), ElementsAre(all));
  EXPECT_EQ(service.FindPattern(kCommon, "w:*"), nullptr);
  PatternTable* const again = service.FindOrMakePattern(kCommon, Parse("w:*"));
  EXPECT_THAT(service.PatternsOf(channel), UnorderedElementsAre(again, all));
}

TEST(ServiceTest, PatternsThatComeAndGoBetweenTwoLooksLeaveNoTrace) {
  Service service(Settings());
  Channel* const channel = service.FindOrMakeChannel(kCommon, "w:1");
  PatternTable* const all = service.FindOrMakePattern(kCommon, Parse("**"));
  for (int i = 0; i < 10; ++i)
    service.FindOrMakePattern(kCommon, Parse(absl::StrCat("x", i, ":*")));
  EXPECT_THAT(service.PatternsOf(channel), ElementsAre(all));
  for (int i = 0; i < 3; ++i) {
    service.ForgetIfIdle(service.FindOrMakePattern(kCommon, Parse("w:*")));
  }
  PatternTable* const last = service.FindOrMakePattern(kCommon, Parse("w:*"));
  EXPECT_THAT(service.PatternsOf(channel), UnorderedElementsAre(all, last));
  // More changes than anybody remembers.
  for (int i = 0; i < 10'000; ++i) {
    service.ForgetIfIdle(service.FindOrMakePattern(kCommon, Parse("w:1")));
  }
  EXPECT_THAT(service.PatternsOf(channel), UnorderedElementsAre(all, last));
}

TEST(ServiceTest, APatternInUseOrBeingWalkedIsKept) {
  Service service(Settings());
  PatternTable* const table = service.FindOrMakePattern(kCommon, Parse("w:*"));
  table->interest = 1;
  service.ForgetIfIdle(table);
  EXPECT_EQ(service.FindPattern(kCommon, "w:*"), table);
  table->interest = 0;
  table->subscribers.BeginWalk();
  service.ForgetIfIdle(table);
  EXPECT_EQ(service.FindPattern(kCommon, "w:*"), table);
  table->subscribers.EndWalk();
  service.ForgetIfIdle(table);
  EXPECT_EQ(service.FindPattern(kCommon, "w:*"), nullptr);
}

TEST(ServiceTest, PublicationsAreCountedByDeclaredKindOfChannel) {
  Service service(Settings());
  for (const char* name : {"workflow:1", "workflow:2", "secret:3"}) {
    ++service.FindOrMakeChannel(kCommon, name)->kind->broadcasts;
  }
  ASSERT_EQ(service.kinds().size(), 2u);
  EXPECT_EQ(service.kinds().at("workflow").broadcasts, 2);
  EXPECT_EQ(service.kinds().at("other").broadcasts, 1);
}

TEST(ServiceTest, SessionsAreFoundByIdAndTheirPeakIsKept) {
  Service service(Settings());
  auto* const one = reinterpret_cast<Session*>(8);  // never touched
  auto* const two = reinterpret_cast<Session*>(16);
  service.AddSession("id-1", one);
  service.AddSession("id-2", two);
  EXPECT_EQ(service.FindSession("id-2"), two);
  EXPECT_EQ(service.FindSession("id-3"), nullptr);
  service.RemoveSession("id-1");
  EXPECT_EQ(service.FindSession("id-1"), nullptr);
  EXPECT_THAT(service.sessions(), SizeIs(1));
  EXPECT_EQ(service.counts().sessions_opened, 2);
  EXPECT_EQ(service.counts().sessions_closed, 1);
  EXPECT_EQ(service.counts().peak_sessions, 2);
}

}  // namespace
}  // namespace fanwire::fanout
