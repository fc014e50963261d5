// `wsctl services list|show`: the services of this deployment with their listeners and load.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunServicesList(AdminClient& admin, Output& out);

//   NOT_FOUND  no such service
absl::Status RunServicesShow(const std::string& name, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
