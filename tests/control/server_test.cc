#include "control/server.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/rpc_status.h"
#include "fanwire/v1/admin.grpc.pb.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "fanwire/v1/worker.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_engine.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Of control: workers need not send heartbeats.
constexpr char kQuietWorkers[] = "  heartbeat_interval: 20s\n";

constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

// A TCP port of this machine, held until this is destroyed.
class HeldPort {
 public:
  HeldPort() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~HeldPort() { close(fd_); }

  uint16_t port() const { return port_; }

 private:
  const int fd_;
  uint16_t port_ = 0;
};

// A free port; somebody else may take it before it is used, which no other test does.
uint16_t FreePort() { return HeldPort().port(); }

// The answer to a GET.
std::string HttpGet(uint16_t port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request =
        absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    char buffer[4096];
    for (ssize_t got = 0; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(got));
    }
  }
  close(fd);
  return answer;
}

// Makes a channel share no connection with others of its address.
grpc::ChannelArguments OwnConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return arguments;
}

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    char folder[] = "/tmp/fanwire-server-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
  }
  ~ServerTest() override {
    server_ = nullptr;
    SetLogLevel(LogLevel::kInfo);
    std::filesystem::remove_all(folder_);
  }

  std::string socket() const { return folder_ + "/run/control.sock"; }
  std::string file() const { return folder_ + "/fanwire.yaml"; }

  // `control` and `more` are lines of YAML; `control` of that section.  No local worker can start.
  void WriteConfig(const std::string& control = "", const std::string& more = "",
                   const std::string& services = "{name: a, port: 18690}", int workers = 0) {
    std::ofstream(file())
        << "workers: '" << workers << "'\nlog: {level: error}\ncontrol:\n  socket: " << socket()
        << "\n"
        << (control.find("grpc_listen") == std::string::npos ? "  grpc_listen: 127.0.0.1:0\n" : "")
        << (control.find("ops_listen") == std::string::npos ? "  ops_listen: 127.0.0.1:0\n" : "")
        << (control.find("shutdown_timeout") == std::string::npos ? "  shutdown_timeout: 2s\n" : "")
        << control << "services: [" << services << "]\n"
        << more;
  }
  absl::StatusOr<std::unique_ptr<Server>> TryStart() {
    ServerOptions options;
    options.config_file = file();
    options.worker_program = "/nonexistent";
    options.make_engine = make_engine_;
    const auto text = ReadConfigFile(file());
    if (!text.ok()) return text.status();
    LoadedConfig config = LoadConfig(*text, file(), {});
    EXPECT_THAT(config.errors, IsEmpty());
    return Server::Start(options, std::move(config));
  }
  void Start() {
    auto server = TryStart();
    ASSERT_OK(server);
    server_ = *std::move(server);
    channel_ =
        grpc::CreateChannel(absl::StrCat("unix:", socket()), grpc::InsecureChannelCredentials());
    admin_ = v1::Admin::NewStub(channel_);
    publisher_ = v1::Publisher::NewStub(channel_);
    workers_ = v1::Workers::NewStub(channel_);
  }

  // The next control keeps publications only when the test says so, or when it closes the engine.
  FakeEngine* UseSlowEngine() {
    auto engine = std::make_unique<FakeEngine>();
    engine->Delay({.appends = true});
    FakeEngine* const slow = engine.get();
    engine_ = std::move(engine);
    make_engine_ = [this] { return std::move(engine_); };
    return slow;
  }

  static void SetDeadline(grpc::ClientContext* context) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    context->set_wait_for_ready(true);
  }
  absl::StatusOr<v1::ReloadConfigResponse> Reload() {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::ReloadConfigResponse response;
    const grpc::Status status = admin_->ReloadConfig(&context, {}, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response;
  }
  std::string ConfigInForce() {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::GetConfigResponse response;
    EXPECT_TRUE(admin_->GetConfig(&context, {}, &response).ok());
    return response.yaml();
  }
  absl::Status Publish(const std::string& json = "{}", const std::string& service = "a") {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::PublishRequest request;
    request.mutable_event()->set_service(service);
    request.mutable_event()->set_channel("x");
    request.mutable_event()->set_event("e");
    request.mutable_event()->set_json(json);
    v1::PublishResponse response;
    return FromGrpcStatus(publisher_->Publish(&context, request, &response));
  }

  std::string folder_;
  std::unique_ptr<Engine> engine_;
  std::function<std::unique_ptr<Engine>()> make_engine_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Admin::Stub> admin_;
  std::unique_ptr<v1::Publisher::Stub> publisher_;
  std::unique_ptr<v1::Workers::Stub> workers_;
};

