// Checks the arguments of a tool against its input schema, so that what a client reads in the
// schema is exactly what the tool accepts.
//
// Knows the keywords that our schemas use: type, anyOf, enum, minimum, maximum, minLength,
// maxItems, items, properties, required and additionalProperties: false.
//
// Threading: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire::cli {

// Why `value` does not fit `schema`, with the path of the part and what to do; empty if it fits.
//   "limit: 5000 is more than 1000"
//   "\"chanel\" is no argument; did you mean \"channel\"?"
std::string SchemaFault(const nlohmann::ordered_json& schema, const nlohmann::ordered_json& value);

}  // namespace fanwire::cli
