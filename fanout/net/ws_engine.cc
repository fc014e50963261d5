// What websocketpp 0.8.2 does here: the accept key and the headers of the 101 response, the frame
// parser with masks, lengths, fragments and UTF-8, and the rules of close codes.  What it gets
// wrong, and where that is put right:
//   - upgrade headers matched as substrings, keys unchecked, repeated Hosts and keys joined, NUL
//   and
//     empty header names taken: http_request.h reads the request; the library never sees it
//   - a fragmented text message may end inside a character: FrameParser::EndsInsideCharacter()
//   - a continuation's length is added to what is held without a look at overflow, so that a length
//     near 2^64 passes the limit and the payload grows without bound: FrameParser::Feed() hands on
//     headers apart from payloads and checks the length between them
//   - room for a whole message is reserved on the word of its header: MessageManager reserves 4 KiB
//   - non-minimal lengths called internal errors, length bit 63 called too big: CloseCodeFor()

#include "fanout/net/ws_engine.h"

#include <algorithm>
#include <utility>
#include <websocketpp/close.hpp>
#include <websocketpp/error.hpp>
#include <websocketpp/extensions/permessage_deflate/disabled.hpp>
#include <websocketpp/http/request.hpp>
#include <websocketpp/http/response.hpp>
#include <websocketpp/message_buffer/message.hpp>
#include <websocketpp/processors/hybi13.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/check.h"

namespace fanwire::fanout {

namespace {

namespace lib = websocketpp::lib;
namespace frame = websocketpp::frame;
using ProtocolError = websocketpp::processor::error::processor_errors;

constexpr absl::string_view kEmptyLine = "\r\n";
constexpr absl::string_view kHeadEnd = "\r\n\r\n";
constexpr size_t kMaxReserve = 4096;

// Whether the client offers the subprotocol.  Their names have a case (RFC 6455 section 4.1).
bool OffersSubprotocol(const HttpRequest& request, absl::string_view name) {
  for (const HttpHeader& header : request.headers()) {
    if (!absl::EqualsIgnoreCase(header.name, "Sec-WebSocket-Protocol")) continue;
    for (const absl::string_view offer : absl::StrSplit(header.value, ',')) {
      if (absl::StripAsciiWhitespace(offer) == name) return true;
    }
  }
  return false;
}

// Makes the library's message objects.  Its own manager reserves as much as a frame's header
// claims.
template <typename Message>
class MessageManager : public lib::enable_shared_from_this<MessageManager<Message>> {
 public:
  using ptr = lib::shared_ptr<MessageManager>;
  using weak_ptr = lib::weak_ptr<MessageManager>;

  lib::shared_ptr<Message> get_message(frame::opcode::value opcode, size_t size) {
    return lib::make_shared<Message>(ptr(), opcode, std::min(size, kMaxReserve));
  }
  bool recycle(Message*) { return false; }
};

struct EngineConfig {
  using type = EngineConfig;
  using request_type = websocketpp::http::parser::request;
  using response_type = websocketpp::http::parser::response;
  using message_type = websocketpp::message_buffer::message<MessageManager>;
  using con_msg_manager_type = MessageManager<message_type>;
  // A server's frames are unmasked, so nothing is ever drawn from it.
  struct rng_type {
    uint32_t operator()() { return 0; }
  };
  struct permessage_deflate_config {
    using request_type = EngineConfig::request_type;
  };
  using permessage_deflate_type =
      websocketpp::extensions::permessage_deflate::disabled<permessage_deflate_config>;
  static constexpr bool enable_extensions = false;
  static constexpr size_t max_message_size = size_t{1024} * 1024;  // set again by each parser
};

using Hybi13 = websocketpp::processor::hybi13<EngineConfig>;
using MessagePtr = EngineConfig::message_type::ptr;

class FrameParser : public Hybi13 {
 public:
  FrameParser(EngineConfig::con_msg_manager_type::ptr manager, EngineConfig::rng_type& rng,
              size_t max_message_bytes)
      : Hybi13(/*secure=*/false, /*p_is_server=*/true, std::move(manager), rng) {
    set_max_message_size(max_message_bytes);
  }

  // Takes bytes until a message is ready(), there is an error, or `input` is empty.  One header or
  // payload a step, never the end of one and the beginning of the next.
  lib::error_code Feed(absl::Span<uint8_t>* input) {
    lib::error_code error;
    while (!input->empty() && !ready() && !error) {
      const bool in_header = m_state != APPLICATION;
      const size_t take = std::min(input->size(), m_bytes_needed);
      input->remove_prefix(consume(input->data(), take, error));
      if (!error && in_header && m_state == APPLICATION &&
          m_bytes_needed > get_max_message_size()) {
        error = make_error_code(ProtocolError::message_too_big);
      }
    }
    if (!error && ready() && EndsInsideCharacter()) {
      error = make_error_code(ProtocolError::invalid_utf8);
    }
    return error;
  }

