// Reads and writes the messages of JSON-RPC 2.0 as the Model Context Protocol uses it over stdio:
// one message a line.
//
// Parts that go back to the client, such as ids, and parts that go on to control, such as the data
// of an event, stay the JSON text that the client wrote, so that every digit survives.
//
// Threading: pure functions.
// Cost:      ReadRpcLine() parses the line once and walks over it once for each member it takes.
// Source:    https://www.jsonrpc.org/specification, modelcontextprotocol.io "Base protocol"
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire::cli {

inline constexpr int kRpcParseError = -32700;
inline constexpr int kRpcInvalidRequest = -32600;
inline constexpr int kRpcMethodNotFound = -32601;
inline constexpr int kRpcInvalidParams = -32602;
inline constexpr int kRpcInternalError = -32603;

// The most messages that a batch may hold.
inline constexpr size_t kMaxRpcBatch = 100;

struct RpcError {
  int code = 0;
  std::string message = {};
  std::string data = {};  // JSON; empty: none
};

struct RpcMessage {
  enum class Kind {
    kRequest,
    kNotification,
    kResponse,  // of the client; a server that asks clients nothing ignores it
    kFault,     // is not a message: `fault` says why
  };
  Kind kind = Kind::kFault;
  std::string id = {};      // as the client wrote it: `7`, `"a"`; empty: none, or it cannot be read
  std::string method = {};  // "tools/call"
  std::string params = {};  // the JSON object as the client wrote it; empty: none
  RpcError fault = {};
};

struct RpcLine {
  bool batch = false;
  std::vector<RpcMessage> messages = {};  // none: the line is blank
};

// Reads a line.  Never fails: what is wrong is a message of kind kFault.
RpcLine ReadRpcLine(absl::string_view line);

// A text that is the same for two ids if they are the same id: `"a"` and `"\u0061"` are.
std::string RpcIdKey(absl::string_view id);

// `text` as a JSON string with its quotes.  Bytes that are not UTF-8 become U+FFFD.
std::string RpcText(absl::string_view text);

// One message, without a line break at its end or anywhere in it.  `result`, `params` and the ids
// are JSON.  An error without id is for a message whose id cannot be read.
std::string RpcResult(absl::string_view id, absl::string_view result);
std::string RpcFailure(absl::string_view id, const RpcError& error);
std::string RpcNotification(absl::string_view method, absl::string_view params);

// The JSON object `object` with `members` ("\"a\":1,\"b\":2") behind its own.
std::string WithMembers(absl::string_view object, absl::string_view members);

}  // namespace fanwire::cli
