// A session's life: slots, authentication, messages, deadlines, the end.
#include "fanout/session.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/jwt.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const JwtKey kKey = {"k1", "secret"};

class SessionTest : public SessionFixture {
 protected:
  // Lets clients authenticate; alice may read workflows.
  void UseKeys() {
    Configure([](v1::WorkerService* service) {
      auto* const key = service->add_keys();
      key->set_id(kKey.id);
      key->set_secret(kKey.secret);
      auto* const rule = service->add_permissions();
      rule->set_prefix("workflow:");
      rule->add_any_of("workflow:read");
    });
  }

  std::string Token(absl::Duration valid_for = absl::Hours(1)) {
    JwtClaims claims;
    claims.user = "alice";
    claims.permissions = {"workflow:read"};
    claims.expires_at = clock_.WallNow() + valid_for;
    return MintJwt(claims, kKey);
  }

  static SessionStart AuthRequired() {
    SessionStart start;
    start.auth_required = true;
    return start;
  }

  SessionStart Alice(absl::Duration valid_for = absl::Hours(1)) {
    SessionStart start;
    start.identity =
        std::make_unique<Identity>(Identity{.user = "alice",
                                            .permissions = {"workflow:read"},
                                            .expires_at = clock_.WallNow() + valid_for});
    return start;
  }

  int64_t errors(CountedError error) const { return counts().errors[static_cast<size_t>(error)]; }
};

// ------------------------------------------------------------------------------- welcome

// Each byte counts for every idle client.
TEST(SessionSizeTest, ASessionIsSmall) { EXPECT_LE(sizeof(Session), 248u); }

TEST_F(SessionTest, TheServerSpeaksFirstAndWelcomes) {
  PairClient* const client = Connect();
  ASSERT_THAT(client->messages, SizeIs(1));
  const Json welcome = client->Next();
  EXPECT_EQ(welcome["event"], "session.created");
  EXPECT_EQ(welcome["data"]["server"], "mahavishnu");
  EXPECT_EQ(welcome["data"]["message"], "Connected to Mahavishnu orchestration");
  EXPECT_EQ(welcome["data"]["authenticated"], false);
  EXPECT_EQ(counts().sessions_opened, 1);
  EXPECT_EQ(counts().replies, 1);
}

TEST_F(SessionTest, ATokenOfTheHandshakeIsTakenAndTheWelcomeSaysSo) {
  PairClient* const client = Connect(Alice());
  const Json welcome = client->Next();
  EXPECT_EQ(welcome["data"]["authenticated"], true);
  EXPECT_EQ(welcome["data"]["session_expires_at"], "2026-02-02T03:40:00.000000+00:00");
}

TEST_F(SessionTest, ABadTokenOfTheHandshakeIsRefusedLikeABadFrame) {
  SessionStart start;
  start.bad_token = true;
  start.token_fault = "claim exp: a text; seconds since 1970 are wanted";
  PairClient* const client = Connect(std::move(start));
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "AUTH_FAILED");
  EXPECT_EQ(error["reason"], "claim exp: a text; seconds since 1970 are wanted");
  EXPECT_EQ(error["error_message"], "Invalid or expired token");
  EXPECT_EQ(client->close_code, 1008);
  EXPECT_EQ(client->close_reason, "Authentication failed");
  EXPECT_EQ(errors(CountedError::kAuthFailed), 1);
}

// ------------------------------------------------------------------------------- authentication

TEST_F(SessionTest, WhereATokenIsDemandedTheServerIsSilentUntilItComes) {
  UseKeys();
  PairClient* const client = Connect(AuthRequired());
  EXPECT_THAT(client->messages, IsEmpty());
  client->Request("auth", {{"token", Token()}}, "m1");
  Quiet();
  const Json answer = client->Next(), welcome = client->Next();
  EXPECT_EQ(answer["type"], "response");
  EXPECT_EQ(answer["event"], "auth");
  EXPECT_EQ(answer["correlation_id"], "m1");
  EXPECT_EQ(answer["data"], (Json{{"status", "authenticated"}, {"user_id", "alice"}}));
  EXPECT_EQ(welcome["event"], "session.created");
  EXPECT_EQ(welcome["data"]["authenticated"], true);
}

TEST_F(SessionTest, ABadTokenIsAnsweredAndClosedWith1008) {
  UseKeys();
  PairClient* const client = Connect(AuthRequired());
  client->Request("auth", {{"token", Token(-absl::Seconds(1))}}, "m1");
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "AUTH_FAILED");
  EXPECT_EQ(error["error_message"], "Invalid or expired token");
  EXPECT_EQ(error["correlation_id"], "m1");
  EXPECT_EQ(client->close_code, 1008);
  EXPECT_EQ(client->close_reason, "Authentication failed");
  EXPECT_EQ(errors(CountedError::kAuthFailed), 1);
}

