// What batches do to channels, and which publications reach the sessions.
#include "fanout/batch_applier.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fakes/fake_link.h"
#include "tests/fanout/ports_fixture.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class BatchApplierTest : public PortsFixture {
 protected:
  BatchApplierTest()
      : interest_(&link_, [this] { return ports_->services(); }),
        acknowledgements_(&loop_, &link_, [] { return size_t{0}; }),
        applier_(&hub_, &tracks_, ports_.get(), &interest_, &acknowledgements_) {}

  void Open() { ASSERT_OK(Apply(Config())); }
  PairClient* Subscribed() { return PortsFixture::Subscribed(ports()[0], "a"); }
  Channel* channel() { return service()->FindChannel(Dialect::kCommon, "a"); }

  void Apply(std::unique_ptr<v1::BatchItem> other) {
    LinkItem item;
    item.other = std::move(other);
    applier_.Apply(std::move(item));
  }
  using PortsFixture::Apply;

  void Define(uint32_t handle, int64_t offset, const std::string& epoch = "e1",
              v1::GapPolicy gap = v1::GAP_POLICY_NOTIFY) {
    auto item = std::make_unique<v1::BatchItem>();
    v1::ChannelDef& def = *item->mutable_channel_def();
    def.set_handle(handle);
    def.set_service("mahavishnu");
    def.set_channel("a");
    def.set_epoch(epoch);
    def.set_offset(offset);
    def.set_policy(v1::BACKLOG_POLICY_CLOSE);
    def.set_gap_policy(gap);
    Apply(std::move(item));
  }
  void Release(uint32_t handle) {
    auto item = std::make_unique<v1::BatchItem>();
    item->mutable_channel_release()->set_handle(handle);
    Apply(std::move(item));
  }
  void Gap(uint32_t handle, int64_t from, int64_t to, const std::string& reason,
           const std::string& epoch = "e1") {
    auto item = std::make_unique<v1::BatchItem>();
    v1::ChannelGap& gap = *item->mutable_channel_gap();
    gap.set_handle(handle);
    gap.set_from(from);
    gap.set_to(to);
    gap.set_reason(reason);
    gap.set_epoch(epoch);
    Apply(std::move(item));
  }
  static LinkItem Publication(uint32_t handle, int64_t offset) {
    LinkItem item;
    item.handle = handle;
    item.offset = offset;
    const std::string text = absl::StrCat(R"({"type":"event","room":"a","offset":)", offset,
                                          R"(,"number":)", offset, "}");
    item.frame = Frame::Text(text);
    item.envelope_bytes = static_cast<uint32_t>(text.size());
    return item;
  }
  void Publish(uint32_t handle, int64_t offset) { applier_.Apply(Publication(handle, offset)); }

  // Delivers all that was applied.
  void Deliver() {
    hub_.CommitAll();
    hub_.Drain();
    RunFor(absl::Milliseconds(20));
  }

  // Items and bytes that control is told were applied.
  std::pair<uint64_t, uint64_t> Acknowledged() {
    acknowledgements_.AcknowledgeEachTurn();
    link_.Take();
    acknowledgements_.OnTurn();
    if (link_.sent.empty()) return {0, 0};
    return {link_.sent[0].ack().seq(), link_.sent[0].ack().bytes()};
  }

  FakeLink link_;
  Interest interest_;
  Acknowledgements acknowledgements_;
  BatchApplier applier_;
};

TEST_F(BatchApplierTest, PublicationsReachTheSubscribersOfTheHandlesChannel) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  EXPECT_EQ(channel()->handle, 5u);
  EXPECT_EQ(channel()->epoch, "e1");
  EXPECT_EQ(channel()->offset, 10);
  Publish(5, 11);
  Publish(5, 12);
  Deliver();
  EXPECT_THAT(client->Offsets("a"), ElementsAre(11, 12));
  EXPECT_EQ(channel()->offset, 12);
}

TEST_F(BatchApplierTest, WhatWasAppliedIsNotDeliveredAgain) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  for (const int64_t offset : {9, 10, 11, 11, 12, 11}) Publish(5, offset);
  Deliver();
  EXPECT_THAT(client->Offsets("a"), ElementsAre(11, 12));
}

