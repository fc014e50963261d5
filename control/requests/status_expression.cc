#include "control/requests/status_expression.h"

#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/time_format.h"

namespace fanwire::control {

namespace {

// A Struct holds every number as a double; whole ones are written as such.
OrderedJson ToNumber(double number) {
  if (number == std::floor(number) && std::abs(number) < 9e15) {
    return static_cast<int64_t>(number);
  }
  return number;
}

}  // namespace

struct StatusExpression::Node {
  enum class Kind : uint8_t {
    kLiteral,
    kField,
    kData,
    kMerged,
    kEvent,
    kChannel,
    kTime,
    kNow,
    kObject,
    kList
  };

  Kind kind = Kind::kLiteral;
  OrderedJson literal;
  FieldPath path;
  std::vector<std::pair<std::string, StatusExpression>> members;  // of a list: without names
};

StatusExpression::StatusExpression(const StatusExpression&) = default;
StatusExpression& StatusExpression::operator=(const StatusExpression&) = default;
StatusExpression::~StatusExpression() = default;

StatusExpression::StatusExpression(const std::string& text) {
  Node node;
  if (text == "$$event") {
    node.kind = Node::Kind::kEvent;
  } else if (text == "$$channel") {
    node.kind = Node::Kind::kChannel;
  } else if (text == "$$time") {
    node.kind = Node::Kind::kTime;
  } else if (text == "$$now") {
    node.kind = Node::Kind::kNow;
  } else if (text == "$$merged") {
    node.kind = Node::Kind::kMerged;
  } else if (text == "$data") {
    node.kind = Node::Kind::kData;
  } else if (text.size() > 1 && text[0] == '$' && text[1] != '$') {
    node.kind = Node::Kind::kField;
    node.path = absl::StrSplit(text.substr(1), '.');
  } else {
    node.literal = text;
  }
  node_ = std::make_shared<const Node>(std::move(node));
}

StatusExpression::StatusExpression(const google::protobuf::Value& value) {
  Node node;
  switch (value.kind_case()) {
    case google::protobuf::Value::kBoolValue:
      node.literal = value.bool_value();
      break;
    case google::protobuf::Value::kNumberValue:
      node.literal = ToNumber(value.number_value());
      break;
    case google::protobuf::Value::kStringValue:
      *this = StatusExpression(value.string_value());
      return;
    case google::protobuf::Value::kStructValue:
      node.kind = Node::Kind::kObject;
      node.members = ToTemplates(value.struct_value());
      break;
    case google::protobuf::Value::kListValue:
      node.kind = Node::Kind::kList;
      for (const google::protobuf::Value& element : value.list_value().values()) {
        node.members.emplace_back("", StatusExpression(element));
      }
      break;
    default:
      break;  // null
  }
  node_ = std::make_shared<const Node>(std::move(node));
}

std::optional<OrderedJson> StatusExpression::Evaluate(const Context& context) const {
  const Node& node = *node_;
  switch (node.kind) {
    case Node::Kind::kLiteral:
      return node.literal;
    case Node::Kind::kField:
      return context.document.Find(node.path);
    case Node::Kind::kData:
      return context.document.All();
    case Node::Kind::kMerged:
      return context.merged;
    case Node::Kind::kEvent:
      return std::string(context.event.event);
    case Node::Kind::kChannel:
      return std::string(context.event.channel);
    case Node::Kind::kTime:
      return FormatIso8601(absl::FromUnixMicros(context.event.received_us));
    case Node::Kind::kNow:
      return FormatIso8601(context.now);
    case Node::Kind::kObject:
    case Node::Kind::kList:
      break;
  }
  const bool object = node.kind == Node::Kind::kObject;
  OrderedJson json = object ? OrderedJson::object() : OrderedJson::array();
  for (const auto& [key, member] : node.members) {
    std::optional<OrderedJson> value = member.Evaluate(context);
    if (!value) continue;
    if (object) {
      json[key] = *std::move(value);
    } else {
      json.push_back(*std::move(value));
    }
  }
  return json;
}

bool StatusExpression::UsesMerged() const {
  return node_->kind == Node::Kind::kMerged ||
         std::any_of(node_->members.begin(), node_->members.end(),
                     [](const auto& member) { return member.second.UsesMerged(); });
}

std::vector<std::pair<std::string, StatusExpression>> ToTemplates(
    const google::protobuf::Struct& fields) {
  std::vector<std::pair<std::string, StatusExpression>> templates;
  for (const auto& [key, value] : fields.fields()) {
    templates.emplace_back(key, StatusExpression(value));
  }
  std::sort(templates.begin(), templates.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return templates;
}

OrderedJson ToObject(const std::vector<std::pair<std::string, StatusExpression>>& fields,
                     absl::Time now) {
  const StatusEvent event;
  const JsonDocument document;
  const OrderedJson merged = OrderedJson::object();
  OrderedJson object = OrderedJson::object();
  for (const auto& [key, value] : fields) {
    object[key] = value.Evaluate({event, document, merged, now}).value_or(nullptr);
  }
  return object;
}

}  // namespace fanwire::control
