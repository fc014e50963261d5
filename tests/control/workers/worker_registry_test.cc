// Who is attached, how they are, and the configuration they have.  Slots, questions, drains and
// clients' requests: worker_registry_orders_test.cc.
#include "control/workers/worker_registry.h"

#include <algorithm>

#include "common/version.h"
#include "control/routing/channel_state.h"
#include "tests/control/workers/worker_registry_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// ------------------------------------------------------------------------------- attaching

TEST_F(WorkerRegistryTest, WelcomesAWorkerAndThenConfiguresIt) {
  SetConfig(3);
  const auto worker = MakeStream();
  ASSERT_OK(registry_->Attach(MakeHello("worker-0"), worker->link));
  const std::vector<v1::ControlMessage> sent = worker->Take();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(sent[0].welcome().control_incarnation(), 42);
  EXPECT_EQ(sent[0].welcome().heartbeat_interval().seconds(), 1);
  EXPECT_EQ(sent[0].welcome().version(), std::string(kVersion));
  EXPECT_EQ(sent[1].config().version(), 3);
  EXPECT_NE(sent[1].config().nonce(), 0);
  EXPECT_EQ(sent[1].config().attached_workers(), 1);
  EXPECT_EQ(sent[1].config().heartbeat_interval().seconds(), 1);
}

TEST_F(WorkerRegistryTest, AWorkerThatComesBeforeTheConfigurationGetsItLater) {
  const auto worker = MakeStream();
  ASSERT_OK(registry_->Attach(MakeHello("worker-0"), worker->link));
  EXPECT_THAT(worker->TakeKinds(), ElementsAre("welcome"));
  SetConfig(1);
  EXPECT_THAT(worker->TakeKinds(), ElementsAre("config"));
}

TEST_F(WorkerRegistryTest, RefusesAnotherProtocolVersionAndAWorkerWithoutId) {
  const auto stream = MakeStream();
  v1::Hello hello = MakeHello("worker-0");
  hello.set_protocol_version(2);
  EXPECT_THAT(registry_->Attach(hello, stream->link),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("protocol version 2")));
  EXPECT_THAT(registry_->Attach(MakeHello(""), stream->link),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("worker_id")));
  EXPECT_THAT(registry_->Workers(), IsEmpty());
  EXPECT_THAT(stream->Take(), IsEmpty());
}

TEST_F(WorkerRegistryTest, RefusesASecondHelloOnOneLink) {
  const auto stream = Attach("worker-0");
  EXPECT_THAT(registry_->Attach(MakeHello("worker-1"), stream->link),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("second Hello")));
  EXPECT_EQ(registry_->attached_count(), 1);
  EXPECT_THAT(registry_->Workers(), SizeIs(1));
}