TEST_F(BatchApplierTest, PublicationsWithoutAPositionAreAllDelivered) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Publish(5, 0);
  Publish(5, 0);
  Deliver();
  EXPECT_THAT(client->messages, SizeIs(2));
  EXPECT_EQ(channel()->offset, 10);
}

TEST_F(BatchApplierTest, AnExcludedSessionGetsNothing) {
  Open();
  PairClient* const excluded = Subscribed();
  PairClient* const other = Subscribed();
  Define(5, 10);
  LinkItem item = Publication(5, 11);
  item.exclude_connection = excluded->id;
  applier_.Apply(std::move(item));
  Deliver();
  EXPECT_THAT(other->messages, SizeIs(1));
  EXPECT_THAT(excluded->messages, IsEmpty());
}

TEST_F(BatchApplierTest, EveryItemIsCountedAlsoThoseWithoutEffect) {
  Open();
  Define(5, 10);
  const uint64_t bytes = Publication(99, 1).envelope_bytes;
  Publish(99, 1);  // no channel has that handle
  Release(99);
  Gap(99, 1, 2, "history_expired");
  auto item = std::make_unique<v1::BatchItem>();
  item->mutable_subscribe_result()->add_publications()->set_envelope("1234567");
  Apply(std::move(item));
  EXPECT_EQ(Acknowledged(), std::make_pair(uint64_t{5}, bytes + 7));
}

TEST_F(BatchApplierTest, ADefinitionOfTheSameEpochNeverGoesBack) {
  Open();
  Subscribed();
  Define(5, 10);
  Define(6, 7);
  EXPECT_EQ(channel()->handle, 6u);
  EXPECT_EQ(channel()->offset, 10);
  Define(7, 3, "e2");
  EXPECT_EQ(channel()->offset, 3);
  EXPECT_EQ(channel()->epoch, "e2");
}

TEST_F(BatchApplierTest, AChannelOfAServiceThatIsNotHereIsIgnored) {
  Open();
  auto item = std::make_unique<v1::BatchItem>();
  item->mutable_channel_def()->set_handle(5);
  item->mutable_channel_def()->set_service("akosha");
  item->mutable_channel_def()->set_channel("a");
  Apply(std::move(item));
  Publish(5, 1);
  EXPECT_EQ(channel(), nullptr);
}

TEST_F(BatchApplierTest, AnotherEpochOfADefinitionIsToldOnce) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Release(5);
  Define(6, 4, "e2");
  Gap(6, 1, 4, "epoch_changed", "e2");  // as after an attachment
  Publish(6, 5);
  Deliver();
  const std::vector<Json> told = client->Named("channel.skipped");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0]["data"]["from"], 1);
  EXPECT_EQ(told[0]["data"]["to"], 4);
  EXPECT_EQ(told[0]["data"]["reason"], "epoch_changed");
  EXPECT_EQ(told[0]["data"]["epoch"], "e2");
  EXPECT_THAT(client->Offsets("a"), ElementsAre(5));
}

TEST_F(BatchApplierTest, AnotherEpochOfWhichNothingIsMissingIsToldWithZeros) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Release(5);
  Define(6, 0, "e2");
  Gap(6, 1, 0, "epoch_changed", "e2");
  Publish(6, 1);
  Deliver();
  const std::vector<Json> told = client->Named("channel.skipped");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(
      told[0]["data"],
      (Json{
          {"channel", "a"}, {"from", 0}, {"to", 0}, {"reason", "epoch_changed"}, {"epoch", "e2"}}));
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
}

TEST_F(BatchApplierTest, ANewSeriesOfTheSameEpochIsTold) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Define(6, 0);
  Gap(6, 1, 0, "epoch_changed");
  Publish(6, 1);
  Deliver();
  EXPECT_THAT(client->Named("channel.skipped"), SizeIs(1));
  EXPECT_THAT(client->Offsets("a"), ElementsAre(1));
}

TEST_F(BatchApplierTest, WithAPatternsAskAloneAReleasedChannelsPositionIsNotKept) {
  Open();
  Define(5, 10);
  // A session waits for the answer to its subscribe: it is in no table yet.
  PatternTable* const table =
      service()->FindOrMakePattern(Dialect::kCommon, *ChannelPattern::Parse("*"));
  interest_.Want(table);
  Release(5);
  EXPECT_EQ(channel(), nullptr);
  interest_.Unwant(table);
}

