// Checks a configuration, and reads the catalogs of its services, by running the fanwire-control
// program of this machine.  wsctl does this when it cannot reach a running control, because wsctl
// does not contain the code of the check.
//
// Threading: safe from every thread; blocks until the program has ended.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

// The path of fanwire-control in the folder of this program.  If it is not there, its bare name, to
// be found in PATH.
std::string ControlProgram();

// Checks `yaml` as AdminClient::CheckConfig() does, but with the environment variables of this
// process for ${NAME}.  Faults refer to the text as `name`.
//   UNAVAILABLE  the program cannot be started, or ends without a result
absl::StatusOr<ConfigVerdict> CheckConfigWith(const std::string& program, absl::string_view yaml,
                                              absl::string_view name);

// The catalogs of the services of a configuration file.
//   INVALID_ARGUMENT  the configuration has faults
//   UNAVAILABLE       the program cannot be started
absl::StatusOr<std::vector<ServiceCatalog>> ReadCatalogWith(const std::string& program,
                                                            const std::string& config_file);

}  // namespace fanwire::cli