TEST_F(SessionTest, AnAuthWithoutATokenSaysWhatIsMissing) {
  UseKeys();
  PairClient* const client = Connect(AuthRequired());
  client->Request("auth", {{"token", 5}});
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "AUTH_FAILED");
  EXPECT_EQ(error["error_message"], "Missing or malformed auth token");
  EXPECT_EQ(client->close_code, 1008);
  EXPECT_EQ(errors(CountedError::kAuthMissing), 1);
}

TEST_F(SessionTest, AnyOtherFirstMessageIsRefusedWithoutCorrelation) {
  UseKeys();
  PairClient* const client = Connect(AuthRequired());
  client->Subscribe("workflow:1");
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "AUTH_REQUIRED");
  EXPECT_EQ(error["error_message"], "Authentication required");
  EXPECT_EQ(error["correlation_id"], nullptr);
  EXPECT_EQ(client->close_code, 1008);
  EXPECT_EQ(client->close_reason, "Authentication required");
  EXPECT_EQ(errors(CountedError::kAuthRequired), 1);
}

TEST_F(SessionTest, AnUndecodableFirstMessageIsRefusedInTheSameWords) {
  UseKeys();
  PairClient* const client = Connect(AuthRequired());
  client->Say("no JSON");
  Quiet();
  EXPECT_THAT(client->Errors(), ElementsAre("AUTH_REQUIRED"));
  EXPECT_EQ(client->close_code, 1008);
  EXPECT_EQ(errors(CountedError::kAuthError), 1);
}

TEST_F(SessionTest, WhoDoesNotAuthenticateInTimeIsClosed) {
  UseKeys();
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->mutable_auth_timeout()->Clear();
    service->mutable_limits()->mutable_auth_timeout()->set_nanos(10'000'000);
  });
  PairClient* const client = Connect(AuthRequired());
  EXPECT_TRUE(RunUntil([&] { return client->close_code.has_value(); }));
  EXPECT_EQ(client->close_code, 1008);
  EXPECT_THAT(client->Errors(), ElementsAre("AUTH_REQUIRED"));
}

TEST_F(SessionTest, ALaterAuthIsAnsweredAndABadOneDoesNotClose) {
  UseKeys();
  PairClient* const client = Welcomed();
  client->Request("auth", {{"token", "nonsense"}});
  client->Request("auth", Json::object());
  client->Request("auth", {{"token", Token()}});
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(3));
  EXPECT_EQ(client->messages[0]["error_message"], "Invalid or expired token");
  EXPECT_EQ(client->messages[0]["reason"],
            "token: has 1 part; a JSON web token is header.claims.signature");
  EXPECT_EQ(client->messages[1]["error_message"], "Missing or malformed auth token");
  EXPECT_EQ(client->messages[2]["data"]["user_id"], "alice");
  EXPECT_EQ(client->close_code, std::nullopt);
  EXPECT_EQ(SessionOf(client)->user(), "alice");
}

TEST_F(SessionTest, WhenTheTokenExpiresTheSessionIsClosedWith4004) {
  PairClient* const client = Welcomed(Alice(absl::Milliseconds(20)));
  clock_.Advance(absl::Milliseconds(20));
  EXPECT_TRUE(RunUntil([&] { return client->close_code.has_value(); }));
  EXPECT_EQ(client->close_code, 4004);
  EXPECT_EQ(client->close_reason, "token expired");
}

TEST_F(SessionTest, ARefreshedTokenKeepsTheSession) {
  UseKeys();
  PairClient* const client = Welcomed(Alice(absl::Milliseconds(20)));
  client->Request("auth", {{"token", Token(absl::Hours(2))}});
  Quiet();
  client->Clear();
  clock_.Advance(absl::Milliseconds(30));
  bool later = false;
  loop_.RunAfter(absl::Milliseconds(60), [&] { later = true; });
  EXPECT_TRUE(RunUntil([&] { return later; }));
  EXPECT_EQ(client->close_code, std::nullopt);
}

TEST_F(SessionTest, ThirtySecondsBeforeItsTokenExpiresTheSessionIsToldOnce) {
  PairClient* const client = Welcomed(Alice(absl::Seconds(30) + absl::Milliseconds(20)));
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  clock_.Advance(absl::Milliseconds(20));
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  const Json expiring = client->Next();
  EXPECT_EQ(expiring["event"], "token.expiring");
  EXPECT_EQ(expiring["data"], (Json{{"expires_at", "2026-02-02T02:40:30.020000+00:00"}}));
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(client->close_code, std::nullopt);
}

