// CatalogDescriptors are the messages of one file of protobuf descriptors, and what they say of
// events.
//
// Threading: immutable; safe from every thread.
// Ownership: holds the descriptors, in a pool of its own.  Messages that are made of a prototype
//            must be gone before it.
// Cost:      reading takes some milliseconds for the built-in catalog.
// Source:    proto/fanwire/catalog/v1/options.proto
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/event_catalog.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace fanwire {

class CatalogDescriptors {
 public:
  // Reads a serialized google.protobuf.FileDescriptorSet with all imports.
  //   INVALID_ARGUMENT  malformed; an import is missing; a message that describes an event is
  //                     wrong, and how
  static absl::StatusOr<std::shared_ptr<const CatalogDescriptors>> Read(absl::string_view bytes);

  // Those of the built-in catalog; read at the first call.
  static const std::shared_ptr<const CatalogDescriptors>& BuiltIn();

  virtual ~CatalogDescriptors() = default;

  // Every message that describes an event, in the order of the files.
  virtual const std::vector<CatalogEvent>& events() const = 0;

  // An empty message of this type, from which others are made; null if there is no such type.
  virtual const google::protobuf::Message* Prototype(absl::string_view full_name) const = 0;
};

// What the catalog's options say of a field of a message.
struct CatalogFieldRules {
  std::string key;  // its name in JSON
  bool spread = false;
  bool routing_only = false;
  bool nullable = false;
  bool optional = false;  // may be absent
};

CatalogFieldRules RulesOf(const google::protobuf::FieldDescriptor& field);

// The services of the built-in catalog, sorted: "akosha", …
std::vector<std::string> BuiltInCatalogNames();

}  // namespace fanwire
