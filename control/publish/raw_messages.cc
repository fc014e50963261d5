#include "control/publish/raw_messages.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>

#include "proto/wire/wire_writer.h"

namespace fanwire::control {

grpc::ByteBuffer MessageWithField(int field, absl::string_view bytes) {
  std::string head;
  AppendWireHead(field, bytes.size(), &head);
  const grpc::Slice slices[] = {grpc::Slice(head), grpc::Slice(bytes.data(), bytes.size())};
  return {slices, 2};
}

grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

}  // namespace fanwire::control
