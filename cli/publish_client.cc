#include "cli/publish_client.h"

#include <grpcpp/grpcpp.h>

#include <thread>

#include "cli/from_proto.h"
#include "cli/rpc_channel.h"
#include "common/proto_time.h"
#include "fanwire/v1/publish.grpc.pb.h"

namespace fanwire::cli {
namespace {

// How long control waits for a receipt of level WRITTEN if the request does not say.
constexpr absl::Duration kDefaultWait = absl::Seconds(5);

class GrpcPublishStream : public PublishStream {
 public:
  GrpcPublishStream(std::shared_ptr<RpcChannel> channel, const ReceiptRequest& request,
                    PublishStreamHandler* handler)
      : channel_(std::move(channel)),
        stub_(v1::Publisher::NewStub(channel_->grpc_channel())),
        handler_(handler) {
    channel_->PrepareStream(&context_);
    stream_ = stub_->PublishStream(&context_);
    v1::PublishStreamRequest message;
    v1::PublisherHello* hello = message.mutable_hello();
    hello->set_receipt_level(static_cast<v1::ReceiptLevel>(ToProto(request.level)));
    if (request.wait.has_value()) SetDuration(*request.wait, hello->mutable_wait());
    stream_->Write(message);  // if it fails, the first Read() fails too, and Finish() says why
    reader_ = std::thread([this] { ReadAll(); });
  }

  ~GrpcPublishStream() override {
    context_.TryCancel();
    reader_.join();
  }

  bool Send(const std::vector<StreamItem>& items) override {
    v1::PublishStreamRequest message;
    for (const StreamItem& item : items) {
      v1::PublishItem* out = message.mutable_items()->add_items();
      out->set_seq(item.seq);
      ToProto(item.event, out->mutable_event());
    }
    return stream_->Write(message);
  }

  void CloseSending() override { stream_->WritesDone(); }

  void Cancel() override { context_.TryCancel(); }

 private:
  void ReadAll() {
    for (v1::PublishStreamResponse message; stream_->Read(&message);) {
      switch (message.message_case()) {
        case v1::PublishStreamResponse::kWelcome:
          handler_->OnCredit(message.welcome().credit());
          break;
        case v1::PublishStreamResponse::kReceipts: {
          std::vector<std::pair<uint64_t, Receipt>> receipts;
          receipts.reserve(static_cast<size_t>(message.receipts().receipts_size()));
          for (const v1::ItemReceipt& item : message.receipts().receipts()) {
            receipts.emplace_back(item.seq(), FromProto(item.receipt()));
          }
          handler_->OnReceipts(std::move(receipts));
          break;
        }
        case v1::PublishStreamResponse::kCredit:
          handler_->OnCredit(message.credit().credit());
          break;
        case v1::PublishStreamResponse::kGoAway:
          handler_->OnGoAway(message.go_away().reason());
          break;
        case v1::PublishStreamResponse::MESSAGE_NOT_SET:
          break;  // a kind of message that only newer controls send
      }
    }
    handler_->OnEnd(channel_->ToStatus(stream_->Finish()));
  }

  const std::shared_ptr<RpcChannel> channel_;
  const std::unique_ptr<v1::Publisher::Stub> stub_;
  PublishStreamHandler* const handler_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::PublishStreamRequest, v1::PublishStreamResponse>>
      stream_;
  std::thread reader_;
};

class GrpcPublishClient : public PublishClient {
 public:
  explicit GrpcPublishClient(std::shared_ptr<RpcChannel> channel)
      : channel_(std::move(channel)), stub_(v1::Publisher::NewStub(channel_->grpc_channel())) {}

  absl::StatusOr<Receipt> Publish(const Event& event, const ReceiptRequest& request) override {
    grpc::ClientContext context;
    const bool waits = request.level == ReceiptLevel::kWritten;
    channel_->PrepareCall(&context,
                          waits ? request.wait.value_or(kDefaultWait) : absl::ZeroDuration());
    v1::PublishRequest message;
    ToProto(event, message.mutable_event());
    message.set_receipt_level(static_cast<v1::ReceiptLevel>(ToProto(request.level)));
    if (request.wait.has_value()) SetDuration(*request.wait, message.mutable_wait());
    v1::PublishResponse response;
    const grpc::Status status = stub_->Publish(&context, message, &response);
    if (!status.ok()) return channel_->ToStatus(status);
    return FromProto(response.receipt());
  }

  std::unique_ptr<PublishStream> OpenStream(const ReceiptRequest& request,
                                            PublishStreamHandler* handler) override {
    return std::make_unique<GrpcPublishStream>(channel_, request, handler);
  }

 private:
  const std::shared_ptr<RpcChannel> channel_;
  const std::unique_ptr<v1::Publisher::Stub> stub_;
};

}  // namespace

std::unique_ptr<PublishClient> MakePublishClient(std::shared_ptr<RpcChannel> channel) {
  return std::make_unique<GrpcPublishClient>(std::move(channel));
}

}  // namespace fanwire::cli
