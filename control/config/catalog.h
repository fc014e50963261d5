// Catalog is the table of the events that a service publishes: on which channels, and with what
// data.  control/events/catalog_check.h compares events with it, control/events/typed_event.h makes
// events of its messages.
//
// What it says of data is compiled into flat tables, which the check follows while it walks over
// the data.
//
// Threading: immutable.
// Ownership: holds the descriptors of its messages.
// Cost:      Find() and FindMessage() are one hash lookup.
// Source:    docs/events.md, docs/configuration.md "CatalogEvent"
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/catalog_descriptors.h"
#include "proto/event_catalog.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace fanwire::control {

class Catalog {
 public:
  enum class Check { kOff, kWarn, kEnforce };

  static constexpr uint32_t kNone = 0xffffffff;

  struct Key {
    std::string name = {};
    CatalogType type = CatalogType::kAny;
    bool optional = false;
    uint32_t object = kNone;   // of a kObject: its keys
    uint32_t element = kNone;  // of a kList or kMap: the key that describes each element
    std::vector<std::string> values = {};  // of a kText: the only ones
  };
  // A run of keys.
  struct Object {
    uint32_t first = 0;
    uint32_t count = 0;
    bool closed = false;
  };
  // One form of an event.
  struct Shape {
    const CatalogEvent* event = nullptr;
    uint32_t object = kNone;
  };
  // A message that an event can be made of.
  struct Message {
    struct Field {
      const google::protobuf::FieldDescriptor* field = nullptr;
      CatalogFieldRules rules;
    };

    const CatalogEvent* event = nullptr;
    const google::protobuf::Message* prototype = nullptr;
    std::vector<Field> fields = {};
    // Objects whose keys are written beside them too.
    std::vector<const google::protobuf::FieldDescriptor*> repeated = {};
  };

  Catalog() = default;
  // `messages` are parts of `descriptors`.  One of them may describe an event that `events`
  // describe otherwise.
  Catalog(std::vector<CatalogEvent> events, Check check, const std::vector<Message>& messages = {},
          std::vector<std::shared_ptr<const CatalogDescriptors>> descriptors = {});
  Catalog(Catalog&&) = default;
  Catalog& operator=(Catalog&&) = default;

  Check check() const { return check_; }

  // The events in force, in the order in which they were given.
  const std::vector<CatalogEvent>& events() const { return events_; }

  // The forms of an event; none: the catalog does not have it.
  absl::Span<const Shape> Find(absl::string_view name) const;

  // Null if the catalog has no message of this full name.
  const Message* FindMessage(absl::string_view full_name) const;

  const Key& key(uint32_t index) const { return keys_[index]; }
  const Object& object(uint32_t index) const { return objects_[index]; }

 private:
  struct Range {
    size_t first = 0;
    size_t count = 0;
  };

  uint32_t AddObject(const std::vector<CatalogKey>& keys, bool closed);
  Key Compile(const CatalogKey& key);

  Check check_ = Check::kOff;
  std::vector<CatalogEvent> events_;
  std::vector<std::shared_ptr<const CatalogDescriptors>> descriptors_;
  std::vector<Key> keys_;
  std::vector<Object> objects_;
  std::vector<Shape> shapes_;  // those of one name beside one another
  absl::flat_hash_map<std::string, Range> by_name_;
  absl::flat_hash_map<std::string, Message> messages_;
};

// Whether `channel` fits `channel_template`, whose "{…}" parts stand for any text without ':' in
// the middle, and for any rest at the end.
bool FitsTemplate(absl::string_view channel_template, absl::string_view channel);

}  // namespace fanwire::control