TEST_F(WorkerRegistryTest, ALaterIncarnationReplacesTheEarlierWhichIsRefusedFromThenOn) {
  const auto first = Attach("worker-0", 5);
  const auto receipt = AwaitReport(*first);
  const auto second = Attach("worker-0", 7);
  EXPECT_TRUE(first->finished());
  EXPECT_THAT(first->finish_status(), StatusIs(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_FALSE(second->finished());
  EXPECT_THAT(subscriptions_.cleared(), ElementsAre(first->link->id()));
  EXPECT_TRUE(*receipt);
  EXPECT_EQ(registry_->attached_count(), 1);
  EXPECT_EQ(Info("worker-0").restarts(), 1);

  const auto third = MakeStream();
  EXPECT_THAT(registry_->Attach(MakeHello("worker-0", 5), third->link),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replaced by 7")));
  EXPECT_FALSE(second->finished());
  EXPECT_EQ(Info("worker-0").incarnation(), 7);
}

TEST_F(WorkerRegistryTest, AReplacedProcessIsRefusedAlsoWhenItsSuccessorIsGone) {
  const auto frozen = Attach("worker-0", 5);
  registry_->Detach(frozen->link, absl::UnavailableError("silent"));
  const auto successor = Attach("worker-0", 7);
  registry_->Detach(successor->link, absl::UnavailableError("ended"));
  const auto woken = MakeStream();
  EXPECT_THAT(registry_->Attach(MakeHello("worker-0", 5), woken->link),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replaced by 7")));
  Attach("worker-0", 7);
}

TEST_F(WorkerRegistryTest, AnEarlierIncarnationIsRefusedWhileALaterIsAttached) {
  const auto later = Attach("worker-0", 7);
  EXPECT_THAT(registry_->Attach(MakeHello("worker-0", 5), MakeStream()->link),
              StatusIs(absl::StatusCode::kFailedPrecondition, _));
  EXPECT_FALSE(later->finished());
}

TEST_F(WorkerRegistryTest, AClockThatWentBackKeepsNoSuccessorOut) {
  const auto first = Attach("worker-0", 7);
  v1::Heartbeat heartbeat;
  v1::ServiceLoad* const load = heartbeat.add_services();
  load->set_service("akosha");
  load->set_matched(10);
  load->set_written(10);
  Beat(*first, heartbeat);
  registry_->Detach(first->link, absl::UnavailableError("ended"));
  const auto second = Attach("worker-0", 5);
  load->set_matched(2);
  load->set_written(2);
  Beat(*second, heartbeat);
  EXPECT_EQ(Info("worker-0").incarnation(), 5u);
  EXPECT_EQ(Info("worker-0").restarts(), 1);
  EXPECT_EQ(ledger_.Get("akosha").matched, 12);
  // The one that it replaced is fenced all the same, whatever its number.
  EXPECT_THAT(registry_->Attach(MakeHello("worker-0", 7), MakeStream()->link),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replaced by 5")));
  EXPECT_FALSE(second->finished());
}

TEST_F(WorkerRegistryTest, ManySuccessorsAreNoMatter) {
  for (uint64_t incarnation = 1000; incarnation > 800; --incarnation) {
    const auto worker = Attach("worker-0", incarnation);
    registry_->Detach(worker->link, absl::UnavailableError("ended"));
  }
  EXPECT_EQ(Info("worker-0").restarts(), 199);
  EXPECT_THAT(registry_->Attach(MakeHello("worker-0", 802), MakeStream()->link),
              StatusIs(absl::StatusCode::kFailedPrecondition, _));
}

TEST_F(WorkerRegistryTest, TheSameProcessMayAttachAgainAndReplacesItsOldLink) {
  const auto first = Attach("worker-0", 5);
  const auto second = Attach("worker-0", 5);
  EXPECT_TRUE(first->finished());
  EXPECT_FALSE(second->finished());
  EXPECT_THAT(subscriptions_.cleared(), ElementsAre(first->link->id()));
  EXPECT_EQ(Info("worker-0").restarts(), 0);
}

TEST_F(WorkerRegistryTest, TheEndOfAReplacedStreamClearsWhatItToldLateAndChangesNothingElse) {
  const auto first = Attach("worker-0", 5);
  const auto second = Attach("worker-0", 7);
  watcher_.Take();
  registry_->Detach(first->link, absl::UnavailableError("ended"));
  EXPECT_THAT(subscriptions_.cleared(), ElementsAre(first->link->id(), first->link->id()));
  EXPECT_EQ(registry_->attached_count(), 1);
  EXPECT_FALSE(second->finished());
  EXPECT_THAT(watcher_.Take(), IsEmpty());
}

TEST_F(WorkerRegistryTest, MessagesOfAReplacedStreamAreIgnored) {
  const auto first = Attach("worker-0", 5);
  const auto second = Attach("worker-0", 7);
  v1::Heartbeat heartbeat;
  heartbeat.set_rss_bytes(1000);
  Beat(*first, heartbeat);
  Snapshot(*first);
  v1::SlotRequest slots;
  slots.set_service("akosha");
  registry_->OnSlotRequest(first->link, slots);
  EXPECT_EQ(Info("worker-0").rss_bytes(), 0);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
  EXPECT_THAT(second->Take(), IsEmpty());
}

TEST_F(WorkerRegistryTest, TheEndOfAStreamEndsTheAttachment) {
  const auto worker = Attach("worker-0");
  const auto receipt = AwaitReport(*worker);
  registry_->Detach(worker->link, absl::UnavailableError("ended"));
  EXPECT_TRUE(worker->finished());
  EXPECT_THAT(subscriptions_.cleared(), ElementsAre(worker->link->id()));
  EXPECT_TRUE(*receipt);
  EXPECT_EQ(registry_->attached_count(), 0);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_DEAD);
}

TEST_F(WorkerRegistryTest, ANextAttachmentOfTheSameProcessKnowsSinceWhenItMayHaveMissedSomething) {
  const auto first = Attach("worker-0", 5);
  EXPECT_EQ(first->link->missed_since(), absl::InfiniteDuration());  // it is new
  first->link->BeginSnapshot();
  first->link->SetHeld(false);
  clock_.Advance(absl::Minutes(1));
  const absl::Duration ended = clock_.Now();
  registry_->Detach(first->link, absl::UnavailableError("ended"));
  clock_.Advance(absl::Minutes(1));
  const auto second = Attach("worker-0", 5);
  EXPECT_LE(second->link->missed_since(), ended);
  EXPECT_GT(second->link->missed_since(), ended - absl::Seconds(10));
  // This one ends before it has told anything.
  const absl::Duration since = second->link->missed_since();
  clock_.Advance(absl::Minutes(1));
  const auto third = Attach("worker-0", 5);
  EXPECT_EQ(third->link->missed_since(), since);
  const auto successor = Attach("worker-0", 6);
  EXPECT_EQ(successor->link->missed_since(), absl::InfiniteDuration());
}

TEST_F(WorkerRegistryTest, AWorkerOfAnEarlierControlMayHaveMissedAnything) {
  v1::Hello hello = MakeHello("worker-0", 5);
  hello.set_config_version(3);
  EXPECT_EQ(Attach(hello)->link->missed_since(), -absl::InfiniteDuration());
}

TEST_F(WorkerRegistryTest, ObserversHearOfComingAndGoingInOrder) {
  v1::Hello hello = MakeHello("worker-0", 5);
  hello.set_slot(3);
  hello.set_supervised(true);
  const auto first = Attach(hello);
  EXPECT_EQ(watcher_.last_slot, 3u);
  EXPECT_TRUE(watcher_.last_supervised);
  const auto second = Attach("worker-0", 7);
  registry_->Detach(second->link, absl::UnavailableError("ended"));
  EXPECT_THAT(watcher_.Take(), ElementsAre("+worker-0 pid=105", "-worker-0 pid=105",
                                           "+worker-0 pid=107", "-worker-0 pid=107"));
}

TEST_F(WorkerRegistryTest, ForgetsOnlyWhoIsNotAttached) {
  const auto worker = Attach("worker-0");
  registry_->Forget("worker-0");
  EXPECT_OK(registry_->GetWorker("worker-0"));
  registry_->Detach(worker->link, absl::UnavailableError("ended"));
  EXPECT_OK(registry_->GetWorker("worker-0"));
  registry_->Forget("worker-0");
  EXPECT_THAT(registry_->GetWorker("worker-0"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"worker-0\"")));
}

TEST_F(WorkerRegistryTest, CloseAllEndsEveryAttachmentWithItsStatus) {
  SetConfig(1);
  const auto first = Attach("worker-0"), second = Attach("worker-1");
  first->Take();
  registry_->CloseAll(absl::UnavailableError("control stops"));
  EXPECT_THAT(first->finish_status(), StatusIs(absl::StatusCode::kUnavailable, "control stops"));
  EXPECT_THAT(second->finish_status(), StatusIs(absl::StatusCode::kUnavailable, "control stops"));
  EXPECT_EQ(registry_->attached_count(), 0);
  EXPECT_THAT(first->Take(), IsEmpty());
}

// ------------------------------------------------------------------------------- state

TEST_F(WorkerRegistryTest, IsReadyWhenItsPortsAreOpenItsInterestToldAndNoChannelDirty) {
  const auto worker = Attach("worker-0");
  OpenPorts(*worker);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
  subscriptions_.BeginSnapshot(worker->link);
  worker->link->MarkDirty(std::make_shared<ChannelState>(), 0, clock_.Now());
  Snapshot(*worker);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
  const DirtyChannel dirty = worker->link->NextDirty();
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);  // not queued yet
  worker->link->FinishDirty(dirty);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_READY);
  subscriptions_.BeginSnapshot(worker->link);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
}

TEST_F(WorkerRegistryTest, AWorkerWithoutOpenPortsIsNotReadyAndDoesNotServe) {
  SetConfig(1);
  const auto worker = Attach("worker-0");
  Snapshot(*worker);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
  v1::ConfigAck refusal;
  refusal.set_nonce(1);
  refusal.set_error("service \"akosha\", 127.0.0.1:8682: taken");
  registry_->OnConfigAck(worker->link, refusal);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
  EXPECT_THAT(Info("worker-0").config_error(), HasSubstr("taken"));
  EXPECT_EQ(registry_->attached_count(), 1);
  EXPECT_EQ(registry_->serving_count(), 0);
  OpenPorts(*worker);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_READY);
  EXPECT_EQ(registry_->serving_count(), 1);
  // It keeps what it has when it refuses another, and when it attaches again.
  refusal.set_nonce(2);
  refusal.set_version(1);
  registry_->OnConfigAck(worker->link, refusal);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_READY);
  const auto again = Attach("worker-0");
  EXPECT_EQ(registry_->serving_count(), 1);
  // A successor has to open its own.
  const auto successor = Attach("worker-0", 2);
  Snapshot(*successor);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_CATCHING_UP);
  EXPECT_EQ(registry_->serving_count(), 0);
}

