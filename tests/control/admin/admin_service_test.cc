#include "control/admin/admin_service.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/rpc_status.h"
#include "common/rpc_warning.h"
#include "common/version.h"
#include "control/admin/channel_listings.h"
#include "control/admin/tail.h"
#include "control/requests/presence.h"
#include "control/requests/presence_store.h"
#include "control/requests/request_dispatcher.h"
#include "control/requests/status_requests.h"
#include "control/routing/channel_info.h"
#include "fanwire/v1/admin.grpc.pb.h"
#include "tests/control/admin/admin_fixture.h"
#include "tests/fakes/fake_control_process.h"
#include "tests/fakes/fake_responder.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

class AdminServiceTest : public AdminFixture {
 protected:
  AdminServiceTest() {
    host_.in_force = {
        .config = config_, .services = services_, .file = "/etc/fanwire.yaml", .version = 6};
    routing_->router->AddObserver(&tail_);
    service_ = MakeAdminService({.queries = routing_->queries.get(),
                                 .listings = &listings_,
                                 .registry = &registry_,
                                 .dispatcher = &dispatcher_,
                                 .presence = &presence_,
                                 .ledger = &ledger_,
                                 .tools = tools_.get(),
                                 .tail = &tail_,
                                 .host = &host_,
                                 .engine = &described_,
                                 .started_at = absl::FromUnixSeconds(1'770'000'000)});
    // Over a socket: what is handed over inside of libgrpc looks like a race to TSan.
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    server_ = builder.BuildAndStart();
    // A caller that does not read takes no more than one window of 64 KiB.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    stub_ = v1::Admin::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(), arguments));
  }
  ~AdminServiceTest() override {
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_->Wait();
    routing_->router->RemoveObserver(&tail_);
  }

  template <typename Request, typename Response>
  using Method = grpc::Status (v1::Admin::Stub::*)(grpc::ClientContext*, const Request&, Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(Method<Request, Response> method, const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    const auto warning = context.GetServerTrailingMetadata().find(kRpcWarning);
    warning_.clear();
    if (warning != context.GetServerTrailingMetadata().end()) {
      warning_.assign(warning->second.data(), warning->second.size());
    }
    return response;
  }

  // A worker that was attached before and is not now.
  void AddAbsentWorker(const std::string& id) {
    FakeWorkerRegistry::Worker worker = MakeWorker(id);
    worker.absent = true;
    registry_.Add(std::move(worker));
  }

  void AddWorker(const std::string& id) {
    FakeWorkerRegistry::Worker worker = MakeWorker(id);
    worker.connections = {Connection("mahavishnu", id + "-a"), Connection("akosha", id + "-b")};
    worker.connections[1].set_backlog_bytes(worker.info.slot() + 1);
    worker.rooms = {Room("mahavishnu", "pool:a", {id + "-a"})};
    registry_.Add(std::move(worker));
  }

  // Lets streams have what was published.
  void WakeTails() {
    clock_.Advance(TailHub::kWakeInterval);
    timers_.RunDue();
  }

  ChannelListings listings_{routing_->queries.get(), &clock_};
  TailHub tail_{&clock_, &timers_, /*max_queued_bytes=*/256 << 10};
  StatusRequests retained_{*config_};
  Presence presence_{PresenceStore::MakeInMemory(), routing_->router.get(), &clock_, services_,
                     absl::Seconds(10)};
  RequestDispatcher dispatcher_{*config_, &retained_, &clock_, &timers_, [](uint64_t, auto) {}};
  DescribedEngine described_;
  FakeControlProcess host_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Admin::Stub> stub_;
  std::string warning_;  // of the last call
};

// ------------------------------------------------------------------------------- tools, services

TEST_F(AdminServiceTest, EachToolAnswersWithItsObject) {
  AddWorker("worker-0");
  v1::ToolRequest request;
  request.set_service("mahavishnu");
  const auto health = Call(&v1::Admin::Stub::HealthCheck, request);
  ASSERT_OK(health);
  EXPECT_THAT(health->json(), HasSubstr(R"("status":"healthy")"));
  const auto status = Call(&v1::Admin::Stub::GetStatus, request);
  ASSERT_OK(status);
  EXPECT_THAT(status->json(), HasSubstr(R"("status":"running")"));
  const auto rooms = Call(&v1::Admin::Stub::ListRooms, request);
  ASSERT_OK(rooms);
  EXPECT_EQ(rooms->json(), R"({"rooms":{"pool:a":{"subscribers":1}},"total_rooms":1})");
  const auto metrics = Call(&v1::Admin::Stub::GetMetrics, request);
  ASSERT_OK(metrics);
  EXPECT_THAT(metrics->json(), HasSubstr(R"("current_connections":1)"));
}

TEST_F(AdminServiceTest, AToolWithoutAServiceMeansAllOrTheDefault) {
  v1::ToolRequest request;
  const auto all = Call(&v1::Admin::Stub::HealthCheck, request);
  ASSERT_OK(all);
  EXPECT_THAT(all->json(), HasSubstr(R"({"services":{"mahavishnu":{)"));
  request.set_default_service(true);
  const auto one = Call(&v1::Admin::Stub::HealthCheck, request);
  ASSERT_OK(one);
  EXPECT_THAT(one->json(), HasSubstr(R"("port":8690)"));
  request.set_service("nobody");
  EXPECT_THAT(Call(&v1::Admin::Stub::HealthCheck, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
}

TEST_F(AdminServiceTest, ATestEventsDataIsPublishedWithEveryDigitAndInItsOrder) {
  AddWorker("worker-0");
  v1::BroadcastTestEventRequest request;
  request.set_event_type("x.y");
  request.set_room("pool:a");
  request.set_data(R"({"z":9007199254740993,"a":{"y":-9223372036854775808,"b":[1.5]}})");
  const auto response = Call(&v1::Admin::Stub::BroadcastTestEvent, request);
  ASSERT_OK(response);
  EXPECT_THAT(response->json(), HasSubstr(R"("status":"broadcasted")"));
  HistoryRequest asked;
  asked.service = "mahavishnu";
  asked.channel = "pool:a";
  const absl::StatusOr<HistorySlice> history = routing_->ReadHistory(asked);
  ASSERT_OK(history);
  ASSERT_EQ(history->publications.size(), 1u);
  EXPECT_THAT(std::string(history->publications[0]->data()),
              AllOf(StartsWith(R"({"z":9007199254740993,"a":{"y":-9223372036854775808,"b":[1.5]},)"
                               R"("timestamp":")"),
                    EndsWith(R"(,"test":true})")));
}

TEST_F(AdminServiceTest, ATestEventTakesChannelForRoom) {
  AddWorker("worker-0");
  v1::BroadcastTestEventRequest request;
  request.set_event_type("x.y");
  request.set_channel("pool:a");
  auto response = Call(&v1::Admin::Stub::BroadcastTestEvent, request);
  ASSERT_OK(response);
  EXPECT_THAT(response->json(),
              HasSubstr(R"({"status":"broadcasted","event_type":"x.y","room":"pool:a",)"));
  request.set_room("pool:a");
  response = Call(&v1::Admin::Stub::BroadcastTestEvent, request);
  ASSERT_OK(response);
  EXPECT_THAT(response->json(), HasSubstr(R"("status":"broadcasted")"));
  request.set_room("pool:b");
  response = Call(&v1::Admin::Stub::BroadcastTestEvent, request);
  ASSERT_OK(response);
  EXPECT_EQ(response->json(),
            R"({"status":"error","error":"room \"pool:b\" and channel \"pool:a\" mean the same: )"
            R"(give one of them","event_type":"x.y","room":"pool:b"})");
}

TEST_F(AdminServiceTest, ATestEventsDataThatIsNoObjectIsToldInside) {
  AddWorker("worker-0");
  v1::BroadcastTestEventRequest request;
  request.set_event_type("x.y");
  request.set_room("pool:a");
  for (const char* data : {"[1]", "1", "{", "{\"a\":\"\xff\"}", "nonsense"}) {
    request.set_data(data);
    const auto response = Call(&v1::Admin::Stub::BroadcastTestEvent, request);
    ASSERT_OK(response);
    EXPECT_THAT(response->json(), HasSubstr(R"("error":"data: expected a JSON object")")) << data;
  }
}

TEST_F(AdminServiceTest, ListsServicesInTheirOrderWithTheirListeners) {
  ASSERT_OK(Publish("akosha", "a"));
  ASSERT_OK(Publish("akosha", "b"));
  v1::Heartbeat heartbeat;
  v1::ServiceLoad* const load = heartbeat.add_services();
  load->set_service("akosha");
  load->set_sessions(4);
  load->set_subscriptions(9);
  ledger_.Update("worker-0", 1, heartbeat);
  const auto response = Call(&v1::Admin::Stub::ListServices, v1::ListServicesRequest());
  ASSERT_OK(response);
  ASSERT_EQ(response->services_size(), 3);
  const v1::ServiceInfo& akosha = response->services(1);
  EXPECT_EQ(akosha.name(), "akosha");
  EXPECT_EQ(akosha.sessions(), 4);
  EXPECT_EQ(akosha.subscriptions(), 9);
  EXPECT_EQ(akosha.channels(), 2);
  EXPECT_EQ(akosha.publications(), 2);
  EXPECT_EQ(akosha.message_rate_limit(), 12.5);
  ASSERT_EQ(akosha.listeners_size(), 1);
  EXPECT_EQ(akosha.listeners(0).host(), "127.0.0.1");
  EXPECT_EQ(akosha.listeners(0).port(), 8692u);
  EXPECT_EQ(response->services(2).listeners(0).dialect(), v1::DIALECT_SESSION_BUDDY);
}

TEST_F(AdminServiceTest, ListsTheProcessesThatAnswerRequests) {
  v1::ResponderHello hello;
  hello.set_service("akosha");
  hello.set_responder_id("akosha-1:7");
  hello.set_max_concurrent(5);
  hello.add_requests("get_x");
  hello.add_requests("job_*");
  const auto number = dispatcher_.Join(hello, std::make_shared<FakeResponder>());
  ASSERT_OK(number);
  v1::ClientRequest request;
  request.set_service("akosha");
  request.set_request("job_1");
  dispatcher_.Handle(1, request, [](auto) {});
  dispatcher_.OnGoAway(*number, "bye");
  const auto response = Call(&v1::Admin::Stub::ListServices, v1::ListServicesRequest());
  ASSERT_OK(response);
  ASSERT_EQ(response->responders_size(), 1);
  const v1::ResponderInfo& responder = response->responders(0);
  EXPECT_EQ(responder.service(), "akosha");
  EXPECT_EQ(responder.id(), "akosha-1:7");
  EXPECT_THAT(responder.requests(), ElementsAre("get_x", "job_*"));
  EXPECT_EQ(responder.outstanding(), 1);
  EXPECT_EQ(responder.max_concurrent(), 5);
  EXPECT_TRUE(responder.leaving());
}

TEST_F(AdminServiceTest, TheLedgerTellsWhatIsMissing) {
  v1::Heartbeat heartbeat;
  v1::ServiceLoad* const load = heartbeat.add_services();
  load->set_service("removed");
  load->set_matched(20);
  load->set_written(10);
  load->set_queued(3);
  v1::DropCount* const drop = load->add_dropped();
  drop->set_reason(v1::DROP_REASON_CONFLATED);
  drop->set_count(5);
  ledger_.Update("worker-0", 1, heartbeat);
  const auto all = Call(&v1::Admin::Stub::GetLedger, v1::GetLedgerRequest());
  ASSERT_OK(all);
  EXPECT_EQ(all->entries_size(), 4);  // the three that are configured, and one that was
  v1::GetLedgerRequest request;
  request.set_service("removed");
  const auto one = Call(&v1::Admin::Stub::GetLedger, request);
  ASSERT_OK(one);
  ASSERT_EQ(one->entries_size(), 1);
  EXPECT_EQ(one->entries(0).matched(), 20);
  EXPECT_EQ(one->entries(0).dropped(0).reason(), v1::DROP_REASON_CONFLATED);
  EXPECT_EQ(one->entries(0).dropped(0).count(), 5);
  EXPECT_EQ(one->entries(0).difference(), 2);
  request.set_service("nobody");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetLedger, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
}

// ------------------------------------------------------------------------------- the engine

TEST_F(AdminServiceTest, TheEngineIsToldAsItSays) {
  described_.kind = "disk";
  described_.described = {.path = "/var/lib/fanwire",
                          .history_bytes = 1,
                          .max_history_bytes = 2,
                          .disk_bytes = 3,
                          .waiting_publications = 4,
                          .lag = absl::Milliseconds(5500)};
  const auto engine = Call(&v1::Admin::Stub::GetEngineStatus, v1::GetEngineStatusRequest());
  ASSERT_OK(engine);
  EXPECT_EQ(engine->kind(), "disk");
  EXPECT_TRUE(engine->healthy());
  EXPECT_EQ(engine->reason(), "");
  EXPECT_EQ(engine->path(), "/var/lib/fanwire");
  EXPECT_EQ(engine->history_bytes(), 1);
  EXPECT_EQ(engine->max_history_bytes(), 2);
  EXPECT_EQ(engine->disk_bytes(), 3);
  EXPECT_EQ(engine->waiting_publications(), 4);
  EXPECT_EQ(engine->lag().seconds(), 5);
  EXPECT_EQ(engine->lag().nanos(), 500'000'000);
  EXPECT_EQ(Call(&v1::Admin::Stub::GetVersion, v1::GetVersionRequest())->engine(), "disk");
}

TEST_F(AdminServiceTest, AnEngineThatIsNotHealthySaysWhy) {
  const std::pair<absl::Status, const char*> reasons[] = {
      {absl::ResourceExhaustedError("no space left"), "no space left"},
      {absl::UnavailableError(""), "UNAVAILABLE"},
      {absl::UnavailableError("caf\xe9"), "caf\uFFFD"}};
  described_.described.path = "/caf\xe9";
  for (const auto& [health, reason] : reasons) {
    described_.health = health;
    const auto engine = Call(&v1::Admin::Stub::GetEngineStatus, v1::GetEngineStatusRequest());
    ASSERT_OK(engine);
    EXPECT_FALSE(engine->healthy());
    EXPECT_EQ(engine->reason(), reason);
    EXPECT_EQ(engine->path(), "/caf\uFFFD");
  }
}

// ------------------------------------------------------------------------------- channels

TEST_F(AdminServiceTest, ListsChannelsOfAServiceThatMatch) {
  for (const char* channel : {"pool:b", "pool:a", "x"}) {
    ASSERT_OK(Publish("mahavishnu", channel));
  }
  ASSERT_OK(Publish("akosha", "pool:c"));
  v1::ListChannelsRequest request;
  request.set_service("mahavishnu");
  request.set_pattern("pool:*");
  const auto response = Call(&v1::Admin::Stub::ListChannels, request);
  ASSERT_OK(response);
  ASSERT_EQ(response->channels_size(), 2);
  EXPECT_EQ(response->channels(0).channel(), "pool:a");
  EXPECT_EQ(response->channels(0).head().offset(), 1);
  EXPECT_EQ(response->channels(0).head().epoch().size(), 16u);
  EXPECT_EQ(response->total(), 2);
  EXPECT_EQ(registry_.questions(), 0);  // a list by name asks no worker
  request.set_pattern("a:**:b");
  EXPECT_THAT(Call(&v1::Admin::Stub::ListChannels, request),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_F(AdminServiceTest, TheFurtherPagesOfASortedListAskNoWorker) {
  AddWorker("worker-0");
  for (const char* channel : {"a", "b", "pool:a"}) ASSERT_OK(Publish("mahavishnu", channel));
  v1::ListChannelsRequest request;
  request.set_sort(v1::CHANNEL_SORT_SUBSCRIBERS);
  request.set_page_size(1);
  const auto first = Call(&v1::Admin::Stub::ListChannels, request);
  ASSERT_OK(first);
  EXPECT_EQ(first->channels(0).channel(), "pool:a");
  const auto questions = registry_.questions();
  request.set_page_token(first->next_page_token());
  const auto second = Call(&v1::Admin::Stub::ListChannels, request);
  ASSERT_OK(second);
  ASSERT_EQ(second->channels_size(), 1);
  EXPECT_EQ(second->channels(0).channel(), "a");
  EXPECT_EQ(registry_.questions(), questions);
}

TEST_F(AdminServiceTest, ASortedListHasSubscribersOfAllWorkers) {
  AddWorker("worker-0");
  AddWorker("worker-1");
  ASSERT_OK(Publish("mahavishnu", "a"));
  ASSERT_OK(Publish("mahavishnu", "pool:a"));
  v1::ListChannelsRequest request;
  request.set_sort(v1::CHANNEL_SORT_SUBSCRIBERS);
  const auto response = Call(&v1::Admin::Stub::ListChannels, request);
  ASSERT_OK(response);
  ASSERT_EQ(response->channels_size(), 2);
  EXPECT_EQ(response->channels(0).channel(), "pool:a");
  EXPECT_EQ(response->channels(0).subscribers(), 2);
  request.set_sort(static_cast<v1::ChannelSort>(77));
  EXPECT_THAT(Call(&v1::Admin::Stub::ListChannels, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("77")));
}

TEST_F(AdminServiceTest, ShowsOneChannel) {
  AddWorker("worker-0");
  for (int i = 0; i < 3; ++i) ASSERT_OK(Publish("mahavishnu", "pool:a"));
  v1::GetChannelRequest request;
  request.set_service("mahavishnu");
  request.set_channel("pool:a");
  const auto channel = Call(&v1::Admin::Stub::GetChannel, request);
  ASSERT_OK(channel);
  EXPECT_EQ(channel->head().offset(), 3);
  EXPECT_EQ(channel->history_publications(), 3);
  EXPECT_EQ(channel->oldest_offset(), 1);
  EXPECT_EQ(channel->publications(), 3);
  EXPECT_EQ(channel->subscribers(), 1);
  EXPECT_TRUE(channel->has_last_published());
  request.set_channel("no:such");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetChannel, request),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no:such")));
}

TEST_F(AdminServiceTest, AnUntrueNumberOfSubscribersIsNotGiven) {
  ASSERT_OK(Publish("mahavishnu", "pool:a"));
  FakeWorkerRegistry::Worker frozen = MakeWorker("worker-0");
  frozen.silent_for = 1000;
  registry_.Add(std::move(frozen));
  v1::GetChannelRequest request;
  request.set_service("mahavishnu");
  request.set_channel("pool:a");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetChannel, request),
              StatusIs(absl::StatusCode::kUnavailable, "1 of 1 workers did not answer within 2s"));
}

TEST_F(AdminServiceTest, SubscribersThatLackAWorkerThatIsAwayComeWithAWarning) {
  AddWorker("worker-0");
  ASSERT_OK(Publish("mahavishnu", "pool:a"));
  v1::GetChannelRequest request;
  request.set_service("mahavishnu");
  request.set_channel("pool:a");
  ASSERT_OK(Call(&v1::Admin::Stub::GetChannel, request));
  EXPECT_EQ(warning_, "");
  AddAbsentWorker("worker-1");
  const auto channel = Call(&v1::Admin::Stub::GetChannel, request);
  ASSERT_OK(channel);
  EXPECT_EQ(channel->subscribers(), 1);
  EXPECT_EQ(warning_, "incomplete: only 1 of 2 workers answered");
  v1::ListChannelsRequest list;
  ASSERT_OK(Call(&v1::Admin::Stub::ListChannels, list));
  EXPECT_EQ(warning_, "");  // a list by name asks no worker
  list.set_sort(v1::CHANNEL_SORT_SUBSCRIBERS);
  ASSERT_OK(Call(&v1::Admin::Stub::ListChannels, list));
  EXPECT_EQ(warning_, "incomplete: only 1 of 2 workers answered");
}

TEST_F(AdminServiceTest, AConnectionThatMayBeOnAWorkerThatIsAwayIsNotCalledUnknown) {
  AddWorker("worker-0");
  AddAbsentWorker("worker-1");
  v1::GetConnectionRequest request;
  request.set_id("worker-0-a");
  EXPECT_OK(Call(&v1::Admin::Stub::GetConnection, request));
  request.set_id("worker-1-a");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetConnection, request),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("1 of 2 workers")));
  const auto list = Call(&v1::Admin::Stub::ListConnections, v1::ListConnectionsRequest());
  ASSERT_OK(list);
  EXPECT_EQ(list->workers_total(), 2);
  EXPECT_EQ(list->workers_answered(), 1);
}

class AdminHistoryTest : public AdminServiceTest {
 protected:
  AdminHistoryTest() {
    for (int i = 0; i < 150; ++i) EXPECT_OK(Publish("mahavishnu", "pool:h"));
    request_.set_service("mahavishnu");
    request_.set_channel("pool:h");
  }
  // "1-100 more".
  std::string Read() {
    const auto response = Call(&v1::Admin::Stub::GetHistory, request_);
    EXPECT_OK(response);
    if (!response.ok() || response->publications().empty()) return "none";
    EXPECT_EQ(response->head().offset(), 150);
    return absl::StrCat(
        response->publications(0).position().offset(), "-",
        response->publications(response->publications_size() - 1).position().offset(),
        response->more() ? " more" : "");
  }
  // Why it is not complete; "" if it is.
  std::string Reason() {
    const auto response = Call(&v1::Admin::Stub::GetHistory, request_);
    EXPECT_OK(response);
    if (!response.ok()) return "";
    EXPECT_EQ(response->complete(), response->reason().empty());
    return response->reason();
  }
  v1::GetHistoryRequest request_;
};

TEST_F(AdminHistoryTest, ReadsHundredUnlessTold) {
  EXPECT_EQ(Read(), "1-100 more");
  request_.set_limit(3);
  EXPECT_EQ(Read(), "1-3 more");
  request_.set_limit(5'000'000);
  EXPECT_EQ(Read(), "1-150");
}

TEST_F(AdminHistoryTest, ReadsBackwards) {
  request_.set_limit(3);
  request_.set_reverse(true);
  EXPECT_EQ(Read(), "150-148 more");
}

TEST_F(AdminHistoryTest, ReadsWhatCameAfterAPosition) {
  const absl::StatusOr<ChannelSummary> channel =
      routing_->queries->GetChannel("mahavishnu", "pool:h");
  ASSERT_OK(channel);
  request_.mutable_since()->set_epoch(channel->history.head.epoch.ToText());
  request_.mutable_since()->set_offset(148);
  EXPECT_EQ(Read(), "149-150");
  request_.mutable_since()->set_offset(150);
  EXPECT_EQ(Read(), "none");
  request_.mutable_since()->set_epoch("of another life");
  EXPECT_EQ(Read(), "1-100 more");
}

TEST_F(AdminHistoryTest, SaysWhetherAllThatCameAfterAPositionIsKept) {
  EXPECT_EQ(Reason(), "");
  const absl::StatusOr<ChannelSummary> channel =
      routing_->queries->GetChannel("mahavishnu", "pool:h");
  ASSERT_OK(channel);
  request_.mutable_since()->set_epoch(channel->history.head.epoch.ToText());
  request_.mutable_since()->set_offset(1);
  EXPECT_EQ(Reason(), "");
  request_.mutable_since()->set_offset(150);
  EXPECT_EQ(Reason(), "");
  request_.mutable_since()->set_offset(151);
  EXPECT_EQ(Reason(), "offset_unknown");
  request_.mutable_since()->set_epoch("of another life");
  EXPECT_EQ(Reason(), "epoch_changed");
  request_.set_channel("pool:none");
  EXPECT_EQ(Reason(), "epoch_changed");
  request_.clear_since();
  EXPECT_EQ(Reason(), "");
}

TEST_F(AdminHistoryTest, ReadsWhatCameBeforeAPosition) {
  const absl::StatusOr<ChannelSummary> channel =
      routing_->queries->GetChannel("mahavishnu", "pool:h");
  ASSERT_OK(channel);
  request_.mutable_before()->set_epoch(channel->history.head.epoch.ToText());
  request_.mutable_before()->set_offset(4);
  EXPECT_EQ(Read(), "1-3");
  request_.set_reverse(true);
  request_.set_limit(2);
  EXPECT_EQ(Read(), "3-2 more");
  request_.mutable_before()->set_epoch("of another life");
  EXPECT_EQ(Read(), "none");
}

TEST_F(AdminHistoryTest, APublicationIsAsClientsGetIt) {
  request_.set_limit(1);
  const auto response = Call(&v1::Admin::Stub::GetHistory, request_);
  ASSERT_OK(response);
  const v1::Publication& publication = response->publications(0);
  EXPECT_EQ(publication.service(), "mahavishnu");
  EXPECT_EQ(publication.channel(), "pool:h");
  EXPECT_EQ(publication.event(), "test.event");
  EXPECT_EQ(publication.received_us(), absl::ToUnixMicros(clock_.WallNow()));
  EXPECT_THAT(publication.envelope(), HasSubstr(R"("room":"pool:h")"));
}

TEST_F(AdminHistoryTest, AChannelWithoutStateHasNoneAndAnUnknownServiceIsNotFound) {
  request_.set_channel("never:used");
  const auto response = Call(&v1::Admin::Stub::GetHistory, request_);
  ASSERT_OK(response);
  EXPECT_EQ(response->publications_size(), 0);
  EXPECT_EQ(response->head().epoch(), "");
  request_.set_channel("a:*");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetHistory, request_),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
  request_.set_service("nobody");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetHistory, request_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
}

