#include "control/workers/worker_service.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc_status.h"
#include "control/routing/delivery_report.h"
#include "control/routing/interest_view.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/subscriptions.h"
#include "control/workers/message_bound.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/worker.grpc.pb.h"
#include "proto/policies.h"

namespace fanwire::control {

namespace {

// Workers send messages of up to about 512 KiB, longer ones only if a single item is longer.  The
// fields of a longer message are counted before it is parsed.
constexpr size_t kSmallMessageBytes = 1 << 20;
constexpr size_t kMaxMessageFields = 1 << 20;

InterestView ToView(const v1::Interest& interest) {
  return {.service = interest.service(),
          .channel = interest.channel(),
          .pattern = interest.pattern(),
          .dialect = static_cast<Dialect>(interest.dialect())};
}

bool IsKnown(v1::Dialect dialect) {
  return dialect == v1::DIALECT_COMMON || dialect == v1::DIALECT_SESSION_BUDDY;
}

// Hands the text to gRPC without a copy.
grpc::Slice TakeSlice(std::string text) {
  auto* const owned = new std::string(std::move(text));
  return grpc::Slice(
      owned->data(), owned->size(), [](void* user) { delete static_cast<std::string*>(user); },
      owned);
}

// One attachment.  It is both gRPC's reactor and the link's transport.  It deletes itself when gRPC
// is done, which is after the link has called Finish().
class AttachStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public LinkTransport {
 public:
  AttachStream(uint64_t id, const WorkerLink::Options& options, Subscriptions* subscriptions,
               ReceiptTracker* receipts, WorkerRegistry* registry, const Clock* clock)
      : subscriptions_(subscriptions),
        receipts_(receipts),
        registry_(registry),
        link_(std::make_shared<WorkerLink>(id, options, clock, this, subscriptions)) {}

  void Start() { StartRead(&read_); }

  // ---- LinkTransport

  void Write(LinkMessage message) override {
    const grpc::Slice slices[] = {grpc::Slice(message.head), TakeSlice(std::move(message.body))};
    written_ = grpc::ByteBuffer(slices, 2);
    StartWrite(&written_);
  }
  void Finish(const absl::Status& status) override {
    grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>::Finish(ToGrpcStatus(status));
  }

  // ---- gRPC

  void OnReadDone(bool ok) override {
    if (!ok) return End(absl::OkStatus());
    if (read_.Length() > kSmallMessageBytes) {
      if (absl::Status status = CheckSize(); !status.ok()) return End(status);
    }
    if (!grpc::SerializationTraits<v1::WorkerMessage>::Deserialize(&read_, &message_).ok()) {
      return End(absl::InvalidArgumentError("not a fanwire.v1.WorkerMessage: malformed bytes"));
    }
    for (const v1::WorkerItem& item : message_.items()) {
      if (absl::Status status = Handle(item); !status.ok()) return End(status);
    }
    StartRead(&read_);
  }

  void OnWriteDone(bool ok) override {
    // The link may now finish the stream, which may delete this object.
    const std::shared_ptr<WorkerLink> link = link_;
    link->OnWriteDone(ok);
  }

  void OnCancel() override { End(absl::CancelledError("the worker went away")); }

  void OnDone() override {
    if (attached_) registry_->Detach(link_, absl::UnavailableError("the worker's stream ended"));
    delete this;
  }

 private:
  void End(const absl::Status& status) {
    const std::shared_ptr<WorkerLink> link = link_;
    if (attached_) registry_->Detach(link, status);
    link->Close(status);
  }

  absl::Status Handle(const v1::WorkerItem& item);

  // Returns OK if the message that was read may be parsed.
  absl::Status CheckSize() {
    grpc::Slice bytes;
    if (!read_.DumpToSingleSlice(&bytes).ok()) {
      return absl::InternalError("cannot read the message's bytes");
    }
    if (HasAtMostFields({reinterpret_cast<const char*>(bytes.begin()), bytes.size()},
                        *v1::WorkerMessage::descriptor(), kMaxMessageFields)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("the message has more than ", kMaxMessageFields, " fields: send several"));
  }