TEST_F(WorkerRegistryTest, AWorkerThatDrainsDoesNotServe) {
  const auto worker = Attach("worker-0");
  OpenPorts(*worker);
  ASSERT_EQ(registry_->serving_count(), 1);
  ASSERT_OK(registry_->Drain("worker-0", DrainOrder(), [](int64_t, bool) {}));
  EXPECT_EQ(registry_->serving_count(), 0);
}

TEST_F(WorkerRegistryTest, TellsWhatTheWorkerSaidOfItself) {
  v1::Hello hello = MakeHello("worker-4", 9);
  hello.set_slot(4);
  hello.set_version("0.1.0");
  hello.set_address("local");
  hello.set_ops_address("127.0.0.1:8714");
  hello.set_supervised(true);
  hello.set_connections(17);
  const auto worker = Attach(hello);
  const v1::WorkerInfo info = Info("worker-4");
  EXPECT_EQ(info.id(), "worker-4");
  EXPECT_EQ(info.slot(), 4u);
  EXPECT_EQ(info.pid(), 109u);
  EXPECT_EQ(info.incarnation(), 9u);
  EXPECT_EQ(info.version(), "0.1.0");
  EXPECT_EQ(info.address(), "local");
  EXPECT_EQ(info.ops_address(), "127.0.0.1:8714");
  EXPECT_TRUE(info.supervised());
  EXPECT_EQ(info.sessions(), 17);
  EXPECT_EQ(info.attached_at().seconds(), absl::ToUnixSeconds(clock_.WallNow()));
  EXPECT_FALSE(info.has_last_heartbeat());
}