  // Whether no message and no frame has begun.
  bool idle() const {
    return m_state == HEADER_BASIC && m_bytes_needed == frame::BASIC_HEADER_LENGTH &&
           !m_data_msg.msg_ptr;
  }

  // Whether the length of the frame just begun has bit 63 set, which RFC 6455 section 5.2 forbids.
  bool HasForbiddenLength() const {
    return frame::get_basic_size(m_basic_header) == frame::payload_size_code_64bit &&
           (m_extended_header.bytes[0] & 0x80) != 0;
  }

 private:
  bool EndsInsideCharacter() {
    return m_current_msg == &m_data_msg &&
           m_data_msg.msg_ptr->get_opcode() == frame::opcode::TEXT &&
           !m_data_msg.validator.complete();
  }
};

CloseCode CloseCodeFor(const lib::error_code& error, const FrameParser& parser) {
  if (error == make_error_code(ProtocolError::invalid_utf8)) return CloseCode::kInvalidPayload;
  if (error == make_error_code(ProtocolError::message_too_big) && !parser.HasForbiddenLength()) {
    return CloseCode::kMessageTooBig;
  }
  return CloseCode::kProtocolError;
}

// Whether `byte` after `previous` can stand in a request head at all.  A look at each byte as it
// comes, so that garbage (a TLS hello, a bare line feed) is refused at once and not after 10 s.
bool CanFollow(uint8_t previous, uint8_t byte) {
  if (byte == '\n') return previous == '\r';
  return previous != '\r' && (byte >= 0x20 || byte == '\t' || byte == '\r') && byte != 0x7f;
}

}  // namespace

class WsEngine::Context {
 public:
  explicit Context(const Limits& limits)
      : too_many_bytes(TooManyBytesText(limits.head)),
        too_many_lines(TooManyLinesText(limits.head)),
        limits_(limits),
        manager_(lib::make_shared<EngineConfig::con_msg_manager_type>()) {}

  std::unique_ptr<FrameParser> TakeParser() {
    if (spare_ != nullptr) return std::move(spare_);
    return std::make_unique<FrameParser>(manager_, rng_, limits_.max_message_bytes);
  }
  void GiveParser(std::unique_ptr<FrameParser> parser) { spare_ = std::move(parser); }

  const Limits& limits() const { return limits_; }

  const std::string too_many_bytes;  // what a 431 says
  const std::string too_many_lines;
  // What the views of the last event point into.
  HttpRequest request;
  std::string head;
  MessagePtr message;
  std::string reason;

