#include "control/routing/channel_queries.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "control/routing/channel_info.h"
#include "control/routing/interest_view.h"
#include "proto/policies.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ChannelQueriesTest : public RouterFixture {};

TEST_F(ChannelQueriesTest, SummariesSayWhatAChannelHolds) {
  const auto one = MakeWorker(), two = MakeWorker();
  Want(*one, "x");
  WantPattern(*two, "x");
  Publish("x", 3);
  const auto summary = routing_->queries->GetChannel("s", "x");
  ASSERT_OK(summary);
  EXPECT_EQ(summary->service, "s");
  EXPECT_EQ(summary->channel, "x");
  EXPECT_EQ(summary->history.head.offset, 3);
  EXPECT_EQ(summary->history.oldest_offset, 1);
  EXPECT_EQ(summary->history.publications, 3);
  EXPECT_GT(summary->history.bytes, 3 * 200);
  EXPECT_EQ(summary->publications, 3);
  EXPECT_EQ(summary->last_published, clock_.WallNow());
  EXPECT_EQ(summary->workers, 2);
  EXPECT_THAT(routing_->queries->GetChannel("s", "none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no channel \"none\"")));
  EXPECT_THAT(routing_->queries->GetChannel("none", "x"),
              StatusIs(absl::StatusCode::kNotFound, "service \"none\" is not configured"));
}

