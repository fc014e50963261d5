#include "common/config_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/edit_distance.h"
#include "common/proto_time.h"

extern char** environ;

namespace fanwire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kDuration[] = "google.protobuf.Duration";
constexpr char kStruct[] = "google.protobuf.Struct";
constexpr char kValue[] = "google.protobuf.Value";

bool IsMessage(const FieldDescriptor* field, const char* name) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->full_name() == name;
}

// "; did you mean X?" for the nearest of `known`, or all of them if none is near.
std::string Suggestion(absl::string_view given, const std::vector<std::string>& known) {
  const std::string best = NearestName(given, known, std::max<size_t>(2, given.size() / 3));
  if (!best.empty()) return absl::StrCat("; did you mean \"", best, "\"?");
  return absl::StrCat("; known: ", absl::StrJoin(known, ", "));
}

std::vector<std::string> FieldNames(const Descriptor* descriptor) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(descriptor->field_count()));
  for (int i = 0; i < descriptor->field_count(); ++i) names.push_back(descriptor->field(i)->name());
  return names;
}

// "BACKLOG_POLICY_" of BacklogPolicy.
std::string EnumPrefix(const EnumDescriptor* type) {
  std::string prefix;
  for (const char c : type->name()) {
    if (std::isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return prefix + "_";
}

std::string ShortEnumName(const EnumDescriptor* type, const std::string& name) {
  const std::string prefix = EnumPrefix(type);
  return absl::AsciiStrToLower(absl::StartsWith(name, prefix) ? name.substr(prefix.size()) : name);
}

std::optional<int> ParseEnum(const EnumDescriptor* type, const std::string& text,
                             std::vector<std::string>* known) {
  for (int i = 0; i < type->value_count(); ++i) {
    const std::string& name = type->value(i)->name();
    const std::string shown = ShortEnumName(type, name);
    if (text == name || text == shown) return type->value(i)->number();
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

// Replaces ${NAME} and ${NAME:-default}.
absl::Status Expand(const EnvironmentLookup& environment, std::string* text) {
  std::string out;
  size_t at = 0;
  while (at < text->size()) {
    const size_t start = text->find("${", at);
    if (start == std::string::npos) {
      out += text->substr(at);
      break;
    }
    if (start > at && (*text)[start - 1] == '$') {  // "$${" is a plain "${"
      out += text->substr(at, start - at - 1) + "${";
      at = start + 2;
      continue;
    }
    const size_t end = text->find('}', start);
    if (end == std::string::npos) return absl::InvalidArgumentError("\"${\" without \"}\"");
    out += text->substr(at, start - at);
    std::string name = text->substr(start + 2, end - start - 2);
    std::string fallback;
    bool has_fallback = false;
    if (const size_t dash = name.find(":-"); dash != std::string::npos) {
      fallback = name.substr(dash + 2);
      name.resize(dash);
      has_fallback = true;
    }
    const char* value = environment(name);
    if (value != nullptr && (*value != '\0' || !has_fallback)) {
      out += value;
    } else if (has_fallback) {
      out += fallback;
    } else {
      return absl::InvalidArgumentError(absl::StrCat(
          "environment variable ", name, " is not set; \"${", name, ":-}\" would allow that"));
    }
    at = end + 1;
  }
  *text = std::move(out);
  return absl::OkStatus();
}

class Reader {
 public:
  Reader(const EnvironmentLookup& environment, ConfigSource* source)
      : environment_(environment), source_(source) {}

  void ReadMessage(const YAML::Node& node, const std::string& path, Message* message) {
    if (node.IsNull()) return;
    if (!node.IsMap()) {
      Fault(node, path, "expected keys and values");
      return;
    }
    const Descriptor* descriptor = message->GetDescriptor();
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        Fault(entry.first, path, "a key must be a text");
        continue;
      }
      const std::string key = entry.first.Scalar();
      const std::string key_path = path.empty() ? key : absl::StrCat(path, ".", key);
      const FieldDescriptor* field = descriptor->FindFieldByName(key);
      if (field == nullptr) {
        Fault(entry.first, key_path, "unknown key" + Suggestion(key, FieldNames(descriptor)));
        continue;
      }
      if (!seen.insert(key).second) {
        Fault(entry.first, key_path, "given twice");
        continue;
      }
      source_->Set(key_path, Where(entry.first));
      ReadField(entry.second, key_path, field, message);
    }
  }

  void ReadField(const YAML::Node& node, const std::string& path, const FieldDescriptor* field,
                 Message* message) {
    if (node.IsNull()) return;
    if (field->is_map()) {
      ReadMap(node, path, field, message);
      return;
    }
    if (!field->is_repeated()) {
      ReadValue(node, path, field, message, /*add=*/false);
      return;
    }
    if (!node.IsSequence()) {
      Fault(node, path, "expected a list");
      return;
    }
    message->GetReflection()->ClearField(message, field);
    for (size_t i = 0; i < node.size(); ++i) {
      const std::string item = absl::StrCat(path, "[", i, "]");
      source_->Set(item, Where(node[i]));
      ReadValue(node[i], item, field, message, /*add=*/true);
    }
  }

  std::vector<std::string> TakeFaults() { return std::move(faults_); }

 private:
  std::string Where(const YAML::Node& node) const {
    const YAML::Mark mark = node.Mark();
    if (mark.is_null()) return source_->file();
    return absl::StrCat(source_->file(), ":", mark.line + 1, ":", mark.column + 1);
  }

  void Fault(const YAML::Node& node, const std::string& path, const std::string& text) {
    faults_.push_back(absl::StrCat(Where(node), ": ", path.empty() ? "" : path + ": ", text));
  }

  void ReadMap(const YAML::Node& node, const std::string& path, const FieldDescriptor* field,
               Message* message) {
    if (!node.IsMap()) {
      Fault(node, path, "expected keys and values");
      return;
    }
    const FieldDescriptor* key_field = field->message_type()->map_key();
    const FieldDescriptor* value_field = field->message_type()->map_value();
    std::set<std::string> seen;
    for (const auto& entry : node) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
      if (!seen.insert(key).second) {
        Fault(entry.first, absl::StrCat(path, ".", key), "given twice");
        continue;
      }
      Message* pair = message->GetReflection()->AddMessage(message, field);
      pair->GetReflection()->SetString(pair, key_field, key);
      ReadValue(entry.second, absl::StrCat(path, ".", key), value_field, pair, /*add=*/false);
    }
  }

  void ReadValue(const YAML::Node& node, const std::string& path, const FieldDescriptor* field,
                 Message* message, bool add) {
    const Reflection* reflection = message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* child =
          add ? reflection->AddMessage(message, field) : reflection->MutableMessage(message, field);
      if (IsMessage(field, kDuration)) {
        ReadDuration(node, path, child);
      } else if (IsMessage(field, kStruct)) {
        if (!node.IsMap()) {
          Fault(node, path, "expected keys and values");
          return;
        }
        google::protobuf::Value value;
        ReadAny(node, path, &value);
        child->CopyFrom(value.struct_value());
      } else if (IsMessage(field, kValue)) {
        google::protobuf::Value value;
        ReadAny(node, path, &value);
        child->CopyFrom(value);
      } else {
        ReadMessage(node, path, child);
      }
      return;
    }
    if (!node.IsScalar()) {
      Fault(node, path, "expected a single value");
      return;
    }
    std::string text = node.Scalar();
    if (absl::Status status = Expand(environment_, &text); !status.ok()) {
      Fault(node, path, std::string(status.message()));
      return;
    }
    if (const std::string fault = SetScalar(text, field, message, add); !fault.empty()) {
      Fault(node, path, fault);
    }
  }

  void ReadDuration(const YAML::Node& node, const std::string& path, Message* out) {
    if (!node.IsScalar()) {
      Fault(node, path, "expected a duration such as 250ms, 5s or 1h30m");
      return;
    }
    std::string text = node.Scalar();
    if (absl::Status status = Expand(environment_, &text); !status.ok()) {
      Fault(node, path, std::string(status.message()));
      return;
    }
    if (const std::string fault = SetDurationText(text, out); !fault.empty())
      Fault(node, path, fault);
  }

  void ReadAny(const YAML::Node& node, const std::string& path, google::protobuf::Value* out) {
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        out->set_null_value(google::protobuf::NULL_VALUE);
        return;
      case YAML::NodeType::Map: {
        auto* fields = out->mutable_struct_value()->mutable_fields();
        for (const auto& entry : node) {
          const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
          ReadAny(entry.second, absl::StrCat(path, ".", key), &(*fields)[key]);
        }
        return;
      }
      case YAML::NodeType::Sequence: {
        auto* list = out->mutable_list_value();
        for (const auto& item : node) ReadAny(item, path, list->add_values());
        return;
      }
      case YAML::NodeType::Scalar:
        break;
    }
    const std::string& text = node.Scalar();
    double number = 0;
    const bool quoted = node.Tag() == "!";  // always a text
    if (!quoted && (text == "true" || text == "false")) {
      out->set_bool_value(text == "true");
    } else if (!quoted && absl::SimpleAtod(text, &number) && std::isfinite(number)) {
      out->set_number_value(number);
    } else {
      out->set_string_value(text);
    }
  }

 public:
  static std::string SetDurationText(const std::string& text, Message* out) {
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

  // Returns what is wrong, or an empty text.
  static std::string SetScalar(const std::string& text, const FieldDescriptor* field,
                               Message* message, bool add) {
    const Reflection* reflection = message->GetReflection();
    const bool bytes = absl::EndsWith(field->name(), "_bytes");
    switch (field->cpp_type()) {
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

 private:
  const EnvironmentLookup& environment_;
  ConfigSource* const source_;
  std::vector<std::string> faults_;
};

// ------------------------------------------------------------------ writing

bool IsSecret(const std::string& name) {
  return absl::StrContains(name, "secret") || name == "token";
}

void Emit(const Message& message, YAML::Emitter& out);

void EmitAny(const google::protobuf::Value& value, YAML::Emitter& out) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kStructValue: {
      out << YAML::BeginMap;
      std::map<std::string, const google::protobuf::Value*> sorted;
      for (const auto& [key, item] : value.struct_value().fields()) sorted[key] = &item;
      for (const auto& [key, item] : sorted) {
        out << YAML::Key << key << YAML::Value;
        EmitAny(*item, out);
      }
      out << YAML::EndMap;
      return;
    }
    case google::protobuf::Value::kListValue:
      out << YAML::Flow << YAML::BeginSeq;
      for (const auto& item : value.list_value().values()) EmitAny(item, out);
      out << YAML::EndSeq;
      return;
    case google::protobuf::Value::kStringValue:
      out << YAML::DoubleQuoted << value.string_value();
      return;
    case google::protobuf::Value::kNumberValue:
      out << value.number_value();
      return;
    case google::protobuf::Value::kBoolValue:
      out << value.bool_value();
      return;
    default:
      out << YAML::Null;
  }
}

