#include "control/events/message_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/time_format.h"
#include "control/events/envelope.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "proto/catalog_descriptors.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::control {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr absl::string_view kTimestampKey = "timestamp";

// Protobuf refuses what is nested deeper.
constexpr int kMaxMessageDepth = 100;

bool Is(const Descriptor& type, absl::string_view well_known) {
  return type.full_name() == absl::StrCat("google.protobuf.", well_known);
}

// Whether the message says something of the field.
bool IsSet(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  return field.is_repeated() ? reflection.FieldSize(message, &field) > 0
                             : reflection.HasField(message, &field);
}

// The entries of a map, sorted by key.
std::map<std::string, const Message*> EntriesOf(const Message& message,
                                                const FieldDescriptor& field) {
  std::map<std::string, const Message*> entries;
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    const FieldDescriptor* const key = entry.GetDescriptor()->map_key();
    const Reflection& in = *entry.GetReflection();
    std::string name;
    switch (key->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        name = in.GetString(entry, key);
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        name = absl::StrCat(in.GetInt32(entry, key));
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        name = absl::StrCat(in.GetInt64(entry, key));
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        name = absl::StrCat(in.GetUInt32(entry, key));
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        name = absl::StrCat(in.GetUInt64(entry, key));
        break;
      default:
        name = in.GetBool(entry, key) ? "true" : "false";
    }
    entries[name] = &entry;
  }
  return entries;
}

const FieldDescriptor& FieldOf(const Message& message, int number) {
  return *message.GetDescriptor()->FindFieldByNumber(number);
}

// Whether an object of the message that is spread has the key.
bool SpreadHas(const Message& message, const Catalog::Message& type, absl::string_view key) {
  for (const auto& [field, rules] : type.fields) {
    if (!rules.spread || !Is(*field->message_type(), "Struct")) continue;
    const Message& spread = message.GetReflection()->GetMessage(message, field);
    if (EntriesOf(spread, FieldOf(spread, 1)).contains(std::string(key))) return true;
  }
  return false;
}

template <typename T>
void AppendFloat(T number, std::string* out) {
  char digits[64];
  const auto [end, error] = std::to_chars(digits, digits + sizeof(digits), number);
  out->append(digits, end);
}

absl::Time TimeOf(const Message& timestamp) {
  const Reflection& reflection = *timestamp.GetReflection();
  return absl::FromUnixSeconds(reflection.GetInt64(timestamp, &FieldOf(timestamp, 1))) +
         absl::Nanoseconds(reflection.GetInt32(timestamp, &FieldOf(timestamp, 2)));
}

// Counts what a message holds.
class Counter {
 public:
  explicit Counter(size_t max) : max_(max) {}

  bool Add(const Descriptor& type, absl::string_view bytes, int depth) {
    if (depth > kMaxMessageDepth) return true;
    WireReader reader(bytes);
    while (reader.Next()) {
      if (!Count(1)) return false;
      const FieldDescriptor* const field =
          type.FindFieldByNumber(static_cast<int>(reader.tag() >> 3));
      if (static_cast<WireType>(reader.tag() & 7) != WireType::kBytes) {
        reader.Skip();
        continue;
      }
      const absl::string_view value = reader.Bytes();
      if (field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        if (!Add(*field->message_type(), value, depth + 1)) return false;
      } else if (!Count(value.size() / PackedBytes(field))) {
        return false;
      }
    }
    return true;
  }

 private:
  // The bytes of an element of a packed list; of a text, 1.
  static size_t PackedBytes(const FieldDescriptor* field) {
    if (field == nullptr) return 1;
    switch (field->type()) {
      case FieldDescriptor::TYPE_DOUBLE:
      case FieldDescriptor::TYPE_FIXED64:
      case FieldDescriptor::TYPE_SFIXED64:
        return 8;
      case FieldDescriptor::TYPE_FLOAT:
      case FieldDescriptor::TYPE_FIXED32:
      case FieldDescriptor::TYPE_SFIXED32:
        return 4;
      default:
        return 1;
    }
  }

  bool Count(size_t more) {
    count_ += more;
    return count_ <= max_;
  }

  const size_t max_;
  size_t count_ = 0;
};

}  // namespace

bool IsSmallMessage(const Descriptor& type, absl::string_view bytes, size_t max) {
  return Counter(max).Add(type, bytes, 0);
}

bool MessageJson::Fail(const Field& field, absl::string_view what) {
  if (error_.empty()) {
    error_ = absl::StrCat(field.containing_type()->full_name(), ".", field.name(), ": ", what);
  }
  return false;
}

