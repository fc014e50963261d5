#include "common/config_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <yaml-cpp/yaml.h>

#include <cmath>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/config_value.h"
#include "common/proto_time.h"
#include "common/utf8.h"
#include "common/yaml_check.h"

namespace fanwire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// ------------------------------------------------------------------ reading

// FaultKind() expects this where neither a list nor keys are allowed.
constexpr char kOneValue[] = "a single value";

class Reader {
 public:
  Reader(const EnvironmentLookup& environment, ConfigSource* source)
      : environment_(environment), source_(source) {}

  void ReadMessage(const YAML::Node& node, const std::string& path, Message* message) {
    if (node.IsNull()) return;
    if (!node.IsMap()) {
      FaultKind(node, path, "keys and values");
      return;
    }
    const Descriptor* descriptor = message->GetDescriptor();
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (full()) return;
      const std::optional<std::string> key = ReadKey(entry.first, path, &seen);
      if (!key) continue;
      const std::string key_path = KeyPath(path, *key);
      const FieldDescriptor* field = descriptor->FindFieldByName(*key);
      if (field == nullptr) {
        Fault(entry.first, key_path, "unknown key" + Suggestion(*key, FieldNames(descriptor)));
        continue;
      }
      if (!entry.second.IsNull()) source_->Set(key_path, Where(entry.first));
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
      ReadValue(node, path, field, message);
      return;
    }
    if (!node.IsSequence()) {
      FaultKind(node, path, "a list");
      return;
    }
    message->GetReflection()->ClearField(message, field);
    for (size_t i = 0; i < node.size() && !full(); ++i) {
      const std::string item = absl::StrCat(path, "[", i, "]");
      source_->Set(item, Where(node[i]));
      ReadValue(node[i], item, field, message);
    }
  }

  std::vector<std::string> TakeFaults() {
    if (faults_.size() > kMaxConfigFaults) {
      faults_.resize(kMaxConfigFaults);
      faults_.push_back(
          absl::StrCat(source_->file(), ": there are more faults than these ", kMaxConfigFaults));
    }
    return std::move(faults_);
  }

 private:
  // Returns whether there are enough faults, so that reading may stop.
  bool full() const { return faults_.size() > kMaxConfigFaults; }

  std::string Where(const YAML::Node& node) const {
    const YAML::Mark mark = node.Mark();
    if (mark.is_null()) return source_->file();
    return absl::StrCat(source_->file(), ":", mark.line + 1, ":", mark.column + 1);
  }

  void Fault(const YAML::Node& node, const std::string& path, const std::string& text) {
    faults_.push_back(absl::StrCat(Where(node), ": ", path.empty() ? "" : path + ": ", text));
  }

  // Adds a fault for a node of the wrong kind.
  void FaultKind(const YAML::Node& node, const std::string& path, absl::string_view expected) {
    std::string found = "nothing";
    if (node.IsScalar()) found = QuotedText(node.Scalar());
    if (node.IsMap()) found = "keys and values";
    if (node.IsSequence()) found = "a list";
    std::string hint;
    if (node.IsSequence() && expected == kOneValue) {
      hint = "; put a text that begins with \"[\" in quotes, as in \"[::1]\"";
    }
    Fault(node, path, absl::StrCat("expected ", expected, ", found ", found, hint));
  }

  // Returns the path of a key.  A very long key is cut.
  static std::string KeyPath(const std::string& path, const std::string& key) {
    const std::string quoted = QuotedText(key);
    const bool plain = quoted.size() == key.size() + 2;
    return absl::StrCat(path, path.empty() ? "" : ".", plain ? key : quoted);
  }

  // Returns the key of a map's entry and adds it to `seen`.  Returns nothing if the key has a
  // fault.
  std::optional<std::string> ReadKey(const YAML::Node& node, const std::string& path,
                                     std::set<std::string>* seen) {
    if (!node.IsScalar()) {
      Fault(node, path, "a key must be a text");
      return std::nullopt;
    }
    const std::string& key = node.Scalar();
    if (const std::string fault = TextFault(key); !fault.empty()) {
      Fault(node, KeyPath(path, key), fault);
      return std::nullopt;
    }
    if (!seen->insert(key).second) {
      Fault(node, KeyPath(path, key), "given twice");
      return std::nullopt;
    }
    return key;
  }

  void ReadMap(const YAML::Node& node, const std::string& path, const FieldDescriptor* field,
               Message* message) {
    if (!node.IsMap()) {
      FaultKind(node, path, "keys and values");
      return;
    }
    const FieldDescriptor* key_field = field->message_type()->map_key();
    const FieldDescriptor* value_field = field->message_type()->map_value();
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (full()) return;
      const std::optional<std::string> key = ReadKey(entry.first, path, &seen);
      if (!key) continue;
      Message* pair = message->GetReflection()->AddMessage(message, field);
      pair->GetReflection()->SetString(pair, key_field, *key);
      ReadValue(entry.second, KeyPath(path, *key), value_field, pair);
    }
  }

  // Reads one value, or one element of a list.
  void ReadValue(const YAML::Node& node, const std::string& path, const FieldDescriptor* field,
                 Message* message) {
    const Reflection* reflection = message->GetReflection();
    const bool duration = IsMessage(field, kConfigDuration);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !duration) {
      Message* child = field->is_repeated() ? reflection->AddMessage(message, field)
                                            : reflection->MutableMessage(message, field);
      if (IsMessage(field, kConfigStruct)) {
        if (!node.IsMap()) {
          FaultKind(node, path, "keys and values");
          return;
        }
        google::protobuf::Value value;
        ReadAny(node, path, &value);
        child->CopyFrom(value.struct_value());
      } else if (IsMessage(field, kConfigValue)) {
        google::protobuf::Value value;
        ReadAny(node, path, &value);
        child->CopyFrom(value);
      } else {
        ReadMessage(node, path, child);
      }
      return;
    }
    if (!node.IsScalar()) {
      FaultKind(node, path, duration ? kDurationExample : kOneValue);
      return;
    }
    std::string text = node.Scalar();
    if (absl::Status status = ExpandVariables(environment_, &text, bytes_left_); !status.ok()) {
      const std::string too_large =
          absl::StrCat("the configuration has more than ", kMaxConfigBytes,
                       " bytes after its variables are replaced");
      Fault(node, path,
            absl::IsResourceExhausted(status) ? too_large : std::string(status.message()));
      return;
    }
    bytes_left_ -= text.size();
    if (const std::string fault = SetConfigField(text, field, message); !fault.empty()) {
      Fault(node, path, fault);
    }
  }

  void ReadAny(const YAML::Node& node, const std::string& path, google::protobuf::Value* out) {
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        out->set_null_value(google::protobuf::NULL_VALUE);
        return;
      case YAML::NodeType::Map: {
        auto* fields = out->mutable_struct_value()->mutable_fields();
        std::set<std::string> seen;
        for (const auto& entry : node) {
          if (full()) return;
          const std::optional<std::string> key = ReadKey(entry.first, path, &seen);
          if (key) ReadAny(entry.second, KeyPath(path, *key), &(*fields)[*key]);
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
      // A Value is a double, and beyond this not every whole number is one.
      constexpr double kMaxWhole = 9007199254740992;  // 2^53
      const bool whole = text.find_first_not_of("+-0123456789") == std::string::npos;
      if (whole && std::abs(number) >= kMaxWhole) {
        Fault(node, path,
              absl::StrCat(text,
                           " would lose digits: whole numbers below 9007199254740992 are "
                           "exact; write \"",
                           text, "\" in quotes for a text"));
      }
      out->set_number_value(number);
    } else {
      if (const std::string fault = TextFault(text); !fault.empty()) Fault(node, path, fault);
      out->set_string_value(text);
    }
  }

  const EnvironmentLookup& environment_;
  ConfigSource* const source_;
  size_t bytes_left_ = kMaxConfigBytes;  // for texts with their variables replaced
  std::vector<std::string> faults_;
};

