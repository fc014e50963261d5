#include "clients/cpp/generator/cpp_names.h"

#include <cctype>
#include <set>

namespace fanwire::client {

namespace {

// "SessionBuddy" of "session-buddy" or "session_buddy".
std::string CamelCase(std::string_view name) {
  std::string camel;
  bool upper = true;
  for (const char c : name) {
    if (c == '-' || c == '_') {
      upper = true;
      continue;
    }
    camel += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return camel;
}

// The name that protoc gives to a field in JSON.
std::string DefaultJsonName(const std::string& name) {
  std::string camel = CamelCase(name);
  if (!camel.empty() && name.front() != '_') camel.front() = name.front();
  return camel;
}

}  // namespace

bool IsEvent(const Descriptor& message) {
  return message.options().HasExtension(catalog::v1::event);
}
const catalog::v1::EventOptions& EventOf(const Descriptor& message) {
  return message.options().GetExtension(catalog::v1::event);
}
const catalog::v1::KeyOptions& KeyOf(const FieldDescriptor& field) {
  return field.options().GetExtension(catalog::v1::key);
}

std::string KeyName(const FieldDescriptor& field) {
  return field.json_name() == DefaultJsonName(field.name()) ? field.name() : field.json_name();
}

std::string MemberName(const FieldDescriptor& field) {
  static const std::set<std::string> kTaken = {
      "channel",  "extras",   "options",   "class",  "default", "delete",   "do",     "else",
      "enum",     "explicit", "export",    "extern", "final",   "for",      "friend", "if",
      "int",      "long",     "namespace", "new",    "not",     "operator", "or",     "private",
      "public",   "register", "return",    "short",  "signed",  "static",   "struct", "switch",
      "template", "this",     "throw",     "try",    "typedef", "typename", "union",  "using",
      "virtual",  "void",     "while"};
  return kTaken.count(field.name()) > 0 ? field.name() + "_" : field.name();
}

bool IsAnyJson(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_MESSAGE &&
         (field.is_map() || field.message_type()->file()->package() == "google.protobuf") &&
         field.message_type()->full_name() != "google.protobuf.Timestamp";
}
bool IsMessage(const FieldDescriptor& field) {
  return field.type() == FieldDescriptor::TYPE_MESSAGE && !IsAnyJson(field) &&
         field.message_type()->full_name() != "google.protobuf.Timestamp";
}

std::string EmptyJson(const FieldDescriptor& field) {
  if (field.message_type()->full_name() == "google.protobuf.ListValue") return "[]";
  if (field.message_type()->full_name() == "google.protobuf.Value") return "null";
  return "{}";
}

std::string ValueType(const FieldDescriptor& field) {
  if (IsAnyJson(field)) return "Json";
  if (IsMessage(field)) return field.message_type()->name();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return "int32_t";
    case FieldDescriptor::CPPTYPE_INT64:
      return "int64_t";
    case FieldDescriptor::CPPTYPE_UINT32:
      return "uint32_t";
    case FieldDescriptor::CPPTYPE_UINT64:
      return "uint64_t";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "double";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "bool";
    default:  // texts, the names of an enum's values, times
      return "std::string";
  }
}

bool IsList(const FieldDescriptor& field) { return field.is_repeated() && !field.is_map(); }

bool MayBeLeftOut(const FieldDescriptor& field) {
  return field.has_optional_keyword() || KeyOf(field).optional() || KeyOf(field).spread() ||
         field.name() == "timestamp";
}

std::string MemberType(const FieldDescriptor& field) {
  if (IsList(field)) return "std::vector<" + ValueType(field) + ">";
  if (KeyOf(field).spread()) return "Json";
  if (field.has_optional_keyword() || field.name() == "timestamp") {
    return "std::optional<" + ValueType(field) + ">";
  }
  return ValueType(field);
}

bool HasOptions(const Descriptor& event) {
  for (int i = 0; i < event.field_count(); ++i) {
    if (MayBeLeftOut(*event.field(i))) return true;
  }
  return false;
}

std::string ServiceName(const FileDescriptor& file) {
  const std::string& package = file.package();
  return package.substr(package.rfind('.') + 1);
}

std::string ClassName(const FileDescriptor& file) {
  return CamelCase(ServiceName(file)) + "Broadcaster";
}

}  // namespace fanwire::client
