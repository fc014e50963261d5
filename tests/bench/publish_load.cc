#include "tests/bench/publish_load.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fanwire/publisher.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "tests/bench/process_stats.h"
#include "tests/bench/publisher.h"

namespace fanwire::bench {
namespace {

std::unique_ptr<v1::Publisher::Stub> Dial(const std::string& server) {
  return v1::Publisher::NewStub(grpc::CreateChannel(server, grpc::InsecureChannelCredentials()));
}

// Counts what is under way, so that the end can be awaited.
class Running {
 public:
  void Begin() {
    MutexLock lock(&mu_);
    ++count_;
  }
  void End() {
    MutexLock lock(&mu_);
    --count_;
    changed_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mu_);
    while (count_ > 0) changed_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
};

// Unary and batch calls: each begins the next when it is answered.  On a completion queue of one
// thread, which costs the publisher less than gRPC's callbacks.
class CallLoad final : public PublishLoad {
 public:
  CallLoad(const PublishLoadOptions& options, EventSource* source, PublishTally* tally)
      : options_(options), source_(source), tally_(tally), stub_(Dial(options.server)) {
    calls_.resize(static_cast<size_t>(options.in_flight));
    thread_ = std::thread([this] { Run(); });
  }
  ~CallLoad() override { Wait(); }

  void Wait() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    v1::PublishRequest request;
    v1::PublishResponse response;
    v1::PublishBatchRequest batch_request;
    v1::PublishBatchResponse batch_response;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::PublishResponse>> reader;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::PublishBatchResponse>> batch_reader;
    grpc::Status status;
    int64_t started = 0;
  };

  void Run() {
    size_t running = 0;
    for (Call& call : calls_) running += Next(&call) ? 1 : 0;
    void* tag = nullptr;
    bool ok = false;
    while (running > 0 && queue_.Next(&tag, &ok)) {
      auto* const call = static_cast<Call*>(tag);
      Answered(*call);
      if (!Next(call)) --running;
    }
  }

  // Begins a call; false if the source has ended.
  bool Next(Call* call) {
    const bool batch = options_.kind == PublishKind::kBatch;
    int64_t first = 0;
    const int64_t events = source_->Take(batch ? options_.batch : 1, &first);
    if (events == 0) return false;
    call->context = std::make_unique<grpc::ClientContext>();
    call->started = MonotonicNs();
    if (!batch) {
      call->request.set_receipt_level(static_cast<v1::ReceiptLevel>(options_.level));
      source_->Fill(first, call->request.mutable_event());
      call->reader = stub_->AsyncPublish(call->context.get(), call->request, &queue_);
      call->reader->Finish(&call->response, &call->status, call);
      return true;
    }
    call->batch_request.Clear();
    call->batch_request.set_receipt_level(static_cast<v1::ReceiptLevel>(options_.level));
    for (int64_t i = 0; i < events; ++i) {
      source_->Fill(first + i, call->batch_request.add_events());
    }
    call->batch_reader =
        stub_->AsyncPublishBatch(call->context.get(), call->batch_request, &queue_);
    call->batch_reader->Finish(&call->batch_response, &call->status, call);
    return true;
  }

  void Answered(const Call& call) {
    if (!call.status.ok()) {
      tally_->Refuse(call.status.error_message());
      source_->Stop();
    } else if (options_.kind == PublishKind::kUnary) {
      Count(call, call.response.receipt());
    } else {
      for (const v1::Receipt& receipt : call.batch_response.receipts()) Count(call, receipt);
    }
  }

  void Count(const Call& call, const v1::Receipt& receipt) {
    if (receipt.has_status()) {
      tally_->Refuse(receipt.status().message());
    } else {
      tally_->Accept(1, MonotonicNs() - call.started);
    }
  }

  const PublishLoadOptions options_;
  EventSource* const source_;
  PublishTally* const tally_;
  const std::unique_ptr<v1::Publisher::Stub> stub_;
  grpc::CompletionQueue queue_;
  std::vector<Call> calls_;  // of thread_
  std::thread thread_;
};

// One PublishStream: messages of a batch of items each, as many without receipts as allowed.
class Stream final
    : public grpc::ClientBidiReactor<v1::PublishStreamRequest, v1::PublishStreamResponse> {
 public:
  Stream(const PublishLoadOptions& options, EventSource* source, PublishTally* tally,
         v1::Publisher::Stub* stub, Running* running)
      : options_(options),
        source_(source),
        tally_(tally),
        running_(running),
        sent_at_(static_cast<size_t>(options.in_flight) + 2) {
    stub->async()->PublishStream(&context_, this);
    request_.mutable_hello()->set_receipt_level(static_cast<v1::ReceiptLevel>(options.level));
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    bool done = false;
    {
      MutexLock lock(&mu_);
      Take(response_);
      done = ended_ && sent_ == receipts_ && !std::exchange(closing_, true);
    }
    if (done) StartWritesDone();
    WriteIfAllowed();
    StartRead(&response_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return;
    {
      MutexLock lock(&mu_);
      writing_ = false;
    }
    WriteIfAllowed();
  }

  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) {
      tally_->Refuse(status.error_message());
      source_->Stop();
    }
    running_->End();
  }

