// Builds the messages that the publishers' calls send as bytes.  The calls are registered as raw
// methods: gRPC hands their messages over as ByteBuffers and never makes protobuf objects of them.
//
// Threading: pure functions.
// Cost:      one copy of the bytes.
#pragma once

#include "absl/strings/string_view.h"

namespace google::protobuf {
class MessageLite;
}

namespace grpc {
class ByteBuffer;
}

namespace fanwire::control {

// A message that has one field, number `field`, which is a message with these bytes.
grpc::ByteBuffer MessageWithField(int field, absl::string_view bytes);

// The message as protobuf serializes it.
grpc::ByteBuffer ToByteBuffer(const google::protobuf::MessageLite& message);

}  // namespace fanwire::control
