// Writes broadcasters for the C++ library: for each file of a catalog that describes events, a
// header and a source.  The library's own are made with it, and those of others' catalogs
// (fanwire_add_broadcaster() of FanwireConfig.cmake).
//
//   fanwire-catalog-generator DESCRIPTOR_SET HEADER_FOLDER SOURCE_FOLDER
//
// DESCRIPTOR_SET is what protoc --descriptor_set_out --include_imports --include_source_info writes
// of the files.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "clients/cpp/generator/cpp_names.h"

namespace fanwire::client {
namespace {

using google::protobuf::DescriptorPool;

std::string ArgumentType(const FieldDescriptor& field, const std::string& scope) {
  if (IsList(field)) {
    const std::string prefix = IsMessage(field) ? scope + "::" : "";
    return "const std::vector<" + prefix + ValueType(field) + ">&";
  }
  if (IsAnyJson(field)) return "const Json&";
  if (IsMessage(field)) return "const " + scope + "::" + ValueType(field) + "&";
  const std::string type = ValueType(field);
  return type == "std::string" ? "std::string_view" : type;
}

// Comments of the .proto, as comments of C++.
std::string Comment(const std::string& text, const std::string& indent) {
  std::string comment;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    // Each line begins with the space behind the slashes.
    comment.append(indent).append("//").append(line).append("\n");
    if (end == std::string::npos) break;
    begin = end + 1;
  }
  return comment;
}

template <typename T>
std::string CommentOf(const T& of, const std::string& indent) {
  google::protobuf::SourceLocation location;
  return of.GetSourceLocation(&location) ? Comment(location.leading_comments, indent) : "";
}

class ServiceWriter {
 public:
  explicit ServiceWriter(const FileDescriptor& file) : file_(file) {
    for (int i = 0; i < file.message_type_count(); ++i) {
      const Descriptor& message = *file.message_type(i);
      (IsEvent(message) ? events_ : structs_).push_back(&message);
    }
    name_ = ServiceName(file);
    scope_ = name_;
    class_ = ClassName(file);
  }

  bool has_events() const { return !events_.empty(); }
  const std::string& name() const { return name_; }

  std::string Header() const {
    std::string text = Notice() +
                       "#pragma once\n\n#include <cstdint>\n#include <optional>\n"
                       "#include <string>\n#include <string_view>\n#include <vector>\n\n"
                       "#include \"fanwire/broadcaster.h\"\n\nnamespace fanwire::client {\n\n"
                       "namespace " +
                       scope_ + " {\n";
    for (const Descriptor* message : structs_) {
      text += "\n" + CommentOf(*message, "") + "struct " + message->name() + " {\n";
      for (int i = 0; i < message->field_count(); ++i) text += Member(*message->field(i));
      text += "};\n";
    }
    for (const Descriptor* event : events_) text += OptionsStruct(*event);
    text += "\n}  // namespace " + scope_ + "\n\n" + "// Publishes the events of " +
            EventOf(*events_.front()).service() +
            ".  The functions return what\n// Publisher::Publish() does, and INVALID_ARGUMENT if a "
            "text that the channel is named after is\n// empty.\n//\n"
            "// Threading: as the publisher.\n// Ownership: borrows the publisher.\n"
            "class " +
            class_ + " {\n public:\n  explicit " + class_ +
            "(Publisher* publisher) : publisher_(publisher) {}\n";
    for (const Descriptor* event : events_) {
      text += "\n" + CommentOf(*event, "  ") + "  //\n  // " + EventOf(*event).name();
      if (EventOf(*event).channels_size() > 0) text += " on";
      for (const std::string& channel : EventOf(*event).channels()) text += " " + channel;
      if (EventOf(*event).status() == catalog::v1::EventOptions::PLANNED) text += "; planned";
      text += "\n  Status " + event->name() + "(" + Parameters(*event, true) + ");\n";
    }
    return text +
           "\n private:\n  Publisher* const publisher_;\n};\n\n}  // namespace "
           "fanwire::client\n";
  }

