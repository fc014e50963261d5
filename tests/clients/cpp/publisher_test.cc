#include "fanwire/publisher.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/cpp/fake_control.h"
#include "tests/testing/wait_for.h"

namespace fanwire::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Switches = FakePublishControl::Switches;

constexpr milliseconds kLong = seconds(60);  // only hangs take so long
constexpr milliseconds kQuick{1};

class PublisherTest : public testing::Test {
 protected:
  PublisherOptions Options() {
    PublisherOptions options;
    options.target = control_.target();
    options.reconnect_first = kQuick;
    options.reconnect_last = milliseconds(20);
    options.close_timeout = kLong;
    return options;
  }

  // Publishes the events whose data is {"n":first} and so on.
  static void PublishNumbers(Publisher* publisher, int first, int count,
                             const std::string& channel = "c:1") {
    for (int n = first; n < first + count; ++n) {
      const std::string json = "{\"n\":" + std::to_string(n) + "}";
      const Status status =
          publisher->Publish({.service = "s", .channel = channel, .event = "e.n", .json = json});
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  // The numbers that were published on a channel, in order.
  std::vector<int> Numbers(const std::string& channel = "c:1") {
    std::vector<int> numbers;
    for (const v1::Event& event : control_.published()) {
      if (event.channel() != channel) continue;
      numbers.push_back(std::stoi(event.json().substr(sizeof("{\"n\":") - 1)));
    }
    return numbers;
  }

  static std::vector<int> UpTo(int count) {
    std::vector<int> numbers(static_cast<size_t>(count));
    for (int n = 0; n < count; ++n) numbers[static_cast<size_t>(n)] = n;
    return numbers;
  }

  FakePublishControl control_;
};

v1::Status Refused(Code code, const std::string& message) {
  v1::Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(message);
  return status;
}

TEST_F(PublisherTest, AnEventArrivesWhole) {
  Publisher publisher(Options());
  const auto time = std::chrono::system_clock::time_point(milliseconds(1'700'000'000'250));
  ASSERT_TRUE(publisher
                  .Publish({.service = "mahavishnu",
                            .channel = "workflow:wf_1",
                            .event = "workflow.started",
                            .json = "{\"n\": 1.50}",
                            .id = "mine",
                            .idempotency_key = "key",
                            .occurred_at = time,
                            .ttl = milliseconds(1500),
                            .skip_history = true,
                            .exclude_connection = "conn"})
                  .ok());
  ASSERT_EQ(publisher.Flush(kLong), Status());
  const v1::Event event = control_.published().at(0);
  EXPECT_EQ(event.service(), "mahavishnu");
  EXPECT_EQ(event.channel(), "workflow:wf_1");
  EXPECT_EQ(event.event(), "workflow.started");
  EXPECT_EQ(event.json(), "{\"n\": 1.50}");
  EXPECT_EQ(event.id(), "mine");
  EXPECT_EQ(event.idempotency_key(), "key");
  EXPECT_EQ(event.occurred_at().seconds(), 1'700'000'000);
  EXPECT_EQ(event.occurred_at().nanos(), 250'000'000);
  EXPECT_EQ(event.ttl().seconds(), 1);
  EXPECT_EQ(event.ttl().nanos(), 500'000'000);
  EXPECT_TRUE(event.skip_history());
  EXPECT_EQ(event.exclude_connection(), "conn");
}

TEST_F(PublisherTest, ATypedEventArrivesWhole) {
  Publisher publisher(Options());
  ASSERT_TRUE(publisher.Publish({.service = "s", .type_url = "type/x", .typed = "bytes"}).ok());
  ASSERT_EQ(publisher.Flush(kLong), Status());
  const v1::Event event = control_.published().at(0);
  EXPECT_EQ(event.typed().type_url(), "type/x");
  EXPECT_EQ(event.typed().value(), "bytes");
}

TEST_F(PublisherTest, AnEventHasOnePayload) {
  Publisher publisher(Options());
  EXPECT_EQ(publisher.Publish({.json = "{}", .type_url = "t"}).code(), Code::kInvalidArgument);
  EXPECT_EQ(publisher.Publish({.typed = "t"}).code(), Code::kInvalidArgument);
}

TEST_F(PublisherTest, EveryEventGetsAnIdOfItsOwn) {
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 300);
  ASSERT_EQ(publisher.Flush(kLong), Status());
  std::set<std::string> ids;
  for (const v1::Event& event : control_.published()) {
    EXPECT_THAT(event.id(),
                testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                                      "[0-9a-f]{12}"));
    ids.insert(event.id());
  }
  EXPECT_THAT(ids, SizeIs(300));
}

TEST_F(PublisherTest, ACallbackGetsTheReceipt) {
  Publisher publisher(Options());
  Receipt got;
  ASSERT_TRUE(publisher
                  .Publish({.service = "s", .channel = "c", .event = "e", .id = "mine"},
                           [&got](const Receipt& receipt) { got = receipt; })
                  .ok());
  ASSERT_EQ(publisher.Flush(kLong), Status());  // when it returns, the callback has run
  EXPECT_TRUE(got.ok());
  EXPECT_EQ(got.id, "mine");
  EXPECT_EQ(got.epoch, "9f86d081884c7d65");
  EXPECT_EQ(got.offset, 1U);
  EXPECT_EQ(got.level, ReceiptLevel::kAccepted);
  EXPECT_FALSE(got.duplicate);
}

TEST_F(PublisherTest, AFutureGetsTheReceipt) {
  Publisher publisher(Options());
  EXPECT_EQ(publisher.PublishWithFuture({.service = "s", .channel = "c"}).get().offset, 1U);
  EXPECT_EQ(publisher.PublishWithFuture({.service = "s", .channel = "c"}).get().offset, 2U);
  EXPECT_EQ(publisher.PublishWithFuture({.typed = "t"}).get().status.code(),
            Code::kInvalidArgument);
}

TEST_F(PublisherTest, TheHelloSaysTheLevel) {
  PublisherOptions options = Options();
  options.receipt_level = ReceiptLevel::kWritten;
  options.receipt_wait = milliseconds(2500);
  options.token = "secret";
  Publisher publisher(options);
  ASSERT_TRUE(WaitFor([&] { return publisher.stats().connected; }));
  const v1::PublisherHello hello = control_.hellos().at(0);
  EXPECT_EQ(hello.receipt_level(), v1::RECEIPT_LEVEL_WRITTEN);
  EXPECT_EQ(hello.wait().seconds(), 2);
  EXPECT_EQ(hello.wait().nanos(), 500'000'000);
  EXPECT_THAT(hello.publisher_id(), SizeIs(36));
  EXPECT_EQ(control_.authorization(), "Bearer secret");
}

TEST_F(PublisherTest, ARefusalComesToTheCallback) {
  control_.Set({.refusals = {{"e.bad", Refused(Code::kNotFound, "no such service")}}});
  Publisher publisher(Options());
  const Receipt receipt = publisher.PublishWithFuture({.event = "e.bad"}).get();
  EXPECT_EQ(receipt.status, Status(Code::kNotFound, "no such service"));
  EXPECT_EQ(publisher.Flush(kLong), Status());  // somebody knows it
  EXPECT_EQ(publisher.stats().refused, 1U);
}

TEST_F(PublisherTest, FlushTellsARefusalThatNobodyHeardOf) {
  control_.Set({.refusals = {{"e.bad", Refused(Code::kNotFound, "no such service")}}});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(publisher.Publish({.service = "s", .channel = "c:2", .event = "e.bad"}).ok());
  }
  EXPECT_EQ(publisher.Flush(kLong),
            Status(Code::kNotFound, "s c:2 e.bad: no such service (and 2 more)"));
  EXPECT_EQ(publisher.Flush(kLong), Status());
  ASSERT_TRUE(publisher.Publish({.event = "e.bad"}).ok());
  EXPECT_EQ(publisher.Close(kLong).code(), Code::kNotFound);
  EXPECT_EQ(publisher.stats().accepted, 3U);
}

