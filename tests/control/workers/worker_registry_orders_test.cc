// Slots, questions, drains, clients' requests, and all of it from several threads.
#include <atomic>
#include <map>
#include <optional>
#include <thread>

#include "control/workers/presence_handler.h"
#include "control/workers/worker_registry.h"
#include "tests/control/workers/worker_registry_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

// ------------------------------------------------------------------------------- slots

class SlotsTest : public WorkerRegistryTest {
 protected:
  SlotsTest() { registry_->SetSlotLimit("akosha", 10); }

  void Request(const FakeStream& worker, uint32_t want, uint32_t in_use = 0, uint32_t waiting = 0) {
    v1::SlotRequest request;
    request.set_service("akosha");
    request.set_want(want);
    request.set_in_use(in_use);
    request.set_waiting(waiting);
    registry_->OnSlotRequest(worker.link, request);
  }
  void Confirm(const FakeStream& worker, uint32_t held, uint32_t in_use = 0) {
    v1::SlotRequest request;
    request.set_service("akosha");
    request.set_want(held);
    request.set_in_use(in_use);
    request.set_confirms(true);
    registry_->OnSlotRequest(worker.link, request);
  }
  void Report(const FakeStream& worker, int64_t sessions) {
    v1::Heartbeat heartbeat;
    v1::ServiceLoad* const load = heartbeat.add_services();
    load->set_service("akosha");
    load->set_sessions(sessions);
    Beat(worker, heartbeat);
  }

  // The slots that the worker was granted since the last call.
  static std::vector<uint32_t> Grants(FakeStream* worker) {
    std::vector<uint32_t> slots;
    for (const v1::ControlMessage& message : worker->Take()) {
      for (const v1::SlotGrant& grant : message.slot_grants().grants()) {
        EXPECT_EQ(grant.service(), "akosha");
        slots.push_back(grant.slots());
      }
    }
    return slots;
  }

  std::unique_ptr<FakeStream> a_ = Attach("worker-a"), b_ = Attach("worker-b");
};

TEST_F(SlotsTest, AreGrantedAsFarAsTheyGo) {
  Request(*a_, 8);
  Request(*b_, 8);
  EXPECT_THAT(Grants(a_.get()), ElementsAre(8));
  EXPECT_THAT(Grants(b_.get()), ElementsAre(2));
}

TEST_F(SlotsTest, OfAWorkerThatGoesAreGrantedToWhoWantedMore) {
  Request(*a_, 8);
  Request(*b_, 8);
  Grants(b_.get());
  registry_->Detach(a_->link, absl::UnavailableError("ended"));
  EXPECT_THAT(Grants(b_.get()), ElementsAre(8));
}

TEST_F(SlotsTest, OfASilentWorkerAreGrantedToWhoWantedMore) {
  Request(*a_, 8);
  Request(*b_, 8);
  Grants(b_.get());
  for (int i = 0; i < 4; ++i) Pass({b_.get()});
  EXPECT_THAT(Grants(b_.get()), ElementsAre(8));
}

TEST_F(SlotsTest, AHigherLimitIsGrantedAtOnce) {
  Request(*a_, 12);
  EXPECT_THAT(Grants(a_.get()), ElementsAre(10));
  registry_->SetSlotLimit("akosha", 20);
  EXPECT_THAT(Grants(a_.get()), ElementsAre(12));
}

TEST_F(SlotsTest, HeldFromBeforeAreHonouredAlsoOverTheLimit) {
  Request(*a_, 10, 10);
  v1::Hello hello = MakeHello("worker-c");
  v1::SlotRequest* const held = hello.add_slots();
  held->set_service("akosha");
  held->set_want(6);
  held->set_in_use(6);
  const auto c = MakeStream();
  ASSERT_OK(registry_->Attach(hello, c->link));
  EXPECT_THAT(Grants(c.get()), ElementsAre(6));
  Request(*b_, 1);
  EXPECT_THAT(Grants(b_.get()), ElementsAre(0));
  Request(*a_, 4, 4);
  EXPECT_THAT(Grants(b_.get()), IsEmpty());  // 10 are leased now
  Request(*a_, 3, 3);
  EXPECT_THAT(Grants(b_.get()), IsEmpty());  // a may use them until it has heard of it
  Confirm(*a_, 3, 3);
  EXPECT_THAT(Grants(b_.get()), ElementsAre(1));
}

