// CatalogFaults() compares an event with the catalog of its service.
//
// Threading: a pure function.
// Cost:      one hash lookup, then one look at the data for each field that the catalog names; it
//            allocates for faults only.
// Source:    docs/configuration.md "CatalogEvent"
#pragma once

#include <string>
#include <vector>

#include "control/config/catalog.h"
#include "control/events/event.h"
#include "control/events/json_document.h"

namespace fanwire::control {

// Returns a sentence for each way in which `event` differs from what the catalog says of its name,
// channel and data; empty if there is none.  `data` has parsed the event's data.
std::vector<std::string> CatalogFaults(const Catalog& catalog, const Event& event,
                                       const JsonDocument& data);

}  // namespace fanwire::control