TEST_F(SessionTest, ATokenThatExpiresSoonIsToldBehindTheWelcome) {
  PairClient* const client = Welcomed(Alice(absl::Seconds(10)));
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_EQ(client->Next()["event"], "token.expiring");
}

TEST_F(SessionTest, RefreshTokenAnswersWithTheNewEndAndTheSessionStays) {
  UseKeys();
  PairClient* const client = Welcomed(Alice(absl::Seconds(10)));
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  client->Clear();
  client->Request("refresh_token", {{"token", Token(absl::Seconds(40))}}, "r1");
  Quiet();
  const Json answer = client->Next();
  EXPECT_EQ(answer["type"], "response");
  EXPECT_EQ(answer["event"], "refresh_token");
  EXPECT_EQ(answer["correlation_id"], "r1");
  EXPECT_EQ(answer["data"], (Json{{"status", "refreshed"},
                                  {"user_id", "alice"},
                                  {"expires_at", "2026-02-02T02:40:40.000000+00:00"}}));
  clock_.Advance(absl::Seconds(10));  // the first token is over, and of the new one 30 s are left
  client->Request("ping", Json::object());
  Quiet();
  EXPECT_EQ(client->close_code, std::nullopt);
  EXPECT_EQ(client->Next()["type"], "pong");
}

TEST_F(SessionTest, ABadTokenToRefreshWithChangesNothing) {
  UseKeys();
  PairClient* const client = Welcomed(Alice());
  client->Request("refresh_token", {{"token", Token(-absl::Seconds(1))}});
  client->Request("refresh_token", Json::object());
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(2));
  for (const Json& error : client->messages) EXPECT_EQ(error["error_code"], "AUTH_FAILED");
  EXPECT_THAT(client->messages[0]["reason"].get<std::string>(), HasSubstr("claim exp"));
  EXPECT_EQ(client->close_code, std::nullopt);
  EXPECT_EQ(SessionOf(client)->user(), "alice");
}

TEST_F(SessionTest, ALaterTokenThatAllowsLessEndsSubscriptions) {
  UseKeys();
  for (const char* request : {"auth", "refresh_token"}) {
    PairClient* const client = Welcomed();
    SubscribeTo(client, "workflow:1");
    SubscribeTo(client, "pool:1");
    SubscribeTo(client, "pool:*");
    client->Request(request, {{"token", Token()}});
    Quiet();
    ASSERT_THAT(client->messages, SizeIs(3)) << request;
    EXPECT_EQ(client->messages[0]["event"], request);
    for (size_t i : {1, 2}) {
      EXPECT_EQ(client->messages[i]["event"], "channel.unsubscribed");
      EXPECT_EQ(client->messages[i]["data"]["reason"], "permissions_changed");
    }
    EXPECT_EQ(client->messages[1]["data"]["channel"], "pool:1");
    EXPECT_EQ(client->messages[2]["data"]["channel"], "pool:*");
    client->Clear();
    Publish("pool:1");
    Publish("workflow:1");
    EXPECT_THAT(client->Offsets("pool:1"), IsEmpty());
    EXPECT_THAT(client->Offsets("workflow:1"), SizeIs(1));
  }
}

TEST_F(SessionTest, WhatWaitsOfAPatternThatIsNotAllowedAnyMoreIsDropped) {
  UseKeys();
  PairClient* const client = Welcomed();
  SubscribeTo(client, "workflow:1");
  SubscribeTo(client, "pool:*");
  client->reads = false;
  FakePublication large;
  large.padding = 5'000;  // more than the kernel takes, less than the session's budget
  for (int i = 0; i < 5; ++i) {
    Publish("pool:1", large);
    Publish("workflow:1", large);
  }
  client->Request("auth", {{"token", Token()}});
  Quiet();
  client->reads = true;
  Quiet();
  EXPECT_THAT(client->Named("channel.unsubscribed"), SizeIs(1));
  EXPECT_THAT(client->Offsets("workflow:1"), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_LT(client->Offsets("pool:1").size(), 5u);  // what the kernel had is gone
  EXPECT_GT(dropped(DropReason::kClosing), 0);
}

TEST_F(SessionTest, ARequestForWhatATokenDoesNotAllowIsForbidden) {
  Configure([](v1::WorkerService* service) {
    v1::ServiceRequest* const request = service->add_requests();
    request->set_name("get_pool_status");
    request->set_argument("pool_id");
    request->set_kind("pool");
  });
  UseKeys();
  PairClient* const client = Welcomed(Alice());
  client->Request("get_pool_status", {{"pool_id", "local"}}, "g1");
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "FORBIDDEN");
  EXPECT_EQ(error["error_message"], "Not authorized to subscribe to pool:local");
  EXPECT_EQ(error["correlation_id"], "g1");
  EXPECT_THAT(control_->requests, IsEmpty());
  Welcomed()->Request("get_pool_status", {{"pool_id", "local"}});  // anonymous: may ask
  Quiet();
  ASSERT_THAT(control_->requests, SizeIs(1));
  control_->requests.clear();
}

