#include "control/links/batch_writer.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/links/link_queue_item.h"
#include "control/links/subscribe.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/link_message.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Item = LinkQueueItem;

class BatchWriterTest : public ::testing::Test {
 protected:
  static PublicationPtr Make(Publication::Spec spec, size_t bytes = 10, bool positioned = true) {
    spec.max_envelope_bytes = bytes + Publication::kSealBytes;
    PublicationPtr publication = Publication::Make(spec);
    std::fill_n(publication->buffer(), bytes, '}');
    publication->SetEnvelope(bytes, 0, 0);
    if (positioned) publication->Seal(Epoch{.value = 0xe}, 7);
    return publication;
  }
  void Deliver(uint32_t handle, PublicationPtr publication) {
    Item item;
    item.kind = Item::Kind::kDeliver;
    item.handle = handle;
    item.publication = std::move(publication);
    items_.push_back(std::move(item));
  }
  // What the next message says of the items added since the last one.
  std::vector<v1::BatchItem> Fill() {
    written_ = writer_.Write(&items_, now_);
    EXPECT_THAT(items_, IsEmpty());
    const v1::ControlMessage message = Parse(written_.message);
    const auto& items = message.batch().items();
    EXPECT_EQ(written_.items, static_cast<uint64_t>(items.size()));
    return {items.begin(), items.end()};
  }

  absl::Duration now_ = absl::Seconds(100);
  BatchWriter writer_;
  std::vector<Item> items_;
  BatchWriter::Written written_;
};

TEST_F(BatchWriterTest, ADeliveryCarriesEveryFieldOfItsPublication) {
  const PublicationPtr publication = Make({.event = "started",
                                           .exclude_connection = "conn",
                                           .received_us = 55,
                                           .expires_at = now_ + absl::Milliseconds(1500),
                                           .conflate_key = 9,
                                           .tracking_id = 32});
  Deliver(3, publication);
  const std::vector<v1::BatchItem> items = Fill();
  ASSERT_THAT(items, SizeIs(2));
  EXPECT_EQ(items[0].event_def().handle(), 1u);
  EXPECT_EQ(items[0].event_def().name(), "started");
  const v1::Deliver& deliver = items[1].deliver();
  EXPECT_EQ(deliver.handle(), 3u);
  EXPECT_EQ(deliver.offset(), 7);
  EXPECT_EQ(absl::string_view(deliver.envelope()), publication->envelope());
  EXPECT_EQ(deliver.event(), 1u);
  EXPECT_EQ(deliver.exclude_connection(), "conn");
  EXPECT_EQ(deliver.conflate_key(), 9u);
  EXPECT_EQ(deliver.ttl_ms(), 1500);
  EXPECT_EQ(deliver.publication_id(), 32u);
  EXPECT_EQ(deliver.received_us(), 55);
  EXPECT_EQ(written_.envelope_bytes, publication->envelope().size());
}

TEST_F(BatchWriterTest, ObjectsThatAreUsedAgainKeepNothingOfTheBatchBefore) {
  for (int i = 0; i < 5; ++i) {
    Deliver(1, Make({.event = "a",
                     .exclude_connection = "conn",
                     .received_us = 5,
                     .expires_at = now_ + absl::Seconds(1),
                     .conflate_key = 9,
                     .tracking_id = 32},
                    300));
  }
  Fill();
  for (int i = 0; i < 3; ++i) Deliver(2, Make({}, 4, /*positioned=*/false));
  for (const v1::BatchItem& item : Fill()) {
    EXPECT_EQ(item.deliver().envelope(), "}}}}");
    EXPECT_EQ(item.deliver().event(), 0u);
    EXPECT_EQ(item.deliver().exclude_connection(), "");
    EXPECT_EQ(item.deliver().offset(), 0);
    EXPECT_EQ(item.deliver().ttl_ms(), 0);
    EXPECT_EQ(item.deliver().publication_id(), 0u);
    EXPECT_EQ(item.deliver().conflate_key(), 0u);
    EXPECT_EQ(item.deliver().received_us(), 0);
  }
  EXPECT_EQ(written_.envelope_bytes, 12u);
}

TEST_F(BatchWriterTest, ItemsOfAllKindsKeepTheirOrderOverBatches) {
  for (int round = 0; round < 3; ++round) {
    Item introduce{.kind = Item::Kind::kIntroduce, .handle = 5};
    introduce.introduction = std::make_unique<OwnedIntroduction>();
    items_.push_back(std::move(introduce));
    Deliver(5, Make({.event = "e"}));
    Item gap{.kind = Item::Kind::kGap, .handle = 5};
    gap.gap = std::make_unique<LinkGap>(
        LinkGap{.from = 8, .to = 9, .reason = "history_expired", .epoch = Epoch{.value = 1}});
    items_.push_back(std::move(gap));
    Deliver(5, Make({.event = "e"}));
    items_.push_back({.kind = Item::Kind::kRelease, .handle = 5});
    std::vector<v1::BatchItem::ItemCase> kinds;
    for (const v1::BatchItem& item : Fill()) kinds.push_back(item.item_case());
    if (round == 0) {
      EXPECT_THAT(kinds, ElementsAre(v1::BatchItem::kChannelDef, v1::BatchItem::kEventDef,
                                     v1::BatchItem::kDeliver, v1::BatchItem::kChannelGap,
                                     v1::BatchItem::kDeliver, v1::BatchItem::kChannelRelease));
    } else {
      EXPECT_THAT(kinds, ElementsAre(v1::BatchItem::kChannelDef, v1::BatchItem::kDeliver,
                                     v1::BatchItem::kChannelGap, v1::BatchItem::kDeliver,
                                     v1::BatchItem::kChannelRelease));
    }
  }
}

