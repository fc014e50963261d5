#include "control/workers/message_bound.h"

#include <string>

#include "fanwire/v1/worker.pb.h"
#include "gtest/gtest.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

bool Fits(const std::string& bytes, size_t max) {
  return HasAtMostFields(bytes, *v1::WorkerMessage::descriptor(), max);
}

TEST(MessageBoundTest, FieldsOfPartsCount) {
  v1::WorkerMessage message;
  v1::Interest* const interest =
      message.add_items()->mutable_interest_delta()->add_add();  // 3 fields
  interest->set_service("s");
  interest->set_channel("c");
  message.add_items()->mutable_ack()->set_seq(7);  // 3 fields
  const std::string bytes = message.SerializeAsString();
  EXPECT_TRUE(Fits(bytes, 8));
  EXPECT_FALSE(Fits(bytes, 7));
  EXPECT_TRUE(Fits("", 0));
}

TEST(MessageBoundTest, TextsAreOneFieldWhateverTheyHold) {
  v1::WorkerMessage message;
  message.add_items()->mutable_client_request()->set_data(std::string(10'000, '\n'));
  EXPECT_TRUE(Fits(message.SerializeAsString(), 3));
}

TEST(MessageBoundTest, EntriesOfMapsAndUnknownFieldsCount) {
  v1::WorkerMessage message;
  auto* const errors =
      message.add_items()->mutable_heartbeat()->add_services()->mutable_errors();  // 3 fields
  for (int i = 0; i < 100; ++i) (*errors)[std::to_string(i)] = 1;                  // 3 each
  EXPECT_TRUE(Fits(message.SerializeAsString(), 303));
  EXPECT_FALSE(Fits(message.SerializeAsString(), 302));
  std::string unknown;
  for (int i = 0; i < 100; ++i) unknown += "\xf8\x07\x01";
  EXPECT_TRUE(Fits(unknown, 100));
  EXPECT_FALSE(Fits(unknown, 99));
}

TEST(MessageBoundTest, MalformedBytesAreLeftToTheParser) {
  EXPECT_TRUE(Fits("\x0a\x09", 1));
  std::string deep;
  for (int i = 0; i < 300; ++i) {
    std::string outer;
    AppendWireBytes(1, deep, &outer);
    deep = outer;
  }
  EXPECT_TRUE(Fits(deep, 400));
}

}  // namespace
}  // namespace fanwire::control
