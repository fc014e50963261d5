// The five tools, by command and by tool name: `wsctl health-check`, `wsctl
// websocket_health_check`.
//
// Under --output json they print the tool's object exactly as control made it (docs/protocol.md);
// if control cannot be asked, the tool's error object, and the reason on stderr.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

struct ToolOptions {
  Tool tool = Tool::kHealthCheck;
  std::string service;
  bool by_tool_name = false;  // then an empty service means the default one
};

// Exits with the call's status; an answer that tells of an error is UNKNOWN, a service that is not
// healthy UNAVAILABLE.
absl::Status RunTool(const ToolOptions& options, AdminClient& admin, Output& out);

struct TestEventOptions {
  std::string service;
  std::string event_type;
  std::string room;
  std::string data;
  std::string room_flag;     // --room
  std::string channel_flag;  // --channel, which is the same
};

// Puts the room in its place, wherever it was given: with --room or --channel what follows the
// event type is the data.
//   a usage error  no room, or more than one
absl::Status TakeRoom(TestEventOptions* options);

absl::Status RunTestEvent(const TestEventOptions& options, AdminClient& admin, Output& out);

// What the tools answer when there is no control to ask; compact JSON.
std::string ToolErrorJson(const ToolOptions& options, const absl::Status& status);
std::string TestEventErrorJson(const TestEventOptions& options, const absl::Status& status);

}  // namespace fanwire::cli
