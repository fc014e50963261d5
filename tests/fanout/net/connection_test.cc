#include "fanout/net/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fanout/net/ws_server.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;

constexpr int kSmallBuffer = 4096;

ClientFrame MakeFrame(uint8_t opcode, const std::string& payload, bool fin = true) {
  ClientFrame frame;
  frame.opcode = opcode;
  frame.payload = payload;
  frame.fin = fin;
  return frame;
}

// Reads to the next close frame; its code, or 0 if the server ends without one.
uint16_t ReadCloseCode(WsClient* client) {
  while (true) {
    const std::optional<ServerFrame> frame = client->ReadFrame();
    if (!frame.has_value()) return 0;
    if (frame->opcode == 8) return frame->close_code();
  }
}

TEST(ConnectionTest, EchoesTextAndBinary) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("h\xc3\xa4llo");
  EXPECT_EQ(client.ReadText(), "h\xc3\xa4llo");
  client.Send(MakeFrame(2, std::string("\0\xff", 2)));
  const std::optional<ServerFrame> frame = client.ReadFrame();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->opcode, 2);
  EXPECT_EQ(frame->payload, std::string("\0\xff", 2));
}

TEST(ConnectionTest, WelcomeArrivesRightBehindTheResponse) {
  WsServer::Hooks hooks;
  hooks.on_open = [](Connection* connection) { connection->SendText("welcome"); };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  EXPECT_EQ(client.ReadText(), "welcome");
}

TEST(ConnectionTest, LargestMessageIsEchoedAndALargerOneCloses1009) {
  ConnectionOptions options;
  options.limits.max_message_bytes = 300000;
  WsServer server(options);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  const std::string large(300000, 'x');
  client.SendText(large);
  EXPECT_EQ(client.ReadText(), large);
  client.SendText(large + "y");
  EXPECT_EQ(ReadCloseCode(&client), 1009);
  EXPECT_EQ(server.WaitForClosed()->code, 1009);
  EXPECT_EQ(server.counters().messages_too_big, 1u);
  EXPECT_EQ(server.counters().protocol_errors, 0u);
}

TEST(ConnectionTest, PeerThatGoesOnWritingStillReadsItsCloseFrame) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  // 4 MiB: far more than the kernel holds, so the server must read on after it has closed.
  client.SendText(std::string(4 << 20, 'x'));
  EXPECT_EQ(ReadCloseCode(&client), 1009);
  EXPECT_TRUE(client.ReadEnd());
}

// Each of RFC 6455's rules, broken, over a real socket: what the peer sees.
struct Violation {
  const char* name;
  std::string bytes;
  uint16_t code;
};

std::vector<Violation> Violations() {
  ClientFrame unmasked = MakeFrame(1, "x");
  unmasked.masked = false;
  ClientFrame reserved = MakeFrame(1, "x");
  reserved.reserved_bits = 4;
  ClientFrame long_length = MakeFrame(1, "x");
  long_length.length_bytes = 2;
  return {
      {"unmasked", Encode(unmasked), 1002},
      {"reserved bit", Encode(reserved), 1002},
      {"reserved opcode", Encode(MakeFrame(3, "")), 1002},
      {"long control frame", Encode(MakeFrame(9, std::string(126, 'x'))), 1002},
      {"fragmented ping", Encode(MakeFrame(9, "", false)), 1002},
      {"stray continuation", Encode(MakeFrame(0, "x")), 1002},
      {"interrupted message", Encode(MakeFrame(1, "x", false)) + Encode(MakeFrame(1, "y")), 1002},
      {"length not minimal", Encode(long_length), 1002},
      {"not UTF-8", Encode(MakeFrame(1, "\xff")), 1007},
      {"ends inside a character", Encode(MakeFrame(1, "x", false)) + Encode(MakeFrame(0, "\xe2")),
       1007},
      {"close of one byte", Encode(MakeFrame(8, "x")), 1002},
      {"close with a reserved code", Encode(MakeFrame(8, "\x03\xed")), 1002},
      {"close reason not UTF-8", Encode(MakeFrame(8, "\x03\xe8\xff")), 1007},
      {"frames behind the violation", Encode(unmasked) + Encode(MakeFrame(1, "late")), 1002},
  };
}

TEST(ConnectionTest, ViolationsAreAnsweredWithTheirCloseCodeAndTheEnd) {
  WsServer server;
  WsClient bystander(server.port());
  ASSERT_TRUE(bystander.Handshake());
  for (const Violation& violation : Violations()) {
    WsClient client(server.port());
    ASSERT_TRUE(client.Handshake());
    client.SendRaw(violation.bytes);
    const std::optional<ServerFrame> frame = client.ReadFrame();
    ASSERT_TRUE(frame.has_value()) << violation.name;
    EXPECT_EQ(frame->opcode, 8) << violation.name;
    EXPECT_EQ(frame->close_code(), violation.code) << violation.name;
    EXPECT_TRUE(client.ReadEnd()) << violation.name;
    const std::optional<CloseInfo> info = server.WaitForClosed();
    ASSERT_TRUE(info.has_value()) << violation.name;
    EXPECT_EQ(info->code, violation.code) << violation.name;
    EXPECT_FALSE(info->by_peer) << violation.name;
  }
  bystander.SendText("still here");
  EXPECT_EQ(bystander.ReadText(), "still here");
  EXPECT_EQ(server.counters().protocol_errors, Violations().size());
  EXPECT_EQ(server.counters().messages_too_big, 0u);
}

