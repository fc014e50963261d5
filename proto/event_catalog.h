// The words in which a catalog describes events, whatever it was written in: descriptors
// (catalog_descriptors.h) or the `events` of a configuration.
//
// Threading: plain values.
// Source:    proto/fanwire/catalog/v1/options.proto
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire {

// Numbers as in admin.proto.
enum class CatalogType : uint8_t {
  kAny = 1,
  kText,
  kInt32,
  kInt64,  // any whole number of 64 bits
  kUint32,
  kUint64,
  kNumber,
  kBoolean,
  kObject,
  kList,
  kMap,  // an object whose values are of one type
};

// "a text", "a whole number".
absl::string_view CatalogTypeName(CatalogType type);

// A key of an event's data, or of an object in it.
struct CatalogKey {
  std::string name = {};  // empty: an element of a list or a map
  std::string comment = {};
  CatalogType type = CatalogType::kAny;
  bool optional = false;                 // may be absent or null
  bool nullable = false;                 // null is usual
  std::vector<std::string> values = {};  // of kText: the only ones; empty: any text
  // The keys of a kObject; empty: any.  The element of a kList or kMap; empty: anything.
  std::vector<CatalogKey> keys = {};
  std::string message = {};  // of a kObject: the message's full name; empty: it has none
};

struct CatalogEvent {
  // Numbers as in options.proto.
  enum class Status : uint8_t { kUnknown = 0, kBuilt = 1, kPlanned = 2, kTest = 3 };

  std::string service = {};
  std::string name = {};
  std::string message = {};  // full name; empty: `events` of the configuration describe it
  std::string comment = {};
  std::vector<std::string> channels = {};  // templates: "workflow:{workflow_id}"; none: any channel
  Status status = Status::kUnknown;
  bool closed = false;                        // data has no keys but these
  bool spread = false;                        // data usually has further keys
  std::vector<CatalogKey> keys = {};          // of data
  std::vector<CatalogKey> routing_keys = {};  // only for the channels
};

// "built", "planned", "test"; of kUnknown an empty text.
absl::string_view CatalogStatusName(CatalogEvent::Status status);

}  // namespace fanwire
