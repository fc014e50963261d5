#include "control/publish/typed_payload.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/events/envelope.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::control {

namespace {

using google::protobuf::ListValue;
using google::protobuf::Struct;
using google::protobuf::Value;

// Protobuf refuses what is nested deeper.
constexpr int kMaxDepth = 100;

// No message has a longer name.
constexpr size_t kMaxTypeBytes = 1024;

// How much of a text from outside an error repeats.
constexpr size_t kShownBytes = 100;

// The beginning of `text`, which is UTF-8.
absl::string_view Shown(absl::string_view text) {
  if (text.size() <= kShownBytes) return text;
  size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

// Adds up what a Struct or Value holds.  JSON has at least one byte for each field that protobuf
// reads here and for each byte of a text, so that more of either is more than an envelope may hold.
class Measure {
 public:
  // Each returns false when it is too much; what is malformed is left to protobuf.
  bool AddStruct(absl::string_view bytes, int depth = 0) {
    WireReader reader(bytes);
    while (reader.Next()) {
      if (!Count()) return false;
      if (reader.tag() != BytesTag(Struct::kFieldsFieldNumber)) {
        reader.Skip();
        continue;
      }
      WireReader entry(reader.Bytes());
      while (entry.Next()) {
        if (!Count()) return false;
        if (entry.tag() == BytesTag(1)) {  // the key
          if (!CountText(entry.Bytes())) return false;
        } else if (entry.tag() == BytesTag(2)) {
          if (!AddValue(entry.Bytes(), depth + 1)) return false;
        } else {
          entry.Skip();
        }
      }
    }
    return true;
  }

  bool AddValue(absl::string_view bytes, int depth = 0) {
    if (depth > kMaxDepth) return true;
    WireReader reader(bytes);
    while (reader.Next()) {
      if (!Count()) return false;
      switch (reader.tag()) {
        case BytesTag(Value::kStringValueFieldNumber):
          if (!CountText(reader.Bytes())) return false;
          break;
        case BytesTag(Value::kStructValueFieldNumber):
          if (!AddStruct(reader.Bytes(), depth + 1)) return false;
          break;
        case BytesTag(Value::kListValueFieldNumber): {
          WireReader list(reader.Bytes());
          while (list.Next()) {
            if (!Count()) return false;
            if (list.tag() == BytesTag(ListValue::kValuesFieldNumber)) {
              if (!AddValue(list.Bytes(), depth + 1)) return false;
            } else {
              list.Skip();
            }
          }
          break;
        }
        default:
          reader.Skip();
      }
    }
    return true;
  }

 private:
  bool Count() { return ++fields_ <= kMaxEnvelopeBytes; }
  bool CountText(absl::string_view text) {
    text_bytes_ += text.size();
    return text_bytes_ <= kMaxEnvelopeBytes;
  }

  size_t fields_ = 0;
  size_t text_bytes_ = 0;
};

// Whether every number is one of JSON's; protobuf would write the others as texts.  What was parsed
// is nested 100 levels at most.
bool IsFinite(const Value& value) {
  if (value.has_number_value()) return std::isfinite(value.number_value());
  const auto& items = value.list_value().values();
  const auto& fields = value.struct_value().fields();
  return std::all_of(items.begin(), items.end(), IsFinite) &&
         std::all_of(fields.begin(), fields.end(),
                     [](const auto& field) { return IsFinite(field.second); });
}

absl::Status TooMuch() {
  return absl::InvalidArgumentError(absl::StrCat("typed: more fields or text than an event of ",
                                                 kMaxEnvelopeBytes, " bytes can hold"));
}

}  // namespace

bool IsCatalogType(absl::string_view type_url) {
  const size_t slash = type_url.rfind('/');
  return slash != absl::string_view::npos && slash + 1 < type_url.size() &&
         type_url.size() <= kMaxTypeBytes &&
         !absl::StartsWith(type_url.substr(slash + 1), "google.protobuf.");
}

absl::Status ReadTypedPayload(absl::string_view type_url, absl::string_view bytes,
                              std::string* json) {
  json->clear();
  google::protobuf::Any any;
  any.set_type_url(std::string(type_url));
  const auto size = static_cast<int>(bytes.size());  // a message has less than 2 GiB
  Struct object;
  Value value;
  bool read = false;
  if (any.Is<Value>()) {
    if (!Measure().AddValue(bytes)) return TooMuch();
    read = value.ParseFromArray(bytes.data(), size) && value.has_struct_value();
    if (read) object.Swap(value.mutable_struct_value());
  } else if (any.Is<Struct>()) {
    if (!Measure().AddStruct(bytes)) return TooMuch();
    read = object.ParseFromArray(bytes.data(), size);
  }
  if (!read) {
    return absl::InvalidArgumentError(
        absl::StrCat("typed: expected google.protobuf.Struct, or google.protobuf.Value with an "
                     "object, found \"",
                     Shown(type_url), "\""));
  }
  for (const auto& [key, field] : object.fields()) {
    if (IsFinite(field)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("typed: \"", Shown(key), "\" has a number that JSON does not have"));
  }
  if (!google::protobuf::util::MessageToJsonString(object, json).ok()) {
    return absl::InvalidArgumentError("typed: cannot be written as JSON");
  }
  return absl::OkStatus();
}

}  // namespace fanwire::control
