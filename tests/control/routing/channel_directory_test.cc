#include "control/routing/channel_directory.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_loader.h"
#include "control/engine/memory_engine.h"
#include "control/links/link_queue_item.h"
#include "control/links/worker_link.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ChannelDirectoryTest : public ::testing::Test {
 protected:
  ChannelDirectoryTest() { Use("- {name: a, port: 1}\n- {name: b, port: 2}\n"); }

  void Use(const std::string& services, const std::string& rules = "") {
    const LoadedConfig loaded =
        LoadConfig(absl::StrCat("services:\n", services, rules), "t.yaml", {});
    ASSERT_THAT(loaded.errors, IsEmpty());
    directory_.SetServices(ServiceTable::Make(*loaded.config));
  }
  absl::StatusOr<std::shared_ptr<ChannelState>> Open(const std::string& service,
                                                     const std::string& name,
                                                     Dialect dialect = Dialect::kCommon) {
    const auto snapshot = directory_.snapshot();
    const ServiceEntry* const entry = snapshot->Find(service);
    const ChannelKey key(entry->state, dialect, name);
    ChannelTable::Shard& shard = directory_.table().shard(directory_.table().IndexOf(key));
    MutexLock lock(&shard.mu);
    return directory_.FindOrCreate(shard, key, *snapshot, *entry->spec, clock_.Now());
  }

  // For a client at this address.
  absl::StatusOr<std::shared_ptr<ChannelState>> Read(const std::string& service,
                                                     const std::string& name,
                                                     const std::string& address = "",
                                                     Dialect dialect = Dialect::kCommon) {
    const auto snapshot = directory_.snapshot();
    const ServiceEntry* const entry = snapshot->Find(service);
    const ChannelKey key(entry->state, dialect, name);
    ChannelTable::Shard& shard = directory_.table().shard(directory_.table().IndexOf(key));
    ChannelDirectory::Reader reader{.address = address};
    MutexLock lock(&shard.mu);
    return directory_.FindOrCreateForReader(shard, key, *snapshot, *entry->spec, &reader,
                                            clock_.Now());
  }
  void SetExact(const std::shared_ptr<ChannelState>& channel,
                const std::shared_ptr<WorkerLink>& link, bool exact) {
    ChannelTable& table = directory_.table();
    MutexLock lock(&table.shard(table.IndexOf(*channel)).mu);
    directory_.SetExact(channel.get(), directory_.Want(channel, link), exact);
  }
  int64_t Unpublished(const std::string& service) {
    return directory_.FindService(service)->unpublished.count();
  }

  // Locks the channel's shard, as every caller must.
  void RefreshPatterns(ChannelState* channel) {
    ChannelTable& table = directory_.table();
    MutexLock lock(&table.shard(table.IndexOf(*channel)).mu);
    directory_.RefreshPatterns(channel);
  }
  std::vector<std::string> Channels() {
    std::vector<std::string> names;
    directory_.ForEach([&](const std::shared_ptr<ChannelState>& channel) {
      names.push_back(absl::StrCat(channel->service->name, "/", channel->name));
    });
    return names;
  }
  // Appends a publication of a thousand bytes.
  void Append(ChannelState* channel) {
    PublicationPtr publication = Publication::Make(
        {.max_envelope_bytes = 1000 + Publication::kSealBytes, .received_at = clock_.Now()});
    publication->SetEnvelope(1000, 0, 0);
    const std::vector<EngineAppend> appends = {
        {.channel = channel->log.get(), .publication = publication}};
    engine_->Append(appends, {}, clock_.Now(), []() -> EngineCallback { return nullptr; });
  }
  std::shared_ptr<WorkerLink> MakeLink(uint64_t id) {
    return std::make_shared<WorkerLink>(id, WorkerLink::Options(), &clock_, nullptr, nullptr);
  }
  int64_t Kept(ChannelState* channel) { return channel->log->Describe(clock_.Now()).publications; }
  int64_t ChannelCount(const std::string& service) {
    return directory_.FindService(service)->channels;
  }

  FakeClock clock_;
  std::unique_ptr<Engine> engine_ = MakeMemoryEngine(100'000);
  ChannelDirectory directory_{{.channel_idle_ttl = absl::Hours(2)}, engine_.get(), &clock_};
};