void EmitValue(const Message& message, const FieldDescriptor* field, int index,
               YAML::Emitter& out) {
  const Reflection* reflection = message.GetReflection();
  const bool repeated = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Message& child = repeated ? reflection->GetRepeatedMessage(message, field, index)
                                      : reflection->GetMessage(message, field);
      if (IsMessage(field, kDuration)) {
        google::protobuf::Duration duration;
        duration.CopyFrom(child);
        out << absl::FormatDuration(ToDuration(duration));
      } else if (IsMessage(field, kStruct)) {
        google::protobuf::Value value;
        value.mutable_struct_value()->CopyFrom(child);
        EmitAny(value, out);
      } else if (IsMessage(field, kValue)) {
        google::protobuf::Value value;
        value.CopyFrom(child);
        EmitAny(value, out);
      } else {
        Emit(child, out);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = repeated ? reflection->GetRepeatedString(message, field, index)
                                        : reflection->GetString(message, field);
      out << YAML::DoubleQuoted << (IsSecret(field->name()) ? std::string("***") : text);
      return;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      out << (repeated ? reflection->GetRepeatedBool(message, field, index)
                       : reflection->GetBool(message, field));
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      out << (repeated ? reflection->GetRepeatedUInt32(message, field, index)
                       : reflection->GetUInt32(message, field));
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      out << (repeated ? reflection->GetRepeatedUInt64(message, field, index)
                       : reflection->GetUInt64(message, field));
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      out << (repeated ? reflection->GetRepeatedInt64(message, field, index)
                       : reflection->GetInt64(message, field));
      return;
    case FieldDescriptor::CPPTYPE_INT32:
      out << (repeated ? reflection->GetRepeatedInt32(message, field, index)
                       : reflection->GetInt32(message, field));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out << (repeated ? reflection->GetRepeatedDouble(message, field, index)
                       : reflection->GetDouble(message, field));
      return;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = repeated ? reflection->GetRepeatedEnum(message, field, index)
                                   : reflection->GetEnum(message, field);
      out << ShortEnumName(field->enum_type(), value->name());
      return;
    }
    default:
      out << YAML::Null;
  }
}