TEST_F(SlotsTest, OfAProcessThatAttachesAgainGoToNobodyElse) {
  Request(*a_, 10, 10);
  Request(*b_, 4);
  Grants(b_.get());
  v1::Hello hello = MakeHello("worker-a");
  v1::SlotRequest* const held = hello.add_slots();
  held->set_service("akosha");
  held->set_want(10);
  held->set_in_use(10);
  const auto again = Attach(hello);
  EXPECT_THAT(Grants(b_.get()), IsEmpty());
}

TEST_F(SlotsTest, IdleOnesGoToAWorkerWhoseClientsWait) {
  Request(*a_, 8);
  Request(*b_, 8, 2);
  Grants(a_.get());
  Grants(b_.get());
  Request(*b_, 11, 2, /*waiting=*/1);
  EXPECT_THAT(Grants(a_.get()), ElementsAre(7));
  EXPECT_THAT(Grants(b_.get()), ElementsAre(2));
  Confirm(*a_, 7);
  EXPECT_THAT(Grants(b_.get()), ElementsAre(3));
}

TEST_F(SlotsTest, ThatAHeartbeatShowsIdleGoToAWorkerWhoseClientsWait) {
  Request(*a_, 10, 10);
  Request(*b_, 9, 0, /*waiting=*/1);
  Confirm(*a_, 10, 10);
  Grants(a_.get());
  Report(*a_, 9);
  EXPECT_THAT(Grants(a_.get()), ElementsAre(9));
}

TEST_F(SlotsTest, IdleOnesOverTheLimitAreTakenBackAtTheTick) {
  Request(*a_, 10);
  Report(*a_, 7);
  Grants(a_.get());
  registry_->SetSlotLimit("akosha", 5);
  EXPECT_THAT(Grants(a_.get()), IsEmpty());
  registry_->Tick();
  EXPECT_THAT(Grants(a_.get()), ElementsAre(7));
}

// ------------------------------------------------------------------------------- questions

class QuestionsTest : public WorkerRegistryTest {
 protected:
  void Ask() {
    v1::Query query;
    query.mutable_rooms()->set_service("akosha");
    registry_->QueryAll(query, absl::Seconds(2), [this](QueryResult result) {
      registry_->attached_count();        // hangs under the mutex
      EXPECT_FALSE(result_.has_value());  // told once
      result_ = std::move(result);
    });
  }
  // The question as the worker got it.
  static v1::Query Asked(FakeStream* worker) {
    const std::vector<v1::ControlMessage> sent = worker->Take();
    EXPECT_THAT(sent, SizeIs(1));
    return sent.empty() ? v1::Query() : sent[0].query();
  }
  void Reply(FakeStream* worker, int64_t affected = 0) {
    v1::QueryReply reply;
    reply.set_query_id(Asked(worker).query_id());
    reply.set_affected(affected);
    reply.set_last(true);
    registry_->OnQueryReply(worker->link, reply);
  }

  std::optional<QueryResult> result_;
};

TEST_F(QuestionsTest, GoToAllWorkersAndAreDoneWhenAllHaveAnswered) {
  const auto a = Attach("worker-a"), b = Attach("worker-b");
  Ask();
  const v1::Query asked = Asked(a.get());
  EXPECT_EQ(asked.rooms().service(), "akosha");
  v1::QueryReply reply;
  reply.set_query_id(asked.query_id());
  reply.set_affected(3);
  reply.set_last(true);
  registry_->OnQueryReply(a->link, reply);
  EXPECT_FALSE(result_.has_value());
  Reply(b.get(), 4);
  ASSERT_TRUE(result_.has_value());
  ASSERT_THAT(result_->replies, SizeIs(2));
  EXPECT_EQ(result_->replies[0].affected() + result_->replies[1].affected(), 7);
  EXPECT_EQ(result_->workers_total, 2);
  EXPECT_EQ(result_->workers_answered, 2);
}

