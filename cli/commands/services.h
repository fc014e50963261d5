// `wsctl services list`: lists the services of this deployment with their listeners and load.
#pragma once

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunServicesList(AdminClient& admin, Output& out);

}  // namespace fanwire::cli