TEST(ConnectionTest, PingIsAnsweredWithItsPayloadAlsoBetweenFragments) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendRaw(Encode(MakeFrame(1, "a", false)) + Encode(MakeFrame(9, "payload")) +
                 Encode(MakeFrame(10, "unasked")) + Encode(MakeFrame(0, "b")));
  const std::optional<ServerFrame> pong = client.ReadFrame();
  ASSERT_TRUE(pong.has_value());
  EXPECT_EQ(pong->opcode, 10);
  EXPECT_EQ(pong->payload, "payload");
  EXPECT_EQ(client.ReadText(), "ab");
}

TEST(ConnectionTest, EachOfAFewPingsIsAnsweredAndTheLastOfAFlood) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  std::string few, flood;
  for (int i = 0; i < 10; ++i) few += Encode(MakeFrame(9, absl::StrCat("few ", i)));
  client.SendRaw(few);
  for (int i = 0; i < 10; ++i) {
    const std::optional<ServerFrame> pong = client.ReadFrame();
    ASSERT_TRUE(pong.has_value());
    EXPECT_EQ(pong->payload, absl::StrCat("few ", i));
  }
  for (int i = 0; i < 3000; ++i) flood += Encode(MakeFrame(9, absl::StrCat(i)));
  client.SendRaw(flood + Encode(MakeFrame(1, "end")));
  int pongs = 0;
  std::string last;
  std::optional<ServerFrame> frame;
  bool text = false;
  while ((!text || last != "2999") && (frame = client.ReadFrame()).has_value()) {
    text = text || frame->opcode == 1;
    if (frame->opcode != 10) continue;
    ++pongs;
    last = frame->payload;
  }
  EXPECT_EQ(last, "2999");
  EXPECT_LT(pongs, 3000);
}

TEST(ConnectionTest, FromWhoPingsFasterThanItMayNothingIsReadUntilItIsWithinTheLimit) {
  ConnectionOptions options;
  options.ping_rate_limit = 200;
  WsServer server(options);
  for (const uint8_t opcode : {9, 10}) {  // pongs that nobody asked for count, too
    WsClient client(server.port());
    ASSERT_TRUE(client.Handshake());
    std::string flood;
    // 400 at once are within the limit; the further 60 need 0.3 s.
    for (int i = 0; i < 460; ++i) flood += Encode(MakeFrame(opcode, ""));
    const absl::Time began = absl::Now();
    client.SendRaw(flood + Encode(MakeFrame(1, "behind them")));
    EXPECT_EQ(client.ReadText(), "behind them");
    EXPECT_GE(absl::Now() - began, absl::Milliseconds(290));
  }
}