  std::string Source() const {
    std::string text = Notice() + "#include \"fanwire/catalog/" + name_ + ".h\"\n\n" +
                       "#include \"fanwire/broadcast_message.h\"\n\n"
                       "namespace fanwire::client {\n";
    // In a namespace of the service's: sources that share a unit have such messages, too.
    if (!structs_.empty()) text += "\nnamespace " + scope_ + " {\n";
    for (const Descriptor* message : structs_) {
      text +=
          "\n[[maybe_unused]] static JsonObject ToJson(const " + message->name() + "& value);\n";
    }
    for (const Descriptor* message : structs_) {
      text += "\nstatic JsonObject ToJson(const " + message->name() +
              "& value) {\n  JsonObject object;\n";
      for (int i = 0; i < message->field_count(); ++i) {
        const FieldDescriptor& field = *message->field(i);
        text += AddField(field, "object", "value." + MemberName(field));
      }
      for (int i = 0; i < message->field_count(); ++i) {
        const FieldDescriptor& field = *message->field(i);
        if (KeyOf(field).spread()) text += "  object.Spread(value." + MemberName(field) + ");\n";
      }
      text += "  return object;\n}\n";
    }
    if (!structs_.empty()) text += "\n}  // namespace " + scope_ + "\n";
    for (const Descriptor* event : events_) text += Function(*event);
    return text + "\n}  // namespace fanwire::client\n";
  }

 private:
  std::string Notice() const {
    return "// Written by fanwire-catalog-generator from " + file_.name() + "; do not change it.\n";
  }

  std::string Member(const FieldDescriptor& field) const {
    const std::string type = MemberType(field);
    return CommentOf(field, "  ") + "  " + type + " " + MemberName(field) + " = {};\n";
  }

  std::string OptionsStruct(const Descriptor& event) const {
    std::string members;
    for (int i = 0; i < event.field_count(); ++i) {
      if (MayBeLeftOut(*event.field(i))) members += Member(*event.field(i));
    }
    return members.empty() ? "" : "\nstruct " + event.name() + "Options {\n" + members + "};\n";
  }

  std::string Parameters(const Descriptor& event, bool defaults) const {
    std::string text;
    const auto add = [&text](const std::string& parameter) {
      text += (text.empty() ? "\n      " : ",\n      ") + parameter;
    };
    if (EventOf(event).channels_size() == 0) add("std::string_view channel");
    for (int i = 0; i < event.field_count(); ++i) {
      const FieldDescriptor& field = *event.field(i);
      if (!MayBeLeftOut(field)) add(ArgumentType(field, scope_) + " " + MemberName(field));
    }
    const std::string none = defaults ? " = {}" : "";
    if (HasOptions(event)) {
      add("const " + scope_ + "::" + event.name() + "Options& options" + none);
    }
    add("const EventExtras& extras" + none);
    return text;
  }

  // How a value of the field is written.
  std::string AddValue(const FieldDescriptor& field, const std::string& to,
                       const std::string& value) const {
    const std::string key = "\"" + KeyName(field) + "\"";
    if (IsList(field) && IsAnyJson(field)) {
      return to + ".AddJsonList(" + key + ", " + value + ", \"" + EmptyJson(field) + "\");\n";
    }
    if (IsList(field) && IsMessage(field)) {
      return "{\n    std::vector<JsonObject> list;\n    list.reserve(" + value +
             ".size());\n    for (const auto& item : " + value + ") list.push_back(" + scope_ +
             "::ToJson(item));\n    " + to + ".Add(" + key + ", list);\n  }\n";
    }
    if (IsAnyJson(field)) {
      return to + ".AddJson(" + key + ", " + value + ", \"" + EmptyJson(field) + "\");\n";
    }
    if (IsMessage(field)) return to + ".Add(" + key + ", " + scope_ + "::ToJson(" + value + "));\n";
    return to + ".Add(" + key + ", " + value + ");\n";
  }

  std::string AddField(const FieldDescriptor& field, const std::string& to,
                       const std::string& value) const {
    if (KeyOf(field).routing_only()) return "";
    if (KeyOf(field).spread()) return "";  // after all fields
    if (IsList(field)) {
      if (!KeyOf(field).optional()) return "  " + AddValue(field, to, value);
      return "  if (!" + value + ".empty()) " + AddValue(field, to, value);
    }
    if (!field.has_optional_keyword()) {
      if (field.name() == "timestamp") {
        return "  " + to + ".AddTimestamp(\"" + KeyName(field) + "\", " + value + ");\n";
      }
      return "  " + AddValue(field, to, value);
    }
    std::string text =
        "  if (" + value + ".has_value()) {\n    " + AddValue(field, to, "*" + value) + "  }";
    if (KeyOf(field).nullable()) {
      text += " else {\n    " + to + ".AddNull(\"" + KeyName(field) + "\");\n  }";
    }
    return text + "\n";
  }

