#include "fanout/batch_reader.h"

#include <utility>

#include "fanwire/v1/worker.pb.h"
#include "proto/wire/wire_pieces.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::fanout {

LinkItem::LinkItem() = default;
LinkItem::LinkItem(LinkItem&&) noexcept = default;
LinkItem& LinkItem::operator=(LinkItem&&) noexcept = default;
LinkItem::~LinkItem() = default;

namespace {

// Bytes of a usual item with its envelope, to estimate how many items a message has.
constexpr size_t kUsualItemBytes = 512;

// Reads a Deliver.  Returns false if it is malformed.
bool ReadDeliver(absl::string_view bytes, LinkItem* item) {
  using v1::Deliver;
  absl::string_view envelope;
  WireReader reader(bytes);
  while (reader.Next()) {
    switch (reader.tag()) {
      case VarintTag(Deliver::kHandleFieldNumber):
        item->handle = static_cast<uint32_t>(reader.Varint());
        break;
      case VarintTag(Deliver::kOffsetFieldNumber):
        item->offset = static_cast<int64_t>(reader.Varint());
        break;
      case BytesTag(Deliver::kEnvelopeFieldNumber):
        envelope = reader.Bytes();
        break;
      case VarintTag(Deliver::kEventFieldNumber):
        item->event = static_cast<uint32_t>(reader.Varint());
        break;
      case BytesTag(Deliver::kExcludeConnectionFieldNumber):
        item->exclude_connection = std::string(reader.Bytes());
        break;
      case VarintTag(Deliver::kConflateKeyFieldNumber):
        item->conflate_key = reader.Varint();
        break;
      case VarintTag(Deliver::kTtlMsFieldNumber):
        item->ttl_ms = static_cast<int64_t>(reader.Varint());
        break;
      case VarintTag(Deliver::kPublicationIdFieldNumber):
        item->publication_id = reader.Varint();
        break;
      case VarintTag(Deliver::kReceivedUsFieldNumber):
        item->received_us = static_cast<int64_t>(reader.Varint());
        break;
      default:
        reader.Skip();
    }
  }
  item->frame = Frame::Text(envelope);
  item->envelope_bytes = static_cast<uint32_t>(envelope.size());
  return reader.ok();
}

// Reads a BatchItem.  Returns false if it is malformed.
bool ReadItem(absl::string_view bytes, LinkItem* item) {
  // Nearly all items are deliveries: these are read in place.
  WireReader reader(bytes);
  if (reader.Next() && reader.tag() == BytesTag(v1::BatchItem::kDeliverFieldNumber)) {
    const absl::string_view deliver = reader.Bytes();
    if (!reader.Next()) return reader.ok() && ReadDeliver(deliver, item);
  }
  auto other = std::make_unique<v1::BatchItem>();
  if (!other->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  if (other->has_deliver()) return ReadDeliver(other->deliver().SerializeAsString(), item);
  item->other = std::move(other);
  return true;
}

}  // namespace

bool ReadBatch(std::vector<absl::string_view> pieces, std::vector<LinkItem>* items) {
  WirePieces reader(std::move(pieces));
  uint64_t tag = 0, size = 0;
  if (!reader.ReadHead(&tag) || tag != BytesTag(v1::ControlMessage::kBatchFieldNumber) ||
      !reader.ReadHead(&size) || size != reader.left()) {
    return false;
  }
  items->reserve(items->size() + 1 + reader.left() / kUsualItemBytes);
  while (reader.left() > 0) {
    if (!reader.ReadHead(&tag) || tag != BytesTag(v1::Batch::kItemsFieldNumber) ||
        !reader.ReadHead(&size) || size > reader.left() ||
        !ReadItem(reader.Read(size), &items->emplace_back())) {
      return false;
    }
  }
  return true;
}

bool ReadBatch(const v1::Batch& batch, std::vector<LinkItem>* items) {
  for (const v1::BatchItem& item : batch.items()) {
    if (!ReadItem(item.SerializeAsString(), &items->emplace_back())) return false;
  }
  return true;
}

}  // namespace fanwire::fanout
