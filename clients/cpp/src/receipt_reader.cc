#include "clients/cpp/src/receipt_reader.h"

#include "clients/cpp/src/publish_fields.h"
#include "proto/wire/wire_reader.h"

namespace fanwire::client {

namespace {

WireReader ReaderOf(std::string_view bytes) {
  return WireReader(absl::string_view(bytes.data(), bytes.size()));
}

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }

Code ReadCode(std::string_view status) {
  uint64_t code = static_cast<uint64_t>(Code::kUnknown);  // a status that is there is no success
  WireReader reader = ReaderOf(status);
  while (reader.Next()) {
    if (reader.tag() == VarintTag(StatusField::kCode)) {
      code = reader.Varint();
    } else {
      reader.Skip();
    }
  }
  return static_cast<Code>(code);
}

// Finds what decides about the event; leaves the rest to ReadReceipt().
void Find(FoundReceipt* found) {
  WireReader reader = ReaderOf(found->bytes);
  while (reader.Next()) {
    if (reader.tag() == BytesTag(ReceiptField::kStatus)) {
      found->code = ReadCode(ToStd(reader.Bytes()));
    } else if (reader.tag() == VarintTag(ReceiptField::kDuplicate)) {
      found->duplicate = reader.Varint() != 0;
    } else {
      reader.Skip();
    }
  }
}

bool ReadReceipts(std::string_view bytes, std::vector<FoundReceipt>* receipts) {
  WireReader reader = ReaderOf(bytes);
  while (reader.Next()) {
    if (reader.tag() != BytesTag(ReceiptsField::kReceipt)) {
      reader.Skip();
      continue;
    }
    FoundReceipt found;
    WireReader item(reader.Bytes());
    while (item.Next()) {
      if (item.tag() == VarintTag(ItemReceiptField::kSeq)) {
        found.seq = item.Varint();
      } else if (item.tag() == BytesTag(ItemReceiptField::kReceipt)) {
        found.bytes = ToStd(item.Bytes());
      } else {
        item.Skip();
      }
    }
    if (!item.ok()) return false;
    Find(&found);
    receipts->push_back(found);
  }
  return reader.ok();
}

void ReadDelivery(std::string_view bytes, Delivery* delivery) {
  WireReader reader = ReaderOf(bytes);
  while (reader.Next()) {
    switch (reader.tag()) {
      case VarintTag(DeliveryField::kMatched):
        delivery->matched = Signed(reader.Varint());
        break;
      case VarintTag(DeliveryField::kWritten):
        delivery->written = Signed(reader.Varint());
        break;
      case BytesTag(DeliveryField::kDropped): {
        WireReader dropped(reader.Bytes());
        while (dropped.Next()) {
          if (dropped.tag() == VarintTag(DropCountField::kCount)) {
            delivery->dropped += Signed(dropped.Varint());
          } else {
            dropped.Skip();
          }
        }
        break;
      }
      case VarintTag(DeliveryField::kLostConnection):
        delivery->lost_connection = Signed(reader.Varint());
        break;
      case VarintTag(DeliveryField::kExpired):
        delivery->expired = Signed(reader.Varint());
        break;
      case VarintTag(DeliveryField::kWorkersTotal):
        delivery->workers_total = static_cast<int>(reader.Varint());
        break;
      case VarintTag(DeliveryField::kWorkersReported):
        delivery->workers_reported = static_cast<int>(reader.Varint());
        break;
      default:
        reader.Skip();
    }
  }
}

}  // namespace

Status ReadStatus(std::string_view bytes) {
  std::string message;
  WireReader reader = ReaderOf(bytes);
  while (reader.Next()) {
    if (reader.tag() == BytesTag(StatusField::kMessage)) {
      message = ToStd(reader.Bytes());
    } else {
      reader.Skip();
    }
  }
  return {ReadCode(bytes), std::move(message)};
}

bool ReadGoAway(std::string_view bytes, std::string* reason) {
  reason->clear();
  WireReader reader = ReaderOf(bytes);
  while (reader.Next()) {
    if (reader.tag() == BytesTag(GoAwayField::kReason)) {
      *reason = ToStd(reader.Bytes());
    } else {
      reader.Skip();
    }
  }
  return reader.ok();
}

bool ReadStreamAnswer(std::string_view message, StreamAnswer* answer) {
  answer->kind = StreamAnswer::Kind::kUnknown;
  answer->receipts.clear();
  WireReader reader = ReaderOf(message);
  while (reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(ResponseField::kWelcome): {
        answer->kind = StreamAnswer::Kind::kWelcome;
        answer->credit = 0;
        WireReader welcome(reader.Bytes());
        while (welcome.Next()) {
          if (welcome.tag() == VarintTag(WelcomeField::kCredit)) {
            answer->credit = static_cast<uint32_t>(welcome.Varint());
          } else {
            welcome.Skip();
          }
        }
        if (!welcome.ok()) return false;
        break;
      }
      case BytesTag(ResponseField::kReceipts):
        answer->kind = StreamAnswer::Kind::kReceipts;
        if (!ReadReceipts(ToStd(reader.Bytes()), &answer->receipts)) return false;
        break;
      case BytesTag(ResponseField::kCredit): {
        answer->kind = StreamAnswer::Kind::kCredit;
        answer->credit = 0;
        WireReader credit(reader.Bytes());
        while (credit.Next()) {
          if (credit.tag() == VarintTag(CreditField::kCredit)) {
            answer->credit = static_cast<uint32_t>(credit.Varint());
          } else {
            credit.Skip();
          }
        }
        if (!credit.ok()) return false;
        break;
      }
      case BytesTag(ResponseField::kGoAway):
        answer->kind = StreamAnswer::Kind::kGoAway;
        if (!ReadGoAway(ToStd(reader.Bytes()), &answer->reason)) return false;
        break;
      default:
        reader.Skip();
    }
  }
  return reader.ok();
}

void ReadReceipt(std::string_view bytes, Receipt* receipt) {
  receipt->status = Status();
  receipt->id.clear();
  receipt->epoch.clear();
  receipt->offset = 0;
  receipt->level = ReceiptLevel::kAccepted;
  receipt->duplicate = false;
  receipt->timed_out = false;
  receipt->delivery = Delivery();
  WireReader reader = ReaderOf(bytes);
  while (reader.Next()) {
    switch (reader.tag()) {
      case BytesTag(ReceiptField::kId):
        receipt->id = ToStd(reader.Bytes());
        break;
      case BytesTag(ReceiptField::kPosition): {
        WireReader position(reader.Bytes());
        while (position.Next()) {
          if (position.tag() == BytesTag(PositionField::kEpoch)) {
            receipt->epoch = ToStd(position.Bytes());
          } else if (position.tag() == VarintTag(PositionField::kOffset)) {
            receipt->offset = position.Varint();
          } else {
            position.Skip();
          }
        }
        break;
      }
      case VarintTag(ReceiptField::kLevel):
        receipt->level = static_cast<ReceiptLevel>(reader.Varint());
        break;
      case BytesTag(ReceiptField::kDelivery):
        ReadDelivery(ToStd(reader.Bytes()), &receipt->delivery);
        break;
      case VarintTag(ReceiptField::kDuplicate):
        receipt->duplicate = reader.Varint() != 0;
        break;
      case VarintTag(ReceiptField::kTimedOut):
        receipt->timed_out = reader.Varint() != 0;
        break;
      case BytesTag(ReceiptField::kStatus):
        receipt->status = ReadStatus(ToStd(reader.Bytes()));
        break;
      default:
        reader.Skip();
    }
  }
}

}  // namespace fanwire::client