TEST(ConnectionTest, APauseMayBeginBetweenTwoMessagesOfOneRead) {
  std::vector<std::string> texts;  // on the loop
  WsServer::Hooks hooks;
  hooks.on_text = [&texts](Connection* connection, absl::string_view text) {
    texts.emplace_back(text);
    if (text == "pause") connection->PauseReading(absl::InfiniteDuration());
    connection->SendText(text);
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendRaw(Encode(MakeFrame(1, "before")) + Encode(MakeFrame(1, "pause")) +
                 Encode(MakeFrame(1, "in the same read")));
  EXPECT_EQ(client.ReadText(), "before");
  EXPECT_EQ(client.ReadText(), "pause");
  client.SendText("in a later read");
  uint64_t arrived = 0, received = 0;
  EXPECT_TRUE(server.Await([&] {
    server.OnLoop([&] {
      arrived = server.last_opened()->bytes_arrived();
      received = server.last_opened()->bytes_received();
    });
    return arrived > received;
  }));
  server.OnLoop([&] {
    EXPECT_EQ(texts.size(), 2u);
    EXPECT_TRUE(server.last_opened()->reading_paused());
    server.last_opened()->ResumeReading();
    server.last_opened()->PauseReading(absl::Milliseconds(5));  // ends by itself
  });
  EXPECT_EQ(client.ReadText(), "in the same read");
  EXPECT_EQ(client.ReadText(), "in a later read");
}

TEST(ConnectionTest, APeerThatIsLostDuringAPauseIsNoticed) {
  WsServer::Hooks hooks;
  hooks.on_text = [](Connection* connection, absl::string_view) {
    connection->PauseReading(absl::InfiniteDuration());
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("pause");
  EXPECT_TRUE(server.Await([&] {
    bool paused = false;
    server.OnLoop([&] { paused = server.last_opened()->reading_paused(); });
    return paused;
  }));
  client.Reset();
  EXPECT_EQ(server.WaitForClosed()->code, 1006);
}

// The state of the connection opened last, as the kernel has it: TCP_CLOSE_WAIT and others.
int TcpState(WsServer* server) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  server->OnLoop(
      [&] { ::getsockopt(server->last_opened()->fd(), IPPROTO_TCP, TCP_INFO, &info, &size); });
  return info.tcpi_state;
}

TEST(ConnectionTest, APauseThatBeginsWhenAllThatWasHeldIsHandledKeepsNoMemory) {
  int texts = 0;
  WsServer::Hooks hooks;
  hooks.on_text = [&texts](Connection* connection, absl::string_view) {
    connection->PauseReading(++texts == 1 ? absl::Milliseconds(1) : absl::InfiniteDuration());
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendRaw(Encode(MakeFrame(1, "")) + Encode(MakeFrame(1, std::string(30'000, 'x'))));
  size_t held = 0;
  EXPECT_TRUE(server.Await([&] {
    int handled = 0;
    server.OnLoop([&] {
      handled = texts;
      held = server.last_opened()->held_bytes();
    });
    return handled == 2;
  }));
  EXPECT_LT(held, 100u);
}

TEST(ConnectionTest, WhatAPeerSentBeforeItFinishedSendingIsHandledAfterThePause) {
  std::vector<std::string> texts;  // on the loop
  WsServer::Hooks hooks;
  hooks.on_text = [&texts](Connection* connection, absl::string_view text) {
    texts.emplace_back(text);
    if (text == "pause") connection->PauseReading(absl::InfiniteDuration());
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendRaw(Encode(MakeFrame(1, "pause")) + Encode(MakeFrame(1, "in the same read")));
  EXPECT_TRUE(server.Await([&] {
    bool paused = false;
    server.OnLoop([&] { paused = server.last_opened()->reading_paused(); });
    return paused;
  }));
  client.SendText("in a later read");
  client.ShutdownSend();
  EXPECT_TRUE(server.Await([&] { return TcpState(&server) == TCP_CLOSE_WAIT; }));
  // The end is told once: the loop does not spin on it.
  int turns = 0;
  EventLoop::HookId hook = 0;
  server.OnLoop([&] { hook = server.loop()->AddTurnHook([&] { ++turns; }); });
  server.Pass(absl::Milliseconds(50));
  server.OnLoop([&] {
    server.loop()->Post([&, hook] { server.loop()->RemoveTurnHook(hook); });
    EXPECT_LT(turns, 25);
    ASSERT_EQ(server.group()->size(), 1u);
    EXPECT_THAT(texts, ElementsAre("pause"));
    server.last_opened()->ResumeReading();
  });
  EXPECT_EQ(server.WaitForClosed()->code, 1006);
  server.OnLoop(
      [&] { EXPECT_THAT(texts, ElementsAre("pause", "in the same read", "in a later read")); });
}

TEST(ConnectionTest, APeerThatFinishesSendingDuringAPauseWithNothingUnreadIsGoneAtOnce) {
  WsServer::Hooks hooks;
  hooks.on_text = [](Connection* connection, absl::string_view) {
    connection->PauseReading(absl::InfiniteDuration());
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("pause");
  client.ShutdownSend();
  EXPECT_EQ(server.WaitForClosed()->code, 1006);
}

TEST(ConnectionTest, AnAbortDuringAPauseEndsIt) {
  WsServer::Hooks hooks;
  hooks.on_text = [](Connection* connection, absl::string_view) {
    connection->PauseReading(absl::InfiniteDuration());
    connection->Abort();
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("go");
  EXPECT_EQ(server.WaitForClosed()->code, 1006);
}

TEST(ConnectionTest, OwnCloseDuringAPauseIsAnsweredByThePeer) {
  WsServer::Hooks hooks;
  hooks.on_text = [](Connection* connection, absl::string_view) {
    connection->PauseReading(absl::InfiniteDuration());
    connection->Close(CloseCode::kServiceRestart, "drain");
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("go");
  EXPECT_EQ(ReadCloseCode(&client), 1012);
  client.SendClose(1012);
  EXPECT_TRUE(client.ReadEnd());
  EXPECT_EQ(server.WaitForClosed()->code, 1012);
  EXPECT_EQ(server.counters().close_timeouts, 0u);
}

TEST(ConnectionTest, DuringAPauseWhoSendsIsAliveAndWhoIsSilentIsNot) {
  ConnectionOptions options;
  // `sends` must not be silent for both together between its two messages.
  options.ping_interval = absl::Milliseconds(400);
  options.pong_timeout = absl::Milliseconds(800);
  WsServer::Hooks hooks;
  hooks.on_text = [](Connection* connection, absl::string_view) {
    connection->PauseReading(absl::InfiniteDuration());
  };
  WsServer server(options, hooks);
  WsClient sends(server.port());
  ASSERT_TRUE(sends.Handshake());
  sends.SendText("pause");
  EXPECT_TRUE(server.Await([&] {
    bool paused = false;
    server.OnLoop([&] { paused = server.last_opened()->reading_paused(); });
    return paused;
  }));
  sends.SendText("unread");
  for (int i = 0; i < 3; ++i) {
    WsClient silent(server.port());
    ASSERT_TRUE(silent.Handshake());
    silent.SendText("pause");
    EXPECT_EQ(ReadCloseCode(&silent), 1011);
  }
  EXPECT_EQ(server.counters().pong_timeouts, 3u);
}

TEST(ConnectionTest, ManyMessagesOfOneReadDoNotHoldUpAnotherClient) {
  std::vector<std::string> texts;  // on the loop
  WsServer::Hooks hooks;
  hooks.on_text = [&texts](Connection*, absl::string_view text) { texts.emplace_back(text); };
  WsServer server({}, hooks);
  server.OnLoop([&] { server.loop()->set_slice(absl::ZeroDuration()); });
  WsClient many(server.port()), one(server.port());
  ASSERT_TRUE(many.Handshake());
  ASSERT_TRUE(one.Handshake());
  std::string flood;
  for (int i = 0; i < 1000; ++i) flood += Encode(MakeFrame(1, "many"));
  server.OnLoop([&] {  // both wait when the loop looks at them
    many.SendRaw(flood);
    one.SendText("one");
  });
  EXPECT_TRUE(server.Await([&] {
    size_t handled = 0;
    server.OnLoop([&] { handled = texts.size(); });
    return handled == 1001;
  }));
  server.OnLoop(
      [&] { EXPECT_LT(std::find(texts.begin(), texts.end(), "one") - texts.begin(), 3); });
}

TEST(ConnectionTest, NothingIsHeardAfterAnAbort) {
  std::atomic<int> texts{0};
  WsServer::Hooks hooks;
  hooks.on_text = [&texts](Connection* connection, absl::string_view) {
    ++texts;
    connection->Abort();
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  // The second message is in the same read, the third in a later one.
  client.SendRaw(Encode(MakeFrame(1, "one")) + Encode(MakeFrame(1, "two")) +
                 Encode(MakeFrame(2, std::string(70000, 'x'))) + Encode(MakeFrame(1, "three")));
  ASSERT_TRUE(server.WaitForClosed().has_value());
  EXPECT_EQ(texts, 1);
}

TEST(ConnectionTest, PingsOfAPeerThatDoesNotReadDoNotPileUp) {
  WsServer server;
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  // Fill the way to the client, then ping a thousand times behind a last echoed message.
  server.OnLoop([&] {
    while (server.last_opened()->Offer(Frame::Text(std::string(4000, 'x'))) !=
           SendOutcome::kQueued) {
    }
  });
  size_t before = 0;
  server.OnLoop([&] { before = server.last_opened()->queued_bytes(); });
  for (int i = 0; i < 1000; ++i) client.Send(MakeFrame(9, std::string(100, 'p')));
  client.SendText("end");
  EXPECT_TRUE(server.Await([&] {
    bool read = false;
    server.OnLoop([&] { read = server.last_opened()->messages_received() == 1; });
    return read;
  }));
  server.OnLoop([&] { EXPECT_LE(server.last_opened()->queued_bytes(), before + 200); });
}

TEST(ConnectionTest, PeersCloseIsEchoedAndTold) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendClose(4321, "bye");
  const std::optional<ServerFrame> frame = client.ReadFrame();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->close_code(), 4321);
  EXPECT_TRUE(client.ReadEnd());
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->code, 4321);
  EXPECT_EQ(info->reason, "bye");
  EXPECT_TRUE(info->by_peer);
  client.Close();
  EXPECT_TRUE(server.Await([&] { return server.connections() == 0; }));
}

TEST(ConnectionTest, CloseWithoutACodeIsEchoedWithoutOne) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendRaw(Encode(MakeFrame(8, "")) + "\xff\xff garbage behind it");
  const std::optional<ServerFrame> frame = client.ReadFrame();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->opcode, 8);
  EXPECT_EQ(frame->payload, "");
  EXPECT_TRUE(client.ReadEnd());
  EXPECT_EQ(server.WaitForClosed()->code, 1005);
}

TEST(ConnectionTest, OwnCloseWaitsForThePeersAndIgnoresItsMessages) {
  std::atomic<int> texts{0};
  WsServer::Hooks hooks;
  hooks.on_text = [&texts](Connection* connection, absl::string_view) {
    ++texts;
    connection->Close(CloseCode::kServiceRestart, "drain");
    EXPECT_EQ(connection->SendText("late"), SendOutcome::kClosed);
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("go");
  const std::optional<ServerFrame> frame = client.ReadFrame();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->close_code(), 1012);
  EXPECT_EQ(frame->close_reason(), "drain");
  client.SendText("ignored");
  client.SendClose(1012);
  EXPECT_TRUE(client.ReadEnd());
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->code, 1012);
  EXPECT_FALSE(info->by_peer);
  EXPECT_EQ(texts, 1);
}

TEST(ConnectionTest, OwnCloseEndsAtItsTimeoutIfThePeerIsSilent) {
  ConnectionOptions options;
  options.close_timeout = absl::Milliseconds(20);
  WsServer::Hooks hooks;
  hooks.on_open = [](Connection* connection) {
    connection->Close(CloseCode::kTryAgainLater, "full");
  };
  WsServer server(options, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  EXPECT_EQ(ReadCloseCode(&client), 1013);
  EXPECT_TRUE(client.ReadEnd());
  EXPECT_EQ(server.WaitForClosed()->code, 1013);
  EXPECT_EQ(server.counters().close_timeouts, 1u);
}

TEST(ConnectionTest, LongCloseReasonIsCutBetweenCharacters) {
  WsServer::Hooks hooks;
  hooks.on_open = [](Connection* connection) {
    std::string reason = "x";
    for (int i = 0; i < 100; ++i) reason += "\xc3\xa4";
    connection->Close(CloseCode::kNormal, reason);
  };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  const std::optional<ServerFrame> frame = client.ReadFrame();
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->close_reason().size(), 123u);
  EXPECT_EQ(frame->close_reason().substr(121), "\xc3\xa4");
}

TEST(ConnectionTest, PeerThatVanishesIsLost) {
  WsServer server;
  for (const bool reset : {false, true}) {
    WsClient client(server.port());
    ASSERT_TRUE(client.Handshake());
    if (reset) {
      client.Reset();
    } else {
      client.Close();
    }
    const std::optional<CloseInfo> info = server.WaitForClosed();
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->code, 1006);
    EXPECT_TRUE(info->by_peer);
  }
  EXPECT_EQ(server.counters().lost, 2u);
  EXPECT_EQ(server.connections(), 0u);
}

TEST(ConnectionTest, AbortEndsWithoutACloseFrame) {
  WsServer::Hooks hooks;
  hooks.on_text = [](Connection* connection, absl::string_view) { connection->Abort(); };
  WsServer server({}, hooks);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  client.SendText("go");
  EXPECT_TRUE(client.ReadEnd());
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->code, 1006);
  EXPECT_FALSE(info->by_peer);
}

TEST(ConnectionTest, SilentConnectionIsPingedAndLivesWhileItAnswers) {
  ConnectionOptions options;
  options.ping_interval = absl::Milliseconds(10);
  options.pong_timeout = absl::Seconds(5);
  WsServer server(options);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  for (int i = 0; i < 3; ++i) {
    const std::optional<ServerFrame> ping = client.ReadFrame();
    ASSERT_TRUE(ping.has_value());
    EXPECT_EQ(ping->opcode, 9);
    client.Send(MakeFrame(10, ping->payload));
  }
  EXPECT_GE(server.counters().pings_sent, 3u);
  EXPECT_EQ(server.counters().pong_timeouts, 0u);
}

TEST(ConnectionTest, WithoutAPongItIsClosed1011) {
  ConnectionOptions options;
  options.ping_interval = absl::Milliseconds(10);
  options.pong_timeout = absl::Milliseconds(20);
  WsServer server(options);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  EXPECT_EQ(client.ReadFrame()->opcode, 9);
  const std::optional<ServerFrame> close = client.ReadFrame();
  ASSERT_TRUE(close.has_value());
  EXPECT_EQ(close->close_code(), 1011);
  EXPECT_EQ(close->close_reason(), "keepalive ping timeout");
  EXPECT_EQ(server.WaitForClosed()->code, 1011);
  EXPECT_EQ(server.counters().pong_timeouts, 1u);
}

// Reads what the server sends, `bytes` in each turn of `each`, and answers nothing.  Returns all.
std::string ReadSlowly(WsServer* server, WsClient* client, size_t bytes, absl::Duration each) {
  std::string all;
  std::string part(bytes, '\0');
  while (true) {
    const ssize_t count = ::recv(client->fd(), part.data(), part.size(), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return all;
    if (count > 0) all.append(part, 0, static_cast<size_t>(count));
    server->Pass(each);
  }
}

// Has the server send about `bytes` to the client that came last.
void SendMuch(WsServer* server, size_t bytes) {
  server->OnLoop([&] {
    for (size_t sent = 0; sent < bytes; sent += 4000) {
      server->last_opened()->SendText(std::string(4000, '.'));
    }
  });
}

TEST(ConnectionTest, WhoReadsSlowlyIsAliveAsLongAsItReads) {
  ConnectionOptions options;
  options.ping_interval = absl::Milliseconds(300);
  options.pong_timeout = absl::Milliseconds(1500);
  WsServer server(options);
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  constexpr size_t kBytes = 1'000'000;
  SendMuch(&server, kBytes);
  // Takes about three seconds, of which the last part is in the kernels' buffers alone.
  const std::string all = ReadSlowly(&server, &client, 10'000, absl::Milliseconds(30));
  EXPECT_GE(all.size(), kBytes);
  EXPECT_GE(server.counters().pings_sent, 1u);
  // Afterwards it must answer like all others.
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->code, 1011);
  EXPECT_NE(all.find("keepalive ping timeout"), std::string::npos);
}

TEST(ConnectionTest, WhoStopsReadingIsGoneInTimeWhateverIsSentToIt) {
  ConnectionOptions options;
  options.ping_interval = absl::Milliseconds(300);
  options.pong_timeout = absl::Milliseconds(300);
  WsServer server(options);
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  const absl::Time began = absl::Now();
  bool open = true;
  while (open && absl::Now() < began + absl::Seconds(5)) {
    server.OnLoop([&] {
      open = server.last_opened() != nullptr;
      if (open) server.last_opened()->SendText(std::string(100, '.'));
    });
    server.Pass(absl::Milliseconds(2));
  }
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->code, 1011);
}

TEST(ConnectionTest, AClientThatDoesNotAnswerThePingIsClosedThoughItsKernelAcknowledgesAll) {
  ConnectionOptions options;
  options.ping_interval = absl::Milliseconds(50);
  options.pong_timeout = absl::Milliseconds(100);
  WsServer server(options);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  const absl::Time began = absl::Now();
  bool open = true;
  while (open && absl::Now() < began + absl::Seconds(5)) {
    server.OnLoop([&] {
      open = server.last_opened() != nullptr;
      if (open) server.last_opened()->SendText("x");
    });
    server.Pass(absl::Milliseconds(10));
  }
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->code, 1011);
}

TEST(ConnectionTest, APingOvertakesWhatIsQueued) {
  ConnectionOptions options;
  options.ping_interval = absl::Milliseconds(50);
  options.pong_timeout = absl::Seconds(60);
  WsServer server(options);
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  SendMuch(&server, 1'000'000);
  EXPECT_TRUE(server.Await([&] { return server.counters().pings_sent == 1; }));
  size_t before = 0;
  std::optional<ServerFrame> frame;
  while ((frame = client.ReadFrame()).has_value() && frame->opcode != 9) ++before;
  ASSERT_TRUE(frame.has_value());
  EXPECT_LT(before, 100u);  // what the kernels had, of 250
}

TEST(ConnectionTest, ADueCloseFrameIsSentWhileThePeerReads) {
  ConnectionOptions options;
  options.close_timeout = absl::Seconds(1);
  WsServer server(options);
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  SendMuch(&server, 1'000'000);
  server.OnLoop([&] { server.last_opened()->Close(CloseCode::kServiceRestart, "the drain"); });
  const std::string all = ReadSlowly(&server, &client, 10'000, absl::Milliseconds(25));
  EXPECT_NE(all.find("the drain"), std::string::npos);
  EXPECT_EQ(server.WaitForClosed()->unsent_messages, 0u);
}

TEST(ConnectionTest, ACloseEndsAtItsTimeoutIfThePeerDoesNotRead) {
  ConnectionOptions options;
  options.close_timeout = absl::Milliseconds(100);
  WsServer server(options);
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  SendMuch(&server, 1'000'000);
  server.OnLoop([&] { server.last_opened()->Close(CloseCode::kServiceRestart, "the drain"); });
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_GT(info->unsent_messages, 0u);
  EXPECT_EQ(server.counters().close_timeouts, 1u);
}

TEST(ConnectionTest, ZeroIntervalNeverPings) {
  ConnectionOptions options;
  options.ping_interval = absl::ZeroDuration();
  WsServer server(options);
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  bool armed = true;
  server.OnLoop([&] { armed = server.last_opened()->armed(); });
  EXPECT_FALSE(armed);
}

TEST(ConnectionTest, SlowHandshakeIsCutOffEvenIfBytesTrickleIn) {
  ConnectionOptions options;
  options.handshake_timeout = absl::Milliseconds(30);
  options.limits.head.max_bytes = 1 << 20;  // so that time is what it runs out of
  WsServer server(options);
  WsClient silent(server.port()), slow(server.port());
  slow.SendRaw("GET / HTTP/1.1\r\nX: ");
  EXPECT_TRUE(server.Await([&] {
    slow.SendRaw("x");
    return server.counters().handshake_timeouts == 2;
  }));
  EXPECT_TRUE(silent.ReadEnd());
  EXPECT_TRUE(slow.ReadEnd());
}

TEST(ConnectionTest, BadRequestsAreAnsweredInHttp) {
  ConnectionOptions options;
  options.limits.head = {.max_bytes = 2000, .max_lines = 9};
  WsServer server(options);
  std::string lines = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 10; ++i) lines += "X: y\r\n";
  const std::pair<std::string, std::string> cases[] = {
      {"\x16\x03\x01 hello", "HTTP/1.1 400 "},
      {"GET / HTTP/1.1\nHost: h\n\n", "HTTP/1.1 400 "},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", "HTTP/1.1 505 "},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", "HTTP/1.1 405 "},
      {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 426 "},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x'), "HTTP/1.1 431 "},
      {lines + "\r\n", "HTTP/1.1 431 "},
  };
  std::string last;
  for (const auto& [request, status] : cases) {
    WsClient client(server.port());
    client.SendRaw(request);
    const std::string answer = client.ReadToEnd();
    EXPECT_TRUE(absl::StartsWith(answer, status)) << request;
    if (absl::StrContains(status, "431")) last += answer;
  }
  // What is over is told, and which key allows more.
  EXPECT_TRUE(absl::StrContains(last, "over 2000 bytes: the server's limits.max_head_bytes\n"));
  EXPECT_TRUE(absl::StrContains(last, "than 9 header lines: the server's limits.max_head_lines\n"));
  WsClient client(server.port());
  std::string old = WsClient::UpgradeRequest();
  old.replace(old.find("Version: 13"), 11, "Version: 8\r\nX: y");
  client.SendRaw(old);
  const std::string response = client.ReadToEnd();
  EXPECT_TRUE(absl::StartsWith(response, "HTTP/1.1 426 ")) << response;
  EXPECT_TRUE(absl::StrContains(response, "\r\nSec-WebSocket-Version: 13\r\n"));
}

TEST(ConnectionTest, PlainRequestsAreAnsweredByTheHost) {
  WsServer server;
  WsClient get(server.port());
  get.SendRaw("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string response = get.ReadToEnd();
  EXPECT_TRUE(absl::StartsWith(response, "HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(absl::EndsWith(response, "\r\n\r\nok\n"));
  WsClient head(server.port());
  head.SendRaw("HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(absl::EndsWith(head.ReadToEnd(), "Content-Length: 3\r\nConnection: close\r\n\r\n"));
  EXPECT_EQ(server.counters().http_requests, 2u);
}

TEST(ConnectionTest, TheCheckOfABalancerIsAnswered) {
  WsServer server;
  for (const char* request : {"OPTIONS / HTTP/1.0\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n",
                              "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
                              "\r\nOPTIONS /any/path?x HTTP/1.1\r\nHost: h\r\n\r\n"}) {
    WsClient client(server.port());
    client.SendRaw(request);
    const std::string answer = client.ReadToEnd();
    EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 200 OK\r\n")) << request << answer;
    EXPECT_TRUE(absl::StrContains(answer, "\r\nAllow: GET, HEAD, OPTIONS\r\n")) << answer;
    EXPECT_TRUE(absl::StrContains(answer, "\r\nContent-Length: 0\r\n")) << answer;
    EXPECT_TRUE(absl::EndsWith(answer, "\r\n\r\n")) << answer;
  }
  for (const char* target : {"/", "/healthz", "/nowhere"}) {
    WsClient get(server.port()), head(server.port());
    get.SendRaw(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: h\r\n\r\n"));
    head.SendRaw(absl::StrCat("HEAD ", target, " HTTP/1.1\r\nHost: h\r\n\r\n"));
    const std::string answer = get.ReadToEnd();
    EXPECT_EQ(head.ReadToEnd(), answer.substr(0, answer.find("\r\n\r\n") + 4)) << target;
  }
}

TEST(ConnectionTest, OverTheCapAnUpgradeIsRefusedWithItsReasonAndHealthIsStillTold) {
  ListenerOptions listener;
  listener.max_open = 1;
  WsServer server({}, {}, listener);
  WsClient first(server.port());
  ASSERT_TRUE(first.Handshake());
  WsClient second(server.port());
  EXPECT_FALSE(second.Handshake());
  EXPECT_TRUE(absl::StartsWith(second.response_head(), "HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_TRUE(absl::StrContains(second.response_head(), "\r\nRetry-After: "));
  EXPECT_EQ(second.ReadToEnd(), kNoConnectionsLeft);
  WsClient health(server.port());
  health.SendRaw("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(absl::StartsWith(health.ReadToEnd(), "HTTP/1.1 200 OK\r\n"));
  first.SendText("still here");
  EXPECT_EQ(first.ReadText(), "still here");
  // When somebody leaves there is room again.
  first.Close();
  ASSERT_TRUE(server.Await([&] { return server.connections() == 0; }));
  WsClient late(server.port());
  EXPECT_TRUE(late.Handshake());
}

TEST(ConnectionTest, HostMayRefuseAnUpgrade) {
  WsServer::Hooks hooks;
  hooks.refuse = [](const HttpRequest& request, HttpResponse* refusal) {
    if (request.Header("Origin") != "https://evil.example") return false;
    refusal->status = 403;
    refusal->body = "origin not allowed\n";
    return true;
  };
  WsServer server({}, hooks);
  WsClient evil(server.port());
  EXPECT_FALSE(evil.Handshake("/", "Origin: https://evil.example\r\n"));
  EXPECT_TRUE(absl::StartsWith(evil.response_head(), "HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_EQ(evil.ReadToEnd(), "origin not allowed\n");
  WsClient good(server.port());
  EXPECT_TRUE(good.Handshake("/", "Origin: https://good.example\r\n"));
}

TEST(ConnectionTest, FramesArriveWholeWhateverTheSegments) {
  WsServer server;
  WsClient client(server.port());
  const std::string stream = WsClient::UpgradeRequest() + Encode(MakeFrame(1, "one")) +
                             Encode(MakeFrame(1, std::string(200, 't'))) +
                             Encode(MakeFrame(1, "three"));
  for (const char byte : stream) client.SendRaw(std::string(1, byte));
  EXPECT_TRUE(absl::StartsWith(client.ReadHead(), "HTTP/1.1 101 "));
  EXPECT_EQ(client.ReadText(), "one");
  EXPECT_EQ(client.ReadText(), std::string(200, 't'));
  EXPECT_EQ(client.ReadText(), "three");
}

TEST(ConnectionTest, BacklogDrainsInOrderAndIsTold) {
  std::atomic<int> drained{0};
  WsServer::Hooks hooks;
  hooks.on_drained = [&drained](Connection* connection) {
    EXPECT_FALSE(connection->has_backlog());
    ++drained;
  };
  WsServer server({}, hooks);
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  const int drained_before = drained;
  int offered = 0;
  server.OnLoop([&] {
    Connection* connection = server.last_opened();
    while (connection->queued_bytes() < 500000) {
      connection->SendText(absl::StrCat(offered++, std::string(4000, '.')));
    }
  });
  for (int i = 0; i < offered; ++i) {
    const std::optional<std::string> text = client.ReadText();
    ASSERT_TRUE(text.has_value());
    ASSERT_EQ(*text, absl::StrCat(i, std::string(4000, '.')));
  }
  EXPECT_TRUE(server.Await([&] { return drained > drained_before; }));
  server.OnLoop([&] {
    EXPECT_EQ(server.last_opened()->messages_sent(), static_cast<uint64_t>(offered));
    EXPECT_TRUE(server.table()->direct(server.last_opened()->fd()));
  });
}

TEST(ConnectionTest, DirectSendAndItsContinuationKeepOrder) {
  WsServer server;
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  int offered = 0;
  server.OnLoop([&] {
    Connection* connection = server.last_opened();
    SendTable* table = server.table();
    while (connection->queued_bytes() < 100000) {
      const FramePtr frame = Frame::Text(absl::StrCat(offered++, std::string(4000, '.')));
      if (!table->direct(connection->fd())) {
        connection->Offer(frame);
        continue;
      }
      const ssize_t taken = table->Send(connection->fd(), *frame);
      if (taken != static_cast<ssize_t>(frame->size())) connection->Continue(frame, taken);
    }
  });
  for (int i = 0; i < offered; ++i) {
    const std::optional<std::string> text = client.ReadText();
    ASSERT_TRUE(text.has_value());
    ASSERT_EQ(*text, absl::StrCat(i, std::string(4000, '.')));
  }
}

TEST(ConnectionTest, SlowSubscriberClosedWithDropGetsItsCloseFrameAndAnExactCount) {
  WsServer server;
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  uint64_t offered = 0, sent = 0;
  server.OnLoop([&] {
    Connection* connection = server.last_opened();
    while (connection->queued_bytes() < 500000) {
      connection->SendText(std::string(4000, '.'));
      ++offered;
    }
    sent = connection->messages_sent();
    connection->Close(CloseCode::kSlowSubscriber, "slow subscriber", Connection::Backlog::kDrop);
    EXPECT_LT(connection->queued_bytes(), 5000u);
  });
  uint64_t received = 0;
  std::optional<ServerFrame> frame;
  while ((frame = client.ReadFrame()).has_value() && frame->opcode == 1) ++received;
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->close_code(), 4000);
  client.SendClose(4000);
  const std::optional<CloseInfo> info = server.WaitForClosed();
  ASSERT_TRUE(info.has_value());
  EXPECT_GE(received, sent);
  EXPECT_EQ(received + info->unsent_messages, offered);
}

TEST(ConnectionTest, CloseFrameFollowsTheBacklogThatItIsToFollow) {
  WsServer server;
  WsClient client(server.port(), kSmallBuffer);
  ASSERT_TRUE(client.Handshake());
  int offered = 0;
  server.OnLoop([&] {
    Connection* connection = server.last_opened();
    for (; connection->queued_bytes() < 200000; ++offered) {
      connection->SendText(std::string(4000, '.'));
    }
    connection->Close(CloseCode::kServiceRestart, "drain");
  });
  for (int i = 0; i < offered; ++i) ASSERT_TRUE(client.ReadText().has_value()) << i;
  EXPECT_EQ(ReadCloseCode(&client), 1012);
  client.SendClose(1012);
  EXPECT_EQ(server.WaitForClosed()->unsent_messages, 0u);
}

TEST(ConnectionTest, ForEachOpenMayCloseAll) {
  WsServer server;
  WsClient a(server.port()), b(server.port()), waiting(server.port());
  ASSERT_TRUE(a.Handshake());
  ASSERT_TRUE(b.Handshake());
  int seen = 0;
  server.OnLoop([&] {
    server.group()->ForEachOpen([&](Connection* connection) {
      ++seen;
      connection->Close(CloseCode::kGoingAway, "");
    });
    server.group()->ForEachOpen([&](Connection*) { ++seen; });
  });
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(ReadCloseCode(&a), 1001);
  EXPECT_EQ(ReadCloseCode(&b), 1001);
}

TEST(ConnectionTest, GroupThatIsDestroyedTellsItsHandlers) {
  auto server = std::make_unique<WsServer>();
  WsClient client(server->port());
  ASSERT_TRUE(client.Handshake());
  server.reset();  // the handlers free themselves in OnClosed(): a leak otherwise
  EXPECT_TRUE(client.ReadEnd());
}

// Each byte counts for every idle client; see tests/bench/idle_memory.cc.
TEST(ConnectionTest, AConnectionIsSmall) { EXPECT_LE(sizeof(Connection), 184u); }

TEST(ConnectionTest, CountersAddUp) {
  WsServer server;
  WsClient client(server.port());
  ASSERT_TRUE(client.Handshake());
  for (int i = 0; i < 5; ++i) {
    client.SendText("12345");
    client.ReadText();
  }
  server.OnLoop([&] {
    Connection* connection = server.last_opened();
    EXPECT_EQ(connection->messages_received(), 5u);
    EXPECT_EQ(connection->messages_sent(), 5u);
    EXPECT_EQ(connection->bytes_sent(), client.response_head().size() + 5 * 7);
    EXPECT_EQ(connection->bytes_received(), WsClient::UpgradeRequest().size() + 5 * 11);
    EXPECT_EQ(connection->peer().Host(), "127.0.0.1");
  });
  const ConnectionCounters counters = server.counters();
  EXPECT_EQ(counters.accepted, 1u);
  EXPECT_EQ(counters.opened, 1u);
  EXPECT_EQ(counters.messages_received, 5u);
}

}  // namespace
}  // namespace fanwire::fanout