TEST_F(SessionTest, ARequestThatOnlyARespondersNameKnowsIsForAdministratorsAndWhileItIsThere) {
  UseKeys();
  PairClient* const alice = Welcomed(Alice());
  PairClient* const anyone = Welcomed();
  anyone->Request("run_it", Json::object());
  Quiet();
  EXPECT_EQ(anyone->Next()["error_code"], "UNKNOWN_REQUEST");
  RequestNames names;
  names.Add("run_*");
  service_->set_registered_requests(names);
  alice->Request("run_it", Json::object());
  anyone->Request("run_it", Json::object());
  Quiet();
  const Json error = alice->Next();
  EXPECT_EQ(error["error_code"], "FORBIDDEN");
  EXPECT_EQ(error["error_message"], "Not authorized to request run_it");
  ASSERT_THAT(control_->requests, SizeIs(1));
  EXPECT_TRUE(control_->requests[0].served);
  EXPECT_EQ(control_->requests[0].session, anyone->session);
  service_->set_registered_requests({});
  anyone->Request("run_it", Json::object());
  Quiet();
  EXPECT_EQ(anyone->Next()["error_code"], "UNKNOWN_REQUEST");
}

TEST_F(SessionTest, AGoodbyeLeavesNoRequestInSilence) {
  PairClient* const client = Welcomed();
  client->Request("history", {{"channel", "a"}}, "h1");
  client->Request("history", {{"channel", "b"}}, "h2");
  Quiet();
  EXPECT_THAT(control_->requests, SizeIs(2));
  client->session->SayGoodbye(R"({"event":"server.draining"})", CloseCode::kServiceRestart, "bye");
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(3));
  std::vector<std::string> answered;
  for (int i = 0; i < 2; ++i) {
    const Json error = client->Next();
    EXPECT_EQ(error["error_code"], "UNAVAILABLE");
    answered.push_back(error["correlation_id"]);
  }
  EXPECT_THAT(answered, ElementsAre("h1", "h2"));
  EXPECT_EQ(client->Next()["event"], "server.draining");
  EXPECT_THAT(control_->requests, IsEmpty());
  EXPECT_EQ(client->close_code, 1012);
}

TEST_F(SessionTest, WhatATokenDoesNotAllowIsForbidden) {
  UseKeys();
  PairClient* const client = Welcomed(Alice());
  client->Subscribe("pool:1");
  client->Request("history", {{"channel", "pool:1"}});
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(2));
  for (const Json& error : client->messages) {
    EXPECT_EQ(error["error_code"], "FORBIDDEN");
    EXPECT_EQ(error["error_message"], "Not authorized to subscribe to pool:1");
    EXPECT_EQ(error["correlation_id"], "r");
  }
  SubscribeTo(client, "workflow:1");
}

TEST_F(SessionTest, AnonymousClientsOfAnOpenListenerMayEverything) {
  UseKeys();
  SubscribeTo(Welcomed(), "pool:1");
}

// ------------------------------------------------------------------------------- slots

TEST_F(SessionTest, WithoutASlotItWaitsSilentlyAndIsWelcomedWhenOneComes) {
  service_->slots().Grant(0);
  PairClient* const client = Connect();
  EXPECT_THAT(client->messages, IsEmpty());
  ASSERT_THAT(control_->waiting_for_slot, ElementsAre(client->session));
  EXPECT_TRUE(service_->sessions().empty());
  service_->slots().Grant(1);
  ASSERT_TRUE(service_->slots().Take());
  client->session->OnSlot();
  control_->waiting_for_slot.clear();
  Quiet();
  EXPECT_EQ(client->Next()["event"], "session.created");
}

