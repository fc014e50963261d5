// Ports that come, stay, change and go with the configuration.
#include "fanout/service_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fanout/listening_process.h"
#include "tests/fanout/ports_fixture.h"
#include "tests/testing/failing_accept.h"
#include "tests/testing/status.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class ServicePortsTest : public PortsFixture {
 protected:
  // Listens without SO_REUSEPORT, as another program does.
  class Occupied {
   public:
    Occupied() {
      fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof(address);
      EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
      EXPECT_EQ(::listen(fd_, 1), 0);
      EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
      port = ntohs(address.sin_port);
    }
    ~Occupied() { ::close(fd_); }
    uint16_t port = 0;

   private:
    int fd_ = -1;
  };

  static std::vector<std::string> Names(const std::vector<Service*>& services) {
    std::vector<std::string> names;
    for (const Service* const service : services) names.push_back(service->name());
    return names;
  }
};

// ------------------------------------------------------------------------------- opening

TEST_F(ServicePortsTest, WithoutAConfigurationNothingListens) {
  EXPECT_FALSE(ports_->listening());
  EXPECT_THAT(ports_->services(), IsEmpty());
  EXPECT_EQ(ports_->Find("mahavishnu"), nullptr);
}

TEST_F(ServicePortsTest, ThePortThatTheKernelChoseIsTold) {
  ASSERT_OK(Apply(Config()));
  ASSERT_THAT(ports(), SizeIs(1));
  EXPECT_NE(ports()[0], 0);
  EXPECT_EQ(ack_.listeners(0).service(), "mahavishnu");
  EXPECT_EQ(ack_.listeners(0).configured_port(), 0u);
  EXPECT_TRUE(ports_->listening());
  EXPECT_TRUE(Listens(ports()[0]));
}

TEST_F(ServicePortsTest, AClientOfAPortIsASessionOfItsService) {
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"));
  ASSERT_OK(Apply(config));
  EXPECT_THAT(Names(ports_->services()), ElementsAre("akosha", "mahavishnu"));
  const PairClient* const client = Connect(ports()[1]);
  ASSERT_NE(client->session, nullptr);
  EXPECT_EQ(client->session->service(), service("akosha"));
  EXPECT_THAT(service("akosha")->sessions(), SizeIs(1));
  EXPECT_THAT(service("mahavishnu")->sessions(), IsEmpty());
  EXPECT_EQ(ports_->connections(), 1u);
}

TEST_F(ServicePortsTest, APortThatAnotherProgramHasRefusesTheWholeConfiguration) {
  const Occupied occupied;
  v1::WorkerConfig config = Config();
  v1::WorkerService* const second = AddService(&config, "akosha");
  AddListener(second);
  AddListener(second, occupied.port);
  const absl::Status status = Apply(config);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists,
                               AllOf(HasSubstr("service \"akosha\""),
                                     HasSubstr(absl::StrCat("127.0.0.1:", occupied.port)))));
  EXPECT_THAT(ack_.listeners(), IsEmpty());
  EXPECT_THAT(ports_->services(), IsEmpty());
  EXPECT_FALSE(ports_->listening());
}

TEST_F(ServicePortsTest, ARefusedConfigurationLeavesTheFormerOneInForce) {
  ASSERT_OK(Apply(Config()));
  const uint16_t port = ports()[0];
  const PairClient* const client = Connect(port);
  const Occupied occupied;
  v1::WorkerConfig worse = Config();
  worse.mutable_services(0)->set_server_name("other");
  AddListener(worse.mutable_services(0), occupied.port);
  EXPECT_FALSE(Apply(worse).ok());
  EXPECT_EQ(service()->settings().server_name, "mahavishnu");
  EXPECT_TRUE(ports_->listening());
  EXPECT_TRUE(Listens(port));
  EXPECT_TRUE(client->session->open());
}

