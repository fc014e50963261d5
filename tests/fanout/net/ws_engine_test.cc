#include "fanout/net/ws_engine.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = WsEvent::Kind;

std::string Name(const WsEvent& event) {
  const std::string payload(event.payload);
  switch (event.kind) {
    case Kind::kNeedMore:
      return "more";
    case Kind::kUpgrade:
      return "upgrade " + std::string(event.request->path);
    case Kind::kRequest:
      return "request " + std::string(event.request->path);
    case Kind::kReject:
      return absl::StrCat("reject ", event.error.status);
    case Kind::kText:
      return "text " + payload;
    case Kind::kBinary:
      return "binary " + payload;
    case Kind::kPing:
      return "ping " + payload;
    case Kind::kPong:
      return "pong " + payload;
    case Kind::kClose:
      return absl::StrCat("close ", event.code, " ", payload);
    case Kind::kFail:
      return absl::StrCat("fail ", event.code);
  }
  return "";
}

// Feeds an engine pieces of a stream, accepting upgrades, and writes down its events.
class Feeder {
 public:
  explicit Feeder(WsEngine::Context* context) : engine_(context) {}

  void Feed(std::string bytes) {
    absl::Span<uint8_t> input(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size());
    while (true) {
      const WsEvent event = engine_.Next(&input);
      if (event.kind == Kind::kNeedMore) break;
      events.push_back(Name(event));
      if (event.kind == Kind::kUpgrade) response = engine_.AcceptUpgrade(*event.request);
    }
    EXPECT_TRUE(input.empty());
  }

  std::vector<std::string> Take() {
    std::vector<std::string> taken;
    taken.swap(events);
    return taken;
  }

  WsEngine& engine() { return engine_; }
  std::vector<std::string> events;
  std::string response;

 private:
  WsEngine engine_;
};

class WsEngineTest : public ::testing::Test {
 protected:
  WsEngineTest() : context_(WsEngine::MakeContext(Limits())) {}

  static WsEngine::Limits Limits() {
    WsEngine::Limits limits;
    limits.max_message_bytes = 1000;
    limits.head = {.max_bytes = 500, .max_lines = 10};
    return limits;
  }

  // The events of `bytes` after the handshake: all at once, and the same byte by byte.
  std::vector<std::string> EventsOf(const std::string& bytes) {
    Feeder whole(context_.get()), slow(context_.get());
    whole.Feed(WsClient::UpgradeRequest() + bytes);
    for (const char byte : WsClient::UpgradeRequest() + bytes) slow.Feed(std::string(1, byte));
    EXPECT_EQ(whole.events, slow.events);
    EXPECT_EQ(whole.engine().mid_message(), slow.engine().mid_message());
    EXPECT_THAT(whole.events.front(), "upgrade /");
    return {whole.events.begin() + 1, whole.events.end()};
  }

  // The events of a first request, whole and byte by byte.
  std::vector<std::string> RequestEvents(const std::string& bytes) {
    Feeder whole(context_.get()), slow(context_.get());
    whole.Feed(bytes);
    for (const char byte : bytes) slow.Feed(std::string(1, byte));
    EXPECT_EQ(whole.events, slow.events);
    return whole.events;
  }

  static ClientFrame Data(uint8_t opcode, const std::string& payload, bool fin = true) {
    ClientFrame frame;
    frame.opcode = opcode;
    frame.payload = payload;
    frame.fin = fin;
    return frame;
  }

  WsEngine::ContextPtr context_;
};