TEST_F(WorkerRegistryTest, TellsLoadFromTheHeartbeats) {
  const auto worker = Attach("worker-0");
  v1::Heartbeat heartbeat;
  heartbeat.set_monotonic_ms(5000);
  heartbeat.set_cpu_ms(1000);
  Beat(*worker, heartbeat);
  EXPECT_EQ(Info("worker-0").cpu_percent(), 0);
  clock_.Advance(absl::Seconds(1));
  heartbeat.set_monotonic_ms(6000);
  heartbeat.set_cpu_ms(1250);
  heartbeat.set_rss_bytes(64 << 20);
  heartbeat.set_loop_lag_us(900);
  heartbeat.set_file_limit(1024);
  heartbeat.set_max_connections(768);
  v1::ServiceLoad* const load = heartbeat.add_services();
  load->set_service("akosha");
  load->set_sessions(12);
  load->set_subscriptions(30);
  Beat(*worker, heartbeat);
  const v1::WorkerInfo info = Info("worker-0");
  EXPECT_DOUBLE_EQ(info.cpu_percent(), 25);
  EXPECT_EQ(info.rss_bytes(), 64u << 20);
  EXPECT_EQ(info.loop_lag_us(), 900);
  EXPECT_EQ(info.file_limit(), 1024u);
  EXPECT_EQ(info.max_connections(), 768u);
  EXPECT_EQ(info.sessions(), 12);
  EXPECT_EQ(info.subscriptions(), 30);
  EXPECT_EQ(info.last_heartbeat().seconds(), absl::ToUnixSeconds(clock_.WallNow()));
  EXPECT_EQ(ledger_.Get("akosha").sessions, 12);
}

