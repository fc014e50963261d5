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
  bool resolved = false;  // print the resulting configuration, with defaults
};

// Lets control check the file, because control's environment gives the values of ${NAME}.  If
// control cannot be reached, `here` checks the file.
//   INVALID_ARGUMENT  the configuration has faults, which are printed on stdout
//   UNAVAILABLE       control cannot be reached and `here` cannot check either
absl::Status RunConfigCheck(const ConfigCheckOptions& options, int stdin_fd, AdminClient& admin,
                            const LocalCheck& here, Output& out);

absl::Status RunConfigShow(AdminClient& admin, Output& out);

// Makes control read its file again, and prints what changed.
//   INVALID_ARGUMENT     the file has faults; the old configuration stays in force
//   FAILED_PRECONDITION  a worker refused the new configuration, so the old one stays in force; or
//                        a worker refuses the configuration in force
absl::Status RunConfigReload(AdminClient& admin, Output& out);

}  // namespace fanwire::cli
