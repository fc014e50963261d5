#include "control/workers/worker_service.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc_status.h"
#include "control/events/delivery_counts.h"
#include "control/workers/ledger.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.grpc.pb.h"
#include "tests/control/routing/router_fixture.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A worker's end of an attachment: says what it is told to, and waits for what it expects.
class Attachment {
 public:
  explicit Attachment(v1::Workers::Stub* stub) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    stream_ = stub->Attach(&context_);
  }

  bool Say(const v1::WorkerMessage& message) { return stream_->Write(message); }
  bool Say(const v1::WorkerItem& item) {
    v1::WorkerMessage message;
    *message.add_items() = item;
    return Say(message);
  }
  void Hello(const std::string& id = "worker-0", uint64_t incarnation = 1) {
    v1::WorkerItem item;
    item.mutable_hello()->set_protocol_version(1);
    item.mutable_hello()->set_worker_id(id);
    item.mutable_hello()->set_incarnation(incarnation);
    item.mutable_hello()->set_pid(7);
    Say(item);
    // As if it had its ports open already.
    v1::WorkerItem ack;
    ack.mutable_config_ack()->set_version(1);
    ack.mutable_config_ack()->add_listeners()->set_service("s");
    Say(ack);
  }
  // All interest: `channels`, without positions.
  void Snapshot(const std::vector<std::string>& channels) {
    v1::WorkerItem item;
    v1::InterestSnapshot* const snapshot = item.mutable_interest_snapshot();
    snapshot->set_first(true);
    snapshot->set_last(true);
    for (const std::string& channel : channels) *snapshot->add_interests() = Interest(channel);
    Say(item);
  }
  static v1::Interest Interest(const std::string& channel) {
    v1::Interest interest;
    interest.set_service("s");
    interest.set_channel(channel);
    interest.set_pattern(channel.find('*') != std::string::npos);
    return interest;
  }

  // The next message; nothing at the stream's end.
  std::optional<v1::ControlMessage> Read() {
    v1::ControlMessage message;
    if (!stream_->Read(&message)) return std::nullopt;
    return message;
  }
  // The next message of this kind, others passed over.
  v1::ControlMessage Await(v1::ControlMessage::MessageCase kind) {
    while (std::optional<v1::ControlMessage> message = Read()) {
      if (message->message_case() == kind) return *std::move(message);
    }
    ADD_FAILURE() << "the stream ended before message " << kind;
    return {};
  }
  // The next item of a batch.
  v1::BatchItem AwaitItem() {
    while (items_.empty()) {
      const v1::ControlMessage message = Await(v1::ControlMessage::kBatch);
      if (!message.has_batch()) return {};
      items_.assign(message.batch().items().begin(), message.batch().items().end());
      applied_ += items_.size();
    }
    v1::BatchItem item = std::move(items_.front());
    items_.erase(items_.begin());
    return item;
  }
  uint64_t applied() const { return applied_; }

  void HalfClose() { stream_->WritesDone(); }
  void Cancel() { context_.TryCancel(); }
  absl::Status Finish() { return FromGrpcStatus(stream_->Finish()); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::ControlMessage>> stream_;
  std::vector<v1::BatchItem> items_;
  uint64_t applied_ = 0;
};

class WorkerServiceTest : public RouterFixture {
 protected:
  void SetUp() override { Serve({}); }
  void TearDown() override { StopServer(); }

  void Serve(const WorkerLink::Options& options) {
    StopServer();
    char folder[] = "/tmp/fanwire-attach-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    const std::string address = absl::StrCat("unix:", folder_, "/s");
    registry_ = WorkerRegistry::Make({.control_incarnation = 42}, routing_->subscriptions.get(),
                                     &routing_->receipts, &ledger_, &clock_, &timers_);
    auto config = std::make_shared<v1::WorkerConfig>();
    config->set_version(3);
    registry_->SetConfig(std::move(config));
    service_ = MakeWorkerService(options, routing_->subscriptions.get(), &routing_->receipts,
                                 registry_.get(), &clock_);
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::Workers::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }
  void StopServer() {
    if (server_ == nullptr) return;
    registry_->CloseAll(absl::UnavailableError("the test is over"));
    server_->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
    server_->Wait();
    server_ = nullptr;
    service_ = nullptr;
    registry_ = nullptr;
    unlink((folder_ + "/s").c_str());
    rmdir(folder_.c_str());
  }

