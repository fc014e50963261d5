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
#include "absl/types/span.h"
#include "common/edit_distance.h"
#include "common/proto_time.h"
#include "common/utf8.h"

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
    if (shown == "unspecified") continue;  // the key would look given and have its default
    if (text == type->value(i)->name() || text == shown) return type->value(i)->number();
    known->push_back(shown);
  }
  return std::nullopt;
}

// "; did you mean X?" for the nearest of `known`, or nothing if none is near.
std::string NearestOf(absl::string_view given, const std::vector<std::string>& known) {
  const std::string best = NearestName(given, known, std::max<size_t>(2, given.size() / 3));
  return best.empty() ? "" : absl::StrCat("; did you mean \"", best, "\"?");
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

// "expected a number, found "x"".
std::string Expected(absl::string_view what, absl::string_view found) {
  return absl::StrCat("expected ", what, ", found ", QuotedText(found));
}

std::string SetDurationText(const std::string& text, Message* out) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration() ||
      duration == -absl::InfiniteDuration()) {
    return Expected(kDurationExample, text);
  }
  if (duration < absl::ZeroDuration()) {
    return Expected("a duration that is not negative", text);
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
  if (std::string fault = TextFault(given); !fault.empty()) return fault;
  const std::string text(given);
  const bool add = field->is_repeated();
  const Reflection* reflection = message->GetReflection();
  const bool bytes = absl::EndsWith(field->name(), "_bytes");
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (!IsMessage(field, kConfigDuration)) return "this key cannot be set to a single value";
      return SetDurationText(text, add ? reflection->AddMessage(message, field)
                                       : reflection->MutableMessage(message, field));
    case FieldDescriptor::CPPTYPE_STRING:
      add ? reflection->AddString(message, field, text)
          : reflection->SetString(message, field, text);
      return "";
    case FieldDescriptor::CPPTYPE_BOOL: {
      if (text != "true" && text != "false") {
        return Expected("true or false", text);
      }
      add ? reflection->AddBool(message, field, text == "true")
          : reflection->SetBool(message, field, text == "true");
      return "";
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint64_t number = 0;
      if (!(bytes ? ParseByteCount(text, &number) : absl::SimpleAtoi(text, &number)) ||
          number > std::numeric_limits<uint32_t>::max()) {
        return Expected(bytes ? "a size from 0 to 4294967295, such as 65536, 64KiB or 1MiB"
                              : "a whole number from 0 to 4294967295",
                        text);
      }
      add ? reflection->AddUInt32(message, field, static_cast<uint32_t>(number))
          : reflection->SetUInt32(message, field, static_cast<uint32_t>(number));
      return "";
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      if (!(bytes ? ParseByteCount(text, &number) : absl::SimpleAtoi(text, &number))) {
        return Expected(
            bytes ? "a size such as 65536, 64KiB or 1MiB" : "a whole number that is not negative",
            text);
      }
      add ? reflection->AddUInt64(message, field, number)
          : reflection->SetUInt64(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t number = 0;
      if (!absl::SimpleAtoi(text, &number)) {
        return Expected("a whole number", text);
      }
      add ? reflection->AddInt64(message, field, number)
          : reflection->SetInt64(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number = 0;
      if (!absl::SimpleAtoi(text, &number)) {
        return Expected("a whole number", text);
      }
      add ? reflection->AddInt32(message, field, number)
          : reflection->SetInt32(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      if (!absl::SimpleAtod(text, &number) || !std::isfinite(number)) {
        return Expected("a number", text);
      }
      add ? reflection->AddDouble(message, field, number)
          : reflection->SetDouble(message, field, number);
      return "";
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> known;
      const std::optional<int> number = ParseEnum(field->enum_type(), text, &known);
      if (!number) {
        return absl::StrCat(Expected(ConfigChoices(known), text), NearestOf(text, known));
      }
      add ? reflection->AddEnumValue(message, field, *number)
          : reflection->SetEnumValue(message, field, *number);
      return "";
    }
    default:
      return "this key cannot be set to a single value";
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

std::string ConfigChoices(const std::vector<std::string>& choices) {
  if (choices.size() < 2) return absl::StrJoin(choices, "");
  const absl::Span<const std::string> first(choices.data(), choices.size() - 1);
  return absl::StrCat(absl::StrJoin(first, ", "), " or ", choices.back());
}

std::string Suggestion(absl::string_view given, const std::vector<std::string>& known) {
  const std::string nearest = NearestOf(given, known);
  return nearest.empty() ? absl::StrCat("; known: ", absl::StrJoin(known, ", ")) : nearest;
}

}  // namespace fanwire
