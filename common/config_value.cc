#include "common/config_value.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/edit_distance.h"
#include "common/proto_time.h"

namespace fanwire {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

// "BACKLOG_POLICY_" of BacklogPolicy.
std::string EnumPrefix(const EnumDescriptor* type) {
  std::string prefix;
  for (const char c : type->name()) {
    if (std::isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return prefix + "_";
}

std::optional<int> ParseEnum(const EnumDescriptor* type, const std::string& text,
                             std::vector<std::string>* known) {
  for (int i = 0; i < type->value_count(); ++i) {
    const std::string shown = ConfigEnumName(type->value(i));
    if (text == type->value(i)->name() || text == shown) return type->value(i)->number();
    if (shown != "unspecified") known->push_back(shown);
  }
  return std::nullopt;
}

// "64KiB" as bytes.
bool ParseByteCount(absl::string_view text, uint64_t* out) {
  static constexpr struct {
    const char* unit;
    uint64_t factor;
  } kUnits[] = {{"KiB", uint64_t{1} << 10},
                {"MiB", uint64_t{1} << 20},
                {"GiB", uint64_t{1} << 30},
                {"KB", 1'000},
                {"MB", 1'000'000},
                {"GB", 1'000'000'000},
                {"B", 1}};
  for (const auto& [unit, factor] : kUnits) {
    if (!absl::EndsWith(text, unit)) continue;
    const absl::string_view digits =
        absl::StripTrailingAsciiWhitespace(text.substr(0, text.size() - strlen(unit)));
    uint64_t number = 0;
    if (!absl::SimpleAtoi(digits, &number)) return false;
    if (number > std::numeric_limits<uint64_t>::max() / factor) return false;
    *out = number * factor;
    return true;
  }
  return absl::SimpleAtoi(text, out);
}

std::string SetDurationText(const std::string& text, Message* out) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration()) {
    return absl::StrCat("\"", text, "\" is no duration such as 250ms, 5s or 1h30m");
  }
  if (duration < absl::ZeroDuration()) {
    return absl::StrCat("\"", text, "\": a duration cannot be negative");
  }
  google::protobuf::Duration proto;
  SetDuration(duration, &proto);
  out->CopyFrom(proto);
  return "";
}

}  // namespace

bool IsMessage(const FieldDescriptor* field, const char* name) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->full_name() == name;
}

std::string SetConfigField(absl::string_view given, const FieldDescriptor* field,
                           Message* message) {
  const std::string text(given);
  const bool add = field->is_repeated();
  const Reflection* reflection = message->GetReflection();
  const bool bytes = absl::EndsWith(field->name(), "_bytes");
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (!IsMessage(field, kConfigDuration)) return "this key cannot be set";
      return SetDurationText(text, add ? reflection->AddMessage(message, field)
                                       : reflection->MutableMessage(message, field));
    case FieldDescriptor::CPPTYPE_STRING:
      add ? reflection->AddString(message, field, text)
          : reflection->SetString(message, field, text);
      return "";
    case FieldDescriptor::CPPTYPE_BOOL: {
      if (text != "true" && text != "false") {
        return absl::StrCat("\"", text, "\" is neither true nor false");
      }
      add ? reflection->AddBool(message, field, text == "true")
          : reflection->SetBool(message, field, text == "true");
      return "";
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint64_t number = 0;
      if (!(bytes ? ParseByteCount(text, &number) : absl::SimpleAtoi(text, &number)) ||
          number > std::numeric_limits<uint32_t>::max()) {
        return absl::StrCat("\"", text, "\" is no whole number from 0 to 4294967295");
      }
      add ? reflection->AddUInt32(message, field, static_cast<uint32_t>(number))
          : reflection->SetUInt32(message, field, static_cast<uint32_t>(number));
      return "";
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      if (!(bytes ? ParseByteCount(text, &number) : absl::SimpleAtoi(text, &number))) {
        return bytes ? absl::StrCat("\"", text, "\" is no size such as 65536, 64KiB or 1MiB")
                     : absl::StrCat("\"", text, "\" is no whole number");
      }
      add ? reflection->AddUInt64(message, field, number)
          : reflection->SetUInt64(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t number = 0;
      if (!absl::SimpleAtoi(text, &number)) {
        return absl::StrCat("\"", text, "\" is no whole number");
      }
      add ? reflection->AddInt64(message, field, number)
          : reflection->SetInt64(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number = 0;
      if (!absl::SimpleAtoi(text, &number)) {
        return absl::StrCat("\"", text, "\" is no whole number");
      }
      add ? reflection->AddInt32(message, field, number)
          : reflection->SetInt32(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      if (!absl::SimpleAtod(text, &number) || !std::isfinite(number)) {
        return absl::StrCat("\"", text, "\" is no number");
      }
      add ? reflection->AddDouble(message, field, number)
          : reflection->SetDouble(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> known;
      const std::optional<int> number = ParseEnum(field->enum_type(), text, &known);
      if (!number) return absl::StrCat("\"", text, "\" is unknown", Suggestion(text, known));
      add ? reflection->AddEnumValue(message, field, *number)
          : reflection->SetEnumValue(message, field, *number);
      return "";
    }
    default:
      return "this key cannot be set";
  }
}

std::string ConfigEnumName(const EnumValueDescriptor* value) {
  const std::string& name = value->name();
  const std::string prefix = EnumPrefix(value->type());
  return absl::AsciiStrToLower(absl::StartsWith(name, prefix) ? name.substr(prefix.size()) : name);
}

std::vector<std::string> FieldNames(const Descriptor* descriptor) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(descriptor->field_count()));
  for (int i = 0; i < descriptor->field_count(); ++i) names.push_back(descriptor->field(i)->name());
  return names;
}

std::string Suggestion(absl::string_view given, const std::vector<std::string>& known) {
  const std::string best = NearestName(given, known, std::max<size_t>(2, given.size() / 3));
  if (!best.empty()) return absl::StrCat("; did you mean \"", best, "\"?");
  return absl::StrCat("; known: ", absl::StrJoin(known, ", "));
}

}  // namespace fanwire
