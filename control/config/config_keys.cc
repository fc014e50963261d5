#include "control/config/config_keys.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/check.h"
#include "common/config_value.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"

namespace fanwire::control {

using google::protobuf::FieldDescriptor;

const v1::KeyOptions& KeyOf(const FieldDescriptor* field) {
  return field->options().GetExtension(v1::config_key);
}

const FieldDescriptor* RangeKeyOf(const FieldDescriptor* field) {
  const std::string& other = KeyOf(field).same_as();
  if (other.empty()) return field;
  const FieldDescriptor* const key = FindKey(other);
  FANWIRE_CHECK(key != nullptr, absl::StrCat(field->full_name(), ": same_as: ", other));
  return key;
}

const FieldDescriptor* FindKey(absl::string_view path) {
  const google::protobuf::Descriptor* section = v1::Config::descriptor();
  const FieldDescriptor* key = nullptr;
  for (const absl::string_view step : absl::StrSplit(path, '.')) {
    if (section == nullptr) return nullptr;
    key = section->FindFieldByName(std::string(step.substr(0, step.find('['))));
    if (key == nullptr) return nullptr;
    section = key->message_type();  // null of a single value
  }
  return key;
}

bool IsSection(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map() &&
         field->message_type()->file()->package() != "google.protobuf";
}

bool IsDuration(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->full_name() == "google.protobuf.Duration";
}

void SetFromText(absl::string_view text, const FieldDescriptor* field,
                 google::protobuf::Message* message) {
  const std::string fault = SetConfigField(text, field, message);
  FANWIRE_CHECK(fault.empty(), absl::StrCat(field->full_name(), ": ", fault));
}

}  // namespace fanwire::control