void MessageJson::BeginMember(absl::string_view key, bool* first) {
  if (!*first) out_->push_back(',');
  *first = false;
  AppendJsonText(key, out_);
  out_->push_back(':');
}

void MessageJson::NoteUnknown(const Message& message) {
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count() && left_out_.size() < 8; ++i) {
    std::string field =
        absl::StrCat(unknown.field(i).number(), " of ", message.GetDescriptor()->full_name());
    // An object may be written twice.
    if (std::find(left_out_.begin(), left_out_.end(), field) == left_out_.end()) {
      left_out_.push_back(std::move(field));
    }
  }
}

bool MessageJson::WriteEvent(const Message& message, const Catalog::Message& type,
                             absl::string_view timestamp) {
  NoteUnknown(message);
  // Keys that fields have go before the same ones of what is spread.
  std::set<std::string> keys;
  for (const auto& [field, rules] : type.fields) {
    if (!rules.routing_only && !rules.spread && (!rules.optional || IsSet(message, *field))) {
      keys.insert(rules.key);
    }
  }
  bool first = true;
  out_->push_back('{');
  for (const auto& [field, rules] : type.fields) {
    if (rules.routing_only) continue;
    if (rules.spread) {
      if (!WriteSpread(message, *field, &keys, &first)) return false;
      continue;
    }
    const bool set = IsSet(message, *field);
    if (!set && rules.key == kTimestampKey && !SpreadHas(message, type, kTimestampKey) &&
        (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING ||
         field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)) {
      keys.insert(rules.key);
      BeginMember(rules.key, &first);
      AppendJsonText(timestamp, out_);
      continue;
    }
    if (!set && rules.key == kTimestampKey && SpreadHas(message, type, kTimestampKey)) {
      keys.erase(rules.key);
      continue;
    }
    if (!set && rules.optional) {
      if (!rules.nullable || !keys.insert(rules.key).second) continue;
      BeginMember(rules.key, &first);
      out_->append("null");
      continue;
    }
    BeginMember(rules.key, &first);
    if (!WriteField(message, *field)) return false;
  }
  if (!type.repeated.empty()) {
    // A field's key means the field, also where the message leaves it out.
    for (const auto& [field, rules] : type.fields) {
      if (!rules.routing_only && !rules.spread) keys.insert(rules.key);
    }
  }
  for (const FieldDescriptor* const field : type.repeated) {
    if (!WriteSpread(message, *field, &keys, &first)) return false;
  }
  out_->push_back('}');
  return true;
}

bool MessageJson::WriteObject(const Message& message) {
  std::set<std::string> keys;
  bool first = true;
  out_->push_back('{');
  if (!WriteFields(message, &keys, &first)) return false;
  out_->push_back('}');
  return true;
}

bool MessageJson::WriteFields(const Message& message, std::set<std::string>* keys, bool* first) {
  NoteUnknown(message);
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const CatalogFieldRules rules = RulesOf(field);
    const bool set = IsSet(message, field);
    if (!set && rules.optional && !rules.nullable) continue;
    if (!keys->insert(rules.key).second) continue;
    BeginMember(rules.key, first);
    if (!set && rules.optional) {
      out_->append("null");
    } else if (!WriteField(message, field)) {
      return false;
    }
  }
  return true;
}

bool MessageJson::WriteSpread(const Message& message, const Field& field,
                              std::set<std::string>* keys, bool* first) {
  const Message& spread = message.GetReflection()->GetMessage(message, &field);
  if (Is(*spread.GetDescriptor(), "Struct")) {
    return WriteMap(spread, FieldOf(spread, 1), first, keys);
  }
  return WriteFields(spread, keys, first);
}

bool MessageJson::WriteField(const Message& message, const Field& field) {
  if (!field.is_repeated()) return WriteOne(message, field, -1);
  if (field.is_map()) {
    std::set<std::string> keys;
    bool first = true;
    out_->push_back('{');
    if (!WriteMap(message, field, &first, &keys)) return false;
    out_->push_back('}');
    return true;
  }
  out_->push_back('[');
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    if (i > 0) out_->push_back(',');
    if (!WriteOne(message, field, i)) return false;
  }
  out_->push_back(']');
  return true;
}