TEST_F(ServicePortsTest, AtAStartTheOtherPortsOpenAndTheBusyOneIsTold) {
  const Occupied occupied;
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"), occupied.port);
  AddListener(AddService(&config, "dhruva"));
  ASSERT_OK(Apply(config, ServicePorts::Opening::kPossible));
  ASSERT_THAT(ports(), SizeIs(3));
  EXPECT_TRUE(Listens(ports()[0]));
  EXPECT_TRUE(Listens(ports()[2]));
  const v1::BoundListener& busy = ack_.listeners(1);
  EXPECT_EQ(busy.service(), "akosha");
  EXPECT_EQ(busy.host(), "127.0.0.1");
  EXPECT_EQ(busy.configured_port(), occupied.port);
  EXPECT_EQ(busy.port(), 0u);
  EXPECT_THAT(busy.error(), HasSubstr("Address already in use"));
  EXPECT_EQ(ack_.listeners(0).error(), "");
  EXPECT_TRUE(ports_->failed());
  EXPECT_FALSE(ports_->listening());
  EXPECT_EQ(ports_->Failure(service("akosha")), busy.error());
  EXPECT_EQ(ports_->Failure(service("dhruva")), "");
}

TEST_F(ServicePortsTest, ABusyPortOpensOnceItIsFree) {
  auto occupied = std::make_unique<Occupied>();
  const uint16_t port = occupied->port;
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"), port);
  ASSERT_OK(Apply(config, ServicePorts::Opening::kPossible));
  EXPECT_FALSE(ports_->RetryFailed());  // nothing is different
  ports_->Sweep();
  occupied = nullptr;
  EXPECT_TRUE(ports_->RetryFailed());
  EXPECT_FALSE(ports_->failed());
  EXPECT_TRUE(ports_->listening());
  EXPECT_FALSE(ports_->RetryFailed());
  EXPECT_EQ(Connect(port)->session->service(), service("akosha"));
}

TEST_F(ServicePortsTest, AReloadTriesAgainWhatFailedBeforeAndIsNotRefusedForIt) {
  auto occupied = std::make_unique<Occupied>();
  const uint16_t port = occupied->port;
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"), port);
  ASSERT_OK(Apply(config, ServicePorts::Opening::kPossible));
  config.mutable_services(0)->set_server_name("other");
  ASSERT_OK(Apply(config));
  EXPECT_EQ(service()->settings().server_name, "other");
  EXPECT_NE(ack_.listeners(1).error(), "");
  occupied = nullptr;
  ASSERT_OK(Apply(config));
  EXPECT_EQ(ack_.listeners(1).error(), "");
  EXPECT_EQ(ack_.listeners(1).port(), port);
  EXPECT_TRUE(Listens(port));
}

TEST_F(ServicePortsTest, AReloadWithANewBusyPortIsRefusedWholeAlsoWhereAnotherFailedBefore) {
  const Occupied before, now;
  v1::WorkerConfig config = Config();
  v1::WorkerService* const akosha = AddService(&config, "akosha");
  AddListener(akosha, before.port);
  ASSERT_OK(Apply(config, ServicePorts::Opening::kPossible));
  v1::WorkerConfig worse = config;
  AddListener(worse.mutable_services(1), now.port);
  EXPECT_THAT(Apply(worse), StatusIs(absl::StatusCode::kAlreadyExists,
                                     HasSubstr(absl::StrCat("127.0.0.1:", now.port))));
  ack_.Clear();
  ports_->Describe(&ack_);
  ASSERT_EQ(ack_.listeners_size(), 2);
  EXPECT_EQ(ack_.listeners(1).configured_port(), before.port);
}

TEST_F(ServicePortsTest, AClosedPortIsNotTriedAgain) {
  auto occupied = std::make_unique<Occupied>();
  const uint16_t port = occupied->port;
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"), port);
  ASSERT_OK(Apply(config, ServicePorts::Opening::kPossible));
  ports_->CloseListeners();
  occupied = nullptr;
  EXPECT_FALSE(ports_->RetryFailed());
  EXPECT_FALSE(Listens(port));
}

TEST_F(ServicePortsTest, APortThatAnotherInstanceSharesIsRefusedWithItsProcess) {
  const ListeningProcess other("127.0.0.1");
  v1::WorkerConfig config = Config();
  config.mutable_services(0)->mutable_listeners(0)->set_port(other.port());
  EXPECT_THAT(Apply(config), StatusIs(absl::StatusCode::kAlreadyExists,
                                      AllOf(HasSubstr(absl::StrCat("process ", other.pid())),
                                            HasSubstr(absl::StrCat(":", other.port())))));
  ports_->SetSharing([&](pid_t pid) { return pid == other.pid(); });
  EXPECT_OK(Apply(config));
}

