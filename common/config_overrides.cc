#include "common/config_overrides.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config_value.h"
#include "common/utf8.h"

namespace fanwire {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status OverrideConfig(absl::string_view path, absl::string_view value,
                            absl::string_view given_origin, google::protobuf::Message* message,
                            ConfigSource* source) {
  const std::string origin =
      TextFault(given_origin).empty() ? std::string(given_origin) : QuotedText(given_origin);
  const std::vector<std::string> steps = absl::StrSplit(path, '.');
  Message* at = message;
  std::string place;  // as ConfigSource names it: "services[2].port"
  for (size_t i = 0; i < steps.size(); ++i) {
    const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(steps[i]);
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": no key ", QuotedText(steps[i]),
                       Suggestion(steps[i], FieldNames(at->GetDescriptor()))));
    }
    absl::StrAppend(&place, place.empty() ? "" : ".", steps[i]);
    const Reflection* reflection = at->GetReflection();
    const bool last = i + 1 == steps.size();
    if (last) {
      std::string fault;
      if (field->is_repeated()) {
        fault = "a list cannot be set by a flag or a variable; write it in the file";
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
                 !IsMessage(field, kConfigDuration)) {
        fault = absl::StrCat("needs one of its keys: ",
                             absl::StrJoin(FieldNames(field->message_type()), ", "));
      } else {
        fault = SetConfigField(value, field, at);
      }
      if (!fault.empty()) return absl::InvalidArgumentError(absl::StrCat(origin, ": ", fault));
      source->Set(place, origin);
      return absl::OkStatus();
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) {
      return absl::InvalidArgumentError(absl::StrCat(origin, ": ", steps[i], " has no keys"));
    }
    if (!field->is_repeated()) {
      at = reflection->MutableMessage(at, field);
      continue;
    }
    // An element of a list, by its name.
    const std::string& wanted = steps[++i];
    const FieldDescriptor* name = field->message_type()->FindFieldByName("name");
    Message* found = nullptr;
    int index = 0;
    for (int k = 0; name != nullptr && k < reflection->FieldSize(*at, field); ++k) {
      Message* item = reflection->MutableRepeatedMessage(at, field, k);
      if (item->GetReflection()->GetString(*item, name) == wanted) {
        found = item;
        index = k;
      }
    }
    if (found == nullptr || i + 1 == steps.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": no element ", QuotedText(wanted), " in ", field->name()));
    }
    at = found;
    absl::StrAppend(&place, "[", index, "]");
  }
  return absl::InvalidArgumentError(absl::StrCat(origin, ": no key"));
}

std::vector<std::string> OverrideFromEnvironment(absl::string_view prefix,
                                                 const std::vector<std::string>& variables,
                                                 google::protobuf::Message* message,
                                                 ConfigSource* source) {
  std::vector<std::string> faults;
  for (const std::string& variable : variables) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos || !absl::StartsWith(variable, prefix)) continue;
    const std::string name = variable.substr(0, equals);
    // Variables of wsctl and of the scripts have one level only: FANWIRE_SERVER.
    if (!absl::StrContains(name, "__")) continue;
    const std::string path =
        absl::StrJoin(absl::StrSplit(absl::AsciiStrToLower(name.substr(prefix.size())), "__"), ".");
    const absl::Status status = OverrideConfig(path, variable.substr(equals + 1),
                                               "environment variable " + name, message, source);
    if (!status.ok()) faults.emplace_back(status.message());
  }
  return faults;
}

}  // namespace fanwire