TEST_F(PublisherTest, MessagesKeepTheirLimits) {
  PublisherOptions options = Options();
  options.max_batch_events = 16;
  options.max_batch_bytes = 1000;
  control_.Set({.hold_receipts = true});
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 500);
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(500));
  EXPECT_LE(control_.largest_message(), 16);
  const std::string large = "{\"x\":\"" + std::string(5000, 'x') + "\"}";
  EXPECT_TRUE(publisher.PublishWithFuture({.json = large}).get().ok());
  EXPECT_EQ(control_.published().back().json(), large);
}

TEST_F(PublisherTest, LargeEventsArrive) {
  Publisher publisher(Options());
  const std::string large = "{\"x\":\"" + std::string(900'000, 'x') + "\"}";
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(publisher.Publish({.json = large}).ok());
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_THAT(control_.published(), SizeIs(20));
  EXPECT_EQ(control_.published().back().json(), large);
}

TEST_F(PublisherTest, NoMoreThanTheCreditIsWithoutAReceipt) {
  control_.Set({.credit = 4, .hold_receipts = true});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 40);
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 4; }));
  EXPECT_EQ(publisher.Flush(milliseconds(20)).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(control_.items(), 4U);
  control_.Set({.credit = 4});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(40));
  EXPECT_EQ(control_.most_without_receipt(), 4U);
}

