#include "control/publish/publish_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/proto_time.h"
#include "control/events/envelope.h"
#include "fanwire/v1/publish.pb.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::control {

namespace {

absl::Status Malformed(absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("not a ", message, ": malformed bytes"));
}

// Whether every number is one of JSON's; protobuf would write the others as texts.  What was parsed
// is nested 100 levels at most.
bool IsFinite(const google::protobuf::Value& value) {
  if (value.has_number_value()) return std::isfinite(value.number_value());
  const auto& items = value.list_value().values();
  const auto& fields = value.struct_value().fields();
  return std::all_of(items.begin(), items.end(), IsFinite) &&
         std::all_of(fields.begin(), fields.end(),
                     [](const auto& field) { return IsFinite(field.second); });
}

// What the unary calls say beside their events.
struct RawParams {
  int32_t level = 0;
  bool has_wait = false;
  google::protobuf::Duration wait;

  // False: malformed.
  bool MergeWait(absl::string_view bytes) {
    has_wait = true;
    return wait.MergeFromString(std::string(bytes));
  }

  absl::Status Finish(PublishParams* params) const {
    *params = {};
    if (level != v1::RECEIPT_LEVEL_UNSPECIFIED) {
      if (!v1::ReceiptLevel_IsValid(level)) {
        return absl::InvalidArgumentError(absl::StrCat("receipt_level: ", level, " is none"));
      }
      params->level = static_cast<ReceiptLevel>(level);
    }
    if (has_wait) {
      params->wait = ToDuration(wait);
      if (params->wait < absl::ZeroDuration()) {
        return absl::InvalidArgumentError("wait: negative");
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

// ------------------------------------------------------------------------------- events

bool EventReader::Seconds::Read(absl::string_view bytes) {
  using google::protobuf::Duration;  // a Timestamp has the same fields
  present = true;
  WireReader reader(bytes);
  while (reader.Next()) {
    switch (reader.tag()) {
      case VarintTag(Duration::kSecondsFieldNumber):
        seconds = static_cast<int64_t>(reader.Varint());
        break;
      case VarintTag(Duration::kNanosFieldNumber):
        nanos = static_cast<int32_t>(reader.Varint());
        break;
      default:
        reader.Skip();
    }
  }
  return reader.ok();
}

bool EventReader::ReadFields() {
  WireReader reader(bytes_);
  bool ok = true;
  while (ok && reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(v1::Event::kServiceFieldNumber):
        event_.service = reader.Bytes();
        break;
      case BytesTag(v1::Event::kChannelFieldNumber):
        event_.channel = reader.Bytes();
        break;
      case BytesTag(v1::Event::kEventFieldNumber):
        event_.event = reader.Bytes();
        break;
      case BytesTag(v1::Event::kJsonFieldNumber):
        event_.json = reader.Bytes();
        typed_ = false;
        break;
      case BytesTag(v1::Event::kTypedFieldNumber): {
        if (!typed_) type_url_ = typed_bytes_ = event_.json = {};
        typed_ = true;
        WireReader any(reader.Bytes());
        while (any.Next()) {
          switch (any.tag()) {
            case BytesTag(google::protobuf::Any::kTypeUrlFieldNumber):
              type_url_ = any.Bytes();
              break;
            case BytesTag(google::protobuf::Any::kValueFieldNumber):
              typed_bytes_ = any.Bytes();
              break;
            default:
              any.Skip();
          }
        }
        ok = any.ok();
        break;
      }
      case BytesTag(v1::Event::kIdFieldNumber):
        event_.id = reader.Bytes();
        break;
      case BytesTag(v1::Event::kIdempotencyKeyFieldNumber):
        event_.idempotency_key = reader.Bytes();
        break;
      case BytesTag(v1::Event::kOccurredAtFieldNumber):
        ok = occurred_at_.Read(reader.Bytes());
        break;
      case BytesTag(v1::Event::kTtlFieldNumber):
        ok = ttl_.Read(reader.Bytes());
        break;
      case VarintTag(v1::Event::kSkipHistoryFieldNumber):
        event_.skip_history = reader.Varint() != 0;
        break;
      case BytesTag(v1::Event::kExcludeConnectionFieldNumber):
        event_.exclude_connection = reader.Bytes();
        break;
      default:
        reader.Skip();
    }
  }
  return ok && reader.ok();
}

absl::Status EventReader::Check() {
  if (!IsUtf8(event_.id)) {
    event_.id = {};  // a receipt could not repeat it
    return absl::InvalidArgumentError("id: not UTF-8");
  }
  // Others are checked with what else is demanded of them, before anything repeats them.
  const std::pair<absl::string_view, absl::string_view> texts[] = {
      {"service", event_.service},
      {"idempotency_key", event_.idempotency_key},
      {"typed", type_url_},
  };
  for (const auto& [name, text] : texts) {
    if (!IsUtf8(text)) return absl::InvalidArgumentError(absl::StrCat(name, ": not UTF-8"));
  }
  if (occurred_at_.present) {
    // 0001-01-01 to 9999-12-31, as the type is defined.
    if (occurred_at_.seconds < -62135596800 || occurred_at_.seconds > 253402300799 ||
        occurred_at_.nanos < 0 || occurred_at_.nanos > 999999999) {
      return absl::InvalidArgumentError("occurred_at: not between the years 1 and 9999");
    }
    event_.occurred_at =
        absl::FromUnixSeconds(occurred_at_.seconds) + absl::Nanoseconds(occurred_at_.nanos);
  }
  if (ttl_.present) event_.ttl = absl::Seconds(ttl_.seconds) + absl::Nanoseconds(ttl_.nanos);
  return typed_ ? ReadTyped() : absl::OkStatus();
}

absl::Status EventReader::ReadTyped() {
  google::protobuf::Any any;
  any.set_type_url(std::string(type_url_));
  any.set_value(std::string(typed_bytes_));
  google::protobuf::Struct object;
  google::protobuf::Value value;
  if (any.Is<google::protobuf::Value>() && any.UnpackTo(&value) && value.has_struct_value()) {
    object = value.struct_value();
  } else if (!any.Is<google::protobuf::Struct>() || !any.UnpackTo(&object)) {
    return absl::InvalidArgumentError(
        absl::StrCat("typed: \"", type_url_,
                     "\" is neither google.protobuf.Struct nor an object as "
                     "google.protobuf.Value"));
  }
  for (const auto& [key, field] : object.fields()) {
    if (IsFinite(field)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("typed: \"", key, "\" has a number that JSON does not have"));
  }
  typed_json_.clear();
  if (!google::protobuf::util::MessageToJsonString(object, &typed_json_).ok()) {
    return absl::InvalidArgumentError("typed: cannot be written as JSON");
  }
  event_.json = typed_json_;
  return absl::OkStatus();
}

void EventReader::Begin() {
  bytes_ = {};
  event_.id = {};
}

void EventReader::Add(absl::string_view bytes) {
  if (bytes_.empty()) {
    bytes_ = bytes;
    return;
  }
  // Messages one behind the other are one that merges them.
  if (bytes_.data() != joined_.data()) joined_.assign(bytes_.data(), bytes_.size());
  joined_.append(bytes.data(), bytes.size());
  bytes_ = joined_;
}

absl::Status EventReader::Read() {
  event_ = {};
  occurred_at_ = ttl_ = {};
  typed_ = false;
  type_url_ = {};
  if (!ReadFields()) {
    event_.id = {};
    return Malformed("fanwire.v1.Event");
  }
  return Check();
}

absl::Status EventReader::Read(absl::string_view bytes) {
  bytes_ = bytes;
  return Read();
}

// ------------------------------------------------------------------------------- requests

absl::Status ReadPublishRequest(absl::string_view bytes, EventReader* event,
                                PublishParams* params) {
  using v1::PublishRequest;
  event->Begin();
  RawParams raw;
  WireReader reader(bytes);
  bool ok = true;
  while (ok && reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(PublishRequest::kEventFieldNumber):
        event->Add(reader.Bytes());
        break;
      case VarintTag(PublishRequest::kReceiptLevelFieldNumber):
        raw.level = static_cast<int32_t>(reader.Varint());
        break;
      case BytesTag(PublishRequest::kWaitFieldNumber):
        ok = raw.MergeWait(reader.Bytes());
        break;
      default:
        reader.Skip();
    }
  }
  if (!ok || !reader.ok()) return Malformed("fanwire.v1.PublishRequest");
  if (absl::Status status = raw.Finish(params); !status.ok()) return status;
  return event->Read();
}

absl::Status ReadPublishBatchRequest(absl::string_view bytes,
                                     std::vector<absl::string_view>* events,
                                     PublishParams* params) {
  using v1::PublishBatchRequest;
  events->clear();
  RawParams raw;
  WireReader reader(bytes);
  bool ok = true;
  while (ok && reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(PublishBatchRequest::kEventsFieldNumber):
        events->push_back(reader.Bytes());
        break;
      case VarintTag(PublishBatchRequest::kReceiptLevelFieldNumber):
        raw.level = static_cast<int32_t>(reader.Varint());
        break;
      case BytesTag(PublishBatchRequest::kWaitFieldNumber):
        ok = raw.MergeWait(reader.Bytes());
        break;
      default:
        reader.Skip();
    }
  }
  if (!ok || !reader.ok()) return Malformed("fanwire.v1.PublishBatchRequest");
  return raw.Finish(params);
}

absl::Status CheckBatchSize(absl::string_view what, size_t size, size_t max) {
  if (size <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", size, ", at most ", max, " in one message (limits.max_batch)"));
}

absl::Status ReadValidateRequest(absl::string_view bytes, EventReader* event) {
  event->Begin();
  WireReader reader(bytes);
  while (reader.Next()) {
    if (reader.tag() == BytesTag(v1::ValidateRequest::kEventFieldNumber)) {
      event->Add(reader.Bytes());
    } else {
      reader.Skip();
    }
  }
  if (!reader.ok()) return Malformed("fanwire.v1.ValidateRequest");
  return event->Read();
}

absl::Status ReadPublishStreamRequest(absl::string_view bytes, PublishStreamMessage* message) {
  using v1::PublishStreamRequest;
  message->kind = PublishStreamMessage::Kind::kNone;
  message->publisher_id.clear();
  message->params = {};
  message->items.clear();
  std::string hello_bytes;
  WireReader reader(bytes);
  bool ok = true;
  while (ok && reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(PublishStreamRequest::kHelloFieldNumber): {
        message->kind = PublishStreamMessage::Kind::kHello;
        message->items.clear();
        const absl::string_view part = reader.Bytes();
        hello_bytes.append(part.data(), part.size());
        break;
      }
      case BytesTag(PublishStreamRequest::kItemsFieldNumber): {
        message->kind = PublishStreamMessage::Kind::kItems;
        hello_bytes.clear();
        WireReader items(reader.Bytes());
        while (items.Next()) {
          if (items.tag() == BytesTag(v1::PublishItems::kItemsFieldNumber)) {
            message->items.push_back(items.Bytes());
          } else {
            items.Skip();
          }
        }
        ok = items.ok();
        break;
      }
      default:
        reader.Skip();
    }
  }
  v1::PublisherHello hello;
  if (!ok || !reader.ok() || !hello.ParseFromString(hello_bytes)) {
    return Malformed("fanwire.v1.PublishStreamRequest");
  }
  message->publisher_id = hello.publisher_id();
  return RawParams{
      .level = hello.receipt_level(), .has_wait = hello.has_wait(), .wait = hello.wait()}
      .Finish(&message->params);
}

bool ItemsReader::Open(const std::vector<absl::string_view>& pieces) {
  size_ = 0;
  uint64_t tag = 0, size = 0;
  // Twice: what is in it at all, before any of it is read.
  WirePieces all(pieces);
  if (!all.ReadHead(&tag) || tag != BytesTag(v1::PublishStreamRequest::kItemsFieldNumber) ||
      !all.ReadHead(&size) || size != all.left()) {
    return false;
  }
  while (all.left() > 0) {
    if (!all.ReadHead(&tag) || tag != BytesTag(v1::PublishItems::kItemsFieldNumber) ||
        !all.ReadHead(&size) || size > all.left()) {
      return false;
    }
    all.Skip(size);
    ++size_;
  }
  pieces_.emplace(pieces);
  pieces_->ReadHead(&tag);
  pieces_->ReadHead(&size);
  return true;
}

absl::string_view ItemsReader::Next() {
  uint64_t tag = 0, size = 0;
  pieces_->ReadHead(&tag);
  pieces_->ReadHead(&size);
  return pieces_->Read(size);
}

absl::Status ReadPublishItem(absl::string_view bytes, uint64_t* seq, EventReader* event) {
  *seq = 0;
  event->Begin();
  WireReader reader(bytes);
  while (reader.Next()) {
    switch (reader.tag()) {
      case VarintTag(v1::PublishItem::kSeqFieldNumber):
        *seq = reader.Varint();
        break;
      case BytesTag(v1::PublishItem::kEventFieldNumber):
        event->Add(reader.Bytes());
        break;
      default:
        reader.Skip();
    }
  }
  if (!reader.ok()) return Malformed("fanwire.v1.PublishItem");
  return event->Read();
}

}  // namespace fanwire::control
