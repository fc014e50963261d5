// `wsctl connections list|show|disconnect`: the clients that are connected, over all workers.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

absl::Status RunConnectionsList(const ConnectionQuery& options, AdminClient& admin, Output& out);

absl::Status RunConnectionsShow(const std::string& id, AdminClient& admin, Output& out);

// Demands at least one filter: nobody disconnects everyone by a slip.
absl::Status RunDisconnect(const DisconnectRequest& options, AdminClient& admin, Output& out);

}  // namespace fanwire::cli
