#include "control/publish/publish_service.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "common/rpc_status.h"
#include "control/events/event.h"
#include "control/publish/publish_reader.h"
#include "control/publish/publish_stream.h"
#include "control/publish/raw_messages.h"
#include "control/publish/receipt_writer.h"
#include "control/routing/router.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

// The bytes of a message, in one piece.
class FlatMessage {
 public:
  // Returns false where gRPC cannot give them.
  bool Take(const grpc::ByteBuffer& buffer) {
    if (buffer.Length() == 0) {
      slice_ = grpc::Slice();
      return true;
    }
    return buffer.TrySingleSlice(&slice_).ok() || buffer.DumpToSingleSlice(&slice_).ok();
  }

  // Valid until the next Take().
  absl::string_view bytes() const {
    return {reinterpret_cast<const char*>(slice_.begin()), slice_.size()};
  }

 private:
  grpc::Slice slice_;
};

grpc::Status Unreadable() { return {grpc::StatusCode::INTERNAL, "the request cannot be read"}; }

// One Publish call; deletes itself with its receipt.
class UnaryCall final : public ReceiptSink {
 public:
  UnaryCall(grpc::ByteBuffer* response, grpc::ServerUnaryReactor* reactor)
      : response_(response), reactor_(reactor) {}

  void OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    if (outcome.status.ok()) {
      std::string receipt;
      AppendReceipt(outcome, &receipt);
      *response_ = MessageWithField(v1::PublishResponse::kReceiptFieldNumber, receipt);
    }
    reactor_->Finish(ToGrpcStatus(outcome.status));
    delete this;
  }

 private:
  grpc::ByteBuffer* const response_;
  grpc::ServerUnaryReactor* const reactor_;
};

// One PublishBatch call; deletes itself with the last receipt.
class BatchCall final : public ReceiptSink {
 public:
  BatchCall(size_t events, grpc::ByteBuffer* response, grpc::ServerUnaryReactor* reactor)
      : response_(response), reactor_(reactor), receipts_(events), missing_(events + 1) {}

  // Receipts may come on several threads at once; each writes its own element.
  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override {
    AppendReceipt(outcome, &receipts_[tag]);
    Done();
  }

  void Done() {
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    std::string bytes;
    for (const std::string& receipt : receipts_) {
      AppendWireBytes(v1::PublishBatchResponse::kReceiptsFieldNumber, receipt, &bytes);
    }
    const grpc::Slice slice(bytes);
    *response_ = grpc::ByteBuffer(&slice, 1);
    reactor_->Finish(grpc::Status::OK);
    delete this;
  }

 private:
  grpc::ByteBuffer* const response_;
  grpc::ServerUnaryReactor* const reactor_;
  std::vector<std::string> receipts_;
  std::atomic<size_t> missing_;  // receipts, and the end of publishing
};

// All methods are raw: events and receipts are read and written as bytes.
using RawService =
    v1::Publisher::WithRawCallbackMethod_Publish<v1::Publisher::WithRawCallbackMethod_PublishBatch<
        v1::Publisher::WithRawCallbackMethod_PublishStream<
            v1::Publisher::WithRawCallbackMethod_Validate<v1::Publisher::Service>>>>;

class PublishServiceImpl final : public PublishService, public RawService {
 public:
  PublishServiceImpl(const Options& options, Router* router)
      : max_batch_(options.max_batch),
        router_(router),
        streams_({.max_batch = options.max_batch,
                  .credit = options.stream_credit,
                  .max_publishers = options.max_publishers},
                 router) {}

  grpc::Service* service() override { return this; }

  void GoAway(const std::string& reason) override { streams_.GoAway(reason); }

  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    FlatMessage message;
    if (!message.Take(*request)) {
      reactor->Finish(Unreadable());
      return reactor;
    }
    PublishParams params;
    EventReader event;
    if (absl::Status status = ReadPublishRequest(message.bytes(), &event, &params); !status.ok()) {
      reactor->Finish(ToGrpcStatus(status));
      return reactor;
    }
    router_->MakeRun()->Publish(event.event(), params, new UnaryCall(response, reactor), 0);
    return reactor;
  }

  grpc::ServerUnaryReactor* PublishBatch(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    FlatMessage message;
    if (!message.Take(*request)) {
      reactor->Finish(Unreadable());
      return reactor;
    }
    PublishParams params;
    std::vector<absl::string_view> events;
    absl::Status status = ReadPublishBatchRequest(message.bytes(), &events, &params);
    if (status.ok()) status = CheckBatchSize("events", events.size(), max_batch_());
    if (!status.ok()) {
      reactor->Finish(ToGrpcStatus(status));
      return reactor;
    }
    auto* const call = new BatchCall(events.size(), response, reactor);
    {
      const std::unique_ptr<PublishRun> run = router_->MakeRun();
      EventReader event;
      for (size_t i = 0; i < events.size(); ++i) {
        PublishOutcome refusal;
        refusal.status = event.Read(events[i]);
        if (refusal.status.ok()) {
          run->Publish(event.event(), params, call, i);
        } else {
          refusal.id = event.event().id;
          call->OnReceipt(i, refusal);
          run->Interrupted();
        }
      }
    }
    call->Done();
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishStream(
      grpc::CallbackServerContext* /*context*/) override {
    return streams_.Open();
  }

  grpc::ServerUnaryReactor* Validate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    FlatMessage message;
    if (!message.Take(*request)) {
      reactor->Finish(Unreadable());
      return reactor;
    }
    EventReader event;
    absl::Status status = ReadValidateRequest(message.bytes(), &event);
    if (status.ok()) {
      const absl::StatusOr<Router::Validation> validation = router_->Validate(event.event());
      status = validation.status();
      if (validation.ok()) {
        v1::ValidateResponse found;
        for (const std::string& channel : validation->channels) found.add_channels(channel);
        for (const std::string& warning : validation->warnings) found.add_warnings(warning);
        *response = ToByteBuffer(found);
      }
    }
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

 private:
  const std::function<size_t()> max_batch_;
  Router* const router_;
  PublishStreams streams_;
};

}  // namespace

std::unique_ptr<PublishService> PublishService::Make(const Options& options, Router* router) {
  return std::make_unique<PublishServiceImpl>(options, router);
}

}  // namespace fanwire::control
