#include "fanout/net/connection.h"

#include <arpa/inet.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fanout/net/connection_group.h"
#include "fanout/net/listener.h"

namespace fanwire::fanout {

namespace {

constexpr uint16_t kNoStatus = 1005;
constexpr uint16_t kAbnormal = 1006;
// Pings of one read that are answered one by one; of more, only the last is (RFC 6455 section 5.5.3
// allows it), so that a flood of pings does not become a flood of system calls.
constexpr int kPongsPerRead = 16;
constexpr size_t kMaxReasonBytes = 123;  // RFC 6455 section 5.5, less the code
// A client may send as many pings at once as its limit lets it send in this time.
constexpr double kPingBurstSeconds = 2;
// A closing connection reads one buffer in this time: what the peer sent before it saw our close
// frame comes before its own.
constexpr absl::Duration kClosingPause = absl::Milliseconds(20);
// A peer is behind if something is queued for it, or so much is not acknowledged yet.  A little is
// under way to every peer, also to one whose kernel takes it while the program hangs.
constexpr size_t kBehindBytes = 16 << 10;
// How long a connection that is closed may take to hand over what is due to a peer that reads.
constexpr absl::Duration kLongestClose = absl::Seconds(60);

double PingBurst(double rate) { return std::max(1.0, kPingBurstSeconds * rate); }

// A close frame; `code` kNoStatus makes an empty one.
FramePtr CloseFrame(uint16_t code, absl::string_view reason) {
  if (code == kNoStatus) return Frame::Make(Opcode::kClose, "", 0);
  if (reason.size() > kMaxReasonBytes) {
    size_t size = kMaxReasonBytes;
    while (size > 0 && (static_cast<uint8_t>(reason[size]) & 0xc0) == 0x80)
      --size;  // whole characters
    reason = reason.substr(0, size);
  }
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  payload.append(reason.data(), reason.size());
  return Frame::Make(Opcode::kClose, payload, 0);
}

CloseInfo Closed(uint16_t code, absl::string_view reason, bool by_peer) {
  CloseInfo info;
  info.code = code;
  info.reason = std::string(reason);
  info.by_peer = by_peer;
  return info;
}

}  // namespace

Connection::Connection(ConnectionGroup* group, int fd, const PeerAddress& peer, bool over_cap)
    : group_(group),
      socket_(fd, group->table_),
      engine_(group->engine_context_.get()),
      last_heard_ns_(absl::ToInt64Nanoseconds(group->loop_->Now())),
      pings_(PingBurst(group->options_.ping_rate_limit), group->loop_->Now()),
      peer_(peer),
      over_cap_(over_cap) {
  group_->loop_->Watch(fd, kReadable, this);
  group_->loop_->Arm(this, group_->options_.handshake_timeout);
}

SendOutcome Connection::Offer(FramePtr frame) {
  if (state_ != State::kOpen) return SendOutcome::kClosed;
  return WatchIfQueued(socket_.Send(std::move(frame)));
}

SendOutcome Connection::OfferAll(absl::Span<const FramePtr> frames) {
  if (state_ != State::kOpen) return SendOutcome::kClosed;
  return WatchIfQueued(socket_.SendAll(frames));
}

SendOutcome Connection::Continue(FramePtr frame, ssize_t taken) {
  if (state_ != State::kOpen) return SendOutcome::kClosed;
  return WatchIfQueued(socket_.Continue(std::move(frame), taken));
}

void Connection::Close(CloseCode code, absl::string_view reason, Backlog backlog) {
  if (state_ == State::kHandshake) Abort();
  if (state_ != State::kOpen) return;
  state_ = State::kClosing;
  sent_code_ = static_cast<uint16_t>(code);
  if (backlog == Backlog::kDrop) DropUnsent();
  Acknowledged();  // progress counts from here
  WatchIfQueued(socket_.SendLast(CloseFrame(sent_code_, reason)));
  group_->loop_->Arm(this, group_->options_.close_timeout);
  ResumeReading();  // for the peer's close frame
}

void Connection::Abort() {
  aborted_ = true;
  socket_.Break();  // the next turn reads the end of the stream
}

void Connection::PauseReading(absl::Duration delay) {
  if ((state_ != State::kOpen && state_ != State::kClosing) || delay <= absl::ZeroDuration()) {
    return;
  }
  const absl::Duration until = group_->loop_->Now() + delay;
  if (held_ == nullptr) held_ = std::make_unique<Held>();
  if (held_->resume != 0) {
    if (until <= held_->until) return;
    group_->loop_->Cancel(held_->resume);
  }
  held_->until = until;
  held_->resume = group_->loop_->RunAfter(delay, [this] {
    held_->resume = 0;
    UpdateInterest();
    group_->loop_->CallAgain(fd());
  });
  UpdateInterest();
}

void Connection::ResumeReading() {
  if (!reading_paused()) return;
  group_->loop_->Cancel(std::exchange(held_->resume, 0));
  UpdateInterest();
  group_->loop_->CallAgain(fd());
}

uint64_t Connection::bytes_arrived() const {
  int waiting = 0;
  if (::ioctl(fd(), FIONREAD, &waiting) != 0) waiting = 0;
  return bytes_received_ + static_cast<uint64_t>(waiting);
}

uint64_t Connection::bytes_sent() const { return group_->table_->slot(fd()).bytes; }

uint64_t Connection::messages_sent() const { return group_->table_->slot(fd()).messages; }

// ---- what the loop says

void Connection::OnReady(uint32_t ready) {
  if ((ready & kWritable) != 0) Flush();
  if (state_ == State::kDead) return;
  if (!reading_paused()) {
    if ((ready & (kReadable | kEnded)) != 0) ReadSome();
  } else if ((ready & kBroken) != 0) {
    HandleEnd();
  } else if ((ready & kEnded) != 0) {
    HandleEndWhilePaused();
  }
}

void Connection::OnDeadline() {
  switch (state_) {
    case State::kHandshake:
      ++group_->counters_.handshake_timeouts;
      return Die(CloseInfo());
    case State::kOpen:
      return CheckKeepalive();
    case State::kClosing:
      if (WaitsAgain(group_->options_.close_timeout)) return;
      ++group_->counters_.close_timeouts;
      return Die(Closed(sent_code_, "", /*by_peer=*/false));
    case State::kLingering:
      if (!fin_sent_ && WaitsAgain(group_->options_.linger_timeout)) return;
      return Die(CloseInfo());
    case State::kDead:
      return;
  }
}

void Connection::Flush() {
  if (socket_.Flush() != SendOutcome::kSent) return;  // broken: reading will tell
  if (watching_writes_) {
    watching_writes_ = false;
    UpdateInterest();
  }
  if (state_ == State::kOpen || state_ == State::kClosing) handler_->OnDrained();
  if (state_ == State::kLingering) SendFinWhenDrained();
}

void Connection::ReadSome() {
  if (socket_.broken()) return HandleEnd();  // what had come in before is of no use now
  if (held_ != nullptr && !ConsumeHeld()) return;
  const absl::Span<uint8_t> buffer = group_->loop_->read_buffer();
  for (int i = 0; i < group_->options_.reads_per_turn; ++i) {
    const ssize_t count = socket_.Read(buffer);
    if (count == -EAGAIN) return;
    if (count <= 0) return HandleEnd();
    const auto size = static_cast<size_t>(count);
    bytes_received_ += size;
    group_->counters_.bytes_received += size;
    Heard(group_->loop_->Now());
    if (awaiting_pong_ && state_ == State::kOpen) ArmPing(group_->options_.ping_interval);
    awaiting_pong_ = false;
    if (state_ != State::kLingering) {
      absl::Span<uint8_t> input = buffer.subspan(0, size);
      Consume(&input);
      if (!input.empty()) Hold(input);
    }
    if (state_ == State::kDead || held_ != nullptr || size < buffer.size()) return;
    if (state_ == State::kClosing) return PauseReading(kClosingPause);
    if (group_->loop_->SliceOver()) return;
  }
}

void Connection::Hold(absl::Span<const uint8_t> rest) {
  if (held_ == nullptr) held_ = std::make_unique<Held>();
  held_->bytes.assign(reinterpret_cast<const char*>(rest.data()), rest.size());
  held_->handled = 0;
  if (!reading_paused()) group_->loop_->CallAgain(fd());
}

bool Connection::ConsumeHeld() {
  absl::Span<uint8_t> input(reinterpret_cast<uint8_t*>(held_->bytes.data()), held_->bytes.size());
  input.remove_prefix(held_->handled);
  if (state_ == State::kLingering) input = {};
  const bool any = !input.empty();
  Consume(&input);
  if (state_ == State::kDead) return false;
  held_->handled = held_->bytes.size() - input.size();
  if (!input.empty()) {
    if (!reading_paused()) group_->loop_->CallAgain(fd());
    return false;
  }
  if (reading_paused()) {
    std::string().swap(held_->bytes);  // the pause may be long: assignment would keep the memory
    held_->handled = 0;
    return false;
  }
  held_ = nullptr;
  // The descriptor is in the line again if there is more in the kernel.
  return !any || !group_->loop_->SliceOver();
}

void Connection::HandleEnd() {
  const bool lost = state_ == State::kOpen && !aborted_;
  if (lost) ++group_->counters_.lost;
  Die(Closed(state_ == State::kClosing ? sent_code_ : kAbnormal, "", /*by_peer=*/lost));
}

void Connection::Consume(absl::Span<uint8_t>* input) {
  int pings = 0;
  FramePtr last_pong;
  while (true) {
    if (state_ == State::kLingering || state_ == State::kDead || socket_.broken()) {
      *input = {};  // nobody wants it
      break;
    }
    const WsEvent event = engine_.Next(input);
    if (event.kind == WsEvent::Kind::kNeedMore) break;
    if (event.kind == WsEvent::Kind::kPing || event.kind == WsEvent::Kind::kPong) CountPing();
    if (event.kind == WsEvent::Kind::kPing) {
      last_pong = Frame::Make(Opcode::kPong, event.payload, 0);
      if (++pings <= kPongsPerRead) SendPong(std::exchange(last_pong, nullptr));
    } else if (state_ == State::kHandshake) {
      HandleHandshake(event);
    } else {
      HandleMessage(event);
    }
    if (input->empty() || reading_paused() || group_->loop_->SliceOver()) break;
  }
  if (last_pong) SendPong(std::move(last_pong));
}

void Connection::CountPing() {
  const double rate = group_->options_.ping_rate_limit;
  if (rate <= 0) return;
  PauseReading(absl::Seconds(pings_.Spend(1, rate, PingBurst(rate), group_->loop_->Now())));
}

void Connection::SendPong(FramePtr pong) {
  if (state_ != State::kOpen) return;
  WatchIfQueued(socket_.SendUrgent(std::move(pong), Socket::Urgent::kPong));
}

// ---- handshake

void Connection::HandleHandshake(const WsEvent& event) {
  if (event.kind == WsEvent::Kind::kUpgrade) return HandleUpgrade(*event.request);
  if (event.kind == WsEvent::Kind::kRequest) return HandleRequest(*event.request);
  ++group_->counters_.rejected_requests;
  Respond(ErrorResponse(event.error), /*head_only=*/false);
}

void Connection::HandleUpgrade(const HttpRequest& request) {
  HttpResponse refusal;
  if (over_cap_) {
    refusal.status = 503;
    refusal.headers = "Retry-After: 1\r\n";
    refusal.body = kNoConnectionsLeft;
  } else {
    handler_ = group_->host_->OnUpgrade(this, request, &refusal);
  }
  if (handler_ == nullptr) {
    ++group_->counters_.rejected_requests;
    if (refusal.status < 300) refusal.status = 503;
    return Respond(refusal, /*head_only=*/false);
  }
  ++group_->counters_.opened;
  // The response and the welcome that OnOpen() sends leave together.
  socket_.Hold();
  socket_.Send(Frame::Raw(engine_.AcceptUpgrade(request)));
  socket_.set_direct_allowed(true);
  state_ = State::kOpen;
  ArmPing(group_->options_.ping_interval);
  handler_->OnOpen();
  Flush();
  if (socket_.has_backlog()) WatchIfQueued(SendOutcome::kQueued);
}

void Connection::HandleRequest(const HttpRequest& request) {
  ++group_->counters_.http_requests;
  // The check of a balancer that nobody has told another one, such as HAProxy's `option httpchk`.
  if (request.method == "OPTIONS") {
    HttpResponse response;
    response.headers = kAllowHeader;
    return Respond(response, /*head_only=*/false);
  }
  const bool head_only = request.method == "HEAD";
  if (!head_only && request.method != "GET") {
    return Respond(ErrorResponse({405, "GET, HEAD, OPTIONS or a WebSocket upgrade"}), false);
  }
  HttpResponse response;
  if (!group_->host_->OnHttpRequest(request, &response)) {
    response = ErrorResponse({426, "this port speaks WebSocket"});
  }
  Respond(response, head_only);
}

void Connection::Respond(const HttpResponse& response, bool head_only) {
  WatchIfQueued(socket_.SendLast(Frame::Raw(SerializeResponse(response, head_only))));
  Linger(CloseInfo());
}

// ---- open

void Connection::HandleMessage(const WsEvent& event) {
  const bool open = state_ == State::kOpen;
  switch (event.kind) {
    case WsEvent::Kind::kText:
    case WsEvent::Kind::kBinary:
      if (!open) return;
      ++messages_received_;
      ++group_->counters_.messages_received;
      if (event.kind == WsEvent::Kind::kText) {
        handler_->OnText(event.payload);
      } else {
        handler_->OnBinary(event.payload);
      }
      return;
    case WsEvent::Kind::kClose:
      if (open) return HandlePeerClose(event.code, event.payload);
      return Linger(Closed(sent_code_, "", /*by_peer=*/false));
    case WsEvent::Kind::kFail:
      ++(event.code == static_cast<uint16_t>(CloseCode::kMessageTooBig)
             ? group_->counters_.messages_too_big
             : group_->counters_.protocol_errors);
      if (open) return Fail(static_cast<CloseCode>(event.code), event.payload);
      return Linger(Closed(sent_code_, "", /*by_peer=*/false));
    default:
      return;  // a pong; any byte has told already that the peer is there
  }
}

void Connection::HandlePeerClose(uint16_t code, absl::string_view reason) {
  ++group_->counters_.closed_by_peer;
  DropUnsent();  // it no longer reads
  WatchIfQueued(socket_.SendLast(CloseFrame(code, "")));
  Linger(Closed(code, reason, /*by_peer=*/true));
}

void Connection::Fail(CloseCode code, absl::string_view reason) {
  DropUnsent();
  sent_code_ = static_cast<uint16_t>(code);
  WatchIfQueued(socket_.SendLast(CloseFrame(sent_code_, reason)));
  Linger(Closed(sent_code_, reason, /*by_peer=*/false));
}

bool Connection::HeardWhilePaused() {
  if (!reading_paused()) return false;
  const uint64_t arrived = bytes_arrived();
  return std::exchange(held_->arrived, arrived) != arrived || arrived > bytes_received_;
}

void Connection::HandleEndWhilePaused() {
  if (held_->handled == held_->bytes.size() && bytes_arrived() == bytes_received_) {
    return HandleEnd();
  }
  held_->ended = true;
  UpdateInterest();
}

std::optional<absl::Duration> Connection::Acknowledged() {
  const size_t under_way = socket_.unacknowledged_bytes();
  const auto acknowledged = static_cast<uint32_t>(bytes_sent() - under_way);
  const bool any = std::exchange(acknowledged_, acknowledged) != acknowledged;
  const bool was_behind = behind_;
  behind_ = socket_.has_backlog() || under_way > kBehindBytes;
  if (!any || !(was_behind || behind_)) return std::nullopt;
  return group_->loop_->Now() - socket_.since_acknowledgement();
}

bool Connection::WaitsAgain(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration() || (waits_ + 1) * timeout >= kLongestClose) return false;
  if (!Acknowledged().has_value()) return false;
  ++waits_;
  group_->loop_->Arm(this, timeout);
  return true;
}

