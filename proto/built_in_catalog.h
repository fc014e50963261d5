// The built-in catalog: the events of the services that Fanwire knows.
//
// Source: proto/fanwire/catalog/v1/
#pragma once

#include "absl/strings/string_view.h"

namespace fanwire {

// A serialized google.protobuf.FileDescriptorSet, with all imports and comments.
absl::string_view BuiltInCatalog();

}  // namespace fanwire