  static std::string ValueOf(const FieldDescriptor& field) {
    return (MayBeLeftOut(field) ? "options." : "") + MemberName(field);
  }

  std::string Function(const Descriptor& event) const {
    std::string text = "\nStatus " + class_ + "::" + event.name() + "(" + Parameters(event, false) +
                       ") {\n  BroadcastMessage out_;\n";
    for (int i = 0; i < event.field_count(); ++i) {
      const FieldDescriptor& field = *event.field(i);
      text += AddField(field, "out_", ValueOf(field));
    }
    for (int i = 0; i < event.field_count(); ++i) {
      const FieldDescriptor& field = *event.field(i);
      if (KeyOf(field).spread()) text += "  out_.Spread(" + ValueOf(field) + ");\n";
    }
    for (const std::string& channel : EventOf(event).channels()) {
      text += AddChannel(event, channel);
    }
    if (EventOf(event).channels_size() == 0) {
      text += "  out_.AddChannel({\"\", channel}, {\"channel\"});\n";
    }
    return text + "  return out_.Publish(publisher_, \"" + EventOf(event).service() + "\", \"" +
           EventOf(event).name() + "\", extras);\n}\n";
  }

  // `channel` is a template: "workflow:{workflow_id}".
  static std::string AddChannel(const Descriptor& event, const std::string& channel) {
    std::string parts, fields;
    size_t begin = 0;
    while (true) {
      const size_t open = channel.find('{', begin);
      parts += (begin > 0 ? ", \"" : "\"") + channel.substr(begin, open - begin) + "\"";
      if (open == std::string::npos) break;
      const size_t close = channel.find('}', open);
      const std::string name = channel.substr(open + 1, close - open - 1);
      const FieldDescriptor* const field = event.FindFieldByName(name);
      if (field == nullptr || ValueType(*field) != "std::string" || IsList(*field)) {
        std::fprintf(stderr, "%s: channel \"%s\": no text field \"%s\"\n",
                     event.full_name().c_str(), channel.c_str(), name.c_str());
        std::exit(1);
      }
      const std::string value = ValueOf(*field);
      parts += ", " + (field->has_optional_keyword() ? value + ".value_or(\"\")" : value);
      fields += (fields.empty() ? "\"" : ", \"") + name + "\"";
      begin = close + 1;
    }
    return "  out_.AddChannel({" + parts + "}, {" + fields + "});\n";
  }

  const FileDescriptor& file_;
  std::vector<const Descriptor*> events_;
  std::vector<const Descriptor*> structs_;
  std::string name_;
  std::string scope_;
  std::string class_;
};

bool Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "cannot write %s\n", path.c_str());
  return static_cast<bool>(file);
}

int Run(const std::string& set_path, const std::string& headers, const std::string& sources) {
  std::ifstream file(set_path, std::ios::binary);
  google::protobuf::FileDescriptorSet set;
  if (!set.ParseFromIstream(&file)) {
    std::fprintf(stderr, "%s is no descriptor set\n", set_path.c_str());
    return 1;
  }
  DescriptorPool pool;
  for (const google::protobuf::FileDescriptorProto& proto : set.file()) {
    const FileDescriptor* const descriptor = pool.BuildFile(proto);
    if (descriptor == nullptr) return 1;
    const ServiceWriter writer(*descriptor);
    if (!writer.has_events()) continue;
    for (int i = 0; i < descriptor->message_type_count(); ++i) {
      const Descriptor& message = *descriptor->message_type(i);
      if (!IsEvent(message) || !EventOf(message).service().empty()) continue;
      std::fprintf(stderr, "%s: the option fanwire.catalog.v1.event has no service\n",
                   message.full_name().c_str());
      return 1;
    }
    if (!Write(headers + "/" + writer.name() + ".h", writer.Header()) ||
        !Write(sources + "/" + writer.name() + ".cc", writer.Source())) {
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace fanwire::client

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr,
                 "usage: fanwire-catalog-generator DESCRIPTOR_SET HEADER_FOLDER SOURCE_FOLDER\n");
    return 2;
  }
  return fanwire::client::Run(argv[1], argv[2], argv[3]);
}
