#include "cli/mcp/rpc_message.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/json_depth.h"
#include "common/json_parse.h"
#include "common/json_text.h"
#include "common/utf8.h"

namespace fanwire::cli {
namespace {

RpcMessage FaultyMessage(int code, std::string message, absl::string_view id = {}) {
  return {.kind = RpcMessage::Kind::kFault,
          .id = std::string(id),
          .fault = {.code = code, .message = std::move(message)}};
}

bool IsText(absl::string_view value) { return !value.empty() && value[0] == '"'; }

bool IsId(absl::string_view value) {
  return IsText(value) ||
         (!value.empty() && (value[0] == '-' || (value[0] >= '0' && value[0] <= '9')));
}

// `value` is one valid JSON value.
RpcMessage ReadMessage(absl::string_view value) {
  if (value.empty() || value[0] != '{') {
    return FaultyMessage(kRpcInvalidRequest, "a message is a JSON object");
  }
  const absl::string_view id = FindJsonMember(value, "id");
  if (!id.empty() && !IsId(id)) {
    return FaultyMessage(kRpcInvalidRequest, "\"id\" is a string or a number");
  }
  if (JsonDepth(value) > kMaxJsonDepth) {
    return FaultyMessage(kRpcInvalidRequest,
                         absl::StrCat("the message is nested deeper than ", kMaxJsonDepth), id);
  }
  const absl::string_view version = FindJsonMember(value, "jsonrpc");
  if (!IsText(version) || JsonTextOf(version) != "2.0") {
    return FaultyMessage(kRpcInvalidRequest, "\"jsonrpc\" is \"2.0\" in every message", id);
  }
  const absl::string_view method = FindJsonMember(value, "method");
  if (method.empty()) {
    if (!FindJsonMember(value, "result").empty() || !FindJsonMember(value, "error").empty()) {
      return {.kind = RpcMessage::Kind::kResponse, .id = std::string(id)};
    }
    return FaultyMessage(kRpcInvalidRequest, "\"method\" is missing", id);
  }
  if (!IsText(method)) return FaultyMessage(kRpcInvalidRequest, "\"method\" is a string", id);
  absl::string_view params = FindJsonMember(value, "params");
  if (params == "null") params = {};
  if (!params.empty() && params[0] != '{') {
    return FaultyMessage(kRpcInvalidParams, "\"params\" is an object", id);
  }
  return {.kind = id.empty() ? RpcMessage::Kind::kNotification : RpcMessage::Kind::kRequest,
          .id = std::string(id),
          .method = JsonTextOf(method),
          .params = std::string(params)};
}

// JSON allows line breaks only between its tokens, where a space means the same.
std::string OnOneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

}  // namespace

RpcLine ReadRpcLine(absl::string_view line) {
  if (const size_t bad = FirstBadUtf8(line); bad != absl::string_view::npos) {
    return {.messages = {FaultyMessage(
                kRpcParseError, absl::StrFormat("byte 0x%02X (byte %d of the line) is not UTF-8",
                                                static_cast<unsigned char>(line[bad]),
                                                static_cast<int>(bad + 1)))}};
  }
  JsonReader reader(line);
  const char first = reader.Peek();
  if (first == '\0' && line.find_first_not_of(" \t\r\n") == absl::string_view::npos) return {};
  // Checks without building values, because the text may be nested as deeply as it is long.
  if (!IsJson(line)) return {.messages = {FaultyMessage(kRpcParseError, "the line is not JSON")}};
  if (first != '[') return {.messages = {ReadMessage(reader.TakeValue())}};
  RpcLine batch{.batch = true};
  reader.Skip('[');
  while (reader.Peek() != ']') {
    if (batch.messages.size() == kMaxRpcBatch) {
      return {
          .messages = {FaultyMessage(kRpcInvalidRequest, absl::StrCat("a batch holds at most ",
                                                                      kMaxRpcBatch, " messages"))}};
    }
    batch.messages.push_back(ReadMessage(reader.TakeValue()));
    reader.Skip(',');
  }
  if (batch.messages.empty()) {
    return {.messages = {FaultyMessage(kRpcInvalidRequest, "a batch holds at least one message")}};
  }
  return batch;
}

std::string RpcIdKey(absl::string_view id) {
  return IsText(id) ? absl::StrCat("\"", JsonTextOf(id)) : std::string(id);
}

std::string RpcText(absl::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string RpcResult(absl::string_view id, absl::string_view result) {
  return OnOneLine(absl::StrCat("{\"jsonrpc\":\"2.0\",\"id\":", id, ",\"result\":", result, "}"));
}

std::string RpcFailure(absl::string_view id, const RpcError& error) {
  return OnOneLine(
      absl::StrCat("{\"jsonrpc\":\"2.0\",", id.empty() ? "" : absl::StrCat("\"id\":", id, ","),
                   "\"error\":{\"code\":", error.code, ",\"message\":", RpcText(error.message),
                   error.data.empty() ? "" : absl::StrCat(",\"data\":", error.data), "}}"));
}

std::string RpcNotification(absl::string_view method, absl::string_view params) {
  return OnOneLine(absl::StrCat("{\"jsonrpc\":\"2.0\",\"method\":", RpcText(method),
                                ",\"params\":", params, "}"));
}

std::string WithMembers(absl::string_view object, absl::string_view members) {
  if (members.empty()) return std::string(object);
  const bool empty = JsonReader(object.substr(1)).Peek() == '}';
  return absl::StrCat(object.substr(0, object.rfind('}')), empty ? "" : ",", members, "}");
}

}  // namespace fanwire::cli