// A worker that attaches and acknowledges configurations when it is told to.
class FakeAttachment {
 public:
  explicit FakeAttachment(v1::Workers::Stub* stub, const std::string& id = "worker-0") {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    stream_ = stub->Attach(&context_);
    v1::WorkerMessage message;
    v1::Hello* const hello = message.add_items()->mutable_hello();
    hello->set_protocol_version(1);
    hello->set_worker_id(id);
    hello->set_incarnation(1);
    v1::InterestSnapshot* const snapshot = message.add_items()->mutable_interest_snapshot();
    snapshot->set_first(true);
    snapshot->set_last(true);
    snapshot->add_interests()->set_service("a");
    snapshot->mutable_interests(0)->set_channel("x");
    stream_->Write(message);
  }

  v1::WorkerConfig AwaitConfig(uint64_t version = 1) {
    v1::ControlMessage message;
    while (stream_->Read(&message)) {
      if (message.has_config() && message.config().version() >= version) return message.config();
    }
    ADD_FAILURE() << "no configuration";
    return {};
  }
  void AwaitDelivery() {
    v1::ControlMessage message;
    while (stream_->Read(&message)) {
      for (const v1::BatchItem& item : message.batch().items()) {
        if (item.has_deliver()) return;
      }
    }
    ADD_FAILURE() << "no delivery";
  }
  void Ack(const v1::WorkerConfig& config) {
    in_force_ = config.version();
    Answer(config, "");
  }
  void Refuse(const v1::WorkerConfig& config, const std::string& reason) { Answer(config, reason); }
  absl::Status ReadToEnd() {
    v1::ControlMessage message;
    while (stream_->Read(&message)) {
    }
    return FromGrpcStatus(stream_->Finish());
  }

 private:
  void Answer(const v1::WorkerConfig& config, const std::string& error) {
    v1::WorkerMessage message;
    v1::ConfigAck* const ack = message.add_items()->mutable_config_ack();
    ack->set_nonce(config.nonce());
    ack->set_version(in_force_);
    ack->set_error(error);
    if (error.empty()) ack->add_listeners()->set_service("a");
    stream_->Write(message);
  }

  uint64_t in_force_ = 0;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::ControlMessage>> stream_;
};

// ------------------------------------------------------------------------------- starting

