#include "proto/catalog_descriptors.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "fanwire/catalog/v1/options.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "proto/built_in_catalog.h"
#include "proto/channel_name.h"
#include "proto/event_name.h"

namespace fanwire {

namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::SourceLocation;

// An event has at most 15 copies.
constexpr int kMaxChannels = 16;

// Messages in messages in messages … deeper than this become objects of any keys.
constexpr size_t kMaxDepth = 16;

// An event's keys, with those of the messages in it; further messages become objects of any keys.
// Messages that hold others several times would be more in number than memory has bytes.
constexpr size_t kMaxKeys = 10'000;

// Keeps the first error of a file that cannot be built.
class FirstError final : public DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string& file, const std::string& element,
                const google::protobuf::Message* /*descriptor*/, ErrorLocation /*location*/,
                const std::string& message) override {
    if (text_.empty()) text_ = absl::StrCat(file, ": ", element, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What protoc makes of a name unless json_name says otherwise.
std::string DefaultJsonName(absl::string_view name) {
  std::string made;
  bool upper = false;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
    } else {
      made.push_back(upper ? absl::ascii_toupper(static_cast<unsigned char>(c)) : c);
      upper = false;
    }
  }
  return made;
}

// The comment before a definition, one line: "A workflow begins."
template <typename T>
std::string CommentOf(const T& descriptor) {
  SourceLocation location;
  if (!descriptor.GetSourceLocation(&location)) return "";
  std::string text = location.leading_comments;
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  absl::RemoveExtraAsciiWhitespace(&text);
  return text;
}

bool IsAnyObject(const Descriptor& message) {
  return message.full_name() == "google.protobuf.Struct";
}

// Reads messages into the words of event_catalog.h.
class Reader {
 public:
  // Returns false if the message is wrong; error() says how.
  bool Read(const Descriptor& message, CatalogEvent* event) {
    const catalog::v1::EventOptions& options = message.options().GetExtension(catalog::v1::event);
    event->service = options.service();
    event->name = options.name();
    event->message = message.full_name();
    event->comment = CommentOf(message);
    event->channels = {options.channels().begin(), options.channels().end()};
    event->status = static_cast<CatalogEvent::Status>(options.status());
    event->closed = options.closed();
    if (const absl::Status status = CheckEventName(options.name()); !status.ok()) {
      return Fail(message, absl::StrCat("name: ", status.message()));
    }
    if (IsReservedEventName(options.name())) {
      return Fail(message, absl::StrCat("name: \"", options.name(),
                                        "\" is reserved: only Fanwire itself sends it"));
    }
    if (options.channels_size() > kMaxChannels) {
      return Fail(message, absl::StrCat("channels: ", options.channels_size(), ", at most ",
                                        kMaxChannels, " allowed"));
    }
    if (!ReadFields(message, event, &event->keys)) return false;
    if (event->closed && event->spread) {
      return Fail(message, "it is closed, and has a field whose keys are spread");
    }
    std::set<absl::string_view> names;
    for (const CatalogKey& key : event->keys) {
      if (!names.insert(key.name).second) {
        return Fail(message, absl::StrCat("two fields have the key \"", key.name, "\""));
      }
    }
    return CheckTemplates(message, *event);
  }

  const std::string& error() const { return error_; }

 private:
  bool Fail(const Descriptor& message, absl::string_view what) {
    error_ = absl::StrCat(message.full_name(), ": ", what);
    return false;
  }

  // The fields of a message.  `event` is null for those of a message in it.
  bool ReadFields(const Descriptor& message, CatalogEvent* event, std::vector<CatalogKey>* keys) {
    within_.push_back(&message);
    bool ok = true;
    for (int i = 0; ok && i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      const CatalogFieldRules rules = RulesOf(field);
      const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      if (event == nullptr && (rules.spread || rules.routing_only)) {
        ok = Fail(message, absl::StrCat("field ", field.name(),
                                        ": spread and routing_only are for fields of the event"));
      } else if (rules.spread &&
                 (!is_message || field.is_repeated() ||
                  (IsWellKnown(*field.message_type()) && !IsAnyObject(*field.message_type())))) {
        ok = Fail(message, absl::StrCat("field ", field.name(), ": only a message can be spread"));
      } else if (rules.spread && IsAnyObject(*field.message_type())) {
        event->spread = true;
      } else if (rules.spread) {
        ok = ReadFields(*field.message_type(), nullptr, keys);
      } else {
        CatalogKey key;
        ok = ReadField(field, rules, &key);
        (rules.routing_only ? event->routing_keys : *keys).push_back(std::move(key));
      }
    }
    within_.pop_back();
    return ok;
  }

