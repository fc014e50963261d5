#include "control/publish/publish_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/rpc_status.h"
#include "control/events/event.h"
#include "control/publish/publish_reader.h"
#include "control/publish/receipt_writer.h"
#include "control/routing/router.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::control {

namespace {

// Receipts in one message of a stream.
constexpr size_t kReceiptsPerMessage = 1000;

// What a receipt takes, mostly.
constexpr size_t kReceiptBytes = 112;

// A buffer that grew larger than this is not kept.
constexpr size_t kKeptBytes = 4 << 10;

absl::string_view Text(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

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
  absl::string_view bytes() const { return Text(slice_); }

 private:
  grpc::Slice slice_;
};

// A message with one field, a message of `bytes`.
grpc::ByteBuffer InField(int field, absl::string_view bytes) {
  std::string head;
  AppendWireHead(field, bytes.size(), &head);
  const grpc::Slice slices[] = {grpc::Slice(head), grpc::Slice(bytes.data(), bytes.size())};
  return {slices, 2};
}

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

grpc::Status Unreadable() { return {grpc::StatusCode::INTERNAL, "the request cannot be read"}; }

// Where each publisher_id is with its seqs, over reconnects.
class Publishers {
 public:
  explicit Publishers(size_t max) : max_(max) {}

  uint64_t LastAccepted(const std::string& id) {
    MutexLock lock(&mu_);
    const auto it = by_id_.find(id);
    if (it == by_id_.end()) return 0;
    order_.splice(order_.end(), order_, it->second);
    return it->second->second;
  }

  void Accepted(const std::string& id, uint64_t seq) {
    MutexLock lock(&mu_);
    const auto it = by_id_.find(id);
    if (it != by_id_.end()) {
      it->second->second = std::max(it->second->second, seq);
      order_.splice(order_.end(), order_, it->second);
      return;
    }
    order_.emplace_back(id, seq);
    by_id_.emplace(id, std::prev(order_.end()));
    if (by_id_.size() > max_) {
      by_id_.erase(order_.front().first);
      order_.pop_front();
    }
  }

 private:
  using Order = std::list<std::pair<std::string, uint64_t>>;

  const size_t max_;
  Mutex mu_;                          // a leaf
  Order order_ ABSL_GUARDED_BY(mu_);  // longest unused first
  absl::flat_hash_map<std::string, Order::iterator> by_id_ ABSL_GUARDED_BY(mu_);
};

// One Publish call; deletes itself with its receipt.
class UnaryCall final : public ReceiptSink {
 public:
  UnaryCall(grpc::ByteBuffer* response, grpc::ServerUnaryReactor* reactor)
      : response_(response), reactor_(reactor) {}

