// Lines of MCP clients: any bytes are messages or faults that can be answered on one line of JSON,
// and any arguments fit a tool's schema or have a fault in words.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/mcp/mcp_tool.h"
#include "cli/mcp/rpc_message.h"
#include "cli/mcp/schema_check.h"
#include "common/json_parse.h"
#include "common/utf8.h"

namespace {

using namespace fanwire;
using namespace fanwire::cli;
using Json = nlohmann::ordered_json;

void Require(bool condition) {
  if (!condition) abort();
}

const std::vector<Json>& Schemas() {
  static const std::vector<Json> schemas = [] {
    std::vector<Json> made;
    for (const McpTool& tool : MakeTools(/*allow_write=*/true)) {
      made.push_back(Json::parse(tool.input_schema));
    }
    return made;
  }();
  return schemas;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const absl::string_view line(reinterpret_cast<const char*>(bytes), size);
  for (const RpcMessage& message : ReadRpcLine(line).messages) {
    const bool fault = message.kind == RpcMessage::Kind::kFault;
    const std::string answer = fault ? RpcFailure(message.id, message.fault)
                                     : RpcResult(message.id.empty() ? "0" : message.id,
                                                 message.params.empty() ? "{}" : message.params);
    Require(Json::accept(answer));
    Require(answer.find_first_of("\r\n") == std::string::npos);
    Require(message.id.empty() || !RpcIdKey(message.id).empty());
    if (message.params.empty()) continue;
    const Json params = ParseOrderedJson(message.params);
    Require(params.is_object());
    for (const Json& schema : Schemas()) {
      const std::string text = SchemaFault(schema, params);
      Require(FirstBadUtf8(text) == absl::string_view::npos);
      if (!text.empty()) continue;
      // What fits can be read.
      const ToolArguments arguments(message.params);
      arguments.Number("limit", 1);
      arguments.Texts("events");
      arguments.Seconds("ttl_seconds");
      Require(Json::accept(RpcText(arguments.Text("service"))));
    }
  }
  return 0;
}