TEST_F(WorkerRegistryTest, CpuUseIsThatOfTheLastFiveHeartbeats) {
  const auto worker = Attach("worker-0");
  v1::Heartbeat heartbeat;
  for (int second = 0; second < 10; ++second) {
    heartbeat.set_monotonic_ms(1000 * second);
    // All of a core for five seconds, then half of it.
    heartbeat.set_cpu_ms(second <= 5 ? 1000 * second : 5000 + 500 * (second - 5));
    Beat(*worker, heartbeat);
  }
  EXPECT_DOUBLE_EQ(Info("worker-0").cpu_percent(), 50);
}

TEST_F(WorkerRegistryTest, ASuccessorsLoadBeginsAnew) {
  const auto first = Attach("worker-0", 5);
  v1::Heartbeat heartbeat;
  heartbeat.set_monotonic_ms(1000);
  heartbeat.set_rss_bytes(4096);
  Beat(*first, heartbeat);
  const auto second = Attach("worker-0", 7);
  EXPECT_EQ(Info("worker-0").rss_bytes(), 0u);
  heartbeat.set_monotonic_ms(3000);
  heartbeat.set_cpu_ms(9999);
  Beat(*second, heartbeat);
  EXPECT_EQ(Info("worker-0").cpu_percent(), 0);
}

TEST_F(WorkerRegistryTest, RepairsAndDropsAreCountedOverAttachments) {
  const auto first = Attach("worker-0");
  first->link->CountRepair();
  for (int i = 0; i < 3; ++i) first->link->CountDropped();
  registry_->Detach(first->link, absl::UnavailableError("ended"));
  EXPECT_EQ(Info("worker-0").repairs(), 1);
  EXPECT_EQ(Info("worker-0").dropped(), 3);
  const auto second = Attach("worker-0");
  second->link->CountRepair();
  second->link->CountDropped();
  EXPECT_EQ(Info("worker-0").repairs(), 2);
  EXPECT_EQ(Info("worker-0").dropped(), 4);
}

TEST_F(WorkerRegistryTest, ListsWorkersById) {
  const auto second = Attach("worker-1"), first = Attach("worker-0");
  const std::vector<v1::WorkerInfo> workers = registry_->Workers();
  ASSERT_THAT(workers, SizeIs(2));
  EXPECT_EQ(workers[0].id(), "worker-0");
  EXPECT_EQ(workers[1].id(), "worker-1");
}

// ------------------------------------------------------------------------------- silence

TEST_F(WorkerRegistryTest, HeartbeatsGoToEveryWorkerAtEachTick) {
  const auto first = Attach("worker-0"), second = Attach("worker-1");
  registry_->Tick();
  registry_->Tick();
  for (FakeStream* const worker : {first.get(), second.get()}) {
    const std::vector<v1::ControlMessage> sent = worker->Take();
    ASSERT_THAT(sent, SizeIs(2));
    EXPECT_EQ(sent[1].heartbeat().seq(), sent[0].heartbeat().seq() + 1);
  }
}

TEST_F(WorkerRegistryTest, AWorkerThatMissesThreeHeartbeatsIsDead) {
  const auto silent = Attach("worker-0"), alive = Attach("worker-1");
  v1::Heartbeat heartbeat;
  v1::ServiceLoad* const load = heartbeat.add_services();
  load->set_service("akosha");
  load->set_sessions(12);
  const auto receipt = AwaitReport(*silent);
  Beat(*silent, heartbeat);
  watcher_.Take();
  for (int i = 0; i < 3; ++i) Pass({alive.get()});
  EXPECT_FALSE(silent->finished());  // 3 s are not over 3 s
  EXPECT_EQ(ledger_.Get("akosha").sessions, 12);
  Pass({alive.get()});
  EXPECT_TRUE(silent->finished());
  EXPECT_THAT(silent->finish_status(),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("silent for 4s")));
  EXPECT_THAT(watcher_.Take(), ElementsAre("-worker-0 pid=101 silent"));
  EXPECT_THAT(subscriptions_.cleared(), ElementsAre(silent->link->id()));
  EXPECT_TRUE(*receipt);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_DEAD);
  EXPECT_EQ(ledger_.Get("akosha").sessions, 0);
  EXPECT_FALSE(alive->finished());
  EXPECT_EQ(registry_->attached_count(), 1);

  // Its stream ends at last: nobody is told again.
  registry_->Detach(silent->link, absl::UnavailableError("ended"));
  EXPECT_THAT(watcher_.Take(), IsEmpty());
}

