// Descriptor sets for tests, as protoc would write them.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

// The serialized descriptors of a file of this text, and of all that it imports: those of the
// catalog and protobuf's own.  The text has no syntax line, package or imports of
// fanwire/catalog/v1/options.proto and google/protobuf/struct.proto: they are put before it.
std::string DescriptorSetOf(absl::string_view text);

}  // namespace fanwire
