// Writes catalogs as texts: types for TypeScript, and the reference in docs/events.md.
//
// Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

// "a text", "a list of whole numbers".
std::string TypeText(const CatalogKey& key);

std::string TypeScriptOf(const std::vector<ServiceCatalog>& catalogs);

// A section for each service, with a table for each event.
std::string MarkdownOf(const std::vector<ServiceCatalog>& catalogs);

}  // namespace fanwire::cli