bool MessageJson::WriteMap(const Message& message, const Field& field, bool* first,
                           std::set<std::string>* keys) {
  for (const auto& [key, entry] : EntriesOf(message, field)) {
    if (!keys->insert(key).second) continue;
    BeginMember(key, first);
    if (!WriteOne(*entry, *entry->GetDescriptor()->map_value(), -1)) return false;
  }
  return true;
}

bool MessageJson::WriteOne(const Message& message, const Field& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool one = index < 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      absl::StrAppend(out_, one ? reflection.GetInt32(message, &field)
                                : reflection.GetRepeatedInt32(message, &field, index));
      return true;
    case FieldDescriptor::CPPTYPE_INT64:
      absl::StrAppend(out_, one ? reflection.GetInt64(message, &field)
                                : reflection.GetRepeatedInt64(message, &field, index));
      return true;
    case FieldDescriptor::CPPTYPE_UINT32:
      absl::StrAppend(out_, one ? reflection.GetUInt32(message, &field)
                                : reflection.GetRepeatedUInt32(message, &field, index));
      return true;
    case FieldDescriptor::CPPTYPE_UINT64:
      absl::StrAppend(out_, one ? reflection.GetUInt64(message, &field)
                                : reflection.GetRepeatedUInt64(message, &field, index));
      return true;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return WriteNumber(one ? reflection.GetDouble(message, &field)
                             : reflection.GetRepeatedDouble(message, &field, index),
                         field);
    case FieldDescriptor::CPPTYPE_FLOAT: {
      const float number = one ? reflection.GetFloat(message, &field)
                               : reflection.GetRepeatedFloat(message, &field, index);
      if (!std::isfinite(number)) return WriteNumber(number, field);
      AppendFloat(number, out_);
      return true;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      out_->append((one ? reflection.GetBool(message, &field)
                        : reflection.GetRepeatedBool(message, &field, index))
                       ? "true"
                       : "false");
      return true;
    case FieldDescriptor::CPPTYPE_STRING:
      AppendJsonText(one ? reflection.GetString(message, &field)
                         : reflection.GetRepeatedString(message, &field, index),
                     out_);
      return true;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int number = one ? reflection.GetEnumValue(message, &field)
                             : reflection.GetRepeatedEnumValue(message, &field, index);
      const auto* const value = field.enum_type()->FindValueByNumber(number);
      if (value == nullptr) {
        return Fail(field,
                    absl::StrCat(number, " is not a value of ", field.enum_type()->full_name()));
      }
      AppendJsonText(value->name(), out_);
      return true;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return WriteMessage(one ? reflection.GetMessage(message, &field)
                              : reflection.GetRepeatedMessage(message, &field, index),
                          field);
  }
  return false;
}

bool MessageJson::WriteNumber(double number, const Field& field) {
  if (!std::isfinite(number)) return Fail(field, "a number that JSON does not have");
  AppendFloat(number, out_);
  return true;
}

bool MessageJson::WriteMessage(const Message& message, const Field& field) {
  const Descriptor& type = *message.GetDescriptor();
  if (type.file()->package() != "google.protobuf") return WriteObject(message);
  if (Is(type, "Struct")) return WriteStruct(message, field);
  if (Is(type, "ListValue")) return WriteList(message, field);
  if (Is(type, "Value")) return WriteValue(message, field);
  const absl::Time time = TimeOf(message);
  // 0001-01-01 to 9999-12-31, as the type is defined.
  if (time < absl::FromUnixSeconds(-62135596800) || time >= absl::FromUnixSeconds(253402300800)) {
    return Fail(field, "not between the years 1 and 9999");
  }
  AppendJsonText(FormatIso8601(time), out_);
  return true;
}

bool MessageJson::WriteStruct(const Message& message, const Field& at) {
  std::set<std::string> keys;
  bool first = true;
  out_->push_back('{');
  if (!WriteMap(message, FieldOf(message, 1), &first, &keys)) {
    return Fail(at, "it cannot be written as JSON");
  }
  out_->push_back('}');
  return true;
}

bool MessageJson::WriteList(const Message& message, const Field& at) {
  if (WriteField(message, FieldOf(message, 1))) return true;
  return Fail(at, "it cannot be written as JSON");
}

bool MessageJson::WriteValue(const Message& message, const Field& /*at*/) {
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor* const kind =
      reflection.GetOneofFieldDescriptor(message, message.GetDescriptor()->oneof_decl(0));
  if (kind == nullptr || kind->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    out_->append("null");
    return true;
  }
  return WriteOne(message, *kind, -1);
}

}  // namespace fanwire::control
