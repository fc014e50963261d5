#include "control/publish/receipt_stream.h"

#include <string>
#include <vector>

#include "fanwire/v1/publish.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;

PublishOutcome Outcome(int64_t offset) {
  PublishOutcome outcome;
  outcome.id = "0b4f7c1e-9b1c-4f7e-8a51-0e3c8f6b2d10";
  outcome.position = {.epoch = {.value = 5}, .offset = offset};
  return outcome;
}

ReceiptBatch BatchOf(uint64_t first, size_t receipts) {
  ReceiptBatch batch;
  for (size_t i = 0; i < receipts; ++i) batch.Add(first + i, Outcome(1));
  return batch;
}

std::vector<uint64_t> Seqs(const ReceiptBatch& batch) {
  v1::PublishReceipts receipts;
  EXPECT_TRUE(receipts.ParseFromString(batch.bytes()));
  std::vector<uint64_t> seqs;
  for (const v1::ItemReceipt& receipt : receipts.receipts()) seqs.push_back(receipt.seq());
  EXPECT_EQ(seqs.size(), batch.size());
  return seqs;
}

TEST(ReceiptBatchTest, HasTheBytesOfItsReceiptsInOrder) {
  ReceiptBatch batch;
  EXPECT_TRUE(batch.empty());
  batch.Add(7, Outcome(70));
  PublishOutcome refusal;
  refusal.status = absl::InvalidArgumentError("no");
  batch.Add(3, refusal);
  v1::PublishReceipts receipts;
  ASSERT_TRUE(receipts.ParseFromString(batch.bytes()));
  ASSERT_EQ(receipts.receipts_size(), 2);
  EXPECT_EQ(receipts.receipts(0).seq(), 7u);
  EXPECT_EQ(receipts.receipts(0).receipt().position().offset(), 70);
  EXPECT_EQ(receipts.receipts(1).seq(), 3u);
  EXPECT_EQ(receipts.receipts(1).receipt().status().message(), "no");
}

TEST(ReceiptBatchTest, IsFullWithAsManyReceiptsAsOneMessageHolds) {
  EXPECT_FALSE(BatchOf(1, ReceiptBatch::kMaxReceipts - 1).full());
  EXPECT_TRUE(BatchOf(1, ReceiptBatch::kMaxReceipts).full());
}

TEST(ReceiptBatchTest, ReservesNoMoreThanOneMessageTakes) {
  ReceiptBatch some, most, more;
  some.Reserve(10);
  most.Reserve(ReceiptBatch::kMaxReceipts);
  more.Reserve(100 * ReceiptBatch::kMaxReceipts);
  EXPECT_LT(some.bytes().capacity(), 2000u);
  EXPECT_EQ(more.bytes().capacity(), most.bytes().capacity());
  const size_t reserved = most.bytes().capacity();
  for (size_t i = 0; i < ReceiptBatch::kMaxReceipts; ++i) most.Add(1'000'000 + i, Outcome(1 << 20));
  EXPECT_EQ(most.bytes().capacity(), reserved);
}

TEST(ReceiptStreamTest, ReceiptsThatWaitLeaveTogetherInTheirOrder) {
  ReceiptStream stream(100);
  stream.Expect(4);
  EXPECT_TRUE(stream.empty());
  stream.Add(1, Outcome(1));
  stream.Add(BatchOf(2, 2));
  stream.Add(4, Outcome(1));
  EXPECT_FALSE(stream.empty());
  EXPECT_THAT(Seqs(stream.Take()), ElementsAre(1, 2, 3, 4));
  EXPECT_TRUE(stream.empty());
}

TEST(ReceiptStreamTest, NoMessageHasMoreReceiptsThanItMay) {
  constexpr size_t kMost = ReceiptBatch::kMaxReceipts;
  ReceiptStream stream(10 * kMost);
  stream.Expect(3 * kMost);
  for (size_t i = 1; i <= kMost + 1; ++i) stream.Add(i, Outcome(1));  // one too many
  stream.Add(BatchOf(kMost + 2, kMost - 1));                          // fits
  stream.Add(BatchOf(2 * kMost + 1, kMost - 1));                      // does not
  stream.Add(3 * kMost, Outcome(1));
  uint64_t next = 1;
  for (int message = 0; message < 3; ++message) {
    const std::vector<uint64_t> seqs = Seqs(stream.Take());
    EXPECT_EQ(seqs.size(), kMost);
    for (const uint64_t seq : seqs) ASSERT_EQ(seq, next++);
  }
  EXPECT_TRUE(stream.empty());
}

TEST(ReceiptStreamTest, AnEmptyBatchIsNothingToWrite) {
  ReceiptStream stream(1);
  stream.Add(ReceiptBatch());
  EXPECT_TRUE(stream.empty());
}

TEST(ReceiptStreamTest, CreditComesBackWhenTheReceiptsAreWrittenNotBefore) {
  ReceiptStream stream(3);
  EXPECT_TRUE(stream.has_credit());
  stream.Expect(2);
  EXPECT_TRUE(stream.has_credit());
  stream.Expect(3);  // a message may go beyond the credit
  EXPECT_FALSE(stream.has_credit());
  stream.Add(BatchOf(1, 4));
  EXPECT_FALSE(stream.has_credit());
  stream.Take();
  EXPECT_FALSE(stream.has_credit());
  stream.Written();
  EXPECT_TRUE(stream.has_credit());
}

TEST(ReceiptStreamTest, IsCompleteWhenEveryItemsReceiptIsWritten) {
  ReceiptStream stream(10);
  EXPECT_TRUE(stream.complete());
  stream.Expect(2);
  stream.Add(1, Outcome(1));
  stream.Take();
  stream.Written();
  EXPECT_FALSE(stream.complete());
  stream.Add(2, Outcome(1));
  EXPECT_FALSE(stream.complete());
  stream.Take();
  EXPECT_FALSE(stream.complete());
  stream.Written();
  EXPECT_TRUE(stream.complete());
  stream.Written();  // of another message than receipts
  EXPECT_TRUE(stream.complete());
}

}  // namespace
}  // namespace fanwire::control
