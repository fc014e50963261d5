#include "fanwire/publisher.h"

#include <grpcpp/channel.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "clients/cpp/src/event_ids.h"
#include "clients/cpp/src/event_writer.h"
#include "clients/cpp/src/publish_fields.h"
#include "clients/cpp/src/receipt_reader.h"
#include "clients/cpp/src/send_buffer.h"
#include "clients/cpp/src/stream_link.h"
#include "clients/cpp/src/target.h"
#include "common/check.h"
#include "common/mutex.h"
#include "proto/wire/wire_writer.h"

namespace fanwire::client {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr char kMethod[] = "/fanwire.v1.Publisher/PublishStream";

constexpr int64_t kMillisecondsPerSecond = 1000;
constexpr int64_t kNanosPerMillisecond = 1'000'000;

// How long Stop() waits for control to end a stream that has nothing more to say.
constexpr milliseconds kEndGrace{1'000};

// The end of a wait that may be given as "for ever".
steady_clock::time_point EndOf(milliseconds timeout) {
  return steady_clock::now() + std::min<milliseconds>(timeout, std::chrono::hours(24 * 365));
}

std::string Count(size_t count, const char* what) { return std::to_string(count) + " " + what; }

}  // namespace

class Publisher::Core final : public StreamHandler {
 public:
  explicit Core(PublisherOptions options)
      : options_(std::move(options)),
        message_events_(most_message_events()),
        buffer_({.events = options_.max_buffered_events, .bytes = options_.max_buffered_bytes}) {
    publisher_id_ = ids_.Make(0);
    std::shared_ptr<grpc::Channel> channel;
    unusable_ = MakeChannel(options_, &channel);
    if (!unusable_.ok()) return;
    link_ = std::make_unique<StreamLink>(
        StreamLink::Options{.channel = std::move(channel),
                            .address = ChooseAddress(options_.target),
                            .method = kMethod,
                            .token = ChooseToken(options_.token),
                            .reconnect_first = options_.reconnect_first,
                            .reconnect_last = options_.reconnect_last},
        this);
    link_->Start();
  }

  const PublisherOptions& options() const { return options_; }

  Status Publish(const Event& event, ReceiptCallback done);
  Status Flush(milliseconds timeout);
  Status Close(milliseconds timeout);
  PublisherStats stats() const;

  void MakeHello(OutMessage* message) override;
  Status OnMessage(std::string_view message) override;
  bool MakeMessage(OutMessage* message) override;
  void OnWake() override;
  void OnEnd(const Status& status) override;

 private:
  // An event that leaves the buffer without a receipt from control.
  struct Lost {
    ReceiptCallback done = {};
    Status status = {};
  };

