// What publishers send: whatever protobuf takes for a message of a stream is read with the same
// meaning, and its receipts are messages again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/string_view.h"
#include "common/proto_time.h"
#include "control/events/envelope.h"
#include "control/publish/publish_reader.h"
#include "control/publish/receipt_writer.h"
#include "fanwire/v1/publish.pb.h"
#include "google/protobuf/stubs/logging.h"

namespace fanwire::control {

namespace {

// Protobuf complains aloud of every text that is no UTF-8.
[[maybe_unused]] auto* const silenced = google::protobuf::SetLogHandler(nullptr);

void MustBe(bool condition) {
  if (!condition) abort();
}

// What Read() refuses although protobuf takes it.
bool MayBeRefused(const v1::Event& event) {
  return event.has_typed() || event.occurred_at().seconds() < -62135596800 ||
         event.occurred_at().seconds() > 253402300799 || event.occurred_at().nanos() < 0 ||
         event.occurred_at().nanos() > 999999999;
}

void Compare(const Event& view, const v1::Event& event) {
  MustBe(view.service == event.service() && view.channel == event.channel() &&
         view.event == event.event() && view.id == event.id() &&
         view.idempotency_key == event.idempotency_key() &&
         view.exclude_connection == event.exclude_connection() &&
         view.skip_history == event.skip_history());
  if (!event.has_typed()) MustBe(view.json == event.json());
  if (event.has_occurred_at()) {
    MustBe(view.occurred_at == ToTime(event.occurred_at()));
  }
  if (event.has_ttl()) {
    MustBe(view.ttl == ToDuration(event.ttl()));
  }
}

void Answer(const PublishOutcome& outcome) {
  std::string bytes;
  AppendReceipt(outcome, &bytes);
  v1::Receipt receipt;
  MustBe(receipt.ParseFromString(bytes) && receipt.id() == outcome.id);
}

void ReadOne(absl::string_view bytes) {
  EventReader reader;
  const bool ok = reader.Read(bytes).ok();
  PublishOutcome outcome;
  outcome.id = reader.event().id;
  Answer(outcome);
  v1::Event event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  MustBe(ok || MayBeRefused(event));
  if (ok) Compare(reader.event(), event);
}

void ReadStream(absl::string_view bytes) {
  PublishStreamMessage message;
  const bool ok = ReadPublishStreamRequest(bytes, bytes.size(), &message).ok();
  v1::PublishStreamRequest request;
  const bool whole = request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (whole && !request.has_hello()) {
    MustBe(ok);
    MustBe(message.items.size() == static_cast<size_t>(request.items().items_size()));
  }
  ItemsReader items;
  const size_t half = bytes.size() / 2;
  if (items.Open({bytes.substr(0, half), bytes.substr(half)})) {
    MustBe(ok && items.size() == message.items.size());
    for (const absl::string_view part : message.items) MustBe(items.Next() == part);
  }
  if (!ok) return;
  int i = 0;
  for (const absl::string_view part : message.items) {
    EventReader reader;
    uint64_t seq = 0;
    const bool read = ReadPublishItem(part, &seq, &reader).ok();
    if (!whole) continue;
    const v1::PublishItem& item = request.items().items(i++);
    MustBe(read || MayBeRefused(item.event()));
    MustBe(seq == item.seq());
    if (read) Compare(reader.event(), item.event());
  }
}

}  // namespace
}  // namespace fanwire::control

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  fanwire::control::ReadOne(bytes);
  fanwire::control::ReadStream(bytes);
  return 0;
}