TEST_F(ChannelDirectoryTest, MakesAChannelOnceWithItsEpochAtOffsetZero) {
  const auto channel = Open("a", "x");
  ASSERT_OK(channel);
  EXPECT_NE((*channel)->epoch(), Epoch());
  EXPECT_EQ((*channel)->log->head().offset, 0);
  EXPECT_EQ(*Open("a", "x"), *channel);
  EXPECT_NE(*Open("b", "x"), *channel);
  EXPECT_NE((*Open("b", "x"))->epoch(), (*channel)->epoch());
  EXPECT_THAT(Channels(), UnorderedElementsAre("a/x", "b/x"));
  EXPECT_EQ(ChannelCount("a"), 1);
}

TEST_F(ChannelDirectoryTest, AChannelOfADialectHasNoLog) {
  const auto channel = Open("a", "metrics", Dialect::kSessionBuddy);
  ASSERT_OK(channel);
  EXPECT_EQ((*channel)->log, nullptr);
  EXPECT_EQ((*channel)->epoch(), Epoch());
  EXPECT_NE(*Open("a", "metrics"), *channel);
  clock_.Advance(absl::Hours(3));
  directory_.Sweep();
}

TEST_F(ChannelDirectoryTest, AServiceHasAsManyChannelsAsItMay) {
  Use("- {name: a, port: 1, max_channels: 2}\n- {name: b, port: 2}\n");
  ASSERT_OK(Open("a", "x"));
  ASSERT_OK(Open("a", "y"));
  EXPECT_THAT(Open("a", "z"),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("service \"a\" has as many channels as it may: 2")));
  EXPECT_OK(Open("a", "x"));
  EXPECT_OK(Open("b", "z"));
  clock_.Advance(absl::Hours(3));
  directory_.Sweep();
  EXPECT_OK(Open("a", "z"));
}

TEST_F(ChannelDirectoryTest, OfVeryManyChannelsEachSweepLooksAtSomeAndInTheEndAtAll) {
  constexpr int kChannels = static_cast<int>(ChannelDirectory::kSweepChannels) * 2;
  for (int i = 0; i < kChannels; ++i) ASSERT_OK(Open("a", absl::StrCat("c", i)));
  clock_.Advance(absl::Hours(3));
  directory_.Sweep();
  EXPECT_GT(ChannelCount("a"), 0);
  EXPECT_LT(ChannelCount("a"), kChannels);
  for (int i = 0; i < 3; ++i) directory_.Sweep();
  EXPECT_EQ(ChannelCount("a"), 0);
}

TEST_F(ChannelDirectoryTest, AnUnknownServiceHasNoState) {
  EXPECT_EQ(directory_.FindService("none"), nullptr);
  EXPECT_EQ(directory_.snapshot()->Find("none"), nullptr);
}

TEST_F(ChannelDirectoryTest, AServiceThatAReloadRemovesAndAddsAgainKeepsItsChannels) {
  const auto channel = Open("a", "x");
  ServiceState* const state = directory_.FindService("a");
  Use("- {name: b, port: 2}\n");
  EXPECT_EQ(directory_.snapshot()->Find("a"), nullptr);
  EXPECT_EQ(directory_.FindService("a"), state);
  Use("- {name: a, port: 1}\n");
  EXPECT_EQ(*Open("a", "x"), *channel);
}

TEST_F(ChannelDirectoryTest, AChannelTakesAnotherConfigurationsRulesWhenItIsNextUsed) {
  const auto channel = *Open("a", "x");
  for (int i = 0; i < 5; ++i) Append(channel.get());
  const Epoch epoch = channel->epoch();
  Use("- {name: a, port: 1}\n",
      "channels: [{pattern: x, history_size: 2, backlog_policy: latest, gap_policy: close}]\n");
  EXPECT_EQ(Kept(channel.get()), 5);
  EXPECT_EQ(*Open("a", "x"), channel);
  EXPECT_EQ(Kept(channel.get()), 2);
  EXPECT_EQ(channel->backlog, BacklogPolicy::kLatest);
  EXPECT_EQ(channel->gap, GapPolicy::kClose);
  EXPECT_EQ(channel->epoch(), epoch);
}

