// The resources of `wsctl mcp`: Fanwire's documents, which are compiled into wsctl so that they are
// of its version wherever it is installed.
//
// Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire::cli {

// One document of docs/, or the README or the changelog.
struct Document {
  absl::string_view name;  // "cli.md"
  absl::string_view text;
};

// All documents, sorted by name.  Defined in a source that the build makes of the files.
const std::vector<Document>& Documents();

// The members of the results of resources/list and resources/templates/list, without braces.
std::string ResourceListMembers();
std::string ResourceTemplateMembers();

// The members of the result of resources/read for a document; empty if there is none of this URI.
std::string DocumentMembers(absl::string_view uri);

}  // namespace fanwire::cli
