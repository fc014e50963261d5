#include "control/publish_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <deque>
#include <list>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/rpc_status.h"
#include "control/event_view.h"
#include "control/router.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "google/protobuf/arena.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace fanwire {
namespace {

// Receipts in one message of a stream.
constexpr size_t kReceiptsPerMessage = 1000;

// A message of a stream and all within it, in few blocks of memory.
template <typename Message>
class InArena {
 public:
  InArena() : arena_(Options()) {}

  Message* get() {
    if (message_ == nullptr) message_ = google::protobuf::Arena::CreateMessage<Message>(&arena_);
    return message_;
  }
  Message* operator->() { return get(); }
  Message& operator*() { return *get(); }

  // Lets go of all.
  void Reset() {
    message_ = nullptr;
    arena_.Reset();
  }

 private:
  static google::protobuf::ArenaOptions Options() {
    google::protobuf::ArenaOptions options;
    options.start_block_size = 1 << 10;
    options.max_block_size = 64 << 10;
    return options;
  }

  google::protobuf::Arena arena_;
  Message* message_ = nullptr;
};

using ResponseInArena = InArena<v1::PublishStreamResponse>;

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::string_view View(const std::string& text) { return text; }

// Whether every number is one of JSON's; protobuf would write the others as texts.  What was parsed
// is nested 100 levels at most.
bool IsFinite(const google::protobuf::Value& value) {
  if (value.has_number_value()) return std::isfinite(value.number_value());
  const auto& items = value.list_value().values();
  const auto& fields = value.struct_value().fields();
  return std::all_of(items.begin(), items.end(), IsFinite) &&
         std::all_of(fields.begin(), fields.end(),
                     [](const auto& field) { return IsFinite(field.second); });
}

// An Event as Router takes it.  `typed` holds the JSON of a typed payload and must outlive it.
absl::Status ReadEvent(const v1::Event& event, EventView* view, std::string* typed) {
  *view = {};
  view->service = View(event.service());
  view->channel = View(event.channel());
  view->event = View(event.event());
  view->id = View(event.id());
  view->idempotency_key = View(event.idempotency_key());
  view->exclude_connection = View(event.exclude_connection());
  view->skip_history = event.skip_history();
  if (event.has_occurred_at()) {
    const google::protobuf::Timestamp& at = event.occurred_at();
    // 0001-01-01 to 9999-12-31, as the type is defined.
    if (at.seconds() < -62135596800 || at.seconds() > 253402300799 || at.nanos() < 0 ||
        at.nanos() > 999999999) {
      return absl::InvalidArgumentError("occurred_at: not between the years 1 and 9999");
    }
    view->occurred_at = absl::FromUnixSeconds(at.seconds()) + absl::Nanoseconds(at.nanos());
  }
  if (event.has_ttl()) view->ttl = FromProto(event.ttl());
  if (event.payload_case() == v1::Event::kTyped) {
    const google::protobuf::Any& any = event.typed();
    google::protobuf::Struct object;
    google::protobuf::Value value;
    if (any.Is<google::protobuf::Value>() && any.UnpackTo(&value) && value.has_struct_value()) {
      object = value.struct_value();
    } else if (!any.Is<google::protobuf::Struct>() || !any.UnpackTo(&object)) {
      return absl::InvalidArgumentError(
          absl::StrCat("typed: \"", any.type_url(),
                       "\" is neither google.protobuf.Struct nor an object as "
                       "google.protobuf.Value"));
    }
    for (const auto& [key, field] : object.fields()) {
      if (IsFinite(field)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("typed: \"", key, "\" has a number that JSON does not have"));
    }
    typed->clear();
    if (!google::protobuf::util::MessageToJsonString(object, typed).ok()) {
      return absl::InvalidArgumentError("typed: cannot be written as JSON");
    }
    view->json = View(*typed);
  } else {
    view->json = View(event.json());
  }
  return absl::OkStatus();
}

void WriteReceipt(const PublishOutcome& outcome, v1::Receipt* receipt) {
  receipt->set_id(outcome.id.data(), outcome.id.size());
  if (!outcome.status.ok()) {
    receipt->mutable_status()->set_code(static_cast<int>(outcome.status.code()));
    receipt->mutable_status()->set_message(std::string(outcome.status.message()));
    return;
  }
  if (outcome.position.offset > 0) {
    receipt->mutable_position()->set_epoch(outcome.position.epoch.ToText());
    receipt->mutable_position()->set_offset(outcome.position.offset);
  }
  receipt->set_level(static_cast<v1::ReceiptLevel>(outcome.level));
  receipt->set_duplicate(outcome.duplicate);
  receipt->set_timed_out(outcome.timed_out);
  v1::StageTimes* const stages = receipt->mutable_stage_times();
  stages->set_accepted_us(outcome.stages.accepted);
  stages->set_routed_us(outcome.stages.routed);
  stages->set_first_written_us(outcome.stages.first_written);
  stages->set_last_written_us(outcome.stages.last_written);
  if (outcome.level == ReceiptLevel::kAccepted) return;
  v1::Delivery* const delivery = receipt->mutable_delivery();
  delivery->set_matched(outcome.delivery.matched);
  delivery->set_written(outcome.delivery.written);
  for (size_t reason = 0; reason < kDropReasons; ++reason) {
    if (outcome.delivery.dropped[reason] == 0) continue;
    v1::DropCount* const dropped = delivery->add_dropped();
    dropped->set_reason(static_cast<v1::DropReason>(reason));
    dropped->set_count(outcome.delivery.dropped[reason]);
  }
  delivery->set_lost_connection(outcome.delivery.lost_connection);
  delivery->set_expired(outcome.delivery.expired);
  delivery->set_workers_total(outcome.delivery.workers_total);
  delivery->set_workers_reported(outcome.delivery.workers_reported);
}

absl::StatusOr<PublishParams> ReadParams(v1::ReceiptLevel level, bool has_wait,
                                         const google::protobuf::Duration& wait) {
  PublishParams params;
  if (level != v1::RECEIPT_LEVEL_UNSPECIFIED) {
    if (!v1::ReceiptLevel_IsValid(level)) {
      return absl::InvalidArgumentError(
          absl::StrCat("receipt_level: ", static_cast<int>(level), " is none"));
    }
    params.level = static_cast<ReceiptLevel>(level);
  }
  if (has_wait) {
    params.wait = FromProto(wait);
    if (params.wait < absl::ZeroDuration()) {
      return absl::InvalidArgumentError("wait: negative");
    }
  }
  return params;
}

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
  UnaryCall(v1::PublishResponse* response, grpc::ServerUnaryReactor* reactor)
      : response_(response), reactor_(reactor) {}

