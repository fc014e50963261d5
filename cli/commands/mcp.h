// `wsctl mcp`: serves the tools and documents to an MCP client over standard input and output.
#pragma once

#include "absl/status/status.h"
#include "cli/invocation.h"
#include "cli/mcp/mcp_server.h"

namespace fanwire::cli {

// Serves until standard input ends, its reader goes away or a signal asks for the end, which are
// all no failures.
//   NOT_FOUND  standard input is closed
//   the status of a server that cannot be chosen, as of every command
absl::Status RunMcp(const McpSettings& settings, Invocation& run);

}  // namespace fanwire::cli