  void Take(const v1::PublishStreamResponse& response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const int64_t wanted = int64_t{options_.batch} * options_.in_flight;
    if (response.has_welcome()) credit_ = std::min<int64_t>(response.welcome().credit(), wanted);
    if (response.has_credit()) credit_ = std::min<int64_t>(response.credit().credit(), wanted);
    const int64_t now = MonotonicNs();
    int64_t accepted = 0;
    int64_t message = -1;
    for (const v1::ItemReceipt& item : response.receipts().receipts()) {
      ++receipts_;
      if (item.receipt().has_status()) {
        tally_->Refuse(item.receipt().status().message());
        continue;
      }
      const auto of =
          static_cast<int64_t>((item.seq() - 1) / static_cast<uint64_t>(options_.batch));
      if (of != message && accepted > 0) {
        tally_->Accept(accepted, now - SentAt(message));
        accepted = 0;
      }
      message = of;
      ++accepted;
    }
    if (accepted > 0) tally_->Accept(accepted, now - SentAt(message));
  }

  // Starts the next message unless one is being written, credit is used up or the source has ended.
  void WriteIfAllowed() {
    int64_t first = 0;
    int64_t events = 0;
    bool done = false;
    {
      MutexLock lock(&mu_);
      if (writing_ || ended_ || sent_ - receipts_ + options_.batch > credit_) return;
      events = source_->Take(options_.batch, &first);
      if (events == 0) {
        ended_ = true;
        done = sent_ == receipts_ && !std::exchange(closing_, true);
      } else {
        writing_ = true;
      }
    }
    if (done) StartWritesDone();
    if (events == 0) return;
    // Nobody else fills a message while writing_ is set.
    v1::PublishItems& items = *request_.mutable_items();
    items.Clear();
    const int64_t sent = sent_items_;
    for (int64_t i = 0; i < events; ++i) {
      v1::PublishItem* const item = items.add_items();
      item->set_seq(static_cast<uint64_t>(sent + i + 1));
      source_->Fill(first + i, item->mutable_event());
    }
    sent_items_ += events;
    {
      MutexLock lock(&mu_);
      SentAt(sent / options_.batch) = MonotonicNs();
      sent_ += events;
    }
    StartWrite(&request_);
  }

  int64_t& SentAt(int64_t message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return sent_at_[static_cast<size_t>(message) % sent_at_.size()];
  }

  const PublishLoadOptions options_;
  EventSource* const source_;
  PublishTally* const tally_;
  Running* const running_;
  grpc::ClientContext context_;
  v1::PublishStreamRequest request_;    // of the writer
  int64_t sent_items_ = 0;              // of the writer
  v1::PublishStreamResponse response_;  // of the reader

  Mutex mu_;
  int64_t credit_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t receipts_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = true;  // the hello
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<int64_t> sent_at_ ABSL_GUARDED_BY(mu_);  // by message, those in flight
};

class StreamLoad final : public PublishLoad {
 public:
  StreamLoad(const PublishLoadOptions& options, EventSource* source, PublishTally* tally)
      : stub_(Dial(options.server)) {
    for (int i = 0; i < options.streams; ++i) {
      running_.Begin();
      streams_.push_back(std::make_unique<Stream>(options, source, tally, stub_.get(), &running_));
    }
  }
  ~StreamLoad() override { Wait(); }

  void Wait() override { running_.Wait(); }

 private:
  const std::unique_ptr<v1::Publisher::Stub> stub_;
  Running running_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

// The C++ library, used as a service uses it: a thread that publishes.
class LibraryLoad final : public PublishLoad {
 public:
  LibraryLoad(const PublishLoadOptions& options, EventSource* source, PublishTally* tally)
      : source_(source),
        tally_(tally),
        publisher_(client::PublisherOptions{
            .target = options.server,
            // Publishing is faster than control: the buffer is always full, so it is a small one.
            .max_buffered_events = 2 * InFlight(options),
            .max_batch_events = static_cast<size_t>(options.batch),
            .max_in_flight_events = InFlight(options),
            .receipt_level = static_cast<client::ReceiptLevel>(options.level)}) {
    thread_ = std::thread([this] { Run(); });
  }
  ~LibraryLoad() override { Wait(); }

