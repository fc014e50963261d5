// A publisher's end of a PublishStream, for tests.
//
// Threading: one thread may send while another one reads.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "common/rpc_status.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "gtest/gtest.h"

namespace fanwire::control {

class StreamPublisher {
 public:
  explicit StreamPublisher(v1::Publisher::Stub* stub) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    stream_ = stub->PublishStream(&context_);
  }

  // Says hello and returns the welcome.
  v1::PublisherWelcome Greet(const std::string& id = "",
                             v1::ReceiptLevel level = v1::RECEIPT_LEVEL_ACCEPTED) {
    Hello(id, level);
    const std::optional<v1::PublishStreamResponse> response = Read();
    EXPECT_TRUE(response.has_value() && response->has_welcome());
    return response.has_value() ? response->welcome() : v1::PublisherWelcome();
  }
  // Says hello without waiting for the welcome.
  void Hello(const std::string& id, v1::ReceiptLevel level = v1::RECEIPT_LEVEL_ACCEPTED) {
    v1::PublishStreamRequest request;
    request.mutable_hello()->set_publisher_id(id);
    request.mutable_hello()->set_receipt_level(level);
    EXPECT_TRUE(stream_->Write(request));
  }
  // Items with these seqs, all on channel `x`, in one message.
  bool Send(const std::vector<uint64_t>& seqs, const std::string& json = "{}") {
    v1::PublishStreamRequest request;
    request.mutable_items();
    for (const uint64_t seq : seqs) {
      v1::PublishItem* const item = request.mutable_items()->add_items();
      item->set_seq(seq);
      item->mutable_event()->set_service("s");
      item->mutable_event()->set_channel("x");
      item->mutable_event()->set_event("thing.happened");
      item->mutable_event()->set_json(json);
    }
    return stream_->Write(request);
  }
  // Items from `first` to `last`, `each` in a message.
  void SendMany(uint64_t first, uint64_t last, uint64_t each) {
    while (first <= last) {
      std::vector<uint64_t> seqs;
      for (uint64_t i = 0; i < each && first <= last; ++i) seqs.push_back(first++);
      ASSERT_TRUE(Send(seqs));
    }
  }
  std::optional<v1::PublishStreamResponse> Read() {
    v1::PublishStreamResponse response;
    if (!stream_->Read(&response)) return std::nullopt;
    return response;
  }
  // As many receipts as they come; fewer at the stream's end.
  std::vector<v1::ItemReceipt> ReadReceipts(size_t count) {
    std::vector<v1::ItemReceipt> receipts;
    while (receipts.size() < count) {
      const std::optional<v1::PublishStreamResponse> response = Read();
      if (!response.has_value()) break;
      EXPECT_TRUE(response->has_receipts()) << response->ShortDebugString();
      for (const v1::ItemReceipt& receipt : response->receipts().receipts()) {
        receipts.push_back(receipt);
      }
    }
    return receipts;
  }
  // Reads what comes until the end: what is not read would hold the status back.
  void Drain() {
    while (Read().has_value()) {
    }
  }
  void HalfClose() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }
  absl::Status Finish() { return FromGrpcStatus(stream_->Finish()); }

  grpc::ClientReaderWriter<v1::PublishStreamRequest, v1::PublishStreamResponse>& stream() {
    return *stream_;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PublishStreamRequest, v1::PublishStreamResponse>>
      stream_;
};

}  // namespace fanwire::control