TEST_F(SessionTest, MessagesBeforeTheSlotAreHandledAfterTheWelcomeInOrder) {
  service_->slots().Grant(0);
  PairClient* const client = Connect();
  client->SayJson(Json{{"type", "ping"}, {"id", "p1"}});
  client->SayJson(Json{{"type", "ping"}, {"id", "p2"}});
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  service_->slots().Grant(1);
  service_->slots().Take();
  client->session->OnSlot();
  control_->waiting_for_slot.clear();
  Quiet();
  EXPECT_EQ(client->Next()["event"], "session.created");
  EXPECT_EQ(client->Next()["correlation_id"], "p1");
  EXPECT_EQ(client->Next()["correlation_id"], "p2");
}

TEST_F(SessionTest, TheAuthThatCameBeforeTheSlotCounts) {
  UseKeys();
  service_->slots().Grant(0);
  PairClient* const client = Connect(AuthRequired());
  client->Request("auth", {{"token", "bad"}});
  client->Request("auth", {{"token", Token()}});  // too late: the first decides
  Quiet();
  service_->slots().Grant(1);
  service_->slots().Take();
  client->session->OnSlot();
  control_->waiting_for_slot.clear();
  Quiet();
  EXPECT_THAT(client->Errors(), ElementsAre("AUTH_FAILED"));
  EXPECT_EQ(client->close_code, 1008);
}

TEST_F(SessionTest, WhatComesBeforeTheSlotIsNotReadHoweverMuchItIs) {
  service_->slots().Grant(0);
  PairClient* const client = Connect();
  const std::string text = Json{{"type", "ping"}, {"pad", std::string(40'000, 'x')}}.dump();
  for (int i = 0; i < 4; ++i) client->Say(text);
  Quiet();
  EXPECT_EQ(counts().messages_received, 0);
  service_->slots().Grant(1);
  service_->slots().Take();
  client->session->OnSlot();
  control_->waiting_for_slot.clear();
  Quiet();
  EXPECT_THAT(client->messages, SizeIs(5));  // the welcome and four pongs
  EXPECT_EQ(client->close_code, std::nullopt);
}

TEST_F(SessionTest, WhoGetsNoSlotWithinASecondIsSentAwayWith1013) {
  service_->slots().Grant(0);
  PairClient* const client = Connect();
  EXPECT_TRUE(RunUntil([&] { return client->close_code.has_value(); }));
  EXPECT_EQ(client->close_code, 1013);
  EXPECT_EQ(client->close_reason, "Server at maximum capacity");
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_THAT(control_->waiting_for_slot, IsEmpty());
  EXPECT_EQ(errors(CountedError::kMaxConnections), 1);
}

TEST_F(SessionTest, WhoLeavesWhileWaitingForASlotWaitsNoMore) {
  service_->slots().Grant(0);
  PairClient* const client = Connect();
  client->Close();
  Quiet();
  EXPECT_THAT(control_->waiting_for_slot, IsEmpty());
}

TEST_F(SessionTest, AClosedSessionGivesItsSlotBack) {
  service_->slots().Grant(1);
  PairClient* const first = Welcomed();
  EXPECT_EQ(service_->slots().in_use(), 1u);
  first->SendClose(1000);
  Quiet();
  EXPECT_EQ(first->close_code, 1000);
  EXPECT_EQ(service_->slots().in_use(), 0u);
  EXPECT_EQ(control_->slot_changes, 2);
  EXPECT_EQ(counts().sessions_closed, 1);
  Welcomed();
}

// ------------------------------------------------------------------------------- messages

TEST_F(SessionTest, PingIsAnsweredByPong) {
  PairClient* const client = Welcomed();
  client->SayJson(Json{{"type", "ping"}, {"id", "p1"}});
  Quiet();
  const Json pong = client->Next();
  EXPECT_EQ(pong["type"], "pong");
  EXPECT_EQ(pong["correlation_id"], "p1");
}

TEST_F(SessionTest, WhatCannotBeDecodedIsAnsweredWithoutCorrelationAndStays) {
  PairClient* const client = Welcomed();
  client->Say("{\"type\":\"pi");
  client->Say(R"({"type":"ping","id":5})");
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(2));
  for (const Json& error : client->messages) {
    EXPECT_EQ(error["error_code"], "DECODE_ERROR");
    EXPECT_EQ(error["correlation_id"], nullptr);
  }
  EXPECT_THAT(client->messages[1]["error_message"].get<std::string>(), HasSubstr("\"id\""));
  EXPECT_EQ(errors(CountedError::kDecodeError), 2);
  EXPECT_TRUE(SessionOf(client)->active());
}

TEST_F(SessionTest, UnknownRequestsAreNamed) {
  PairClient* const client = Welcomed();
  client->Request("get_everything", Json::object());
  client->Say(R"({"type":"request","id":"x"})");
  Quiet();
  EXPECT_EQ(client->messages[0]["error_code"], "UNKNOWN_REQUEST");
  EXPECT_EQ(client->messages[0]["error_message"], "Unknown request event: get_everything");
  EXPECT_EQ(client->messages[0]["correlation_id"], "r");
  EXPECT_EQ(client->messages[1]["error_message"], "Unknown request event: None");
}

TEST_F(SessionTest, EventsAndOtherTypesOfClientsGetNoReply) {
  PairClient* const client = Welcomed();
  for (const char* type : {"event", "response", "error", "pong", "ack"}) {
    client->SayJson(Json{{"type", type}, {"event", "whatever"}});
  }
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(counts().messages_received, 5);
}

TEST_F(SessionTest, ARequestIsPassedToControlAndItsAnswerCorrelated) {
  PairClient* const client = Welcomed();
  client->Request("history", {{"channel", "a"}, {"limit", 2}}, "h1");
  Quiet();
  ASSERT_THAT(control_->requests, SizeIs(1));
  EXPECT_EQ(control_->requests[0].request, "history");
  EXPECT_EQ(control_->requests[0].data, R"({"channel":"a","limit":2})");
  client->session->OnRequestReply(
      control_->requests[0].id,
      {.data = R"({"events":[]})", .error_code = "", .error_message = ""});
  control_->requests.clear();
  Quiet();
  const Json answer = client->Next();
  EXPECT_EQ(answer["type"], "response");
  EXPECT_EQ(answer["event"], "history");
  EXPECT_EQ(answer["correlation_id"], "h1");
  EXPECT_EQ(answer["data"], (Json{{"events", Json::array()}}));
}

TEST_F(SessionTest, AnErrorOfControlIsPassedOn) {
  PairClient* const client = Welcomed();
  client->Request("history", Json::object(), "h1");
  Quiet();
  client->session->OnRequestReply(
      control_->requests[0].id,
      {.data = "", .error_code = "INVALID_REQUEST", .error_message = "channel is missing"});
  control_->requests.clear();
  Quiet();
  const Json error = client->Next();
  EXPECT_EQ(error["error_code"], "INVALID_REQUEST");
  EXPECT_EQ(error["error_message"], "channel is missing");
  EXPECT_EQ(error["correlation_id"], "h1");
}

TEST_F(SessionTest, ARequestThatControlDoesNotAnswerIsUnavailable) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->mutable_control_wait()->Clear();
    service->mutable_limits()->mutable_control_wait()->set_nanos(10'000'000);
  });
  PairClient* const client = Welcomed();
  client->Request("history", Json::object(), "h1");
  EXPECT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_EQ(client->messages[0]["error_code"], "UNAVAILABLE");
  EXPECT_EQ(client->messages[0]["correlation_id"], "h1");
  EXPECT_THAT(control_->requests, IsEmpty());  // no answer is wanted any more
}