  void OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    if (outcome.status.ok()) WriteReceipt(outcome, response_->mutable_receipt());
    reactor_->Finish(ToGrpcStatus(outcome.status));
    delete this;
  }

 private:
  v1::PublishResponse* const response_;
  grpc::ServerUnaryReactor* const reactor_;
};

// One PublishBatch call; deletes itself with the last receipt.
class BatchCall final : public ReceiptSink {
 public:
  BatchCall(int events, v1::PublishBatchResponse* response, grpc::ServerUnaryReactor* reactor)
      : response_(response), reactor_(reactor), missing_(events + 1) {
    response->mutable_receipts()->Reserve(events);
    for (int i = 0; i < events; ++i) response->add_receipts();
  }

  // Receipts may come on several threads at once; each writes its own element.
  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override {
    WriteReceipt(outcome, response_->mutable_receipts(static_cast<int>(tag)));
    Done();
  }

  void Done() {
    if (missing_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    reactor_->Finish(grpc::Status::OK);
    delete this;
  }

 private:
  v1::PublishBatchResponse* const response_;
  grpc::ServerUnaryReactor* const reactor_;
  std::atomic<int> missing_;  // receipts, and the end of publishing
};

class PublishServiceImpl;

// One PublishStream.  It lives until gRPC is done with it and the last receipt has come.
class PublishStreamCall final
    : public grpc::ServerBidiReactor<v1::PublishStreamRequest, v1::PublishStreamResponse>,
      public ReceiptSink {
 public:
  explicit PublishStreamCall(PublishServiceImpl* owner);

  // Begins reading.  Apart from the constructor, because callbacks may come inside.
  void Start() { StartRead(request_.get()); }

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
    {
      MutexLock lock(&mu_);
      go_away_ = std::make_unique<ResponseInArena>();
      (*go_away_)->mutable_go_away()->set_reason(reason);
    }
    Pump();
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { End(absl::CancelledError("cancelled by the publisher")); }
  void OnDone() override;
  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override;

 private:
  absl::Status ReadHello();
  absl::Status ReadItems();
  bool WasRefused(uint64_t seq) {
    MutexLock lock(&mu_);
    return refused_.contains(seq);
  }
  // Stops reading, finishes at once with an error, or after the last receipt if `status` is OK.
  void End(const absl::Status& status);
  // Writes what there is to write, or finishes.
  void Pump();
  static size_t CountOf(ResponseInArena* response) {
    return static_cast<size_t>((*response)->receipts().receipts_size());
  }

  PublishServiceImpl* const owner_;

  // Of the reading callbacks.
  InArena<v1::PublishStreamRequest> request_;
  bool greeted_ = false;
  std::string publisher_id_;
  PublishParams params_;
  uint64_t last_seq_ = 0;

  Mutex mu_;  // a leaf
  std::unique_ptr<ResponseInArena> welcome_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<ResponseInArena> go_away_ ABSL_GUARDED_BY(mu_);
  // To be written; only the last may get more receipts.
  std::deque<std::unique_ptr<ResponseInArena>> receipts_ ABSL_GUARDED_BY(mu_);
  size_t without_receipt_ ABSL_GUARDED_BY(mu_) = 0;  // items whose receipt is not written yet
  // Who will still come back to this call: items whose receipt has not come yet, GoAway().
  size_t holds_ ABSL_GUARDED_BY(mu_) = 0;
  size_t writing_receipts_ ABSL_GUARDED_BY(mu_) = 0;
  bool publishing_ ABSL_GUARDED_BY(mu_) = false;                // inside ReadItems()
  absl::flat_hash_set<uint64_t> refused_ ABSL_GUARDED_BY(mu_);  // seqs, of the message being read
  bool read_waits_ ABSL_GUARDED_BY(mu_) = false;                // until there is credit again
  bool reading_over_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);