TEST_F(QuestionsTest, WithoutWorkersAreDoneAtOnce) {
  Ask();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 0);
}

TEST_F(QuestionsTest, EndAtTheirTime) {
  const auto a = Attach("worker-a"), b = Attach("worker-b");
  Ask();
  Reply(a.get());
  clock_.Advance(absl::Seconds(2));
  timers_.RunDue();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 2);
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(QuestionsTest, DoNotWaitForAWorkerThatGoes) {
  const auto a = Attach("worker-a"), b = Attach("worker-b");
  Ask();
  Reply(a.get());
  registry_->Detach(b->link, absl::UnavailableError("ended"));
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 2);
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(QuestionsTest, CountAWorkerThatIsGoneAsOneThatDidNotAnswer) {
  const auto a = Attach("worker-a"), b = Attach("worker-b");
  registry_->Detach(b->link, absl::UnavailableError("ended"));
  Ask();
  Reply(a.get());
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 2);
  EXPECT_EQ(result_->workers_asked, 1);
  EXPECT_EQ(result_->workers_answered, 1);
  // Without anybody to ask it is said at once.
  registry_->Detach(a->link, absl::UnavailableError("ended"));
  result_.reset();
  Ask();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 2);
  EXPECT_EQ(result_->workers_asked, 0);
  EXPECT_EQ(result_->workers_answered, 0);
}

TEST_F(QuestionsTest, CountASurvivorThatHasNotAttachedYet) {
  const auto a = Attach("worker-a");
  const auto total = [&] {
    result_.reset();
    Ask();
    Reply(a.get());
    return result_.has_value() ? result_->workers_total : -1;
  };
  registry_->Expect("worker-b", true);
  registry_->Expect("worker-b", true);
  registry_->Expect("worker-a", true);  // is there
  EXPECT_EQ(total(), 2);
  EXPECT_EQ(result_->workers_answered, 1);
  registry_->Expect("worker-b", false);
  EXPECT_EQ(total(), 1);
  registry_->Expect("worker-c", true);
  const auto c = Attach("worker-c");
  registry_->Detach(c->link, absl::UnavailableError("ended"));
  EXPECT_EQ(total(), 2);
  registry_->Forget("worker-c");
  EXPECT_EQ(total(), 1);
}

TEST_F(QuestionsTest, DoNotCountAWorkerThatEndedByADrainOrIsForgotten) {
  const auto a = Attach("worker-a"), b = Attach("worker-b"), c = Attach("worker-c");
  v1::DrainStatus drained;
  drained.set_done(true);
  registry_->OnDrainStatus(b->link, drained);
  registry_->Detach(b->link, absl::UnavailableError("ended"));
  registry_->Detach(c->link, absl::UnavailableError("ended"));
  registry_->Forget("worker-c");
  Ask();
  Reply(a.get());
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_total, 1);
  EXPECT_EQ(result_->workers_answered, 1);
}

TEST_F(QuestionsTest, TheAnswerOfAReplacedAttachmentDoesNotCount) {
  const auto old = Attach("worker-a", 5);
  Ask();
  const auto next = Attach("worker-a", 7);
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->workers_answered, 0);
  Reply(old.get());
  EXPECT_THAT(result_->replies, IsEmpty());
}

// ------------------------------------------------------------------------------- draining

class DrainTest : public WorkerRegistryTest {
 protected:
  absl::Status Drain(const std::string& id, const DrainOrder& order = {}) {
    return registry_->Drain(id, order, [this](int64_t remaining, bool done) {
      registry_->attached_count();  // hangs under the mutex
      progress_.emplace_back(remaining, done);
    });
  }
  void Status(const FakeStream& worker, int64_t remaining, bool done) {
    v1::DrainStatus status;
    status.set_remaining(remaining);
    status.set_done(done);
    registry_->OnDrainStatus(worker.link, status);
  }