void Emit(const Message& message, YAML::Emitter& out) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  out << YAML::BeginMap;
  for (const FieldDescriptor* field : fields) {
    out << YAML::Key << field->name() << YAML::Value;
    if (field->is_map()) {
      out << YAML::BeginMap;
      const int count = message.GetReflection()->FieldSize(message, field);
      std::map<std::string, const Message*> sorted;
      for (int i = 0; i < count; ++i) {
        const Message& pair = message.GetReflection()->GetRepeatedMessage(message, field, i);
        sorted[pair.GetReflection()->GetString(pair, field->message_type()->map_key())] = &pair;
      }
      for (const auto& [key, pair] : sorted) {
        out << YAML::Key << key << YAML::Value;
        EmitValue(*pair, field->message_type()->map_value(), -1, out);
      }
      out << YAML::EndMap;
    } else if (field->is_repeated()) {
      out << YAML::BeginSeq;
      const int count = message.GetReflection()->FieldSize(message, field);
      for (int i = 0; i < count; ++i) EmitValue(message, field, i, out);
      out << YAML::EndSeq;
    } else {
      EmitValue(message, field, -1, out);
    }
  }
  out << YAML::EndMap;
}

}  // namespace

std::string ConfigSource::Where(absl::string_view path) const {
  std::string at(path);
  while (!at.empty()) {
    if (const auto it = where_.find(at); it != where_.end()) return it->second;
    const size_t cut = at.find_last_of(".[");
    at.resize(cut == std::string::npos ? 0 : cut);
  }
  return file_;
}

