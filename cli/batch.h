// `wsctl publish --batch` reads one event a line and writes one receipt a line, streaming in both
// directions.
//
// Each line is sent as soon as it is read; lines that are read together are sent in one message.
// Receipts are written in the order of the lines, each as soon as all earlier ones are written.
// An event that control refuses and a line that is not an event get a receipt with an error
// status and the line's number.  Empty lines get no receipt; they count as lines.
//
// Threading: runs on the caller's thread and on the stream's.
// Cost:      holds at most as many unanswered events as control's credit allows, and at most
//            16 MiB of them.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "cli/model.h"
#include "cli/output.h"
#include "cli/publish_client.h"

namespace fanwire::cli {

struct BatchOptions {
  ReceiptRequest receipt = {};
  // Longer lines are refused without being parsed.  The limit is twice the largest event and half
  // the largest gRPC message, so that a single line never breaks the stream.
  size_t max_line_bytes = size_t{2} << 20;
  size_t max_unanswered_bytes = size_t{16} << 20;
  size_t max_waiting_lines = 100'000;  // lines read whose receipt is not written, refused or not
};

// Publishes the events of `input_fd`.  Returns OK when every line has its receipt and none was
// refused, or an error when the remaining receipts cannot come any more.  Refused lines are
// reported on stderr, whatever the error.
//   INVALID_ARGUMENT  lines were refused, all others published; reported on stderr already
//   UNAVAILABLE       control went away; the message says how many events have no receipt
//   CANCELLED         the reader of the receipts went away, so publishing stopped
//   NOT_FOUND         the input cannot be read to its end
absl::Status RunBatch(const BatchOptions& options, int input_fd, PublishClient& client,
                      Output& out);

}  // namespace fanwire::cli