  // Attached with an open port.
  std::unique_ptr<FakeStream> AttachServing(const std::string& id) {
    auto worker = Attach(id);
    OpenPorts(*worker);
    return worker;
  }

  std::vector<std::pair<int64_t, bool>> progress_;
};

TEST_F(DrainTest, IsOrderedAndReportedUntilDone) {
  const auto worker = Attach("worker-0");
  ASSERT_OK(Drain("worker-0", {.window = absl::Milliseconds(2500),
                               .deadline = absl::Seconds(9),
                               .close_code = 1001,
                               .reason = "moving",
                               .exit = false}));
  const std::vector<v1::ControlMessage> sent = worker->Take();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].drain().window().seconds(), 2);
  EXPECT_EQ(sent[0].drain().window().nanos(), 500'000'000);
  EXPECT_EQ(sent[0].drain().deadline().seconds(), 9);
  EXPECT_EQ(sent[0].drain().close_code(), 1001u);
  EXPECT_EQ(sent[0].drain().reason(), "moving");
  EXPECT_FALSE(sent[0].drain().exit());
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_DRAINING);
  EXPECT_THAT(progress_, IsEmpty());

  Status(*worker, 7, false);
  Status(*worker, 0, true);
  EXPECT_THAT(progress_, ElementsAre(Pair(7, false), Pair(0, true)));
  registry_->Detach(worker->link, absl::UnavailableError("ended"));
  EXPECT_THAT(progress_, SizeIs(2));
}

TEST_F(DrainTest, EndsWithTheAttachment) {
  const auto worker = Attach("worker-0");
  ASSERT_OK(Drain("worker-0"));
  Status(*worker, 2, false);
  registry_->Detach(worker->link, absl::UnavailableError("ended"));
  EXPECT_THAT(progress_, ElementsAre(Pair(2, false), Pair(2, true)));
}

TEST_F(DrainTest, OfAProcessThatAttachesAgainGoesOn) {
  const auto worker = Attach("worker-0");
  ASSERT_OK(Drain("worker-0"));
  v1::Hello hello = MakeHello("worker-0");
  hello.set_draining(true);
  const auto again = Attach(hello);
  EXPECT_THAT(progress_, IsEmpty());
  Status(*again, 1, false);
  Status(*again, 0, true);
  EXPECT_THAT(progress_, ElementsAre(Pair(1, false), Pair(0, true)));
}

TEST_F(DrainTest, OfAWorkerThatIsReplacedHasEnded) {
  const auto worker = Attach("worker-0", 5);
  ASSERT_OK(Drain("worker-0"));
  const auto next = Attach("worker-0", 7);
  EXPECT_THAT(progress_, ElementsAre(Pair(0, true)));
  EXPECT_NE(Info("worker-0").state(), v1::WORKER_STATE_DRAINING);
}

TEST_F(DrainTest, MayBeWatchedByTwo) {
  const auto worker = Attach("worker-0");
  ASSERT_OK(Drain("worker-0"));
  ASSERT_OK(Drain("worker-0"));
  Status(*worker, 0, true);
  EXPECT_THAT(progress_, ElementsAre(Pair(0, true), Pair(0, true)));
}

TEST_F(DrainTest, NeedsAnAttachedWorker) {
  EXPECT_THAT(Drain("worker-9"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("worker-9")));
  const auto worker = Attach("worker-0");
  registry_->Detach(worker->link, absl::UnavailableError("ended"));
  EXPECT_THAT(Drain("worker-0"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("not attached")));
}

TEST_F(DrainTest, OfTheLastWorkerThatServesIsRefusedIfAskedSo) {
  const auto first = AttachServing("worker-0");
  EXPECT_THAT(registry_->BeginDrain("worker-0", true),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "worker-0 is the last worker that serves clients: drained, it leaves nobody "
                       "to connect to"));
  EXPECT_EQ(registry_->serving_count(), 1);
  // Workers that do not serve clients do not count, and may be drained themselves.
  const auto idle = Attach("worker-1");
  EXPECT_FALSE(registry_->BeginDrain("worker-0", true).ok());
  EXPECT_OK(registry_->BeginDrain("worker-1", true));
  EXPECT_OK(registry_->BeginDrain("worker-9", true));
  EXPECT_OK(registry_->BeginDrain("worker-0", false));
  EXPECT_EQ(registry_->serving_count(), 0);
  EXPECT_OK(registry_->BeginDrain("worker-0", true));  // it drains already
}

