#include "control/events/json_document.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "common/check.h"
#include "common/json_parse.h"

namespace fanwire::control {

namespace {

// The element as a T; it is one.
template <typename T>
T As(const simdjson::dom::element& element) {
  T value{};
  FANWIRE_CHECK(element.get(value) == simdjson::SUCCESS);
  return value;
}

OrderedJson ToJson(const simdjson::dom::element& element) {
  using Type = simdjson::dom::element_type;
  switch (element.type()) {
    case Type::ARRAY: {
      OrderedJson list = OrderedJson::array();
      const auto array = As<simdjson::dom::array>(element);
      for (const simdjson::dom::element value : array) list.push_back(ToJson(value));
      return list;
    }
    case Type::OBJECT: {
      OrderedJson object = OrderedJson::object();
      const auto fields = As<simdjson::dom::object>(element);
      for (const auto& [key, value] : fields) object[std::string(key)] = ToJson(value);
      return object;
    }
    case Type::INT64:
      return As<int64_t>(element);
    case Type::UINT64:
      return As<uint64_t>(element);
    case Type::DOUBLE:
      return As<double>(element);
    case Type::STRING:
      return std::string(As<std::string_view>(element));
    case Type::BOOL:
      return As<bool>(element);
    case Type::NULL_VALUE:
      break;
  }
  return nullptr;
}

}  // namespace

struct JsonDocument::Parsed {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  std::vector<char> padded;  // simdjson reads some bytes beyond the end
  bool exotic = true;        // numbers beyond 64 bits: `slow` holds it
  OrderedJson slow = OrderedJson::object();
};

JsonDocument::JsonDocument() : parsed_(std::make_unique<Parsed>()) {}
JsonDocument::~JsonDocument() = default;

bool JsonDocument::Parse(absl::string_view text) {
  Parsed& parsed = *parsed_;
  if (parsed.padded.size() < text.size() + simdjson::SIMDJSON_PADDING) {
    parsed.padded.resize(text.size() + text.size() / 2 + simdjson::SIMDJSON_PADDING);
  }
  std::copy(text.begin(), text.end(), parsed.padded.begin());
  parsed.exotic =
      parsed.parser.parse(parsed.padded.data(), text.size(), /*realloc_if_needed=*/false)
          .get(parsed.root) != simdjson::SUCCESS;
  if (!parsed.exotic && parsed.root.is_object()) return true;
  parsed.exotic = true;
  parsed.slow = ParseOrderedJson(text);
  if (parsed.slow.is_object()) return true;
  parsed.slow = OrderedJson::object();
  return false;
}

OrderedJson JsonDocument::All() const {
  return parsed_->exotic ? parsed_->slow : ToJson(parsed_->root);
}

std::optional<OrderedJson> JsonDocument::Find(const FieldPath& path) const {
  if (parsed_->exotic) {
    const OrderedJson* at = &parsed_->slow;
    for (const std::string& field : path) {
      const auto it = at->find(field);
      if (it == at->end()) return std::nullopt;
      at = &*it;
    }
    return *at;
  }
  simdjson::dom::element at = parsed_->root;
  for (const std::string& field : path) {
    simdjson::dom::element inner;
    if (at.at_key(field).get(inner) != simdjson::SUCCESS) return std::nullopt;
    at = inner;
  }
  return ToJson(at);
}

std::string ToText(const OrderedJson& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, OrderedJson::error_handler_t::replace);
}

size_t MemoryBytes(const OrderedJson& json) {
  size_t bytes = sizeof(OrderedJson);
  if (json.is_string()) {
    bytes += json.get_ref<const std::string&>().size();
  } else if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      bytes += sizeof(std::string) + key.size() + MemoryBytes(value);
    }
  } else if (json.is_array()) {
    for (const OrderedJson& value : json) bytes += MemoryBytes(value);
  }
  return bytes;
}

}  // namespace fanwire::control