// ------------------------------------------------------------------------------- eviction

TEST_F(ChannelDirectoryTest, AnIdleChannelIsForgottenAfterTheIdleTimeAndBeginsAgain) {
  const Epoch before = (*Open("a", "x"))->epoch();
  clock_.Advance(absl::Hours(2) - absl::Nanoseconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
  clock_.Advance(absl::Nanoseconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), IsEmpty());
  EXPECT_EQ(ChannelCount("a"), 0);
  EXPECT_NE((*Open("a", "x"))->epoch(), before);
}

TEST_F(ChannelDirectoryTest, UseKeepsAChannel) {
  const auto channel = *Open("a", "x");
  clock_.Advance(absl::Hours(1));
  ASSERT_OK(Open("a", "x"));
  clock_.Advance(absl::Hours(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
}

TEST_F(ChannelDirectoryTest, HistoryThatHasNotExpiredKeepsAChannel) {
  Use("- {name: a, port: 1}\n", "channels: [{pattern: long, history_ttl: 5h}]\n");
  const auto channel = *Open("a", "long");
  Append(channel.get());
  clock_.Advance(absl::Hours(5) - absl::Seconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), IsEmpty());
  EXPECT_EQ(engine_->history_bytes(), 0);
}

TEST_F(ChannelDirectoryTest, AnIdleTimeBelowTheHistorysIsTheHistorys) {
  Use("- {name: a, port: 1}\n", "channels: [{pattern: long, history_ttl: 5h}]\n");
  ASSERT_OK(Open("a", "long"));
  clock_.Advance(absl::Hours(5) - absl::Seconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
}

TEST_F(ChannelDirectoryTest, InterestByNameKeepsAChannelAndInterestByAPatternDoesNot) {
  const auto by_name = *Open("a", "x");
  by_name->links.push_back({.link = MakeLink(1), .exact = true});
  const auto by_pattern = *Open("a", "p:1");
  const auto link = MakeLink(2);
  PatternTable& patterns = directory_.FindService("a")->patterns_of(Dialect::kCommon);
  patterns.Add(*ChannelPattern::Parse("p:*"), link);
  RefreshPatterns(by_pattern.get());
  ChannelDirectory::Introduce(*by_pattern, &by_pattern->links[0], 0);
  clock_.Advance(absl::Hours(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), UnorderedElementsAre("a/x", "a/p:1"));
  clock_.Advance(absl::Hours(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), UnorderedElementsAre("a/x"));
  EXPECT_THAT(by_pattern->links, IsEmpty());
  EXPECT_EQ(link->stats().queued_items, 2);  // introduced and released
}

TEST_F(ChannelDirectoryTest, APatternsClientDoesNotProlongChannelsByLeaving) {
  const auto channel = *Open("a", "p:1");
  const auto link = MakeLink(2);
  PatternTable& patterns = directory_.FindService("a")->patterns_of(Dialect::kCommon);
  patterns.Add(*ChannelPattern::Parse("p:*"), link);
  RefreshPatterns(channel.get());
  clock_.Advance(absl::Hours(2) - absl::Seconds(1));
  patterns.RemoveAll(link.get());
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), IsEmpty());
}

TEST_F(ChannelDirectoryTest, WithAPatternsClientIdleChannelsStillMakeWayForNewOnes) {
  Use("- {name: a, port: 1, max_channels: 2}\n- {name: b, port: 2}\n");
  directory_.FindService("a")
      ->patterns_of(Dialect::kCommon)
      .Add(*ChannelPattern::Parse("**"), MakeLink(1));
  for (const char* const name : {"x", "y"}) RefreshPatterns(Open("a", name)->get());
  EXPECT_FALSE(Open("a", "z").ok());
  clock_.Advance(absl::Hours(2));
  directory_.Sweep();
  EXPECT_OK(Open("a", "z"));
}

