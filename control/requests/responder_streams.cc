#include "control/requests/responder_streams.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/rpc_status.h"
#include "control/events/json_document.h"
#include "control/requests/request_dispatcher.h"
#include "control/requests/responder_pool.h"
#include "control/requests/served_answer.h"
#include "fanwire/v1/publish.grpc.pb.h"

namespace fanwire::control {

namespace {

// Requests of so many bytes leave in one message; a single one may be longer.
constexpr size_t kMessageBytes = 256 << 10;

}  // namespace

// One call.  gRPC's reactor, and the dispatcher's way to the responder.
class ResponderStreams::Call final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public Responder,
      public std::enable_shared_from_this<Call> {
 public:
  explicit Call(RequestDispatcher* dispatcher) : dispatcher_(dispatcher) {}

  // Begins reading.  Apart from the constructor, because callbacks may come inside.
  void Start() {
    self_ = shared_from_this();
    StartRead(&read_);
  }

  // ---- Responder

  void QueueWelcome(uint32_t max_concurrent) override {
    MutexLock lock(&mu_);
    welcome_ = max_concurrent;
    max_refused_ = max_concurrent;
  }
  void QueueRequest(v1::IncomingRequest request) override {
    MutexLock lock(&mu_);
    requests_.push_back(std::move(request));
  }
  void QueueCancel(uint64_t request_id) override {
    MutexLock lock(&mu_);
    cancelled_.add_request_ids(request_id);
    // Of a request that has not left, nobody needs the data any more, and it may be long.
    for (v1::IncomingRequest& request : requests_) {
      if (request.request_id() == request_id) request.set_data("{}");
    }
  }
  void QueueRefusal(uint64_t request_id, const absl::Status& fault) override {
    MutexLock lock(&mu_);
    // A responder that does not read could make these without end.
    if (refused_.size() >= max_refused_) return;
    v1::RefusedAnswer& refused = refused_.emplace_back();
    refused.set_request_id(request_id);
    refused.mutable_status()->set_code(static_cast<int>(fault.code()));
    refused.mutable_status()->set_message(std::string(fault.message()));
  }
  void QueueGoAway(const std::string& reason) override {
    MutexLock lock(&mu_);
    go_away_ = reason;
  }
  void QueueEnd() override {
    MutexLock lock(&mu_);
    ending_ = true;
  }
  void Flush() override { Write(); }

  // ---- gRPC

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(absl::OkStatus(), "the responder closed its side");
    if (!grpc::SerializationTraits<v1::ServeRequestsRequest>::Deserialize(&read_, &message_).ok()) {
      return Finish(
          absl::InvalidArgumentError("not a fanwire.v1.ServeRequestsRequest: malformed bytes"));
    }
    if (absl::Status status = Take(&message_); !status.ok()) return Finish(status);
    read_.Clear();
    StartRead(&read_);
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      written_.Clear();
      writing_ = false;
    }
    if (!ok) return Finish(absl::CancelledError("the responder went away"));
    Write();
  }

  void OnCancel() override { Finish(absl::CancelledError("the responder went away")); }

  void OnDone() override {
    // Hello may have been read after the stream was cancelled.
    Leave(absl::CancelledError("the stream ended"));
    self_ = nullptr;
  }

 private:
  absl::Status Take(v1::ServeRequestsRequest* message) {
    if (number_ == 0) {
      if (!message->has_hello()) {
        return absl::InvalidArgumentError("the first message of ServeRequests must be hello");
      }
      absl::StatusOr<uint64_t> number = dispatcher_->Join(message->hello(), shared_from_this());
      if (!number.ok()) return number.status();
      number_ = *number;
      return absl::OkStatus();
    }
    switch (message->message_case()) {
      case v1::ServeRequestsRequest::kAnswers:
        for (v1::RequestAnswer& answer : *message->mutable_answers()->mutable_answers()) {
          const uint64_t id = answer.request_id();
          dispatcher_->OnAnswer(number_, id, MakeServedAnswer(&answer, &document_));
        }
        return absl::OkStatus();
      case v1::ServeRequestsRequest::kGoAway:
        dispatcher_->OnGoAway(number_, message->go_away().reason());
        return absl::OkStatus();
      case v1::ServeRequestsRequest::kHello:
        return absl::InvalidArgumentError(
            "hello: this stream has had one; open another stream to serve other requests");
      default:
        return absl::OkStatus();  // of a later version
    }
  }

  // The responder is given nothing more.
  void Leave(const absl::Status& reason) {
    if (number_ != 0) dispatcher_->OnGone(number_, reason);
  }

  // Ends the call at once; `why` is for the log if the status is OK.
  void Finish(const absl::Status& status, absl::string_view why = "") {
    Leave(status.ok() ? absl::CancelledError(why) : status);
    {
      MutexLock lock(&mu_);
      if (!status_.has_value()) status_ = status;
    }
    Write();
  }

  // Fills `message` with what leaves next.  Returns false if there is nothing.
  bool TakeNext(v1::ServeRequestsResponse* message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (welcome_.has_value()) {
      message->mutable_welcome()->set_max_concurrent(*std::exchange(welcome_, std::nullopt));
    } else if (!requests_.empty()) {
      for (size_t bytes = 0; !requests_.empty() && bytes < kMessageBytes;) {
        bytes += requests_.front().data().size();
        *message->mutable_requests()->add_requests() = std::move(requests_.front());
        requests_.pop_front();
      }
    } else if (!cancelled_.request_ids().empty()) {
      message->mutable_cancel()->Swap(&cancelled_);
      cancelled_.Clear();
    } else if (!refused_.empty()) {
      *message->mutable_refused() = std::move(refused_.front());
      refused_.pop_front();
    } else if (go_away_.has_value()) {
      message->mutable_go_away()->set_reason(*std::exchange(go_away_, std::nullopt));
    } else {
      return false;
    }
    return true;
  }

  // Writes the next message, if there is one and no other is being written; or finishes the call,
  // if it is over.
  void Write() {
    v1::ServeRequestsResponse message;
    bool write = false, finish = false;
    absl::Status status;
    {
      MutexLock lock(&mu_);
      if (finished_ || writing_) return;
      if (status_.has_value()) {
        finish = true;
        status = *status_;
      } else {
        write = TakeNext(&message);
        finish = !write && ending_;
      }
      writing_ = write;
      finished_ = finish;
    }
    if (write) {
      bool own = false;
      grpc::SerializationTraits<v1::ServeRequestsResponse>::Serialize(message, &written_, &own);
      StartWrite(&written_);
    }
    if (finish)
      grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>::Finish(ToGrpcStatus(status));
  }

  RequestDispatcher* const dispatcher_;
  std::shared_ptr<Call> self_;  // until gRPC is done

  // Only touched by the callbacks of reading, of which one runs at a time.
  grpc::ByteBuffer read_;
  v1::ServeRequestsRequest message_;
  JsonDocument document_;
  // Set when hello is read, 0 before.  Of the dispatcher.
  std::atomic<uint64_t> number_{0};

  grpc::ByteBuffer written_;  // of the write that is under way

  Mutex mu_;  // a leaf
  std::optional<uint32_t> welcome_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::IncomingRequest> requests_ ABSL_GUARDED_BY(mu_);
  v1::CancelledRequests cancelled_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::RefusedAnswer> refused_ ABSL_GUARDED_BY(mu_);
  size_t max_refused_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<std::string> go_away_ ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;                 // with OK, when all is written
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);  // set: it ends with this, at once
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ResponderStreams::Open() {
  const auto call = std::make_shared<Call>(dispatcher_);
  call->Start();
  return call.get();
}

}  // namespace fanwire::control
