#include "control/publish/publish_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "control/events/envelope.h"
#include "control/events/fingerprint.h"
#include "control/publish/typed_payload.h"
#include "fanwire/v1/publish.pb.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::control {

namespace {

absl::Status Malformed(absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("not a ", message, ": malformed bytes"));
}

// Keeps the parts of a repeated field up to a limit, and counts all of them.
class Parts {
 public:
  Parts(size_t max, std::vector<absl::string_view>* kept) : max_(max), kept_(kept) { Clear(); }

  void Add(absl::string_view part) {
    if (++count_ <= max_) kept_->push_back(part);
  }
  void Clear() {
    kept_->clear();
    count_ = 0;
  }
  size_t count() const { return count_; }

 private:
  const size_t max_;
  std::vector<absl::string_view>* const kept_;
  size_t count_ = 0;
};

// What a request says beside its events.
struct RawParams {
  int32_t level = 0;
  WireSeconds wait;

  absl::Status Finish(PublishParams* params) const {
    *params = {};
    if (level != v1::RECEIPT_LEVEL_UNSPECIFIED) {
      if (!v1::ReceiptLevel_IsValid(level)) {
        return absl::InvalidArgumentError(
            absl::StrCat("receipt_level: expected 0 to 3, found ", level));
      }
      params->level = static_cast<ReceiptLevel>(level);
    }
    if (wait.present) {
      params->wait = wait.ToDuration();
      if (params->wait < absl::ZeroDuration()) {
        return absl::InvalidArgumentError("wait: negative");
      }
    }
    return absl::OkStatus();
  }
};

// A PublisherHello, which may come in several parts.
struct RawHello {
  absl::string_view publisher_id;
  RawParams params;

  // Merges a part.  False: malformed.
  bool Read(absl::string_view bytes) {
    using v1::PublisherHello;
    WireReader reader(bytes);
    while (reader.Next()) {
      switch (reader.tag()) {
        case BytesTag(PublisherHello::kPublisherIdFieldNumber):
          publisher_id = reader.Bytes();
          if (!IsUtf8(publisher_id)) return false;
          break;
        case VarintTag(PublisherHello::kReceiptLevelFieldNumber):
          params.level = static_cast<int32_t>(reader.Varint());
          break;
        case BytesTag(PublisherHello::kWaitFieldNumber):
          if (!params.wait.Read(reader.Bytes())) return false;
          break;
        default:
          reader.Skip();
      }
    }
    return reader.ok();
  }
};

}  // namespace

// ------------------------------------------------------------------------------- events

absl::Duration WireSeconds::ToDuration() const {
  return absl::Seconds(seconds) + absl::Nanoseconds(nanos);
}

bool WireSeconds::Read(absl::string_view bytes) {
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
  if (ttl_.present) event_.ttl = ttl_.ToDuration();
  if (!typed_) return absl::OkStatus();
  if (IsCatalogType(type_url_)) {
    event_.typed_url = type_url_;
    event_.typed_bytes = typed_bytes_;
    event_.typed_hash = MessageFingerprint(typed_bytes_);
    event_.typed_message = true;
    return absl::OkStatus();
  }
  if (absl::Status status = ReadTypedPayload(type_url_, typed_bytes_, &typed_json_); !status.ok()) {
    return status;
  }
  event_.json = typed_json_;
  event_.typed_url = type_url_;
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
        ok = raw.wait.Read(reader.Bytes());
        break;
      default:
        reader.Skip();
    }
  }
  if (!ok || !reader.ok()) return Malformed("fanwire.v1.PublishRequest");
  if (absl::Status status = raw.Finish(params); !status.ok()) return status;
  return event->Read();
}

absl::Status ReadPublishBatchRequest(absl::string_view bytes, size_t max_events,
                                     std::vector<absl::string_view>* events,
                                     PublishParams* params) {
  using v1::PublishBatchRequest;
  Parts parts(max_events, events);
  RawParams raw;
  WireReader reader(bytes);
  bool ok = true;
  while (ok && reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(PublishBatchRequest::kEventsFieldNumber):
        parts.Add(reader.Bytes());
        break;
      case VarintTag(PublishBatchRequest::kReceiptLevelFieldNumber):
        raw.level = static_cast<int32_t>(reader.Varint());
        break;
      case BytesTag(PublishBatchRequest::kWaitFieldNumber):
        ok = raw.wait.Read(reader.Bytes());
        break;
      default:
        reader.Skip();
    }
  }
  if (!ok || !reader.ok()) return Malformed("fanwire.v1.PublishBatchRequest");
  if (absl::Status status = raw.Finish(params); !status.ok()) return status;
  return CheckBatchSize("events", parts.count(), max_events);
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

absl::Status ReadPublishStreamRequest(absl::string_view bytes, size_t max_items,
                                      PublishStreamMessage* message) {
  using v1::PublishStreamRequest;
  message->kind = PublishStreamMessage::Kind::kNone;
  message->publisher_id.clear();
  message->params = {};
  Parts parts(max_items, &message->items);
  RawHello hello;
  WireReader reader(bytes);
  bool ok = true;
  while (ok && reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(PublishStreamRequest::kHelloFieldNumber):
        message->kind = PublishStreamMessage::Kind::kHello;
        parts.Clear();
        ok = hello.Read(reader.Bytes());
        break;
      case BytesTag(PublishStreamRequest::kItemsFieldNumber): {
        message->kind = PublishStreamMessage::Kind::kItems;
        hello = {};
        WireReader items(reader.Bytes());
        while (items.Next()) {
          if (items.tag() == BytesTag(v1::PublishItems::kItemsFieldNumber)) {
            parts.Add(items.Bytes());
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
  if (!ok || !reader.ok()) return Malformed("fanwire.v1.PublishStreamRequest");
  if (absl::Status status = hello.params.Finish(&message->params); !status.ok()) return status;
  message->publisher_id.assign(hello.publisher_id.data(), hello.publisher_id.size());
  return CheckBatchSize("items", parts.count(), max_items);
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