TEST_F(WorkerRegistryTest, AWorkerThatWakesUpMayAttachAgain) {
  const auto silent = Attach("worker-0");
  for (int i = 0; i < 4; ++i) Pass();
  ASSERT_TRUE(silent->finished());
  const auto again = Attach("worker-0");
  OpenPorts(*again);
  Snapshot(*again);
  EXPECT_EQ(Info("worker-0").state(), v1::WORKER_STATE_READY);
  for (int i = 0; i < 3; ++i) Pass();
  EXPECT_FALSE(again->finished());
}

TEST_F(WorkerRegistryTest, TimeInWhichControlItselfStoodStillIsNotSilence) {
  const auto worker = Attach("worker-0");
  Pass({worker.get()});
  clock_.Advance(absl::Minutes(5));
  registry_->Tick();
  EXPECT_FALSE(worker->finished());
  for (int i = 0; i < 4; ++i) Pass();
  EXPECT_TRUE(worker->finished());
}

// ------------------------------------------------------------------------------- drift

class DriftTest : public WorkerRegistryTest {
 protected:
  DriftTest() {
    worker_->link->interest_digest().Add(0xabc);
    Snapshot(*worker_);
    same_.set_interest_count(1);
    same_.set_interest_hash(0xabc);
    other_.set_interest_count(2);
    other_.set_interest_hash(0xabd);
  }

  // Whether this heartbeat makes control ask for a snapshot.
  bool Asks(const v1::Heartbeat& heartbeat) {
    Beat(*worker_, heartbeat);
    return !worker_->TakeKinds().empty();
  }

  std::unique_ptr<FakeStream> worker_ = Attach("worker-0");
  v1::Heartbeat same_, other_;
};

TEST_F(DriftTest, TwoHeartbeatsInARowWithAnotherDigestAskForASnapshot) {
  EXPECT_FALSE(Asks(same_));
  EXPECT_FALSE(Asks(other_));
  EXPECT_FALSE(Asks(same_));
  EXPECT_FALSE(Asks(other_));
  Beat(*worker_, other_);
  EXPECT_THAT(worker_->TakeKinds(), ElementsAre("snapshot_request"));
}

TEST_F(DriftTest, TheHashAloneTellsToo) {
  v1::Heartbeat heartbeat = same_;
  heartbeat.set_interest_hash(0xdef);
  EXPECT_FALSE(Asks(heartbeat));
  EXPECT_TRUE(Asks(heartbeat));
}

TEST_F(DriftTest, NothingIsComparedBeforeAndWhileInterestIsTold) {
  const auto fresh = Attach("worker-1");
  for (int i = 0; i < 3; ++i) Beat(*fresh, other_);
  EXPECT_THAT(fresh->TakeKinds(), IsEmpty());
  EXPECT_FALSE(Asks(other_));
  subscriptions_.BeginSnapshot(worker_->link);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Asks(other_));
  Snapshot(*worker_);
  EXPECT_FALSE(Asks(other_));
  EXPECT_TRUE(Asks(other_));
}

TEST_F(DriftTest, SnapshotsThatDoNotHelpAreAskedForMoreAndMoreSeldom) {
  std::vector<int> asked_after;
  for (int i = 1; i <= 15; ++i) {
    if (Asks(other_)) asked_after.push_back(i);
  }
  EXPECT_THAT(asked_after, ElementsAre(2, 6, 14));
  EXPECT_FALSE(Asks(same_));  // healed
  EXPECT_FALSE(Asks(other_));
  EXPECT_TRUE(Asks(other_));
}

// ------------------------------------------------------------------------------- configuration