  void OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    if (outcome.status.ok()) {
      std::string receipt;
      AppendReceipt(outcome, &receipt);
      *response_ = InField(v1::PublishResponse::kReceiptFieldNumber, receipt);
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

class PublishServiceImpl;

// One PublishStream.  It lives until gRPC is done with it and the last receipt has come.
class PublishStreamCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                                public ReceiptSink {
 public:
  explicit PublishStreamCall(PublishServiceImpl* owner);

  // Begins reading.  Apart from the constructor, because callbacks may come inside.
  void Start() { StartRead(&request_); }

  void Hold() {
    MutexLock lock(&mu_);
    ++holds_;
  }
  // The last one after OnDone() deletes the call.
  void Release() {
    bool over = false;
    {
      MutexLock lock(&mu_);
      --holds_;
      over = done_ && holds_ == 0;
    }
    if (over) delete this;
  }

  void GoAway(const std::string& reason) {
    v1::PublishStreamResponse response;
    response.mutable_go_away()->set_reason(reason);
    {
      MutexLock lock(&mu_);
      go_away_ = Serialize(response);
    }
    Pump();
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(absl::CancelledError("cancelled by the publisher")); }
  void OnDone() override;
  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override;

 private:
  // Receipts of one message, as its elements.
  struct Receipts {
    std::string bytes;
    size_t count = 0;
  };

  // Adds a receipt to those of its message.
  static void AddReceipt(uint64_t seq, const PublishOutcome& outcome, Receipts* to);
  absl::Status ReadMessage();
  absl::Status ReadHello();
  absl::Status ReadItems();
  // Publishes so many PublishItems.
  absl::Status Publish(size_t items, absl::FunctionRef<absl::string_view()> next);
  // Puts the receipts that came while reading to those that are to be written.
  void TakeReceiptsOfReading();
  // Stops reading, finishes at once with an error, or after the last receipt if `status` is OK.
  void End(const absl::Status& status);
  // Writes what there is to write, or finishes.
  void Pump();

  PublishServiceImpl* const owner_;

  // Of the reading callbacks.
  grpc::ByteBuffer request_;
  PublishStreamMessage message_;
  bool greeted_ = false;
  std::string publisher_id_;
  PublishParams params_;
  uint64_t last_seq_ = 0;
  // Receipts that come on the thread that reads, while it does: most do.
  Receipts receipts_of_reading_;
  bool refused_ = false;  // the last of them was a refusal

  Mutex mu_;  // a leaf
  std::optional<grpc::ByteBuffer> welcome_ ABSL_GUARDED_BY(mu_);
  std::optional<grpc::ByteBuffer> go_away_ ABSL_GUARDED_BY(mu_);
  // To be written; only the last may get more receipts.
  std::deque<Receipts> receipts_ ABSL_GUARDED_BY(mu_);
  std::string receipt_ ABSL_GUARDED_BY(mu_);         // the one being written
  size_t without_receipt_ ABSL_GUARDED_BY(mu_) = 0;  // items whose receipt is not written yet
  // Who will still come back to this call: items whose receipt has not come yet, GoAway().
  size_t holds_ ABSL_GUARDED_BY(mu_) = 0;
  size_t writing_receipts_ ABSL_GUARDED_BY(mu_) = 0;
  bool read_waits_ ABSL_GUARDED_BY(mu_) = false;  // until there is credit again
  bool reading_over_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);

  grpc::ByteBuffer response_;  // of the write in flight
};

// Events and receipts go by in their bytes.
using RawService =
    v1::Publisher::WithRawCallbackMethod_Publish<v1::Publisher::WithRawCallbackMethod_PublishBatch<
        v1::Publisher::WithRawCallbackMethod_PublishStream<
            v1::Publisher::WithRawCallbackMethod_Validate<v1::Publisher::Service>>>>;

class PublishServiceImpl final : public PublishService, public RawService {
 public:
  PublishServiceImpl(const Options& options, Router* router)
      : options_(options), router_(router), publishers_(options.max_publishers) {}

  grpc::Service* service() override { return this; }

  void GoAway(const std::string& reason) override {
    std::vector<PublishStreamCall*> streams;
    {
      MutexLock lock(&mu_);
      go_away_ = reason;
      streams.assign(streams_.begin(), streams_.end());
      for (PublishStreamCall* stream : streams) stream->Hold();
    }
    for (PublishStreamCall* stream : streams) {
      stream->GoAway(reason);
      stream->Release();
    }
  }

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
    PublishRun run(router_);
    run.Publish(event.event(), params, new UnaryCall(response, reactor), 0);
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
    if (status.ok() && events.size() > max_batch()) status = TooMany(events.size(), "events");
    if (!status.ok()) {
      reactor->Finish(ToGrpcStatus(status));
      return reactor;
    }
    auto* const call = new BatchCall(events.size(), response, reactor);
    {
      PublishRun run(router_);
      EventReader event;
      for (size_t i = 0; i < events.size(); ++i) {
        PublishOutcome refusal;
        refusal.status = event.Read(events[i]);
        if (refusal.status.ok()) {
          run.Publish(event.event(), params, call, i);
        } else {
          refusal.id = event.event().id;
          call->OnReceipt(i, refusal);
          run.Interrupted();
        }
      }
    }
    call->Done();
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishStream(
      grpc::CallbackServerContext* /*context*/) override {
    auto* const call = new PublishStreamCall(this);
    call->Start();
    return call;
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
        *response = Serialize(found);
      }
    }
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  // ---- for PublishStreamCall

  Router* router() const { return router_; }
  Publishers* publishers() { return &publishers_; }
  size_t credit() const { return options_.stream_credit; }
  size_t max_batch() const { return options_.max_batch(); }

  absl::Status TooMany(size_t got, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", got, ", at most ", max_batch(),
                                                   " in one message (limits.max_batch)"));
  }

  // Returns why the stream should go away at once; empty: it should not.
  std::string Add(PublishStreamCall* stream) {
    MutexLock lock(&mu_);
    streams_.insert(stream);
    return go_away_;
  }
  void Remove(PublishStreamCall* stream) {
    MutexLock lock(&mu_);
    streams_.erase(stream);
  }

 private:
  const Options options_;
  Router* const router_;
  Publishers publishers_;
  Mutex mu_;  // before PublishStreamCall's
  std::set<PublishStreamCall*> streams_ ABSL_GUARDED_BY(mu_);
  std::string go_away_ ABSL_GUARDED_BY(mu_);
};