TEST_F(SessionTest, RequestsWithoutAnAnswerAreLimited) {
  PairClient* const client = Welcomed();
  for (int i = 0; i < 257; ++i) client->Request("history", Json::object());
  Quiet();
  EXPECT_THAT(control_->requests, SizeIs(256));
  EXPECT_THAT(client->Errors(), ElementsAre("LIMIT_EXCEEDED"));
}

TEST_F(SessionTest, WhoAsksTooOftenIsToldWhenToRetry) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_message_rate_limit(0.5);
    service->mutable_limits()->set_message_rate_burst(2);
  });
  PairClient* const client = Welcomed();
  for (const char* id : {"1", "2", "3"}) client->SayJson(Json{{"type", "ping"}, {"id", id}});
  client->Say("undecodable");
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(4));
  EXPECT_EQ(client->messages[1]["type"], "pong");
  const Json& error = client->messages[2];
  EXPECT_EQ(error["error_code"], "RATE_LIMIT_EXCEEDED");
  EXPECT_EQ(error["correlation_id"], "3");
  EXPECT_THAT(error["error_message"].get<std::string>(),
              ::testing::MatchesRegex(
                  "Message rate limit exceeded. Retry after [12]\\.[0-9][0-9][0-9] seconds\\."));
  EXPECT_EQ(client->messages[3]["error_code"], "RATE_LIMIT_EXCEEDED");
  EXPECT_EQ(client->messages[3]["correlation_id"], nullptr);
  EXPECT_EQ(errors(CountedError::kRateLimited), 2);
  EXPECT_EQ(errors(CountedError::kDecodeError), 0);
}

