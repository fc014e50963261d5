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

// One Publish or PublishBatch call: gathers the receipts of its events; deletes itself when it has
// answered.
class UnaryCall : public ReceiptSink {
 public:
  // Receipts may come on several threads at once; each has its own `tag`.
  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) final {
    Take(tag, outcome);
    Done();
  }

  // Call when every event has been handed over: the answer may be given from then on.
  void Done() {
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    reactor_->Finish(ToGrpcStatus(Answer(response_)));
    delete this;
  }

 protected:
  UnaryCall(size_t events, grpc::ByteBuffer* response, grpc::ServerUnaryReactor* reactor)
      : response_(response), reactor_(reactor), missing_(events + 1) {}

  // Keeps the receipt of the event with this number.
  virtual void Take(uint64_t tag, const PublishOutcome& outcome) = 0;
  // Writes the response, or returns the error that is the answer instead.
  virtual absl::Status Answer(grpc::ByteBuffer* response) = 0;

 private:
  grpc::ByteBuffer* const response_;
  grpc::ServerUnaryReactor* const reactor_;
  std::atomic<size_t> missing_;  // receipts, and Done()
};

// A refusal of the event is the error of the call.
class SingleCall final : public UnaryCall {
 public:
  SingleCall(grpc::ByteBuffer* response, grpc::ServerUnaryReactor* reactor)
      : UnaryCall(1, response, reactor) {}

 private:
  void Take(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    status_ = outcome.status;
    if (status_.ok()) AppendReceipt(outcome, &receipt_);
  }
  absl::Status Answer(grpc::ByteBuffer* response) override {
    if (status_.ok()) {
      *response = MessageWithField(v1::PublishResponse::kReceiptFieldNumber, receipt_);
    }
    return status_;
  }

  absl::Status status_;
  std::string receipt_;
};

// A refused event has a receipt that says so.
class BatchCall final : public UnaryCall {
 public:
  BatchCall(size_t events, grpc::ByteBuffer* response, grpc::ServerUnaryReactor* reactor)
      : UnaryCall(events, response, reactor), receipts_(events) {}

 private:
  void Take(uint64_t tag, const PublishOutcome& outcome) override {
    AppendReceipt(outcome, &receipts_[tag]);
  }
  absl::Status Answer(grpc::ByteBuffer* response) override {
    std::string bytes;
    for (const std::string& receipt : receipts_) {
      AppendWireBytes(v1::PublishBatchResponse::kReceiptsFieldNumber, receipt, &bytes);
    }
    const grpc::Slice slice(bytes);
    *response = grpc::ByteBuffer(&slice, 1);
    return absl::OkStatus();
  }

  std::vector<std::string> receipts_;
};

// All methods are raw: events and receipts are read and written as bytes.
using RawService =
    v1::Publisher::WithRawCallbackMethod_Publish<v1::Publisher::WithRawCallbackMethod_PublishBatch<
        v1::Publisher::WithRawCallbackMethod_PublishStream<
            v1::Publisher::WithRawCallbackMethod_Validate<
                v1::Publisher::WithRawCallbackMethod_ServeRequests<v1::Publisher::Service>>>>>;

class PublishServiceImpl final : public PublishService, public RawService {
 public:
  PublishServiceImpl(const Options& options, Router* router)
      : max_batch_(options.max_batch),
        serve_requests_(options.serve_requests),
        router_(router),
        streams_({.max_batch = options.max_batch,
                  .credit = options.stream_credit,
                  .max_publishers = options.max_publishers,
                  .keep_idle = options.keep_idle},
                 router) {}

  grpc::Service* service() override { return this; }

  void GoAway(const std::string& reason) override { streams_.GoAway(reason); }
  void ReleaseIdle(absl::Duration now) override { streams_.ReleaseIdle(now); }
  void Restore(absl::Span<const PublisherSeqs::Restored> publishers) override {
    streams_.Restore(publishers);
  }

  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    FlatMessage message;
    if (!message.Take(*request)) return Finish(reactor, Unreadable());
    PublishParams params;
    EventReader event;
    const absl::Status status = ReadPublishRequest(message.bytes(), &event, &params);
    auto* const call = new SingleCall(response, reactor);
    Publish(event, status, params, call, 0, router_->MakeRun().get());
    call->Done();
    return reactor;
  }

  grpc::ServerUnaryReactor* PublishBatch(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    FlatMessage message;
    if (!message.Take(*request)) return Finish(reactor, Unreadable());
    PublishParams params;
    std::vector<absl::string_view> events;
    if (absl::Status status =
            ReadPublishBatchRequest(message.bytes(), max_batch_(), &events, &params);
        !status.ok()) {
      router_->CountRefusal({}, status);
      return Finish(reactor, status);
    }
    auto* const call = new BatchCall(events.size(), response, reactor);
    {
      const std::unique_ptr<PublishRun> run = router_->MakeRun();
      EventReader event;
      for (size_t i = 0; i < events.size(); ++i) {
        const absl::Status status = event.Read(events[i]);
        Publish(event, status, params, call, i, run.get());
      }
    }
    call->Done();
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishStream(
      grpc::CallbackServerContext* /*context*/) override {
    return streams_.Open();
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeRequests(
      grpc::CallbackServerContext* /*context*/) override {
    return serve_requests_();
  }

  grpc::ServerUnaryReactor* Validate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    FlatMessage message;
    if (!message.Take(*request)) return Finish(reactor, Unreadable());
    EventReader event;
    if (absl::Status status = ReadValidateRequest(message.bytes(), &event); !status.ok()) {
      return Finish(reactor, status);
    }
    const absl::StatusOr<Router::Validation> validation = router_->Validate(event.event());
    if (!validation.ok()) return Finish(reactor, validation.status());
    v1::ValidateResponse found;
    for (const std::string& channel : validation->channels) found.add_channels(channel);
    for (const std::string& warning : validation->warnings) found.add_warnings(warning);
    *response = ToByteBuffer(found);
    return Finish(reactor, absl::OkStatus());
  }

 private:
  static absl::Status Unreadable() { return absl::InternalError("the request cannot be read"); }

  static grpc::ServerUnaryReactor* Finish(grpc::ServerUnaryReactor* reactor,
                                          const absl::Status& status) {
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  // Publishes the event that `event` has read, or refuses it if `read` is an error.
  static void Publish(const EventReader& event, const absl::Status& read,
                      const PublishParams& params, ReceiptSink* sink, uint64_t tag,
                      PublishRun* run) {
    if (read.ok()) {
      run->Publish(event.event(), params, sink, tag);
    } else {
      run->Refuse(event.event(), read, sink, tag);
    }
  }

  const std::function<size_t()> max_batch_;
  const std::function<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*()>
      serve_requests_;
  Router* const router_;
  PublishStreams streams_;
};

}  // namespace

std::unique_ptr<PublishService> PublishService::Make(const Options& options, Router* router) {
  return std::make_unique<PublishServiceImpl>(options, router);
}

}  // namespace fanwire::control
