#include "control/admin/admin_streams.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/proto_time.h"
#include "common/rpc_status.h"
#include "control/admin/admin_messages.h"
#include "control/admin/control_process.h"
#include "control/admin/tail.h"
#include "control/config/service_table.h"
#include "control/processes/worker_processes.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

namespace {

// The most bytes of envelopes in one message of a tail.
constexpr size_t kTailMessageBytes = 1 << 20;

// What a stream must do next.
enum class Next { kNothing, kMessage, kEnd };

// One stream of messages to an operator.  It takes the next message from its source whenever the
// previous one is written, and at every Wake().
//
// gRPC owns the call inside it, which ends with OnDone().  After that the Stream does nothing.
template <typename Response>
class Stream : public std::enable_shared_from_this<Stream<Response>> {
 public:
  // Fills in the message or the status.  Runs under the stream's lock, and must not call the
  // stream.
  using Source = std::function<Next(Response*, absl::Status*)>;

  explicit Stream(Source next) : next_(std::move(next)) {}

  // Begins the call.  `on_done` runs when it is over, without locks.
  grpc::ServerWriteReactor<Response>* Start(std::function<void()> on_done) {
    auto* const call = new Call(this->shared_from_this(), std::move(on_done));
    {
      MutexLock lock(&mu_);
      call_ = call;
    }
    call->StartSendInitialMetadata();
    Wake();
    return call;
  }

  // Writes the next message, if there is one.  If a write is in flight, its end will do so.
  void Wake() {
    Call* call = nullptr;
    absl::Status status;
    Next what = Next::kNothing;
    {
      MutexLock lock(&mu_);
      if (call_ == nullptr || writing_ || finished_) return;
      call = call_;
      if (cancelled_) {
        what = Next::kEnd;
        status = absl::CancelledError("cancelled by the caller");
      } else {
        response_.Clear();
        what = next_(&response_, &status);
      }
      writing_ = what == Next::kMessage;
      finished_ = what == Next::kEnd;
    }
    // This thread has set writing_ or finished_.  Only that thread uses the call, which cannot end
    // before.
    if (what == Next::kMessage) call->StartWrite(&response_);
    if (what == Next::kEnd) call->Finish(ToGrpcStatus(status));
  }

 private:
  class Call final : public grpc::ServerWriteReactor<Response> {
   public:
    Call(std::shared_ptr<Stream> stream, std::function<void()> on_done)
        : stream_(std::move(stream)), on_done_(std::move(on_done)) {}

    void OnWriteDone(bool ok) override { stream_->OnWritten(ok); }
    void OnCancel() override { stream_->OnCancelled(); }
    void OnDone() override {
      stream_->OnOver();
      on_done_();
      delete this;
    }

   private:
    const std::shared_ptr<Stream> stream_;
    const std::function<void()> on_done_;
  };

  void OnWritten(bool ok) {
    {
      MutexLock lock(&mu_);
      writing_ = false;
      if (!ok) cancelled_ = true;
    }
    Wake();
  }
  void OnCancelled() {
    {
      MutexLock lock(&mu_);
      cancelled_ = true;
    }
    Wake();
  }
  void OnOver() {
    MutexLock lock(&mu_);
    call_ = nullptr;
  }

  const Source next_;
  Mutex mu_{LockRank::kStreams};
  Call* call_ ABSL_GUARDED_BY(mu_) = nullptr;  // until OnDone()
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  Response response_;  // of the write in flight
};

// A stream whose messages are pushed.  It ends after the message in which `done` is set.
template <typename Response>
class Feed {
 public:
  Feed()
      : stream_(std::make_shared<Stream<Response>>(
            [this](Response* response, absl::Status* status) { return Pop(response, status); })) {}

  // Starts the call, which keeps the feed alive.
  static grpc::ServerWriteReactor<Response>* Start(const std::shared_ptr<Feed>& self) {
    return self->stream_->Start([self] {});
  }

  // Adds a message.  If `in_place_of_last`, it replaces the last message that waits to be written.
  void Push(Response response, bool in_place_of_last = false) {
    {
      MutexLock lock(&mu_);
      if (ended_) return;
      if (in_place_of_last) waiting_.clear();
      waiting_.push_back(std::move(response));
    }
    stream_->Wake();
  }

  void End(absl::Status status) {
    {
      MutexLock lock(&mu_);
      if (std::exchange(ended_, true)) return;
      status_ = std::move(status);
    }
    stream_->Wake();
  }

 private:
  Next Pop(Response* response, absl::Status* status) {
    MutexLock lock(&mu_);
    if (!waiting_.empty()) {
      *response = std::move(waiting_.front());
      waiting_.pop_front();
      return Next::kMessage;
    }
    if (!ended_) return Next::kNothing;
    *status = status_;
    return Next::kEnd;
  }