TEST_F(WsEngineTest, UpgradeIsAnsweredAsRfc6455Shows) {
  Feeder feeder(context_.get());
  feeder.Feed(WsClient::UpgradeRequest("/any/path?x"));
  EXPECT_THAT(feeder.events, ElementsAre("upgrade /any/path"));
  EXPECT_TRUE(absl::StartsWith(feeder.response, "HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_TRUE(absl::StrContains(feeder.response,
                                "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_TRUE(absl::StrContains(feeder.response, "\r\nUpgrade: websocket\r\n"));
  EXPECT_TRUE(absl::StrContains(feeder.response, "\r\nConnection: Upgrade\r\n"));
  EXPECT_TRUE(absl::EndsWith(feeder.response, "\r\n\r\n"));
  EXPECT_FALSE(absl::StrContains(feeder.response, "Protocol:"));
  EXPECT_FALSE(absl::StrContains(feeder.response, "Extensions"));
}

TEST_F(WsEngineTest, KnownSubprotocolIsChosenAndExtensionsAreNot) {
  Feeder feeder(context_.get());
  feeder.Feed(WsClient::UpgradeRequest(
      "/",
      "Sec-WebSocket-Protocol: other, fanwire.v1.json\r\n"
      "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"));
  EXPECT_TRUE(
      absl::StrContains(feeder.response, "\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n"));
  EXPECT_FALSE(absl::StrContains(feeder.response, "Extensions"));
}

TEST_F(WsEngineTest, ASubprotocolInAnotherCaseIsAnotherSubprotocol) {
  // A client compares the answer with its offer byte by byte, and closes if they differ.
  Feeder other(context_.get());
  other.Feed(WsClient::UpgradeRequest("/", "Sec-WebSocket-Protocol: FANWIRE.V1.JSON\r\n"));
  EXPECT_TRUE(absl::StrContains(other.response, "101"));
  EXPECT_FALSE(absl::StrContains(other.response, "Protocol:"));
  Feeder both(context_.get());
  both.Feed(WsClient::UpgradeRequest("/",
                                     "Sec-WebSocket-Protocol: Fanwire.V1.Json\r\n"
                                     "sec-websocket-protocol: x , fanwire.v1.json\r\n"));
  EXPECT_TRUE(absl::StrContains(both.response, "\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n"));
}

TEST_F(WsEngineTest, BytesBehindTheRequestAreFrames) {
  EXPECT_THAT(EventsOf(Encode(Data(1, "one")) + Encode(Data(2, "two")) + Encode(Data(9, "p")) +
                       Encode(Data(10, "q"))),
              ElementsAre("text one", "binary two", "ping p", "pong q"));
}

TEST_F(WsEngineTest, PlainRequestsAreToldApart) {
  EXPECT_THAT(RequestEvents("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
              ElementsAre("request /healthz"));
  EXPECT_THAT(RequestEvents("GET / HTTP/1.0\r\n\r\nGET /second HTTP/1.0\r\n\r\n"),
              ElementsAre("request /"));
}

TEST_F(WsEngineTest, GarbageIsRejectedAtItsFirstBadByte) {
  EXPECT_THAT(RequestEvents("\x16\x03\x01\x02"), ElementsAre("reject 400"));
  EXPECT_THAT(RequestEvents("GET / HTTP/1.1\n"), ElementsAre("reject 400"));
  EXPECT_THAT(RequestEvents("GET / HTTP/1.1\rX"), ElementsAre("reject 400"));
  EXPECT_THAT(RequestEvents(std::string("GET /\0", 6)), ElementsAre("reject 400"));
  EXPECT_THAT(RequestEvents("GET / HTTP/1.1\r\nNo Host: h\r\n\r\n"), ElementsAre("reject 400"));
}

TEST_F(WsEngineTest, HeadOverItsLimitIsRejectedWithoutWaitingForItsEnd) {
  const std::string start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
  EXPECT_THAT(RequestEvents(start + std::string(500 - start.size(), 'x')), IsEmpty());
  EXPECT_THAT(RequestEvents(start + std::string(501 - start.size(), 'x')),
              ElementsAre("reject 431"));
}

TEST_F(WsEngineTest, NothingIsHeardAfterARejection) {
  Feeder feeder(context_.get());
  feeder.Feed("GET / HTTP/1.1\r\n\r\n");
  feeder.Feed(WsClient::UpgradeRequest());
  EXPECT_THAT(feeder.events, ElementsAre("reject 400"));
}

TEST_F(WsEngineTest, FragmentsAreJoinedAndControlFramesPassBetweenThem) {
  EXPECT_THAT(EventsOf(Encode(Data(1, "a", false)) + Encode(Data(9, "p")) +
                       Encode(Data(0, "", false)) + Encode(Data(10, "")) + Encode(Data(0, "b"))),
              ElementsAre("ping p", "pong ", "text ab"));
}

TEST_F(WsEngineTest, EmptyMessagesAreMessages) {
  EXPECT_THAT(EventsOf(Encode(Data(1, "")) + Encode(Data(2, "")) + Encode(Data(1, "", false)) +
                       Encode(Data(0, ""))),
              ElementsAre("text ", "binary ", "text "));
}

TEST_F(WsEngineTest, EmptyLinesBeforeTheRequestLineAreIgnored) {
  for (const char* before : {"\r\n", "\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n"}) {
    EXPECT_THAT(RequestEvents(absl::StrCat(before, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")),
                ElementsAre("request /healthz"));
    EXPECT_THAT(RequestEvents(before + WsClient::UpgradeRequest()), ElementsAre("upgrade /"));
    EXPECT_THAT(RequestEvents(before), IsEmpty());
    EXPECT_THAT(RequestEvents(absl::StrCat(before, "\x16\x03")), ElementsAre("reject 400"));
  }
  EXPECT_THAT(RequestEvents("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), ElementsAre("reject 400"));
  EXPECT_THAT(RequestEvents("\r\rGET / HTTP/1.1\r\nHost: h\r\n\r\n"), ElementsAre("reject 400"));
  EXPECT_THAT(RequestEvents(" \r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), ElementsAre("reject 400"));
  // They count into the limit, so that nobody sends them for ever.
  std::string endless;
  for (int i = 0; i < 250; ++i) endless += "\r\n";
  EXPECT_THAT(RequestEvents(endless), IsEmpty());
  EXPECT_THAT(RequestEvents(endless + "\r"), ElementsAre("reject 431"));
}

TEST_F(WsEngineTest, ARequestWithTooManyHeaderLinesIsRefused) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 1; i < 10; ++i) head += "X: y\r\n";
  EXPECT_THAT(RequestEvents(head + "\r\n"), ElementsAre("request /"));
  EXPECT_THAT(RequestEvents(head + "X: y\r\n\r\n"), ElementsAre("reject 431"));
}

TEST_F(WsEngineTest, CharactersMayBeSplitOverFragments) {
  EXPECT_THAT(EventsOf(Encode(Data(1, "\xce", false)) + Encode(Data(0, "\xba\xe1\xbd", false)) +
                       Encode(Data(0, "\xb9"))),
              ElementsAre("text \xce\xba\xe1\xbd\xb9"));
}

TEST_F(WsEngineTest, BadUtf8FailsWith1007) {
  for (const char* bad :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80", "\xce"}) {
    EXPECT_THAT(EventsOf(Encode(Data(1, bad))), ElementsAre("fail 1007")) << bad;
  }
  EXPECT_THAT(EventsOf(Encode(Data(2, "\xff"))), ElementsAre("binary \xff"));
}

TEST_F(WsEngineTest, MessageEndingInsideACharacterFailsEvenWhenFragmented) {
  EXPECT_THAT(EventsOf(Encode(Data(1, "ok", false)) + Encode(Data(0, "\xe2\x82"))),
              ElementsAre("fail 1007"));
  EXPECT_THAT(EventsOf(Encode(Data(1, "\xe2\x82", false)) + Encode(Data(0, ""))),
              ElementsAre("fail 1007"));
}

TEST_F(WsEngineTest, BadUtf8FailsBeforeTheMessageEnds) {
  EXPECT_THAT(EventsOf(Encode(Data(1, "a\xff", false))), ElementsAre("fail 1007"));
}

TEST_F(WsEngineTest, MaskingReservedBitsAndOpcodesAreChecked) {
  ClientFrame unmasked = Data(1, "a");
  unmasked.masked = false;
  EXPECT_THAT(EventsOf(Encode(unmasked)), ElementsAre("fail 1002"));
  for (const uint8_t bit : {1, 2, 4}) {
    ClientFrame reserved = Data(1, "a");
    reserved.reserved_bits = bit;
    EXPECT_THAT(EventsOf(Encode(reserved)), ElementsAre("fail 1002"));
  }
  for (const uint8_t opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    EXPECT_THAT(EventsOf(Encode(Data(opcode, ""))), ElementsAre("fail 1002"));
  }
}

TEST_F(WsEngineTest, ControlFramesAreShortAndWhole) {
  EXPECT_THAT(EventsOf(Encode(Data(9, std::string(125, 'x')))),
              ElementsAre("ping " + std::string(125, 'x')));
  EXPECT_THAT(EventsOf(Encode(Data(9, std::string(126, 'x')))), ElementsAre("fail 1002"));
  EXPECT_THAT(EventsOf(Encode(Data(9, "x", false))), ElementsAre("fail 1002"));
  EXPECT_THAT(EventsOf(Encode(Data(8, "", false))), ElementsAre("fail 1002"));
}

TEST_F(WsEngineTest, FragmentsComeInOrder) {
  EXPECT_THAT(EventsOf(Encode(Data(0, "x"))), ElementsAre("fail 1002"));
  EXPECT_THAT(EventsOf(Encode(Data(0, "x", false))), ElementsAre("fail 1002"));
  EXPECT_THAT(EventsOf(Encode(Data(1, "x", false)) + Encode(Data(1, "y"))),
              ElementsAre("fail 1002"));
  EXPECT_THAT(EventsOf(Encode(Data(1, "x")) + Encode(Data(0, "y"))),
              ElementsAre("text x", "fail 1002"));
}

TEST_F(WsEngineTest, LengthsMustBeMinimal) {
  for (const int bytes : {2, 8}) {
    ClientFrame frame = Data(1, "short");
    frame.length_bytes = bytes;
    EXPECT_THAT(EventsOf(Encode(frame)), ElementsAre("fail 1002")) << bytes;
  }
  ClientFrame frame = Data(2, std::string(300, 'x'));
  frame.length_bytes = 8;
  EXPECT_THAT(EventsOf(Encode(frame)), ElementsAre("fail 1002"));
}

TEST_F(WsEngineTest, MessagesOverTheLimitFailAtTheirHeader) {
  EXPECT_THAT(EventsOf(Encode(Data(2, std::string(1000, 'x')))),
              ElementsAre("binary " + std::string(1000, 'x')));
  ClientFrame claims = Data(2, "");
  claims.claimed_size = 1001;
  EXPECT_THAT(EventsOf(Encode(claims)), ElementsAre("fail 1009"));
  claims.claimed_size = uint64_t{1} << 40;
  EXPECT_THAT(EventsOf(Encode(claims)), ElementsAre("fail 1009"));
  EXPECT_THAT(EventsOf(Encode(Data(1, std::string(600, 'x'), false)) +
                       Encode(Data(0, std::string(401, 'x'), false))),
              ElementsAre("fail 1009"));
}

TEST_F(WsEngineTest, LengthThatOverflowsTheSumWithFragmentsHeldFails) {
  ClientFrame claims = Data(0, "", false);
  // 63 bits: with the one byte held the sum is within 64 bits, yet far over the limit.
  claims.claimed_size = ~uint64_t{0} >> 1;
  EXPECT_THAT(EventsOf(Encode(Data(1, "x", false)) + Encode(claims)), ElementsAre("fail 1009"));
  // 64 bits: the sum wraps to 0.  Bit 63 is forbidden besides.
  claims.claimed_size = ~uint64_t{0};
  claims.length_bytes = 8;
  EXPECT_THAT(EventsOf(Encode(Data(1, "x", false)) + Encode(claims)), ElementsAre("fail 1002"));
  claims.opcode = 1;
  EXPECT_THAT(EventsOf(Encode(claims)), ElementsAre("fail 1002"));
}

TEST_F(WsEngineTest, CloseCarriesCodeAndReason) {
  EXPECT_THAT(EventsOf(Encode(Data(8, "\x03\xe8 bye"))), ElementsAre("close 1000  bye"));
  EXPECT_THAT(EventsOf(Encode(Data(8, ""))), ElementsAre("close 1005 "));
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014,
                         3000, 3999, 4000, 4999}) {
    const std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code)};
    EXPECT_THAT(EventsOf(Encode(Data(8, payload))), ElementsAre(absl::StrCat("close ", code, " ")));
  }
}

TEST_F(WsEngineTest, BadClosesFail) {
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    const std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code)};
    EXPECT_THAT(EventsOf(Encode(Data(8, payload))), ElementsAre("fail 1002")) << code;
  }
  EXPECT_THAT(EventsOf(Encode(Data(8, "\x03"))), ElementsAre("fail 1002"));
  EXPECT_THAT(EventsOf(Encode(Data(8, "\x03\xe8\xff"))), ElementsAre("fail 1007"));
  EXPECT_THAT(EventsOf(Encode(Data(8, "\x03\xe8\xe2\x82"))), ElementsAre("fail 1007"));
}

