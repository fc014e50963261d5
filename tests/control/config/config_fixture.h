// Configurations from texts, without this process's environment.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/config/config_keys.h"
#include "control/config/config_loader.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fanwire::control {

inline constexpr char kService[] = "services: [{name: a, port: 8690}]\n";

inline LoadedConfig Load(const std::string& text, ConfigOverrides overrides = {}) {
  if (!overrides.environment) {
    overrides.environment = [](const std::string&) -> const char* { return nullptr; };
  }
  return LoadConfig(text, "f.yaml", overrides);
}

// The configuration of `text`, which has no faults.
inline v1::Config LoadGood(const std::string& text) {
  const LoadedConfig loaded = Load(text);
  EXPECT_THAT(loaded.errors, ::testing::IsEmpty());
  return *loaded.config;
}
// The same beside a service.
inline v1::Config Good(const std::string& text) { return LoadGood(absl::StrCat(text, kService)); }

inline std::vector<std::string> Faults(const std::string& text) {
  return Load(absl::StrCat(text, kService)).errors;
}
// The faults of keys of a service.
inline std::vector<std::string> ServiceFaults(const std::string& lines) {
  return Load(absl::StrCat("services:\n- name: a\n  port: 8690\n", lines)).errors;
}

// One key of config.proto, with what stands before and after its value in a file that gives it
// alone.
struct KeyPlace {
  std::string path;  // "services[0].listeners[0].port"
  std::string before = "";
  std::string after = "";
  const google::protobuf::FieldDescriptor* field = nullptr;

  std::string File(const std::string& value) const {
    return absl::StrCat("{", before, value, after, "}");
  }
};

// All single values of the configuration.
inline std::vector<KeyPlace> AllKeys(
    const google::protobuf::Descriptor* section = v1::Config::descriptor(),
    const KeyPlace& around = {}) {
  std::vector<KeyPlace> keys;
  for (int i = 0; i < section->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = section->field(i);
    KeyPlace place = around;
    place.field = field;
    absl::StrAppend(&place.path, place.path.empty() ? "" : ".", field->name());
    absl::StrAppend(&place.before, field->name(), ": ");
    if (IsSection(field)) {
      const bool list = field->is_repeated();
      if (list) place.path += "[0]";
      place.before += list ? "[{" : "{";
      place.after = (list ? "}]" : "}") + place.after;
      const std::vector<KeyPlace> inner = AllKeys(field->message_type(), place);
      keys.insert(keys.end(), inner.begin(), inner.end());
    } else if (!field->is_repeated() &&
               (IsDuration(field) ||
                field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE)) {
      keys.push_back(place);
    }
  }
  return keys;
}

// Whether 0 is one of the key's values.
inline bool IsNumber(const google::protobuf::FieldDescriptor* field) {
  using google::protobuf::FieldDescriptor;
  return IsDuration(field) || field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32 ||
         field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64 ||
         field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
}

}  // namespace fanwire::control
