// Catalog is the table of the events that a service publishes: on which channels, and with what
// data.  control/events/catalog_check.h compares events with it.
//
// Threading: immutable.
// Cost:      Find() is one hash lookup.
// Source:    docs/configuration.md "CatalogEvent"
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace fanwire::control {

class Catalog {
 public:
  enum class Check { kOff, kWarn, kEnforce };

  struct Event {
    std::string name;
    std::vector<std::string> channels;        // templates: "workflow:{workflow_id}"
    std::map<std::string, std::string> data;  // key -> s, i, n, b, o, l; "?" behind: optional
  };

  Catalog() = default;
  Catalog(std::vector<Event> events, Check check);

  Check check() const { return check_; }
  const std::vector<Event>& events() const { return events_; }

  // Null if the catalog does not have an event of this name.
  const Event* Find(absl::string_view name) const;

 private:
  std::vector<Event> events_;
  absl::flat_hash_map<std::string, size_t> by_name_;
  Check check_ = Check::kOff;
};

// Whether `channel` fits `channel_template`, whose "{…}" parts stand for any text without ':' in
// the middle, and for any rest at the end.
bool FitsTemplate(absl::string_view channel_template, absl::string_view channel);

}  // namespace fanwire::control