  std::unique_ptr<ResponseInArena> response_;  // of the write in flight
};

class PublishServiceImpl final : public PublishService, public v1::Publisher::CallbackService {
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
                                    const v1::PublishRequest* request,
                                    v1::PublishResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::StatusOr<PublishParams> params =
        ReadParams(request->receipt_level(), request->has_wait(), request->wait());
    EventView event;
    std::string typed;
    absl::Status status = params.status();
    if (status.ok()) status = ReadEvent(request->event(), &event, &typed);
    if (!status.ok()) {
      reactor->Finish(ToGrpcStatus(status));
      return reactor;
    }
    PublishRun run(router_);
    run.Publish(event, *params, new UnaryCall(response, reactor), 0);
    return reactor;
  }

  grpc::ServerUnaryReactor* PublishBatch(grpc::CallbackServerContext* context,
                                         const v1::PublishBatchRequest* request,
                                         v1::PublishBatchResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    const absl::StatusOr<PublishParams> params =
        ReadParams(request->receipt_level(), request->has_wait(), request->wait());
    absl::Status status = params.status();
    const auto events = static_cast<size_t>(request->events_size());
    if (status.ok() && events > max_batch()) status = TooMany(events, "events");
    if (!status.ok()) {
      reactor->Finish(ToGrpcStatus(status));
      return reactor;
    }
    auto* const call = new BatchCall(request->events_size(), response, reactor);
    {
      PublishRun run(router_);
      EventView event;
      std::string typed;
      for (int i = 0; i < request->events_size(); ++i) {
        const absl::Status read = ReadEvent(request->events(i), &event, &typed);
        if (read.ok()) {
          run.Publish(event, *params, call, static_cast<uint64_t>(i));
        } else {
          PublishOutcome refusal;
          refusal.status = read;
          refusal.id = event.id;
          call->OnReceipt(static_cast<uint64_t>(i), refusal);
        }
      }
    }
    call->Done();
    return reactor;
  }

  grpc::ServerBidiReactor<v1::PublishStreamRequest, v1::PublishStreamResponse>* PublishStream(
      grpc::CallbackServerContext* /*context*/) override {
    auto* const call = new PublishStreamCall(this);
    call->Start();
    return call;
  }

  grpc::ServerUnaryReactor* Validate(grpc::CallbackServerContext* context,
                                     const v1::ValidateRequest* request,
                                     v1::ValidateResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    EventView event;
    std::string typed;
    absl::Status status = ReadEvent(request->event(), &event, &typed);
    if (status.ok()) {
      const absl::StatusOr<Router::Validation> validation = router_->Validate(event);
      status = validation.status();
      if (validation.ok()) {
        for (const std::string& channel : validation->channels) response->add_channels(channel);
        for (const std::string& warning : validation->warnings) response->add_warnings(warning);
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

PublishStreamCall::PublishStreamCall(PublishServiceImpl* owner) : owner_(owner) {}

void PublishStreamCall::OnReadDone(bool ok) {
  if (!ok) return End(absl::OkStatus());
  if (absl::Status status = greeted_ ? ReadItems() : ReadHello(); !status.ok()) {
    return End(status);
  }
  request_.Reset();  // while it waits for the next, a stream holds little
  bool read = false;
  {
    MutexLock lock(&mu_);
    if (!reading_over_) {
      read = without_receipt_ < owner_->credit();
      read_waits_ = !read;
    }
  }
  if (read) StartRead(request_.get());
  Pump();
}

absl::Status PublishStreamCall::ReadHello() {
  if (!request_->has_hello()) {
    return absl::InvalidArgumentError("the first message of a PublishStream must be hello");
  }
  const v1::PublisherHello& hello = request_->hello();
  if (hello.publisher_id().size() > 256) {
    return absl::InvalidArgumentError(
        absl::StrCat("publisher_id: ", hello.publisher_id().size(), " bytes, at most 256 allowed"));
  }
  const absl::StatusOr<PublishParams> params =
      ReadParams(hello.receipt_level(), hello.has_wait(), hello.wait());
  if (!params.ok()) return params.status();
  params_ = *params;
  publisher_id_ = hello.publisher_id();
  greeted_ = true;
  if (!publisher_id_.empty()) last_seq_ = owner_->publishers()->LastAccepted(publisher_id_);
  auto welcome = std::make_unique<ResponseInArena>();
  (*welcome)->mutable_welcome()->set_last_accepted_seq(last_seq_);
  (*welcome)->mutable_welcome()->set_credit(static_cast<uint32_t>(owner_->credit()));
  {
    MutexLock lock(&mu_);
    welcome_ = std::move(welcome);
  }
  const std::string go_away = owner_->Add(this);
  if (!go_away.empty()) GoAway(go_away);
  return absl::OkStatus();
}

absl::Status PublishStreamCall::ReadItems() {
  if (!request_->has_items()) {
    return absl::InvalidArgumentError("message: neither hello nor items");
  }
  const auto items = static_cast<size_t>(request_->items().items_size());
  if (items > owner_->max_batch()) return owner_->TooMany(items, "items");
  {
    MutexLock lock(&mu_);
    without_receipt_ += items;
    holds_ += items;
    publishing_ = true;
    refused_.clear();
  }
  PublishRun run(owner_->router());
  EventView event;
  std::string typed;
  for (const v1::PublishItem& item : request_->items().items()) {
    PublishOutcome refusal;
    refusal.status = ReadEvent(item.event(), &event, &typed);
    refusal.id = event.id;
    if (!publisher_id_.empty() && refusal.status.ok()) {
      // Only who has a name can be told that it sent a seq before.
      if (item.seq() <= last_seq_) {
        refusal.status = absl::AlreadyExistsError(absl::StrCat(
            "seq ", item.seq(), ": not above ", last_seq_, ", the last one of this publisher_id"));
      } else {
        last_seq_ = item.seq();
      }
    }
    if (!refusal.status.ok()) {
      OnReceipt(item.seq(), refusal);
      continue;
    }
    run.Publish(event, params_, this, item.seq());
    if (!publisher_id_.empty() && !WasRefused(item.seq())) {
      owner_->publishers()->Accepted(publisher_id_, item.seq());
    }
  }
  run.Flush();
  MutexLock lock(&mu_);
  publishing_ = false;
  return absl::OkStatus();
}

void PublishStreamCall::OnReceipt(uint64_t tag, const PublishOutcome& outcome) {
  bool pump = false;
  {
    MutexLock lock(&mu_);
    if (publishing_ && !outcome.status.ok()) refused_.insert(tag);
    if (receipts_.empty() || CountOf(receipts_.back().get()) >= kReceiptsPerMessage) {
      receipts_.push_back(std::make_unique<ResponseInArena>());
    }
    v1::ItemReceipt* const receipt =
        (*receipts_.back())->mutable_receipts()->mutable_receipts()->Add();
    receipt->set_seq(tag);
    WriteReceipt(outcome, receipt->mutable_receipt());
    // Those of the message being read go out together, when it was read.
    pump = !publishing_ || CountOf(receipts_.front().get()) >= kReceiptsPerMessage;
    // While it is read, the call is not done.
    if (!pump) --holds_;
  }
  if (!pump) return;
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
    response_ = nullptr;
    const bool failed = reading_over_ && !status_.ok();
    if (!failed) {
      if (welcome_ != nullptr) {
        response_ = std::move(welcome_);
      } else if (!receipts_.empty()) {
        response_ = std::move(receipts_.front());
        receipts_.pop_front();
        writing_receipts_ = CountOf(response_.get());
      } else if (go_away_ != nullptr) {
        response_ = std::move(go_away_);
      }
    }
    write = response_ != nullptr;
    finish = failed || (!write && reading_over_ && without_receipt_ == 0);
    writing_ = write;
    finished_ = finish;
    status = status_;
  }
  if (write) StartWrite(response_->get());
  if (finish) Finish(ToGrpcStatus(status));
}

void PublishStreamCall::OnWriteDone(bool ok) {
  bool read = false;
  {
    MutexLock lock(&mu_);
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
  if (read) StartRead(request_.get());
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

}  // namespace fanwire