TEST_F(SessionTest, EveryMessageCountsAgainstTheRateWhateverItIs) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_message_rate_limit(0.01);
    service->mutable_limits()->set_message_rate_burst(5);
  });
  PairClient* const client = Welcomed();
  client->Say("{");
  client->Say(R"({"type":"event","event":"ignored"})");
  client->Request("unknown", Json::object());
  client->SayJson(Json{{"type", "ping"}});
  client->Say(std::string(10'000, '['));
  client->SayJson(Json{{"type", "ping"}, {"id", "over"}});
  Quiet();
  EXPECT_THAT(client->Errors(), ElementsAre("DECODE_ERROR", "UNKNOWN_REQUEST", "DECODE_ERROR",
                                            "RATE_LIMIT_EXCEEDED"));
  EXPECT_EQ(client->messages.back()["correlation_id"], "over");
}

TEST_F(SessionTest, ALongMessageOverTheRateIsRefusedUnread) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_message_rate_limit(0.01);
    service->mutable_limits()->set_message_rate_burst(1);
  });
  PairClient* const client = Welcomed();
  Json ping = {{"type", "ping"}, {"id", "x"}, {"pad", ""}};
  const size_t size = ping.dump().size();
  client->SayJson(ping);
  for (const size_t bytes : {size_t{4096}, size_t{4097}}) {
    ping["pad"] = std::string(bytes - size, '.');
    client->SayJson(ping);
  }
  Quiet();
  EXPECT_EQ(client->Next()["type"], "pong");
  EXPECT_THAT(client->Errors(), ElementsAre("RATE_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED"));
  EXPECT_EQ(client->messages[0]["correlation_id"], "x");
  EXPECT_EQ(client->messages[1]["correlation_id"], nullptr);
}

TEST_F(SessionTest, HundredsOfSubscribesAtOnceAreAllAnswered) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_message_rate_limit(1000);
    service->mutable_limits()->set_message_rate_burst(50);
  });
  PairClient* const client = Welcomed();
  std::vector<std::string> asked, answered;
  for (int i = 0; i < 400; ++i) {
    asked.push_back(absl::StrCat("m", i));
    client->Request("subscribe", {{"channel", absl::StrCat("room:", i)}}, asked.back());
  }
  ASSERT_TRUE(RunUntil([&] {
    control_->Answer();
    control_->Apply();
    return client->messages.size() == 400;
  }));
  int refused = 0;
  for (const Json& answer : client->messages) {
    answered.push_back(answer["correlation_id"]);
    if (answer["type"] == "error") {
      EXPECT_EQ(answer["error_code"], "RATE_LIMIT_EXCEEDED");
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  std::sort(asked.begin(), asked.end());
  std::sort(answered.begin(), answered.end());
  EXPECT_EQ(answered, asked);
  EXPECT_TRUE(SessionOf(client)->active());
}

TEST_F(SessionTest, ErrorsAreAnsweredAtTheRateAndTheRestIsNotRead) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_message_rate_limit(0.01);
    service->mutable_limits()->set_message_rate_burst(10);
  });
  PairClient* const client = Welcomed();
  for (int i = 0; i < 500; ++i) client->Say("{");
  Quiet();
  // Ten are taken, ten refused; one more is, before reading pauses.
  EXPECT_THAT(client->messages, SizeIs(21));
  EXPECT_EQ(counts().messages_received, 21);
}

