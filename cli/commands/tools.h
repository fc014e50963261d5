// The five tools.  Each has a command and its tool name: `wsctl health-check` and
// `wsctl websocket_health_check`.
//
// Under --output json they print the tool's object exactly as control wrote it (docs/protocol.md).
// If control cannot be asked, they print the tool's error object, and the reason on stderr.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

struct ToolOptions {
  Tool tool = Tool::kHealthCheck;
  std::string service;
  bool by_tool_name = false;  // called by tool name: an empty service means the default one
};

// Calls the tool and prints its answer.  Fails as the call does, and with
//   UNKNOWN      the answer contains an error
//   UNAVAILABLE  a service is not healthy
absl::Status RunTool(const ToolOptions& options, AdminClient& admin, Output& out);

struct TestEventOptions {
  std::string service;
  std::string event_type;
  std::string room;
  std::string data;
  std::string room_flag;     // --room
  std::string channel_flag;  // --channel, a synonym of --room
};

// Moves a room given with --room or --channel to `room`.  The argument after the event type, parsed
// as ROOM, is then the data.
//   a usage error  no room, or more than one
absl::Status TakeRoom(TestEventOptions* options);

absl::Status RunTestEvent(const TestEventOptions& options, AdminClient& admin, Output& out);

// The tools' error objects for when control cannot be asked, as compact JSON.
std::string ToolErrorJson(const ToolOptions& options, const absl::Status& status);
std::string TestEventErrorJson(const TestEventOptions& options, const absl::Status& status);

}  // namespace fanwire::cli