TEST_F(BatchApplierTest, APositionGoesWithTheLastSubscriberOfItsPattern) {
  Open();
  PairClient* const client = PortsFixture::Subscribed(ports()[0], "*");
  Define(5, 10);
  Release(5);
  ASSERT_NE(channel(), nullptr);
  EXPECT_EQ(channel()->offset, 10);
  client->Close();
  ASSERT_TRUE(RunUntil([&] { return service()->sessions().empty(); }));
  // Before another session is let in, and before control is told.
  PortsFixture::Subscribed(ports()[0], "**");
  EXPECT_EQ(channel(), nullptr);
}

TEST_F(BatchApplierTest, APatternsSubscribersKeepNoPositionOfADeadChannelForLong) {
  Open();
  PortsFixture::Subscribed(ports()[0], "*");
  Define(5, 10);
  Release(5);
  service()->ForgetOldPositions(loop_.Now() + Service::kPositionTtl - absl::Seconds(1));
  EXPECT_NE(channel(), nullptr);
  service()->ForgetOldPositions(loop_.Now() + Service::kPositionTtl + absl::Seconds(1));
  EXPECT_EQ(channel(), nullptr);
}

TEST_F(BatchApplierTest, SubscribersByNameKeepAPositionForEver) {
  Open();
  Subscribed();
  Define(5, 10);
  Release(5);
  service()->ForgetOldPositions(loop_.Now() + absl::Hours(9));
  ASSERT_NE(channel(), nullptr);
  EXPECT_EQ(channel()->offset, 10);
}

TEST_F(BatchApplierTest, PositionsThatSubscribersByNameKeepAreNotLookedAtEachSecond) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Release(5);
  EXPECT_EQ(service()->watched_positions(), 0u);
  client->Close();
  ASSERT_TRUE(RunUntil([&] { return service()->sessions().empty(); }));
  EXPECT_EQ(channel(), nullptr);
  service()->ForgetOldPositions(loop_.Now());
  EXPECT_EQ(service()->watched_positions(), 0u);
}

TEST_F(BatchApplierTest, APositionThatOnlyAPatternKeepsIsLookedAtOnceWhenItsTimeIsOver) {
  Open();
  PortsFixture::Subscribed(ports()[0], "*");
  PairClient* const by_name = Subscribed();
  Define(5, 10);
  Release(5);
  EXPECT_EQ(service()->watched_positions(), 0u);
  by_name->Close();
  ASSERT_TRUE(RunUntil([&] { return service()->sessions().size() == 1; }));
  EXPECT_EQ(service()->watched_positions(), 1u);
  const absl::Duration left = loop_.Now();
  service()->ForgetOldPositions(left);
  service()->ForgetOldPositions(left + Service::kPositionTtl - absl::Seconds(1));
  ASSERT_NE(channel(), nullptr);
  EXPECT_EQ(channel()->offset, 10);
  EXPECT_EQ(service()->watched_positions(), 1u);
  service()->ForgetOldPositions(left + Service::kPositionTtl);
  EXPECT_EQ(channel(), nullptr);
  EXPECT_EQ(service()->watched_positions(), 0u);
}

TEST_F(BatchApplierTest, APositionThatIsInUseAgainIsNotForgottenForItsFormerRelease) {
  Open();
  PortsFixture::Subscribed(ports()[0], "*");
  Define(5, 10);
  Release(5);
  const absl::Duration released = loop_.Now();
  RunFor(absl::Milliseconds(5));
  Define(6, 10);
  service()->ForgetOldPositions(released + Service::kPositionTtl);
  ASSERT_NE(channel(), nullptr);
  EXPECT_EQ(channel()->offset, 10);
  Release(6);
  service()->ForgetOldPositions(released + Service::kPositionTtl);
  EXPECT_NE(channel(), nullptr);
  service()->ForgetOldPositions(loop_.Now() + Service::kPositionTtl);
  EXPECT_EQ(channel(), nullptr);
}

TEST_F(BatchApplierTest, ASubscribeUnderWayKeepsNoPositionOfThoseThatLeft) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Release(5);
  interest_.Want(channel());
  client->Close();
  ASSERT_TRUE(RunUntil([&] { return service()->sessions().empty(); }));
  ASSERT_NE(channel(), nullptr);
  service()->ForgetLeftPositions();  // as before another session subscribes to a pattern
  EXPECT_EQ(channel()->epoch, "");
  EXPECT_EQ(channel()->offset, 0);
  interest_.Unwant(channel());
}