TEST_F(ChannelDirectoryTest, APublicationThatTheEngineHasNotAcknowledgedKeepsAChannel) {
  const auto channel = *Open("a", "x");
  channel->appending = 1;
  clock_.Advance(absl::Hours(9));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
  channel->appending = 0;
  directory_.Sweep();
  EXPECT_THAT(Channels(), IsEmpty());
}

TEST_F(ChannelDirectoryTest, ASweepForgetsOldIdempotencyKeys) {
  IdempotencyWindow& window = directory_.FindService("a")->idempotency;
  PublishOutcome outcome;
  std::string id, channel;
  window.Begin("key", {}, clock_.Now(), {}, &outcome, &id, &channel);
  window.Settle("key", {}, clock_.Now());
  clock_.Advance(absl::Minutes(10));
  directory_.Sweep();
  EXPECT_EQ(window.size(), 0);
}

// ------------------------------------------------------------------------------- unpublished

TEST_F(ChannelDirectoryTest, ChannelsWithoutAPublicationDoNotCountAgainstTheLimit) {
  Use("- {name: a, port: 1, max_channels: 1}\n- {name: b, port: 2}\n");
  for (int i = 0; i < 100; ++i) ASSERT_OK(Read("a", absl::StrCat("r", i)));
  EXPECT_EQ(ChannelCount("a"), 0);
  EXPECT_EQ(Unpublished("a"), 100);
  EXPECT_OK(Open("a", "x"));
  EXPECT_FALSE(Open("a", "y").ok());
  EXPECT_OK(Read("a", "y"));
}

TEST_F(ChannelDirectoryTest, APublicationTakesAChannelOutOfTheReadersBudget) {
  Use("- {name: a, port: 1, max_channels: 1}\n- {name: b, port: 2}\n");
  const auto channel = *Read("a", "x", "1.2.3.4");
  const Epoch epoch = channel->epoch();
  EXPECT_EQ(*Open("a", "x"), channel);
  EXPECT_EQ(channel->epoch(), epoch);
  EXPECT_EQ(Unpublished("a"), 0);
  EXPECT_EQ(ChannelCount("a"), 1);
  ASSERT_OK(Read("a", "y"));
  EXPECT_FALSE(Open("a", "y").ok());
  EXPECT_EQ(Unpublished("a"), 1);
  clock_.Advance(absl::Hours(3));
  directory_.Sweep();
  EXPECT_THAT(Channels(), IsEmpty());
  EXPECT_EQ(Unpublished("a"), 0);
  EXPECT_EQ(ChannelCount("a"), 0);
}

TEST_F(ChannelDirectoryTest, AnUnpublishedChannelIsKeptTenMinutesAfterItsLastInterest) {
  const auto channel = *Read("a", "x");
  const auto link = MakeLink(1);
  SetExact(channel, link, true);
  clock_.Advance(absl::Hours(9));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
  SetExact(channel, link, false);
  clock_.Advance(absl::Minutes(10) - absl::Nanoseconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), SizeIs(1));
  clock_.Advance(absl::Nanoseconds(1));
  directory_.Sweep();
  EXPECT_THAT(Channels(), IsEmpty());
}

TEST_F(ChannelDirectoryTest, OverTheReadersBudgetTheLeastRecentlyUsedOfTheShardGoes) {
  Use("- {name: a, port: 1, max_unpublished_channels: 20}\n- {name: b, port: 2}\n");
  // All in one shard.
  std::vector<std::string> names;
  const auto shard_of = [&](const std::string& name) {
    return directory_.table().IndexOf(
        ChannelKey(directory_.FindService("a"), Dialect::kCommon, name));
  };
  for (int i = 0; names.size() < 22; ++i) {
    const std::string name = absl::StrCat("c", i);
    if (names.empty() || shard_of(name) == shard_of(names[0])) names.push_back(name);
  }
  const auto link = MakeLink(1);
  for (int i = 0; i < 20; ++i) {
    const auto channel = *Read("a", names[i]);
    SetExact(channel, link, true);
  }
  EXPECT_THAT(Read("a", names[20]), StatusIs(absl::StatusCode::kResourceExhausted,
                                             HasSubstr("max_unpublished_channels")));
  for (const int left : {7, 3}) SetExact(*Read("a", names[left]), link, false);
  ASSERT_OK(Read("a", names[20]));
  EXPECT_THAT(Channels(), Not(Contains(absl::StrCat("a/", names[7]))));
  EXPECT_THAT(Channels(), Contains(absl::StrCat("a/", names[3])));
  EXPECT_EQ(Unpublished("a"), 20);
}