// Whose message this thread is publishing.
thread_local const PublishStreamCall* being_read = nullptr;

PublishStreamCall::PublishStreamCall(PublishServiceImpl* owner) : owner_(owner) {}

void PublishStreamCall::OnReadDone(bool ok) {
  if (!ok) return End(absl::OkStatus());
  const absl::Status status = ReadMessage();
  request_.Clear();  // while it waits for the next, a stream holds little
  if (!status.ok()) return End(status);
  bool read = false;
  {
    MutexLock lock(&mu_);
    if (!reading_over_) {
      read = without_receipt_ < owner_->credit();
      read_waits_ = !read;
    }
  }
  if (read) StartRead(&request_);
  Pump();
}

absl::Status PublishStreamCall::ReadMessage() {
  if (greeted_) {
    std::vector<grpc::Slice> slices;
    if (!request_.Dump(&slices).ok()) return absl::InternalError("the message cannot be read");
    std::vector<absl::string_view> pieces;
    pieces.reserve(slices.size());
    for (const grpc::Slice& slice : slices) pieces.push_back(Text(slice));
    ItemsReader items;
    if (items.Open(pieces)) return Publish(items.size(), [&] { return items.Next(); });
  }
  FlatMessage flat;
  if (!flat.Take(request_)) return absl::InternalError("the message cannot be read");
  if (absl::Status status = ReadPublishStreamRequest(flat.bytes(), &message_); !status.ok()) {
    return status;
  }
  return greeted_ ? ReadItems() : ReadHello();
}

absl::Status PublishStreamCall::ReadHello() {
  if (message_.kind != PublishStreamMessage::Kind::kHello) {
    return absl::InvalidArgumentError("the first message of a PublishStream must be hello");
  }
  if (message_.publisher_id.size() > 256) {
    return absl::InvalidArgumentError(absl::StrCat("publisher_id: ", message_.publisher_id.size(),
                                                   " bytes, at most 256 allowed"));
  }
  params_ = message_.params;
  publisher_id_ = message_.publisher_id;
  greeted_ = true;
  if (!publisher_id_.empty()) last_seq_ = owner_->publishers()->LastAccepted(publisher_id_);
  v1::PublishStreamResponse response;
  response.mutable_welcome()->set_last_accepted_seq(last_seq_);
  response.mutable_welcome()->set_credit(static_cast<uint32_t>(owner_->credit()));
  {
    MutexLock lock(&mu_);
    welcome_ = Serialize(response);
  }
  const std::string go_away = owner_->Add(this);
  if (!go_away.empty()) GoAway(go_away);
  return absl::OkStatus();
}

absl::Status PublishStreamCall::ReadItems() {
  if (message_.kind != PublishStreamMessage::Kind::kItems) {
    return absl::InvalidArgumentError("message: neither hello nor items");
  }
  size_t next = 0;
  return Publish(message_.items.size(), [&] { return message_.items[next++]; });
}

absl::Status PublishStreamCall::Publish(size_t items, absl::FunctionRef<absl::string_view()> next) {
  if (items > owner_->max_batch()) return owner_->TooMany(items, "items");
  {
    MutexLock lock(&mu_);
    without_receipt_ += items;
    holds_ += items;
  }
  const PublishStreamCall* const outer = std::exchange(being_read, this);
  PublishRun run(owner_->router());
  EventReader event;  // not kept: a large event would be, too
  receipts_of_reading_.bytes.reserve(items * kReceiptBytes);
  for (size_t i = 0; i < items; ++i) {
    uint64_t seq = 0;
    PublishOutcome refusal;
    refusal.status = ReadPublishItem(next(), &seq, &event);
    refusal.id = event.event().id;
    if (!publisher_id_.empty() && refusal.status.ok()) {
      // Only who has a name can be told that it sent a seq before.
      if (seq <= last_seq_) {
        refusal.status = absl::AlreadyExistsError(absl::StrCat(
            "seq ", seq, ": not above ", last_seq_, ", the last one of this publisher_id"));
      } else {
        last_seq_ = seq;
      }
    }
    if (!refusal.status.ok()) {
      OnReceipt(seq, refusal);
      run.Interrupted();
      continue;
    }
    refused_ = false;
    run.Publish(event.event(), params_, this, seq);
    if (!publisher_id_.empty() && !refused_) {
      owner_->publishers()->Accepted(publisher_id_, seq);
    }
  }
  run.Flush();
  being_read = outer;
  TakeReceiptsOfReading();
  return absl::OkStatus();
}

