#include "common/json_parse.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "common/json_number.h"

namespace fanwire {
namespace {

// Whether the library would accept more than RFC 8259 does.
bool IsNoJson(absl::string_view text) {
  return text.find('\0') != absl::string_view::npos || absl::StartsWith(text, "\xEF\xBB\xBF");
}

// `text` with numbers that the library accepts.
std::string WithDoubles(absl::string_view text) {
  return ReplaceJsonNumbers(text, [](absl::string_view number) -> std::string {
    if (!IsBeyondDoubles(number)) return "";
    return number[0] == '-' ? "-1.7976931348623157e308" : "1.7976931348623157e308";
  });
}

template <typename Json>
Json Parse(absl::string_view text) {
  if (IsNoJson(text)) return Json(Json::value_t::discarded);
  const auto parse = [](absl::string_view json) {
    return Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  };
  Json value = parse(text);
  if (!value.is_discarded()) return value;
  const std::string readable = WithDoubles(text);
  return readable == text ? value : parse(readable);
}

}  // namespace

nlohmann::json ParseJson(absl::string_view text) { return Parse<nlohmann::json>(text); }

nlohmann::ordered_json ParseOrderedJson(absl::string_view text) {
  return Parse<nlohmann::ordered_json>(text);
}

bool IsJson(absl::string_view text) {
  if (IsNoJson(text)) return false;
  if (nlohmann::json::accept(text.begin(), text.end())) return true;
  const std::string readable = WithDoubles(text);
  return readable != text && nlohmann::json::accept(readable.begin(), readable.end());
}

}  // namespace fanwire