TEST_F(SessionTest, WhoAsksForTooMuchHistoryIsNotReadFromUntilAnAnswerHasCome) {
  Configure(
      [](v1::WorkerService* service) { service->mutable_limits()->set_history_rate_bytes(1000); });
  PairClient* const client = Welcomed();
  for (int i = 0; i < 6; ++i) client->Request("history", {{"channel", "a"}});
  client->SayJson(Json{{"type", "ping"}, {"id", "behind"}});
  Quiet();
  // An answer of unknown length may use up the first burst: the second request is one too many.
  EXPECT_THAT(control_->requests, SizeIs(2));
  const auto answer = [&](size_t bytes) {
    const uint64_t id = control_->requests.front().id;
    control_->requests.erase(control_->requests.begin());
    client->session->OnRequestReply(id, {.data = Json{{"fill", std::string(bytes, 'x')}}.dump(),
                                         .error_code = "",
                                         .error_message = ""});
    Quiet();
  };
  answer(10);
  EXPECT_TRUE(RunUntil([&] { return control_->requests.size() == 2; }));
  answer(100'000);  // far over: nothing more is read for 100 s
  EXPECT_THAT(control_->requests, SizeIs(1));
  answer(10);
  EXPECT_THAT(client->messages, SizeIs(3));
}

TEST_F(SessionTest, HistoryWithinItsRateIsReadAtOnce) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_history_rate_bytes(1 << 20);
  });
  PairClient* const client = Welcomed();
  for (int i = 0; i < 50; ++i) {
    client->Request("history", {{"channel", "a"}});
    Quiet();
    ASSERT_THAT(control_->requests, SizeIs(1));
    const uint64_t id = control_->requests[0].id;
    control_->requests.clear();
    client->session->OnRequestReply(id, {.data = Json{{"fill", std::string(10'000, 'x')}}.dump(),
                                         .error_code = "",
                                         .error_message = ""});
    Quiet();
  }
  EXPECT_THAT(client->messages, SizeIs(50));
}

TEST_F(SessionTest, TokensOfTheRateComeBackWithTime) {
  Configure([](v1::WorkerService* service) {
    service->mutable_limits()->set_message_rate_limit(100);
    service->mutable_limits()->set_message_rate_burst(1);
  });
  PairClient* const client = Welcomed();
  client->SayJson(Json{{"type", "ping"}});
  bool later = false;
  loop_.RunAfter(absl::Milliseconds(25), [&] { later = true; });
  EXPECT_TRUE(RunUntil([&] { return later; }));
  client->SayJson(Json{{"type", "ping"}});
  Quiet();
  EXPECT_THAT(client->Errors(), IsEmpty());
}

// ------------------------------------------------------------------------------- the end

TEST_F(SessionTest, AnOperatorClosesWithHisCodeAndReason) {
  PairClient* const client = Subscribed("a");
  SessionOf(client)->Disconnect(4500, "disconnected by operator");
  Publish("a");
  EXPECT_EQ(client->close_code, 4500);
  EXPECT_EQ(client->close_reason, "disconnected by operator");
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(counts().matched, 0);
}

TEST_F(SessionTest, AGapClosesWith4003) {
  PairClient* const client = Subscribed("a");
  SessionOf(client)->CloseForGap();
  Quiet();
  EXPECT_EQ(client->close_code, 4003);
}

TEST_F(SessionTest, AGoodbyeComesAfterTheNoticeAndOnlyOnce) {
  PairClient* const client = Welcomed();
  Session* const session = SessionOf(client);
  session->SayGoodbye(DrainingText(absl::Milliseconds(1), absl::Seconds(1), "deploy", absl::Now()),
                      CloseCode::kServiceRestart, "deploy");
  session->SayGoodbye("never sent", CloseCode::kServiceRestart, "again");
  Quiet();
  ASSERT_THAT(client->messages, SizeIs(1));
  EXPECT_EQ(client->messages[0]["event"], "server.draining");
  EXPECT_EQ(client->close_code, 1012);
  EXPECT_EQ(client->close_reason, "deploy");
}

TEST_F(SessionTest, WhoHasNotAuthenticatedIsSentAwayWithoutTheNotice) {
  UseKeys();
  PairClient* const client = Connect(AuthRequired());
  SessionOf(client)->SayGoodbye("{}", CloseCode::kServiceRestart, "deploy");
  Quiet();
  EXPECT_THAT(client->messages, IsEmpty());
  EXPECT_EQ(client->close_code, 1012);
}

TEST_F(SessionTest, OperatorsSeeWhatASessionIs) {
  const std::string agent = "Python/3.11 websockets/10.4";
  SessionStart start = Alice();
  static UserAgents agents;  // outlives the session
  start.user_agent = agents.Keep(agent);
  PairClient* const client = Welcomed(std::move(start));
  UseKeys();
  SubscribeTo(client, "workflow:1");
  SubscribeTo(client, "workflow:*");
  Publish("workflow:1");
  const SessionInfo info = SessionOf(client)->Describe();
  EXPECT_EQ(info.id, client->id);
  EXPECT_EQ(info.user, "alice");
  EXPECT_EQ(info.address, "[::1]:50000");
  EXPECT_THAT(info.channels, ElementsAre("workflow:1", "workflow:*"));
  EXPECT_EQ(info.channel_count, 2);
  EXPECT_EQ(info.delivered, 1);
  EXPECT_EQ(info.dropped, 0);
  EXPECT_EQ(info.received, 2);
  EXPECT_EQ(info.connected_at, clock_.WallNow());
  EXPECT_EQ(info.user_agent, agent);
  EXPECT_TRUE(SessionOf(client)->SubscribesTo("workflow:*"));
  EXPECT_FALSE(SessionOf(client)->SubscribesTo("workflow:2"));
}

}  // namespace
}  // namespace fanwire::fanout