TEST_F(DrainTest, OfTwoAtOnceOneIsRefused) {
  const auto first = AttachServing("worker-0"), second = AttachServing("worker-1");
  EXPECT_OK(registry_->BeginDrain("worker-0", true));
  // Nothing was ordered yet, and the worker has told nothing.
  EXPECT_FALSE(registry_->BeginDrain("worker-1", true).ok());
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_DRAINING);
  ASSERT_OK(Drain("worker-0"));
  EXPECT_EQ(registry_->serving_count(), 1);
}

TEST_F(DrainTest, OfAWorkersOwnAccordShowsInItsState) {
  const auto worker = Attach("worker-0");
  Snapshot(*worker);
  Status(*worker, 4, false);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_DRAINING);
  v1::Hello hello = MakeHello("worker-1");
  hello.set_draining(true);
  const auto other = Attach(hello);
  EXPECT_EQ(Info("worker-1").state(), v1::WORKER_STATE_DRAINING);
}

// ------------------------------------------------------------------------------- clients' requests

class FakeHandler final : public ClientRequestHandler {
 public:
  void Handle(const v1::ClientRequest& request, Reply reply) override {
    requests.push_back(request.request());
    replies.push_back(std::move(reply));
  }

  void Answer(const std::string& data) {
    v1::ClientReply reply;
    reply.set_data(data);
    replies.back()(std::move(reply));
  }

  std::vector<std::string> requests;
  std::vector<Reply> replies;
};

class FakeDefaultHandler final : public DefaultRequestHandler {
 public:
  void Handle(uint64_t link, const v1::ClientRequest& request, Reply reply) override {
    heard.push_back(absl::StrCat(link, " ", request.request()));
    replies.push_back(std::move(reply));
  }
  void Cancel(uint64_t link, const v1::ClientCancel& cancel) override {
    heard.push_back(absl::StrCat(link, " cancel ", cancel.request_id()));
  }
  void LinkGone(uint64_t link) override { heard.push_back(absl::StrCat(link, " gone")); }

  void Answer(const std::string& data) {
    v1::ClientReply reply;
    reply.set_data(data);
    replies.back()(std::move(reply));
  }

  std::vector<std::string> heard;
  std::vector<Reply> replies;
};

class FakePresenceHandler final : public PresenceHandler {
 public:
  void OnPresence(const WorkerProcess& process, uint64_t link,
                  const v1::PresenceUpdate& update) override {
    heard.push_back(absl::StrCat(process.worker_id, " ", process.incarnation, " ", link, " ",
                                 update.changes_size()));
  }
  void LinkGone(uint64_t link) override { heard.push_back(absl::StrCat("gone ", link)); }

  std::vector<std::string> heard;
};

TEST_F(WorkerRegistryTest, WhatWorkersSayOfMembersGoesToItsHandlerWithTheProcess) {
  FakePresenceHandler handler;
  registry_->SetPresenceHandler(&handler);
  v1::PresenceUpdate update;
  update.add_changes();
  const auto first = Attach("worker-0", 7);
  registry_->OnPresence(first->link, update);
  const auto again = Attach("worker-0", 7);
  registry_->OnPresence(first->link, update);  // its attachment has ended
  registry_->OnPresence(again->link, update);
  registry_->Detach(again->link, absl::UnavailableError("ended"));
  const uint64_t a = first->link->id(), b = again->link->id();
  EXPECT_THAT(handler.heard,
              ElementsAre(absl::StrCat("worker-0 7 ", a, " 1"), absl::StrCat("gone ", a),
                          absl::StrCat("worker-0 7 ", b, " 1"), absl::StrCat("gone ", b)));
}

