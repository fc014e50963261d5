#include "control/publish/publish_stream.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "common/rpc_status.h"
#include "control/events/event.h"
#include "control/events/fingerprint.h"
#include "control/publish/publish_reader.h"
#include "control/publish/publisher_log.h"
#include "control/publish/raw_messages.h"
#include "control/publish/receipt_stream.h"
#include "control/publish/stream_order.h"
#include "control/routing/router.h"
#include "fanwire/v1/publish.pb.h"

namespace fanwire::control {

namespace {

constexpr size_t kMaxPublisherIdBytes = 256;

// How many times a stream's credit the publishers without a stream may have remembered seqs.
constexpr size_t kRememberedCredits = 50;

using Pieces = std::vector<absl::string_view>;

// The pieces as one text, which may be kept in `joined`.
absl::string_view Join(const Pieces& pieces, std::string* joined) {
  if (pieces.size() == 1) return pieces.front();
  size_t size = 0;
  for (const absl::string_view piece : pieces) size += piece.size();
  joined->reserve(size);
  for (const absl::string_view piece : pieces) absl::StrAppend(joined, piece);
  return *joined;
}

}  // namespace

// One PublishStream; deletes itself.
class PublishStreams::Call final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public ReceiptSink {
 public:
  explicit Call(PublishStreams* owner)
      : owner_(owner), order_(&owner->publishers_), receipts_(owner->options_.credit) {}

  // Begins reading.  Apart from the constructor, because callbacks may come inside.
  void Start() { StartRead(&request_); }

  // Keeps the call alive until Release().
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
      go_away_ = ToByteBuffer(response);
    }
    Write();
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(absl::CancelledError("cancelled by the publisher")); }
  void OnDone() override;
  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override;
  void OnAccepted(uint64_t tag, const PublishOutcome& outcome) override { Settle(tag, outcome); }

 private:
  absl::Status ReadMessage();
  absl::Status ReadHello(const PublishStreamMessage& message);
  absl::Status ReadItems(const PublishStreamMessage& message);
  // Publishes so many PublishItems.
  absl::Status Publish(size_t items, absl::FunctionRef<absl::string_view()> next);
  // Publishes one PublishItem, or gives it a receipt that says why not.
  //   FAILED_PRECONDITION  another stream has taken the publisher over; there is no receipt
  absl::Status PublishItem(absl::string_view bytes, EventReader* event, PublishRun* run);
  // Says what became of an item, for when its seq comes again.
  void Settle(uint64_t seq, const PublishOutcome& outcome);
  // Gives an item its receipt.
  void Answer(uint64_t seq, const PublishOutcome& outcome);
  // Hands the receipts that came while reading over to receipts_.
  void HandOverReceipts();
  // Stops reading.  With an error the call finishes at once, else after the last receipt.
  void End(const absl::Status& status);
  // Writes the next message, if there is one and no other is being written; or finishes the call,
  // if it is over.
  void Write();

  // Takes the outcomes of items that this call did not publish: what is refused before, and what
  // another item with the same seq became.
  class Answers final : public ReceiptSink {
   public:
    explicit Answers(Call* call) : call_(call) {}
    void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override {
      call_->Answer(tag, outcome);
    }

   private:
    Call* const call_;
  };

  PublishStreams* const owner_;
  Answers answers_{this};
  std::atomic<bool> failed_{false};  // what was read is not published any further

  // Only touched by the callbacks of reading, of which one runs at a time.
  grpc::ByteBuffer request_;
  bool greeted_ = false;
  PublishParams params_;
  // Receipts that come on the thread that reads, while it does: most do.
  ReceiptBatch receipts_of_reading_;

  StreamOrder order_;  // settles from every thread

  Mutex mu_;  // a leaf
  std::optional<grpc::ByteBuffer> welcome_ ABSL_GUARDED_BY(mu_);
  std::optional<grpc::ByteBuffer> go_away_ ABSL_GUARDED_BY(mu_);
  ReceiptStream receipts_ ABSL_GUARDED_BY(mu_);
  // Who will still come back to this call: items whose receipt has not come yet, GoAway().
  size_t holds_ ABSL_GUARDED_BY(mu_) = 0;
  bool read_waits_ ABSL_GUARDED_BY(mu_) = false;  // until there is credit again
  bool reading_over_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool order_ended_ ABSL_GUARDED_BY(mu_) = false;  // order_.End() was called, or is about to be
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);

  grpc::ByteBuffer response_;  // of the write in flight

  // The call whose message this thread is publishing.
  static thread_local const Call* being_read;
};

thread_local const PublishStreams::Call* PublishStreams::Call::being_read = nullptr;

void PublishStreams::Call::OnReadDone(bool ok) {
  if (!ok) return End(absl::OkStatus());
  const absl::Status status = ReadMessage();
  request_.Clear();  // while it waits for the next, a stream holds little
  if (!status.ok()) return End(status);
  bool read = false;
  {
    MutexLock lock(&mu_);
    if (!reading_over_) {
      read = receipts_.has_credit();
      read_waits_ = !read;
    }
  }
  if (read) StartRead(&request_);
  Write();
}

