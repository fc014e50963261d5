#include "common/json_parse.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"

namespace fanwire {
namespace {

template <typename Json>
Json Parse(absl::string_view text) {
  if (text.find('\0') != absl::string_view::npos || absl::StartsWith(text, "\xEF\xBB\xBF")) {
    return Json(Json::value_t::discarded);
  }
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

}  // namespace

nlohmann::json ParseJson(absl::string_view text) { return Parse<nlohmann::json>(text); }

nlohmann::ordered_json ParseOrderedJson(absl::string_view text) {
  return Parse<nlohmann::ordered_json>(text);
}

}  // namespace fanwire