class RequestsTest : public WorkerRegistryTest {
 protected:
  void Request(const FakeStream& worker, uint64_t id, const std::string& name) {
    v1::ClientRequest request;
    request.set_request_id(id);
    request.set_request(name);
    registry_->OnClientRequest(worker.link, request);
  }
  static v1::ClientReply TakeReply(FakeStream* worker) {
    const std::vector<v1::ControlMessage> sent = worker->Take();
    if (sent.size() != 1 || sent[0].client_replies().replies_size() != 1) {
      ADD_FAILURE() << "not one reply";
      return {};
    }
    return sent[0].client_replies().replies(0);
  }

  FakeHandler history_;
  FakeDefaultHandler other_;
};

TEST_F(RequestsTest, GoToTheHandlerOfTheirName) {
  registry_->SetRequestHandler("history", &history_);
  registry_->SetDefaultRequestHandler(&other_);
  const auto worker = Attach("worker-0");
  Request(*worker, 5, "history");
  Request(*worker, 6, "get_pool_status");
  EXPECT_THAT(history_.requests, ElementsAre("history"));
  const uint64_t link = worker->link->id();
  EXPECT_THAT(other_.heard, ElementsAre(absl::StrCat(link, " get_pool_status")));
  history_.Answer(R"({"events":[]})");
  v1::ClientReply reply = TakeReply(worker.get());
  EXPECT_EQ(reply.request_id(), 5u);
  EXPECT_EQ(reply.data(), R"({"events":[]})");
  other_.Answer("{}");
  EXPECT_EQ(TakeReply(worker.get()).request_id(), 6u);
}

TEST_F(RequestsTest, ThatNobodyWaitsForAreCancelledAndAllOfAWorkerThatIsGone) {
  registry_->SetDefaultRequestHandler(&other_);
  const auto first = Attach("worker-0"), second = Attach("worker-1");
  const uint64_t a = first->link->id(), b = second->link->id();
  v1::ClientCancel cancel;
  cancel.set_request_id(7);
  registry_->OnClientCancel(second->link, cancel);
  EXPECT_THAT(other_.heard, ElementsAre(absl::StrCat(b, " cancel 7")));
  other_.heard.clear();
  registry_->Detach(first->link, absl::UnavailableError("ended"));
  EXPECT_THAT(other_.heard, ElementsAre(absl::StrCat(a, " gone")));
  other_.heard.clear();
  const auto again = Attach("worker-1");
  EXPECT_THAT(other_.heard, ElementsAre(absl::StrCat(b, " gone")));
}

TEST_F(RequestsTest, ThatRespondersServeAreToldToAllWorkersNowAndLater) {
  const auto first = Attach("worker-0");
  first->Take();
  const auto registered = [](const char* name) {
    auto all = std::make_shared<v1::RegisteredRequests>();
    all->add_services()->add_requests(name);
    return all;
  };
  registry_->SetRegisteredRequests(2, registered("new"));
  registry_->SetRegisteredRequests(1, registered("old"));
  const auto second = MakeStream();
  EXPECT_OK(registry_->Attach(MakeHello("worker-1"), second->link));
  for (FakeStream* const worker : {first.get(), second.get()}) {
    std::vector<std::string> told;
    for (const v1::ControlMessage& message : worker->Take()) {
      if (!message.has_registered_requests()) continue;
      told.push_back(message.registered_requests().services(0).requests(0));
    }
    EXPECT_THAT(told, ElementsAre("new"));
  }
}

TEST_F(RequestsTest, ThatNobodyAnswersAreUnknown) {
  registry_->SetRequestHandler("history", &history_);
  const auto worker = Attach("worker-0");
  Request(*worker, 5, "make_coffee");
  const v1::ClientReply reply = TakeReply(worker.get());
  EXPECT_EQ(reply.request_id(), 5u);
  EXPECT_EQ(reply.error_code(), "UNKNOWN_REQUEST");
  EXPECT_EQ(reply.error_message(), "Unknown request event: make_coffee");
}