absl::Status PublishStreams::Call::ReadMessage() {
  std::vector<grpc::Slice> slices;
  if (request_.Length() > 0 && !request_.Dump(&slices).ok())
    return absl::InternalError("the message cannot be read");
  Pieces pieces;
  pieces.reserve(slices.size());
  for (const grpc::Slice& slice : slices) {
    pieces.emplace_back(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  if (greeted_) {
    ItemsReader items;
    if (items.Open(pieces)) return Publish(items.size(), [&] { return items.Next(); });
  }
  std::string joined;
  PublishStreamMessage message;
  if (absl::Status status =
          ReadPublishStreamRequest(Join(pieces, &joined), owner_->options_.max_batch(), &message);
      !status.ok()) {
    owner_->router_->CountRefusal({}, status);
    return status;
  }
  return greeted_ ? ReadItems(message) : ReadHello(message);
}

absl::Status PublishStreams::Call::ReadHello(const PublishStreamMessage& message) {
  if (message.kind != PublishStreamMessage::Kind::kHello) {
    return absl::InvalidArgumentError("the first message of a PublishStream must be hello");
  }
  if (message.publisher_id.size() > kMaxPublisherIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("publisher_id: ", message.publisher_id.size(),
                                                   " bytes, at most ", kMaxPublisherIdBytes,
                                                   " allowed"));
  }
  const absl::StatusOr<uint64_t> last_accepted = order_.Begin(message.publisher_id);
  if (!last_accepted.ok()) return last_accepted.status();
  params_ = message.params;
  params_.publisher_id = order_.publisher_id();
  greeted_ = true;
  v1::PublishStreamResponse response;
  response.mutable_welcome()->set_last_accepted_seq(*last_accepted);
  response.mutable_welcome()->set_credit(static_cast<uint32_t>(owner_->options_.credit));
  {
    MutexLock lock(&mu_);
    welcome_ = ToByteBuffer(response);
  }
  const std::string go_away = owner_->Add(this);
  if (!go_away.empty()) GoAway(go_away);
  return absl::OkStatus();
}

absl::Status PublishStreams::Call::ReadItems(const PublishStreamMessage& message) {
  switch (message.kind) {
    case PublishStreamMessage::Kind::kHello:
      return absl::InvalidArgumentError(
          "hello: this stream has had one; only its first message may be hello");
    case PublishStreamMessage::Kind::kNone:
      return absl::InvalidArgumentError("message: expected hello or items, found neither");
    case PublishStreamMessage::Kind::kItems:
      break;
  }
  size_t next = 0;
  return Publish(message.items.size(), [&] { return message.items[next++]; });
}

absl::Status PublishStreams::Call::Publish(size_t items,
                                           absl::FunctionRef<absl::string_view()> next) {
  if (absl::Status status = CheckBatchSize("items", items, owner_->options_.max_batch());
      !status.ok()) {
    owner_->router_->CountRefusal({}, status);
    return status;
  }
  {
    MutexLock lock(&mu_);
    receipts_.Expect(items);
    holds_ += items;
  }
  const Call* const outer = std::exchange(being_read, this);
  const std::unique_ptr<PublishRun> run = owner_->router_->MakeRun();
  EventReader event;  // not kept: a large event would be, too
  absl::Status status;
  size_t done = 0;
  while (done < items && !failed_.load(std::memory_order_relaxed)) {
    if (receipts_of_reading_.empty()) receipts_of_reading_.Reserve(items - done);
    status = PublishItem(next(), &event, run.get());
    if (!status.ok()) break;
    ++done;
  }
  run->Flush();
  being_read = outer;
  HandOverReceipts();
  if (done < items) {
    MutexLock lock(&mu_);
    holds_ -= items - done;  // those get no receipt: the call ends with an error
  }
  return status;
}

absl::Status PublishStreams::Call::PublishItem(absl::string_view bytes, EventReader* event,
                                               PublishRun* run) {
  uint64_t seq = 0;
  if (absl::Status status = ReadPublishItem(bytes, &seq, event); !status.ok()) {
    run->Refuse(event->event(), status, &answers_, seq);
    return absl::OkStatus();
  }
  if (order_.named()) {
    using Claim = PublisherLog::Claim;
    PublisherLog::Earlier earlier;
    params_.seq = seq;
    params_.seq_fingerprint = Fingerprint(event->event());
    const Claim claim =
        order_.Take(seq, params_.seq_fingerprint, {.sink = &answers_, .tag = seq}, &earlier);
    switch (claim) {
      case Claim::kNew:
        break;
      case Claim::kRepeated: {
        run->CountDuplicate(event->event());
        PublishOutcome outcome;
        outcome.id = earlier.id.empty() ? event->event().id : absl::string_view(earlier.id);
        outcome.position = earlier.position;
        outcome.duplicate = true;
        Answer(seq, outcome);
        return absl::OkStatus();
      }
      case Claim::kWaiting:
        run->CountDuplicate(event->event());
        return absl::OkStatus();
      case Claim::kConflict:
      case Claim::kUnknown:
        run->Refuse(event->event(), order_.Refusal(claim, seq), &answers_, seq);
        return absl::OkStatus();
      case Claim::kStale:
        return order_.Refusal(claim, seq);
    }
  }
  run->Publish(event->event(), params_, this, seq);
  return absl::OkStatus();
}

void PublishStreams::Call::Settle(uint64_t seq, const PublishOutcome& outcome) {
  if (!order_.named()) return;
  const std::vector<PublisherLog::Waiter> waiters = order_.Settle(seq, outcome);
  if (waiters.empty()) return;
  PublishOutcome again;
  again.status = outcome.status;
  again.id = outcome.id;
  again.position = outcome.position;
  again.duplicate = outcome.status.ok();
  for (const PublisherLog::Waiter& waiter : waiters) waiter.sink->OnReceipt(waiter.tag, again);
}

void PublishStreams::Call::OnReceipt(uint64_t tag, const PublishOutcome& outcome) {
  Settle(tag, outcome);
  Answer(tag, outcome);
}

void PublishStreams::Call::HandOverReceipts() {
  ReceiptBatch batch = std::exchange(receipts_of_reading_, {});
  if (batch.empty()) return;
  MutexLock lock(&mu_);
  holds_ -= batch.size();  // not the last ones: while it is read, the call is not done
  receipts_.Add(std::move(batch));
}

void PublishStreams::Call::Answer(uint64_t seq, const PublishOutcome& outcome) {
  if (being_read == this) {
    receipts_of_reading_.Add(seq, outcome);
    // Those of one message go out together.
    if (!receipts_of_reading_.full()) return;
    HandOverReceipts();
    Write();
    return;
  }
  {
    MutexLock lock(&mu_);
    receipts_.Add(seq, outcome);
  }
  Write();
  Release();
}

void PublishStreams::Call::End(const absl::Status& status) {
  if (!status.ok()) failed_.store(true, std::memory_order_relaxed);
  {
    MutexLock lock(&mu_);
    if (!reading_over_ || status_.ok()) status_ = status;
    reading_over_ = true;
  }
  Write();
}

void PublishStreams::Call::Write() {
  bool write = false, finish = false, end_order = false;
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
        response_ = MessageWithField(v1::PublishStreamResponse::kReceiptsFieldNumber,
                                     receipts_.Take().bytes());
      } else if (go_away_.has_value()) {
        response_ = *std::exchange(go_away_, std::nullopt);
      } else {
        write = false;
      }
    }
    finish = failed || (!write && reading_over_ && receipts_.complete());
    writing_ = write;
    finished_ = finish;
    status = status_;
    // A publisher that went away may still have a message being read here; nobody is told its end.
    end_order = finish && !absl::IsCancelled(status);
    order_ended_ = order_ended_ || end_order;
  }
  if (write) StartWrite(&response_);
  // First, so that the publisher that is told the end may begin its next stream at once.
  if (end_order) order_.End();
  if (finish) Finish(ToGrpcStatus(status));
}