TEST_F(ChannelQueriesTest, ChannelsAreListedByServiceAndPatternAndDialectsAreNot) {
  const auto worker = MakeWorker();
  routing_->subscriptions->AddInterest(
      worker->link, {.service = "s", .channel = "metrics", .dialect = Dialect::kSessionBuddy});
  Subscribe(*worker, 1, "quiet");
  Publish("a:1");
  Publish("a:b:c");
  const auto names = [this](const std::string& service, const std::string& pattern) {
    const auto channels = routing_->queries->ListChannels(service, pattern);
    EXPECT_OK(channels);
    std::vector<std::string> names;
    for (const ListedChannel& listed : channels->channels) {
      EXPECT_EQ(*listed.service, "s");
      names.emplace_back(listed.channel);
    }
    std::sort(names.begin(), names.end());
    return names;
  };
  EXPECT_THAT(names("", ""), ElementsAre("a:1", "a:b:c", "quiet"));
  EXPECT_THAT(names("s", "a:*"), ElementsAre("a:1"));
  EXPECT_THAT(names("none", ""), IsEmpty());
  EXPECT_THAT(routing_->queries->ListChannels("", "a:**:b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("**")));
  const auto quiet = routing_->queries->GetChannel("s", "quiet");
  ASSERT_OK(quiet);
  EXPECT_EQ(quiet->last_published, absl::InfinitePast());
}

TEST_F(ChannelQueriesTest, AListSaysWhatItCanBeOrderedByAndOutlivesItsChannels) {
  const auto worker = MakeWorker();
  Subscribe(*worker, 1, "quiet");
  Publish("busy", 3);
  auto channels = routing_->queries->ListChannels("s", "busy");
  ASSERT_OK(channels);
  ASSERT_THAT(channels->channels, SizeIs(1));
  EXPECT_EQ(channels->channels[0].publications, 3);
  EXPECT_EQ(channels->channels[0].last_published_us, absl::ToUnixMicros(clock_.WallNow()));
  const auto quiet = routing_->queries->ListChannels("s", "quiet");
  ASSERT_OK(quiet);
  EXPECT_EQ(quiet->channels[0].last_published_us, 0);
  std::weak_ptr<ChannelState> state;
  {
    ChannelTable& table = routing_->directory.table();
    const ChannelKey key(routing_->directory.FindService("s"), Dialect::kCommon, "busy");
    ChannelTable::Shard& shard = table.shard(table.IndexOf(key));
    MutexLock lock(&shard.mu);
    state = *ChannelTable::Find(shard, key);
  }
  clock_.Advance(absl::Hours(25));
  routing_->directory.Sweep();
  EXPECT_FALSE(routing_->queries->GetChannel("s", "busy").ok());
  EXPECT_TRUE(state.expired());  // the list keeps a copy of its name alone
  EXPECT_EQ(channels->channels[0].channel, "busy");
}

TEST_F(ChannelQueriesTest, ADialectsChannelsAreInterestingAsLongAsALinkWantsThemByName) {
  const auto one = MakeWorker(), two = MakeWorker();
  const auto interested = [this] {
    return routing_->queries->InterestedChannels("s", Dialect::kSessionBuddy);
  };
  const auto view = [](absl::string_view channel, bool pattern = false) {
    return InterestView{
        .service = "s", .channel = channel, .pattern = pattern, .dialect = Dialect::kSessionBuddy};
  };
  Subscriptions& subscriptions = *routing_->subscriptions;
  Want(*one, "metrics");  // of the common dialect
  subscriptions.AddInterest(one->link, view("**", true));
  EXPECT_THAT(interested(), IsEmpty());
  subscriptions.AddInterest(one->link, view("metrics"));
  subscriptions.AddInterest(one->link, view("metrics"));
  subscriptions.AddInterest(two->link, view("metrics"));
  subscriptions.Subscribe(
      two->link,
      {.query_id = 1, .service = "s", .channel = "metrics:a", .dialect = Dialect::kSessionBuddy});
  EXPECT_THAT(interested(), UnorderedElementsAre("metrics", "metrics:a"));
  subscriptions.RemoveInterest(one->link, view("metrics"));
  subscriptions.RemoveInterest(one->link, view("metrics"));
  EXPECT_THAT(interested(), UnorderedElementsAre("metrics", "metrics:a"));
  subscriptions.RemoveInterest(one->link, view("**", true));
  subscriptions.ClearInterest(two->link);
  EXPECT_THAT(interested(), IsEmpty());
  EXPECT_THAT(routing_->queries->InterestedChannels("none", Dialect::kSessionBuddy), IsEmpty());
}

TEST_F(ChannelQueriesTest, HistoryIsReadOverAPagesBoundsInBothDirections) {
  Publish("x", 10);
  const auto offsets = [this](HistoryRequest request, bool more) {
    request.service = "s";
    request.channel = "x";
    const auto slice = routing_->ReadHistory(request);
    EXPECT_OK(slice);
    EXPECT_EQ(slice->more, more);
    EXPECT_EQ(slice->head.offset, 10);
    std::vector<int64_t> offsets;
    for (const PublicationPtr& each : slice->publications) offsets.push_back(each->offset());
    return offsets;
  };
  const auto slice = routing_->ReadHistory({.service = "s", .channel = "x"});
  const Epoch epoch = slice->head.epoch;
  const size_t each = slice->publications[0]->envelope().size();
  EXPECT_THAT(offsets({.limit = 3}, true), ElementsAre(1, 2, 3));
  EXPECT_THAT(offsets({.limit = 3, .reverse = true}, true), ElementsAre(10, 9, 8));
  EXPECT_THAT(offsets({.since = Position{epoch, 8}}, false), ElementsAre(9, 10));
  EXPECT_THAT(offsets({.since = Position{epoch, 8}, .reverse = true}, false), ElementsAre(10, 9));
  EXPECT_THAT(offsets({.since = Position{epoch, 10}}, false), IsEmpty());
  EXPECT_THAT(offsets({.since = Position{Epoch::Random(), 8}}, false), SizeIs(10));
  EXPECT_THAT(offsets({.limit = 0}, true), IsEmpty());
  EXPECT_THAT(offsets({.max_bytes = 2 * each + 1}, true), ElementsAre(1, 2));
  EXPECT_THAT(offsets({.max_bytes = 2 * each + 5, .reverse = true}, true), ElementsAre(10, 9));
  EXPECT_THAT(offsets({.max_bytes = 1}, true), ElementsAre(1));
  EXPECT_THAT(offsets({.before = Position{epoch, 4}}, false), ElementsAre(1, 2, 3));
  EXPECT_THAT(offsets({.limit = 2, .before = Position{epoch, 4}, .reverse = true}, true),
              ElementsAre(3, 2));
  EXPECT_THAT(
      offsets({.limit = 2, .since = Position{epoch, 2}, .before = Position{epoch, 6}}, true),
      ElementsAre(3, 4));
  EXPECT_THAT(
      offsets({.since = Position{epoch, 2}, .before = Position{epoch, 6}, .reverse = true}, false),
      ElementsAre(5, 4, 3));
  EXPECT_THAT(offsets({.since = Position{epoch, 6}, .before = Position{epoch, 6}}, false),
              IsEmpty());
  EXPECT_THAT(offsets({.before = Position{epoch, 99}, .reverse = true}, false), SizeIs(10));
  for (const int64_t none : {int64_t{1}, int64_t{0}, INT64_MIN}) {
    EXPECT_THAT(offsets({.before = Position{epoch, none}}, false), IsEmpty());
  }
  EXPECT_THAT(offsets({.before = Position{Epoch::Random(), 8}}, false), IsEmpty());
  EXPECT_THAT(
      offsets({.max_bytes = 2 * each + 1, .before = Position{epoch, 9}, .reverse = true}, true),
      ElementsAre(8, 7));
}

TEST_F(ChannelQueriesTest, HistoryOfAChannelWithoutStateIsEmptyAndOfNoServiceAnError) {
  const auto slice = routing_->ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(slice);
  EXPECT_THAT(slice->publications, IsEmpty());
  EXPECT_EQ(slice->head.epoch, Epoch());
  EXPECT_FALSE(routing_->queries->GetChannel("s", "x").ok());
  EXPECT_THAT(routing_->ReadHistory({.service = "none", .channel = "x"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(routing_->ReadHistory({.service = "s", .channel = "x:*"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("channel")));
}

TEST_F(ChannelQueriesTest, ExpiredEventsAreNotInHistory) {
  Event brief = MakeEvent("x");
  brief.ttl = absl::Seconds(1);
  Publish(brief);
  Publish("x");
  clock_.Advance(absl::Seconds(1));
  const auto slice = routing_->ReadHistory({.service = "s", .channel = "x"});
  ASSERT_OK(slice);
  ASSERT_THAT(slice->publications, SizeIs(1));
  EXPECT_EQ(slice->publications[0]->offset(), 2);
}

TEST_F(ChannelQueriesTest, ExpiredEventsDoNotTakeTheRoomOfOthers) {
  Publish("x", 2);
  Event brief = MakeEvent("x");
  brief.ttl = absl::Seconds(1);
  for (int i = 0; i < 10; ++i) Publish(brief);
  Publish("x", 2);
  clock_.Advance(absl::Seconds(1));
  const auto offsets = [this](HistoryRequest request, bool more) {
    request.service = "s";
    request.channel = "x";
    const auto slice = routing_->ReadHistory(request);
    EXPECT_OK(slice);
    EXPECT_EQ(slice->more, more);
    std::vector<int64_t> offsets;
    for (const PublicationPtr& each : slice->publications) offsets.push_back(each->offset());
    return offsets;
  };
  EXPECT_THAT(offsets({.limit = 3}, true), ElementsAre(1, 2, 13));
  EXPECT_THAT(offsets({.limit = 3, .reverse = true}, true), ElementsAre(14, 13, 2));
  EXPECT_THAT(offsets({.limit = 4}, false), ElementsAre(1, 2, 13, 14));
  EXPECT_THAT(offsets({.limit = 5, .reverse = true}, false), ElementsAre(14, 13, 2, 1));
}

}  // namespace
}  // namespace fanwire::control