// ------------------------------------------------------------------ writing

bool IsSecret(const std::string& name) {
  return absl::StrContains(name, "secret") || name == "token";
}

void Emit(const Message& message, YAML::Emitter& out);

// Returns `text` in a form that ParseConfig() reads back, because it would take "${" for a
// variable.
std::string Unexpanded(const std::string& text) {
  return absl::StrReplaceAll(text, {{"${", "$${"}});
}

void EmitAny(const google::protobuf::Value& value, YAML::Emitter& out) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kStructValue: {
      out << YAML::BeginMap;
      std::map<std::string, const google::protobuf::Value*> sorted;
      for (const auto& [key, item] : value.struct_value().fields()) sorted[key] = &item;
      for (const auto& [key, item] : sorted) {
        out << YAML::Key << YAML::DoubleQuoted << key << YAML::Value;
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
      if (IsMessage(field, kConfigDuration)) {
        google::protobuf::Duration duration;
        duration.CopyFrom(child);
        out << absl::FormatDuration(ToDuration(duration));
      } else if (IsMessage(field, kConfigStruct)) {
        google::protobuf::Value value;
        value.mutable_struct_value()->CopyFrom(child);
        EmitAny(value, out);
      } else if (IsMessage(field, kConfigValue)) {
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
      out << YAML::DoubleQuoted
          << (IsSecret(field->name()) ? std::string(kHiddenSecret) : Unexpanded(text));
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
      out << ConfigEnumName(value);
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
        out << YAML::Key << YAML::DoubleQuoted << key << YAML::Value;
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

bool ConfigSource::Given(absl::string_view path) const {
  return where_.contains(std::string(path));
}

std::vector<std::string> ParseConfig(absl::string_view text, const EnvironmentLookup& environment,
                                     google::protobuf::Message* message, ConfigSource* source) {
  if (std::string fault = YamlFault(text, source->file()); !fault.empty()) {
    return {std::move(fault)};
  }
  Reader reader(environment, source);
  try {
    reader.ReadMessage(YAML::Load(std::string(text)), "", message);
  } catch (const YAML::Exception& error) {
    return {absl::StrCat(source->file(), ": not valid YAML: ", error.what())};
  }
  return reader.TakeFaults();
}

std::string ConfigToYaml(const google::protobuf::Message& message) {
  YAML::Emitter out;
  Emit(message, out);
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace fanwire
