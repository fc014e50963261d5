#include "control/events/catalog_check.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace fanwire::control {

namespace {

// Whether a value of type `type` is what the catalog's letter `expected` asks for.
bool Fits(JsonType type, char expected) {
  switch (expected) {
    case 's':
      return type == JsonType::kText;
    case 'i':
      return type == JsonType::kWholeNumber;
    case 'n':
      return type == JsonType::kWholeNumber || type == JsonType::kFraction;
    case 'b':
      return type == JsonType::kBoolean;
    case 'o':
      return type == JsonType::kObject;
    case 'l':
      return type == JsonType::kList;
    default:
      return true;
  }
}

const char* TypeName(char expected) {
  switch (expected) {
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

std::vector<std::string> CatalogFaults(const Catalog& catalog, const Event& event,
                                       const JsonDocument& data) {
  const Catalog::Event* const known = catalog.Find(event.event);
  if (known == nullptr) {
    return {absl::StrCat("event \"", event.event, "\" is not in the catalog")};
  }
  std::vector<std::string> faults;
  bool fits = known->channels.empty();
  for (const std::string& channel_template : known->channels) {
    fits |= FitsTemplate(channel_template, event.channel);
  }
  if (!fits) {
    faults.push_back(absl::StrCat("event \"", event.event, "\" belongs on ",
                                  absl::StrJoin(known->channels, " or "), ", not on \"",
                                  event.channel, "\""));
  }
  for (const auto& [key, expected] : known->data) {
    const bool optional = absl::EndsWith(expected, "?");
    const JsonType type = data.TypeOf(key);
    if (type == JsonType::kAbsent || (type == JsonType::kNull && optional)) {
      if (!optional) faults.push_back(absl::StrCat("data.", key, " is missing"));
    } else if (!expected.empty() && !Fits(type, expected[0])) {
      faults.push_back(absl::StrCat("data.", key, " is not ", TypeName(expected[0])));
    }
  }
  return faults;
}

}  // namespace fanwire::control
