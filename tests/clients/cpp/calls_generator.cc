// Writes calls of every function of the broadcasters that are generated from the catalog, for
// broadcaster_catalog_test.cc: each once with its arguments alone and once with all its options.
//
//   calls_generator DESCRIPTOR_SET SOURCE
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "clients/cpp/generator/cpp_names.h"

namespace fanwire::client {
namespace {

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

std::string TextOf(const FieldDescriptor& field) { return field.name() + "1"; }

std::string ValueOf(const FieldDescriptor& field, const std::string& scope);

// A value of the member, as an expression.
std::string MemberValueOf(const FieldDescriptor& field, const std::string& scope) {
  if (KeyOf(field).spread()) return "Json(R\"({\"further\":1})\")";
  const std::string value = ValueOf(field, scope);
  return IsList(field) ? "{" + value + ", " + value + "}" : value;
}

// One value, as an expression.
std::string ValueOf(const FieldDescriptor& field, const std::string& scope) {
  if (IsAnyJson(field)) {
    const std::string empty = EmptyJson(field);
    return empty == "{}"   ? "Json(R\"({\"key\":1})\")"
           : empty == "[]" ? "Json(\"[1]\")"
                           : "Json(\"1\")";
  }
  if (IsMessage(field)) {
    std::string text = "[] {\n        " + scope + "::" + ValueType(field) + " value;\n";
    for (int i = 0; i < field.message_type()->field_count(); ++i) {
      const FieldDescriptor& member = *field.message_type()->field(i);
      text += "        value." + MemberName(member) + " = " + MemberValueOf(member, scope) + ";\n";
    }
    return text + "        return value;\n      }()";
  }
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return Quoted(field.enum_type()->value(field.enum_type()->value_count() - 1)->name());
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "0.5";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true";
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return Quoted(TextOf(field));
    default:
      return "3";
  }
}

// Appends the channel of the template to `channels`, if the call sets all its fields.
void AddChannel(const Descriptor& event, const std::string& channel_template, bool options,
                std::string* channels) {
  std::string channel;
  for (size_t begin = 0;;) {
    const size_t open = channel_template.find('{', begin);
    channel += channel_template.substr(begin, open - begin);
    if (open == std::string::npos) break;
    const size_t close = channel_template.find('}', open);
    const std::string name = channel_template.substr(open + 1, close - open - 1);
    const FieldDescriptor& field = *event.FindFieldByName(name);
    if (!options && MayBeLeftOut(field)) return;
    channel += TextOf(field);
    begin = close + 1;
  }
  *channels += (channels->empty() ? "" : ", ") + Quoted(channel);
}

std::string CallOf(const Descriptor& event, bool with_options) {
  const std::string scope = ServiceName(*event.file());
  std::string channels, arguments, options;
  if (EventOf(event).channels_size() == 0) channels = arguments = Quoted("channel1");
  for (const std::string& channel : EventOf(event).channels()) {
    AddChannel(event, channel, with_options, &channels);
  }
  for (int i = 0; i < event.field_count(); ++i) {
    const FieldDescriptor& field = *event.field(i);
    if (MayBeLeftOut(field)) {
      options += "      options." + MemberName(field) + " = " + MemberValueOf(field, scope) + ";\n";
    } else {
      arguments += (arguments.empty() ? "" : ", ") + MemberValueOf(field, scope);
    }
  }
  if (with_options && options.empty()) return "";
  std::string text = "    {" + Quoted(EventOf(event).service()) + ", " +
                     Quoted(EventOf(event).name()) + ", {" + channels +
                     "},\n     [](Publisher* publisher, const EventExtras& extras) {\n";
  if (HasOptions(event)) {
    text += "      " + scope + "::" + event.name() + "Options options;\n";
    if (with_options) text += options;
    arguments += arguments.empty() ? "options" : ", options";
  }
  return text + "      return " + ClassName(*event.file()) + "(publisher)." + event.name() + "(" +
         arguments + (arguments.empty() ? "" : ", ") + "extras);\n    }},\n";
}

int Run(const char* set_path, const char* source) {
  std::ifstream in(set_path, std::ios::binary);
  google::protobuf::FileDescriptorSet set;
  if (!set.ParseFromIstream(&in)) return 1;
  google::protobuf::DescriptorPool pool;
  std::string includes, calls;
  for (const google::protobuf::FileDescriptorProto& proto : set.file()) {
    const FileDescriptor* const file = pool.BuildFile(proto);
    if (file == nullptr) return 1;
    bool has_events = false;
    for (int i = 0; i < file->message_type_count(); ++i) {
      if (!IsEvent(*file->message_type(i))) continue;
      has_events = true;
      for (const bool options : {false, true}) calls += CallOf(*file->message_type(i), options);
    }
    if (has_events) includes += "#include \"fanwire/catalog/" + ServiceName(*file) + ".h\"\n";
  }
  std::ofstream out(source, std::ios::binary);
  out << "// Written by tests/clients/cpp/calls_generator.cc; do not change it.\n"
         "#include \"tests/clients/cpp/broadcaster_calls.h\"\n\n"
      << includes
      << "\nnamespace fanwire::client {\n\nstd::vector<BroadcasterCall> BroadcasterCalls() {\n"
         "  return {\n"
      << calls << "  };\n}\n\n}  // namespace fanwire::client\n";
  out.close();
  return out ? 0 : 1;
}

}  // namespace
}  // namespace fanwire::client

int main(int argc, char** argv) {
  if (argc == 3) return fanwire::client::Run(argv[1], argv[2]);
  std::fprintf(stderr, "usage: calls_generator DESCRIPTOR_SET SOURCE\n");
  return 2;
}
