#include "clients/cpp/src/stream_link.h"

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "common/mutex.h"

namespace fanwire::client {

namespace {

using std::chrono::milliseconds;

// What completion queue events are about.
enum class Tag : intptr_t { kStarted = 1, kRead, kWritten, kWritesDone, kFinished, kWoken };

// NOLINTNEXTLINE(performance-no-int-to-ptr): gRPC hands the tag back and never follows it
void* ToTag(Tag tag) { return reinterpret_cast<void*>(static_cast<intptr_t>(tag)); }

Status FromGrpc(const grpc::Status& status) {
  return {static_cast<Code>(status.error_code()), status.error_message()};
}

void UnrefChunk(void* chunk) { static_cast<Chunk*>(chunk)->Unref(); }

// Takes over the references of the message's pieces.
grpc::ByteBuffer ToByteBuffer(OutMessage* message, std::vector<grpc::Slice>* slices) {
  slices->clear();
  slices->emplace_back(message->head);
  for (const Piece& piece : message->pieces) {
    slices->emplace_back(const_cast<char*>(piece.data), piece.size, &UnrefChunk, piece.chunk);
  }
  message->pieces.clear();
  grpc::ByteBuffer buffer(slices->data(), slices->size());
  slices->clear();
  return buffer;
}

}  // namespace

class StreamLink::Loop {
 public:
  Loop(Options options, StreamHandler* handler)
      : options_(std::move(options)), handler_(handler), stub_(options_.channel) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  void Wake() {
    MutexLock lock(&wake_mu_);
    if (wake_pending_ || shut_down_) return;
    wake_pending_ = true;
    wake_.Set(&queue_, gpr_now(GPR_CLOCK_MONOTONIC), ToTag(Tag::kWoken));
  }

  void Stop(milliseconds grace) {
    if (!thread_.joinable()) return;
    grace_ = grace;
    stopping_.store(true, std::memory_order_release);
    Wake();
    thread_.join();
  }

  bool OnThread() const { return running == this; }

  void SetOpen() {
    open_ = true;
    CancelTimer();
  }
  void ResetBackoff() { tries_ = 0; }
  void FinishWriting() { finish_writing_ = true; }
  void SetLast() { last_ = true; }

 private:
  // One call.  Reused for the next when gRPC is done with it.
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
    int operations = 0;  // whose event has not come yet
    bool started = false;
    bool writing = false;
    bool writes_done = false;
    bool finishing = false;
    bool finished = false;
    grpc::ByteBuffer incoming;
    grpc::Status status;
  };

  // A timer, which is its own tag.  Deleted when its event has come.
  struct Timer {
    grpc::Alarm alarm;
  };

  void Run() {
    running = this;
    Connect();
    void* tag = nullptr;
    bool ok = false;
    bool over = false;
    while (queue_.Next(&tag, &ok)) {
      Handle(tag, ok);
      if (over || !stopping_.load(std::memory_order_acquire)) continue;
      StopStream();
      if (stream_ != nullptr) continue;
      over = true;
      ShutDown();
    }
  }

  void Handle(void* tag, bool ok) {
    switch (static_cast<Tag>(reinterpret_cast<intptr_t>(tag))) {
      case Tag::kStarted:
        return OnStarted(ok);
      case Tag::kRead:
        return OnRead(ok);
      case Tag::kWritten:
        --stream_->operations;
        stream_->writing = false;
        if (ok) Write();
        return MaybeEnd();
      case Tag::kWritesDone:
        --stream_->operations;
        return MaybeEnd();
      case Tag::kFinished:
        --stream_->operations;
        stream_->finished = true;
        return MaybeEnd();
      case Tag::kWoken:
        // Before looking: whoever has something afterwards wakes this thread again.
        ClearWake();
        handler_->OnWake();
        return Write();
      default:
        return OnTimer(static_cast<Timer*>(tag), ok);
    }
  }

  void ClearWake() {
    MutexLock lock(&wake_mu_);
    wake_pending_ = false;
  }

  void Connect() {
    open_ = false;
    finish_writing_ = false;
    own_reason_ = std::nullopt;
    stream_ = std::make_unique<Stream>();
    if (!options_.token.empty()) {
      stream_->context.AddMetadata("authorization", "Bearer " + options_.token);
    }
    stream_->call = stub_.PrepareCall(&stream_->context, options_.method, &queue_);
    stream_->operations = 1;
    stream_->call->StartCall(ToTag(Tag::kStarted));
    SetTimer(options_.greeting_timeout);
  }

  void OnStarted(bool ok) {
    --stream_->operations;
    if (!ok) return Finish();
    stream_->started = true;
    handler_->MakeHello(&message_);
    StartWrite();
    StartRead();
  }

  void StartRead() {
    ++stream_->operations;
    stream_->call->Read(&stream_->incoming, ToTag(Tag::kRead));
  }

  void StartWrite() {
    stream_->writing = true;
    ++stream_->operations;
    stream_->call->Write(ToByteBuffer(&message_, &slices_), ToTag(Tag::kWritten));
  }

  void OnRead(bool ok) {
    --stream_->operations;
    if (!ok) {
      Finish();
      return MaybeEnd();
    }
    Status status = HandOver();
    if (!status.ok()) {
      own_reason_ = std::move(status);
      stream_->context.TryCancel();
    }
    StartRead();
    Write();
  }

