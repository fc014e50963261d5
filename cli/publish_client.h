// PublishClient calls control's Publisher API on behalf of commands.  It publishes one event at a
// time, or a stream of events with a receipt for each.
//
// Threading: each object belongs to one thread, except for PublishStream::Cancel().  A stream calls
//            its handler on a thread of its own, one call at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

class RpcChannel;

// Receives control's messages on a stream.
class PublishStreamHandler {
 public:
  virtual ~PublishStreamHandler() = default;

  // `credit` is the number of items that may be without a receipt.  This is the first call; it is
  // repeated whenever the number changes.
  virtual void OnCredit(uint32_t credit) = 0;
  // The seqs and receipts of items, in any order.
  virtual void OnReceipts(std::vector<std::pair<uint64_t, Receipt>> receipts) = 0;
  // Control is stopping: send no more items.  Receipts still arrive.
  virtual void OnGoAway(absl::string_view reason) = 0;
  // The last call.  `status` is OK if control sent all receipts after CloseSending().
  virtual void OnEnd(const absl::Status& status) = 0;
};

struct StreamItem {
  uint64_t seq = 0;  // 1, 2, 3 …
  Event event;
};

class PublishStream {
 public:
  // Cancels the stream if it has not ended, and returns after the handler's last call.
  virtual ~PublishStream() = default;

  // Sends `items`; blocks while the network cannot keep up.  Returns false if the stream has ended;
  // OnEnd() says why.
  virtual bool Send(const std::vector<StreamItem>& items) = 0;
  // Tells control that no more items follow.  Control sends the remaining receipts and ends the
  // stream.
  virtual void CloseSending() = 0;
  // Ends the stream immediately.  May be called from any thread.
  virtual void Cancel() = 0;
};

class PublishClient {
 public:
  virtual ~PublishClient() = default;

  // Publishes one event and returns its receipt.
  //   INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED  the event was refused
  virtual absl::StatusOr<Receipt> Publish(const Event& event, const ReceiptRequest& request) = 0;

  // `handler` must outlive the stream.
  virtual std::unique_ptr<PublishStream> OpenStream(const ReceiptRequest& request,
                                                    PublishStreamHandler* handler) = 0;
};

// Makes a client that calls control over gRPC.
std::unique_ptr<PublishClient> MakePublishClient(std::shared_ptr<RpcChannel> channel);

}  // namespace fanwire::cli