TEST_F(ChannelDirectoryTest, OfAnotherShardOneMakesRoomWhereAllOfItsOwnAreWanted) {
  Use("- {name: a, port: 1, max_unpublished_channels: 50}\n- {name: b, port: 2}\n");
  const auto link = MakeLink(1);
  for (int i = 0; i < 50; ++i) SetExact(*Read("a", absl::StrCat("c", i)), link, true);
  ServiceState* const state = directory_.FindService("a");
  const ServiceSpec& spec = *directory_.snapshot()->Find("a")->spec;
  EXPECT_FALSE(directory_.MakeRoom(state, spec));
  SetExact(*Read("a", "c7"), link, false);
  EXPECT_TRUE(directory_.MakeRoom(state, spec));
  EXPECT_EQ(Unpublished("a"), 49);
  EXPECT_TRUE(directory_.MakeRoom(state, spec));  // there is room
  EXPECT_EQ(Unpublished("a"), 49);
}

TEST_F(ChannelDirectoryTest, AnAddressHoldsATenthOfTheReadersBudget) {
  Use("- {name: a, port: 1, max_unpublished_channels: 100}\n- {name: b, port: 2}\n");
  for (int i = 0; i < 10; ++i) ASSERT_OK(Read("a", absl::StrCat("c", i), "1.2.3.4"));
  EXPECT_THAT(Read("a", "c10", "1.2.3.4"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1.2.3.4 holds")));
  EXPECT_OK(Read("a", "c9", "1.2.3.4"));
  EXPECT_OK(Read("a", "c10", "1.2.3.5"));
  EXPECT_OK(Read("b", "c10", "1.2.3.4"));
  EXPECT_OK(Read("a", "c11"));
  ASSERT_OK(Open("a", "c0"));  // published to: it is nobody's any more
  EXPECT_OK(Read("a", "c12", "1.2.3.4"));
  EXPECT_FALSE(Read("a", "c13", "1.2.3.4").ok());
  clock_.Advance(kUnpublishedTtl);
  for (int i = 0; i < 3; ++i) directory_.Sweep();
  EXPECT_OK(Read("a", "c13", "1.2.3.4"));
}

TEST_F(ChannelDirectoryTest, ChannelsOfADialectCountAsUnpublished) {
  Use("- {name: a, port: 1, max_channels: 1, max_unpublished_channels: 10}\n"
      "- {name: b, port: 2}\n");
  for (int i = 0; i < 30; ++i) {
    Read("a", absl::StrCat("metrics:", i), "", Dialect::kSessionBuddy).IgnoreError();
  }
  EXPECT_LE(Unpublished("a"), 10);
  EXPECT_OK(Open("a", "x"));
}

// ------------------------------------------------------------------------------- budget

TEST_F(ChannelDirectoryTest, OverTheBudgetTheOldestOfAllChannelsGo) {
  // Publications of the channels take turns, so that the oldest are spread over them.
  std::vector<std::shared_ptr<ChannelState>> channels;
  for (int c = 0; c < 10; ++c) channels.push_back(*Open("a", absl::StrCat("c", c)));
  int published = 0;
  while (engine_->excess_bytes() == 0) {
    Append(channels[published++ % 10].get());
    clock_.Advance(absl::Milliseconds(1));
  }
  directory_.Sweep();
  EXPECT_EQ(engine_->excess_bytes(), 0);
  EXPECT_LE(engine_->history_bytes(), 100'000);
  EXPECT_GT(engine_->history_bytes(), 95'000);
  int64_t least = INT64_MAX, most = 0;
  for (const auto& channel : channels) {
    least = std::min(least, Kept(channel.get()));
    most = std::max(most, Kept(channel.get()));
  }
  EXPECT_LE(most - least, 1);
}

TEST_F(ChannelDirectoryTest, AQuietChannelsOldOnesGoBeforeABusyChannelsNewOnes) {
  const auto quiet = *Open("a", "quiet"), busy = *Open("b", "busy");
  for (int i = 0; i < 3; ++i) Append(quiet.get());
  clock_.Advance(absl::Seconds(1));
  while (engine_->history_bytes() < 110'000) Append(busy.get());
  const int64_t before = Kept(busy.get());
  directory_.Sweep();
  EXPECT_EQ(Kept(quiet.get()), 0);
  EXPECT_LT(Kept(busy.get()), before);
  EXPECT_GT(Kept(busy.get()), before - 20);  // no more than the bound wants
  EXPECT_EQ(quiet->log->head().offset, 3);
}

// ------------------------------------------------------------------------------- patterns

TEST_F(ChannelDirectoryTest, AChannelsLinksFollowThePatterns) {
  const auto channel = *Open("a", "p:1");
  const auto one = MakeLink(1), two = MakeLink(2);
  PatternTable& patterns = directory_.FindService("a")->patterns_of(Dialect::kCommon);
  channel->links.push_back({.link = one, .exact = true});
  patterns.Add(*ChannelPattern::Parse("p:*"), one);
  patterns.Add(*ChannelPattern::Parse("**"), two);
  RefreshPatterns(channel.get());
  ASSERT_THAT(channel->links, SizeIs(2));
  EXPECT_TRUE(channel->Find(one.get())->by_pattern);
  EXPECT_FALSE(channel->Find(two.get())->exact);
  patterns.RemoveAll(two.get());
  patterns.RemoveAll(one.get());
  RefreshPatterns(channel.get());
  ASSERT_THAT(channel->links, SizeIs(1));
  EXPECT_EQ(channel->links[0].link, one);
  EXPECT_FALSE(channel->links[0].by_pattern);
}

TEST_F(ChannelDirectoryTest, APatternsLinkIsIntroducedAndReleasedOnce) {
  const auto channel = *Open("a", "p:1");
  const auto link = MakeLink(1);
  PatternTable& patterns = directory_.FindService("a")->patterns_of(Dialect::kCommon);
  patterns.Add(*ChannelPattern::Parse("p:*"), link);
  RefreshPatterns(channel.get());
  ChannelDirectory::Introduce(*channel, &channel->links[0], 0);
  const uint32_t handle = channel->links[0].handle.number;
  EXPECT_NE(handle, 0u);
  ChannelDirectory::Introduce(*channel, &channel->links[0], 0);
  EXPECT_EQ(channel->links[0].handle.number, handle);
  EXPECT_EQ(link->stats().queued_items, 1);
  patterns.RemoveAll(link.get());
  RefreshPatterns(channel.get());
  EXPECT_THAT(channel->links, IsEmpty());
  EXPECT_EQ(link->stats().queued_items, 2);
}

TEST_F(ChannelDirectoryTest, APatternsLinkThatIsHeldBeginsDirtyAfterWhatWasRouted) {
  const auto channel = *Open("a", "p:1");
  channel->routed = 7;
  const auto link = MakeLink(1);
  link->SetHeld(true);
  directory_.FindService("a")
      ->patterns_of(Dialect::kCommon)
      .Add(*ChannelPattern::Parse("p:*"), link);
  RefreshPatterns(channel.get());
  ASSERT_THAT(channel->links, SizeIs(1));
  EXPECT_TRUE(channel->links[0].dirty);
  EXPECT_EQ(channel->links[0].next_offset, 8);
  // Until it is repaired, channel and link hold each other.
  link->SetHeld(false);
  EXPECT_EQ(link->NextDirty().channel, channel);
}

}  // namespace
}  // namespace fanwire::control
