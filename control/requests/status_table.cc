#include "control/requests/status_table.h"

#include <algorithm>
#include <deque>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/json_text.h"
#include "control/config/service_table.h"
#include "control/events/json_document.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

// The text by which a value names an entity of `kind`; empty if it cannot.
std::string KeyText(const OrderedJson& value, absl::string_view kind = "") {
  return std::string(WithoutKind(kind, NameOf(value).value_or("")));
}

// ------------------------------------------------------------------ rules

struct ListRule {
  explicit ListRule(const v1::ListChange& change)
      : list(change.list()), by(change.by()), value(change.value()) {
    // Without a value the event's own field says which element is meant.
    if (!change.has_value() && !by.empty()) value = StatusExpression("$" + by);
  }

  // What tells `element` from others of the list.
  const OrderedJson& Identity(const OrderedJson& element) const {
    if (!element.is_object()) return element;
    static const OrderedJson kNone;
    const auto it = element.find(by);
    return it == element.end() ? kNone : *it;
  }

  std::string list;
  std::string by;
  StatusExpression value;
};

struct Rule {
  explicit Rule(const v1::StatusRule& rule)
      : event(rule.event()),
        key(rule.key()),
        set(ToTemplates(rule.set())),
        merge_data(rule.merge_data()),
        forget(rule.forget()) {
    for (const auto& [field, by] : rule.add()) add.emplace_back(field, by);
    if (rule.has_append()) append.emplace(rule.append());
    if (rule.has_upsert()) upsert.emplace(rule.upsert());
    if (rule.has_remove()) remove.emplace(rule.remove());
    uses_merged = merge_data;
    for (const auto& [field, value] : set) uses_merged |= value.UsesMerged();
    for (const auto* change : {&append, &upsert}) {
      uses_merged |= change->has_value() && (*change)->value.UsesMerged();
    }
  }

  std::string event;
  StatusExpression key;
  std::vector<std::pair<std::string, StatusExpression>> set;
  std::vector<std::pair<std::string, int64_t>> add;
  std::optional<ListRule> append, upsert, remove;
  bool merge_data;
  bool forget;
  bool uses_merged;
};

void Refuse(const char* code, std::string message, v1::ClientReply* reply) {
  reply->set_error_code(code);
  reply->set_error_message(std::move(message));
}

// The request's argument as it was given, or null.  Of several of one name it is the same one by
// which the worker has decided whether the client may ask.
OrderedJson Argument(absl::string_view data, const std::string& name) {
  const absl::string_view value = FindJsonMember(data, name);
  return value.empty() ? OrderedJson() : ExactJson(value);
}

// ------------------------------------------------------------------ entities

class EntityTable final : public StatusTable {
 public:
  explicit EntityTable(const v1::StatusRequest& request)
      : request_(request),
        initial_(ToObject(ToTemplates(request.initial()))),
        missing_(ToTemplates(request.missing())),
        rules_(request.events().begin(), request.events().end()) {
    if (missing_.empty()) missing_.emplace_back("status", StatusExpression("not_found"));
  }

  const v1::StatusRequest& request() const override { return request_; }

  size_t size() const override { return entities_.size(); }

  void Apply(const StatusEvent& event) override {
    bool parsed = false;
    for (const Rule& rule : rules_) {
      if (!EventMatches(rule.event, event.event)) continue;
      if (!parsed && !document_.Parse(event.data).ok()) return;
      parsed = true;
      const OrderedJson none;
      const std::string key =
          KeyText(rule.key.Evaluate({event, document_, none}).value_or(nullptr), request_.kind());
      if (key.empty() || key.size() > kMaxKeyBytes) continue;
      if (rule.forget) {
        Forget(key);
      } else {
        Apply(rule, event, Touch(key));
      }
    }
    while (entities_.size() > request_.max_entities() ||
           (bytes_ > kMaxBytes && entities_.size() > 1)) {
      Forget(std::string(order_.front()));
    }
  }