  Status HandOver() {
    incoming_slices_.clear();
    if (!stream_->incoming.Dump(&incoming_slices_).ok()) {
      return {Code::kInternal, "a message of control cannot be read"};
    }
    stream_->incoming.Clear();
    if (incoming_slices_.size() == 1) {
      const grpc::Slice& slice = incoming_slices_.front();
      return handler_->OnMessage({reinterpret_cast<const char*>(slice.begin()), slice.size()});
    }
    joined_.clear();
    for (const grpc::Slice& slice : incoming_slices_) {
      joined_.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return handler_->OnMessage(joined_);
  }

  // Writes the next message, or closes this side, unless something is being written.
  void Write() {
    if (stream_ == nullptr || !stream_->started || stream_->writing || stream_->finishing) return;
    if (stream_->writes_done) return;
    if (finish_writing_) {
      stream_->writes_done = true;
      ++stream_->operations;
      stream_->call->WritesDone(ToTag(Tag::kWritesDone));
      return;
    }
    message_.head.clear();
    if (open_ && handler_->MakeMessage(&message_)) StartWrite();
  }

  void Finish() {
    if (std::exchange(stream_->finishing, true)) return;
    ++stream_->operations;
    stream_->call->Finish(&stream_->status, ToTag(Tag::kFinished));
  }

  // Forgets the stream when it has ended and gRPC is done with it.
  void MaybeEnd() {
    if (!stream_->finished || stream_->operations > 0) return;
    const Status status = Reason();
    stream_ = nullptr;
    handler_->OnEnd(status);
    if (!last_ && !stopping_.load(std::memory_order_acquire)) SetTimer(NextWait());
  }

  // Why the stream ended.
  Status Reason() const {
    if (own_reason_.has_value()) return *own_reason_;
    const Status status = FromGrpc(stream_->status);
    if (status.ok()) return {Code::kUnavailable, "control ended the stream"};
    if (status.code() == Code::kUnavailable && !open_) {
      return {Code::kUnavailable, "control is not reachable at " + options_.address +
                                      ": is fanwire-control running? [" + status.message() + "]"};
    }
    return {status.code(), "control at " + options_.address + ": " + status.message()};
  }

  // A random time, so that publishers that lost the same control do not return all at once.
  milliseconds NextWait() {
    const auto first = std::max<int64_t>(options_.reconnect_first.count(), 1);
    const auto last = std::max<int64_t>(options_.reconnect_last.count(), first);
    const int64_t bound = tries_ < 30 ? std::min(first << tries_, last) : last;
    ++tries_;
    return milliseconds(std::uniform_int_distribution<int64_t>(bound / 2, bound)(random_));
  }

  void SetTimer(milliseconds delay) {
    CancelTimer();
    timer_ = new Timer;
    const gpr_timespec end = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                          gpr_time_from_millis(delay.count(), GPR_TIMESPAN));
    timer_->alarm.Set(&queue_, end, timer_);
  }

  void CancelTimer() {
    if (timer_ != nullptr) std::exchange(timer_, nullptr)->alarm.Cancel();
  }

  void OnTimer(Timer* timer, bool ok) {
    const bool current = timer == timer_;
    delete timer;
    if (!current) return;
    timer_ = nullptr;
    if (!ok) return;
    if (stream_ == nullptr) {
      if (!stopping_.load(std::memory_order_acquire)) Connect();
      return;
    }
    own_reason_ = Status(Code::kDeadlineExceeded, "control at " + options_.address +
                                                      " accepts connections but does not "
                                                      "answer");
    stream_->context.TryCancel();
  }

  // Begins to end the stream, once.
  void StopStream() {
    if (stream_ == nullptr || std::exchange(stop_begun_, true)) return;
    if (!open_) {
      stream_->context.TryCancel();
      return;
    }
    SetTimer(grace_);
    finish_writing_ = true;
    Write();
  }

  void ShutDown() {
    CancelTimer();
    MutexLock lock(&wake_mu_);
    shut_down_ = true;
    queue_.Shutdown();
  }

  // The loop that runs on this thread.
  static thread_local const Loop* running;

  const Options options_;
  StreamHandler* const handler_;
  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  Mutex wake_mu_;  // a leaf
  grpc::Alarm wake_ ABSL_GUARDED_BY(wake_mu_);
  bool wake_pending_ ABSL_GUARDED_BY(wake_mu_) = false;
  bool shut_down_ ABSL_GUARDED_BY(wake_mu_) = false;
  std::atomic<bool> stopping_{false};
  milliseconds grace_{0};  // before stopping_

  // Of the thread.
  std::unique_ptr<Stream> stream_;
  Timer* timer_ = nullptr;  // until the next attempt, or how long the stream may take
  bool open_ = false;
  bool finish_writing_ = false;
  bool last_ = false;
  bool stop_begun_ = false;
  std::optional<Status> own_reason_;  // why this side ended the stream
  int tries_ = 0;
  std::minstd_rand random_{std::random_device{}()};
  OutMessage message_;
  std::vector<grpc::Slice> slices_;
  std::vector<grpc::Slice> incoming_slices_;
  std::string joined_;

  std::thread thread_;
};

thread_local const StreamLink::Loop* StreamLink::Loop::running = nullptr;

StreamLink::StreamLink(Options options, StreamHandler* handler)
    : loop_(std::make_unique<Loop>(std::move(options), handler)) {}

StreamLink::~StreamLink() = default;

void StreamLink::Start() { loop_->Start(); }
void StreamLink::Wake() { loop_->Wake(); }
void StreamLink::Stop(milliseconds grace) { loop_->Stop(grace); }
bool StreamLink::OnThread() const { return loop_->OnThread(); }
void StreamLink::SetOpen() { loop_->SetOpen(); }
void StreamLink::ResetBackoff() { loop_->ResetBackoff(); }
void StreamLink::FinishWriting() { loop_->FinishWriting(); }
void StreamLink::SetLast() { loop_->SetLast(); }

}  // namespace fanwire::client
