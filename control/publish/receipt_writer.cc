#include "control/publish/receipt_writer.h"

#include "control/events/delivery_counts.h"
#include "fanwire/v1/publish.pb.h"
#include "proto/policies.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

constexpr size_t kPositionBytes = 2 + Epoch::kTextBytes + kWireNumberBytes;
constexpr size_t kDropBytes = 2 * kWireNumberBytes;
constexpr size_t kDeliveryBytes =
    6 * kWireNumberBytes + kDropReasons * (kWireHeadBytes + kDropBytes);
constexpr size_t kStageBytes = 4 * kWireNumberBytes;

uint64_t Bits(int64_t value) { return static_cast<uint64_t>(value); }

WireFields<kDeliveryBytes> WriteDelivery(const DeliveryCounts& counts) {
  using v1::Delivery;
  WireFields<kDeliveryBytes> delivery;
  delivery.Number(Delivery::kMatchedFieldNumber, Bits(counts.matched));
  delivery.Number(Delivery::kWrittenFieldNumber, Bits(counts.written));
  for (size_t reason = 0; reason < kDropReasons; ++reason) {
    if (counts.dropped[reason] == 0) continue;
    WireFields<kDropBytes> dropped;
    dropped.Number(v1::DropCount::kReasonFieldNumber, reason);
    dropped.Number(v1::DropCount::kCountFieldNumber, Bits(counts.dropped[reason]));
    delivery.Bytes(Delivery::kDroppedFieldNumber, dropped.bytes());
  }
  delivery.Number(Delivery::kLostConnectionFieldNumber, Bits(counts.lost_connection));
  delivery.Number(Delivery::kExpiredFieldNumber, Bits(counts.expired));
  delivery.Number(Delivery::kWorkersTotalFieldNumber, Bits(counts.workers_total));
  delivery.Number(Delivery::kWorkersReportedFieldNumber, Bits(counts.workers_reported));
  return delivery;
}

}  // namespace

void AppendItemReceipt(uint64_t seq, absl::string_view receipt, std::string* out) {
  WireFields<kWireNumberBytes + kWireLongHeadBytes> inner;
  inner.Number(v1::ItemReceipt::kSeqFieldNumber, seq);
  inner.Head(v1::ItemReceipt::kReceiptFieldNumber, receipt.size());
  WireFields<kWireLongHeadBytes> head;
  head.Head(v1::PublishReceipts::kReceiptsFieldNumber, inner.size() + receipt.size());
  out->append(head.bytes().data(), head.size());
  out->append(inner.bytes().data(), inner.size());
  out->append(receipt.data(), receipt.size());
}

void AppendReceipt(const PublishOutcome& outcome, std::string* out) {
  using v1::Receipt;
  if (!outcome.id.empty()) AppendWireBytes(Receipt::kIdFieldNumber, outcome.id, out);
  if (!outcome.status.ok()) {
    WireFields<kWireNumberBytes> code;
    code.Number(v1::Status::kCodeFieldNumber, static_cast<uint64_t>(outcome.status.code()));
    std::string status(code.bytes());
    AppendWireBytes(v1::Status::kMessageFieldNumber, outcome.status.message(), &status);
    AppendWireBytes(Receipt::kStatusFieldNumber, status, out);
    return;
  }
  WireFields<kWireHeadBytes + kPositionBytes + 3 * kWireNumberBytes + kWireHeadBytes +
             kDeliveryBytes + kWireHeadBytes + kStageBytes>
      rest;
  if (outcome.position.offset > 0) {
    char epoch[Epoch::kTextBytes];
    outcome.position.epoch.WriteText(epoch);
    WireFields<kPositionBytes> position;
    position.Bytes(v1::Position::kEpochFieldNumber, {epoch, sizeof(epoch)});
    position.Number(v1::Position::kOffsetFieldNumber, Bits(outcome.position.offset));
    rest.Bytes(Receipt::kPositionFieldNumber, position.bytes());
  }
  rest.Number(Receipt::kLevelFieldNumber, static_cast<uint64_t>(outcome.level));
  if (outcome.level != ReceiptLevel::kAccepted) {
    rest.Bytes(Receipt::kDeliveryFieldNumber, WriteDelivery(outcome.delivery).bytes());
  }
  rest.Number(Receipt::kDuplicateFieldNumber, outcome.duplicate ? 1 : 0);
  rest.Number(Receipt::kTimedOutFieldNumber, outcome.timed_out ? 1 : 0);
  WireFields<kStageBytes> stages;
  stages.Number(v1::StageTimes::kAcceptedUsFieldNumber, Bits(outcome.stages.accepted));
  stages.Number(v1::StageTimes::kRoutedUsFieldNumber, Bits(outcome.stages.routed));
  stages.Number(v1::StageTimes::kFirstWrittenUsFieldNumber, Bits(outcome.stages.first_written));
  stages.Number(v1::StageTimes::kLastWrittenUsFieldNumber, Bits(outcome.stages.last_written));
  rest.Bytes(Receipt::kStageTimesFieldNumber, stages.bytes());
  out->append(rest.bytes().data(), rest.bytes().size());
}

}  // namespace fanwire::control