std::string ConfigSource::Message(absl::string_view path, absl::string_view text) const {
  return absl::StrCat(Where(path), ": ", path, path.empty() ? "" : ": ", text);
}

EnvironmentLookup ProcessEnvironment() {
  return [](const std::string& name) { return std::getenv(name.c_str()); };
}

std::vector<std::string> ParseConfig(absl::string_view text, const EnvironmentLookup& environment,
                                     google::protobuf::Message* message, ConfigSource* source) {
  YAML::Node root;
  try {
    root = YAML::Load(std::string(text));
    Reader reader(environment, source);
    reader.ReadMessage(root, "", message);
    return reader.TakeFaults();
  } catch (const YAML::Exception& error) {
    const std::string where =
        error.mark.is_null()
            ? source->file()
            : absl::StrCat(source->file(), ":", error.mark.line + 1, ":", error.mark.column + 1);
    return {absl::StrCat(where, ": no YAML: ", error.msg)};
  }
}

absl::Status OverrideConfig(absl::string_view path, absl::string_view value,
                            absl::string_view origin, google::protobuf::Message* message,
                            ConfigSource* source) {
  const std::vector<std::string> steps = absl::StrSplit(path, '.');
  Message* at = message;
  for (size_t i = 0; i < steps.size(); ++i) {
    const FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(steps[i]);
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": no key \"", steps[i], "\"",
                       Suggestion(steps[i], FieldNames(at->GetDescriptor()))));
    }
    const Reflection* reflection = at->GetReflection();
    const bool last = i + 1 == steps.size();
    if (last) {
      std::string fault;
      if (field->is_repeated()) {
        fault = "a list cannot be set so; use the file";
      } else if (IsMessage(field, kDuration)) {
        fault = Reader::SetDurationText(std::string(value), reflection->MutableMessage(at, field));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        fault = absl::StrCat("needs one of its keys: ",
                             absl::StrJoin(FieldNames(field->message_type()), ", "));
      } else {
        fault = Reader::SetScalar(std::string(value), field, at, /*add=*/false);
      }
      if (!fault.empty()) return absl::InvalidArgumentError(absl::StrCat(origin, ": ", fault));
      source->Set(std::string(path), std::string(origin));
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
    for (int k = 0; name != nullptr && k < reflection->FieldSize(*at, field); ++k) {
      Message* item = reflection->MutableRepeatedMessage(at, field, k);
      if (item->GetReflection()->GetString(*item, name) == wanted) found = item;
    }
    if (found == nullptr || i + 1 == steps.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": no element \"", wanted, "\" in ", field->name()));
    }
    at = found;
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
    // Variables of wsctl and of the scripts have one level only and are none of ours.
    if (!absl::StrContains(name, "__")) continue;
    const std::string path =
        absl::StrJoin(absl::StrSplit(absl::AsciiStrToLower(name.substr(prefix.size())), "__"), ".");
    const absl::Status status = OverrideConfig(path, variable.substr(equals + 1),
                                               "environment variable " + name, message, source);
    if (!status.ok()) faults.emplace_back(status.message());
  }
  return faults;
}

std::vector<std::string> EnvironmentVariables() {
  std::vector<std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    variables.emplace_back(*entry);
  }
  return variables;
}

std::string ConfigToYaml(const google::protobuf::Message& message) {
  YAML::Emitter out;
  Emit(message, out);
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace fanwire