  static bool IsWellKnown(const Descriptor& message) {
    return message.file()->package() == "google.protobuf";
  }

  bool ReadField(const FieldDescriptor& field, const CatalogFieldRules& rules, CatalogKey* key) {
    ++keys_;
    key->name = rules.key;
    key->comment = CommentOf(field);
    key->optional = rules.optional;
    key->nullable = rules.nullable;
    if (field.is_map()) {
      key->type = CatalogType::kMap;
      key->keys.emplace_back();
      return ReadType(*field.message_type()->map_value(), &key->keys.back());
    }
    if (!field.is_repeated()) return ReadType(field, key);
    key->type = CatalogType::kList;
    key->keys.emplace_back();
    return ReadType(field, &key->keys.back());
  }

  bool ReadType(const FieldDescriptor& field, CatalogKey* key) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        key->type = CatalogType::kInt32;
        return true;
      case FieldDescriptor::CPPTYPE_INT64:
        key->type = CatalogType::kInt64;
        return true;
      case FieldDescriptor::CPPTYPE_UINT32:
        key->type = CatalogType::kUint32;
        return true;
      case FieldDescriptor::CPPTYPE_UINT64:
        key->type = CatalogType::kUint64;
        return true;
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_FLOAT:
        key->type = CatalogType::kNumber;
        return true;
      case FieldDescriptor::CPPTYPE_BOOL:
        key->type = CatalogType::kBoolean;
        return true;
      case FieldDescriptor::CPPTYPE_STRING:
        key->type = CatalogType::kText;
        if (field.type() == FieldDescriptor::TYPE_STRING) return true;
        return Fail(*field.containing_type(),
                    absl::StrCat("field ", field.name(), ": JSON has no bytes: use a string"));
      case FieldDescriptor::CPPTYPE_ENUM:
        key->type = CatalogType::kText;
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          key->values.push_back(field.enum_type()->value(i)->name());
        }
        return true;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return ReadMessage(field, key);
    }
    return false;
  }

  bool ReadMessage(const FieldDescriptor& field, CatalogKey* key) {
    const Descriptor& message = *field.message_type();
    key->type = CatalogType::kObject;
    if (IsAnyObject(message)) return true;
    if (message.full_name() == "google.protobuf.Value") {
      key->type = CatalogType::kAny;
      return true;
    }
    if (message.full_name() == "google.protobuf.ListValue") {
      key->type = CatalogType::kList;
      return true;
    }
    if (message.full_name() == "google.protobuf.Timestamp") {
      key->type = CatalogType::kText;
      return true;
    }
    if (IsWellKnown(message)) {
      return Fail(*field.containing_type(),
                  absl::StrCat("field ", field.name(), ": a catalog has no ", message.full_name()));
    }
    key->message = message.full_name();
    // A message may hold itself: then the inner one is any object.
    if (within_.size() >= kMaxDepth || keys_ >= kMaxKeys ||
        std::find(within_.begin(), within_.end(), &message) != within_.end()) {
      return true;
    }
    return ReadFields(message, nullptr, &key->keys);
  }

  // Each "{field}" of a template is a field that can name something.
  bool CheckTemplates(const Descriptor& message, const CatalogEvent& event) {
    for (const std::string& channel : event.channels) {
      absl::string_view rest = channel;
      while (true) {
        const size_t open = rest.find_first_of("{}");
        if (open == absl::string_view::npos) break;
        const size_t close = rest.find('}', open);
        if (rest[open] == '}' || close == absl::string_view::npos) {
          return Fail(message,
                      absl::StrCat("channels: \"", channel, "\": '{' and '}' do not pair"));
        }
        const absl::string_view name = rest.substr(open + 1, close - open - 1);
        const auto fits = [&](const CatalogKey& key) {
          return key.name == name &&
                 (key.type == CatalogType::kText || key.type == CatalogType::kInt32 ||
                  key.type == CatalogType::kInt64 || key.type == CatalogType::kUint32 ||
                  key.type == CatalogType::kUint64);
        };
        if (std::none_of(event.keys.begin(), event.keys.end(), fits) &&
            std::none_of(event.routing_keys.begin(), event.routing_keys.end(), fits)) {
          return Fail(message, absl::StrCat("channels: \"", channel, "\": no field \"", name,
                                            "\" that is a text or a whole number"));
        }
        rest.remove_prefix(close + 1);
      }
      if (channel.empty() || IsPattern(channel)) {
        return Fail(message, absl::StrCat("channels: \"", channel, "\" is not a channel's name"));
      }
    }
    return true;
  }

  std::vector<const Descriptor*> within_;  // the messages that are being read
  size_t keys_ = 0;                        // that were read
  std::string error_;
};

