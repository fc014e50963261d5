#include "control/links/batch_writer.h"

#include <algorithm>
#include <utility>

#include "control/links/subscribe.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

// The most event names that have a handle at a time.  Publishers choose names, so there may be any
// number.  When the table is full it is cleared, and names get new handles.
constexpr size_t kMaxEventNames = 65536;

// An estimate of the bytes that a delivery needs beside its envelope.
constexpr size_t kAroundEnvelope = 64;

void SetPosition(const Position& from, v1::Position* to) {
  to->set_epoch(from.epoch.ToText());
  to->set_offset(from.offset);
}

void Assign(absl::string_view from, std::string* to) { to->assign(from.data(), from.size()); }

// Publications are in another core's cache, so they are prefetched this many items ahead.
constexpr size_t kAhead = 4;

void Prefetch(const LinkQueueItem& item) {
  const auto* const memory = reinterpret_cast<const char*>(item.publication.get());
  if (memory == nullptr) return;
  // The processor prefetches the lines after these by itself.
  for (size_t line = 0; line < 4; ++line) __builtin_prefetch(memory + 64 * line);
}

bool IsExpired(const Publication& publication, absl::Duration now) {
  return publication.expires_at() <= now;
}

}  // namespace

BatchWriter::Written BatchWriter::Write(std::vector<LinkQueueItem>* items, absl::Duration now) {
  written_ = {};
  size_t bytes = 0;
  for (const LinkQueueItem& item : *items) bytes += item.bytes + kAroundEnvelope;
  written_.message.body.reserve(bytes);
  for (size_t i = 0; i < items->size(); ++i) {
    const LinkQueueItem& item = (*items)[i];
    if (i + kAhead < items->size()) Prefetch((*items)[i + kAhead]);
    switch (item.kind) {
      case LinkQueueItem::Kind::kDeliver:
        AddDeliver(item, now);
        break;
      case LinkQueueItem::Kind::kIntroduce: {
        v1::BatchItem out;
        v1::ChannelDef* def = out.mutable_channel_def();
        def->set_handle(item.handle);
        def->set_service(item.introduction->service);
        def->set_channel(item.introduction->channel);
        def->set_dialect(static_cast<v1::Dialect>(item.introduction->dialect));
        def->set_epoch(item.introduction->epoch.ToText());
        def->set_policy(static_cast<v1::BacklogPolicy>(item.introduction->backlog_policy));
        def->set_gap_policy(static_cast<v1::GapPolicy>(item.introduction->gap_policy));
        def->set_offset(item.introduction->offset);
        Add(out);
        break;
      }
      case LinkQueueItem::Kind::kRelease: {
        v1::BatchItem out;
        out.mutable_channel_release()->set_handle(item.handle);
        Add(out);
        break;
      }
      case LinkQueueItem::Kind::kGap:
        AddGap(item.handle, *item.gap);
        break;
      case LinkQueueItem::Kind::kAnswer:
        AddAnswer(*item.answer, now);
        break;
    }
  }
  items->clear();
  AppendWireHead(v1::ControlMessage::kBatchFieldNumber, written_.message.body.size(),
                 &written_.message.head);
  return std::move(written_);
}

void BatchWriter::Add(const v1::BatchItem& item) {
  AppendWireBytes(v1::Batch::kItemsFieldNumber, item.SerializeAsString(), &written_.message.body);
  ++written_.items;
}