void PublishStreamCall::AddReceipt(uint64_t seq, const PublishOutcome& outcome, Receipts* to) {
  thread_local std::string receipt;
  receipt.clear();
  AppendReceipt(outcome, &receipt);
  AppendItemReceipt(seq, receipt, &to->bytes);
  ++to->count;
  if (receipt.capacity() > kKeptBytes) std::string().swap(receipt);
}

void PublishStreamCall::TakeReceiptsOfReading() {
  if (receipts_of_reading_.count == 0) {
    receipts_of_reading_ = {};
    return;
  }
  MutexLock lock(&mu_);
  // While it is read, the call is not done.
  Receipts taken = std::exchange(receipts_of_reading_, {});
  holds_ -= taken.count;
  // What waits for the write in flight leaves together, however small the messages were.
  if (receipts_.empty() || receipts_.back().count + taken.count > kReceiptsPerMessage) {
    receipts_.push_back(std::move(taken));
  } else {
    receipts_.back().bytes += taken.bytes;
    receipts_.back().count += taken.count;
  }
}

void PublishStreamCall::OnReceipt(uint64_t tag, const PublishOutcome& outcome) {
  if (being_read == this) {
    refused_ = !outcome.status.ok();
    AddReceipt(tag, outcome, &receipts_of_reading_);
    // Those of one message go out together.
    if (receipts_of_reading_.count < kReceiptsPerMessage) return;
    TakeReceiptsOfReading();
    Pump();
    return;
  }
  {
    MutexLock lock(&mu_);
    if (receipts_.empty() || receipts_.back().count >= kReceiptsPerMessage) {
      receipts_.emplace_back();
    }
    AddReceipt(tag, outcome, &receipts_.back());
  }
  Pump();
  Release();
}

void PublishStreamCall::End(const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    if (!reading_over_ || status_.ok()) status_ = status;
    reading_over_ = true;
  }
  Pump();
}

void PublishStreamCall::Pump() {
  bool write = false, finish = false;
  absl::Status status;
  {
    MutexLock lock(&mu_);
    if (finished_ || writing_) return;
    const bool failed = reading_over_ && !status_.ok();
    if (!failed) {
      write = true;
      if (welcome_.has_value()) {
        response_ = *std::exchange(welcome_, std::nullopt);
      } else if (!receipts_.empty()) {
        Receipts& receipts = receipts_.front();
        response_ = InField(v1::PublishStreamResponse::kReceiptsFieldNumber, receipts.bytes);
        writing_receipts_ = receipts.count;
        receipts_.pop_front();
      } else if (go_away_.has_value()) {
        response_ = *std::exchange(go_away_, std::nullopt);
      } else {
        write = false;
      }
    }
    finish = failed || (!write && reading_over_ && without_receipt_ == 0);
    writing_ = write;
    finished_ = finish;
    status = status_;
  }
  if (write) StartWrite(&response_);
  if (finish) Finish(ToGrpcStatus(status));
}

void PublishStreamCall::OnWriteDone(bool ok) {
  bool read = false;
  {
    MutexLock lock(&mu_);
    response_.Clear();  // an idle stream holds little
    writing_ = false;
    without_receipt_ -= std::exchange(writing_receipts_, 0);
    if (!ok && status_.ok()) {
      reading_over_ = true;
      status_ = absl::CancelledError("the publisher went away");
    }
    if (read_waits_ && !reading_over_ && without_receipt_ < owner_->credit()) {
      read_waits_ = false;
      read = true;
    }
  }
  if (read) StartRead(&request_);
  Pump();
}

void PublishStreamCall::OnDone() {
  owner_->Remove(this);
  bool over = false;
  {
    MutexLock lock(&mu_);
    done_ = true;
    over = holds_ == 0;
  }
  if (over) delete this;
}

}  // namespace

std::unique_ptr<PublishService> PublishService::Make(const Options& options, Router* router) {
  return std::make_unique<PublishServiceImpl>(options, router);
}

}  // namespace fanwire::control
