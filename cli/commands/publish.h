// `wsctl publish SERVICE CHANNEL EVENT [JSON | @FILE | -]`: publishes one event and prints its
// receipt.  With --batch it publishes many (cli/batch.h).
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/model.h"
#include "cli/output.h"
#include "cli/publish_client.h"

namespace fanwire::cli {

struct PublishOptions {
  Event event;
  std::string data;  // a JSON object, "@FILE", or "-" for standard input; empty: {}
  ReceiptRequest receipt;
  std::string batch;  // a file of events, or "-" for standard input; empty: publish one event
};

absl::Status RunPublish(const PublishOptions& options, int stdin_fd, PublishClient& client,
                        Output& out);

}  // namespace fanwire::cli
