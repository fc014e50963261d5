#include "fanout/control_link.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <pthread.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "common/backoff.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/rpc_status.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

// Missed heartbeats after which control counts as gone.
constexpr int kMissedHeartbeats = 3;

// A message that has grown so long is written before its turn ends.
constexpr size_t kMessageBytes = 512 << 10;

constexpr char kAttach[] = "/fanwire.v1.Workers/Attach";

// One message of control, taken apart.
struct Incoming {
  std::vector<LinkItem> items;
  std::unique_ptr<v1::ControlMessage> message;  // set: no batch
};

// Where a stream leaves what it has for the loop.
class Mailbox {
 public:
  virtual ~Mailbox() = default;
  virtual void OnIncoming(uint64_t generation, Incoming incoming) = 0;
  virtual void OnWritten(uint64_t generation) = 0;
};

absl::string_view Text(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

// Reads a ControlMessage.  Returns false if it is malformed.
bool TakeApart(grpc::ByteBuffer* message, Incoming* incoming) {
  std::vector<grpc::Slice> slices;
  if (!message->Dump(&slices).ok()) return false;
  std::vector<absl::string_view> pieces;
  pieces.reserve(slices.size());
  for (const grpc::Slice& slice : slices) pieces.push_back(Text(slice));
  if (ReadBatch(std::move(pieces), &incoming->items)) return true;
  incoming->items.clear();
  auto parsed = std::make_unique<v1::ControlMessage>();
  grpc::ProtoBufferReader reader(message);
  if (!parsed->ParseFromZeroCopyStream(&reader)) return false;
  // A batch with fields of a later version in it or beside it.
  if (parsed->has_batch()) return ReadBatch(parsed->batch(), &incoming->items);
  incoming->message = std::move(parsed);
  return true;
}

// One attachment's stream.
//
// On a completion queue with one thread, not on gRPC's callbacks: those are called by two threads
// that wake each other up for every message.
class Stream {
 public:
  Stream(uint64_t generation, std::shared_ptr<grpc::Channel> channel, Mailbox* mailbox)
      : generation_(generation), mailbox_(mailbox), stub_(std::move(channel)) {}

  // Sends `hello` ahead of all else.
  void Start(grpc::CompletionQueue* queue, const v1::WorkerMessage& hello) {
    context_.set_initial_metadata_corked(true);  // leaves with `hello`
    call_ = stub_.PrepareCall(&context_, kAttach, queue);
    call_->StartCall(nullptr);
    Write(hello);
    call_->Read(&reading_, Tag(kRead));
  }

  // One at a time: the next after Mailbox::OnWritten().
  void Write(const v1::WorkerMessage& message) {
    const grpc::Slice slice(message.SerializeAsString());
    const grpc::ByteBuffer bytes(&slice, 1);
    MutexLock lock(&mu_);
    if (over_) return;
    writing_ = true;
    call_->Write(bytes, Tag(kWrite));
  }

  void Cancel() { context_.TryCancel(); }

  // Whose `tag` the completion queue gave back.
  static uint64_t GenerationOf(void* tag) { return reinterpret_cast<uintptr_t>(tag) / kOperations; }

  // An operation of this stream is over.  Returns whether all are: then it may go.
  bool Complete(void* tag, bool ok) {
    switch (reinterpret_cast<uintptr_t>(tag) % kOperations) {
      case kRead:
        OnRead(ok);
        break;
      case kWrite:
        OnWritten(ok);
        break;
      default:
        finished_ = true;
    }
    MutexLock lock(&mu_);
    return finished_ && !writing_;
  }

  // Of a stream that is over.
  absl::Status status() const { return FromGrpcStatus(status_); }

 private:
  enum Operation : uintptr_t { kRead, kWrite, kFinish, kOperations };

  void* Tag(Operation operation) const {
    // gRPC only gives it back.  NOLINTNEXTLINE(performance-no-int-to-ptr)
    return reinterpret_cast<void*>(generation_ * kOperations + operation);
  }

  void OnRead(bool ok) {
    if (!ok) {
      {
        MutexLock lock(&mu_);
        over_ = true;
      }
      call_->Finish(&status_, Tag(kFinish));
      return;
    }
    Incoming incoming;
    const size_t bytes = reading_.Length();
    if (TakeApart(&reading_, &incoming)) {
      mailbox_->OnIncoming(generation_, std::move(incoming));
    } else {
      // Nothing that comes behind it can be trusted: the next attachment begins anew.
      LogError("link.malformed", {{"bytes", bytes}});
      context_.TryCancel();
    }
    reading_.Clear();
    call_->Read(&reading_, Tag(kRead));
  }

  void OnWritten(bool ok) {
    {
      MutexLock lock(&mu_);
      writing_ = false;
    }
    if (ok) mailbox_->OnWritten(generation_);
  }

  const uint64_t generation_;
  Mailbox* const mailbox_;
  grpc::GenericStub stub_;  // with the channel
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer reading_;
  grpc::Status status_;
  bool finished_ = false;  // status_ is there
  Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
};

class ControlLinkImpl final : public ControlLink, public Mailbox {
 public:
  ControlLinkImpl(const Options& options, EventLoop* loop, ControlLinkHandler* handler)
      : loop_(loop),
        handler_(handler),
        max_queued_bytes_(options.max_queued_bytes),
        address_(options.address),
        backoff_(options.first_retry, options.last_retry) {
    hook_ = loop_->AddTurnHook([this] { WriteOut(); });
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "control_link");
      Serve();
    });
  }

  ~ControlLinkImpl() override {
    loop_->RemoveTurnHook(hook_);
    loop_->Cancel(timer_);
    if (stream_ != nullptr) stream_->Cancel();
    stream_ = nullptr;
    {
      MutexLock lock(&mu_);
      while (!streams_.empty()) over_.Wait(&mu_);
    }
    queue_.Shutdown();
    thread_.join();
  }

  void Start() override {
    v1::WorkerMessage hello;
    handler_->FillHello(hello.add_items()->mutable_hello());
    ++generation_;
    attached_ = false;
    writing_ = true;
    last_heard_ = loop_->Now();
    stream_ = std::make_shared<Stream>(generation_, MakeChannel(), this);
    {
      MutexLock lock(&mu_);
      streams_.emplace(generation_, stream_);
      stream_->Start(&queue_, hello);
    }
    ArmWatch();
  }

  void Stop(absl::Duration timeout, absl::AnyInvocable<void()> done) override {
    stopping_ = true;
    stopped_ = std::move(done);
    if (!attached_) {
      loop_->Cancel(timer_);  // no further attempt
      return EndStop();
    }
    stop_timer_ = loop_->RunAfter(timeout, [this] { EndStop(); });
    WriteOut();
    MaybeEndStop();
  }

  bool attached() const override { return attached_; }

  void Send(std::unique_ptr<v1::WorkerItem> item) override {
    if (!attached_ || cut_off_) return;
    const size_t bytes = item->ByteSizeLong();
    outgoing_.bytes += bytes;
    if (!beginning_ && !item->has_interest_snapshot()) {
      outgoing_.counted += bytes;
      queued_bytes_ += bytes;
    }
    outgoing_.message.mutable_items()->AddAllocated(item.release());
    if (queued_bytes_ > max_queued_bytes_) return CutOff();
    if (outgoing_.bytes > kMessageBytes) Seal();
  }

  void SetHeartbeatInterval(absl::Duration interval) override { heartbeat_ = interval; }

  // ---- Mailbox; on the stream's thread

  void OnIncoming(uint64_t generation, Incoming incoming) override {
    {
      MutexLock lock(&mu_);
      incoming_.emplace_back(generation, std::move(incoming));
      if (std::exchange(posted_, true)) return;
    }
    loop_->Post([this] { TakeIncoming(); });
  }

  void OnWritten(uint64_t generation) override {
    loop_->Post([this, generation] {
      if (generation != generation_) return;
      writing_ = false;
      WriteOut();
      MaybeEndStop();
    });
  }

 private:
  // Items that leave together.
  struct Outgoing {
    v1::WorkerMessage message;
    size_t bytes = 0;
    size_t counted = 0;  // of queued_bytes_
  };

  // A channel that has never failed, for each attempt.
  //
  // gRPC waits for its timers by the wall clock (absl::CondVar).  When that is set back, the timers
  // of a process stand still until it has caught up, and with them the time after which a channel
  // that could not connect tries again.  A new channel tries at once, without a timer; when to make
  // one is decided by the loop's clock, which nobody sets.
  std::shared_ptr<grpc::Channel> MakeChannel() const {
    grpc::ChannelArguments arguments;
    // Channels with equal arguments share their connections, and failures, unless told otherwise.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(64 << 20);
    // Acknowledgements bound what is under way: no need to probe for a window, which is a ping and
    // a wake-up at either end for every message that comes alone.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 16 << 20);
    return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  }

  // The stream's thread.
  void Serve() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      const uint64_t generation = Stream::GenerationOf(tag);
      std::shared_ptr<Stream> stream;
      {
        MutexLock lock(&mu_);
        stream = streams_.at(generation);
      }
      if (!stream->Complete(tag, ok)) continue;
      // The loop may have ended; then only the destructor waits.
      loop_->Post([this, generation, status = stream->status()] {
        if (generation == generation_) Detached(status);
      });
      // The stream, and with it its channel, ends without the mutex.
      MutexLock lock(&mu_);
      streams_.erase(generation);
      over_.SignalAll();
    }
  }

  void TakeIncoming() {
    std::vector<std::pair<uint64_t, Incoming>> taken;
    {
      MutexLock lock(&mu_);
      taken.swap(incoming_);
      posted_ = false;
    }
    for (auto& [generation, incoming] : taken) {
      if (generation != generation_ || stopping_) continue;
      last_heard_ = loop_->Now();
      if (incoming.message != nullptr) {
        if (incoming.message->has_welcome()) {
          attached_ = true;
          backoff_.Reset();
          LogInfo("link.attached");
          beginning_ = true;
          handler_->OnAttached(*incoming.message);
          beginning_ = false;
        } else {
          handler_->OnControlMessage(*incoming.message);
        }
        continue;
      }
      for (LinkItem& item : incoming.items) handler_->OnItem(std::move(item));
    }
    handler_->OnTurn();
  }

  void Detached(const absl::Status& status) {
    loop_->Cancel(timer_);
    timer_ = 0;
    if (stopping_) return EndStop();
    const bool was = std::exchange(attached_, false);
    stream_ = nullptr;
    ++generation_;  // what it still posted is of no use
    DropQueued();
    cut_off_ = false;
    if (was) {
      LogWarning("link.detached", {{"reason", status}});
      handler_->OnDetached(status);
    } else {
      LogDebug("link.failed", {{"reason", status}});
    }
    if (absl::IsFailedPrecondition(status)) return handler_->OnFenced(status);
    timer_ = loop_->RunAfter(backoff_.Next(), [this] {
      timer_ = 0;
      Start();
    });
  }

  // Looks now and then whether control is still there.
  void ArmWatch() {
    timer_ = loop_->RunAfter(heartbeat_, [this] {
      timer_ = 0;
      if (loop_->Now() - last_heard_ > heartbeat_ * kMissedHeartbeats) {
        LogWarning("link.silent", {{"for", loop_->Now() - last_heard_}});
        return stream_->Cancel();
      }
      ArmWatch();
    });
  }

  void Seal() {
    if (outgoing_.message.items_size() == 0) return;
    sealed_.push_back(std::exchange(outgoing_, Outgoing()));
  }

  void DropQueued() {
    sealed_.clear();
    outgoing_ = Outgoing();
    queued_bytes_ = 0;
  }

  // Control reads too slowly to be of use: the next attachment tells everything anew.
  void CutOff() {
    LogWarning("link.cut_off", {{"queued_bytes", queued_bytes_}});
    cut_off_ = true;
    DropQueued();
    stream_->Cancel();
  }

  void WriteOut() {
    if (writing_ || !attached_) return;
    if (sealed_.empty()) Seal();
    if (sealed_.empty()) return;
    Outgoing next = std::move(sealed_.front());
    sealed_.pop_front();
    queued_bytes_ -= next.counted;
    writing_ = true;
    stream_->Write(next.message);
  }

  void MaybeEndStop() {
    if (!stopping_ || !stopped_ || writing_) return;
    if (attached_ && (outgoing_.message.items_size() > 0 || !sealed_.empty())) return;
    EndStop();
  }

  void EndStop() {
    if (!stopped_) return;
    loop_->Cancel(stop_timer_);
    std::exchange(stopped_, nullptr)();
  }

  EventLoop* const loop_;
  ControlLinkHandler* const handler_;
  const size_t max_queued_bytes_;
  const std::string address_;
  grpc::CompletionQueue queue_;
  std::thread thread_;  // of queue_
  EventLoop::HookId hook_ = 0;

  // Of the loop.
  std::shared_ptr<Stream> stream_;
  Backoff backoff_;
  uint64_t generation_ = 0;
  bool attached_ = false;
  bool writing_ = false;
  bool stopping_ = false;
  absl::AnyInvocable<void()> stopped_;
  EventLoop::TimerId stop_timer_ = 0;
  EventLoop::TimerId timer_ = 0;  // of the retry, or of the watch
  absl::Duration heartbeat_ = absl::Seconds(1);
  absl::Duration last_heard_;
  bool beginning_ = false;  // in OnAttached()
  bool cut_off_ = false;    // its end is under way
  Outgoing outgoing_;
  std::deque<Outgoing> sealed_;
  size_t queued_bytes_ = 0;

  Mutex mu_{LockRank::kLink};  // before the mutexes of streams
  CondVar over_;
  // Those that gRPC is not done with, by generation.
  absl::flat_hash_map<uint64_t, std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<uint64_t, Incoming>> incoming_ ABSL_GUARDED_BY(mu_);
  bool posted_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

std::unique_ptr<ControlLink> ControlLink::Make(const Options& options, EventLoop* loop,
                                               ControlLinkHandler* handler) {
  return std::make_unique<ControlLinkImpl>(options, loop, handler);
}

}  // namespace fanwire::fanout
