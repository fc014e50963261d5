// StatusExpression is a JSON value in a status rule.  Texts in it that begin with '$' stand for
// parts of an event, and Evaluate() replaces them.
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
#include "absl/time/time.h"
#include "control/events/json_document.h"

namespace google::protobuf {
class Struct;
class Value;
}  // namespace google::protobuf

namespace fanwire::control {

// The parts of an event that a rule may use.  Texts are borrowed.
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
    absl::Time now = {};           // $$now
  };

  // Known placeholders are "$field", "$field.inner", "$data", "$$event", "$$channel", "$$time",
  // "$$merged" and, for answers without an event, "$$now".  Any other text is taken literally.
  explicit StatusExpression(const std::string& text);
  explicit StatusExpression(const google::protobuf::Value& value);
  // A copy shares the definition.
  StatusExpression(const StatusExpression&);
  StatusExpression& operator=(const StatusExpression&);
  ~StatusExpression();

  // Returns the value for one event, or nothing if the expression is a field that the event lacks.
  // Members of objects and elements of lists that are such fields are left out.
  std::optional<OrderedJson> Evaluate(const Context& context) const;

  // Whether the expression uses Context::merged.
  bool UsesMerged() const;

 private:
  struct Node;

  std::shared_ptr<const Node> node_;
};

// One expression for each field, sorted by name, because a Struct keeps no order.
std::vector<std::pair<std::string, StatusExpression>> ToTemplates(
    const google::protobuf::Struct& fields);

// Evaluates the fields for an empty event.
OrderedJson ToObject(const std::vector<std::pair<std::string, StatusExpression>>& fields,
                     absl::Time now = {});

}  // namespace fanwire::control