  // An attached worker that has told its interest.
  std::unique_ptr<Attachment> Attach(const std::vector<std::string>& channels) {
    auto worker = std::make_unique<Attachment>(stub_.get());
    worker->Hello();
    worker->Snapshot(channels);
    EXPECT_TRUE(WaitFor([&] {
      const auto info = registry_->GetWorker("worker-0");
      return info.ok() && info->state() == v1::WORKER_STATE_READY;
    }));
    return worker;
  }

  std::string folder_;
  Ledger ledger_;
  std::unique_ptr<WorkerRegistry> registry_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Workers::Stub> stub_;
};

// ------------------------------------------------------------------------------- beginning

TEST_F(WorkerServiceTest, AHelloIsWelcomedAndGetsTheConfiguration) {
  Attachment worker(stub_.get());
  worker.Hello();
  const std::optional<v1::ControlMessage> welcome = worker.Read();
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(welcome->welcome().control_incarnation(), 42u);
  const std::optional<v1::ControlMessage> config = worker.Read();
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->config().version(), 3u);
  EXPECT_EQ(registry_->attached_count(), 1);
  worker.HalfClose();
  EXPECT_OK(worker.Finish());
  EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
}

TEST_F(WorkerServiceTest, TheFirstItemIsHelloAndThereIsOne) {
  Attachment hasty(stub_.get());
  hasty.Snapshot({});
  EXPECT_THAT(hasty.Finish(), StatusIs(kInvalid, HasSubstr("must be hello")));
  Attachment twice(stub_.get());
  twice.Hello();
  twice.Hello();
  while (twice.Read().has_value()) {
  }
  EXPECT_THAT(twice.Finish(),
              StatusIs(kInvalid, "hello: only the first item of an attachment may be one"));
  EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
}

TEST_F(WorkerServiceTest, ARefusedHelloEndsTheStreamWithTheReason) {
  Attachment worker(stub_.get());
  v1::WorkerItem item;
  item.mutable_hello()->set_protocol_version(99);
  item.mutable_hello()->set_worker_id("worker-0");
  worker.Say(item);
  EXPECT_THAT(worker.Finish(), StatusIs(kInvalid, HasSubstr("99")));
  Attachment current(stub_.get()), stale(stub_.get());
  current.Hello("worker-0", 2);
  current.Await(v1::ControlMessage::kWelcome);
  stale.Hello("worker-0", 1);
  EXPECT_THAT(stale.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("")));
  EXPECT_EQ(registry_->attached_count(), 1);
  current.Cancel();
}

TEST_F(WorkerServiceTest, AMessageOfTooManySmallPartsIsRefusedUnread) {
  Attachment worker(stub_.get());
  worker.Hello();
  v1::WorkerMessage small_parts;
  for (int i = 0; i < (1 << 20) + 1; ++i) small_parts.add_items();
  worker.Say(small_parts);
  while (worker.Read().has_value()) {
  }
  EXPECT_THAT(worker.Finish(),
              StatusIs(kInvalid, "the message has more than 1048576 fields: send several"));
  // A long text is one part.
  const auto other = Attach({});
  v1::WorkerItem item;
  item.mutable_client_request()->set_request("none");
  item.mutable_client_request()->set_data(std::string(3 << 20, 'x'));
  other->Say(item);
  other->Await(v1::ControlMessage::kClientReplies);
}

TEST_F(WorkerServiceTest, OfAWorkerThatServedBeforeWhatItCountedIsLeftOut) {
  const auto counted = [](int64_t matched) {
    v1::WorkerItem item;
    v1::ServiceLoad* const load = item.mutable_heartbeat()->add_services();
    load->set_service("s");
    load->set_matched(matched);
    load->set_written(matched);
    load->set_sessions(1);
    return item;
  };
  for (const uint64_t config_version : {7, 0}) {
    const int64_t before = ledger_.Get("s").matched;
    Attachment worker(stub_.get());
    v1::WorkerItem item;
    item.mutable_hello()->set_protocol_version(1);
    item.mutable_hello()->set_worker_id(absl::StrCat("worker-", config_version));
    item.mutable_hello()->set_incarnation(1);
    item.mutable_hello()->set_config_version(config_version);
    worker.Say(item);
    worker.Say(counted(1000));
    EXPECT_TRUE(WaitFor([&] { return ledger_.Get("s").sessions == 1; }));
    EXPECT_EQ(ledger_.Get("s").matched - before, config_version == 0 ? 1000 : 0);
    worker.Say(counted(1005));
    EXPECT_TRUE(WaitFor(
        [&] { return ledger_.Get("s").matched - before == (config_version == 0 ? 1005 : 5); }));
    // Attached again to the same control it goes on.
    worker.HalfClose();
    while (worker.Read().has_value()) {
    }
    EXPECT_OK(worker.Finish());
    EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
    Attachment again(stub_.get());
    item.mutable_hello()->set_config_version(7);
    again.Say(item);
    again.Say(counted(1010));
    EXPECT_TRUE(WaitFor(
        [&] { return ledger_.Get("s").matched - before == (config_version == 0 ? 1010 : 10); }));
    again.HalfClose();
    while (again.Read().has_value()) {
    }
    EXPECT_OK(again.Finish());
    EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
    registry_->Forget(absl::StrCat("worker-", config_version));
  }
}

