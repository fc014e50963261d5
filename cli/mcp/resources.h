// The resources of `wsctl mcp`: Fanwire's documents, which are compiled into wsctl so that they are
// of its version wherever it is installed, and the catalog of events, which control is asked for.
//
// Threading: pure functions; CatalogMembers() as the client that it is given.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/admin_client.h"

namespace fanwire::cli {

// One document of docs/, or the README or the changelog.
struct Document {
  absl::string_view name;  // "cli.md", "services/akosha.md"
  absl::string_view text;
};

// All documents, sorted by name.  Defined in a source that the build makes of the files.
const std::vector<Document>& Documents();

// The members of the results of resources/list and resources/templates/list, without braces.
std::string ResourceListMembers();
std::string ResourceTemplateMembers();

// The members of the result of resources/read for a document; empty if there is none of this URI.
std::string DocumentMembers(absl::string_view uri);

// Whether the URI is of the catalog, and of which service; an empty text is all services.
bool IsCatalog(absl::string_view uri);
std::string CatalogService(absl::string_view uri);

// The members of the result of resources/read for it: the list of events, or the JSON Schema of one
// service's events.
//   NOT_FOUND  no such service
absl::StatusOr<std::string> CatalogMembers(absl::string_view uri, AdminClient& admin);

}  // namespace fanwire::cli