TEST_F(PublisherTest, APublisherMayLimitWhatIsWithoutAReceipt) {
  control_.Set({.hold_receipts = true});
  PublisherOptions options = Options();
  options.max_in_flight_events = 5;
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 40);
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 5; }));
  EXPECT_EQ(publisher.Flush(milliseconds(20)).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(control_.items(), 5U);
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(40));
  EXPECT_EQ(control_.most_without_receipt(), 5U);
}

TEST_F(PublisherTest, ReceiptsMayComeInAnyOrder) {
  control_.Set({.hold_receipts = true, .reverse_receipts = true});
  Publisher publisher(Options());
  std::vector<uint64_t> offsets;
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(
        publisher
            .Publish({.channel = "c"},
                     [&offsets](const Receipt& receipt) { offsets.push_back(receipt.offset); })
            .ok());
  }
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 50; }));
  control_.Set({.reverse_receipts = true});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  std::sort(offsets.begin(), offsets.end());
  ASSERT_THAT(offsets, SizeIs(50));
  for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(offsets[i], i + 1);
}

TEST_F(PublisherTest, AfterALostStreamEachEventIsPublishedOnceAndInOrder) {
  control_.Set({.break_after = 7});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 200);
  ASSERT_TRUE(WaitFor([&] { return control_.hellos().size() >= 5; }));
  control_.Set({});
  PublishNumbers(&publisher, 200, 100);
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(300));
  EXPECT_GT(control_.duplicates(), 0U);
  const PublisherStats stats = publisher.stats();
  EXPECT_EQ(stats.accepted, 300U);
  EXPECT_GT(stats.duplicates, 0U);
  EXPECT_GE(stats.connections, 5U);
  const std::string id = control_.hellos().at(0).publisher_id();
  for (const v1::PublisherHello& hello : control_.hellos()) EXPECT_EQ(hello.publisher_id(), id);
}

TEST_F(PublisherTest, OfAControlThatForgotOnlyWhatHasNoReceiptIsSentAgain) {
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 10);
  ASSERT_EQ(publisher.Flush(kLong), Status());
  control_.Set({.hold_receipts = true});
  PublishNumbers(&publisher, 10, 5);
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 15; }));
  control_.Stop();
  control_.Forget();
  control_.Set({});
  control_.Start();
  ASSERT_EQ(publisher.Flush(kLong), Status());
  // Control could not know the five, but they have the ids that they had before.
  const std::vector<v1::Event> published = control_.published();
  ASSERT_THAT(published, SizeIs(20));
  for (size_t i = 10; i < 15; ++i) {
    EXPECT_EQ(published[i].id(), published[i + 5].id());
    EXPECT_EQ(published[i].json(), published[i + 5].json());
  }
}