TEST_F(WorkerServiceTest, AStreamWithoutAWordEnds) {
  Attachment worker(stub_.get());
  worker.HalfClose();
  EXPECT_OK(worker.Finish());
  Attachment cancelled(stub_.get());
  cancelled.Cancel();
  EXPECT_THAT(cancelled.Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
}

// ------------------------------------------------------------------------------- channels

TEST_F(WorkerServiceTest, PublicationsOfWantedChannelsComeInOrder) {
  const auto worker = Attach({"x", "a:*"});
  Publish("x", 2);
  Publish("other");
  Publish("a:1");
  EXPECT_EQ(worker->AwaitItem().channel_def().channel(), "x");
  EXPECT_EQ(worker->AwaitItem().event_def().name(), "thing.happened");
  EXPECT_EQ(worker->AwaitItem().deliver().offset(), 1);
  EXPECT_EQ(worker->AwaitItem().deliver().offset(), 2);
  EXPECT_EQ(worker->AwaitItem().channel_def().channel(), "a:1");
  EXPECT_THAT(worker->AwaitItem().deliver().envelope(), HasSubstr("\"room\":\"a:1\""));
}

TEST_F(WorkerServiceTest, DeltasAddAndRemoveInterest) {
  const auto worker = Attach({"x"});
  Publish("x");
  Publish("y");
  EXPECT_EQ(worker->AwaitItem().channel_def().channel(), "x");
  EXPECT_TRUE(worker->AwaitItem().has_event_def());
  EXPECT_EQ(worker->AwaitItem().deliver().offset(), 1);
  v1::WorkerItem item;
  *item.mutable_interest_delta()->add_add() = Attachment::Interest("y");
  *item.mutable_interest_delta()->add_remove() = Attachment::Interest("x");
  worker->Say(item);
  EXPECT_TRUE(worker->AwaitItem().has_channel_release());
  EXPECT_EQ(routing_->queries->GetChannel("s", "y")->workers, 1);
  Publish("x");
  Publish("y");
  EXPECT_EQ(worker->AwaitItem().channel_def().channel(), "y");
}

TEST_F(WorkerServiceTest, ASnapshotWithPositionsIsCaughtUp) {
  const std::string epoch = Publish("x", 4).epoch.ToText();
  Attachment worker(stub_.get());
  worker.Hello();
  v1::WorkerItem first, last;
  first.mutable_interest_snapshot()->set_first(true);
  *first.mutable_interest_snapshot()->add_interests() = Attachment::Interest("x");
  worker.Say(first);
  v1::ChannelPosition* const at = last.mutable_interest_snapshot()->add_positions();
  at->set_service("s");
  at->set_channel("x");
  at->mutable_position()->set_epoch(epoch);
  at->mutable_position()->set_offset(2);
  last.mutable_interest_snapshot()->set_last(true);
  worker.Say(last);
  EXPECT_EQ(worker.AwaitItem().channel_def().offset(), 2);
  EXPECT_TRUE(worker.AwaitItem().has_event_def());
  EXPECT_EQ(worker.AwaitItem().deliver().offset(), 3);
  EXPECT_EQ(worker.AwaitItem().deliver().offset(), 4);
}

TEST_F(WorkerServiceTest, ASubscribeQueryIsAnswered) {
  const std::string epoch = Publish("x", 4).epoch.ToText();
  const auto worker = Attach({"x"});
  v1::WorkerItem item;
  v1::SubscribeQuery* const query = item.mutable_subscribe_query();
  query->set_query_id(9);
  query->set_service("s");
  query->set_channel("x");
  query->mutable_recover()->set_epoch(epoch);
  query->mutable_recover()->set_offset(2);
  query->set_page_bytes(1);
  worker->Say(item);
  EXPECT_TRUE(worker->AwaitItem().has_channel_def());
  EXPECT_TRUE(worker->AwaitItem().has_event_def());
  const v1::SubscribeResult result = worker->AwaitItem().subscribe_result();
  EXPECT_EQ(result.query_id(), 9u);
  EXPECT_TRUE(result.recovered());
  ASSERT_THAT(result.publications(), SizeIs(1));
  EXPECT_EQ(result.publications(0).offset(), 3);
  EXPECT_FALSE(result.last_page());
  query->clear_recover();
  worker->Say(item);
  EXPECT_FALSE(worker->AwaitItem().subscribe_result().recovered());
}

TEST_F(WorkerServiceTest, AcksOpenTheWindow) {
  Serve({.window_items = 1});
  const auto worker = Attach({"x"});
  Publish("x");
  for (int i = 0; i < 3; ++i) worker->AwaitItem();
  Publish("x", 3);
  EXPECT_EQ(registry_->GetWorker("worker-0")->queue_publications(), 3);
  v1::WorkerItem item;
  item.mutable_ack()->set_seq(worker->applied());
  item.mutable_ack()->set_bytes(1 << 20);
  worker->Say(item);
  EXPECT_EQ(worker->AwaitItem().deliver().offset(), 2);
}

TEST_F(WorkerServiceTest, ADeliveryReportEndsTheReceipt) {
  const auto worker = Attach({"x"});
  FakeReceiptSink sink;
  {
    const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
    run->Publish(MakeEvent("x"), {.level = ReceiptLevel::kWritten}, &sink, 0);
  }
  worker->AwaitItem();
  worker->AwaitItem();
  v1::WorkerItem item;
  v1::DeliveryReport* const report = item.mutable_delivery_report();
  report->set_publication_id(worker->AwaitItem().deliver().publication_id());
  report->set_matched(9);
  report->set_written(3);
  report->set_lost_connection(1);
  report->set_expired(2);
  for (const int reason : {1, 1, 50}) {
    v1::DropCount* const dropped = report->add_dropped();
    dropped->set_reason(static_cast<v1::DropReason>(reason));
    dropped->set_count(1);
  }
  report->set_first_written_us(5);
  report->set_last_written_us(6);
  report->set_final(true);
  worker->Say(item);
  ASSERT_TRUE(WaitFor([&] { return sink.count() == 1; }));
  const DeliveryCounts counts = sink.last().outcome.delivery;
  EXPECT_EQ(counts.matched, 9);
  EXPECT_EQ(counts.written, 3);
  EXPECT_EQ(counts.lost_connection, 1);
  EXPECT_EQ(counts.expired, 2);
  // A reason that this version does not know is none, not lost.
  EXPECT_THAT(counts.dropped, ElementsAre(1, 2, 0, 0, 0));
}

TEST_F(WorkerServiceTest, UnknownDialectsEndTheAttachment) {
  const auto expect_refused = [this](const v1::WorkerItem& item) {
    const auto worker = Attach({});
    worker->Say(item);
    while (worker->Read().has_value()) {
    }
    EXPECT_THAT(worker->Finish(), StatusIs(kInvalid, HasSubstr("unknown dialect")));
    EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
  };
  v1::Interest interest = Attachment::Interest("x");
  interest.set_dialect(static_cast<v1::Dialect>(9));
  v1::WorkerItem item;
  *item.mutable_interest_snapshot()->add_interests() = interest;
  expect_refused(item);
  *item.mutable_interest_delta()->add_add() = interest;
  expect_refused(item);
  item.mutable_interest_delta()->clear_add();
  *item.mutable_interest_delta()->add_remove() = interest;
  expect_refused(item);
  item.mutable_subscribe_query()->set_dialect(static_cast<v1::Dialect>(9));
  expect_refused(item);
}

// ------------------------------------------------------------------------------- the rest

TEST_F(WorkerServiceTest, EveryOtherItemReachesTheRegistry) {
  const auto worker = Attach({});
  registry_->SetSlotLimit("s", 100);
  v1::WorkerMessage message;
  message.add_items();  // of a later version: passed over
  message.add_items()->mutable_config_ack()->set_version(3);
  v1::ServiceLoad* const load = message.add_items()->mutable_heartbeat()->add_services();
  load->set_service("s");
  load->set_sessions(5);
  v1::ClientRequest* const request = message.add_items()->mutable_client_request();
  request->set_request_id(4);
  request->set_service("s");
  request->set_request("none");
  v1::SlotRequest* const slots = message.add_items()->mutable_slot_request();
  slots->set_service("s");
  slots->set_want(10);
  message.add_items()->mutable_drain_status()->set_remaining(3);
  worker->Say(message);
  const v1::ControlMessage replies = worker->Await(v1::ControlMessage::kClientReplies);
  ASSERT_THAT(replies.client_replies().replies(), SizeIs(1));
  EXPECT_EQ(replies.client_replies().replies(0).request_id(), 4u);
  EXPECT_EQ(replies.client_replies().replies(0).error_code(), "UNKNOWN_REQUEST");
  const v1::ControlMessage grants = worker->Await(v1::ControlMessage::kSlotGrants);
  EXPECT_EQ(grants.slot_grants().grants(0).slots(), 10u);
  EXPECT_EQ(ledger_.Get("s").sessions, 5);
  EXPECT_EQ(registry_->GetWorker("worker-0")->config_version(), 3u);
  // A question and its answer.
  std::optional<QueryResult> result;
  v1::Query query;
  query.mutable_rooms();
  registry_->QueryAll(query, absl::Seconds(5), [&](QueryResult got) { result = std::move(got); });
  const v1::ControlMessage asked = worker->Await(v1::ControlMessage::kQuery);
  v1::WorkerItem reply;
  reply.mutable_query_reply()->set_query_id(asked.query().query_id());
  reply.mutable_query_reply()->set_affected(77);
  reply.mutable_query_reply()->set_last(true);
  worker->Say(reply);
  worker->HalfClose();
  EXPECT_OK(worker->Finish());
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->replies[0].affected(), 77);
}