TEST_F(WorkerRegistryTest, EveryPushHasItsOwnNonce) {
  const auto first = Attach("worker-0"), second = Attach("worker-1");
  SetConfig(1);
  SetConfig(2);
  std::vector<uint64_t> nonces;
  for (FakeStream* const worker : {first.get(), second.get()}) {
    for (const v1::ControlMessage& message : worker->Take()) {
      nonces.push_back(message.config().nonce());
    }
  }
  ASSERT_THAT(nonces, SizeIs(4));
  std::sort(nonces.begin(), nonces.end());
  EXPECT_EQ(std::unique(nonces.begin(), nonces.end()), nonces.end());
}

TEST_F(WorkerRegistryTest, TheConfigurationIsPushedAgainWhenTheNumberOfWorkersChanges) {
  SetConfig(1);
  const auto first = Attach("worker-0");
  const auto second = Attach("worker-1");
  std::vector<v1::ControlMessage> sent = first->Take();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].config().attached_workers(), 2);
  EXPECT_EQ(sent[0].config().version(), 1u);
  registry_->Detach(second->link, absl::UnavailableError("ended"));
  sent = first->Take();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].config().attached_workers(), 1);
}

TEST_F(WorkerRegistryTest, AReplacementConfiguresOnlyTheNewcomer) {
  SetConfig(1);
  const auto other = Attach("worker-0");
  const auto first = Attach("worker-1", 5);
  other->Take();
  const auto second = MakeStream();
  ASSERT_OK(registry_->Attach(MakeHello("worker-1", 7), second->link));
  EXPECT_THAT(second->TakeKinds(), ElementsAre("welcome", "config"));
  EXPECT_THAT(other->TakeKinds(), IsEmpty());
}

TEST_F(WorkerRegistryTest, TellsHowFarEachWorkersConfigurationIs) {
  SetConfig(1);
  v1::Hello hello = MakeHello("worker-0");
  hello.set_config_version(1);
  const auto first = MakeStream();
  ASSERT_OK(registry_->Attach(hello, first->link));
  v1::ConfigAck ack;
  ack.set_nonce(first->Take().back().config().nonce());
  ack.set_version(1);
  v1::BoundListener* const listener = ack.add_listeners();
  listener->set_service("akosha");
  listener->set_port(8692);
  std::vector<v1::WorkerConfigState> states = registry_->ConfigStates();
  ASSERT_THAT(states, SizeIs(1));
  EXPECT_TRUE(states[0].pending());
  registry_->OnConfigAck(first->link, ack);
  states = registry_->ConfigStates();
  EXPECT_FALSE(states[0].pending());
  EXPECT_EQ(states[0].id(), "worker-0");
  EXPECT_EQ(states[0].version(), 1u);
  EXPECT_EQ(Info("worker-0").listeners(0).port(), 8692u);

  // The next one is refused: the version before stays.
  SetConfig(2);
  EXPECT_TRUE(registry_->ConfigStates()[0].pending());
  ack.set_nonce(first->Take().back().config().nonce());
  ack.set_error("services[0].port: 80: permission denied");
  registry_->OnConfigAck(first->link, ack);
  states = registry_->ConfigStates();
  EXPECT_FALSE(states[0].pending());
  EXPECT_EQ(states[0].version(), 1u);
  EXPECT_EQ(states[0].error(), "services[0].port: 80: permission denied");
  EXPECT_EQ(Info("worker-0").config_error(), "services[0].port: 80: permission denied");

  // A third is on its way: the refusal of the second says nothing of it.
  SetConfig(3);
  EXPECT_EQ(registry_->ConfigStates()[0].error(), "");
  ack.set_nonce(first->Take().back().config().nonce());
  ack.set_version(3);
  ack.clear_error();
  registry_->OnConfigAck(first->link, ack);
  EXPECT_EQ(Info("worker-0").config_version(), 3u);
  EXPECT_EQ(Info("worker-0").config_error(), "");
}

TEST_F(WorkerRegistryTest, APushForNewRatesIsNotAwaited) {
  SetConfig(1);
  const auto first = MakeStream();
  ASSERT_OK(registry_->Attach(MakeHello("worker-0"), first->link));
  v1::ConfigAck ack;
  ack.set_nonce(first->Take().back().config().nonce());
  ack.set_version(1);
  registry_->OnConfigAck(first->link, ack);
  const auto second = Attach("worker-1");
  ASSERT_THAT(first->TakeKinds(), ElementsAre("config"));
  EXPECT_FALSE(registry_->ConfigStates()[0].pending());
  EXPECT_TRUE(registry_->ConfigStates()[1].pending());
}

