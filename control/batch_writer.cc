#include "control/batch_writer.h"

#include <algorithm>
#include <utility>

#include "fanwire/v1/worker.pb.h"

namespace fanwire {
namespace {

// Event names that have a handle at a time.  Publishers choose names, so there may be any number:
// beyond this the table begins anew, with new handles.
constexpr size_t kMaxEventNames = 65536;

// Deliveries whose text grew larger than this are not kept.
constexpr size_t kKeptEnvelopeBytes = 16 << 10;

void SetPosition(const Position& from, v1::Position* to) {
  to->set_epoch(from.epoch.ToText());
  to->set_offset(from.offset);
}

void Assign(absl::string_view from, std::string* to) { to->assign(from.data(), from.size()); }

bool IsExpired(const Publication& publication, absl::Duration now) {
  return publication.expires_at() <= now;
}

}  // namespace

BatchWriter::BatchWriter() : message_(std::make_unique<v1::ControlMessage>()) {}

BatchWriter::~BatchWriter() = default;

BatchWriter::Written BatchWriter::Fill(std::vector<WorkerLink::Item>* items, absl::Duration now) {
  Recycle();
  Written written;
  for (const WorkerLink::Item& item : *items) {
    switch (item.kind) {
      case WorkerLink::Item::Kind::kDeliver:
        AddDeliver(item, now, &written);
        break;
      case WorkerLink::Item::Kind::kIntroduce: {
        v1::ChannelDef* def = NewItem()->mutable_channel_def();
        def->set_handle(item.handle);
        def->set_service(item.introduction->service);
        def->set_channel(item.introduction->channel);
        def->set_dialect(static_cast<v1::Dialect>(item.introduction->dialect));
        def->set_epoch(item.introduction->epoch.ToText());
        def->set_policy(static_cast<v1::BacklogPolicy>(item.introduction->backlog_policy));
        def->set_gap_policy(static_cast<v1::GapPolicy>(item.introduction->gap_policy));
        def->set_offset(item.introduction->offset);
        break;
      }
      case WorkerLink::Item::Kind::kRelease:
        NewItem()->mutable_channel_release()->set_handle(item.handle);
        break;
      case WorkerLink::Item::Kind::kGap:
        AddGap(item.handle, *item.gap);
        break;
      case WorkerLink::Item::Kind::kAnswer:
        AddAnswer(*item.answer, now, &written);
        break;
    }
  }
  items->clear();
  written.items = static_cast<uint64_t>(message_->batch().items_size());
  return written;
}

void BatchWriter::AddDeliver(const WorkerLink::Item& item, absl::Duration now, Written* written) {
  const Publication& publication = *item.publication;
  if (IsExpired(publication, now)) {
    if (publication.offset() > 0) {
      AddGap(item.handle, {.from = publication.offset(),
                           .to = publication.offset(),
                           .reason = "expired",
                           .epoch = publication.epoch()});
    }
    if (publication.tracking_id() != 0) written->expired.push_back(publication.tracking_id());
    return;
  }
  const uint32_t event = EventHandle(publication.event());
  v1::BatchItem* out;
  if (deliveries_.empty()) {
    out = NewItem();
  } else {
    out = deliveries_.back().release();
    deliveries_.pop_back();
    message_->mutable_batch()->mutable_items()->AddAllocated(out);
  }
  // Every field is set: the object may hold what an earlier batch left in it.
  v1::Deliver* deliver = out->mutable_deliver();
  deliver->set_handle(item.handle);
  deliver->set_offset(publication.offset());
  Assign(publication.envelope(), deliver->mutable_envelope());
  deliver->set_event(event);
  Assign(publication.exclude_connection(), deliver->mutable_exclude_connection());
  deliver->set_conflate_key(publication.conflate_key());
  deliver->set_ttl_ms(
      publication.expires_at() == absl::InfiniteDuration()
          ? 0
          : std::max<int64_t>(1, absl::ToInt64Milliseconds(publication.expires_at() - now)));
  deliver->set_publication_id(publication.tracking_id());
  deliver->set_received_us(publication.received_us());
  written->envelope_bytes += publication.envelope().size();
}

void BatchWriter::AddAnswer(const SubscribeAnswer& answer, absl::Duration now, Written* written) {
  // Handles first: they are items of their own, before the one that uses them.
  std::vector<uint32_t> events;
  for (const PublicationPtr& publication : answer.publications) {
    events.push_back(IsExpired(*publication, now) ? 0 : EventHandle(publication->event()));
  }
  v1::SubscribeResult* result = NewItem()->mutable_subscribe_result();
  result->set_query_id(answer.query_id);
  result->set_last_page(answer.last_page);
  if (!answer.status.ok()) {
    result->mutable_status()->set_code(static_cast<int>(answer.status.code()));
    result->mutable_status()->set_message(std::string(answer.status.message()));
    return;
  }
  result->set_handle(answer.handle.number);
  if (answer.head.epoch.value != 0) SetPosition(answer.head, result->mutable_head());
  result->set_recovered(answer.recovered);
  result->set_reason(answer.reason);
  result->set_recover_count(answer.recover_count);
  if (!answer.last_page) SetPosition(answer.next, result->mutable_next());
  for (size_t i = 0; i < answer.publications.size(); ++i) {
    const Publication& publication = *answer.publications[i];
    v1::RecoveredPublication* recovered = result->add_publications();
    recovered->set_offset(publication.offset());
    if (events[i] == 0) continue;  // expired: the offset alone
    Assign(publication.envelope(), recovered->mutable_envelope());
    recovered->set_event(events[i]);
    Assign(publication.exclude_connection(), recovered->mutable_exclude_connection());
    written->envelope_bytes += publication.envelope().size();
  }
}

void BatchWriter::AddGap(uint32_t handle, const LinkGap& gap) {
  v1::ChannelGap* out = NewItem()->mutable_channel_gap();
  out->set_handle(handle);
  out->set_from(gap.from);
  out->set_to(gap.to);
  out->set_reason(gap.reason);
  out->set_epoch(gap.epoch.ToText());
}

uint32_t BatchWriter::EventHandle(absl::string_view name) {
  if (name.empty()) return 0;  // a dialect's frame: it has no event
  const auto it = event_handles_.find(name);
  if (it != event_handles_.end()) return it->second;
  if (event_handles_.size() >= kMaxEventNames) event_handles_.clear();
  const uint32_t handle = next_event_handle_++;
  event_handles_.emplace(name, handle);
  v1::EventDef* def = NewItem()->mutable_event_def();
  def->set_handle(handle);
  def->set_name(std::string(name));
  return handle;
}

v1::BatchItem* BatchWriter::NewItem() { return message_->mutable_batch()->add_items(); }

void BatchWriter::Recycle() {
  auto* items = message_->mutable_batch()->mutable_items();
  while (!items->empty()) {
    std::unique_ptr<v1::BatchItem> item(items->ReleaseLast());
    if (item->has_deliver() && item->deliver().envelope().capacity() <= kKeptEnvelopeBytes) {
      deliveries_.push_back(std::move(item));
    }
  }
}

}  // namespace fanwire
