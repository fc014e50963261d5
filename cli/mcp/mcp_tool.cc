#include "cli/mcp/mcp_tool.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/json.h"
#include "cli/mcp/rpc_message.h"
#include "common/json_parse.h"
#include "common/json_text.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Key(absl::string_view name) { return std::string(name); }

// The members of "properties".
std::string Members(const std::vector<std::pair<std::string, std::string>>& properties) {
  return absl::StrJoin(properties, ",", [](std::string* out, const auto& property) {
    absl::StrAppend(out, RpcText(property.first), ":", property.second);
  });
}

}  // namespace

ToolArguments::ToolArguments(absl::string_view json)
    : json_(json.empty() ? "{}" : std::string(json)),
      values_(std::make_unique<const Json>(ParseOrderedJson(json_))) {}

ToolArguments::~ToolArguments() = default;

std::string ToolArguments::Text(absl::string_view name, absl::string_view otherwise) const {
  const auto found = values_->find(Key(name));
  if (found == values_->end() || !found->is_string()) return std::string(otherwise);
  return found->get<std::string>();
}

int64_t ToolArguments::Number(absl::string_view name, int64_t otherwise) const {
  const auto found = values_->find(Key(name));
  if (found == values_->end() || !found->is_number()) return otherwise;
  return found->is_number_float() ? static_cast<int64_t>(found->get<double>())
                                  : found->get<int64_t>();
}

std::optional<double> ToolArguments::Seconds(absl::string_view name) const {
  const auto found = values_->find(Key(name));
  if (found == values_->end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

bool ToolArguments::Flag(absl::string_view name) const {
  const auto found = values_->find(Key(name));
  return found != values_->end() && found->is_boolean() && found->get<bool>();
}

std::vector<std::string> ToolArguments::Texts(absl::string_view name) const {
  std::vector<std::string> texts;
  const auto found = values_->find(Key(name));
  if (found == values_->end() || !found->is_array()) return texts;
  for (const Json& item : *found) texts.push_back(item.get<std::string>());
  return texts;
}

std::string ToolArguments::Raw(absl::string_view name) const {
  const absl::string_view raw = FindJsonMember(json_, name);
  return raw == "null" ? std::string() : std::string(raw);
}

std::vector<McpTool> MakeTools(bool allow_write) {
  std::vector<McpTool> tools;
  AddFiveTools(&tools);
  AddListTools(&tools);
  AddCatalogTool(&tools);
  AddEventTools(&tools);
  if (allow_write) AddWriteTools(&tools);
  return tools;
}

std::string ReadsOnly() {
  return R"({"readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,)"
         R"("openWorldHint":false})";
}

std::string Changes(bool destructive, bool idempotent) {
  return absl::StrCat(R"({"readOnlyHint":false,"destructiveHint":)", destructive ? "true" : "false",
                      R"(,"idempotentHint":)", idempotent ? "true" : "false",
                      R"(,"openWorldHint":false})");
}

std::string OptionalText(absl::string_view description) {
  return absl::StrCat(R"({"anyOf":[{"type":"string"},{"type":"null"}],"default":null,)",
                      R"("description":)", RpcText(description), "}");
}

std::string RequiredText(absl::string_view description) {
  return absl::StrCat(R"({"type":"string","minLength":1,"description":)", RpcText(description),
                      "}");
}

std::string WholeNumber(int64_t min, int64_t max, int64_t otherwise,
                        absl::string_view description) {
  return absl::StrCat(R"({"type":"integer","minimum":)", min, R"(,"maximum":)", max,
                      R"(,"default":)", otherwise, R"(,"description":)", RpcText(description), "}");
}

std::string Choice(const std::vector<std::string>& names, absl::string_view description) {
  return absl::StrCat(R"({"type":"string","enum":)", Json(names).dump(), R"(,"default":)",
                      RpcText(names.front()), R"(,"description":)", RpcText(description), "}");
}

std::string YesOrNo(absl::string_view description) {
  return absl::StrCat(R"({"type":"boolean","default":false,"description":)", RpcText(description),
                      "}");
}

std::string InputSchema(const std::vector<std::pair<std::string, std::string>>& properties,
                        const std::vector<std::string>& required) {
  return absl::StrCat(
      R"({"additionalProperties":false,"properties":{)", Members(properties), "}",
      required.empty() ? "" : absl::StrCat(R"(,"required":)", Json(required).dump()),
      R"(,"type":"object"})");
}

std::string OutputSchema(const std::vector<std::pair<std::string, std::string>>& properties) {
  Json names = Json::array();
  for (const auto& [name, schema] : properties) names.push_back(name);
  return absl::StrCat(R"({"type":"object","properties":{)", Members(properties), R"(},"required":)",
                      names.dump(), "}");
}

std::string WithWarnings(std::string object, AdminClient& admin) {
  const std::vector<std::string> warnings = admin.TakeWarnings();
  if (warnings.empty()) return object;
  return WithMembers(object, absl::StrCat("\"warnings\":", CompactJson(Json(warnings))));
}

}  // namespace fanwire::cli
