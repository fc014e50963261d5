// PublishClient is control's Publisher API as commands use it: one event at a time, or a stream of
// events with a receipt each.
//
// Threading: each object belongs to one thread, but for PublishStream::Cancel().  A stream's
// handler
//            is called on a thread of the stream, one call at a time.
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

// What control says on a stream.
class PublishStreamHandler {
 public:
  virtual ~PublishStreamHandler() = default;

  // How many items may be without a receipt; comes first, and again whenever it changes.
  virtual void OnCredit(uint32_t credit) = 0;
  // `seq` and receipt of items, in any order.
  virtual void OnReceipts(std::vector<std::pair<uint64_t, Receipt>> receipts) = 0;
  // Control is stopping: send nothing more; receipts still come.
  virtual void OnGoAway(absl::string_view reason) = 0;
  // The last call.  OK if control finished everything after CloseSending().
  virtual void OnEnd(const absl::Status& status) = 0;
};

struct StreamItem {
  uint64_t seq = 0;  // 1, 2, 3 …
  Event event;
};

class PublishStream {
 public:
  // Cancels what still runs, and returns after the handler's last call.
  virtual ~PublishStream() = default;

  // Waits while the network is slower.  False: the stream has ended, OnEnd() says why.
  virtual bool Send(const std::vector<StreamItem>& items) = 0;
  // No more items; control finishes the receipts and ends the stream.
  virtual void CloseSending() = 0;
  // Ends the stream now.  Any thread.
  virtual void Cancel() = 0;
};

class PublishClient {
 public:
  virtual ~PublishClient() = default;

  //   INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED  the event was refused
  virtual absl::StatusOr<Receipt> Publish(const Event& event, const ReceiptRequest& request) = 0;

  // `handler` must outlive the stream.
  virtual std::unique_ptr<PublishStream> OpenStream(const ReceiptRequest& request,
                                                    PublishStreamHandler* handler) = 0;
};

// A client over gRPC.
std::unique_ptr<PublishClient> MakePublishClient(std::shared_ptr<RpcChannel> channel);

}  // namespace fanwire::cli
