#include "control/publish/receipt_writer.h"

#include <limits>
#include <string>

#include "fanwire/v1/publish.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

using google::protobuf::util::MessageDifferencer;

v1::Receipt Written(const PublishOutcome& outcome) {
  std::string bytes = "before";
  AppendReceipt(outcome, &bytes);
  v1::Receipt receipt;
  EXPECT_TRUE(receipt.ParseFromString(bytes.substr(6)));
  return receipt;
}

// Every field with `value`, where it is a number.
PublishOutcome FullOutcome(int64_t value) {
  PublishOutcome outcome;
  outcome.id = "id-1";
  outcome.position = {.epoch = Epoch{0x0123456789abcdef}, .offset = value};
  outcome.level = ReceiptLevel::kWritten;
  outcome.delivery.matched = value;
  outcome.delivery.written = value;
  outcome.delivery.dropped.fill(value);
  outcome.delivery.lost_connection = value;
  outcome.delivery.expired = value;
  outcome.delivery.workers_total = static_cast<int32_t>(value);
  outcome.delivery.workers_reported = static_cast<int32_t>(value);
  outcome.stages = {
      .accepted = value, .routed = value, .first_written = value, .last_written = value};
  outcome.duplicate = true;
  outcome.timed_out = true;
  return outcome;
}

v1::Receipt FullReceipt(int64_t value) {
  v1::Receipt receipt;
  receipt.set_id("id-1");
  receipt.mutable_position()->set_epoch("0123456789abcdef");
  receipt.mutable_position()->set_offset(value);
  receipt.set_level(v1::RECEIPT_LEVEL_WRITTEN);
  v1::Delivery* const delivery = receipt.mutable_delivery();
  delivery->set_matched(value);
  delivery->set_written(value);
  for (size_t reason = 0; reason < kDropReasons; ++reason) {
    v1::DropCount* const dropped = delivery->add_dropped();
    dropped->set_reason(static_cast<v1::DropReason>(reason));
    dropped->set_count(value);
  }
  delivery->set_lost_connection(value);
  delivery->set_expired(value);
  delivery->set_workers_total(static_cast<int32_t>(value));
  delivery->set_workers_reported(static_cast<int32_t>(value));
  receipt.set_duplicate(true);
  receipt.set_timed_out(true);
  receipt.mutable_stage_times()->set_accepted_us(value);
  receipt.mutable_stage_times()->set_routed_us(value);
  receipt.mutable_stage_times()->set_first_written_us(value);
  receipt.mutable_stage_times()->set_last_written_us(value);
  return receipt;
}

TEST(ReceiptWriterTest, EveryFieldIsWrittenHoweverLarge) {
  for (const int64_t value :
       {int64_t{1}, int64_t{300}, int64_t{1} << 40, std::numeric_limits<int64_t>::max()}) {
    EXPECT_TRUE(MessageDifferencer::Equals(Written(FullOutcome(value)), FullReceipt(value)))
        << Written(FullOutcome(value)).ShortDebugString();
  }
}

TEST(ReceiptWriterTest, NegativeNumbersTakeTheMostBytesAndHaveRoom) {
  PublishOutcome outcome = FullOutcome(-1);
  outcome.position.offset = std::numeric_limits<int64_t>::max();
  v1::Receipt expected = FullReceipt(-1);
  expected.mutable_position()->set_offset(outcome.position.offset);
  EXPECT_TRUE(MessageDifferencer::Equals(Written(outcome), expected));
}

TEST(ReceiptWriterTest, WhatIsNotThereIsLeftOut) {
  PublishOutcome outcome;
  outcome.id = "x";
  outcome.delivery.matched = 7;  // not for this level
  const v1::Receipt receipt = Written(outcome);
  EXPECT_EQ(receipt.id(), "x");
  EXPECT_FALSE(receipt.has_position());
  EXPECT_EQ(receipt.level(), v1::RECEIPT_LEVEL_ACCEPTED);
  EXPECT_FALSE(receipt.has_delivery());
  EXPECT_FALSE(receipt.has_status());
  EXPECT_TRUE(receipt.has_stage_times());
  outcome.level = ReceiptLevel::kRouted;
  EXPECT_EQ(Written(outcome).delivery().matched(), 7);
}

TEST(ReceiptWriterTest, ARefusalHasItsStatusAndNothingElse) {
  PublishOutcome outcome = FullOutcome(5);
  const std::string long_id(70000, 'i');
  outcome.id = long_id;
  outcome.status = absl::NotFoundError(std::string(300, 'm'));
  v1::Receipt expected;
  expected.set_id(long_id);
  expected.mutable_status()->set_code(5);
  expected.mutable_status()->set_message(std::string(300, 'm'));
  EXPECT_TRUE(MessageDifferencer::Equals(Written(outcome), expected));
}

TEST(ReceiptWriterTest, ItemsMakeUpAMessage) {
  std::string bytes;
  for (const uint64_t seq : {uint64_t{0}, uint64_t{5}, std::numeric_limits<uint64_t>::max()}) {
    std::string receipt;
    AppendReceipt(FullOutcome(9), &receipt);
    AppendItemReceipt(seq, receipt, &bytes);
  }
  std::string message;
  AppendWireBytes(v1::PublishStreamResponse::kReceiptsFieldNumber, bytes, &message);
  v1::PublishStreamResponse response;
  ASSERT_TRUE(response.ParseFromString(message));
  ASSERT_EQ(response.receipts().receipts_size(), 3);
  EXPECT_EQ(response.receipts().receipts(0).seq(), 0u);
  EXPECT_EQ(response.receipts().receipts(1).seq(), 5u);
  EXPECT_EQ(response.receipts().receipts(2).seq(), std::numeric_limits<uint64_t>::max());
  for (const v1::ItemReceipt& item : response.receipts().receipts()) {
    EXPECT_TRUE(MessageDifferencer::Equals(item.receipt(), FullReceipt(9)));
  }
}

}  // namespace
}  // namespace fanwire::control