TEST_F(PublisherTest, ReceiptsInTheMiddleAreNotSentAgain) {
  // The receipt of the first is missing; those of the others came.
  Switches switches;
  switches.refusals = {{"e.later", Refused(Code::kUnavailable, "stopping")}};
  control_.Set(switches);
  Publisher publisher(Options());
  ASSERT_TRUE(publisher.Publish({.channel = "c:1", .event = "e.later", .json = "{\"n\":0}"}).ok());
  PublishNumbers(&publisher, 1, 20);
  ASSERT_TRUE(WaitFor(
      [&] { return publisher.stats().buffered_events == 1 && control_.hellos().size() >= 3; }));
  control_.Forget();
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  std::vector<int> numbers = Numbers();
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(numbers, UpTo(21));
  EXPECT_EQ(publisher.stats().refused, 0U);
}

TEST_F(PublisherTest, WhenControlGoesAwayNothingIsSentUntilTheNextStream) {
  control_.Set({.hold_receipts = true});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 10);
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 10; }));
  control_.GoAway("control is stopping");
  PublishNumbers(&publisher, 10, 1990);
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(2000));
  EXPECT_EQ(control_.duplicates(), 0U);
  EXPECT_THAT(control_.hellos(), SizeIs(2));
  EXPECT_THAT(publisher.stats().last_error.message(), HasSubstr("control is stopping"));
}

TEST_F(PublisherTest, WhatIsPublishedWhileControlIsAwayArrivesLater) {
  control_.Stop();
  Mutex mu;
  std::vector<Status> changes;
  PublisherOptions options = Options();
  options.on_connection = [&](const Status& status) {
    MutexLock lock(&mu);
    changes.push_back(status);
  };
  const auto size = [&] {
    MutexLock lock(&mu);
    return changes.size();
  };
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 100);
  ASSERT_TRUE(WaitFor([&] { return size() == 1; }));
  const Status away = publisher.Flush(kQuick);
  EXPECT_EQ(away.code(), Code::kDeadlineExceeded);
  EXPECT_THAT(away.message(), StartsWith("100 events have no receipt yet; control is not "
                                         "reachable at unix:"));
  control_.Start();
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(100));
  control_.Stop();
  ASSERT_TRUE(WaitFor([&] { return size() == 3; }));
  MutexLock lock(&mu);
  EXPECT_EQ(changes[0].code(), Code::kUnavailable);
  EXPECT_THAT(changes[0].message(), HasSubstr("is fanwire-control running?"));
  EXPECT_EQ(changes[1], Status());
  EXPECT_EQ(changes[2].code(), Code::kUnavailable);
}

TEST_F(PublisherTest, AFullBufferRefuses) {
  control_.Stop();
  PublisherOptions options = Options();
  options.when_full = WhenFull::kRefuse;
  options.max_buffered_events = 5;
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 5);
  ASSERT_TRUE(WaitFor([&] { return !publisher.stats().last_error.ok(); }));
  const Status full = publisher.Publish({.service = "s"});
  EXPECT_EQ(full.code(), Code::kResourceExhausted);
  EXPECT_THAT(full.message(), HasSubstr("the buffer is full: 5 events"));
  EXPECT_THAT(full.message(), HasSubstr("control is not reachable"));
  EXPECT_EQ(publisher.PublishWithFuture({}).get().status.code(), Code::kResourceExhausted);
  control_.Start();
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(5));
}

TEST_F(PublisherTest, TheBufferIsLimitedInBytesToo) {
  control_.Set({.hold_receipts = true});
  PublisherOptions options = Options();
  options.when_full = WhenFull::kRefuse;
  options.max_buffered_bytes = 2000;
  Publisher publisher(options);
  const std::string json(800, ' ');
  EXPECT_TRUE(publisher.Publish({.json = json}).ok());
  EXPECT_TRUE(publisher.Publish({.json = json}).ok());
  EXPECT_EQ(publisher.Publish({.json = json}).code(), Code::kResourceExhausted);
  const Status large = publisher.Publish({.json = std::string(3000, ' ')});
  EXPECT_EQ(large.code(), Code::kInvalidArgument);
  EXPECT_THAT(large.message(), HasSubstr("raise max_buffered_bytes"));
  EXPECT_GT(publisher.stats().buffered_bytes, 1600U);
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(publisher.stats().buffered_bytes, 0U);
  EXPECT_EQ(publisher.stats().buffered_events, 0U);
}