TEST_F(ServicePortsTest, AnAddressThatIsNoneIsNamed) {
  v1::WorkerConfig config = Config();
  config.mutable_services(0)->mutable_listeners(0)->set_host("nowhere");
  EXPECT_THAT(Apply(config), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nowhere")));
}

TEST_F(ServicePortsTest, SeveralWorkersShareAPort) {
  ASSERT_OK(Apply(Config()));
  v1::WorkerConfig same = Config();
  same.mutable_services(0)->mutable_listeners(0)->set_port(ports()[0]);
  ServicePorts other(&context_, &sockets_, [this] { return health_; });
  v1::ConfigAck ack;
  ASSERT_OK(other.Apply(same, ServicePorts::Opening::kAllOrNone, &ack));
  ASSERT_EQ(ack.listeners_size(), 1);
  EXPECT_EQ(ack.listeners(0).port(), ports()[0]);
  // The kernel spreads clients over both.
  other.Find("mahavishnu")->slots().Grant(1000);
  for (int i = 0; i < 40; ++i) Connect(ports()[0]);
  const size_t here = service()->sessions().size();
  const size_t there = other.Find("mahavishnu")->sessions().size();
  EXPECT_EQ(here + there, 40u);
  EXPECT_GT(here, 0u);
  EXPECT_GT(there, 0u);
}

// ------------------------------------------------------------------------------- changing

TEST_F(ServicePortsTest, APortThatStaysKeepsItsClientsAndAddressAtAReload) {
  ASSERT_OK(Apply(Config()));
  const uint16_t port = ports()[0];
  const PairClient* const client = Connect(port);
  v1::WorkerConfig next = Config();
  next.mutable_services(0)->set_server_name("renamed");
  ASSERT_OK(Apply(next));
  EXPECT_THAT(ports(), ElementsAre(port));
  EXPECT_TRUE(client->session->open());
  EXPECT_EQ(client->session->service(), service());
  EXPECT_EQ(service()->settings().server_name, "renamed");
}

TEST_F(ServicePortsTest, TwoPortsThatTheKernelChoseBothStayAtAReload) {
  v1::WorkerConfig config = Config();
  AddListener(config.mutable_services(0))->set_dialect(v1::DIALECT_SESSION_BUDDY);
  ASSERT_OK(Apply(config));
  const std::vector<uint16_t> before = ports();
  ASSERT_THAT(before, SizeIs(2));
  ASSERT_OK(Apply(config));
  EXPECT_EQ(ports(), before);
  EXPECT_TRUE(ports_->listening());
  for (const uint16_t port : before) EXPECT_TRUE(Listens(port));
}

TEST_F(ServicePortsTest, APortMoreOpensBesideTheOthers) {
  ASSERT_OK(Apply(Config()));
  const std::vector<uint16_t> before = ports();
  v1::WorkerConfig next = Config();
  AddListener(AddService(&next, "akosha"));
  ASSERT_OK(Apply(next));
  ASSERT_THAT(ports(), SizeIs(2));
  EXPECT_EQ(ports()[0], before[0]);
  EXPECT_TRUE(Listens(ports()[1]));
}

TEST_F(ServicePortsTest, APortThatGoesAcceptsNobodyAndItsClientsStay) {
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"));
  ASSERT_OK(Apply(config));
  const uint16_t gone = ports()[1];
  PairClient* const client = Subscribed(gone, "a");
  ASSERT_OK(Apply(Config()));
  EXPECT_THAT(ports(), SizeIs(1));
  EXPECT_FALSE(Listens(gone));
  EXPECT_TRUE(ports_->listening());
  ports_->Sweep();
  client->SayJson({{"type", "ping"}});
  ASSERT_TRUE(RunUntil([&] { return !client->messages.empty(); }));
  EXPECT_EQ(client->Next()["type"], "pong");
  // When the last one has gone the rest goes as well; what was counted stays.
  const uint64_t received = ports_->Counters(service("akosha")).messages_received;
  EXPECT_EQ(received, 2u);
  client->Close();
  ASSERT_TRUE(RunUntil([&] { return ports_->connections() == 0; }));
  ports_->Sweep();
  EXPECT_EQ(ports_->Counters(service("akosha")).messages_received, received);
  EXPECT_EQ(ports_->Counters(service("akosha")).lost, 1u);
}

TEST_F(ServicePortsTest, APortThatGoesUnderAFloodIsClosedInTwoSeconds) {
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"));
  ASSERT_OK(Apply(config));
  const uint16_t gone = ports()[1];
  const FailingAccept always(ECONNABORTED);  // the port never finds its backlog empty
  const absl::Duration began = loop_.Now();
  ASSERT_OK(Apply(Config()));
  EXPECT_TRUE(Listens(gone));
  EXPECT_TRUE(ports_->draining_listeners());
  ASSERT_TRUE(RunUntil([&] { return !ports_->draining_listeners(); }));
  EXPECT_LT(loop_.Now() - began, absl::Seconds(4));
  EXPECT_FALSE(Listens(gone));
  EXPECT_TRUE(ports_->listening());
}

TEST_F(ServicePortsTest, APortThatCameBackServesAgain) {
  v1::WorkerConfig config = Config();
  ASSERT_OK(Apply(config));
  config.mutable_services(0)->mutable_listeners(0)->set_port(ports()[0]);
  const uint16_t port = ports()[0];
  v1::WorkerConfig without = config;
  without.mutable_services(0)->clear_listeners();
  ASSERT_OK(Apply(without));
  EXPECT_FALSE(ports_->listening());
  EXPECT_FALSE(Listens(port));
  ASSERT_OK(Apply(config));
  EXPECT_THAT(ports(), ElementsAre(port));
  EXPECT_NE(Connect(port)->session, nullptr);
}

TEST_F(ServicePortsTest, OtherTimeoutsHoldForThoseWhoComeLater) {
  ASSERT_OK(Apply(Config()));
  PairClient* const before = Connect(ports()[0]);
  v1::WorkerConfig next = Config();
  next.mutable_services(0)->mutable_limits()->set_max_message_bytes(1000);
  ASSERT_OK(Apply(next));
  PairClient* const after = Connect(ports()[0]);
  const Json large = {{"type", "ping"}, {"id", std::string(2000, 'i')}};
  before->SayJson(large);
  after->SayJson(large);
  ASSERT_TRUE(RunUntil([&] { return !before->messages.empty() && after->close_code.has_value(); }));
  EXPECT_EQ(before->Next()["type"], "pong");
  EXPECT_EQ(after->close_code, 1009);
  ports_->Sweep();
  EXPECT_TRUE(before->session->open());
}

TEST_F(ServicePortsTest, ADialectBelongsToThePort) {
  v1::WorkerConfig config = Config();
  AddListener(config.mutable_services(0))->set_dialect(v1::DIALECT_SESSION_BUDDY);
  ASSERT_OK(Apply(config));
  EXPECT_NE(Connect(ports()[0])->session, nullptr);
  PairClient* const buddy = Connect(ports()[1]);
  EXPECT_EQ(buddy->Next()["type"], "connected");
}

TEST_F(ServicePortsTest, ClosedListenersAcceptNobodyButWhoIsThereStays) {
  ASSERT_OK(Apply(Config()));
  const PairClient* const client = Connect(ports()[0]);
  ports_->CloseListeners();
  EXPECT_FALSE(ports_->listening());
  EXPECT_FALSE(Listens(ports()[0]));
  ports_->Sweep();
  EXPECT_TRUE(client->session->open());
}

TEST_F(ServicePortsTest, WhatAClosedPortAcceptedStaysCounted) {
  ASSERT_OK(Apply(Config()));
  Connect(ports()[0]);
  Connect(ports()[0]);
  EXPECT_EQ(ports_->Listened().accepted, 2u);
  v1::WorkerConfig next = Config();
  next.mutable_services(0)->clear_listeners();
  ASSERT_OK(Apply(next));
  EXPECT_EQ(ports_->Listened().accepted, 2u);
  ASSERT_OK(Apply(Config()));
  Connect(ports()[0]);
  ports_->CloseListeners();
  EXPECT_EQ(ports_->Listened().accepted, 3u);
}

// ------------------------------------------------------------------------------- who comes in

TEST_F(ServicePortsTest, ATokenInHeaderOrQueryIsLookedAtWhereThatIsAllowed) {
  v1::WorkerConfig config = Config();
  v1::WorkerService* const service = config.mutable_services(0);
  service->set_token_in_header(true);
  service->set_token_in_query(true);
  service->mutable_listeners(0)->set_auth_required(true);
  v1::Key* const key = service->add_keys();
  key->set_algorithm("HS256");
  key->set_secret(std::string(32, 'k'));
  ASSERT_OK(Apply(config));
  // Neither is good: each is refused before the welcome.
  for (const auto& [target, header] : std::vector<std::pair<std::string, std::string>>{
           {"/", "Authorization: Bearer nonsense\r\n"}, {"/?token=nonsense", ""}}) {
    PairClient* const client = Connect(ports()[0], target, header);
    EXPECT_THAT(client->Errors(), ElementsAre("AUTH_FAILED"));
    ASSERT_TRUE(RunUntil([&] { return client->close_code.has_value(); }));
    EXPECT_EQ(client->close_code, 1008);
  }
}

TEST_F(ServicePortsTest, WhereTokensAreNotLookedForTheyChangeNothing) {
  ASSERT_OK(Apply(Config()));
  EXPECT_NE(Connect(ports()[0], "/?token=nonsense", "Authorization: Bearer nonsense\r\n")->session,
            nullptr);
}

TEST_F(ServicePortsTest, AUserAgentIsRememberedUpToItsLimit) {
  ASSERT_OK(Apply(Config()));
  const PairClient* const brief = Connect(ports()[0], "/", "User-Agent: python/3.13\r\n");
  const PairClient* const same = Connect(ports()[0], "/", "User-Agent: python/3.13\r\n");
  const PairClient* const lengthy =
      Connect(ports()[0], "/", absl::StrCat("User-Agent: ", std::string(500, 'x'), "\r\n"));
  const PairClient* const none = Connect(ports()[0]);
  EXPECT_EQ(brief->session->Describe().user_agent, "python/3.13");
  EXPECT_EQ(same->session->Describe().user_agent, "python/3.13");
  EXPECT_EQ(lengthy->session->Describe().user_agent, std::string(200, 'x'));
  EXPECT_EQ(none->session->Describe().user_agent, "");
}

TEST_F(ServicePortsTest, AUserAgentIsUtf8WhateverTheHeaderIs) {
  ASSERT_OK(Apply(Config()));
  const PairClient* const latin = Connect(ports()[0], "/", "User-Agent: caf\xe9\r\n");
  EXPECT_EQ(latin->session->Describe().user_agent, "caf\xef\xbf\xbd");
  const std::string before(199, 'x');
  const PairClient* const cut =
      Connect(ports()[0], "/", absl::StrCat("User-Agent: ", before, "\xc3\xa9\r\n"));
  EXPECT_EQ(cut->session->Describe().user_agent, before);
}

TEST_F(ServicePortsTest, HoweverManyUserAgentsThereWereNewOnesAreShown) {
  ASSERT_OK(Apply(Config()));
  for (int i = 0; i < 1001; ++i) {
    PairClient* const client =
        Connect(ports()[0], "/", absl::StrCat("User-Agent: agent-", i, "\r\n"));
    ASSERT_EQ(client->session->Describe().user_agent, absl::StrCat("agent-", i));
    client->Close();
    clients_.clear();
    ASSERT_TRUE(RunUntil([&] { return ports_->connections() == 0; }));
  }
}

// ------------------------------------------------------------------------------- descriptors

TEST_F(ServicePortsTest, ConnectionsBeyondTheLimitOfFilesAreRefusedWithItsReason) {
  ports_ = std::make_unique<ServicePorts>(
      &context_, &sockets_, [this] { return health_; }, /*max_connections=*/2);
  v1::WorkerConfig config = Config();
  AddListener(AddService(&config, "akosha"));
  ASSERT_OK(Apply(config));
  Connect(ports()[0]);
  PairClient* const second = Connect(ports()[1]);
  // The limit is that of the process, whatever the port.
  for (const uint16_t port : ports()) {
    const std::string answer = Answer(port, WsClient::UpgradeRequest());
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
    EXPECT_THAT(answer, HasSubstr("limit of open files"));
  }
  EXPECT_EQ(ports_->Listened().refused_cap, 2u);
  second->Close();
  ASSERT_TRUE(RunUntil([&] { return ports_->connections() == 1; }));
  EXPECT_NE(Connect(ports()[0])->session, nullptr);
}

// ------------------------------------------------------------------------------- origins

TEST_F(ServicePortsTest, APageOfAnotherMachineIsRefusedInEveryDialect) {
  v1::WorkerConfig config = Config();
  AddListener(config.mutable_services(0))->set_dialect(v1::DIALECT_SESSION_BUDDY);
  ASSERT_OK(Apply(config));
  for (const uint16_t port : ports()) {
    const std::string answer =
        Answer(port, WsClient::UpgradeRequest("/", "Origin: https://evil.example\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 Forbidden\r\n"));
    EXPECT_THAT(answer, AllOf(HasSubstr("services[].listeners[].allowed_origins"),
                              HasSubstr("auth.allowed_origins")));
    const size_t sessions = service()->sessions().size();
    Connect(port, "/", "Origin: http://localhost:3000\r\n");
    EXPECT_THAT(service()->sessions(), SizeIs(sessions + 1));
    // Health is answered as before.
    EXPECT_THAT(Answer(port,
                       "GET /health HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\n"
                       "\r\n"),
                StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(service()->counts().errors[static_cast<size_t>(CountedError::kOriginRefused)], 2);
}

TEST_F(ServicePortsTest, AllowedOriginsChangeWithTheConfiguration) {
  v1::WorkerConfig config = Config();
  const std::string page = "Origin: https://dash.example.com\r\n";
  ASSERT_OK(Apply(config));
  EXPECT_THAT(Answer(ports()[0], WsClient::UpgradeRequest("/", page)), StartsWith("HTTP/1.1 403"));
  config.mutable_services(0)->mutable_listeners(0)->add_allowed_origins("https://dash.example.com");
  ASSERT_OK(Apply(config));
  const PairClient* const client = Connect(ports()[0], "/", page);
  ASSERT_NE(client->session, nullptr);
  // Who is connected stays.
  config.mutable_services(0)->mutable_listeners(0)->clear_allowed_origins();
  ASSERT_OK(Apply(config));
  EXPECT_THAT(Answer(ports()[0], WsClient::UpgradeRequest("/", page)), StartsWith("HTTP/1.1 403"));
  EXPECT_TRUE(client->session->open());
}

// ------------------------------------------------------------------------------- plain HTTP

TEST_F(ServicePortsTest, HealthTellsOfTheServiceAndOfControl) {
  ASSERT_OK(Apply(Config()));
  Connect(ports()[0]);
  for (const char* target : {"/health", "/healthz"}) {
    const std::string answer = Http(ports()[0], target);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
    const Json body = Json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
    EXPECT_EQ(body["status"], "healthy");
    EXPECT_EQ(body["server"], "mahavishnu");
    EXPECT_EQ(body["worker"], "worker-7");
    EXPECT_EQ(body["checks"]["control"], "passing");
    EXPECT_EQ(body["metrics"]["active_connections"], 1);
    EXPECT_EQ(body["metrics"]["uptime_seconds"], 90);
  }
  health_.control = false;
  EXPECT_THAT(Http(ports()[0], "/health"), HasSubstr("\"control\":\"failing\""));
}

TEST_F(ServicePortsTest, ReadinessIsAStatus) {
  ASSERT_OK(Apply(Config()));
  EXPECT_THAT(Http(ports()[0], "/readyz"), StartsWith("HTTP/1.1 200"));
  health_.ready = false;
  EXPECT_THAT(Http(ports()[0], "/readyz"), StartsWith("HTTP/1.1 503"));
}

TEST_F(ServicePortsTest, TheLimitsOfAHeadAreThoseOfTheConfiguration) {
  v1::WorkerConfig config = Config();
  ASSERT_OK(Apply(config));
  // Cookies of this host's other servers come along.
  const std::string cookie = absl::StrCat("Cookie: ", std::string(20000, 'x'), "\r\n");
  EXPECT_NE(Connect(ports()[0], "/", cookie)->session, nullptr);
  config.mutable_services(0)->mutable_limits()->set_max_head_bytes(10000);
  ASSERT_OK(Apply(config));
  EXPECT_THAT(Answer(ports()[0], WsClient::UpgradeRequest("/", cookie)),
              AllOf(StartsWith("HTTP/1.1 431"), HasSubstr("limits.max_head_bytes")));
}

TEST_F(ServicePortsTest, OtherPlainRequestsAreToldToUpgrade) {
  ASSERT_OK(Apply(Config()));
  EXPECT_THAT(Http(ports()[0], "/anything"), StartsWith("HTTP/1.1 426"));
  EXPECT_THAT(Http(ports()[0], "/health", "POST"), StartsWith("HTTP/1.1 405"));
  const std::string head = Http(ports()[0], "/health", "HEAD");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(head, Not(HasSubstr("healthy")));
}

}  // namespace
}  // namespace fanwire::fanout
