// `wsctl connections list|show|disconnect`: the connected clients of all workers.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunConnectionsList(const ConnectionQuery& options, AdminClient& admin, Output& out);

absl::Status RunConnectionsShow(const std::string& id, AdminClient& admin, Output& out);

// Closes the connections that match all given filters.
//   a usage error  no filter is given: it would disconnect everyone
//   NOT_FOUND      an id is given, and no connection has it
//   UNAVAILABLE    the same, but a worker did not answer
absl::Status RunDisconnect(const DisconnectRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