TEST_F(WorkerServiceTest, AWorkerThatGoesTakesItsInterestWithItAndEndsItsReceipts) {
  const auto worker = Attach({"x", "a:*"});
  FakeReceiptSink sink;
  {
    const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
    run->Publish(MakeEvent("x"), {.level = ReceiptLevel::kWritten}, &sink, 0);
  }
  EXPECT_EQ(sink.count(), 0u);
  worker->Cancel();
  EXPECT_THAT(worker->Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
  EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
  EXPECT_TRUE(WaitFor([&] { return sink.count() == 1; }));
  EXPECT_EQ(sink.last().outcome.delivery.workers_reported, 0);
  EXPECT_TRUE(WaitFor([&] { return routing_->queries->GetChannel("s", "x")->workers == 0; }));
}

TEST_F(WorkerServiceTest, AClosingControlTellsItsWorkersWhy) {
  const auto worker = Attach({"x"});
  Publish("x");
  registry_->CloseAll(absl::UnavailableError("control is stopping"));
  while (worker->Read().has_value()) {
  }
  EXPECT_THAT(worker->Finish(), StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
}

TEST_F(WorkerServiceTest, ASuccessorReplacesTheAttachment) {
  const auto first = Attach({"x"});
  Attachment second(stub_.get());
  second.Hello("worker-0", 2);
  second.Snapshot({"x"});
  while (first->Read().has_value()) {
  }
  EXPECT_FALSE(first->Finish().ok());
  EXPECT_TRUE(WaitFor([&] {
    const auto info = registry_->GetWorker("worker-0");
    return info.ok() && info->incarnation() == 2 && info->state() == v1::WORKER_STATE_READY;
  }));
  Publish("x");
  EXPECT_TRUE(second.AwaitItem().has_channel_def());
}

TEST_F(WorkerServiceTest, AttachmentsMayComeAndGoWhileOthersPublish) {
  std::atomic<bool> over{false};
  std::thread publishing([&] {
    FakeReceiptSink sink;
    while (!over) {
      const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
      for (int i = 0; i < 10; ++i) run->Publish(MakeEvent("x"), {}, &sink, 0);
    }
  });
  for (int i = 0; i < 40; ++i) {
    Attachment worker(stub_.get());
    worker.Hello("worker-0", static_cast<uint64_t>(i / 2 + 1));
    worker.Snapshot({"x", "**"});
    if (i % 3 == 0) {
      worker.AwaitItem();
      worker.AwaitItem();
    }
    if (i % 4 == 0) worker.HalfClose();
    worker.Cancel();
    worker.Finish().IgnoreError();
  }
  EXPECT_TRUE(WaitFor([&] { return registry_->attached_count() == 0; }));
  over = true;
  publishing.join();
  EXPECT_TRUE(WaitFor([&] { return routing_->queries->GetChannel("s", "x")->workers == 0; }));
}

}  // namespace
}  // namespace fanwire::control
