#include "cli/mcp/schema_check.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/edit_distance.h"
#include "common/utf8.h"

namespace fanwire::cli {
namespace {

using Json = nlohmann::ordered_json;

// The longest value that a message repeats.
constexpr size_t kMaxShown = 64;

bool IsWhole(const Json& value) {
  if (value.is_number_integer()) return true;
  return value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>();
}

bool HasType(const Json& value, absl::string_view type) {
  if (type == "string") return value.is_string();
  if (type == "integer") return IsWhole(value);
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  return type == "null" && value.is_null();
}

std::string TypeName(const Json& value) {
  if (value.is_string()) return "a string";
  if (value.is_number()) return "a number";
  if (value.is_boolean()) return "a boolean";
  if (value.is_array()) return "an array";
  if (value.is_object()) return "an object";
  return "null";
}

std::string Shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= kMaxShown ? text : absl::StrCat(ToUtf8(text, kMaxShown), "…");
}

std::string Wanted(absl::string_view type) {
  const bool vowel = type == "integer" || type == "array" || type == "object";
  return absl::StrCat(type == "null" ? "" : vowel ? "an " : "a ", type);
}

// `path` and a colon; nothing for the arguments themselves.
std::string At(const std::string& path) { return path.empty() ? "" : absl::StrCat(path, ": "); }

std::string ValueFault(const Json& schema, const Json& value, const std::string& path);

std::string ObjectFault(const Json& schema, const Json& value, const std::string& path) {
  const Json properties = schema.value("properties", Json::object());
  const auto child = [&](const std::string& name) {
    return path.empty() ? name : absl::StrCat(path, ".", name);
  };
  for (const Json& name : schema.value("required", Json::array())) {
    if (!value.contains(name.get<std::string>())) {
      return absl::StrCat(child(name.get<std::string>()), " is missing");
    }
  }
  const Json others = schema.value("additionalProperties", Json(true));
  for (const auto& [name, member] : value.items()) {
    const auto known = properties.find(name);
    if (known != properties.end()) {
      std::string fault = ValueFault(*known, member, child(name));
      if (!fault.empty()) return fault;
    } else if (others.is_boolean() && !others.get<bool>()) {
      std::vector<std::string> names;
      for (const auto& [key, unused] : properties.items()) names.push_back(key);
      const std::string nearest = NearestName(name, names, 2);
      return absl::StrCat(At(path), QuotedText(name), " is no argument; ",
                          !nearest.empty() ? absl::StrCat("did you mean \"", nearest, "\"?")
                          : names.empty()  ? "there are none"
                                          : absl::StrCat("there are ", absl::StrJoin(names, ", ")));
    }
  }
  return "";
}

std::string NumberFault(const Json& schema, const Json& value, const std::string& path) {
  if (const auto min = schema.find("minimum"); min != schema.end() && value < *min) {
    return absl::StrCat(At(path), Shown(value), " is less than ", Shown(*min));
  }
  if (const auto max = schema.find("maximum"); max != schema.end() && value > *max) {
    return absl::StrCat(At(path), Shown(value), " is more than ", Shown(*max));
  }
  return "";
}

std::string ArrayFault(const Json& schema, const Json& value, const std::string& path) {
  if (const auto max = schema.find("maxItems"); max != schema.end() && value.size() > *max) {
    return absl::StrCat(At(path), value.size(), " items are more than ", Shown(*max));
  }
  const auto items = schema.find("items");
  if (items == schema.end()) return "";
  for (size_t i = 0; i < value.size(); ++i) {
    std::string fault = ValueFault(*items, value[i], absl::StrCat(path, "[", i, "]"));
    if (!fault.empty()) return fault;
  }
  return "";
}

std::string AnyFault(const Json& choices, const Json& value, const std::string& path) {
  std::vector<std::string> wanted;
  for (const Json& choice : choices) {
    const std::string type = choice.value("type", "");
    wanted.push_back(Wanted(type));
    // Of the right type: what this choice says is the reason.
    if (HasType(value, type)) return ValueFault(choice, value, path);
  }
  return absl::StrCat(At(path), Shown(value), " is ", TypeName(value), "; wanted is ",
                      absl::StrJoin(wanted, " or "));
}

std::string ValueFault(const Json& schema, const Json& value, const std::string& path) {
  if (const auto any = schema.find("anyOf"); any != schema.end()) {
    return AnyFault(*any, value, path);
  }
  const std::string type = schema.value("type", "");
  if (!type.empty() && !HasType(value, type)) {
    return absl::StrCat(At(path), Shown(value), " is ", TypeName(value), "; wanted is ",
                        Wanted(type));
  }
  if (const auto names = schema.find("enum"); names != schema.end()) {
    std::vector<std::string> shown;
    for (const Json& name : *names) {
      if (name == value) return "";
      shown.push_back(Shown(name));
    }
    return absl::StrCat(At(path), Shown(value), " is not one of ", absl::StrJoin(shown, ", "));
  }
  if (value.is_string()) {
    const auto min = schema.find("minLength");
    const bool empty = min != schema.end() && value.get_ref<const std::string&>().empty();
    return empty ? absl::StrCat(At(path), "the text is empty") : "";
  }
  if (value.is_number()) return NumberFault(schema, value, path);
  if (value.is_array()) return ArrayFault(schema, value, path);
  return value.is_object() ? ObjectFault(schema, value, path) : "";
}

}  // namespace

std::string SchemaFault(const Json& schema, const Json& value) {
  return ValueFault(schema, value, "");
}

}  // namespace fanwire::cli