TEST_F(ServerTest, AStartedControlServesPublishersOperatorsAndProbes) {
  const uint16_t ops = FreePort(), grpc_port = FreePort();
  WriteConfig(absl::StrCat("  ops_listen: 127.0.0.1:", ops,
                           "\n  grpc_listen: 127.0.0.1:", grpc_port, "\n"));
  Start();
  EXPECT_OK(Publish());
  EXPECT_THAT(ConfigInForce(), HasSubstr("name: \"a\""));
  EXPECT_THAT(HttpGet(ops, "/healthz"), HasSubstr("200 OK"));
  EXPECT_THAT(HttpGet(ops, "/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("\"ready\":true"),
                                             HasSubstr("\"workers_attached\":0")));
  EXPECT_THAT(HttpGet(ops, "/metrics"), AllOf(HasSubstr("fanwire_control_publications_total"),
                                              HasSubstr("fanwire_config_last_reload_success 1")));
  // The same over TCP.
  const auto stub = v1::Publisher::NewStub(grpc::CreateChannel(
      absl::StrCat("127.0.0.1:", grpc_port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  SetDeadline(&context);
  v1::ValidateRequest request;
  v1::ValidateResponse response;
  request.mutable_event()->set_service("a");
  request.mutable_event()->set_channel("x");
  request.mutable_event()->set_event("e");
  EXPECT_TRUE(stub->Validate(&context, request, &response).ok());
}

TEST_F(ServerTest, TheSocketAndItsFolderAreForItsUserAlone) {
  WriteConfig();
  Start();
  struct stat info = {};
  ASSERT_EQ(stat(socket().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  ASSERT_EQ(stat((folder_ + "/run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(ServerTest, ASecondControlOnTheSameSocketIsRefusedAndTheFirstGoesOn) {
  WriteConfig();
  Start();
  EXPECT_THAT(TryStart(), StatusIs(kPrecondition, HasSubstr("another control runs here")));
  EXPECT_OK(Publish());
}

TEST_F(ServerTest, AfterAStopTheNextControlTakesTheSocket) {
  WriteConfig();
  Start();
  server_->Stop();
  server_ = nullptr;
  Start();
  EXPECT_OK(Publish());
}

TEST_F(ServerTest, AnAddressThatIsTakenIsNamedAndEverythingIsLetGo) {
  HeldPort taken;
  WriteConfig(absl::StrCat("  grpc_listen: 127.0.0.1:", taken.port(), "\n"));
  EXPECT_THAT(TryStart(), StatusIs(kPrecondition, AllOf(HasSubstr("control.grpc_listen"),
                                                        HasSubstr(absl::StrCat(taken.port())))));
  WriteConfig(absl::StrCat("  ops_listen: 127.0.0.1:", taken.port(), "\n"));
  EXPECT_THAT(TryStart(), StatusIs(kPrecondition, AllOf(HasSubstr("control.ops_listen"),
                                                        HasSubstr(absl::StrCat(taken.port())))));
  WriteConfig();
  Start();
  EXPECT_OK(Publish());
}

TEST_F(ServerTest, ASocketWhoseFolderCannotBeMadeStopsTheStart) {
  WriteConfig();
  std::ofstream(folder_ + "/run") << "a file";
  EXPECT_THAT(TryStart(), StatusIs(kPrecondition, HasSubstr(folder_ + "/run")));
}

// Leaves a socket as a process that was killed does.
void AbandonSocket(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  close(fd);
}

TEST_F(ServerTest, ASocketThatACrashLeftBehindIsNoHindrance) {
  WriteConfig();
  mkdir((folder_ + "/run").c_str(), 0700);
  AbandonSocket(socket());
  Start();
  EXPECT_OK(Publish());
}

TEST_F(ServerTest, WhatIsSwitchedOffDoesNotListen) {
  WriteConfig("  grpc_listen: off\n  ops_listen: off\n");
  Start();
  EXPECT_OK(Publish());  // over the socket
}

TEST_F(ServerTest, ASocketWhoseFileWasDeletedIsMadeAgain) {
  WriteConfig();
  Start();
  std::filesystem::remove_all(folder_ + "/run");
  ASSERT_TRUE(WaitFor([&] { return std::filesystem::is_socket(socket()); }));
  // Over a connection of its own.
  channel_ = grpc::CreateCustomChannel(absl::StrCat("unix:", socket()),
                                       grpc::InsecureChannelCredentials(), OwnConnection());
  publisher_ = v1::Publisher::NewStub(channel_);
  EXPECT_OK(Publish());
  server_->Stop();
  EXPECT_FALSE(std::filesystem::exists(socket()));
}

// ------------------------------------------------------------------------------- reloading

TEST_F(ServerTest, AReloadPutsInForceWhatCanChangeAndNamesWhatCannot) {
  WriteConfig();
  Start();
  EXPECT_OK(Publish(R"({"a":"0123456789"})"));
  WriteConfig("  idempotency_window: 5m\n  max_receipt_wait: 9s\n  heartbeat_interval: 2s\n",
              "limits: {max_event_bytes: 10}\nengine: {max_history_bytes: 1MiB}\n");
  const auto response = Reload();
  ASSERT_OK(response);
  EXPECT_EQ(response->version(), 2u);
  EXPECT_THAT(response->applied(), Contains("limits.max_event_bytes"));
  EXPECT_THAT(
      std::vector<std::string>(response->needs_restart().begin(), response->needs_restart().end()),
      ::testing::UnorderedElementsAre("engine.max_history_bytes", "control.heartbeat_interval",
                                      "control.idempotency_window", "control.max_receipt_wait"));
  EXPECT_THAT(Publish(R"({"a":"0123456789"})"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 10 allowed")));
  // What is not in force is not shown either, and stays a difference.
  EXPECT_THAT(ConfigInForce(), HasSubstr("max_receipt_wait: 30s"));
  const auto again = Reload();
  ASSERT_OK(again);
  EXPECT_EQ(again->version(), 2u);
  EXPECT_THAT(again->applied(), IsEmpty());
  EXPECT_THAT(again->needs_restart(), SizeIs(4));
}

TEST_F(ServerTest, ABadFileChangesNothing) {
  WriteConfig();
  Start();
  const std::string before = ConfigInForce();
  WriteConfig("", "limits: {max_event_bytes: x}\n");
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kInvalidArgument,
                                 AllOf(HasSubstr(file()), HasSubstr("limits.max_event_bytes"))));
  server_->Reload();
  unlink(file().c_str());
  EXPECT_THAT(Reload(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(file())));
  EXPECT_EQ(ConfigInForce(), before);
  WriteConfig();
  EXPECT_OK(Reload());
}

TEST_F(ServerTest, AReloadAddsAndRemovesServices) {
  WriteConfig();
  Start();
  WriteConfig("", "", "{name: b, port: 18690}");
  const auto response = Reload();
  ASSERT_OK(response);
  EXPECT_THAT(response->applied(), ElementsAre("services[b]", "services[a]"));
  EXPECT_THAT(Publish(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"a\"")));
}

TEST_F(ServerTest, AReloadWaitsForItsWorkersAndTheNextOneForIt) {
  WriteConfig();
  Start();
  FakeAttachment worker(workers_.get());
  worker.Ack(worker.AwaitConfig());
  WriteConfig("", "limits: {max_batch: 7}\n");
  absl::StatusOr<v1::ReloadConfigResponse> response;
  std::thread first([&] { response = Reload(); });
  const v1::WorkerConfig config = worker.AwaitConfig(2);
  absl::StatusOr<v1::ReloadConfigResponse> next;
  std::thread second([&] { next = Reload(); });
  worker.Ack(config);
  first.join();
  second.join();
  ASSERT_OK(next);
  EXPECT_EQ(next->version(), 2u);
  ASSERT_OK(response);
  ASSERT_THAT(response->workers(), SizeIs(1));
  EXPECT_EQ(response->workers(0).version(), 2u);
  EXPECT_FALSE(response->workers(0).pending());
  EXPECT_OK(Reload());
}

TEST_F(ServerTest, WhatAWorkerRefusesIsTakenBackEverywhere) {
  WriteConfig(kQuietWorkers);
  Start();
  FakeAttachment bad(workers_.get()), good(workers_.get(), "worker-1");
  bad.Ack(bad.AwaitConfig());
  good.Ack(good.AwaitConfig());
  const std::string before = ConfigInForce();
  WriteConfig(kQuietWorkers, "limits: {max_event_bytes: 10}\n",
              "{name: a, port: 18691}, {name: b, port: 18692}");
  absl::StatusOr<v1::ReloadConfigResponse> response;
  std::thread reload([&] { response = Reload(); });
  good.Ack(good.AwaitConfig(2));
  const v1::WorkerConfig refused = bad.AwaitConfig(2);
  EXPECT_EQ(refused.services(0).listeners(0).port(), 18691u);
  // What was there is as it was until all have taken it; what is new can be used at once.
  const std::string json = R"({"a":"0123456789"})";
  EXPECT_OK(Publish(json));
  EXPECT_OK(Publish("{}", "b"));
  EXPECT_EQ(ConfigInForce(), before);
  bad.Refuse(refused, "port 18691: taken");
  for (FakeAttachment* const worker : {&bad, &good}) {
    const v1::WorkerConfig again = worker->AwaitConfig(3);
    ASSERT_THAT(again.services(), SizeIs(1));
    EXPECT_EQ(again.services(0).listeners(0).port(), 18690u);
    worker->Ack(again);
  }
  reload.join();
  EXPECT_THAT(response, StatusIs(kPrecondition,
                                 HasSubstr("refused by worker-0: port 18691: taken; the previous "
                                           "configuration stays in force, as version 3")));
  EXPECT_EQ(ConfigInForce(), before);
  EXPECT_OK(Publish(json));
  EXPECT_THAT(Publish("{}", "b"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"b\"")));
  // A worker that comes later gets what is in force.
  FakeAttachment later(workers_.get(), "worker-2");
  const v1::WorkerConfig config = later.AwaitConfig();
  EXPECT_EQ(config.version(), 3u);
  EXPECT_EQ(config.services(0).listeners(0).port(), 18690u);
}

TEST_F(ServerTest, AReloadThatIsTakenBackAndRefusedAgainSaysSo) {
  WriteConfig(kQuietWorkers);
  Start();
  FakeAttachment worker(workers_.get());
  worker.Ack(worker.AwaitConfig());
  WriteConfig(kQuietWorkers, "", "{name: a, port: 18691}");
  absl::StatusOr<v1::ReloadConfigResponse> response;
  std::thread reload([&] { response = Reload(); });
  worker.Refuse(worker.AwaitConfig(2), "one");
  worker.Refuse(worker.AwaitConfig(3), "other");
  reload.join();
  EXPECT_THAT(response, StatusIs(kPrecondition, HasSubstr("refused by worker-0: one; ")));
  EXPECT_THAT(response,
              StatusIs(kPrecondition, HasSubstr("3, which was refused by worker-0: other")));
  // The next one is tried all the same.
  WriteConfig(kQuietWorkers, "limits: {max_batch: 7}\n");
  std::thread next([&] { response = Reload(); });
  worker.Ack(worker.AwaitConfig(4));
  next.join();
  ASSERT_OK(response);
  EXPECT_EQ(response->version(), 4u);
}

TEST_F(ServerTest, ControlIsReadyWhenAWorkerServes) {
  const uint16_t ops = FreePort();
  WriteConfig(absl::StrCat(kQuietWorkers, "  ops_listen: 127.0.0.1:", ops, "\n"), "",
              "{name: a, port: 18690}", 1);
  Start();
  EXPECT_THAT(HttpGet(ops, "/readyz"),
              AllOf(HasSubstr("503 "), HasSubstr("\"workers_attached\":0")));
  FakeAttachment worker(workers_.get());
  const v1::WorkerConfig config = worker.AwaitConfig();
  worker.Refuse(config, "taken");
  EXPECT_THAT(HttpGet(ops, "/readyz"), AllOf(HasSubstr("503 "), HasSubstr("\"workers_attached\":1"),
                                             HasSubstr("\"workers_serving\":0")));
  worker.Ack(config);
  EXPECT_TRUE(WaitFor([&] { return absl::StrContains(HttpGet(ops, "/readyz"), "200 OK"); }));
  EXPECT_THAT(HttpGet(ops, "/readyz"), HasSubstr("\"workers_serving\":1"));
}

// ------------------------------------------------------------------------------- stopping

TEST_F(ServerTest, AStopEndsPublicationsThatTheEngineHolds) {
  FakeEngine* const engine = UseSlowEngine();
  WriteConfig(kQuietWorkers);
  Start();
  absl::Status published = absl::UnknownError("not ended");
  std::thread publishing([&] { published = Publish(); });
  EXPECT_TRUE(WaitFor([&] { return engine->waiting(FakeEngine::Kind::kAppend) == 1; }));
  server_->Stop();
  publishing.join();
  EXPECT_OK(published);
}

TEST_F(ServerTest, AStopWaitsUntilWhatTheEngineHoldsHasReachedTheWorkers) {
  FakeEngine* const engine = UseSlowEngine();
  WriteConfig(absl::StrCat(kQuietWorkers, "  shutdown_timeout: 60s\n"));
  Start();
  FakeAttachment worker(workers_.get());
  worker.Ack(worker.AwaitConfig());
  std::thread publishing([&] { EXPECT_OK(Publish()); });
  EXPECT_TRUE(WaitFor([&] { return engine->waiting(FakeEngine::Kind::kAppend) == 1; }));
  std::thread stopping([&] { server_->Stop(); });
  EXPECT_TRUE(WaitFor([&] {  // until it has begun
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::ValidateRequest request;
    request.mutable_event()->set_service("a");
    v1::ValidateResponse response;
    return absl::IsUnavailable(FromGrpcStatus(publisher_->Validate(&context, request, &response)));
  }));
  engine->Settle();
  worker.AwaitDelivery();
  publishing.join();
  EXPECT_THAT(worker.ReadToEnd(), StatusIs(absl::StatusCode::kUnavailable, _));
  stopping.join();
}

TEST_F(ServerTest, AStopTellsStreamsAndWorkersAndEndsWhatWaits) {
  WriteConfig(kQuietWorkers);
  Start();
  FakeAttachment worker(workers_.get());
  worker.Ack(worker.AwaitConfig());
  EXPECT_TRUE(WaitFor([&] {
    grpc::ClientContext asking;
    SetDeadline(&asking);
    v1::ListWorkersResponse response;
    return admin_->ListWorkers(&asking, {}, &response).ok() && response.workers_size() == 1 &&
           response.workers(0).state() == v1::WORKER_STATE_READY;
  }));
  // A stream whose receipts wait for a worker that says nothing.
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = publisher_->PublishStream(&context);
  v1::PublishStreamRequest request;
  request.mutable_hello()->set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
  request.mutable_hello()->mutable_wait()->set_seconds(30);
  stream->Write(request);
  v1::PublishStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  v1::PublishItem* const item = request.mutable_items()->add_items();
  item->set_seq(1);
  item->mutable_event()->set_service("a");
  item->mutable_event()->set_channel("x");
  item->mutable_event()->set_event("e");
  stream->Write(request);
  worker.AwaitDelivery();
  std::thread stopping([&] { server_->Stop(); });
  bool went_away = false;
  std::vector<v1::ItemReceipt> receipts;
  while (stream->Read(&response)) {
    went_away |= response.has_go_away();
    for (const v1::ItemReceipt& receipt : response.receipts().receipts()) {
      receipts.push_back(receipt);
      stream->WritesDone();
    }
  }
  EXPECT_TRUE(went_away);
  ASSERT_THAT(receipts, SizeIs(1));
  EXPECT_EQ(receipts[0].receipt().position().offset(), 1);
  EXPECT_EQ(receipts[0].receipt().delivery().workers_reported(), 0);
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(worker.ReadToEnd(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("control is stopping")));
  stopping.join();
  server_->Stop();  // a second time does nothing
}

TEST_F(ServerTest, AServerThatIsDestroyedWithoutAStopEndsAsWell) {
  WriteConfig();
  Start();
  FakeAttachment worker(workers_.get());
  worker.AwaitConfig();
  server_ = nullptr;
  EXPECT_FALSE(worker.ReadToEnd().ok());
}

}  // namespace
}  // namespace fanwire::control