  Subscriptions* const subscriptions_;
  ReceiptTracker* const receipts_;
  WorkerRegistry* const registry_;
  const std::shared_ptr<WorkerLink> link_;
  grpc::ByteBuffer read_;
  v1::WorkerMessage message_;
  grpc::ByteBuffer written_;
  std::atomic<bool> attached_{false};
};

absl::Status AttachStream::Handle(const v1::WorkerItem& item) {
  if (!attached_ && item.item_case() != v1::WorkerItem::kHello) {
    return absl::InvalidArgumentError("the first item of an attachment must be hello");
  }
  switch (item.item_case()) {
    case v1::WorkerItem::kHello:
      if (attached_)
        return absl::InvalidArgumentError("hello: only the first item of an attachment may be one");
      // Set before Attach(), because the link may be closed as soon as the registry knows it.
      attached_ = true;
      return registry_->Attach(item.hello(), link_);
    case v1::WorkerItem::kConfigAck:
      registry_->OnConfigAck(link_, item.config_ack());
      break;
    case v1::WorkerItem::kInterestSnapshot: {
      const v1::InterestSnapshot& snapshot = item.interest_snapshot();
      if (snapshot.first()) subscriptions_->BeginSnapshot(link_);
      for (const v1::Interest& interest : snapshot.interests()) {
        if (!IsKnown(interest.dialect()))
          return absl::InvalidArgumentError("interest: unknown dialect");
        subscriptions_->AddInterest(link_, ToView(interest));
      }
      for (const v1::ChannelPosition& at : snapshot.positions()) {
        subscriptions_->Resume(link_, at.service(), at.channel(), at.position().epoch(),
                               at.position().offset());
      }
      if (snapshot.last()) {
        subscriptions_->EndSnapshot(link_);
        registry_->OnSnapshotDone(link_);
      }
      break;
    }
    case v1::WorkerItem::kInterestDelta:
      for (const v1::Interest& interest : item.interest_delta().add()) {
        if (!IsKnown(interest.dialect()))
          return absl::InvalidArgumentError("interest: unknown dialect");
        subscriptions_->AddInterest(link_, ToView(interest));
      }
      for (const v1::Interest& interest : item.interest_delta().remove()) {
        if (!IsKnown(interest.dialect()))
          return absl::InvalidArgumentError("interest: unknown dialect");
        subscriptions_->RemoveInterest(link_, ToView(interest));
      }
      break;
    case v1::WorkerItem::kSubscribeQuery: {
      const v1::SubscribeQuery& query = item.subscribe_query();
      if (!IsKnown(query.dialect()))
        return absl::InvalidArgumentError("subscribe: unknown dialect");
      subscriptions_->Subscribe(link_, {.query_id = query.query_id(),
                                        .service = query.service(),
                                        .channel = query.channel(),
                                        .pattern = query.pattern(),
                                        .dialect = static_cast<Dialect>(query.dialect()),
                                        .recover = query.has_recover(),
                                        .recover_epoch = query.recover().epoch(),
                                        .recover_offset = query.recover().offset(),
                                        .page_bytes = query.page_bytes(),
                                        .address = query.address(),
                                        .state_request = query.state_request(),
                                        .state_data = query.state_data()});
      break;
    }
    case v1::WorkerItem::kAck:
      link_->OnAck(item.ack().seq(), item.ack().bytes());
      break;
    case v1::WorkerItem::kDeliveryReport: {
      const v1::DeliveryReport& report = item.delivery_report();
      DeliveryReport out{.tracking_id = report.publication_id(),
                         .counts = {.matched = report.matched(),
                                    .written = report.written(),
                                    .lost_connection = report.lost_connection(),
                                    .expired = report.expired()},
                         .first_written_us = report.first_written_us(),
                         .last_written_us = report.last_written_us(),
                         .final = report.final()};
      for (const v1::DropCount& dropped : report.dropped()) {
        const auto reason = static_cast<size_t>(dropped.reason());
        out.counts.dropped[reason < kDropReasons ? reason : 0] += dropped.count();
      }
      receipts_->OnReport(link_->id(), out);
      break;
    }
    case v1::WorkerItem::kHeartbeat:
      registry_->OnHeartbeat(link_, item.heartbeat());
      break;
    case v1::WorkerItem::kClientRequest:
      registry_->OnClientRequest(link_, item.client_request());
      break;
    case v1::WorkerItem::kClientCancel:
      registry_->OnClientCancel(link_, item.client_cancel());
      break;
    case v1::WorkerItem::kSlotRequest:
      registry_->OnSlotRequest(link_, item.slot_request());
      break;
    case v1::WorkerItem::kDrainStatus:
      registry_->OnDrainStatus(link_, item.drain_status());
      break;
    case v1::WorkerItem::kQueryReply:
      registry_->OnQueryReply(link_, item.query_reply());
      break;
    case v1::WorkerItem::kPresence:
      registry_->OnPresence(link_, item.presence());
      break;
    case v1::WorkerItem::ITEM_NOT_SET:
      break;  // an item of a later version
  }
  return absl::OkStatus();
}

// Messages to workers are already serialized, so the stream takes bytes.
using RawService = v1::Workers::WithRawCallbackMethod_Attach<v1::Workers::Service>;

class WorkerServiceImpl final : public RawService {
 public:
  WorkerServiceImpl(const WorkerLink::Options& options, Subscriptions* subscriptions,
                    ReceiptTracker* receipts, WorkerRegistry* registry, const Clock* clock)
      : options_(options),
        subscriptions_(subscriptions),
        receipts_(receipts),
        registry_(registry),
        clock_(clock) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Attach(
      grpc::CallbackServerContext* /*context*/) override {
    auto* const stream = new AttachStream(next_id_.fetch_add(1, std::memory_order_relaxed),
                                          options_, subscriptions_, receipts_, registry_, clock_);
    stream->Start();
    return stream;
  }

 private:
  const WorkerLink::Options options_;
  Subscriptions* const subscriptions_;
  ReceiptTracker* const receipts_;
  WorkerRegistry* const registry_;
  const Clock* const clock_;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace

std::unique_ptr<grpc::Service> MakeWorkerService(const WorkerLink::Options& link_options,
                                                 Subscriptions* subscriptions,
                                                 ReceiptTracker* receipts, WorkerRegistry* registry,
                                                 const Clock* clock) {
  return std::make_unique<WorkerServiceImpl>(link_options, subscriptions, receipts, registry,
                                             clock);
}

}  // namespace fanwire::control
