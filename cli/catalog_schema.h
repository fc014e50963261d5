// Writes catalogs as documents for other tools: JSON Schema (draft 2020-12) and AsyncAPI 3.0.
//
// Threading: pure functions.
// Source:    json-schema.org, asyncapi.com/docs/reference/specification/v3.0.0, docs/protocol.md
//            "Envelope"
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

// A name for the description of an event, unique within its catalog: "mahavishnu.WorkflowStarted".
// It consists of letters, digits, '.', '_' and '-'.
std::string DefinitionName(const CatalogEvent& event);

// A schema of envelopes, with one of the data of each event in "$defs".
nlohmann::ordered_json JsonSchemaOf(const std::vector<ServiceCatalog>& catalogs);

// The channels of the services, and the events that they send on them.
nlohmann::ordered_json AsyncApiOf(const std::vector<ServiceCatalog>& catalogs);

}  // namespace fanwire::cli