TEST_F(PublisherTest, AFullBufferBlocksUntilReceiptsCome) {
  control_.Set({.hold_receipts = true});
  PublisherOptions options = Options();
  options.max_buffered_events = 8;
  options.block_timeout = kLong;
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 8);
  std::atomic<bool> done = false;
  std::thread blocked([&] {
    PublishNumbers(&publisher, 8, 100);
    done = true;
  });
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 8; }));
  EXPECT_FALSE(done);
  control_.Set({});
  blocked.join();
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(108));
}

TEST_F(PublisherTest, BlockingEndsWithItsTimeoutAndWithClose) {
  control_.Set({.hold_receipts = true});
  PublisherOptions options = Options();
  options.max_buffered_events = 1;
  options.block_timeout = milliseconds(5);
  {
    Publisher publisher(options);
    PublishNumbers(&publisher, 0, 1);
    EXPECT_EQ(publisher.Publish({}).code(), Code::kResourceExhausted);
    publisher.Close(kQuick);
  }
  options.block_timeout = kLong;
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 1);
  Status status;
  std::thread blocked([&] { status = publisher.Publish({}); });
  EXPECT_EQ(publisher.Close(milliseconds(30)).code(), Code::kDeadlineExceeded);
  blocked.join();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
}

TEST_F(PublisherTest, AFullBufferDropsTheOldest) {
  control_.Stop();
  PublisherOptions options = Options();
  options.when_full = WhenFull::kDropOldest;
  options.max_buffered_events = 10;
  Publisher publisher(options);
  std::future<Receipt> first = publisher.PublishWithFuture({.channel = "c:1", .json = "{\"n\":0}"});
  PublishNumbers(&publisher, 1, 29);
  const Receipt dropped = first.get();
  EXPECT_EQ(dropped.status.code(), Code::kResourceExhausted);
  EXPECT_THAT(dropped.status.message(), StartsWith("dropped"));
  EXPECT_EQ(publisher.stats().dropped, 20U);
  control_.Start();
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_THAT(Numbers(), ElementsAre(20, 21, 22, 23, 24, 25, 26, 27, 28, 29));
}

TEST_F(PublisherTest, DroppingNeverTouchesWhatWasSent) {
  control_.Set({.hold_receipts = true});
  PublisherOptions options = Options();
  options.when_full = WhenFull::kDropOldest;
  options.max_buffered_events = 10;
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 5);
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 5; }));
  PublishNumbers(&publisher, 5, 1000);
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_THAT(Numbers(), ElementsAre(0, 1, 2, 3, 4, 1000, 1001, 1002, 1003, 1004));
  EXPECT_EQ(publisher.stats().dropped, 995U);
}

TEST_F(PublisherTest, ACallbackMayPublishAndNeverBlocks) {
  PublisherOptions options = Options();
  options.max_buffered_events = 2;
  options.block_timeout = kLong;
  Publisher publisher(options);
  std::vector<Status> statuses;
  Status flushed;
  control_.Set({.hold_receipts = true});
  ASSERT_TRUE(publisher
                  .Publish({.channel = "c"},
                           [&](const Receipt&) {
                             for (int i = 0; i < 3; ++i) {
                               statuses.push_back(publisher.Publish({.channel = "d"}));
                             }
                             flushed = publisher.Flush(kLong);
                           })
                  .ok());
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 1; }));
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  ASSERT_THAT(statuses, SizeIs(3));
  EXPECT_TRUE(statuses[0].ok());
  EXPECT_TRUE(statuses[1].ok());
  EXPECT_EQ(statuses[2].code(), Code::kResourceExhausted);
  EXPECT_EQ(flushed.code(), Code::kFailedPrecondition);
}

