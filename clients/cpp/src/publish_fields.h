// The numbers of the fields of publish.proto and types.proto that the library reads and writes.  It
// is linked into programs with Protobuf of whatever version, so it does without generated messages.
//
// Source: proto/fanwire/v1/publish.proto, proto/fanwire/v1/types.proto
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace fanwire::client {

struct RequestField {  // PublishStreamRequest
  static constexpr int kHello = 1, kItems = 2;
};
struct HelloField {
  static constexpr int kPublisherId = 1, kReceiptLevel = 2, kWait = 3;
};
struct ItemsField {
  static constexpr int kItem = 1;
};
struct ItemField {
  static constexpr int kSeq = 1, kEvent = 2;
};
struct EventField {
  static constexpr int kService = 1, kChannel = 2, kEvent = 3, kJson = 4, kTyped = 5, kId = 6;
  static constexpr int kIdempotencyKey = 7, kOccurredAt = 9, kTtl = 10, kSkipHistory = 11;
  static constexpr int kExcludeConnection = 13;
};
struct AnyField {
  static constexpr int kTypeUrl = 1, kValue = 2;
};
struct TimeField {  // Timestamp and Duration
  static constexpr int kSeconds = 1, kNanos = 2;
};
struct ResponseField {  // PublishStreamResponse
  static constexpr int kWelcome = 1, kReceipts = 2, kCredit = 3, kGoAway = 4;
};
struct WelcomeField {
  static constexpr int kCredit = 2;
};
struct CreditField {
  static constexpr int kCredit = 1;
};
struct GoAwayField {
  static constexpr int kReason = 1;
};
struct ReceiptsField {
  static constexpr int kReceipt = 1;
};
struct ItemReceiptField {
  static constexpr int kSeq = 1, kReceipt = 2;
};
struct ReceiptField {
  static constexpr int kId = 1, kPosition = 2, kLevel = 3, kDelivery = 4, kDuplicate = 5;
  static constexpr int kTimedOut = 6, kStatus = 7;
};
struct PositionField {
  static constexpr int kEpoch = 1, kOffset = 2;
};
struct StatusField {
  static constexpr int kCode = 1, kMessage = 2;
};
struct DeliveryField {
  static constexpr int kMatched = 1, kWritten = 2, kDropped = 3, kLostConnection = 4, kExpired = 5;
  static constexpr int kWorkersTotal = 6, kWorkersReported = 7;
};
struct DropCountField {
  static constexpr int kCount = 2;
};

inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace fanwire::client
