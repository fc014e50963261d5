// How the messages of the catalog are called in C++: names and types of the broadcasters that are
// generated for them.
//
// Threading: pure functions.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>

#include "fanwire/catalog/v1/options.pb.h"

namespace fanwire::client {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// Whether the message describes an event, and as which.
bool IsEvent(const Descriptor& message);
const catalog::v1::EventOptions& EventOf(const Descriptor& message);
const catalog::v1::KeyOptions& KeyOf(const FieldDescriptor& field);

// The name of a file's service: "session_buddy", the last part of its package.
std::string ServiceName(const FileDescriptor& file);
// The class that publishes its events: "SessionBuddyBroadcaster".
std::string ClassName(const FileDescriptor& file);

// The field's key in the data.
std::string KeyName(const FieldDescriptor& field);
// The field's name in C++.  Of the functions' own names none has an underscore behind, but `out_`.
std::string MemberName(const FieldDescriptor& field);

// Whether its value is any JSON, or a message with fields of its own.
bool IsAnyJson(const FieldDescriptor& field);
bool IsMessage(const FieldDescriptor& field);
bool IsList(const FieldDescriptor& field);

// What stands for a value of Json that is empty.
std::string EmptyJson(const FieldDescriptor& field);

// The type of one value, as a member of a struct.
std::string ValueType(const FieldDescriptor& field);
// The type of the member: a list, or what may be there.
std::string MemberType(const FieldDescriptor& field);

// Whether it may be left out: then it is a member of the event's options, not an argument.
bool MayBeLeftOut(const FieldDescriptor& field);
// Whether the event has a struct of options: one of its fields may be left out.
bool HasOptions(const Descriptor& event);

}  // namespace fanwire::client
