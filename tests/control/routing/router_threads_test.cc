// Router under many threads at once: whatever meets, each link gets each channel in order, once,
// and every publisher gets its receipt.  FakeWorker checks order and completeness of what it is
// sent.
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/routing/delivery_report.h"
#include "control/routing/publish_counts.h"
#include "tests/control/routing/router_fixture.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::SizeIs;

constexpr int kEvents = 3000;

class RouterThreadsTest : public RouterFixture, public ::testing::WithParamInterface<EngineKind> {
 protected:
  RouterThreadsTest() : RouterFixture(GetParam()) { UseThreaded(""); }
  ~RouterThreadsTest() override { Join(); }

  // Begins with another service.  A slow engine works on a thread of its own.
  void UseThreaded(const std::string& lines, uint64_t max_history_bytes = 64 << 20) {
    pump_ = nullptr;
    Use(lines, max_history_bytes);
    if (slow_ != nullptr) pump_ = std::make_unique<EnginePump>(slow_);
  }

  // A thread that lives until Join().
  void Run(std::function<void()> body) { threads_.emplace_back(std::move(body)); }
  // Ends the writes of `worker` as its stream would, until Join().
  void Serve(FakeWorker* worker) {
    worker->keep_notes = worker->keep_deliveries = false;
    servers_.emplace_back([this, worker] {
      while (!over_) {
        if (!worker->Complete()) std::this_thread::yield();
      }
    });
  }
  void PublishOn(const std::vector<std::string>& channels, int events, const std::string& json) {
    Run([this, channels, events, json] {
      FakeReceiptSink sink;
      for (int i = 0; i < events;) {
        const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
        for (int k = 0; k < 5 && i < events; ++k, ++i) {
          run->Publish(MakeEvent(channels[static_cast<size_t>(i) % channels.size()], json), {},
                       &sink, 0);
        }
      }
      EXPECT_TRUE(WaitFor([&] { return sink.count() == static_cast<size_t>(events); }));
    });
  }
  void JoinThreads() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void Join() {
    JoinThreads();
    over_ = true;
    for (std::thread& server : servers_) server.join();
    servers_.clear();
  }
  int64_t Head(const std::string& channel) {
    const auto summary = routing_->queries->GetChannel("s", channel);
    return summary.ok() ? summary->history.head.offset : 0;
  }

  std::atomic<bool> over_{false};
  std::vector<std::thread> threads_;
  std::vector<std::thread> servers_;
  std::unique_ptr<EnginePump> pump_;
};

INSTANTIATE_TEST_SUITE_P(Engines, RouterThreadsTest, AllEngines(), EngineName);