class Descriptors final : public CatalogDescriptors {
 public:
  absl::Status Load(absl::string_view bytes) {
    FileDescriptorSet set;
    if (!set.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || set.file().empty()) {
      return absl::InvalidArgumentError(
          "not a set of descriptors, as `protoc --include_imports --descriptor_set_out` writes it");
    }
    for (const FileDescriptorProto& proto : set.file()) {
      FirstError errors;
      const FileDescriptor* const file = pool_.BuildFileCollectingErrors(proto, &errors);
      if (file == nullptr) return absl::InvalidArgumentError(errors.text());
      for (int i = 0; i < file->message_type_count(); ++i) {
        if (absl::Status status = Add(*file->message_type(i)); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  const std::vector<CatalogEvent>& events() const override { return events_; }

  const google::protobuf::Message* Prototype(absl::string_view full_name) const override {
    const Descriptor* const type = pool_.FindMessageTypeByName(std::string(full_name));
    return type == nullptr ? nullptr : factory_.GetPrototype(type);
  }

 private:
  absl::Status Add(const Descriptor& message) {
    if (message.options().HasExtension(catalog::v1::event)) {
      CatalogEvent event;
      Reader reader;
      if (!reader.Read(message, &event)) return absl::InvalidArgumentError(reader.error());
      events_.push_back(std::move(event));
    }
    for (int i = 0; i < message.nested_type_count(); ++i) {
      if (absl::Status status = Add(*message.nested_type(i)); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  DescriptorPool pool_;
  mutable google::protobuf::DynamicMessageFactory factory_{&pool_};  // locks by itself
  std::vector<CatalogEvent> events_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const CatalogDescriptors>> CatalogDescriptors::Read(
    absl::string_view bytes) {
  auto descriptors = std::make_shared<Descriptors>();
  if (absl::Status status = descriptors->Load(bytes); !status.ok()) return status;
  return descriptors;
}

const std::shared_ptr<const CatalogDescriptors>& CatalogDescriptors::BuiltIn() {
  static const auto* const kBuiltIn = [] {
    auto read = Read(BuiltInCatalog());
    FANWIRE_CHECK(read.ok(), std::string(read.status().message()));
    return new std::shared_ptr<const CatalogDescriptors>(*std::move(read));
  }();
  return *kBuiltIn;
}

CatalogFieldRules RulesOf(const FieldDescriptor& field) {
  const catalog::v1::KeyOptions& options = field.options().GetExtension(catalog::v1::key);
  const bool own_name = field.json_name() != DefaultJsonName(field.name());
  return {.key = own_name ? field.json_name() : field.name(),
          .spread = options.spread(),
          .routing_only = options.routing_only(),
          .nullable = options.nullable(),
          .optional = options.optional() || field.has_optional_keyword() ||
                      field.containing_oneof() != nullptr};
}

std::vector<std::string> BuiltInCatalogNames() {
  std::set<std::string> names;
  for (const CatalogEvent& event : CatalogDescriptors::BuiltIn()->events()) {
    names.insert(event.service);
  }
  return {names.begin(), names.end()};
}

}  // namespace fanwire