 private:
  const Limits limits_;
  EngineConfig::con_msg_manager_type::ptr manager_;
  EngineConfig::rng_type rng_;
  std::unique_ptr<FrameParser> spare_;
};

void WsEngine::ContextDeleter::operator()(Context* context) const { delete context; }

WsEngine::ContextPtr WsEngine::MakeContext(const Limits& limits) {
  return ContextPtr(new Context(limits));
}

// What a connection keeps of a request or message that is not complete.
struct WsEngine::Partial {
  std::string head;
  std::unique_ptr<FrameParser> parser;
};

WsEngine::WsEngine(Context* context) : context_(context) {}

WsEngine::~WsEngine() = default;

WsEvent WsEngine::Next(absl::Span<uint8_t>* input) {
  context_->message.reset();
  if (input->empty() || phase_ == Phase::kDone) {
    input->remove_prefix(input->size());
    return {};
  }
  if (phase_ == Phase::kHead) return NextRequest(input);
  FANWIRE_CHECK(phase_ == Phase::kFrames);  // after kUpgrade comes AcceptUpgrade()
  return NextFrame(input);
}

WsEvent WsEngine::Reject(int status, absl::string_view reason) {
  phase_ = Phase::kDone;
  partial_.reset();
  WsEvent event;
  event.kind = WsEvent::Kind::kReject;
  event.error = {status, reason};
  return event;
}

WsEvent WsEngine::NextRequest(absl::Span<uint8_t>* input) {
  std::string& head = context_->head;
  head.clear();
  if (partial_ != nullptr) head.swap(partial_->head);

  // Byte by byte up to the empty line, so what follows the head stays in `input`.
  const HttpHeadLimits& limits = context_->limits().head;
  bool complete = false;
  size_t taken = 0;
  uint8_t previous = head.empty() ? 0 : static_cast<uint8_t>(head.back());
  while (!complete && taken < input->size()) {
    const uint8_t byte = (*input)[taken];
    if (head.empty() && taken == 0 && byte != '\r' && !absl::ascii_isalpha(byte)) {
      return Reject(400, "not HTTP");
    }
    if (!CanFollow(previous, byte)) return Reject(400, "bad character in request head");
    if (ignored_bytes_ + head.size() + taken >= limits.max_bytes) {
      return Reject(431, context_->too_many_bytes);
    }
    previous = byte;
    ++taken;
    if (byte != '\n') continue;
    head.append(reinterpret_cast<const char*>(input->data()), taken);
    input->remove_prefix(taken);
    taken = 0;
    if (head == kEmptyLine) {  // before the request line: ignored (RFC 9112 section 2.2)
      ignored_bytes_ += kEmptyLine.size();
      head.clear();
      previous = 0;
    }
    complete = absl::EndsWith(head, kHeadEnd);
  }
  head.append(reinterpret_cast<const char*>(input->data()), taken);
  input->remove_prefix(taken);
  if (!complete) {
    if (partial_ == nullptr) partial_ = std::make_unique<Partial>();
    partial_->head.swap(head);
    return {};
  }
  partial_.reset();

  HttpRequest& request = context_->request;
  HttpError error = ParseRequestHead(head, limits.max_lines, &request);
  if (error) {
    return Reject(error.status, error.status == 431 ? context_->too_many_lines : error.reason);
  }
  WsEvent event;
  event.request = &request;
  if (!AsksForWebSocket(request)) {
    phase_ = Phase::kDone;
    event.kind = WsEvent::Kind::kRequest;
    return event;
  }
  error = CheckUpgrade(request);
  if (error) return Reject(error.status, error.reason);
  phase_ = Phase::kAwaitAccept;
  event.kind = WsEvent::Kind::kUpgrade;
  return event;
}

std::string WsEngine::AcceptUpgrade(const HttpRequest& request) {
  FANWIRE_CHECK(phase_ == Phase::kAwaitAccept);
  phase_ = Phase::kFrames;
  EngineConfig::request_type handshake;
  handshake.set_method("GET");
  handshake.set_version("HTTP/1.1");
  handshake.replace_header("Sec-WebSocket-Key", std::string(request.Header("Sec-WebSocket-Key")));
  std::string subprotocol;
  for (const std::string& candidate : context_->limits().subprotocols) {
    if (!OffersSubprotocol(request, candidate)) continue;
    subprotocol = candidate;
    break;
  }
  std::unique_ptr<FrameParser> parser = context_->TakeParser();
  EngineConfig::response_type response;
  FANWIRE_CHECK(!parser->validate_handshake(handshake));
  FANWIRE_CHECK(!parser->process_handshake(handshake, subprotocol, response));
  context_->GiveParser(std::move(parser));
  std::string text = "HTTP/1.1 101 Switching Protocols\r\n";
  for (const auto& [name, value] : response.get_headers()) {
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  return text += "\r\n";
}

WsEvent WsEngine::NextFrame(absl::Span<uint8_t>* input) {
  std::unique_ptr<FrameParser> parser;
  if (partial_ != nullptr) {
    parser = std::move(partial_->parser);
  } else {
    parser = context_->TakeParser();
  }

  WsEvent event;
  const lib::error_code error = parser->Feed(input);
  if (error) {
    partial_.reset();
    phase_ = Phase::kDone;
    context_->reason = error.message();
    event.kind = WsEvent::Kind::kFail;
    event.code = static_cast<uint16_t>(CloseCodeFor(error, *parser));
    event.payload = context_->reason;
    return event;
  }
  if (parser->ready()) {
    context_->message = parser->get_message();
    event = MessageEvent();
  }
  if (phase_ == Phase::kDone) {
    partial_.reset();
  } else if (parser->idle()) {
    partial_.reset();
    context_->GiveParser(std::move(parser));
  } else {
    if (partial_ == nullptr) partial_ = std::make_unique<Partial>();
    partial_->parser = std::move(parser);
  }
  return event;
}

WsEvent WsEngine::MessageEvent() {
  const std::string& payload = context_->message->get_payload();
  WsEvent event;
  event.payload = payload;
  switch (context_->message->get_opcode()) {
    case frame::opcode::TEXT:
      event.kind = WsEvent::Kind::kText;
      return event;
    case frame::opcode::BINARY:
      event.kind = WsEvent::Kind::kBinary;
      return event;
    case frame::opcode::PING:
      event.kind = WsEvent::Kind::kPing;
      return event;
    case frame::opcode::PONG:
      event.kind = WsEvent::Kind::kPong;
      return event;
    default:
      return CloseEvent(payload);
  }
}

WsEvent WsEngine::CloseEvent(const std::string& payload) {
  phase_ = Phase::kDone;
  WsEvent event;
  lib::error_code error;
  event.kind = WsEvent::Kind::kClose;
  event.code = websocketpp::close::extract_code(payload, error);
  if (error) {
    event.kind = WsEvent::Kind::kFail;
    event.code = static_cast<uint16_t>(CloseCode::kProtocolError);
    event.payload = "bad close code";
    return event;
  }
  context_->reason = websocketpp::close::extract_reason(payload, error);
  event.payload = context_->reason;
  if (error) {
    event.kind = WsEvent::Kind::kFail;
    event.code = static_cast<uint16_t>(CloseCode::kInvalidPayload);
    event.payload = "close reason is not UTF-8";
  }
  return event;
}

}  // namespace fanwire::fanout