  size_t most_message_events() const { return std::max<size_t>(options_.max_batch_events, 1); }
  // Makes room for so many bytes, as options_.when_full says.
  Status MakeRoom(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status NoRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Waits until all before `seq` have their receipts.
  Status AwaitReceipts(uint64_t seq, steady_clock::time_point end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Reached(uint64_t seq) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !calling_back_ && lost_.empty() && buffer_.first_seq() >= seq;
  }
  Status TakeRefusal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteRefusal(const Status& status, const std::string& event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Wakes those who wait for room or receipts, if it is worth it.
  void WakeWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  void OnWelcome(uint32_t credit);
  void OnReceipts(const std::vector<FoundReceipt>& receipts);
  // Control ended the stream, perhaps because of a message.  Makes messages smaller; in the end
  // each event is sent alone, and refused if the stream ends again.
  void BlameMessage(const Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Calls the callbacks of lost_.
  void TellLost();

  const PublisherOptions options_;
  Status unusable_;  // why there is no link_
  EventIds ids_ ABSL_GUARDED_BY(mu_);
  std::string publisher_id_;
  std::unique_ptr<StreamLink> link_;

  // Only touched by the link's thread.
  StreamAnswer answer_;
  Receipt receipt_;
  std::vector<Settled> settled_;
  std::vector<Refusal> refusals_;
  bool told_ = false;  // on_connection() has been called

  mutable Mutex mu_;  // a leaf
  CondVar room_;
  CondVar receipts_;
  size_t message_events_ ABSL_GUARDED_BY(mu_);
  size_t events_alone_ ABSL_GUARDED_BY(mu_) = 0;  // so many more are sent one at a time
  SendBuffer buffer_ ABSL_GUARDED_BY(mu_);
  size_t credit_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<std::string> going_away_ ABSL_GUARDED_BY(mu_);  // control's reason
  std::vector<Lost> lost_ ABSL_GUARDED_BY(mu_);
  bool idle_ ABSL_GUARDED_BY(mu_) = false;  // the link does not ask again by itself
  bool calling_back_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int waiting_for_room_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t awaited_ ABSL_GUARDED_BY(mu_) = UINT64_MAX;  // lowest seq that somebody waits for
  bool connected_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t connections_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t unanswered_ ABSL_GUARDED_BY(mu_) = 0;       // at Close()
  uint64_t refused_here_ ABSL_GUARDED_BY(mu_) = 0;     // by BlameMessage()
  uint64_t silent_refusals_ ABSL_GUARDED_BY(mu_) = 0;  // since the last Flush()
  Status first_refusal_ ABSL_GUARDED_BY(mu_);          // of those
  Status last_error_ ABSL_GUARDED_BY(mu_);
};

Status Publisher::Core::Publish(const Event& event, ReceiptCallback done) {
  if (!unusable_.ok()) return unusable_;
  if (!event.json.empty() && !event.type_url.empty()) {
    return {Code::kInvalidArgument, "the event has both json and a typed payload: set one"};
  }
  if (!event.typed.empty() && event.type_url.empty()) {
    return {Code::kInvalidArgument,
            "the event has a typed payload but no type_url: set it, such as "
            "type.googleapis.com/google.protobuf.Struct"};
  }
  bool wake = false;
  Status status;
  {
    MutexLock lock(&mu_);
    // Twice only if it had to wait, and others published meanwhile.
    while (true) {
      const uint64_t seq = buffer_.next_seq();
      const EventWriter writer(event, event.id.empty() ? ids_.Make(seq) : event.id);
      const size_t size = writer.Size(seq);
      if (closed_) {
        status = {Code::kFailedPrecondition, "the publisher is closed"};
        break;
      }
      if (buffer_.HasRoom(size)) [[likely]] {
        buffer_.Add(writer, size, std::move(done));
        wake = std::exchange(idle_, false) || !lost_.empty();
        break;
      }
      status = MakeRoom(size);
      if (!status.ok()) break;
    }
  }
  if (wake) link_->Wake();
  return status;
}

Status Publisher::Core::NoRoom() const {
  std::string why = "the buffer is full: " + Count(buffer_.events(), "events, ") +
                    Count(buffer_.bytes(), "bytes wait for their receipts");
  if (!connected_ && !last_error_.ok()) why += "; " + last_error_.message();
  return {Code::kResourceExhausted, std::move(why)};
}

Status Publisher::Core::MakeRoom(size_t bytes) {
  if (bytes > options_.max_buffered_bytes || options_.max_buffered_events == 0) {
    return {Code::kInvalidArgument,
            "the event takes " + Count(bytes, "bytes, the buffer has ") +
                Count(options_.max_buffered_bytes, "in all: raise max_buffered_bytes")};
  }
  if (options_.when_full == WhenFull::kDropOldest) {
    while (!buffer_.HasRoom(bytes)) {
      ReceiptCallback done;
      if (!buffer_.DropOldest(&done)) return NoRoom();
      if (!done) continue;
      lost_.push_back({.done = std::move(done),
                       .status = {Code::kResourceExhausted,
                                  "dropped: the buffer was full, and later events came"}});
    }
    return {};
  }
  if (options_.when_full == WhenFull::kRefuse || link_->OnThread()) return NoRoom();
  const steady_clock::time_point end = EndOf(options_.block_timeout);
  ++waiting_for_room_;
  while (!closed_ && !buffer_.HasRoom(bytes)) {
    const auto left = end - steady_clock::now();
    if (left <= left.zero()) break;
    room_.WaitWithTimeout(&mu_, absl::FromChrono(left));
  }
  --waiting_for_room_;
  return closed_ || buffer_.HasRoom(bytes) ? Status() : NoRoom();
}

Status Publisher::Core::Flush(milliseconds timeout) {
  if (!unusable_.ok()) return unusable_;
  if (link_->OnThread()) {
    return {Code::kFailedPrecondition, "Flush() was called in a callback, which it waits for"};
  }
  MutexLock lock(&mu_);
  Status status = AwaitReceipts(buffer_.next_seq(), EndOf(timeout));
  return status.ok() ? TakeRefusal() : status;
}

Status Publisher::Core::AwaitReceipts(uint64_t seq, steady_clock::time_point end) {
  while (!Reached(seq)) {
    const auto left = end - steady_clock::now();
    if (left <= left.zero()) {
      std::string why = Count(buffer_.events(), "events have no receipt yet");
      if (!connected_ && !last_error_.ok()) why += "; " + last_error_.message();
      return {Code::kDeadlineExceeded, std::move(why)};
    }
    awaited_ = std::min(awaited_, seq);
    receipts_.WaitWithTimeout(&mu_, absl::FromChrono(left));
  }
  return {};
}

Status Publisher::Core::TakeRefusal() {
  if (first_refusal_.ok()) return {};
  Status status = std::exchange(first_refusal_, Status());
  const uint64_t more = std::exchange(silent_refusals_, 0) - 1;
  if (more == 0) return status;
  return {status.code(), status.message() + " (and " + std::to_string(more) + " more)"};
}

void Publisher::Core::NoteRefusal(const Status& status, const std::string& event) {
  ++silent_refusals_;
  if (first_refusal_.ok()) first_refusal_ = {status.code(), event + ": " + status.message()};
}

Status Publisher::Core::Close(milliseconds timeout) {
  if (link_ == nullptr) return {};
  FANWIRE_CHECK(!link_->OnThread(), "a publisher's callback must not close or destroy it");
  Status status;
  {
    MutexLock lock(&mu_);
    if (closed_) return {};
    closed_ = true;
    room_.SignalAll();
    status = AwaitReceipts(buffer_.next_seq(), EndOf(timeout));
  }
  link_->Stop(kEndGrace);
  {
    MutexLock lock(&mu_);
    connected_ = false;
    while (!buffer_.empty()) {
      ++unanswered_;
      ReceiptCallback done;
      buffer_.RemoveFirst(&done);
      if (!done) continue;
      lost_.push_back({.done = std::move(done),
                       .status = {Code::kUnavailable,
                                  "the publisher was closed before the receipt came: whether the "
                                  "event was published is not known"}});
    }
    if (status.ok()) status = TakeRefusal();
  }
  TellLost();
  return status;
}

PublisherStats Publisher::Core::stats() const {
  MutexLock lock(&mu_);
  return {.accepted = buffer_.accepted(),
          .duplicates = buffer_.duplicates(),
          .refused = buffer_.refused() + refused_here_,
          .dropped = buffer_.dropped() + unanswered_,
          .connections = connections_,
          .buffered_events = buffer_.events(),
          .buffered_bytes = buffer_.bytes(),
          .connected = connected_,
          .last_error = unusable_.ok() ? last_error_ : unusable_};
}

void Publisher::Core::MakeHello(OutMessage* message) {
  std::string hello;
  AppendWireBytes(HelloField::kPublisherId, publisher_id_, &hello);
  WireFields<kWireNumberBytes> level;
  level.Number(HelloField::kReceiptLevel, static_cast<uint64_t>(options_.receipt_level));
  hello.append(level.bytes().data(), level.size());
  if (options_.receipt_level == ReceiptLevel::kWritten) {
    const int64_t wait = options_.receipt_wait.count();
    WireFields<2 * kWireNumberBytes> duration;
    duration.Number(TimeField::kSeconds, static_cast<uint64_t>(wait / kMillisecondsPerSecond));
    duration.Number(TimeField::kNanos,
                    static_cast<uint64_t>(wait % kMillisecondsPerSecond * kNanosPerMillisecond));
    AppendWireBytes(HelloField::kWait, duration.bytes(), &hello);
  }
  message->head.clear();
  AppendWireBytes(RequestField::kHello, hello, &message->head);
}

Status Publisher::Core::OnMessage(std::string_view message) {
  if (!ReadStreamAnswer(message, &answer_)) {
    return {Code::kInternal, "control sent a malformed message"};
  }
  switch (answer_.kind) {
    case StreamAnswer::Kind::kWelcome:
      OnWelcome(answer_.credit);
      break;
    case StreamAnswer::Kind::kReceipts:
      OnReceipts(answer_.receipts);
      break;
    case StreamAnswer::Kind::kCredit: {
      MutexLock lock(&mu_);
      credit_ = answer_.credit;
      break;
    }
    case StreamAnswer::Kind::kGoAway: {
      // What was sent still gets its receipts; then control ends the stream.
      MutexLock lock(&mu_);
      going_away_ = answer_.reason;
      link_->FinishWriting();
      break;
    }
    case StreamAnswer::Kind::kUnknown:
      break;
  }
  return {};
}

void Publisher::Core::OnWelcome(uint32_t credit) {
  link_->SetOpen();
  {
    MutexLock lock(&mu_);
    credit_ = std::max<uint32_t>(credit, 1);
    going_away_ = std::nullopt;
    connected_ = true;
    ++connections_;
  }
  told_ = true;
  if (options_.on_connection) options_.on_connection(Status());
}

void Publisher::Core::OnReceipts(const std::vector<FoundReceipt>& receipts) {
  {
    MutexLock lock(&mu_);
    if (buffer_.Settle(receipts, &settled_, &refusals_)) {
      // The rest of what was sent comes to its receipts, and then everything else to a new stream.
      going_away_ = "it cannot publish now";
      link_->FinishWriting();
    } else {
      link_->ResetBackoff();
    }
    if (events_alone_ > 0 && --events_alone_ == 0) message_events_ = most_message_events();
    for (const Refusal& refusal : refusals_) {
      ReadReceipt(refusal.receipt, &receipt_);
      NoteRefusal(receipt_.status, refusal.event);
    }
    refusals_.clear();
    calling_back_ = !settled_.empty();
    WakeWaiting();
  }
  if (settled_.empty()) return;
  for (Settled& each : settled_) {
    ReadReceipt(each.receipt, &receipt_);
    each.done(receipt_);
  }
  settled_.clear();  // with what the callbacks hold, before anybody learns that they have returned
  MutexLock lock(&mu_);
  calling_back_ = false;
  WakeWaiting();
}

void Publisher::Core::TellLost() {
  std::vector<Lost> lost;
  {
    MutexLock lock(&mu_);
    lost = std::exchange(lost_, {});
    calling_back_ = !lost.empty();
  }
  if (lost.empty()) return;
  Receipt receipt;
  for (const Lost& each : lost) {
    receipt.status = each.status;
    each.done(receipt);
  }
  lost.clear();
  MutexLock lock(&mu_);
  calling_back_ = false;
  WakeWaiting();
}

void Publisher::Core::WakeWaiting() {
  // Not for each event that fits again: then publisher and link would take turns event by event.
  if (waiting_for_room_ > 0 && buffer_.events() <= options_.max_buffered_events / 4 * 3 &&
      buffer_.bytes() <= options_.max_buffered_bytes / 4 * 3) {
    room_.SignalAll();
  }
  if (awaited_ != UINT64_MAX && Reached(awaited_)) {
    awaited_ = UINT64_MAX;
    receipts_.SignalAll();
  }
}

bool Publisher::Core::MakeMessage(OutMessage* message) {
  {
    MutexLock lock(&mu_);
    if (going_away_.has_value()) return false;
    // So many may be without a receipt.
    const size_t most = events_alone_ > 0
                            ? 1
                            : std::min(credit_, std::max<size_t>(options_.max_in_flight_events, 1));
    if (buffer_.in_flight() < most) {
      // Of a full buffer something must be left to be dropped.
      const size_t part = options_.when_full == WhenFull::kDropOldest ? 2 : 1;
      buffer_.Take({.events = std::min(message_events_, most - buffer_.in_flight()),
                    .bytes = options_.max_batch_bytes},
                   part, &message->pieces);
    }
    // If something waits, the receipts of what was sent lead here again.
    idle_ = message->pieces.empty() && !buffer_.has_waiting();
  }
  if (message->pieces.empty()) return false;
  size_t bytes = 0;
  for (const Piece& piece : message->pieces) bytes += piece.size;
  AppendWireHead(RequestField::kItems, bytes, &message->head);
  return true;
}

void Publisher::Core::OnWake() { TellLost(); }

void Publisher::Core::OnEnd(const Status& status) {
  bool tell = !std::exchange(told_, true);
  Status reason = status;
  {
    MutexLock lock(&mu_);
    if (going_away_.has_value()) {
      reason = {Code::kUnavailable, "control is going away: " + *going_away_};
    }
    tell = std::exchange(connected_, false) || tell;
    BlameMessage(status);
    buffer_.TakeBack();
    idle_ = false;
    last_error_ = reason;
    WakeWaiting();
  }
  TellLost();
  if (tell && options_.on_connection) options_.on_connection(reason);
}

void Publisher::Core::BlameMessage(const Status& status) {
  if (buffer_.in_flight() == 0) return;
  if (status.code() != Code::kInvalidArgument && status.code() != Code::kResourceExhausted) return;
  if (message_events_ > 1) {
    message_events_ /= 2;
    // One of those that the larger message held may be what control does not take.
    if (message_events_ == 1) events_alone_ = most_message_events();
    return;
  }
  if (events_alone_ == 0) {
    events_alone_ = most_message_events();
    return;
  }
  events_alone_ = 0;
  message_events_ = most_message_events();
  ++refused_here_;
  ReceiptCallback done;
  const std::string event = buffer_.RemoveFirst(&done);
  if (done) {
    lost_.push_back({.done = std::move(done), .status = status});
  } else {
    NoteRefusal(status, event);
  }
}

Publisher::Publisher(PublisherOptions options)
    : core_(std::make_unique<Core>(std::move(options))) {}

Publisher::~Publisher() { core_->Close(core_->options().close_timeout); }

Status Publisher::Publish(const Event& event) { return core_->Publish(event, nullptr); }

Status Publisher::Publish(const Event& event, ReceiptCallback done) {
  return core_->Publish(event, std::move(done));
}

std::future<Receipt> Publisher::PublishWithFuture(const Event& event) {
  auto promise = std::make_shared<std::promise<Receipt>>();
  std::future<Receipt> future = promise->get_future();
  Status status =
      core_->Publish(event, [promise](const Receipt& receipt) { promise->set_value(receipt); });
  if (!status.ok()) {
    Receipt receipt;
    receipt.status = std::move(status);
    promise->set_value(std::move(receipt));
  }
  return future;
}

Status Publisher::Flush(std::chrono::milliseconds timeout) { return core_->Flush(timeout); }
Status Publisher::Close(std::chrono::milliseconds timeout) { return core_->Close(timeout); }
PublisherStats Publisher::stats() const { return core_->stats(); }

}  // namespace fanwire::client
