#include "control/config/config_difference.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/check.h"
#include "control/config/config_keys.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"

namespace fanwire::control {

using google::protobuf::FieldDescriptor;

std::vector<std::string> ConfigDifference(const v1::Config& before, const v1::Config& after) {
  using google::protobuf::Descriptor;
  using google::protobuf::util::MessageDifferencer;
  std::vector<std::string> paths;
  const Descriptor* descriptor = v1::Config::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->name() == "services") continue;
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_repeated()) {
      MessageDifferencer differ;
      if (!differ.CompareWithFields(before, after, {field}, {field}))
        paths.push_back(field->name());
      continue;
    }
    const auto& left = before.GetReflection()->GetMessage(before, field);
    const auto& right = after.GetReflection()->GetMessage(after, field);
    const Descriptor* inner = field->message_type();
    for (int k = 0; k < inner->field_count(); ++k) {
      MessageDifferencer differ;
      if (!differ.CompareWithFields(left, right, {inner->field(k)}, {inner->field(k)})) {
        paths.push_back(absl::StrCat(field->name(), ".", inner->field(k)->name()));
      }
    }
  }
  std::map<std::string, const v1::ServiceConfig*> old_services;
  for (const v1::ServiceConfig& service : before.services()) {
    old_services[service.name()] = &service;
  }
  for (const v1::ServiceConfig& service : after.services()) {
    const auto it = old_services.find(service.name());
    const std::string path = absl::StrCat("services[", service.name(), "]");
    if (it == old_services.end()) {
      paths.push_back(path);
      continue;
    }
    const Descriptor* inner = v1::ServiceConfig::descriptor();
    for (int k = 0; k < inner->field_count(); ++k) {
      MessageDifferencer differ;
      if (!differ.CompareWithFields(*it->second, service, {inner->field(k)}, {inner->field(k)})) {
        paths.push_back(absl::StrCat(path, ".", inner->field(k)->name()));
      }
    }
    old_services.erase(it);
  }
  for (const auto& [name, service] : old_services) {
    paths.push_back(absl::StrCat("services[", name, "]"));
  }
  return paths;
}

bool NeedsRestart(absl::string_view path) {
  const FieldDescriptor* const key = FindKey(path);
  return key != nullptr && KeyOf(key).needs_restart();
}

std::vector<std::string> KeepWhatNeedsRestart(const v1::Config& before, v1::Config* after) {
  std::vector<std::string> kept;
  v1::Config old = before;
  for (const std::string& path : ConfigDifference(before, *after)) {
    if (!NeedsRestart(path)) continue;
    const std::pair<std::string, std::string> steps = absl::StrSplit(path, absl::MaxSplits('.', 1));
    const FieldDescriptor* const section = FindKey(steps.first);
    FANWIRE_CHECK(section->message_type() != nullptr && !section->is_repeated(),
                  absl::StrCat(path, " needs a restart, but is in no single section"));
    google::protobuf::Message* const to = after->GetReflection()->MutableMessage(after, section);
    to->GetReflection()->SwapFields(old.GetReflection()->MutableMessage(&old, section), to,
                                    {FindKey(path)});
    kept.push_back(path);
  }
  return kept;
}

}  // namespace fanwire::control
