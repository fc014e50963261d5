// `wsctl config check|show|reload`: control's configuration.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/invocation.h"
#include "cli/output.h"

namespace fanwire::cli {

struct ConfigCheckOptions {
  std::string file;       // "-": standard input
  bool resolved = false;  // print what would be in force
};

// Asks control, in whose environment the file will be read; `here` checks if it is out of reach.
//   INVALID_ARGUMENT  the configuration has faults; they are on stdout
//   UNAVAILABLE       neither control nor its program is there
absl::Status RunConfigCheck(const ConfigCheckOptions& options, int stdin_fd, AdminClient& admin,
                            const LocalCheck& here, Output& out);

absl::Status RunConfigShow(AdminClient& admin, Output& out);

//   INVALID_ARGUMENT     the file has faults; the old configuration stays
//   FAILED_PRECONDITION  a worker refuses what is in force, or refused what was to be: then the old
//                        configuration stays
absl::Status RunConfigReload(AdminClient& admin, Output& out);

}  // namespace fanwire::cli