// ------------------------------------------------------------------------------- presence

TEST_F(AdminServiceTest, MembersComeInPagesThatAMessageCanHold) {
  const LoadedConfig loaded = LoadConfig(
      "services: [{name: akosha, port: 8692, presence: [{pattern: 'x:*'}]}]", "t.yaml", {});
  presence_.SetServices(ServiceTable::Make(*loaded.config), absl::Seconds(10));
  v1::PresenceUpdate update;
  update.set_snapshot_first(true);
  const std::string info = absl::StrCat(R"({"text":")", std::string(60'000, 'x'), "\"}");
  std::vector<std::string> all;
  for (int i = 100; i < 140; ++i) {
    v1::PresenceChange* const change = update.add_changes();
    change->set_service("akosha");
    change->set_channel("x:1");
    change->set_connection_id(absl::StrCat("c", i));
    change->set_user_id(i < 120 ? "user: of many" : "");
    change->set_info(info);
    all.push_back(change->connection_id());
  }
  presence_.OnPresence({.worker_id = "worker-0", .incarnation = 1}, 1, update);
  v1::ListPresenceRequest request;
  request.set_service("akosha");
  request.set_channel("x:1");
  std::vector<std::string> read;
  int pages = 0;
  do {
    const auto page = Call(&v1::Admin::Stub::ListPresence, request);
    ASSERT_OK(page);
    ++pages;
    EXPECT_EQ(page->total(), 40);
    EXPECT_EQ(page->users(), 21);
    for (const v1::PresenceMember& member : page->members()) {
      read.push_back(member.connection_id());
      EXPECT_EQ(member.worker_id(), "worker-0");
      EXPECT_EQ(member.info(), info);
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(read, all);
  EXPECT_GE(pages, 3);
  request.set_page_size(7);
  EXPECT_EQ(Call(&v1::Admin::Stub::ListPresence, request)->members_size(), 7);
}

TEST_F(AdminServiceTest, AListOfMembersThatCannotBeHadIsRefused) {
  const auto code = [&](const char* service, const char* channel, const char* token = "") {
    v1::ListPresenceRequest request;
    request.set_service(service);
    request.set_channel(channel);
    request.set_page_token(token);
    return Call(&v1::Admin::Stub::ListPresence, request).status().code();
  };
  EXPECT_EQ(code("none", "x"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("akosha", "x"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code("akosha", "x:*"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code("akosha", "x", "nonsense"), absl::StatusCode::kInvalidArgument);
}

// ------------------------------------------------------------------------------- connections

TEST_F(AdminServiceTest, ListsConnectionsOfAllWorkersThatFit) {
  AddWorker("worker-0");
  AddWorker("worker-1");
  v1::ListConnectionsRequest request;
  request.mutable_filter()->set_service("akosha");
  request.set_sort(v1::ListConnectionsRequest::SORT_BACKLOG);
  request.set_limit(1);
  const auto response = Call(&v1::Admin::Stub::ListConnections, request);
  ASSERT_OK(response);
  ASSERT_EQ(response->connections_size(), 1);
  EXPECT_EQ(response->connections(0).id(), "worker-1-b");
  EXPECT_EQ(response->total(), 2);
  EXPECT_EQ(response->workers_answered(), 2);
}

TEST_F(AdminServiceTest, AListOfConnectionsIsGivenWithoutAFrozenWorkerAndSaysSo) {
  AddWorker("worker-0");
  FakeWorkerRegistry::Worker frozen = MakeWorker("worker-1");
  frozen.silent_for = 1000;
  registry_.Add(std::move(frozen));
  const auto response = Call(&v1::Admin::Stub::ListConnections, v1::ListConnectionsRequest());
  ASSERT_OK(response);
  EXPECT_EQ(response->connections_size(), 2);
  EXPECT_EQ(response->workers_total(), 2);
  EXPECT_EQ(response->workers_answered(), 1);
}

TEST_F(AdminServiceTest, ShowsOneConnection) {
  AddWorker("worker-0");
  AddWorker("worker-1");
  v1::GetConnectionRequest request;
  request.set_id("worker-1-a");
  const auto connection = Call(&v1::Admin::Stub::GetConnection, request);
  ASSERT_OK(connection);
  EXPECT_EQ(connection->id(), "worker-1-a");
  EXPECT_EQ(connection->service(), "mahavishnu");
  for (const char* id : {"nobody", ""}) {
    request.set_id(id);
    EXPECT_THAT(Call(&v1::Admin::Stub::GetConnection, request),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("no connection")));
  }
}

TEST_F(AdminServiceTest, AServiceThatIsNotConfiguredIsNotFoundWhereverItIsNamed) {
  AddWorker("worker-0");
  const auto not_found =
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("service \"nobody\" is not configured"));
  v1::ListChannelsRequest channels;
  channels.set_service("nobody");
  for (const v1::ChannelSort sort : {v1::CHANNEL_SORT_NAME, v1::CHANNEL_SORT_SUBSCRIBERS}) {
    channels.set_sort(sort);
    EXPECT_THAT(Call(&v1::Admin::Stub::ListChannels, channels), not_found);
  }
  v1::GetCatalogRequest catalog;
  catalog.set_service("nobody");
  EXPECT_THAT(Call(&v1::Admin::Stub::GetCatalog, catalog), not_found);
  v1::ListConnectionsRequest connections;
  connections.mutable_filter()->set_service("nobody");
  EXPECT_THAT(Call(&v1::Admin::Stub::ListConnections, connections), not_found);
  v1::DisconnectRequest disconnect;
  disconnect.mutable_filter()->set_service("nobody");
  EXPECT_THAT(Call(&v1::Admin::Stub::Disconnect, disconnect), not_found);
}

TEST_F(AdminServiceTest, DisconnectsOnAllWorkersAndCounts) {
  AddWorker("worker-0");
  AddWorker("worker-1");
  v1::DisconnectRequest request;
  request.mutable_filter()->set_service("akosha");
  request.set_code(4501);
  request.set_reason("go");
  const auto response = Call(&v1::Admin::Stub::Disconnect, request);
  ASSERT_OK(response);
  EXPECT_EQ(response->disconnected(), 2);
  EXPECT_EQ(response->workers_total(), 2);
  EXPECT_EQ(response->workers_answered(), 2);
  ASSERT_EQ(registry_.disconnects().size(), 1u);
  EXPECT_EQ(registry_.disconnects()[0].code(), 4501u);
  EXPECT_EQ(registry_.disconnects()[0].reason(), "go");
}

TEST_F(AdminServiceTest, ADisconnectThatMayNotBeIsNotSent) {
  AddWorker("worker-0");
  v1::DisconnectRequest request;
  EXPECT_THAT(Call(&v1::Admin::Stub::Disconnect, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("filter")));
  request.mutable_filter()->set_id("worker-0-a");
  request.set_code(1006);
  EXPECT_THAT(Call(&v1::Admin::Stub::Disconnect, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1006")));
  EXPECT_THAT(registry_.disconnects(), IsEmpty());
}

// ------------------------------------------------------------------------------- workers

TEST_F(AdminServiceTest, ListsWorkersAndSlots) {
  AddWorker("worker-0");
  host_.slots = {
      {.id = "worker-0", .number = 0, .pid = 1000, .state = ProcessState::kRunning, .restarts = 2},
      {.id = "worker-1", .number = 1, .pid = 0, .state = ProcessState::kStopped}};
  const auto response = Call(&v1::Admin::Stub::ListWorkers, v1::ListWorkersRequest());
  ASSERT_OK(response);
  ASSERT_EQ(response->workers_size(), 2);
  EXPECT_EQ(response->workers(0).state(), v1::WORKER_STATE_READY);
  EXPECT_EQ(response->workers(0).restarts(), 2);
  EXPECT_EQ(response->workers(1).state(), v1::WORKER_STATE_STOPPED);
  EXPECT_EQ(response->config_version(), 6u);
}

class WorkerStreamsTest : public AdminServiceTest {
 protected:
  WorkerStreamsTest() {
    host_.slots = {{.id = "worker-0", .number = 0, .pid = 7, .state = ProcessState::kRunning}};
  }
  grpc::ClientContext context_;
};

TEST_F(WorkerStreamsTest, ADrainTellsWhatRemainsAndEndsWithDone) {
  v1::DrainWorkerRequest request;
  request.set_id("worker-0");
  const auto reader = stub_->DrainWorker(&context_, request);
  ASSERT_TRUE(WaitFor([&] { return !host_.drains().empty(); }));
  const FakeControlProcess::Drained drain = host_.drains()[0];
  EXPECT_EQ(drain.id, "worker-0");
  EXPECT_EQ(drain.order.window, absl::Seconds(4));
  EXPECT_EQ(drain.order.deadline, absl::Seconds(9));
  EXPECT_TRUE(drain.order.exit);
  v1::DrainWorkerProgress progress;
  drain.progress(20, false);
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_EQ(progress.remaining(), 20);
  EXPECT_FALSE(progress.done());
  drain.progress(0, true);
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_TRUE(progress.done());
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(WorkerStreamsTest, ADrainThatTheRegistryRefusesIsNotOrdered) {
  registry_.RefuseDrains(absl::FailedPreconditionError("the last one"));
  for (const char* id : {"worker-0", "worker-5"}) {
    v1::DrainWorkerRequest request;
    request.set_id(id);
    request.set_unless_last(true);
    grpc::ClientContext context;
    const auto reader = stub_->DrainWorker(&context, request);
    v1::DrainWorkerProgress progress;
    EXPECT_FALSE(reader->Read(&progress));
    EXPECT_THAT(FromGrpcStatus(reader->Finish()),
                StatusIs(absl::StatusCode::kFailedPrecondition, "the last one"));
  }
  EXPECT_THAT(host_.drains(), IsEmpty());
  EXPECT_THAT(registry_.drains(), IsEmpty());
  EXPECT_THAT(registry_.begun(), ElementsAre(Pair("worker-0", true), Pair("worker-5", true)));
}

TEST_F(WorkerStreamsTest, ADrainTakesTheOperatorsWindow) {
  v1::DrainWorkerRequest request;
  request.set_id("worker-0");
  request.mutable_window()->set_seconds(60);
  const auto reader = stub_->DrainWorker(&context_, request);
  ASSERT_TRUE(WaitFor([&] { return !host_.drains().empty(); }));
  const FakeControlProcess::Drained drain = host_.drains()[0];
  EXPECT_EQ(drain.order.window, absl::Seconds(60));
  EXPECT_EQ(drain.order.deadline, absl::Seconds(60));  // not before the window's end
  drain.progress(0, true);
  v1::DrainWorkerProgress progress;
  EXPECT_TRUE(reader->Read(&progress));
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(WorkerStreamsTest, AWorkerWithoutASlotIsDrainedByTheRegistry) {
  AddWorker("worker-5");
  v1::DrainWorkerRequest request;
  request.set_id("worker-5");
  const auto reader = stub_->DrainWorker(&context_, request);
  ASSERT_TRUE(WaitFor([&] { return !registry_.drains().empty(); }));
  EXPECT_THAT(host_.drains(), IsEmpty());
  registry_.drains()[0].progress(0, true);
  v1::DrainWorkerProgress progress;
  ASSERT_TRUE(reader->Read(&progress));
  EXPECT_TRUE(progress.done());
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(WorkerStreamsTest, ADrainOfAWorkerThatIsNotThereIsNotFound) {
  v1::DrainWorkerRequest request;
  request.set_id("worker-9");
  const auto reader = stub_->DrainWorker(&context_, request);
  v1::DrainWorkerProgress progress;
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_THAT(FromGrpcStatus(reader->Finish()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("worker-9")));
}

TEST_F(WorkerStreamsTest, ADeadlineBeforeTheWindowsEndIsRefused) {
  v1::DrainWorkerRequest request;
  request.set_id("worker-0");
  request.mutable_window()->set_seconds(5);
  request.mutable_deadline()->set_seconds(2);
  const auto reader = stub_->DrainWorker(&context_, request);
  v1::DrainWorkerProgress progress;
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_THAT(FromGrpcStatus(reader->Finish()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("deadline")));
  EXPECT_THAT(host_.drains(), IsEmpty());
}

TEST_F(WorkerStreamsTest, ADrainGoesOnWhenTheOperatorHangsUp) {
  v1::DrainWorkerRequest request;
  request.set_id("worker-0");
  const auto reader = stub_->DrainWorker(&context_, request);
  ASSERT_TRUE(WaitFor([&] { return !host_.drains().empty(); }));
  context_.TryCancel();
  v1::DrainWorkerProgress progress;
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // Reports find nobody, and nothing breaks.
  host_.drains()[0].progress(3, false);
  host_.drains()[0].progress(0, true);
}

TEST_F(WorkerStreamsTest, ARestartTellsEachStep) {
  v1::RestartWorkersRequest request;
  request.add_ids("worker-0");
  request.set_only_stopped(true);
  const auto reader = stub_->RestartWorkers(&context_, request);
  ASSERT_TRUE(WaitFor([&] { return !host_.restarts().empty(); }));
  const FakeControlProcess::Restarted restart = host_.restarts()[0];
  EXPECT_THAT(restart.ids, ElementsAre("worker-0"));
  EXPECT_TRUE(restart.only_stopped);
  for (const char* state : {"draining", "starting", "ready"}) {
    restart.progress({.id = "worker-0", .state = state});
  }
  restart.progress({.done = true});
  std::vector<std::string> steps;
  for (v1::RestartWorkersProgress progress; reader->Read(&progress);) {
    steps.push_back(progress.done() ? "done" : progress.id() + " " + progress.state());
  }
  EXPECT_THAT(steps,
              ElementsAre("worker-0 draining", "worker-0 starting", "worker-0 ready", "done"));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(WorkerStreamsTest, ARestartThatFailsSaysWhy) {
  const auto reader = stub_->RestartWorkers(&context_, v1::RestartWorkersRequest());
  ASSERT_TRUE(WaitFor([&] { return !host_.restarts().empty(); }));
  host_.restarts()[0].progress({.done = true, .status = absl::DeadlineExceededError("not ready")});
  v1::RestartWorkersProgress progress;
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_THAT(FromGrpcStatus(reader->Finish()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, "not ready"));
}

TEST_F(WorkerStreamsTest, ARestartOfAWorkerWithoutASlotIsNotFound) {
  v1::RestartWorkersRequest request;
  request.add_ids("worker-9");
  const auto reader = stub_->RestartWorkers(&context_, request);
  v1::RestartWorkersProgress progress;
  EXPECT_FALSE(reader->Read(&progress));
  EXPECT_THAT(FromGrpcStatus(reader->Finish()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("worker-9")));
}

// ------------------------------------------------------------------------------- tail

class TailCallTest : public AdminServiceTest {
 protected:
  // Begins a tail; returns when it sees what is published.
  void Begin(const v1::TailRequest& request) {
    reader_ = stub_->Tail(&context_, request);
    reader_->WaitForInitialMetadata();
  }
  ~TailCallTest() override { context_.TryCancel(); }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::TailResponse>> reader_;
};

TEST_F(TailCallTest, SendsWhatIsPublished) {
  v1::TailRequest request;
  request.set_service("mahavishnu");
  request.set_pattern("pool:*");
  request.add_events("a.b");
  Begin(request);
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.b", R"({"n":1})"));
  ASSERT_OK(Publish("mahavishnu", "pool:a", "a.c"));
  ASSERT_OK(Publish("mahavishnu", "elsewhere", "a.b"));
  ASSERT_OK(Publish("mahavishnu", "pool:b", "a.b"));
  WakeTails();
  v1::TailResponse response;
  ASSERT_TRUE(reader_->Read(&response));
  ASSERT_EQ(response.publications_size(), 2);
  EXPECT_EQ(response.publications(0).channel(), "pool:a");
  EXPECT_EQ(response.publications(0).event(), "a.b");
  EXPECT_EQ(response.publications(0).position().offset(), 1);
  EXPECT_THAT(response.publications(0).envelope(), HasSubstr(R"("n":1)"));
  EXPECT_EQ(response.publications(1).channel(), "pool:b");
  EXPECT_EQ(response.left_out(), 0);
}

TEST_F(TailCallTest, SaysHowManyItLeftOut) {
  v1::TailRequest request;
  request.set_max_per_second(2);
  Begin(request);
  for (int i = 0; i < 5; ++i) ASSERT_OK(Publish("akosha", "a"));
  WakeTails();
  v1::TailResponse response;
  ASSERT_TRUE(reader_->Read(&response));
  EXPECT_EQ(response.publications_size(), 2);
  EXPECT_EQ(response.left_out(), 3);
}

TEST_F(TailCallTest, ACallerThatDoesNotReadSlowsNobodyAndIsToldWhatItMissed) {
  v1::TailRequest request;
  request.set_max_per_second(1'000'000);
  Begin(request);
  const std::string json = R"({"text":")" + std::string(6000, 'x') + R"("})";
  const int count = 200;  // 1.2 MB: over what may wait and be under way
  for (int i = 0; i < count; ++i) {
    ASSERT_OK(Publish("akosha", "a", "a.b", json));
    if (i % 20 == 0) WakeTails();
  }
  int64_t seen = 0, left_out = 0;
  for (v1::TailResponse response; seen + left_out < count && reader_->Read(&response);) {
    seen += response.publications_size();
    left_out += response.left_out();
    WakeTails();
  }
  EXPECT_EQ(seen + left_out, count);
  EXPECT_GT(left_out, 0);
  EXPECT_GT(seen, 0);
}

TEST_F(TailCallTest, EndsWithTheCaller) {
  Begin({});
  EXPECT_EQ(tail_.streams(), 1);
  context_.TryCancel();
  EXPECT_TRUE(WaitFor([&] { return tail_.streams() == 0; }));
  EXPECT_EQ(reader_->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(TailCallTest, EndsWhenControlStops) {
  Begin({});
  tail_.EndAll(absl::UnavailableError("control is stopping"));
  v1::TailResponse response;
  EXPECT_FALSE(reader_->Read(&response));
  EXPECT_THAT(FromGrpcStatus(reader_->Finish()),
              StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
}

TEST_F(TailCallTest, WhatCannotBeWatchedIsRefused) {
  v1::TailRequest request;
  request.set_service("nobody");
  Begin(request);
  EXPECT_THAT(FromGrpcStatus(reader_->Finish()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nobody")));
  grpc::ClientContext context;
  request.set_service("");
  request.set_pattern("a:**:b");
  const auto reader = stub_->Tail(&context, request);
  EXPECT_THAT(FromGrpcStatus(reader->Finish()), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

// ------------------------------------------------------------------------------- the process

TEST_F(AdminServiceTest, ShowsTheConfigurationWithoutItsSecrets) {
  const auto config = Call(&v1::Admin::Stub::GetConfig, v1::GetConfigRequest());
  ASSERT_OK(config);
  EXPECT_EQ(config->file(), "/etc/fanwire.yaml");
  EXPECT_EQ(config->version(), 6u);
  EXPECT_THAT(config->yaml(), HasSubstr("mahavishnu"));
  EXPECT_THAT(config->yaml(), HasSubstr("***"));
  EXPECT_THAT(config->yaml(), Not(HasSubstr("a-secret-of-some-length")));
}

TEST_F(AdminServiceTest, ShowsTheEventsOfEachService) {
  v1::GetCatalogRequest request;
  const auto all = Call(&v1::Admin::Stub::GetCatalog, request);
  ASSERT_OK(all);
  EXPECT_EQ(all->services_size(), config_->services_size());
  request.set_service("akosha");
  const auto one = Call(&v1::Admin::Stub::GetCatalog, request);
  ASSERT_OK(one);
  ASSERT_EQ(one->services_size(), 1);
  EXPECT_EQ(one->services(0).service(), "akosha");
  EXPECT_EQ(one->services(0).check(), v1::CATALOG_CHECK_OFF);
  const v1::EventDescription& event = one->services(0).events(0);
  EXPECT_EQ(event.name(), "pattern.detected");
  EXPECT_EQ(event.message(), "fanwire.catalog.v1.akosha.PatternDetected");
  EXPECT_EQ(event.description(), "A pattern was found.");
  EXPECT_EQ(event.channels(0), "patterns:{pattern_type}");
  EXPECT_EQ(event.status(), v1::EventDescription::STATUS_BUILT);
  EXPECT_TRUE(event.spread());
  EXPECT_EQ(event.keys(3).name(), "confidence");
  EXPECT_EQ(event.keys(3).type(), v1::KeyDescription::TYPE_NUMBER);
  EXPECT_FALSE(event.keys(3).optional());
}

TEST_F(AdminServiceTest, ChecksAConfigurationAsAStartWould) {
  host_.overrides.settings = {"limits.max_channels=77"};
  v1::CheckConfigRequest request;
  request.set_yaml("services:\n  - {name: akosha, port: 8692}\n");
  const auto good = Call(&v1::Admin::Stub::CheckConfig, request);
  ASSERT_OK(good);
  EXPECT_TRUE(good->ok());
  EXPECT_THAT(good->resolved_yaml(), HasSubstr("max_channels: 77"));
  request.set_yaml("services:\n  - name: akosha\n    prot: 8692\n");
  request.set_file_name("bad.yaml");
  const auto bad = Call(&v1::Admin::Stub::CheckConfig, request);
  ASSERT_OK(bad);
  EXPECT_FALSE(bad->ok());
  ASSERT_GT(bad->errors_size(), 0);
  EXPECT_THAT(bad->errors(0), HasSubstr("bad.yaml:3:5: "));
  EXPECT_THAT(bad->resolved_yaml(), IsEmpty());
}

TEST_F(AdminServiceTest, AReloadAnswersWhenItIsDone) {
  absl::StatusOr<v1::ReloadConfigResponse> response = absl::UnknownError("no answer");
  std::thread caller(
      [&] { response = Call(&v1::Admin::Stub::ReloadConfig, v1::ReloadConfigRequest()); });
  const bool asked = WaitFor([&] { return !host_.reloads().empty(); });
  if (asked) {
    v1::ReloadConfigResponse result;
    result.set_version(7);
    result.add_applied("limits.max_channels");
    host_.reloads()[0](result);
  }
  caller.join();
  ASSERT_TRUE(asked);
  ASSERT_OK(response);
  EXPECT_EQ(response->version(), 7u);
  EXPECT_THAT(response->applied(), ElementsAre("limits.max_channels"));
}

TEST_F(AdminServiceTest, ABadFileRefusesTheReload) {
  absl::StatusOr<v1::ReloadConfigResponse> response = absl::UnknownError("no answer");
  std::thread caller(
      [&] { response = Call(&v1::Admin::Stub::ReloadConfig, v1::ReloadConfigRequest()); });
  const bool asked = WaitFor([&] { return !host_.reloads().empty(); });
  if (asked) host_.reloads()[0](absl::InvalidArgumentError("fanwire.yaml:3:5: prot: no such key"));
  caller.join();
  EXPECT_THAT(response,
              StatusIs(absl::StatusCode::kInvalidArgument, "fanwire.yaml:3:5: prot: no such key"));
}

TEST_F(AdminServiceTest, SetsTheLogLevelAndTellsThePrevious) {
  const LogLevel before = GetLogLevel();
  const absl::Cleanup restore = [before] { SetLogLevel(before); };
  SetLogLevel(LogLevel::kWarning);
  v1::SetLogLevelRequest request;
  request.set_level("error");
  const auto response = Call(&v1::Admin::Stub::SetLogLevel, request);
  ASSERT_OK(response);
  EXPECT_EQ(response->previous(), "warning");
  EXPECT_EQ(GetLogLevel(), LogLevel::kError);
  request.set_level("loud");
  EXPECT_THAT(Call(&v1::Admin::Stub::SetLogLevel, request),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("loud")));
  EXPECT_EQ(GetLogLevel(), LogLevel::kError);
}

TEST_F(AdminServiceTest, TellsWhatIsRunning) {
  const auto version = Call(&v1::Admin::Stub::GetVersion, v1::GetVersionRequest());
  ASSERT_OK(version);
  EXPECT_EQ(version->version(), std::string(kVersion));
  EXPECT_EQ(version->build(), BuildInfo());
  EXPECT_EQ(version->pid(), static_cast<uint32_t>(getpid()));
  EXPECT_EQ(version->engine(), "memory");
  EXPECT_EQ(version->started_at().seconds(), 1'770'000'000);
}

}  // namespace
}  // namespace fanwire::control
