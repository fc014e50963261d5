// Batches as control writes them, cut at any byte, with fields of a later version, and malformed.
#include "fanout/batch_reader.h"

#include <string>
#include <vector>

#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::fanout {

namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// A channel, a publication with every field set, and one with none.
v1::ControlMessage Message() {
  v1::ControlMessage message;
  v1::Batch& batch = *message.mutable_batch();
  batch.add_items()->mutable_channel_def()->set_handle(5);
  v1::Deliver& deliver = *batch.add_items()->mutable_deliver();
  deliver.set_handle(5);
  deliver.set_offset(int64_t{1} << 40);
  deliver.set_envelope(R"({"type":"event"})");
  deliver.set_event(3);
  deliver.set_conflate_key(99);
  deliver.set_ttl_ms(1500);
  deliver.set_publication_id(7);
  deliver.set_received_us(1234);
  deliver.set_exclude_connection("c1");
  batch.add_items()->mutable_deliver();
  return message;
}

void ExpectMessage(const std::vector<LinkItem>& items) {
  ASSERT_THAT(items, SizeIs(3));
  ASSERT_NE(items[0].other, nullptr);
  EXPECT_EQ(items[0].other->channel_def().handle(), 5u);
  const LinkItem& item = items[1];
  EXPECT_EQ(item.other, nullptr);
  EXPECT_EQ(item.handle, 5u);
  EXPECT_EQ(item.offset, int64_t{1} << 40);
  EXPECT_EQ(item.frame->bytes(), Frame::Text(R"({"type":"event"})")->bytes());
  EXPECT_EQ(item.envelope_bytes, 16u);
  EXPECT_EQ(item.event, 3u);
  EXPECT_EQ(item.conflate_key, 99u);
  EXPECT_EQ(item.ttl_ms, 1500);
  EXPECT_EQ(item.publication_id, 7u);
  EXPECT_EQ(item.received_us, 1234);
  EXPECT_EQ(item.exclude_connection, "c1");
  EXPECT_EQ(items[2].other, nullptr);
  EXPECT_EQ(items[2].handle, 0u);
  EXPECT_EQ(items[2].envelope_bytes, 0u);
  EXPECT_EQ(items[2].frame->bytes(), Frame::Text("")->bytes());
}

bool Read(const std::string& bytes, std::vector<LinkItem>* items) {
  return ReadBatch({absl::string_view(bytes)}, items);
}

TEST(BatchReaderTest, ReadsEveryFieldOfAPublicationAndKeepsOtherItems) {
  std::vector<LinkItem> items;
  ASSERT_TRUE(Read(Message().SerializeAsString(), &items));
  ExpectMessage(items);
}

TEST(BatchReaderTest, AMessageMayBeCutAtAnyByte) {
  const std::string bytes = Message().SerializeAsString();
  const absl::string_view text = bytes;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    SCOPED_TRACE(cut);
    std::vector<LinkItem> items;
    ASSERT_TRUE(ReadBatch({text.substr(0, cut), text.substr(cut)}, &items));
    ExpectMessage(items);
  }
  std::vector<absl::string_view> single;
  for (size_t i = 0; i < text.size(); ++i) single.push_back(text.substr(i, 1));
  std::vector<LinkItem> items;
  ASSERT_TRUE(ReadBatch(std::move(single), &items));
  ExpectMessage(items);
}

TEST(BatchReaderTest, AMessageThatEndsEarlyIsNoBatch) {
  const std::string bytes = Message().SerializeAsString();
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::vector<LinkItem> items;
    EXPECT_FALSE(Read(bytes.substr(0, size), &items)) << size;
  }
}

TEST(BatchReaderTest, OtherMessagesAreNoBatch) {
  v1::ControlMessage message;
  message.mutable_welcome()->mutable_heartbeat_interval()->set_seconds(1);
  std::vector<LinkItem> items;
  EXPECT_FALSE(Read(message.SerializeAsString(), &items));
  EXPECT_FALSE(Read("", &items));
  EXPECT_FALSE(ReadBatch(std::vector<absl::string_view>(), &items));
  EXPECT_THAT(items, IsEmpty());
  // A batch and something beside it.
  message = Message();
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(1000, 1);
  EXPECT_FALSE(Read(message.SerializeAsString(), &items));
}

TEST(BatchReaderTest, AnEmptyBatchHasNoItems) {
  v1::ControlMessage message;
  message.mutable_batch();
  std::vector<LinkItem> items;
  EXPECT_TRUE(Read(message.SerializeAsString(), &items));
  EXPECT_THAT(items, IsEmpty());
}

TEST(BatchReaderTest, UnknownFieldsOfAPublicationAreSkipped) {
  v1::ControlMessage message = Message();
  v1::Deliver* const deliver = message.mutable_batch()->mutable_items(1)->mutable_deliver();
  deliver->GetReflection()->MutableUnknownFields(deliver)->AddLengthDelimited(1000, "later");
  std::vector<LinkItem> items;
  ASSERT_TRUE(Read(message.SerializeAsString(), &items));
  ExpectMessage(items);
}

TEST(BatchReaderTest, TheLastKindOfAnItemCountsAsInProtobuf) {
  v1::ControlMessage message;
  v1::BatchItem* const item = message.mutable_batch()->add_items();
  item->mutable_deliver()->set_handle(6);
  v1::ChannelRelease release;
  release.set_handle(9);
  item->GetReflection()->MutableUnknownFields(item)->AddLengthDelimited(
      v1::BatchItem::kChannelReleaseFieldNumber, release.SerializeAsString());
  std::vector<LinkItem> items;
  ASSERT_TRUE(Read(message.SerializeAsString(), &items));
  ASSERT_THAT(items, SizeIs(1));
  ASSERT_NE(items[0].other, nullptr);
  EXPECT_EQ(items[0].other->channel_release().handle(), 9u);
}

TEST(BatchReaderTest, AMalformedItemIsRefused) {
  // A Deliver whose envelope should have 9 bytes and has none.
  const std::string deliver("\x0a\x02\x1a\x09", 4);
  v1::ControlMessage message = Message();
  v1::Batch* const batch = message.mutable_batch();
  batch->GetReflection()->MutableUnknownFields(batch)->AddLengthDelimited(
      v1::Batch::kItemsFieldNumber, deliver);
  std::vector<LinkItem> items;
  EXPECT_FALSE(Read(message.SerializeAsString(), &items));
}

TEST(BatchReaderTest, ItemsOfAParsedBatchAreTheSame) {
  std::vector<LinkItem> items;
  ASSERT_TRUE(ReadBatch(Message().batch(), &items));
  ExpectMessage(items);
}

}  // namespace
}  // namespace fanwire::fanout