void Connection::CheckKeepalive() {
  std::optional<absl::Duration> heard = Acknowledged();
  if (HeardWhilePaused()) heard = group_->loop_->Now();
  if (heard.has_value() && *heard > last_heard()) {
    Heard(*heard);
    awaiting_pong_ = false;
  }
  if (awaiting_pong_) {
    ++group_->counters_.pong_timeouts;
    return Fail(CloseCode::kInternalError, "keepalive ping timeout");
  }
  // Armed by the interval, not moved at each byte: what was heard since is made up for here.
  const absl::Duration silent = group_->loop_->Now() - last_heard();
  if (silent < group_->options_.ping_interval) {
    return ArmPing(group_->options_.ping_interval - silent);
  }
  ++group_->counters_.pings_sent;
  awaiting_pong_ = true;
  WatchIfQueued(socket_.SendUrgent(group_->ping_, Socket::Urgent::kPing));
  group_->loop_->Arm(this, group_->options_.pong_timeout);
}

void Connection::ArmPing(absl::Duration delay) {
  const absl::Duration interval = group_->options_.ping_interval;
  if (interval == absl::ZeroDuration() || interval == absl::InfiniteDuration()) {
    Disarm();
  } else {
    group_->loop_->Arm(this, delay);
  }
}

// ---- the end