TEST_F(WsEngineTest, NothingIsHeardAfterACloseOrAFailure) {
  EXPECT_THAT(EventsOf(Encode(Data(8, "")) + std::string("\xff\xff\xff\xff", 4)),
              ElementsAre("close 1005 "));
  EXPECT_THAT(EventsOf(Encode(Data(3, "")) + Encode(Data(1, "late"))), ElementsAre("fail 1002"));
}

TEST_F(WsEngineTest, ParserIsHeldOnlyWhileAMessageIsIncomplete) {
  Feeder feeder(context_.get());
  const std::string request = WsClient::UpgradeRequest();
  feeder.Feed(request.substr(0, 10));
  EXPECT_TRUE(feeder.engine().mid_message());
  feeder.Feed(request.substr(10));
  EXPECT_FALSE(feeder.engine().mid_message());
  const std::string frame = Encode(Data(1, "abc"));
  feeder.Feed(frame.substr(0, 1));
  EXPECT_TRUE(feeder.engine().mid_message());
  feeder.Feed(frame.substr(1));
  EXPECT_FALSE(feeder.engine().mid_message());
  feeder.Feed(Encode(Data(1, "part", false)) + Encode(Data(9, "p")));
  EXPECT_TRUE(feeder.engine().mid_message());
  feeder.Feed(Encode(Data(0, "end")));
  EXPECT_FALSE(feeder.engine().mid_message());
}

TEST_F(WsEngineTest, ConnectionsOfOneContextDoNotDisturbEachOther) {
  Feeder a(context_.get()), b(context_.get());
  a.Feed(WsClient::UpgradeRequest("/a").substr(0, 40));
  b.Feed(WsClient::UpgradeRequest("/b"));
  a.Feed(WsClient::UpgradeRequest("/a").substr(40));
  const std::string frame_a = Encode(Data(1, "from a")), frame_b = Encode(Data(2, "from b"));
  a.Feed(frame_a.substr(0, 8));
  b.Feed(frame_b.substr(0, 3));
  b.Feed(frame_b.substr(3) + frame_b.substr(0, 9));
  a.Feed(frame_a.substr(8));
  b.Feed(frame_b.substr(9) + Encode(Data(15, "")));
  a.Feed(frame_a);
  EXPECT_THAT(a.Take(), ElementsAre("upgrade /a", "text from a", "text from a"));
  EXPECT_THAT(b.Take(), ElementsAre("upgrade /b", "binary from b", "binary from b", "fail 1002"));
}

}  // namespace
}  // namespace fanwire::fanout