TEST_P(RouterThreadsTest, LinksOfEverySizeGetEveryChannelInOrderAndWhole) {
  UseThreaded("  channels: [{pattern: '**', history_size: 100000}]\n");
  const std::vector<std::string> channels = {"a", "b", "c"};
  std::vector<std::unique_ptr<FakeWorker>> workers;
  workers.push_back(MakeWorker());
  workers.push_back(MakeWorker({.max_queued_items = 8}));
  workers.push_back(MakeWorker({.max_queued_bytes = 4000, .window_items = 20}));
  workers.push_back(MakeWorker({.max_queued_items = 300, .window_bytes = 10'000}));
  for (const auto& worker : workers) {
    for (const std::string& channel : channels) Want(*worker, channel);
    Serve(worker.get());
  }
  for (int t = 0; t < 3; ++t) PublishOn(channels, kEvents, "{}");
  JoinThreads();
  for (const auto& worker : workers) {
    for (const std::string& channel : channels) {
      EXPECT_EQ(Head(channel), kEvents);
      EXPECT_TRUE(WaitFor([&] { return worker->LastOffset(channel) == kEvents; }))
          << channel << " of link " << worker->link->id() << " is at "
          << worker->LastOffset(channel);
    }
    EXPECT_EQ(worker->delivered(), 3 * kEvents);
    EXPECT_EQ(worker->link->stats().gaps, 0);
  }
  EXPECT_GT(workers[1]->link->stats().repairs, 0);
  EXPECT_GT(workers[2]->link->stats().repairs, 0);
  Join();
}

TEST_P(RouterThreadsTest, ShortHistoryMakesGapsAndNeverSilentOnes) {
  UseThreaded("  channels: [{pattern: '**', history_size: 20}]\n");
  const auto worker = MakeWorker({.max_queued_items = 16, .window_items = 30});
  Want(*worker, "x");
  Serve(worker.get());
  PublishOn({"x"}, kEvents, "{}");
  PublishOn({"x"}, kEvents, "{}");
  JoinThreads();
  EXPECT_TRUE(WaitFor([&] { return worker->LastOffset("x") == 2 * kEvents; }));
  Join();
}

TEST_P(RouterThreadsTest, InterestMayComeAndGoWhileOthersPublish) {
  UseThreaded("  channels: [{pattern: '**', history_size: 100000}]\n");
  const auto worker = MakeWorker({.max_queued_items = 64});
  Serve(worker.get());
  PublishOn({"a:1", "a:2"}, 2 * kEvents, "{}");
  PublishOn({"a:2", "a:1"}, 2 * kEvents, "{}");
  Run([&] {
    for (int i = 0; i < 500; ++i) {
      Want(*worker, "a:1");
      if (i % 3 == 0) WantPattern(*worker, "a:*");
      if (i % 2 == 0) Unwant(*worker, "a:1");
      if (i % 5 == 0) UnwantPattern(*worker, "a:*");
      if (i % 50 == 0) routing_->directory.Sweep();
    }
    Want(*worker, "a:1");
    WantPattern(*worker, "a:*");
  });
  JoinThreads();
  Publish("a:1");
  Publish("a:2");
  EXPECT_TRUE(WaitFor([&] { return worker->LastOffset("a:1") == Head("a:1"); }));
  EXPECT_TRUE(WaitFor([&] { return worker->LastOffset("a:2") == Head("a:2"); }));
  Join();
}

TEST_P(RouterThreadsTest, EverySubscribeIsAnsweredAtItsCutThoughPublishersAndRepairsMeet) {
  UseThreaded("  channels: [{pattern: '**', history_size: 100000}]\n");
  const auto worker = MakeWorker({.max_queued_items = 32});
  Want(*worker, "x");
  const std::string epoch = Publish("x").epoch.ToText();
  worker->keep_deliveries = false;
  servers_.emplace_back([&] {
    while (!over_) {
      if (!worker->Complete()) std::this_thread::yield();
    }
  });
  PublishOn({"x"}, kEvents, "{}");
  PublishOn({"x"}, kEvents, "{}");
  constexpr uint64_t kQueries = 300;
  Run([&] {
    for (uint64_t query = 1; query <= kQueries; ++query) {
      if (query % 2 == 0) {
        Subscribe(*worker, query, "x");
      } else {
        Recover(*worker, query, "x", epoch, static_cast<int64_t>(query % 7), 4000);
      }
      std::this_thread::yield();
    }
  });
  JoinThreads();
  EXPECT_TRUE(WaitFor([&] { return worker->LastOffset("x") == 2 * kEvents + 1; }));
  std::map<std::string, int> answers;
  EXPECT_TRUE(WaitFor([&] {
    for (const std::string& note : worker->TakeNotes()) {
      if (note.rfind("answer ", 0) == 0) ++answers[note.substr(0, note.find(" x@"))];
    }
    return answers.size() == kQueries;
  }));
  for (const auto& [answer, count] : answers) EXPECT_EQ(count, 1) << answer;
  Join();
}

TEST_P(RouterThreadsTest, AWorkerThatAttachesAgainAndAgainMissesNothing) {
  UseThreaded("  channels: [{pattern: '**', history_size: 100000}]\n");
  PublishOn({"x"}, 2 * kEvents, "{}");
  PublishOn({"x"}, 2 * kEvents, "{}");
  // One worker process: what it has applied goes on from attachment to attachment.
  int64_t applied = 0;
  std::string epoch;
  int64_t delivered = 0;
  for (int attachment = 0; attachment < 40; ++attachment) {
    const auto worker = MakeWorker({.max_queued_items = 64});
    worker->keep_notes = worker->keep_deliveries = false;
    routing_->subscriptions->BeginSnapshot(worker->link);
    Want(*worker, "x");
    if (!epoch.empty()) routing_->subscriptions->Resume(worker->link, "s", "x", epoch, applied);
    routing_->subscriptions->EndSnapshot(worker->link);
    if (epoch.empty()) {
      // The first publication makes the channel.
      ASSERT_TRUE(WaitFor([&] { return routing_->queries->GetChannel("s", "x").ok(); }));
      Recover(*worker, 1, "x", EpochOf("x"), 0, 1 << 20);
      worker->Drain();
      epoch = EpochOf("x");
      applied = worker->LastOffset("x");
      if (applied == 0) applied = worker->LastResult().head().offset();
      delivered = applied;
    } else {
      for (int i = 0; i < 5; ++i) {
        worker->Complete();
        std::this_thread::yield();
      }
      if (worker->LastOffset("x") > 0) applied = worker->LastOffset("x");
      delivered += worker->delivered();
    }
    // The stream breaks with a write in flight, or with one that a publisher's thread is about to
    // begin; none holds the link for longer.
    routing_->subscriptions->ClearInterest(worker->link);
    worker->link->Close(absl::UnavailableError("broken"));
    EXPECT_TRUE(WaitFor([&] {
      worker->Complete(/*ok=*/false);
      return worker->finished() && worker->link.use_count() == 1;
    }));
  }
  JoinThreads();
  const auto worker = MakeWorker();
  routing_->subscriptions->BeginSnapshot(worker->link);
  Want(*worker, "x");
  routing_->subscriptions->Resume(worker->link, "s", "x", epoch, applied);
  routing_->subscriptions->EndSnapshot(worker->link);
  worker->Drain();
  EXPECT_EQ(delivered + worker->delivered(), 4 * kEvents);
}

TEST_P(RouterThreadsTest, PublishersOfManyOriginsIntoTheSameMirrorsNeverWaitForEachOtherForever) {
  UseThreaded(R"(  channels: [{pattern: '**', history_size: 100000}]
  mirrors: [{events: ['*'], to: global}, {events: ['*'], to: 'm:{to}'}]
)");
  const auto all = MakeWorker(), small = MakeWorker({.max_queued_items = 16});
  for (const auto& worker : {all.get(), small.get()}) {
    WantPattern(*worker, "**");
    Serve(worker);
  }
  // Also publishers whose origin is the others' mirror.
  PublishOn({"a", "b", "m:2"}, kEvents, R"({"to":1})");
  PublishOn({"c", "global", "a"}, kEvents, R"({"to":2})");
  PublishOn({"m:1", "d", "b"}, kEvents, R"({"to":2})");
  JoinThreads();
  int64_t copies = 0;
  for (const char* channel : {"a", "b", "c", "d", "global", "m:1", "m:2"}) {
    copies += Head(channel);
    for (const auto& worker : {all.get(), small.get()}) {
      EXPECT_TRUE(WaitFor([&] { return worker->LastOffset(channel) == Head(channel); })) << channel;
    }
  }
  // Every event is on `global` once; a third of the second publisher's begin there.
  EXPECT_EQ(Head("global"), 3 * kEvents);
  EXPECT_EQ(all->delivered(), copies);
  EXPECT_EQ(small->delivered(), copies);
  const PublishCounts counts = routing_->queries->Counts("s");
  EXPECT_EQ(counts.accepted, 3 * kEvents);
  EXPECT_EQ(counts.accepted + counts.mirrored, copies);
  Join();
}

TEST_P(RouterThreadsTest, OfManyCallersWithOneKeyOneIsPublishedAndAllGetTheReceipt) {
  const auto worker = MakeWorker();
  Want(*worker, "x");
  constexpr int kKeys = 300, kCallers = 4;
  // The worker reports what it gets, so that WRITTEN receipts end.
  servers_.emplace_back([&] {
    while (!over_) {
      for (const v1::Deliver& deliver : worker->TakeDeliveries()) {
        DeliveryReport report;
        report.tracking_id = deliver.publication_id();
        report.counts.matched = report.counts.written = 1;
        report.final = true;
        routing_->receipts.OnReport(worker->link->id(), report);
      }
      std::this_thread::yield();
    }
  });
  std::vector<std::unique_ptr<FakeReceiptSink>> sinks;
  for (int t = 0; t < kCallers; ++t) {
    sinks.push_back(std::make_unique<FakeReceiptSink>());
    Run([this, sink = sinks.back().get()] {
      for (uint64_t i = 0; i < kKeys; ++i) {
        const std::string key = absl::StrCat("key-", i);
        Event event = MakeEvent("x");
        event.idempotency_key = key;
        const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
        run->Publish(event, {.level = ReceiptLevel::kWritten}, sink, i);
      }
    });
  }
  JoinThreads();
  std::map<uint64_t, std::vector<FakeReceiptSink::Receipt>> by_key;
  for (const auto& sink : sinks) {
    ASSERT_TRUE(WaitFor([&] { return sink->count() == kKeys; }));
    for (const FakeReceiptSink::Receipt& receipt : sink->receipts()) {
      by_key[receipt.tag].push_back(receipt);
    }
  }
  Join();
  EXPECT_EQ(Head("x"), kKeys);
  EXPECT_EQ(worker->delivered(), kKeys);
  for (const auto& [key, receipts] : by_key) {
    ASSERT_THAT(receipts, SizeIs(kCallers));
    int originals = 0;
    for (const FakeReceiptSink::Receipt& receipt : receipts) {
      EXPECT_OK(receipt.outcome.status);
      EXPECT_EQ(receipt.id, receipts[0].id);
      EXPECT_EQ(receipt.outcome.position, receipts[0].outcome.position);
      EXPECT_EQ(receipt.outcome.delivery.written, 1);
      originals += receipt.outcome.duplicate ? 0 : 1;
    }
    EXPECT_EQ(originals, 1);
  }
  EXPECT_EQ(routing_->queries->Counts("s").duplicates, (kCallers - 1) * kKeys);
}

TEST_P(RouterThreadsTest, ReloadsSweepsAndQuestionsMayMeetPublishers) {
  const auto worker = MakeWorker({.max_queued_items = 64});
  WantPattern(*worker, "**");
  Serve(worker.get());
  PublishOn({"a", "b", "c"}, kEvents, "{}");
  PublishOn({"c", "b", "a"}, kEvents, "{}");
  Run([&] {
    for (int i = 0; i < 100; ++i) {
      routing_->directory.SetServices(
          Services(absl::StrCat("  channels: [{pattern: '**', history_size: ", i % 20, "}]\n")));
      routing_->directory.Sweep();
      EXPECT_OK(routing_->queries->ListChannels("", ""));
      EXPECT_OK(ReadHistory({.service = "s", .channel = "a"}));
      routing_->queries->Counts("s");
    }
  });
  JoinThreads();
  for (const char* channel : {"a", "b", "c"}) {
    EXPECT_TRUE(WaitFor([&] { return worker->LastOffset(channel) == Head(channel); })) << channel;
  }
  Join();
}

}  // namespace
}  // namespace fanwire::control
