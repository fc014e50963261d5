#include "control/engine/stored_publication.h"

#include <cstring>

#include "fanwire/v1/store.pb.h"
#include "proto/wire/wire_reader.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

using Stored = v1::StoredPublication;

void AppendNumber(int field, uint64_t value, std::string* out) {
  AppendWireVarint(WireTag(field, WireType::kVarint), out);
  AppendWireVarint(value, out);
}

// No event lives longer: the sum of two times must not overflow.
constexpr int64_t kMaxLifetimeUs = int64_t{1} << 53;

}  // namespace

void WriteStoredHead(const Publication& publication, std::string* head) {
  AppendNumber(Stored::kReceivedUsFieldNumber, static_cast<uint64_t>(publication.received_us()),
               head);
  if (publication.expires_at() < absl::InfiniteDuration()) {
    const int64_t lifetime =
        absl::ToInt64Microseconds(publication.expires_at() - publication.received_at());
    if (lifetime < kMaxLifetimeUs) {
      AppendNumber(Stored::kLifetimeUsFieldNumber,
                   static_cast<uint64_t>(lifetime < 0 ? 0 : lifetime), head);
    }
  }
  if (publication.conflate_key() != 0) {
    AppendNumber(Stored::kConflateKeyFieldNumber, publication.conflate_key(), head);
  }
  if (!publication.event().empty()) {
    AppendWireBytes(Stored::kEventFieldNumber, publication.event(), head);
  }
  if (!publication.exclude_connection().empty()) {
    AppendWireBytes(Stored::kExcludeConnectionFieldNumber, publication.exclude_connection(), head);
  }
  const absl::string_view envelope = publication.envelope();
  const absl::string_view data = publication.data();
  if (!data.empty()) {
    AppendNumber(Stored::kDataBeginFieldNumber,
                 static_cast<uint64_t>(data.data() - envelope.data()), head);
    AppendNumber(Stored::kDataBytesFieldNumber, data.size(), head);
  }
  AppendWireHead(Stored::kEnvelopeFieldNumber, envelope.size(), head);
}

int64_t StoredReceivedUs(absl::string_view value) {
  WireReader reader(value);
  while (reader.Next()) {
    if (reader.tag() == VarintTag(Stored::kReceivedUsFieldNumber)) {
      return static_cast<int64_t>(reader.Varint());
    }
    reader.Skip();
  }
  return 0;
}

PublicationPtr ReadStored(absl::string_view value, const Position& position,
                          absl::Duration received_at) {
  Publication::Spec spec{.received_at = received_at};
  absl::string_view envelope;
  uint64_t data_begin = 0;
  uint64_t data_bytes = 0;
  WireReader reader(value);
  while (reader.Next()) {
    switch (reader.tag()) {
      case VarintTag(Stored::kReceivedUsFieldNumber):
        spec.received_us = static_cast<int64_t>(reader.Varint());
        break;
      case VarintTag(Stored::kLifetimeUsFieldNumber):
        spec.expires_at = received_at + absl::Microseconds(static_cast<int64_t>(reader.Varint()));
        break;
      case VarintTag(Stored::kConflateKeyFieldNumber):
        spec.conflate_key = reader.Varint();
        break;
      case BytesTag(Stored::kEventFieldNumber):
        spec.event = reader.Bytes();
        break;
      case BytesTag(Stored::kExcludeConnectionFieldNumber):
        spec.exclude_connection = reader.Bytes();
        break;
      case VarintTag(Stored::kDataBeginFieldNumber):
        data_begin = reader.Varint();
        break;
      case VarintTag(Stored::kDataBytesFieldNumber):
        data_bytes = reader.Varint();
        break;
      case BytesTag(Stored::kEnvelopeFieldNumber):
        envelope = reader.Bytes();
        break;
      default:
        reader.Skip();
    }
  }
  if (!reader.ok() || envelope.empty() || data_begin > envelope.size() ||
      data_bytes > envelope.size() - data_begin) {
    return nullptr;
  }
  spec.max_envelope_bytes = envelope.size() + Publication::kSealBytes;
  PublicationPtr publication = Publication::Make(spec);
  std::memcpy(publication->buffer(), envelope.data(), envelope.size());
  publication->SetEnvelope(envelope.size(), static_cast<size_t>(data_begin),
                           static_cast<size_t>(data_bytes));
  if (position.offset > 0) publication->Seal(position.epoch, position.offset);
  return publication;
}

}  // namespace fanwire::control