  void Answer(absl::string_view data, absl::Time now, v1::ClientReply* reply) const override {
    const OrderedJson argument = Argument(data, request_.argument());
    const std::string key = KeyText(argument, request_.kind());
    if (key.empty()) {
      Refuse("INVALID_REQUEST",
             absl::StrCat(request_.request(), ": data.", request_.argument(),
                          argument.is_null()     ? " is missing"
                          : argument.is_string() ? " is empty"
                                                 : " is neither text nor whole number"),
             reply);
      return;
    }
    OrderedJson answer = OrderedJson::object();
    answer[request_.argument()] = argument;
    const auto it = entities_.find(key);
    if (it == entities_.end()) {
      const OrderedJson missing = ToObject(missing_, now);
      answer.insert(missing.begin(), missing.end());
    } else {
      // insert() leaves alone what is there.
      answer.insert(it->second.fields.begin(), it->second.fields.end());
      if (it->second.shows_merged) {
        answer.insert(it->second.merged.begin(), it->second.merged.end());
      }
    }
    std::string text = ToText(answer);
    if (text.size() > kMaxAnswerBytes) {
      Refuse("LIMIT_EXCEEDED",
             absl::StrCat(request_.request(), ": the answer has ", text.size(), " bytes, over ",
                          kMaxAnswerBytes),
             reply);
      return;
    }
    reply->set_data(std::move(text));
  }

 private:
  struct Entity {
    OrderedJson fields = OrderedJson::object();  // what rules said
    OrderedJson merged = OrderedJson::object();  // all data of events, the newest winning
    bool shows_merged = false;                   // merge_data
    size_t bytes = 0;                            // at most what it takes
    size_t measured = 0;                         // `bytes` when it was last looked at
    std::list<std::string>::iterator place;
  };

  // The entity, made if need be, as the latest touched.
  Entity* Touch(const std::string& key) {
    const auto [it, fresh] = entities_.try_emplace(key);
    Entity& entity = it->second;
    if (fresh) {
      entity.fields = initial_;
      entity.place = order_.insert(order_.end(), key);
      Grow(&entity, key.size() + MemoryBytes(initial_) + sizeof(Entity));
    } else {
      order_.splice(order_.end(), order_, entity.place);
    }
    return &entity;
  }

  void Forget(const std::string& key) {
    const auto it = entities_.find(key);
    if (it == entities_.end()) return;
    bytes_ -= it->second.bytes;
    order_.erase(it->second.place);
    entities_.erase(it);
  }

  void Grow(Entity* entity, size_t by) {
    entity->bytes += by;
    bytes_ += by;
  }

  void Apply(const Rule& rule, const StatusEvent& event, Entity* entity) {
    if (rule.uses_merged) entity->merged.update(document_.All());
    entity->shows_merged |= rule.merge_data;
    const StatusExpression::Context context{event, document_, entity->merged};
    OrderedJson& fields = entity->fields;
    for (const auto& [field, value] : rule.set) {
      if (std::optional<OrderedJson> json = value.Evaluate(context))
        fields[field] = *std::move(json);
    }
    for (const auto& [field, by] : rule.add) {
      OrderedJson& counter = fields[field];
      counter = Sum(counter, by);
    }
    if (rule.append) {
      if (auto value = rule.append->value.Evaluate(context)) {
        Append(*std::move(value), &List(&fields, rule.append->list));
      }
    }
    if (rule.upsert) {
      if (auto value = rule.upsert->value.Evaluate(context)) {
        Upsert(*rule.upsert, *std::move(value), &List(&fields, rule.upsert->list));
      }
    }
    if (rule.remove) {
      if (const auto value = rule.remove->value.Evaluate(context)) {
        OrderedJson& list = List(&fields, rule.remove->list);
        for (size_t i = list.size(); i-- > 0;) {
          if (SameValue(rule.remove->Identity(list[i]), rule.remove->Identity(*value))) {
            list.erase(i);
          }
        }
      }
    }
    // An event may add at most its data several times; what it really added is seen later.
    Grow(entity, 64 + 2 * event.data.size());
    if (entity->bytes > 2 * entity->measured + 4096) Measure(entity);
  }

  static OrderedJson& List(OrderedJson* fields, const std::string& name) {
    OrderedJson& list = (*fields)[name];
    if (!list.is_array()) list = OrderedJson::array();
    return list;
  }

  static void Append(OrderedJson value, OrderedJson* list) {
    list->push_back(std::move(value));
    if (list->size() <= kMaxListElements) return;
    // Several at once: each time all others move.
    list->erase(list->begin(), list->begin() + static_cast<int64_t>(kMaxListElements / 10));
  }

  static void Upsert(const ListRule& rule, OrderedJson value, OrderedJson* list) {
    for (OrderedJson& element : *list) {
      if (!SameValue(rule.Identity(element), rule.Identity(value))) continue;
      element = std::move(value);
      return;
    }
    Append(std::move(value), list);
  }