void PublishStreams::Call::OnWriteDone(bool ok) {
  bool read = false;
  {
    MutexLock lock(&mu_);
    response_.Clear();  // an idle stream holds little
    writing_ = false;
    receipts_.Written();
    if (!ok && status_.ok()) {
      failed_.store(true, std::memory_order_relaxed);
      reading_over_ = true;
      status_ = absl::CancelledError("the publisher went away");
    }
    if (read_waits_ && !reading_over_ && receipts_.has_credit()) {
      read_waits_ = false;
      read = true;
    }
  }
  if (read) StartRead(&request_);
  Write();
}

void PublishStreams::Call::OnDone() {
  owner_->Remove(this);
  bool end_order = false, over = false;
  {
    MutexLock lock(&mu_);
    end_order = !std::exchange(order_ended_, true);
  }
  if (end_order) order_.End();
  {
    MutexLock lock(&mu_);
    done_ = true;
    over = holds_ == 0;
  }
  if (over) delete this;
}

PublishStreams::PublishStreams(const Options& options, Router* router)
    : options_(options),
      router_(router),
      // A publisher has at most `credit` items without a receipt.  Those of a few publishers whose
      // streams were cut at once are remembered in full.
      publishers_({.max_publishers = options.max_publishers,
                   .window = options.credit,
                   .max_seqs = kRememberedCredits * options.credit,
                   .keep_idle = options.keep_idle}) {}

PublishStreams::~PublishStreams() = default;

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishStreams::Open() {
  auto* const call = new Call(this);
  call->Start();
  return call;
}

void PublishStreams::GoAway(const std::string& reason) {
  std::vector<Call*> calls;
  {
    MutexLock lock(&mu_);
    go_away_ = reason;
    calls.assign(calls_.begin(), calls_.end());
    for (Call* call : calls) call->Hold();
  }
  for (Call* call : calls) {
    call->GoAway(reason);
    call->Release();
  }
}

std::string PublishStreams::Add(Call* call) {
  MutexLock lock(&mu_);
  calls_.insert(call);
  return go_away_;
}

void PublishStreams::Remove(Call* call) {
  MutexLock lock(&mu_);
  calls_.erase(call);
}

}  // namespace fanwire::control
