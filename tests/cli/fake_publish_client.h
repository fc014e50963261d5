// FakePublishClient is a PublishClient for tests.  By default it assigns offsets in order and sends
// receipts at once; a test can replace that.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/publish_client.h"

namespace fanwire::cli {

class FakePublishClient : public PublishClient {
 public:
  absl::Status failure;  // if not OK, Publish() returns it
  Receipt receipt;
  Event event;
  ReceiptRequest request;

  uint32_t credit = 100;
  bool welcomes = true;  // false: a stream starts without a call of OnCredit()
  // Called with the handler when a stream is opened.
  std::function<void(PublishStreamHandler*)> on_open;
  // Receives every message of a stream and answers through the handler.  By default it sends one
  // receipt for each item, in order.
  std::function<void(const std::vector<StreamItem>&, PublishStreamHandler*)> on_items;
  // Called when the sender is done.  By default the stream ends with OK.
  std::function<void(PublishStreamHandler*)> on_closed;
  std::vector<size_t> message_sizes;  // number of items in each message
  std::vector<Event> events;
  bool cancelled = false;

  absl::StatusOr<Receipt> Publish(const Event& published, const ReceiptRequest& asked) override {
    event = published;
    request = asked;
    if (!failure.ok()) return failure;
    return receipt;
  }

  std::unique_ptr<PublishStream> OpenStream(const ReceiptRequest& asked,
                                            PublishStreamHandler* handler) override {
    request = asked;
    if (welcomes) handler->OnCredit(credit);
    if (on_open) on_open(handler);
    return std::make_unique<Stream>(this, handler);
  }

  // The receipt of the stream's item `seq`; its offset is `seq` too.
  static Receipt Accepted(uint64_t seq) {
    Receipt receipt;
    receipt.id = "id-" + std::to_string(seq);
    receipt.position = {.epoch = "e1", .offset = static_cast<int64_t>(seq)};
    return receipt;
  }

 private:
  class Stream : public PublishStream {
   public:
    Stream(FakePublishClient* client, PublishStreamHandler* handler)
        : client_(client), handler_(handler) {}
    bool Send(const std::vector<StreamItem>& items) override {
      client_->message_sizes.push_back(items.size());
      for (const StreamItem& item : items) client_->events.push_back(item.event);
      if (client_->on_items) {
        client_->on_items(items, handler_);
        return true;
      }
      std::vector<std::pair<uint64_t, Receipt>> receipts;
      for (const StreamItem& item : items) receipts.emplace_back(item.seq, Accepted(item.seq));
      handler_->OnReceipts(std::move(receipts));
      return true;
    }
    void CloseSending() override {
      if (client_->on_closed) {
        client_->on_closed(handler_);
      } else {
        handler_->OnEnd(absl::OkStatus());
      }
    }
    void Cancel() override {
      client_->cancelled = true;
      handler_->OnEnd(absl::CancelledError("cancelled"));
    }

   private:
    FakePublishClient* const client_;
    PublishStreamHandler* const handler_;
  };
};

}  // namespace fanwire::cli
