#include "clients/cpp/src/receipt_reader.h"

#include "fanwire/v1/publish.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::client {
namespace {

using ::testing::SizeIs;

v1::PublishStreamResponse Receipts() {
  v1::PublishStreamResponse response;
  v1::ItemReceipt* accepted = response.mutable_receipts()->add_receipts();
  accepted->set_seq(300);
  accepted->mutable_receipt()->set_id("id");
  accepted->mutable_receipt()->mutable_position()->set_epoch("epoch");
  accepted->mutable_receipt()->mutable_position()->set_offset(7);
  accepted->mutable_receipt()->set_level(v1::RECEIPT_LEVEL_WRITTEN);
  accepted->mutable_receipt()->set_duplicate(true);
  accepted->mutable_receipt()->set_timed_out(true);
  accepted->mutable_receipt()->mutable_stage_times()->set_accepted_us(5);
  v1::Delivery* delivery = accepted->mutable_receipt()->mutable_delivery();
  delivery->set_matched(10);
  delivery->set_written(4);
  delivery->add_dropped()->set_count(1);
  delivery->add_dropped()->set_count(2);
  delivery->set_lost_connection(3);
  delivery->set_expired(5);
  delivery->set_workers_total(6);
  delivery->set_workers_reported(2);
  v1::ItemReceipt* refused = response.mutable_receipts()->add_receipts();
  refused->set_seq(301);
  refused->mutable_receipt()->mutable_status()->set_code(3);
  refused->mutable_receipt()->mutable_status()->set_message("why");
  return response;
}

TEST(ReceiptReaderTest, ReadsReceipts) {
  StreamAnswer answer;
  const std::string message = Receipts().SerializeAsString();
  ASSERT_TRUE(ReadStreamAnswer(message, &answer));
  EXPECT_EQ(answer.kind, StreamAnswer::Kind::kReceipts);
  ASSERT_THAT(answer.receipts, SizeIs(2));
  EXPECT_EQ(answer.receipts[0].seq, 300U);
  EXPECT_EQ(answer.receipts[0].code, Code::kOk);
  EXPECT_TRUE(answer.receipts[0].duplicate);
  EXPECT_EQ(answer.receipts[1].seq, 301U);
  EXPECT_EQ(answer.receipts[1].code, Code::kInvalidArgument);
  Receipt receipt;
  ReadReceipt(answer.receipts[0].bytes, &receipt);
  EXPECT_TRUE(receipt.ok());
  EXPECT_EQ(receipt.id, "id");
  EXPECT_EQ(receipt.epoch, "epoch");
  EXPECT_EQ(receipt.offset, 7U);
  EXPECT_EQ(receipt.level, ReceiptLevel::kWritten);
  EXPECT_TRUE(receipt.duplicate);
  EXPECT_TRUE(receipt.timed_out);
  EXPECT_EQ(receipt.delivery.matched, 10);
  EXPECT_EQ(receipt.delivery.written, 4);
  EXPECT_EQ(receipt.delivery.dropped, 3);
  EXPECT_EQ(receipt.delivery.lost_connection, 3);
  EXPECT_EQ(receipt.delivery.expired, 5);
  EXPECT_EQ(receipt.delivery.workers_total, 6);
  EXPECT_EQ(receipt.delivery.workers_reported, 2);
  // The next one has nothing of the one before.
  ReadReceipt(answer.receipts[1].bytes, &receipt);
  EXPECT_EQ(receipt.status, Status(Code::kInvalidArgument, "why"));
  EXPECT_EQ(receipt.id, "");
  EXPECT_EQ(receipt.epoch, "");
  EXPECT_EQ(receipt.offset, 0U);
  EXPECT_EQ(receipt.level, ReceiptLevel::kAccepted);
  EXPECT_FALSE(receipt.duplicate);
  EXPECT_FALSE(receipt.timed_out);
  EXPECT_EQ(receipt.delivery.dropped, 0);
}

TEST(ReceiptReaderTest, ReadsTheOtherMessages) {
  StreamAnswer answer;
  v1::PublishStreamResponse response;
  response.mutable_welcome()->set_last_accepted_seq(9);
  response.mutable_welcome()->set_credit(1000);
  std::string message = response.SerializeAsString();
  ASSERT_TRUE(ReadStreamAnswer(message, &answer));
  EXPECT_EQ(answer.kind, StreamAnswer::Kind::kWelcome);
  EXPECT_EQ(answer.credit, 1000U);
  response.mutable_credit()->set_credit(5);
  message = response.SerializeAsString();
  ASSERT_TRUE(ReadStreamAnswer(message, &answer));
  EXPECT_EQ(answer.kind, StreamAnswer::Kind::kCredit);
  EXPECT_EQ(answer.credit, 5U);
  response.mutable_go_away()->set_reason("stopping");
  message = response.SerializeAsString();
  ASSERT_TRUE(ReadStreamAnswer(message, &answer));
  EXPECT_EQ(answer.kind, StreamAnswer::Kind::kGoAway);
  EXPECT_EQ(answer.reason, "stopping");
  ASSERT_TRUE(ReadStreamAnswer("\x7a\x01x", &answer));  // field 15, which no version has yet
  EXPECT_EQ(answer.kind, StreamAnswer::Kind::kUnknown);
}

TEST(ReceiptReaderTest, AStatusWithoutACodeIsNoSuccess) {
  v1::PublishStreamResponse response;
  v1::ItemReceipt* receipt = response.mutable_receipts()->add_receipts();
  receipt->mutable_receipt()->mutable_status();
  StreamAnswer answer;
  const std::string message = response.SerializeAsString();
  ASSERT_TRUE(ReadStreamAnswer(message, &answer));
  EXPECT_EQ(answer.receipts.at(0).code, Code::kUnknown);
}

TEST(ReceiptReaderTest, ACutMessageIsMalformed) {
  const std::string message = Receipts().SerializeAsString();
  StreamAnswer answer;
  for (size_t size = 1; size < message.size(); ++size) {
    const std::string cut = message.substr(0, size);
    EXPECT_FALSE(ReadStreamAnswer(cut, &answer)) << size;
  }
}

TEST(ReceiptReaderTest, AStatusIsItsCodeAndMessage) {
  EXPECT_EQ(ReadStatus("").code(), Code::kUnknown);
  v1::Status status;
  status.set_code(3);
  status.set_message("why");
  EXPECT_EQ(ReadStatus(status.SerializeAsString()), Status(Code::kInvalidArgument, "why"));
}

TEST(ReceiptReaderTest, AGoAwayHasAReason) {
  std::string reason = "old";
  EXPECT_TRUE(ReadGoAway("", &reason));
  EXPECT_EQ(reason, "");
  EXPECT_TRUE(ReadGoAway("\x0a\x03why", &reason));
  EXPECT_EQ(reason, "why");
  EXPECT_FALSE(ReadGoAway("\x0a\x09why", &reason));
}

}  // namespace
}  // namespace fanwire::client
