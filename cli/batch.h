// `wsctl publish --batch`: JSON lines in, receipts out, streaming both ways.
//
// A line that is there is sent at once; lines that arrive together travel together.  A receipt is
// written at once, as soon as those of all earlier lines are.  Events that control refuses and
// lines that describe none have a receipt like all others; empty lines have none.
//
// Threading: runs on the caller's thread and on the stream's.
// Cost:      holds at most as many unanswered events as control gave credit for, and 16 MiB of
// them.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "cli/model.h"
#include "cli/output.h"
#include "cli/publish_client.h"

namespace fanwire::cli {

struct BatchOptions {
  ReceiptRequest receipt = {};
  // Longer ones are refused unread.  Twice what an event may have, and half of what a gRPC message
  // may: a line alone never ends the stream.
  size_t max_line_bytes = size_t{2} << 20;
  size_t max_unanswered_bytes = size_t{16} << 20;
  size_t max_waiting_lines = 100'000;  // refused ones included
};

// Returns when every line has its receipt, or none can come any more:
//   UNAVAILABLE  control went away; says how many events have no receipt
//   CANCELLED    nobody reads the receipts any more: publishing ended there
//   NOT_FOUND    the input cannot be read to its end
absl::Status RunBatch(const BatchOptions& options, int input_fd, PublishClient& client,
                      Output& out);

}  // namespace fanwire::cli