TEST_F(PublisherTest, WhatHasNoReceiptAtCloseIsNotKnown) {
  control_.Set({.hold_receipts = true});
  Publisher publisher(Options());
  std::future<Receipt> future = publisher.PublishWithFuture({.channel = "c"});
  ASSERT_TRUE(WaitFor([&] { return control_.items() == 1; }));
  EXPECT_EQ(publisher.Close(kQuick).code(), Code::kDeadlineExceeded);
  const Receipt receipt = future.get();
  EXPECT_EQ(receipt.status.code(), Code::kUnavailable);
  EXPECT_THAT(receipt.status.message(), HasSubstr("is not known"));
  EXPECT_EQ(publisher.stats().dropped, 1U);
  EXPECT_EQ(publisher.Publish({}).code(), Code::kFailedPrecondition);
  EXPECT_EQ(publisher.Close(kLong), Status());
}

TEST_F(PublisherTest, TheDestructorSendsWhatIsBuffered) {
  {
    Publisher publisher(Options());
    PublishNumbers(&publisher, 0, 1000);
  }
  EXPECT_EQ(Numbers(), UpTo(1000));
  EXPECT_TRUE(WaitFor([&] { return control_.streams() == 0; }));
}

TEST_F(PublisherTest, ADestructorWithoutControlEnds) {
  control_.Stop();
  PublisherOptions options = Options();
  options.close_timeout = milliseconds(0);
  options.reconnect_first = options.reconnect_last = kLong;  // and does not wait for that
  Publisher publisher(options);
  PublishNumbers(&publisher, 0, 10);
}

TEST_F(PublisherTest, ControlMayTakeSmallerMessages) {
  control_.Set({.hold_receipts = true, .max_batch = 10});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 500);
  control_.Set({.max_batch = 10});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(500));
  EXPECT_LE(control_.largest_message(), 10);
}

TEST_F(PublisherTest, AnEventThatEndsEachStreamIsRefused) {
  control_.Set({.poison = "e.poison"});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 50);
  std::future<Receipt> poison =
      publisher.PublishWithFuture({.channel = "c:1", .event = "e.poison", .json = "{}"});
  PublishNumbers(&publisher, 50, 50);
  ASSERT_EQ(publisher.Flush(kLong), Status());
  const Receipt receipt = poison.get();
  EXPECT_EQ(receipt.status.code(), Code::kResourceExhausted);
  EXPECT_THAT(receipt.status.message(), HasSubstr("poisoned"));
  EXPECT_EQ(Numbers(), UpTo(100));
  EXPECT_EQ(publisher.stats().refused, 1U);
}

TEST_F(PublisherTest, ThreadsKeepTheirOrderOverLostStreams) {
  control_.Set({.break_after = 100});
  Publisher publisher(Options());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back(
        [&publisher, t] { PublishNumbers(&publisher, 0, 500, "t:" + std::to_string(t)); });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(WaitFor([&] { return control_.hellos().size() >= 5; }));
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  for (int t = 0; t < 4; ++t) EXPECT_EQ(Numbers("t:" + std::to_string(t)), UpTo(500));
  EXPECT_EQ(publisher.stats().accepted, 2000U);
}

TEST_F(PublisherTest, AMalformedAnswerEndsTheStreamButNotThePublisher) {
  control_.Set({.garbled = true});
  Publisher publisher(Options());
  PublishNumbers(&publisher, 0, 3);
  ASSERT_TRUE(WaitFor([&] { return control_.hellos().size() >= 2; }));
  EXPECT_THAT(publisher.stats().last_error.message(), HasSubstr("malformed"));
  control_.Set({});
  ASSERT_EQ(publisher.Flush(kLong), Status());
  EXPECT_EQ(Numbers(), UpTo(3));
}

TEST_F(PublisherTest, AnUnusableTargetIsToldByEveryCall) {
  PublisherOptions options;
  options.target = "http://127.0.0.1:8701";
  Publisher publisher(options);
  EXPECT_EQ(publisher.Publish({}).code(), Code::kInvalidArgument);
  EXPECT_THAT(publisher.Flush(kLong).message(), HasSubstr("is a URL"));
  EXPECT_THAT(publisher.PublishWithFuture({}).get().status.message(), HasSubstr("is a URL"));
  EXPECT_EQ(publisher.Close(kLong), Status());
}

}  // namespace
}  // namespace fanwire::client
