// StatusExpression is a value of a status rule in which texts that begin with '$' stand for parts of
// the event.
//
// Threading: immutable.
// Source:    docs/configuration.md "StatusRequest"
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "control/events/json_document.h"

namespace google::protobuf {
class Struct;
class Value;
}  // namespace google::protobuf

namespace fanwire::control {

// What a rule may take of an event; texts are borrowed.
struct StatusEvent {
  absl::string_view event;
  absl::string_view channel;
  absl::string_view data;   // one JSON object
  int64_t received_us = 0;  // since 1970
};

class StatusExpression {
 public:
  struct Context {
    const StatusEvent& event;
    const JsonDocument& document;  // its data
    const OrderedJson& merged;     // $$merged
  };

  // "$field", "$field.inner", "$data", "$$event", "$$channel", "$$time", "$$merged"; any other text
  // stands for itself.
  explicit StatusExpression(const std::string& text);
  explicit StatusExpression(const google::protobuf::Value& value);
  // A copy shares the definition.
  StatusExpression(const StatusExpression&);
  StatusExpression& operator=(const StatusExpression&);
  ~StatusExpression();

  // Nothing if it is a field that the event has not; members and elements that are so are left out.
  std::optional<OrderedJson> Evaluate(const Context& context) const;

  // Whether Context::merged matters.
  bool UsesMerged() const;

 private:
  struct Node;

  std::shared_ptr<const Node> node_;
};

// Field by field, in order of their names: a Struct has no order of its own.
std::vector<std::pair<std::string, StatusExpression>> ToTemplates(
    const google::protobuf::Struct& fields);

// `fields` without an event: `$…` of an empty one.
OrderedJson ToObject(const google::protobuf::Struct& fields);

}  // namespace fanwire::control