  // Finds out what the entity takes.  If no answer could hold it, its lists lose their oldest
  // elements; if that does not help it begins anew.
  void Measure(Entity* entity) {
    size_t weight = MemoryBytes(entity->fields) + MemoryBytes(entity->merged);
    while (weight > kMaxAnswerBytes) {
      OrderedJson* longest = nullptr;
      for (auto& [key, value] : entity->fields.items()) {
        if (value.is_array() && !value.empty() &&
            (longest == nullptr || value.size() > longest->size())) {
          longest = &value;
        }
      }
      if (longest == nullptr) {
        entity->fields = initial_;
        entity->merged = OrderedJson::object();
        weight = MemoryBytes(initial_);
        break;
      }
      longest->erase(longest->begin(),
                     longest->begin() + static_cast<int64_t>((longest->size() + 1) / 2));
      weight = MemoryBytes(entity->fields) + MemoryBytes(entity->merged);
    }
    bytes_ = bytes_ - entity->bytes + weight;
    entity->bytes = entity->measured = weight;
  }

  const v1::StatusRequest request_;
  const OrderedJson initial_;
  std::vector<std::pair<std::string, StatusExpression>> missing_;
  const std::vector<Rule> rules_;
  JsonDocument document_;
  absl::flat_hash_map<std::string, Entity> entities_;
  std::list<std::string> order_;  // the longest untouched first
  size_t bytes_ = 0;
};

// ------------------------------------------------------------------ recent events

class RecentTable final : public StatusTable {
 public:
  explicit RecentTable(const v1::StatusRequest& request)
      : request_(request),
        filter_(request.recent().filter_field().empty() ? request.argument()
                                                        : request.recent().filter_field()) {}

  const v1::StatusRequest& request() const override { return request_; }

  size_t size() const override { return events_.size(); }

  void Apply(const StatusEvent& event) override {
    bool wanted = false;
    for (const std::string& name : request_.recent().events()) {
      wanted |= EventMatches(name, event.event);
    }
    if (!wanted) return;
    std::string kind;
    if (!filter_.empty()) {
      if (!document_.Parse(event.data).ok()) return;
      kind = KeyText(document_.Find({filter_}).value_or(nullptr));
    }
    bytes_ += event.data.size();
    events_.push_back({std::string(event.data), std::move(kind)});
    while (events_.size() > request_.recent().max() || bytes_ > kMaxBytes) {
      bytes_ -= events_.front().data.size();
      events_.pop_front();
    }
  }

  void Answer(absl::string_view data, absl::Time /*now*/, v1::ClientReply* reply) const override {
    const v1::RecentList& recent = request_.recent();
    std::string wanted;
    std::string text = "{";
    if (!request_.argument().empty()) {
      const OrderedJson argument = Argument(data, request_.argument());
      wanted = KeyText(argument);
      if (wanted.empty() && !argument.is_null() && !argument.is_string()) {
        Refuse("INVALID_REQUEST",
               absl::StrCat(request_.request(), ": data.", request_.argument(),
                            " is neither text nor whole number"),
               reply);
        return;
      }
      absl::StrAppend(&text, ToText(request_.argument()), ":",
                      wanted.empty() ? ToText(recent.filter_default()) : ToText(argument), ",");
      if (wanted == recent.filter_default()) wanted.clear();
    }
    absl::StrAppend(&text, ToText(recent.list()), ":[");
    // The newest that fit, told oldest first.
    size_t room = kMaxAnswerBytes - std::min(kMaxAnswerBytes, text.size() + 64);
    std::vector<const Event*> chosen;
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      if (!wanted.empty() && event->kind != wanted) continue;
      if (event->data.size() + 1 > room) break;
      room -= event->data.size() + 1;
      chosen.push_back(&*event);
    }
    for (size_t i = chosen.size(); i-- > 0;) {
      absl::StrAppend(&text, chosen[i]->data, i == 0 ? "" : ",");
    }
    absl::StrAppend(&text, "],\"count\":", chosen.size(), "}");
    reply->set_data(std::move(text));
  }

 private:
  struct Event {
    std::string data;
    std::string kind;  // the value of the filter's field
  };

  const v1::StatusRequest request_;
  const std::string filter_;
  JsonDocument document_;
  std::deque<Event> events_;
  size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<StatusTable> StatusTable::Make(const v1::StatusRequest& request) {
  if (request.has_recent()) return std::make_unique<RecentTable>(request);
  return std::make_unique<EntityTable>(request);
}

}  // namespace fanwire::control
