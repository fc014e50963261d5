#include "control/config/config_ranges.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/config_file.h"
#include "common/proto_time.h"
#include "control/config/config_keys.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/config_options.pb.h"

namespace fanwire::control {

using google::protobuf::FieldDescriptor;

namespace {

using google::protobuf::Message;

// A value of any type that can have a range; each kind in its own field, so that large integers are
// compared exactly.
struct Amount {
  uint64_t whole = 0;
  double number = 0;
  absl::Duration time = {};

  friend bool operator<(const Amount& a, const Amount& b) {
    if (a.whole != b.whole) return a.whole < b.whole;
    if (a.number != b.number) return a.number < b.number;
    return a.time < b.time;
  }
};

Amount AmountOf(const Message& message, const FieldDescriptor* field) {
  const google::protobuf::Reflection* const reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return {.whole = reflection->GetUInt32(message, field)};
    case FieldDescriptor::CPPTYPE_UINT64:
      return {.whole = reflection->GetUInt64(message, field)};
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return {.number = reflection->GetDouble(message, field)};
    default: {
      google::protobuf::Duration duration;
      duration.CopyFrom(reflection->GetMessage(message, field));
      return {.time = ToDuration(duration)};
    }
  }
}

std::string TextOf(const Amount& amount, const FieldDescriptor* field) {
  if (IsDuration(field)) return absl::FormatDuration(amount.time);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE) return absl::StrCat(amount.whole);
  return absl::StrFormat("%.15g", amount.number);
}

// The value of an option of `field`.
Amount Bound(const std::string& text, const FieldDescriptor* field) {
  const std::unique_ptr<Message> message(google::protobuf::MessageFactory::generated_factory()
                                             ->GetPrototype(field->containing_type())
                                             ->New());
  SetFromText(text, field, message.get());
  return AmountOf(*message, field);
}

// An empty `grpc_listen` reads as if nothing listened, but would be the default.
bool IsEmptyAddress(const Message& section, const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
         absl::EndsWith(field->name(), "_listen") &&
         section.GetReflection()->GetString(section, field).empty();
}

class RangeChecker {
 public:
  RangeChecker(const ConfigSource& source, std::vector<std::string>* faults)
      : source_(source), faults_(faults) {}

  void CheckSection(const Message& section, const std::string& path) {
    const google::protobuf::Reflection* const reflection = section.GetReflection();
    const google::protobuf::Descriptor* const type = section.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* const field = type->field(i);
      const std::string at = absl::StrCat(path, path.empty() ? "" : ".", field->name());
      if (!IsSection(field)) {
        if (!field->is_repeated()) CheckValue(section, field, at);
      } else if (field->is_repeated()) {
        for (int k = 0; k < reflection->FieldSize(section, field); ++k) {
          CheckSection(reflection->GetRepeatedMessage(section, field, k),
                       absl::StrCat(at, "[", k, "]"));
        }
      } else if (reflection->HasField(section, field)) {
        CheckSection(reflection->GetMessage(section, field), at);
      }
    }
  }

 private:
  void CheckValue(const Message& section, const FieldDescriptor* field, const std::string& path) {
    if (IsEmptyAddress(section, field) && source_.Given(path)) {
      faults_->push_back(source_.Message(
          path,
          "the address is empty; write \"off\" to switch it off, or leave the key out for its "
          "default"));
    }
    const FieldDescriptor* const key = RangeKeyOf(field);
    const v1::KeyOptions& range = KeyOf(key);
    if (range.min().empty()) return;
    const bool inherits = key != field;  // its 0 stands for the other's value
    if (!section.GetReflection()->HasField(section, field) && (inherits || !source_.Given(path))) {
      return;
    }
    const Amount amount = AmountOf(section, field);
    const Amount low = Bound(range.min(), key);
    const bool bounded = !range.max().empty();
    const Amount high = bounded ? Bound(range.max(), key) : Amount();
    if (!(amount < low) && !(bounded && high < amount)) return;
    const std::string text = TextOf(amount, field);
    faults_->push_back(
        source_.Message(path, bounded ? absl::StrCat(text, " is not between ", TextOf(low, key),
                                                     " and ", TextOf(high, key))
                                      : absl::StrCat(text, " is less than ", TextOf(low, key))));
  }

  const ConfigSource& source_;
  std::vector<std::string>* const faults_;
};

}  // namespace

void CheckRanges(const v1::Config& config, const ConfigSource& source,
                 std::vector<std::string>* faults) {
  RangeChecker(source, faults).CheckSection(config, "");
}

}  // namespace fanwire::control
