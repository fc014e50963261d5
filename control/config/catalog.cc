#include "control/config/catalog.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/json_parse.h"
#include "proto/channel_name.h"

namespace fanwire::control {

namespace {

bool IsType(const nlohmann::json& value, char type) {
  switch (type) {
    case 's':
      return value.is_string();
    case 'i':
      return value.is_number_integer();
    case 'n':
      return value.is_number();
    case 'b':
      return value.is_boolean();
    case 'o':
      return value.is_object();
    case 'l':
      return value.is_array();
    default:
      return true;
  }
}

const char* TypeName(char type) {
  switch (type) {
    case 's':
      return "a text";
    case 'i':
      return "a whole number";
    case 'n':
      return "a number";
    case 'b':
      return "true or false";
    case 'o':
      return "an object";
    default:
      return "a list";
  }
}

}  // namespace

bool FitsTemplate(absl::string_view channel_template, absl::string_view channel) {
  while (true) {
    const size_t open = channel_template.find('{');
    if (open == absl::string_view::npos) return channel_template == channel;
    if (channel.substr(0, open) != channel_template.substr(0, open)) return false;
    channel.remove_prefix(open);
    const size_t close = channel_template.find('}', open);
    if (close == absl::string_view::npos) return false;
    channel_template.remove_prefix(close + 1);
    if (channel_template.empty()) return !channel.empty();
    const size_t colon = channel.find(':');
    if (colon == absl::string_view::npos || colon == 0) return false;
    channel.remove_prefix(colon);
  }
}

Catalog::Catalog(std::vector<Event> events, Check check)
    : events_(std::move(events)), check_(check) {
  for (size_t i = 0; i < events_.size(); ++i) by_name_.emplace(events_[i].name, i);
}

std::vector<std::string> Catalog::Faults(absl::string_view event, absl::string_view channel,
                                         absl::string_view data) const {
  const auto it = by_name_.find(event);
  if (it == by_name_.end()) return {absl::StrCat("event \"", event, "\" is not in the catalog")};
  const Event& known = events_[it->second];
  std::vector<std::string> faults;
  bool fits = known.channels.empty();
  for (const std::string& channel_template : known.channels) {
    fits |= FitsTemplate(channel_template, channel);
  }
  if (!fits) {
    faults.push_back(absl::StrCat("event \"", event, "\" belongs on ",
                                  absl::StrJoin(known.channels, " or "), ", not on \"", channel,
                                  "\""));
  }
  const nlohmann::json object = ParseJson(data);
  for (const auto& [key, type] : known.data) {
    const bool optional = absl::EndsWith(type, "?");
    const auto value = object.find(key);
    if (value == object.end() || (value->is_null() && optional)) {
      if (!optional) faults.push_back(absl::StrCat("data.", key, " is missing"));
    } else if (!type.empty() && !IsType(*value, type[0])) {
      faults.push_back(absl::StrCat("data.", key, " is not ", TypeName(type[0])));
    }
  }
  return faults;
}

bool Catalog::KnowsKind(absl::string_view kind) const {
  for (const Event& event : events_) {
    for (const std::string& channel_template : event.channels) {
      if (ChannelKind(channel_template) == kind) return true;
    }
  }
  return false;
}

}  // namespace fanwire::control
