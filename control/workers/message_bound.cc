#include "control/workers/message_bound.h"

#include "google/protobuf/descriptor.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::control {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Protobuf refuses messages that are nested deeper.
constexpr int kMaxDepth = 100;

// Subtracts the number of fields from `*left`.  Returns false if there are more than `*left`.
bool TakeFields(absl::string_view bytes, const Descriptor& type, int depth, size_t* left) {
  WireReader reader(bytes);
  while (reader.Next()) {
    if (*left == 0) return false;
    --*left;
    const auto number = static_cast<int>(reader.tag() >> 3);
    const FieldDescriptor* const field = type.FindFieldByNumber(number);
    if (field == nullptr || reader.tag() != BytesTag(number)) {
      reader.Skip();
      continue;
    }
    const absl::string_view value = reader.Bytes();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (depth < kMaxDepth && !TakeFields(value, *field->message_type(), depth + 1, left)) {
        return false;
      }
    } else if (field->is_packable()) {  // numbers of one byte or more
      if (value.size() > *left) return false;
      *left -= value.size();
    }
  }
  return true;
}

}  // namespace

bool HasAtMostFields(absl::string_view bytes, const Descriptor& type, size_t max) {
  return TakeFields(bytes, type, 0, &max);
}

}  // namespace fanwire::control
