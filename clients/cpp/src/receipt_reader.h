// Reads what control sends on a PublishStream.
//
// Threading: pure functions.
// Cost:      one pass over the bytes.  A message's receipts are only found; ReadReceipt() reads all
//            of one.
// Source:    proto/fanwire/v1/publish.proto, PublishStreamResponse
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fanwire/receipt.h"

namespace fanwire::client {

// One of the receipts of a message.
struct FoundReceipt {
  uint64_t seq = 0;
  std::string_view bytes = {};  // for ReadReceipt()
  Code code = Code::kOk;
  bool duplicate = false;
};

struct StreamAnswer {
  enum class Kind { kUnknown, kWelcome, kReceipts, kCredit, kGoAway };
  Kind kind = Kind::kUnknown;
  uint32_t credit = 0;                 // of kWelcome and kCredit
  std::string reason;                  // of kGoAway
  std::vector<FoundReceipt> receipts;  // of kReceipts; point into the message
};

// Reads a message; reuses the memory of `answer`.  Returns false if it is malformed.  A kind that a
// later version may have is kUnknown.
bool ReadStreamAnswer(std::string_view message, StreamAnswer* answer);

// Reads a Status.  One without a code is UNKNOWN: where a status is there, something failed.
Status ReadStatus(std::string_view bytes);
// Reads the reason of a GoAway.  Returns false if it is malformed.
bool ReadGoAway(std::string_view bytes, std::string* reason);

// Reads a receipt; reuses the memory of `receipt`.
void ReadReceipt(std::string_view bytes, Receipt* receipt);

}  // namespace fanwire::client
