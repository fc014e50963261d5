#include "clients/cpp/src/send_buffer.h"

#include "clients/cpp/src/event_writer.h"
#include "clients/cpp/src/ring.h"
#include "fanwire/v1/publish.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr SendBuffer::Limits kAll = {.events = 1000, .bytes = 1 << 20};

class SendBufferTest : public testing::Test {
 protected:
  void Add(int count, size_t bytes = 10) {
    const std::string json(bytes, ' ');
    for (int i = 0; i < count; ++i) {
      const Event event = {.service = "s", .channel = "c", .event = "e", .json = json};
      const EventWriter writer(event, "");
      buffer_.Add(writer, writer.Size(buffer_.next_seq()), nullptr);
    }
  }

  // The seqs of the next message.
  std::vector<uint64_t> Take(const SendBuffer::Limits& limits = kAll, size_t part = 1) {
    std::vector<Piece> pieces;
    const size_t events = buffer_.Take(limits, part, &pieces);
    std::string bytes;
    for (const Piece& piece : pieces) {
      bytes.append(piece.data, piece.size);
      piece.chunk->Unref();
    }
    pieces_ = pieces.size();
    v1::PublishItems items;
    EXPECT_TRUE(items.ParseFromString(bytes));
    std::vector<uint64_t> seqs;
    for (const v1::PublishItem& item : items.items()) seqs.push_back(item.seq());
    EXPECT_THAT(seqs, SizeIs(events));
    return seqs;
  }

  void Settle(const std::vector<uint64_t>& seqs) {
    std::vector<FoundReceipt> receipts;
    for (const uint64_t seq : seqs) receipts.push_back({.seq = seq});
    std::vector<Settled> settled;
    std::vector<Refusal> refusals;
    EXPECT_FALSE(buffer_.Settle(receipts, &settled, &refusals));
  }

  SendBuffer buffer_{kAll};
  size_t pieces_ = 0;  // of the last message
};

TEST_F(SendBufferTest, ConsecutiveEventsAreOnePiece) {
  Add(5);
  EXPECT_THAT(Take(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(pieces_, 1U);
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(SendBufferTest, AMessageIsLimited) {
  Add(5, 100);
  EXPECT_THAT(Take({.events = 2, .bytes = 10000}), ElementsAre(1, 2));
  EXPECT_THAT(Take({.events = 10, .bytes = 250}), ElementsAre(3, 4));
  EXPECT_THAT(Take({.events = 10, .bytes = 1}), ElementsAre(5));
}

TEST_F(SendBufferTest, WhatWasTakenBackGoesFirstWithoutWhatIsSettled) {
  Add(5);
  Take();
  Settle({2, 4});
  EXPECT_EQ(buffer_.in_flight(), 5U);  // credit counts from the first without a receipt
  EXPECT_EQ(buffer_.events(), 3U);
  Add(1);
  buffer_.TakeBack();
  EXPECT_EQ(buffer_.in_flight(), 0U);
  EXPECT_EQ(buffer_.first_seq(), 1U);
  EXPECT_THAT(Take(), ElementsAre(1, 3, 5, 6));
  EXPECT_EQ(pieces_, 3U);  // 5 and 6 are beside each other
  Settle({6, 1, 5, 3});
  EXPECT_TRUE(buffer_.empty());
  EXPECT_EQ(buffer_.bytes(), 0U);
  EXPECT_EQ(buffer_.first_seq(), 7U);
}

TEST_F(SendBufferTest, AReceiptCountsOnce) {
  Add(3);
  Take();
  Settle({2, 2, 9, 0, 3, 3});
  EXPECT_EQ(buffer_.accepted(), 2U);
  EXPECT_EQ(buffer_.events(), 1U);
  Settle({1, 1, 2});
  EXPECT_EQ(buffer_.accepted(), 3U);
  EXPECT_TRUE(buffer_.empty());
}

TEST_F(SendBufferTest, AReceiptOfWhatWasNotSentIsIgnored) {
  Add(2);
  Settle({1, 2});
  EXPECT_EQ(buffer_.accepted(), 0U);
  EXPECT_THAT(Take(), ElementsAre(1, 2));
}

TEST_F(SendBufferTest, UnavailableSettlesNothing) {
  Add(1);
  Take();
  std::vector<Settled> settled;
  std::vector<Refusal> refusals;
  EXPECT_TRUE(buffer_.Settle({{.seq = 1, .code = Code::kUnavailable}}, &settled, &refusals));
  buffer_.TakeBack();
  EXPECT_THAT(Take(), ElementsAre(1));
}

TEST_F(SendBufferTest, ARefusalNamesItsEvent) {
  Add(1);
  Take();
  std::vector<Settled> settled;
  std::vector<Refusal> refusals;
  buffer_.Settle({{.seq = 1, .code = Code::kNotFound}}, &settled, &refusals);
  ASSERT_THAT(refusals, SizeIs(1));
  EXPECT_EQ(refusals[0].event, "s c e");
  EXPECT_EQ(buffer_.refused(), 1U);
}

TEST_F(SendBufferTest, APartOfTheBufferIsNeverInFlight) {
  Add(1000);
  EXPECT_THAT(Take(kAll, 2), SizeIs(500));
  EXPECT_THAT(Take(kAll, 2), IsEmpty());
  ReceiptCallback done;
  for (int i = 0; i < 500; ++i) EXPECT_TRUE(buffer_.DropOldest(&done));
  EXPECT_FALSE(buffer_.DropOldest(&done));
  EXPECT_EQ(buffer_.dropped(), 500U);
  EXPECT_EQ(buffer_.events(), 500U);
}

TEST_F(SendBufferTest, RemovesTheFirst) {
  Add(3);
  Take({.events = 2, .bytes = 1000});
  Settle({2});
  ReceiptCallback done;
  EXPECT_EQ(buffer_.RemoveFirst(&done), "s c e");
  EXPECT_EQ(buffer_.in_flight(), 0U);
  EXPECT_EQ(buffer_.first_seq(), 3U);
  buffer_.RemoveFirst(&done);
  EXPECT_TRUE(buffer_.empty());
}

TEST(RingTest, KeepsItsOrderWhileItGrows) {
  Ring<int> ring;
  for (int i = 0; i < 50; ++i) ring.push_back(i);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(ring.pop_front(), i);
  for (int i = 50; i < 300; ++i) ring.push_back(i);
  for (int i = 39; i >= 0; --i) ring.push_front(i);
  ASSERT_EQ(ring.size(), 300U);
  for (size_t i = 0; i < 300; ++i) EXPECT_EQ(ring[i], static_cast<int>(i));
}

}  // namespace
}  // namespace fanwire::client
