#include "control/publish/raw_messages.h"

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>

#include "fanwire/v1/publish.pb.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

std::string Bytes(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  EXPECT_TRUE(buffer.DumpToSingleSlice(&slice).ok());
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

TEST(RawMessagesTest, AMessageWithAFieldIsWhatProtobufWouldWrite) {
  v1::PublishResponse response;
  response.mutable_receipt()->set_id(std::string(1000, 'x'));
  EXPECT_EQ(Bytes(MessageWithField(v1::PublishResponse::kReceiptFieldNumber,
                                   response.receipt().SerializeAsString())),
            response.SerializeAsString());
}

TEST(RawMessagesTest, AnEmptyFieldIsPresent) {
  v1::PublishResponse response;
  ASSERT_TRUE(response.ParseFromString(
      Bytes(MessageWithField(v1::PublishResponse::kReceiptFieldNumber, ""))));
  EXPECT_TRUE(response.has_receipt());
}

TEST(RawMessagesTest, AProtobufMessageIsItsSerializedBytes) {
  v1::ValidateResponse response;
  response.add_channels("a");
  response.add_warnings("b");
  EXPECT_EQ(Bytes(ToByteBuffer(response)), response.SerializeAsString());
}

}  // namespace
}  // namespace fanwire::control
