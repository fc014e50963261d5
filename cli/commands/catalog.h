// `wsctl catalog list|show|validate|export`: the events that services publish.
//
// They come from the built-in catalog, which needs no control; from a configuration file; or from
// the control that is running.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/invocation.h"
#include "cli/output.h"

namespace fanwire::cli {

struct CatalogChoice {
  std::string service = {};  // empty: all
  std::string config = {};   // a configuration file
  bool running = false;      // the control that is running
};

enum class CatalogFormat { kAsyncApi, kJsonSchema, kTypeScript, kMarkdown };

// The catalogs of `choice`, those without events left out.
//   a usage error  both `config` and `running`
//   NOT_FOUND      no such service
absl::StatusOr<std::vector<ServiceCatalog>> ChosenCatalogs(const CatalogChoice& choice,
                                                           Invocation& run);

absl::Status RunCatalogList(const std::vector<ServiceCatalog>& catalogs, Output& out);

// Shows every form of an event.
//   NOT_FOUND  no such event
absl::Status RunCatalogShow(const std::string& event, const std::vector<ServiceCatalog>& catalogs,
                            Output& out);

// Tells what is wrong with files of descriptors, or which events they describe.
//   INVALID_ARGUMENT  something is wrong
absl::Status RunCatalogValidate(const std::vector<std::string>& files, Output& out);

absl::Status RunCatalogExport(CatalogFormat format, const std::vector<ServiceCatalog>& catalogs,
                              Output& out);

}  // namespace fanwire::cli