void Connection::Linger(CloseInfo info) {
  state_ = State::kLingering;
  Acknowledged();  // progress counts from here
  ResumeReading();
  TellClosed(std::move(info));
  group_->loop_->Arm(this, group_->options_.linger_timeout);
  SendFinWhenDrained();
}

void Connection::SendFinWhenDrained() {
  if (fin_sent_ || socket_.has_backlog()) return;
  fin_sent_ = true;
  socket_.ShutdownSend();
}

void Connection::Die(CloseInfo info) {
  state_ = State::kDead;
  if (held_ != nullptr) group_->loop_->Cancel(held_->resume);
  TellClosed(std::move(info));
  group_->Bury(this);
}

void Connection::TellClosed(CloseInfo info) {
  if (handler_ == nullptr) return;
  info.unsent_messages = dropped_ + socket_.queued_messages();
  std::exchange(handler_, nullptr)->OnClosed(info);
}

SendOutcome Connection::WatchIfQueued(SendOutcome outcome) {
  if (outcome == SendOutcome::kQueued && !watching_writes_) {
    watching_writes_ = true;
    UpdateInterest();
  }
  return outcome;
}

void Connection::UpdateInterest() {
  uint32_t interest = 0;
  if (!reading_paused()) {
    interest |= kReadable;
  } else if (!held_->ended) {
    interest |= kEnded;
  }
  if (watching_writes_) interest |= kWritable;
  group_->loop_->ChangeInterest(fd(), interest);
}

}  // namespace fanwire::fanout