  void Wait() override {
    if (thread_.joinable()) thread_.join();
  }

 private:
  static size_t InFlight(const PublishLoadOptions& options) {
    return static_cast<size_t>(options.batch) * static_cast<size_t>(options.in_flight);
  }

  // How many events share a look at the clock.
  static constexpr int64_t kTogether = 64;

  void Run() {
    int64_t first = 0;
    while (const int64_t events = source_->Take(kTogether, &first)) {
      const int64_t started = MonotonicNs();
      for (int64_t i = 0; i < events; ++i) {
        const client::Status status = publisher_.Publish(
            source_->Get(first + i),
            [this, started](const client::Receipt& receipt) { Count(started, receipt); });
        if (!status.ok()) return Fail(status);
      }
    }
    const client::Status status = publisher_.Close(std::chrono::minutes(1));
    if (!status.ok()) return Fail(status);
    if (accepted_ > 0) tally_->Accept(accepted_, MonotonicNs() - started_);
  }

  void Fail(const client::Status& status) {
    tally_->Refuse(status.message());
    source_->Stop();
  }

  // Runs on the publisher's thread.
  void Count(int64_t started, const client::Receipt& receipt) {
    if (!receipt.ok()) return Fail(receipt.status);
    if (started != started_ && accepted_ > 0) {
      tally_->Accept(accepted_, MonotonicNs() - started_);
      accepted_ = 0;
    }
    started_ = started;
    ++accepted_;
  }

  EventSource* const source_;
  PublishTally* const tally_;
  client::Publisher publisher_;
  int64_t started_ = 0;   // of the last receipts, not counted yet
  int64_t accepted_ = 0;  // how many of them
  std::thread thread_;
};

}  // namespace

EventSource::EventSource(std::string service, const std::string& prefix, int64_t channels,
                         size_t payload_bytes, int64_t stride)
    : service_(std::move(service)), payload_(PublicationText(1, payload_bytes)) {
  channels_.reserve(static_cast<size_t>(channels));
  for (int64_t i = 0; i < channels; ++i) channels_.push_back(absl::StrCat(prefix, i * stride));
}

int64_t EventSource::Take(int64_t wanted, int64_t* first) {
  int64_t next = next_.load(std::memory_order_relaxed);
  while (true) {
    const int64_t events = std::min(wanted, end_.load(std::memory_order_relaxed) - next);
    if (events <= 0) return 0;
    if (next_.compare_exchange_weak(next, next + events, std::memory_order_relaxed)) {
      *first = next;
      return events;
    }
  }
}

void EventSource::Fill(int64_t number, v1::Event* event) const {
  event->set_service(service_);
  event->set_channel(channels_[static_cast<size_t>(number) % channels_.size()]);
  event->set_event("bench.event");
  event->set_json(payload_);
  event->set_skip_history(skip_history_);
}

client::Event EventSource::Get(int64_t number) const {
  return {.service = service_,
          .channel = channels_[static_cast<size_t>(number) % channels_.size()],
          .event = "bench.event",
          .json = payload_,
          .skip_history = skip_history_};
}

void PublishTally::Accept(int64_t events, int64_t nanoseconds) {
  MutexLock lock(&mu_);
  counts_.accepted += events;
  latency_.Add(nanoseconds, events);
}

void PublishTally::Refuse(absl::string_view error) {
  MutexLock lock(&mu_);
  ++counts_.refused;
  if (counts_.error.empty()) counts_.error = std::string(error);
}

void PublishTally::StartMeasuring() {
  MutexLock lock(&mu_);
  counts_.accepted = 0;  // what was refused stays refused
  latency_.Clear();
}

PublishTally::Counts PublishTally::counts() const {
  MutexLock lock(&mu_);
  return counts_;
}

double PublishTally::QuantileMs(double quantile) const {
  MutexLock lock(&mu_);
  return static_cast<double>(latency_.Quantile(quantile)) * 1e-6;
}

std::unique_ptr<PublishLoad> MakePublishLoad(const PublishLoadOptions& options, EventSource* source,
                                             PublishTally* tally) {
  if (options.kind == PublishKind::kStream) {
    return std::make_unique<StreamLoad>(options, source, tally);
  }
  if (options.kind == PublishKind::kLibrary) {
    return std::make_unique<LibraryLoad>(options, source, tally);
  }
  return std::make_unique<CallLoad>(options, source, tally);
}

}  // namespace fanwire::bench