TEST_F(BatchApplierTest, AReleasedChannelIsForgottenIfNobodySubscribes) {
  Open();
  Define(5, 10);
  ASSERT_NE(channel(), nullptr);
  Release(5);
  EXPECT_EQ(channel(), nullptr);
}

TEST_F(BatchApplierTest, AReleasedChannelWithSubscribersKeepsItsPosition) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Release(5);
  EXPECT_EQ(channel()->handle, 0u);
  EXPECT_EQ(channel()->offset, 10);
  Publish(5, 11);
  Deliver();
  EXPECT_THAT(client->messages, IsEmpty());
}

TEST_F(BatchApplierTest, AnOldHandlesReleaseDoesNotTouchTheNewOne) {
  Open();
  Subscribed();
  Define(5, 10);
  Define(6, 10);
  Release(5);
  EXPECT_EQ(channel()->handle, 6u);
}

TEST_F(BatchApplierTest, AGapIsToldOnce) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Gap(5, 11, 20, "history_expired");
  Gap(5, 11, 20, "history_expired");
  Deliver();
  const std::vector<Json> told = client->Named("channel.skipped");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0]["data"]["to"], 20);
  EXPECT_EQ(told[0]["data"]["reason"], "history_expired");
  EXPECT_FALSE(told[0]["data"].contains("epoch"));
  EXPECT_EQ(channel()->offset, 20);
}

TEST_F(BatchApplierTest, ANewEpochIsTold) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Gap(5, 0, 3, "epoch_changed", "e2");
  Deliver();
  const std::vector<Json> told = client->Named("channel.skipped");
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0]["data"]["epoch"], "e2");
  EXPECT_EQ(channel()->epoch, "e2");
  EXPECT_EQ(channel()->offset, 3);
}

TEST_F(BatchApplierTest, WhereThatIsThePolicyAGapClosesTheSubscribers) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10, "e1", v1::GAP_POLICY_CLOSE);
  Publish(5, 11);
  Gap(5, 12, 20, "history_expired");
  ASSERT_TRUE(RunUntil([&] { return client->close_code.has_value(); }));
  EXPECT_EQ(client->close_code, 4003);
  EXPECT_THAT(client->Offsets("a"), ElementsAre(11));
}

TEST_F(BatchApplierTest, WhereThatIsThePolicyExpiredPublicationsCloseNobody) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10, "e1", v1::GAP_POLICY_CLOSE);
  Gap(5, 11, 11, "expired");
  Deliver();
  EXPECT_THAT(client->Named("channel.skipped"), SizeIs(1));
  EXPECT_EQ(client->close_code, std::nullopt);
}

TEST_F(BatchApplierTest, ARestartForgetsHandlesAndKeepsPositionsOfSubscribers) {
  Open();
  PairClient* const client = Subscribed();
  Define(5, 10);
  Publish(5, 11);
  applier_.Restart();
  EXPECT_EQ(channel()->handle, 0u);
  EXPECT_EQ(channel()->offset, 11);
  Publish(5, 12);
  Deliver();
  EXPECT_THAT(client->Offsets("a"), ElementsAre(11));
  EXPECT_EQ(Acknowledged().first, 1u);
}

TEST_F(BatchApplierTest, ARestartTellsNoPositionToAPatternThatIsStillAskedFor) {
  Open();
  Define(5, 10);
  PatternTable* const table =
      service()->FindOrMakePattern(Dialect::kCommon, *ChannelPattern::Parse("*"));
  interest_.Want(table);
  applier_.Restart();
  link_.Take();
  interest_.TellInterest();
  interest_.AskAgain();
  const std::vector<v1::WorkerItem> told = link_.Take();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].interest_snapshot().interests_size(), 1);
  EXPECT_EQ(told[0].interest_snapshot().positions_size(), 0);
  interest_.Unwant(table);
}

TEST_F(BatchApplierTest, ARestartForgetsChannelsThatNobodyNeeds) {
  Open();
  Define(5, 10);
  applier_.Restart();
  EXPECT_EQ(channel(), nullptr);
}

}  // namespace
}  // namespace fanwire::fanout