void BatchWriter::AddDeliver(const LinkQueueItem& item, absl::Duration now) {
  using v1::Deliver;
  const Publication& publication = *item.publication;
  if (IsExpired(publication, now)) {
    if (publication.offset() > 0) {
      AddGap(item.handle, {.from = publication.offset(),
                           .to = publication.offset(),
                           .reason = "expired",
                           .epoch = publication.epoch()});
    }
    if (publication.tracking_id() != 0) written_.expired.push_back(publication.tracking_id());
    return;
  }
  const uint32_t event = EventHandle(publication.event());
  const absl::string_view envelope = publication.envelope();
  const absl::string_view excluded = publication.exclude_connection();
  const int64_t ttl_ms =
      publication.expires_at() == absl::InfiniteDuration()
          ? 0
          : std::max<int64_t>(1, absl::ToInt64Milliseconds(publication.expires_at() - now));

  WireFields<2 * kWireNumberBytes + kWireLongHeadBytes> before;
  before.Number(Deliver::kHandleFieldNumber, item.handle);
  before.Number(Deliver::kOffsetFieldNumber, static_cast<uint64_t>(publication.offset()));
  before.Head(Deliver::kEnvelopeFieldNumber, envelope.size());
  WireFields<5 * kWireNumberBytes> after;
  after.Number(Deliver::kEventFieldNumber, event);
  after.Number(Deliver::kConflateKeyFieldNumber, publication.conflate_key());
  after.Number(Deliver::kTtlMsFieldNumber, static_cast<uint64_t>(ttl_ms));
  after.Number(Deliver::kPublicationIdFieldNumber, publication.tracking_id());
  after.Number(Deliver::kReceivedUsFieldNumber, static_cast<uint64_t>(publication.received_us()));
  size_t size = before.size() + envelope.size() + after.size();
  if (!excluded.empty()) {
    size += WireHeadSize(Deliver::kExcludeConnectionFieldNumber, excluded.size()) + excluded.size();
  }
  WireFields<2 * kWireLongHeadBytes> head;
  head.Head(v1::Batch::kItemsFieldNumber,
            WireHeadSize(v1::BatchItem::kDeliverFieldNumber, size) + size);
  head.Head(v1::BatchItem::kDeliverFieldNumber, size);

  std::string& out = written_.message.body;
  for (const absl::string_view part : {head.bytes(), before.bytes(), envelope, after.bytes()}) {
    out.append(part.data(), part.size());
  }
  if (!excluded.empty()) AppendWireBytes(Deliver::kExcludeConnectionFieldNumber, excluded, &out);
  written_.envelope_bytes += envelope.size();
  ++written_.items;
}

void BatchWriter::AddAnswer(const SubscribeAnswer& answer, absl::Duration now) {
  // Names are introduced by items of their own, which must stand before the answer.
  std::vector<uint32_t> events;
  for (const PublicationPtr& publication : answer.publications) {
    events.push_back(IsExpired(*publication, now) ? 0 : EventHandle(publication->event()));
  }
  v1::BatchItem item;
  v1::SubscribeResult* result = item.mutable_subscribe_result();
  result->set_query_id(answer.query_id);
  result->set_last_page(answer.last_page);
  if (!answer.status.ok()) {
    result->mutable_status()->set_code(static_cast<int>(answer.status.code()));
    result->mutable_status()->set_message(std::string(answer.status.message()));
    Add(item);
    return;
  }
  result->set_handle(answer.handle.number);
  if (answer.head.epoch.value != 0) SetPosition(answer.head, result->mutable_head());
  result->set_recovered(answer.recovered);
  result->set_reason(answer.reason);
  result->set_recover_count(answer.recover_count);
  result->set_state_follows(answer.state_follows);
  if (!answer.last_page) SetPosition(answer.next, result->mutable_next());
  for (size_t i = 0; i < answer.publications.size(); ++i) {
    const Publication& publication = *answer.publications[i];
    v1::RecoveredPublication* recovered = result->add_publications();
    recovered->set_offset(publication.offset());
    if (events[i] == 0) continue;  // expired: only its offset is sent
    Assign(publication.envelope(), recovered->mutable_envelope());
    recovered->set_event(events[i]);
    Assign(publication.exclude_connection(), recovered->mutable_exclude_connection());
    written_.envelope_bytes += publication.envelope().size();
  }
  Add(item);
}

void BatchWriter::AddGap(uint32_t handle, const LinkGap& gap) {
  v1::BatchItem item;
  v1::ChannelGap* out = item.mutable_channel_gap();
  out->set_handle(handle);
  out->set_from(gap.from);
  out->set_to(gap.to);
  out->set_reason(gap.reason);
  out->set_epoch(gap.epoch.ToText());
  Add(item);
}

uint32_t BatchWriter::EventHandle(absl::string_view name) {
  if (name.empty()) return 0;  // a dialect's frame: it has no event
  const auto it = event_handles_.find(name);
  if (it != event_handles_.end()) return it->second;
  if (event_handles_.size() >= kMaxEventNames) event_handles_.clear();
  const uint32_t handle = next_event_handle_++;
  event_handles_.emplace(name, handle);
  v1::BatchItem item;
  item.mutable_event_def()->set_handle(handle);
  item.mutable_event_def()->set_name(std::string(name));
  Add(item);
  return handle;
}

}  // namespace fanwire::control