TEST_F(WorkerRegistryTest, ConfigStatesAreOfAttachedWorkersAlone) {
  const auto worker = Attach("worker-0");
  EXPECT_THAT(registry_->ConfigStates(), SizeIs(1));
  registry_->Detach(worker->link, absl::UnavailableError("ended"));
  EXPECT_THAT(registry_->ConfigStates(), IsEmpty());
}

// ------------------------------------------------------------------------------- forgetting

TEST_F(WorkerRegistryTest, ADeadWorkerThatSomethingElseStartedIsForgottenAfterATime) {
  const auto gone = Attach("pod-7f");
  const auto here = Attach("pod-8a");
  registry_->Detach(gone->link, absl::UnavailableError("gone"));
  clock_.Advance(absl::Minutes(10) - absl::Seconds(2));
  Pass({here.get()});
  EXPECT_EQ(Info("pod-7f").state(), v1::WORKER_STATE_DEAD);
  Pass({here.get()});
  EXPECT_THAT(registry_->GetWorker("pod-7f"), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(registry_->Workers(), SizeIs(1));
}

TEST_F(WorkerRegistryTest, HowLongADeadWorkerStaysListedCanChange) {
  const auto gone = Attach("pod-7f");
  registry_->Detach(gone->link, absl::UnavailableError("gone"));
  registry_->SetForgetDeadAfter(absl::Seconds(3));
  Pass();
  Pass();
  EXPECT_THAT(registry_->Workers(), SizeIs(1));
  Pass();
  EXPECT_THAT(registry_->Workers(), IsEmpty());
}

TEST_F(WorkerRegistryTest, ADrainedWorkerThatSomethingElseStartedIsForgottenAtOnce) {
  const auto worker = Attach("pod-7f");
  v1::DrainStatus status;
  status.set_remaining(3);
  registry_->OnDrainStatus(worker->link, status);
  status.set_remaining(0);
  status.set_done(true);
  registry_->OnDrainStatus(worker->link, status);
  Pass({worker.get()});
  EXPECT_THAT(registry_->Workers(), SizeIs(1));  // it is still here
  registry_->Detach(worker->link, absl::UnavailableError("gone"));
  Pass();
  EXPECT_THAT(registry_->Workers(), IsEmpty());
}

TEST_F(WorkerRegistryTest, ALocalWorkerIsForgottenByTheSupervisorAlone) {
  v1::Hello hello = MakeHello("worker-0");
  hello.set_supervised(true);
  const auto worker = Attach(hello);
  registry_->Detach(worker->link, absl::UnavailableError("gone"));
  clock_.Advance(absl::Hours(24));
  Pass();
  EXPECT_THAT(registry_->Workers(), SizeIs(1));
  registry_->Forget("worker-0");
  EXPECT_THAT(registry_->Workers(), IsEmpty());
}

// ------------------------------------------------------------------------------- ports

TEST_F(WorkerRegistryTest, AWorkerServesIfAnyOfItsPortsIsOpen) {
  const auto worker = Attach("worker-0");
  v1::ConfigAck ack;
  ack.set_nonce(1);
  v1::BoundListener* const busy = ack.add_listeners();
  busy->set_service("akosha");
  busy->set_configured_port(8692);
  busy->set_error("taken");
  registry_->OnConfigAck(worker->link, ack);
  EXPECT_EQ(registry_->serving_count(), 0);
  EXPECT_EQ(Info("worker-0").listeners(0).error(), "taken");
  ack.add_listeners()->set_service("dhruva");
  registry_->OnConfigAck(worker->link, ack);
  EXPECT_EQ(registry_->serving_count(), 1);
  // The worker has tried again, and tells the outcome by the same nonce.
  ack.mutable_listeners(0)->clear_error();
  registry_->OnConfigAck(worker->link, ack);
  EXPECT_EQ(Info("worker-0").listeners(0).error(), "");
}

}  // namespace
}  // namespace fanwire::control
