#include "clients/cpp/src/event_writer.h"

#include <chrono>
#include <cstring>

#include "clients/cpp/src/publish_fields.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::client {

namespace {

constexpr int64_t kBillion = 1'000'000'000;

size_t TextSize(int field, std::string_view text) {
  return text.empty() ? 0 : WireHeadSize(field, text.size()) + text.size();
}

char* WriteHead(int field, size_t size, char* out) {
  out = WriteWireVarint(BytesTag(field), out);
  return WriteWireVarint(size, out);
}

char* WriteBytes(int field, std::string_view text, char* out) {
  out = WriteHead(field, text.size(), out);
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* WriteText(int field, std::string_view text, char* out) {
  return text.empty() ? out : WriteBytes(field, text, out);
}

// Seconds and nanoseconds.  Those of a Timestamp are counted forward; those of a Duration have the
// sign of the seconds.
WireFields<2 * kWireNumberBytes> Split(int64_t nanoseconds, bool forward) {
  int64_t seconds = nanoseconds / kBillion;
  int64_t nanos = nanoseconds % kBillion;
  if (forward && nanos < 0) {
    --seconds;
    nanos += kBillion;
  }
  WireFields<2 * kWireNumberBytes> fields;
  fields.Number(TimeField::kSeconds, static_cast<uint64_t>(seconds));
  fields.Number(TimeField::kNanos, static_cast<uint64_t>(nanos));
  return fields;
}

}  // namespace

EventWriter::EventWriter(const Event& event, std::string_view id)
    : event_(event), id_(event.id.empty() ? id : event.id) {
  event_bytes_ = TextSize(EventField::kService, event.service) +
                 TextSize(EventField::kChannel, event.channel) +
                 TextSize(EventField::kEvent, event.event) +
                 TextSize(EventField::kJson, event.json) + TextSize(EventField::kId, id_) +
                 TextSize(EventField::kIdempotencyKey, event.idempotency_key) +
                 TextSize(EventField::kExcludeConnection, event.exclude_connection);
  if (!event.type_url.empty()) {
    typed_bytes_ =
        TextSize(AnyField::kTypeUrl, event.type_url) + TextSize(AnyField::kValue, event.typed);
    event_bytes_ += WireHeadSize(EventField::kTyped, typed_bytes_) + typed_bytes_;
  }
  if (event.occurred_at.has_value()) {
    using std::chrono::nanoseconds;
    occurred_at_ = Split(
        std::chrono::duration_cast<nanoseconds>(event.occurred_at->time_since_epoch()).count(),
        /*forward=*/true);
    event_bytes_ +=
        WireHeadSize(EventField::kOccurredAt, occurred_at_.size()) + occurred_at_.size();
  }
  if (event.ttl.has_value()) {
    // As milliseconds: a long time in nanoseconds would be too large a number.
    const int64_t ms = event.ttl->count();
    ttl_.Number(TimeField::kSeconds, static_cast<uint64_t>(ms / 1000));
    ttl_.Number(TimeField::kNanos, static_cast<uint64_t>(ms % 1000 * 1'000'000));
    event_bytes_ += WireHeadSize(EventField::kTtl, ttl_.size()) + ttl_.size();
  }
  if (event.skip_history) event_bytes_ += 2;
}

size_t EventWriter::ItemSize(uint64_t seq) const {
  return 1 + WireVarintSize(seq) + WireHeadSize(ItemField::kEvent, event_bytes_) + event_bytes_;
}

size_t EventWriter::Size(uint64_t seq) const {
  const size_t item = ItemSize(seq);
  return WireHeadSize(ItemsField::kItem, item) + item;
}

char* EventWriter::Write(uint64_t seq, char* out) const {
  out = WriteHead(ItemsField::kItem, ItemSize(seq), out);
  out = WriteWireVarint(VarintTag(ItemField::kSeq), out);
  out = WriteWireVarint(seq, out);
  out = WriteHead(ItemField::kEvent, event_bytes_, out);
  out = WriteText(EventField::kService, event_.service, out);
  out = WriteText(EventField::kChannel, event_.channel, out);
  out = WriteText(EventField::kEvent, event_.event, out);
  out = WriteText(EventField::kJson, event_.json, out);
  if (!event_.type_url.empty()) {
    out = WriteHead(EventField::kTyped, typed_bytes_, out);
    out = WriteText(AnyField::kTypeUrl, event_.type_url, out);
    out = WriteText(AnyField::kValue, event_.typed, out);
  }
  out = WriteText(EventField::kId, id_, out);
  out = WriteText(EventField::kIdempotencyKey, event_.idempotency_key, out);
  if (event_.occurred_at.has_value()) {
    out = WriteBytes(EventField::kOccurredAt, ToStd(occurred_at_.bytes()), out);
  }
  if (event_.ttl.has_value()) out = WriteBytes(EventField::kTtl, ToStd(ttl_.bytes()), out);
  if (event_.skip_history) {
    out = WriteWireVarint(VarintTag(EventField::kSkipHistory), out);
    out = WriteWireVarint(1, out);
  }
  return WriteText(EventField::kExcludeConnection, event_.exclude_connection, out);
}

std::string DescribeItem(std::string_view item) {
  absl::string_view event;
  for (WireReader items({item.data(), item.size()}); items.Next();) {
    if (items.tag() != BytesTag(ItemsField::kItem)) {
      items.Skip();
      continue;
    }
    for (WireReader fields(items.Bytes()); fields.Next();) {
      if (fields.tag() == BytesTag(ItemField::kEvent)) {
        event = fields.Bytes();
      } else {
        fields.Skip();
      }
    }
  }
  std::string text;
  for (WireReader fields(event); fields.Next();) {
    if (fields.tag() > BytesTag(EventField::kEvent)) break;
    if (!text.empty()) text += ' ';
    text += ToStd(fields.Bytes());
  }
  return text;
}

}  // namespace fanwire::client
