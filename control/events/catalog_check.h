// CatalogFaults() compares an event with the catalog of its service.
//
// Threading: a pure function.
// Cost:      one hash lookup and one walk over the keys of the data, of which those that the
//            catalog describes further are walked over in turn; it allocates for faults only.  Some
//            0.02 us a key.
// Source:    docs/events.md, docs/configuration.md "CatalogEvent"
#pragma once

#include <string>
#include <vector>

#include "control/config/catalog.h"
#include "control/events/event.h"
#include "control/events/json_document.h"

namespace fanwire::control {

// How many faults of one event are named.
inline constexpr size_t kMaxCatalogFaults = 8;

// Returns a sentence for each way in which `event` differs from what the catalog says of its name,
// channel and data; empty if there is none.  Of an event with several forms these are the faults of
// the form that is most like it.  `data` has parsed the event's data.
//   `event "pool.scaled": data.worker_count: expected a whole number, found a text`
std::vector<std::string> CatalogFaults(const Catalog& catalog, const Event& event,
                                       const JsonDocument& data);

}  // namespace fanwire::control
