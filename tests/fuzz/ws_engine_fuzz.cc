// Fuzzes WsEngine with a stream of bytes.  The first byte of the input says whether a valid upgrade
// request goes before (bit 0) and how the stream is cut into reads; the same stream is also fed
// whole.  Beyond "no crash": both ways give the same events, text is UTF-8, nothing is over its
// limit, close codes are those that a peer may send, and nothing follows the end.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "fanout/net/ws_engine.h"
#include "proto/close_code.h"

namespace fanwire::fanout {

namespace {

constexpr size_t kMaxMessageBytes = 4096;
constexpr char kUpgrade[] =
    "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

// By RFC 3629's table, written apart from the engine's own.
bool IsUtf8(absl::string_view text) {
  const auto at = [text](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
  };
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = at(i);
    size_t tail = 0;
    uint8_t low = 0x80, high = 0xbf;  // bounds of the second byte
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
      tail = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      tail = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      tail = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (at(i + 1) < low || at(i + 1) > high) return false;
    for (size_t k = 2; k <= tail; ++k) {
      if (at(i + k) < 0x80 || at(i + k) > 0xbf) return false;
    }
    i += tail + 1;
  }
  return true;
}

void CheckEvent(const WsEvent& event) {
  FANWIRE_CHECK(event.payload.size() <= kMaxMessageBytes);
  switch (event.kind) {
    case WsEvent::Kind::kText:
      FANWIRE_CHECK(IsUtf8(event.payload));
      break;
    case WsEvent::Kind::kPing:
    case WsEvent::Kind::kPong:
      FANWIRE_CHECK(event.payload.size() <= 125);
      break;
    case WsEvent::Kind::kClose:
      FANWIRE_CHECK(event.code == 1005 || IsSendable(event.code));
      FANWIRE_CHECK(IsUtf8(event.payload));
      break;
    case WsEvent::Kind::kFail:
      FANWIRE_CHECK(event.code == 1002 || event.code == 1007 || event.code == 1009);
      break;
    case WsEvent::Kind::kReject:
      FANWIRE_CHECK(event.error.status >= 400 && event.error.status <= 505);
      break;
    default:
      break;
  }
}

// The events of `stream` in reads of `piece` bytes.
std::vector<std::string> EventsOf(WsEngine::Context* context, std::string stream, size_t piece) {
  WsEngine engine(context);
  std::vector<std::string> events;
  bool ended = false;
  for (size_t at = 0; at < stream.size(); at += piece) {
    absl::Span<uint8_t> input(reinterpret_cast<uint8_t*>(&stream[at]),
                              std::min(piece, stream.size() - at));
    while (true) {
      const WsEvent event = engine.Next(&input);
      if (event.kind == WsEvent::Kind::kNeedMore) break;
      FANWIRE_CHECK(!ended);
      CheckEvent(event);
      ended = event.kind == WsEvent::Kind::kClose || event.kind == WsEvent::Kind::kFail ||
              event.kind == WsEvent::Kind::kReject || event.kind == WsEvent::Kind::kRequest;
      events.push_back(absl::StrCat(static_cast<int>(event.kind), " ", event.code, " ",
                                    event.error.status, " ", event.payload));
      if (event.kind == WsEvent::Kind::kUpgrade) {
        FANWIRE_CHECK(!engine.AcceptUpgrade(*event.request).empty());
      }
    }
    FANWIRE_CHECK(input.empty());
  }
  return events;
}

}  // namespace
}  // namespace fanwire::fanout

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  fanwire::fanout::WsEngine::Limits limits;
  limits.max_message_bytes = fanwire::fanout::kMaxMessageBytes;
  limits.head = {.max_bytes = 1024, .max_lines = 20};
  const auto context = fanwire::fanout::WsEngine::MakeContext(limits);
  std::string stream = (data[0] & 1) != 0 ? fanwire::fanout::kUpgrade : "";
  stream.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + (data[0] >> 1);
  FANWIRE_CHECK(fanwire::fanout::EventsOf(context.get(), stream, stream.size() + 1) ==
                fanwire::fanout::EventsOf(context.get(), stream, piece));
  return 0;
}
