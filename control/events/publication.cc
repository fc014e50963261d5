#include "control/events/publication.h"

#include <algorithm>
#include <charconv>
#include <new>

#include "common/check.h"
#include "common/uuid.h"

namespace fanwire::control {

namespace {

constexpr absl::string_view kOffsetKey = ",\"offset\":";
constexpr absl::string_view kEpochKey = ",\"epoch\":\"";

char* Append(absl::string_view text, char* out) { return std::copy(text.begin(), text.end(), out); }

}  // namespace

Epoch Epoch::Random() {
  Epoch epoch;
  while (epoch.value == 0) epoch.value = Random64();
  return epoch;
}

bool Epoch::Parse(absl::string_view text, Epoch* epoch) {
  if (text.size() != kTextBytes) return false;
  uint64_t value = 0;
  for (const char c : text) {
    // Upper case is none of ours: the text must be the very one that was given out.
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value << 4 | static_cast<uint64_t>(c - 'a' + 10);
    } else {
      return false;
    }
  }
  if (value == 0) return false;
  epoch->value = value;
  return true;
}

void Epoch::WriteText(char* out) const {
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < kTextBytes; ++i) {
    out[i] = kDigits[value >> (60 - 4 * i) & 0xf];
  }
}

std::string Epoch::ToText() const {
  if (value == 0) return "";
  std::string text(kTextBytes, '0');
  WriteText(text.data());
  return text;
}

PublicationPtr Publication::Make(const Spec& spec) {
  const size_t behind =
      spec.event.size() + spec.exclude_connection.size() + spec.max_envelope_bytes;
  FANWIRE_CHECK(behind <= UINT32_MAX);
  auto* publication = new (::operator new(sizeof(Publication) + behind)) Publication;
  publication->capacity_ = static_cast<uint32_t>(behind);
  publication->event_bytes_ = static_cast<uint32_t>(spec.event.size());
  publication->exclude_bytes_ = static_cast<uint32_t>(spec.exclude_connection.size());
  publication->received_us_ = spec.received_us;
  publication->received_at_ = spec.received_at;
  publication->expires_at_ = spec.expires_at;
  publication->conflate_key_ = spec.conflate_key;
  publication->tracking_id_ = spec.tracking_id;
  Append(spec.exclude_connection, Append(spec.event, publication->text()));
  return PublicationPtr::First(publication);
}

void Publication::SetEnvelope(size_t bytes, size_t data_begin, size_t data_bytes) {
  FANWIRE_CHECK(event_bytes_ + exclude_bytes_ + bytes <= capacity_);
  envelope_bytes_ = static_cast<uint32_t>(bytes);
  data_begin_ = static_cast<uint32_t>(data_begin);
  data_bytes_ = static_cast<uint32_t>(data_bytes);
}

void Publication::Seal(Epoch epoch, int64_t offset) {
  FANWIRE_CHECK(offset > 0 && offset_ == 0 &&
                event_bytes_ + exclude_bytes_ + envelope_bytes_ + kSealBytes <= capacity_);
  offset_ = offset;
  epoch_ = epoch;
  char* const begin = buffer();
  char* out = Append(kOffsetKey, begin + envelope_bytes_ - 1);
  out = std::to_chars(out, out + 19, offset).ptr;
  out = Append(kEpochKey, out);
  epoch.WriteText(out);
  out = Append("\"}", out + Epoch::kTextBytes);
  envelope_bytes_ = static_cast<uint32_t>(out - begin);
}

void Publication::Destroy(Publication* publication) {
  publication->~Publication();
  ::operator delete(publication);
}

}  // namespace fanwire::control