TEST_F(RequestsTest, AnsweredWhenTheWorkerIsGoneAreAnsweredToNobody) {
  registry_->SetRequestHandler("history", &history_);
  const auto first = Attach("worker-0");
  Request(*first, 5, "history");
  const auto second = Attach("worker-0");
  history_.Answer("{}");
  EXPECT_THAT(first->Take(), IsEmpty());
  EXPECT_THAT(second->Take(), IsEmpty());
}

TEST_F(RequestsTest, MayBeAnsweredWhenTheRegistryIsGone) {
  registry_->SetRequestHandler("history", &history_);
  auto worker = Attach("worker-0");
  Request(*worker, 5, "history");
  registry_.reset();
  worker.reset();
  history_.Answer("{}");
}

TEST_F(RequestsTest, OfAReplacedAttachmentReachNoHandler) {
  registry_->SetRequestHandler("history", &history_);
  const auto first = Attach("worker-0", 5), second = Attach("worker-0", 7);
  Request(*first, 5, "history");
  EXPECT_THAT(history_.requests, IsEmpty());
}

// ------------------------------------------------------------------------------- threads

// What one worker is told must arrive in the order in which it was decided, whoever decides.
TEST_F(WorkerRegistryTest, ThreadsDoNotPutMessagesOrNewsOutOfOrder) {
  constexpr int kWorkers = 4;
  constexpr uint64_t kRounds = 150;
  registry_->SetSlotLimit("akosha", 20);
  std::atomic<bool> stop = false;
  std::atomic<int> asked = 0, answered = 0;
  std::thread operators([&] {
    // Bounded: a worker's thread delivers for as long as there is something to deliver to it.
    for (uint64_t version = 1; version <= 1000 && !stop; ++version) {
      SetConfig(version);
      ++asked;
      registry_->QueryAll(v1::Query(), absl::Seconds(1), [&](const QueryResult&) { ++answered; });
      registry_->Tick();
      registry_->Workers();
    }
  });
  std::vector<std::vector<std::unique_ptr<FakeStream>>> streams(kWorkers);
  for (auto& of_worker : streams) {
    for (uint64_t round = 0; round < kRounds; ++round) of_worker.push_back(MakeStream());
  }
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&, w] {
      const std::string id = absl::StrCat("worker-", w);
      for (uint64_t round = 0; round < kRounds; ++round) {
        FakeStream* const stream = streams[static_cast<size_t>(w)][round].get();
        EXPECT_OK(registry_->Attach(MakeHello(id, round + 1), stream->link));
        v1::SlotRequest request;
        request.set_service("akosha");
        request.set_want(static_cast<uint32_t>(round % 10));
        registry_->OnSlotRequest(stream->link, request);
        Beat(*stream);
        // Every other attachment is replaced by the next, the rest end by themselves.
        if (round % 2 == 0) registry_->Detach(stream->link, absl::UnavailableError("ended"));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  stop = true;
  operators.join();

  EXPECT_EQ(registry_->attached_count(), kWorkers);
  for (const auto& of_worker : streams) {
    for (const auto& stream : of_worker) {
      uint64_t nonce = 0, version = 0;
      for (const v1::ControlMessage& message : stream->Take()) {
        if (!message.has_config()) continue;
        EXPECT_GT(message.config().nonce(), nonce);
        EXPECT_GE(message.config().version(), version);
        nonce = message.config().nonce();
        version = message.config().version();
      }
    }
  }
  std::map<std::string, std::vector<std::string>> news;  // by worker
  for (const std::string& text : watcher_.Take()) news[text.substr(1, 8)].push_back(text);
  ASSERT_THAT(news, SizeIs(kWorkers));
  for (const auto& [id, of_worker] : news) {
    ASSERT_EQ(of_worker.size(), 2 * kRounds - 1);
    for (uint64_t i = 0; i < of_worker.size(); ++i) {
      EXPECT_EQ(of_worker[i], absl::StrCat(i % 2 == 0 ? "+" : "-", id, " pid=", 100 + i / 2 + 1));
    }
  }
  clock_.Advance(absl::Seconds(1));
  timers_.RunDue();
  EXPECT_EQ(answered, asked);
}

}  // namespace
}  // namespace fanwire::control