TEST_F(BatchWriterTest, TheTimeLeftIsAMillisecondAtLeast) {
  Deliver(1, Make({.expires_at = now_ + absl::Nanoseconds(1)}));
  Deliver(1, Make({}));
  const std::vector<v1::BatchItem> items = Fill();
  EXPECT_EQ(items[0].deliver().ttl_ms(), 1);
  EXPECT_EQ(items[1].deliver().ttl_ms(), 0);
}

TEST_F(BatchWriterTest, WhatExpiredIsAGapOfOneOrNothing) {
  Deliver(4, Make({.event = "e", .expires_at = now_, .tracking_id = 32}));
  Deliver(4, Make({.event = "e", .expires_at = now_, .tracking_id = 48}, 10, false));
  Deliver(4, Make({.event = "e", .expires_at = now_}, 10, false));
  const std::vector<v1::BatchItem> items = Fill();
  ASSERT_THAT(items, SizeIs(1));
  EXPECT_EQ(items[0].channel_gap().handle(), 4u);
  EXPECT_EQ(items[0].channel_gap().from(), 7);
  EXPECT_EQ(items[0].channel_gap().to(), 7);
  EXPECT_EQ(items[0].channel_gap().reason(), "expired");
  EXPECT_EQ(items[0].channel_gap().epoch(), Epoch{.value = 0xe}.ToText());
  EXPECT_THAT(written_.expired, ElementsAre(32, 48));
  EXPECT_EQ(written_.envelope_bytes, 0u);
  items_.clear();
  Fill();
  EXPECT_THAT(written_.expired, IsEmpty());
}

TEST_F(BatchWriterTest, OfTooManyEventNamesHandlesBeginAnewAndNoneIsUsedAgain) {
  constexpr uint32_t kNames = 65536;
  uint32_t last = 0;
  for (uint32_t i = 0; i < kNames; ++i) {
    const std::string name = absl::StrCat("event-", i);
    Deliver(1, Make({.event = name}));
    if (i % 256 != 255) continue;
    for (const v1::BatchItem& item : Fill()) {
      if (item.has_event_def()) {
        ASSERT_EQ(item.event_def().handle(), ++last);
      } else {
        ASSERT_EQ(item.deliver().event(), last);
      }
    }
  }
  EXPECT_EQ(last, kNames);
  Deliver(1, Make({.event = "event-0"}));
  EXPECT_THAT(Fill(), SizeIs(1));  // known
  Deliver(1, Make({.event = "one more"}));
  Deliver(1, Make({.event = "event-0"}));
  const std::vector<v1::BatchItem> items = Fill();
  ASSERT_THAT(items, SizeIs(4));
  EXPECT_EQ(items[0].event_def().handle(), kNames + 1);
  EXPECT_EQ(items[2].event_def().handle(), kNames + 2);
  EXPECT_EQ(items[3].deliver().event(), kNames + 2);
}

TEST_F(BatchWriterTest, AnAnswersEventsAreNamedBeforeIt) {
  Item item{.kind = Item::Kind::kAnswer, .handle = 2};
  item.answer = std::make_unique<SubscribeAnswer>();
  item.answer->query_id = 6;
  item.answer->handle = {.number = 2};
  item.answer->head = {.epoch = Epoch{.value = 0xe}, .offset = 7};
  item.answer->recovered = true;
  item.answer->publications = {Make({.event = "a", .exclude_connection = "conn"}),
                               Make({.event = "b", .expires_at = now_})};
  items_.push_back(std::move(item));
  const std::vector<v1::BatchItem> items = Fill();
  ASSERT_THAT(items, SizeIs(2));
  EXPECT_EQ(items[0].event_def().name(), "a");
  const v1::SubscribeResult& result = items[1].subscribe_result();
  ASSERT_THAT(result.publications(), SizeIs(2));
  EXPECT_EQ(result.publications(0).event(), items[0].event_def().handle());
  EXPECT_EQ(result.publications(0).exclude_connection(), "conn");
  EXPECT_EQ(result.publications(1).offset(), 7);
  EXPECT_EQ(result.publications(1).envelope(), "");
  EXPECT_EQ(written_.envelope_bytes, result.publications(0).envelope().size());
}

}  // namespace
}  // namespace fanwire::control