  const std::shared_ptr<Stream<Response>> stream_;
  Mutex mu_;  // a leaf
  std::deque<Response> waiting_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

using DrainFeed = Feed<v1::DrainWorkerProgress>;
using RestartFeed = Feed<v1::RestartWorkersProgress>;

absl::StatusOr<DrainOrder> ReadDrain(const v1::DrainWorkerRequest& request,
                                     const v1::WorkerProcessConfig& config) {
  const auto read = [](bool given, const google::protobuf::Duration& own,
                       const google::protobuf::Duration& configured) {
    return ToDuration(given ? own : configured);
  };
  DrainOrder order;
  order.window = read(request.has_window(), request.window(), config.drain_window());
  order.deadline = read(request.has_deadline(), request.deadline(), config.drain_deadline());
  if (order.window < absl::ZeroDuration() || order.deadline < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("window and deadline: negative; they must be 0s or more");
  }
  if (order.deadline < order.window) {
    // If the caller chose only one of them, the other is adapted to it.
    if (request.has_window() && request.has_deadline()) {
      return absl::InvalidArgumentError(
          absl::StrCat("deadline: ", absl::FormatDuration(order.deadline),
                       " is before the end of the window, ", absl::FormatDuration(order.window)));
    }
    if (request.has_window()) {
      order.deadline = order.window;
    } else {
      order.window = order.deadline;
    }
  }
  order.reason = "drained by operator";
  order.exit = true;
  return order;
}

void PushRemaining(int64_t remaining, bool done, DrainFeed* feed) {
  v1::DrainWorkerProgress progress;
  progress.set_remaining(remaining);
  progress.set_done(done);
  feed->Push(std::move(progress), /*in_place_of_last=*/true);
}

}  // namespace

grpc::ServerWriteReactor<v1::DrainWorkerProgress>* StartDrain(
    const AdminParts& parts, const v1::DrainWorkerRequest& request) {
  const auto feed = std::make_shared<DrainFeed>();
  const absl::StatusOr<DrainOrder> order =
      ReadDrain(request, parts.host->config().config->worker());
  absl::Status status = order.status();
  if (status.ok()) {
    // Decided before it is ordered: of two drains at once the second finds the first.
    status = parts.registry->BeginDrain(request.id(), request.unless_last());
  }
  if (status.ok()) {
    const auto progress = [feed](int64_t remaining, bool done) {
      PushRemaining(remaining, done, feed.get());
      if (done) feed->End(absl::OkStatus());
    };
    status = parts.host->DrainLocalWorker(request.id(), *order, progress);
    // A worker that something else has started is not a local one, but may be attached.
    if (absl::IsNotFound(status)) status = parts.registry->Drain(request.id(), *order, progress);
  }
  if (!status.ok()) feed->End(status);
  return DrainFeed::Start(feed);
}

grpc::ServerWriteReactor<v1::RestartWorkersProgress>* StartRestart(
    const AdminParts& parts, const v1::RestartWorkersRequest& request) {
  const auto feed = std::make_shared<RestartFeed>();
  const absl::Status status =
      parts.host->RestartLocalWorkers({request.ids().begin(), request.ids().end()},
                                      request.only_stopped(), [feed](const RestartProgress& step) {
                                        if (!step.status.ok()) return feed->End(step.status);
                                        v1::RestartWorkersProgress progress;
                                        progress.set_id(step.id);
                                        progress.set_state(step.state);
                                        progress.set_done(step.done);
                                        feed->Push(std::move(progress));
                                        if (step.done) feed->End(absl::OkStatus());
                                      });
  if (!status.ok()) feed->End(status);
  return RestartFeed::Start(feed);
}

grpc::ServerWriteReactor<v1::TailResponse>* StartTail(const AdminParts& parts,
                                                      const v1::TailRequest& request) {
  using TailCall = Stream<v1::TailResponse>;
  // The source of the stream.  It is set before the stream begins.
  struct State {
    TailHub* hub = nullptr;
    TailHub::StreamPtr stream;
    absl::Status refused;
  };
  const auto state = std::make_shared<State>();
  state->hub = parts.tail;
  const auto call =
      std::make_shared<TailCall>([state](v1::TailResponse* response, absl::Status* status) {
        if (!state->refused.ok()) {
          *status = state->refused;
          return Next::kEnd;
        }
        TailHub::Batch batch = state->hub->Take(state->stream, kTailMessageBytes);
        if (batch.events.empty() && batch.left_out == 0) {
          if (!batch.ended.has_value()) return Next::kNothing;
          *status = *batch.ended;
          return Next::kEnd;
        }
        for (const TailHub::Event& event : batch.events) {
          ToProto(event.service, event.channel, *event.publication, response->add_publications());
        }
        response->set_left_out(batch.left_out);
        return Next::kMessage;
      });
  const std::shared_ptr<const ServiceTable> services = parts.host->config().services;
  if (!request.service().empty() && services->Find(request.service()) == nullptr) {
    state->refused = services->NoSuchService(request.service());
  } else {
    absl::StatusOr<TailHub::StreamPtr> stream =
        parts.tail->Open({.service = request.service(),
                          .pattern = request.pattern(),
                          .events = {request.events().begin(), request.events().end()},
                          .max_per_second = request.max_per_second()},
                         [call] { call->Wake(); });
    state->refused = stream.status();
    if (stream.ok()) state->stream = *std::move(stream);
  }
  return call->Start([state] {
    if (state->stream == nullptr) return;
    state->hub->Close(state->stream);
    state->stream = nullptr;  // ends a cycle: the stream holds the call, which holds the state
  });
}

}  // namespace fanwire::control
