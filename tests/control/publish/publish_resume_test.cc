// PublishStream over several streams of one publisher_id: what was accepted is never published
// twice, and what was not is never told as accepted.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/event_records.h"
#include "tests/control/publish/publish_fixture.h"
#include "tests/control/publish/stream_publisher.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

using PublishResumeTest = PublishEnginesFixture;

INSTANTIATE_TEST_SUITE_P(Engines, PublishResumeTest, AllEngines(), EngineName);

// What holds only if the engine keeps a publication at once: with others the receipts of refused
// and repeated items come before those of earlier ones.
using PublishResumeAtOnceTest = PublishFixture;

TEST_F(PublishResumeAtOnceTest, APublisherThatComesBackIsToldWhereItWas) {
  {
    StreamPublisher publisher(stub_.get());
    EXPECT_EQ(publisher.Greet("me").last_accepted_seq(), 0u);
    publisher.SendMany(1, 20, 10);
    publisher.ReadReceipts(20);
    publisher.Cancel();
    EXPECT_THAT(publisher.Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
  }
  StreamPublisher publisher(stub_.get());
  EXPECT_EQ(publisher.Greet("me").last_accepted_seq(), 20u);
  publisher.Send({19, 20, 21, 21, 22});
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(5);
  ASSERT_THAT(receipts, SizeIs(5));
  for (size_t i = 0; i < 5; ++i) {
    const v1::Receipt& receipt = receipts[i].receipt();
    EXPECT_FALSE(receipt.has_status()) << i;
    EXPECT_EQ(receipt.duplicate(), i != 2 && i != 4) << i;
    EXPECT_EQ(receipt.position().offset(), static_cast<int64_t>(receipts[i].seq())) << i;
    EXPECT_EQ(receipt.position().epoch(), EpochOf("x")) << i;
    EXPECT_FALSE(receipt.id().empty()) << i;
  }
  EXPECT_EQ(receipts[2].receipt().id(), receipts[3].receipt().id());
  EXPECT_EQ(Accepted(), 22);
  EXPECT_EQ(routing_->queries->Counts("s").duplicates, 3);
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
  StreamPublisher other(stub_.get());
  EXPECT_EQ(other.Greet("you").last_accepted_seq(), 0u);
}

TEST_P(PublishResumeTest, WithoutANameSeqsAreOnlyEchoed) {
  for (int i = 0; i < 2; ++i) {
    StreamPublisher publisher(stub_.get());
    EXPECT_EQ(publisher.Greet().last_accepted_seq(), 0u);
    publisher.Send({5, 5, 1});
    const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(3);
    ASSERT_THAT(receipts, SizeIs(3));
    for (const v1::ItemReceipt& receipt : receipts) EXPECT_FALSE(receipt.receipt().has_status());
    EXPECT_EQ(receipts[2].seq(), 1u);
    publisher.HalfClose();
    EXPECT_OK(publisher.Finish());
  }
}

TEST_P(PublishResumeTest, NoMorePublishersAreRememberedThanMayBe) {
  Serve({.max_publishers = 2});
  const auto last_of = [this](const std::string& id, bool publish) {
    StreamPublisher publisher(stub_.get());
    const uint64_t last = publisher.Greet(id).last_accepted_seq();
    if (publish) {
      publisher.Send({last + 1});
      publisher.ReadReceipts(1);
    }
    publisher.HalfClose();
    EXPECT_OK(publisher.Finish());
    return last;
  };
  const std::vector<std::string> ids = {"a", "b", "c", "d", "e", "f"};
  for (const std::string& id : ids) EXPECT_EQ(last_of(id, true), 0u);
  int known = 0;
  for (const std::string& id : ids) known += last_of(id, false) == 0 ? 0 : 1;
  EXPECT_LE(known, 2);
}

TEST_P(PublishResumeTest, APlaceIsFreeWhenTheStreamsEndIsTold) {
  Serve({.max_publishers = 1});
  for (int i = 0; i < 300; ++i) {
    StreamPublisher publisher(stub_.get());
    ASSERT_TRUE(publisher.Greet(absl::StrCat("publisher ", i)).credit() > 0) << i;
    if (i % 3 == 0) publisher.Send({1});
    if (i % 3 == 0) publisher.ReadReceipts(1);
    if (i % 3 == 2) {
      publisher.Hello("again");
      publisher.Drain();
      EXPECT_THAT(publisher.Finish(), StatusIs(kInvalid, HasSubstr("this stream has had one")));
    } else {
      publisher.HalfClose();
      EXPECT_OK(publisher.Finish());
    }
  }
}

TEST_P(PublishResumeTest, AFurtherPublisherIsRefusedWhileAllHaveAStream) {
  Serve({.max_publishers = 1});
  StreamPublisher first(stub_.get());
  first.Greet("a");
  first.Send({1});
  first.ReadReceipts(1);
  {
    StreamPublisher second(stub_.get());
    second.Hello("b");
    EXPECT_FALSE(second.Read().has_value());
    EXPECT_THAT(second.Finish(), StatusIs(absl::StatusCode::kResourceExhausted,
                                          HasSubstr("raise control.max_publishers")));
  }
  StreamPublisher nameless(stub_.get());
  nameless.Greet();
  nameless.Send({1});
  EXPECT_THAT(nameless.ReadReceipts(1), SizeIs(1));
  first.HalfClose();
  EXPECT_OK(first.Finish());
  StreamPublisher again(stub_.get());
  again.Greet("b");
  again.HalfClose();
  EXPECT_OK(again.Finish());
}

TEST_P(PublishResumeTest, OfAnOpenStreamThatIsIdleForLongOnlyTheLastSeqsAreRemembered) {
  Serve({.keep_idle = absl::Minutes(10)});
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  publisher.Send({1, 2});
  publisher.ReadReceipts(2);
  service_->ReleaseIdle(absl::Hours(1));
  service_->ReleaseIdle(absl::Hours(2));
  publisher.Send({2, 3});
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(2);
  ASSERT_THAT(receipts, SizeIs(2));
  EXPECT_EQ(receipts[0].receipt().status().message(),
            "seq 2: not above 2, the last one of this publisher_id");
  EXPECT_EQ(receipts[1].receipt().position().offset(), 3);
  StreamPublisher again(stub_.get());
  EXPECT_EQ(again.Greet("me").last_accepted_seq(), 3u);
}

TEST_P(PublishResumeTest, WhatWaitsForWrittenWasAcceptedAndIsADuplicateWithItsPosition) {
  Want(*worker_, "x");
  {
    StreamPublisher publisher(stub_.get());
    publisher.Greet("me", v1::RECEIPT_LEVEL_WRITTEN);
    publisher.SendMany(1, 10, 10);
    EXPECT_TRUE(WaitFor([&] { return Accepted() == 10; }));
    publisher.Cancel();
    publisher.Finish().IgnoreError();
  }
  StreamPublisher again(stub_.get());
  EXPECT_EQ(again.Greet("me", v1::RECEIPT_LEVEL_WRITTEN).last_accepted_seq(), 10u);
  again.SendMany(1, 10, 10);
  for (const v1::ItemReceipt& receipt : again.ReadReceipts(10)) {
    EXPECT_TRUE(receipt.receipt().duplicate());
    EXPECT_EQ(receipt.receipt().position().offset(), static_cast<int64_t>(receipt.seq()));
  }
  EXPECT_EQ(Accepted(), 10);
  ReportAll();
}

TEST_F(PublishResumeAtOnceTest, ASeqIsNotUsedForTwoEvents) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  publisher.Send({1}, R"({"n":1})");
  publisher.Send({1}, R"({"n":2})");
  publisher.Send({1}, R"({"n":1})");
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(3);
  ASSERT_THAT(receipts, SizeIs(3));
  EXPECT_EQ(receipts[1].receipt().status().code(), 6);
  EXPECT_EQ(receipts[1].receipt().status().message(),
            "seq 1 belongs to another event of this publisher_id; count seq up");
  EXPECT_TRUE(receipts[2].receipt().duplicate());
  EXPECT_EQ(Accepted(), 1);
}

TEST_F(PublishResumeAtOnceTest, WhatIsTooLongAgoIsRefusedRatherThanToldAsADuplicate) {
  Serve({.stream_credit = 4});
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  publisher.SendMany(1, 20, 20);
  EXPECT_THAT(publisher.ReadReceipts(20), SizeIs(20));
  publisher.Send({16, 17});
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(2);
  ASSERT_THAT(receipts, SizeIs(2));
  EXPECT_EQ(receipts[0].receipt().status().code(), 6);
  EXPECT_THAT(receipts[0].receipt().status().message(), HasSubstr("not above 20"));
  EXPECT_TRUE(receipts[1].receipt().duplicate());
}

// ------------------------------------------------------------------------------- two streams

TEST_P(PublishResumeTest, WhatAnOlderStreamStillHoldsIsNotPublishedAfterANewerOneSaidHello) {
  Serve({.stream_credit = 5});
  Want(*worker_, "x");
  StreamPublisher older(stub_.get());
  older.Greet("me", v1::RECEIPT_LEVEL_WRITTEN);
  older.SendMany(1, 20, 5);
  EXPECT_TRUE(WaitFor([&] { return Accepted() == 5; }));  // the rest waits for credit
  StreamPublisher newer(stub_.get());
  EXPECT_EQ(newer.Greet("me").last_accepted_seq(), 5u);
  newer.SendMany(6, 20, 5);
  EXPECT_THAT(newer.ReadReceipts(15), SizeIs(15));
  // Now the older stream is read on.
  EXPECT_TRUE(WaitFor([&] { return ReportAll() > 0; }));
  older.Drain();
  EXPECT_THAT(
      older.Finish(),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               "publisher_id \"me\": another stream has said hello with it later; only that "
               "one may publish"));
  EXPECT_EQ(Accepted(), 20);
  newer.Send({21});
  EXPECT_EQ(newer.ReadReceipts(1)[0].receipt().position().offset(), 21);
}

// Says hello on another stream while the message of the first one is being published.
class HelloAtPublication final : public PublicationObserver {
 public:
  HelloAtPublication(int number, StreamPublisher* publisher)
      : number_(number), publisher_(publisher) {}

  void OnPublication(const ObservedPublication& /*observed*/) override {
    if (++seen_ == number_) last_accepted = publisher_->Greet("me").last_accepted_seq();
  }

  uint64_t last_accepted = 0;

 private:
  const int number_;
  StreamPublisher* const publisher_;
  int seen_ = 0;
};

TEST_F(PublishResumeAtOnceTest, AMessageThatIsBeingPublishedEndsWhenANewerStreamSaysHello) {
  StreamPublisher older(stub_.get());
  older.Greet("me");
  StreamPublisher newer(stub_.get());
  HelloAtPublication observer(3, &newer);
  routing_->router->AddObserver(&observer);
  older.SendMany(1, 10, 10);
  older.Drain();
  EXPECT_THAT(older.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("")));
  routing_->router->RemoveObserver(&observer);
  EXPECT_EQ(observer.last_accepted, 2u);  // the third was in flight
  EXPECT_EQ(Accepted(), 3);
  newer.SendMany(3, 10, 8);
  const std::vector<v1::ItemReceipt> receipts = newer.ReadReceipts(8);
  ASSERT_THAT(receipts, SizeIs(8));
  for (const v1::ItemReceipt& receipt : receipts) {
    EXPECT_EQ(receipt.receipt().position().offset(), static_cast<int64_t>(receipt.seq()));
    EXPECT_EQ(receipt.receipt().duplicate(), receipt.seq() == 3);
  }
  EXPECT_EQ(Accepted(), 10);
}

// ------------------------------------------------------------------------------- late outcomes

// Before an engine that acknowledges when it is told to.
class PublishLateTest : public PublishFixture {
 protected:
  static constexpr FakeEngine::Kind kAppend = FakeEngine::Kind::kAppend;

  PublishLateTest() : PublishFixture(EngineKind::kSlow) { slow_->Delay({.appends = true}); }
  void TearDown() override {
    while (slow_->waiting(kAppend) > 0) EndFirst(absl::UnavailableError("the test is over"));
    PublishFixture::TearDown();
  }

  size_t waiting() const { return slow_->waiting(kAppend); }
  void EndFirst(const absl::Status& status) { slow_->EndFirst(kAppend, status); }
};

TEST_F(PublishLateTest, WhatBecameOfASeqInFlightIsToldToTheStreamThatSendsItAgain) {
  StreamPublisher older(stub_.get());
  older.Greet("me");
  older.SendMany(1, 3, 3);
  EXPECT_TRUE(WaitFor([&] { return waiting() == 3; }));
  older.Cancel();
  EXPECT_THAT(older.Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));

  StreamPublisher newer(stub_.get());
  EXPECT_EQ(newer.Greet("me").last_accepted_seq(), 0u);
  newer.SendMany(1, 3, 3);
  EXPECT_TRUE(WaitFor([&] { return routing_->queries->Counts("s").duplicates == 3; }));
  EXPECT_EQ(waiting(), 3u);  // nothing was published again
  EndFirst(absl::OkStatus());
  EndFirst(absl::UnavailableError("no space"));
  EndFirst(absl::OkStatus());
  std::vector<v1::ItemReceipt> receipts = newer.ReadReceipts(3);
  ASSERT_THAT(receipts, SizeIs(3));
  EXPECT_TRUE(receipts[0].receipt().duplicate());
  EXPECT_EQ(receipts[0].receipt().position().offset(), 1);
  EXPECT_FALSE(receipts[1].receipt().duplicate());
  EXPECT_EQ(receipts[1].receipt().status().code(), 14);
  EXPECT_EQ(receipts[1].receipt().status().message(), "no space");
  EXPECT_TRUE(receipts[2].receipt().duplicate());
  EXPECT_EQ(receipts[2].receipt().position().offset(), 2);

  // What was lost is published when it comes again.
  newer.Send({2});
  EXPECT_TRUE(WaitFor([&] { return waiting() == 1; }));
  EndFirst(absl::OkStatus());
  receipts = newer.ReadReceipts(1);
  EXPECT_FALSE(receipts[0].receipt().duplicate());
  EXPECT_EQ(receipts[0].receipt().position().offset(), 3);
  EXPECT_EQ(Accepted(), 3);
}

TEST_F(PublishLateTest, TheWelcomeTellsNoSeqAboveOneWhoseOutcomeIsNotKnown) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  publisher.SendMany(1, 3, 3);
  EXPECT_TRUE(WaitFor([&] { return waiting() == 3; }));
  EndFirst(absl::OkStatus());
  EXPECT_THAT(publisher.ReadReceipts(1), SizeIs(1));
  EXPECT_EQ(StreamPublisher(stub_.get()).Greet("me").last_accepted_seq(), 1u);
  EndFirst(absl::UnavailableError("no space"));
  EndFirst(absl::OkStatus());
  // Three is accepted, and two was refused, of which a receipt was given.
  EXPECT_TRUE(
      WaitFor([&] { return StreamPublisher(stub_.get()).Greet("me").last_accepted_seq() == 3u; }));
}

// ------------------------------------------------------------------------------- restarts

class PublishRestartTest : public PublishFixture {
 protected:
  PublishRestartTest() : PublishFixture(EngineKind::kSlow) {}

  // Control begins anew; the engine keeps what it has.
  void Restart() {
    StopServer();
    Settle();
    routing_ =
        std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_, Services());
    Serve({});
    EXPECT_OK(RestoreEventRecords(engine_.get(), &routing_->directory, service_.get(), &clock_));
  }
};

TEST_F(PublishRestartTest, APublisherGoesOnWhereItWas) {
  slow_->Delay({});
  {
    StreamPublisher publisher(stub_.get());
    publisher.Greet("me");
    publisher.SendMany(1, 20, 10);
    publisher.ReadReceipts(20);
  }
  Restart();
  StreamPublisher publisher(stub_.get());
  EXPECT_EQ(publisher.Greet("me").last_accepted_seq(), 20u);
  publisher.Send({19, 20, 21});
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(3);
  ASSERT_THAT(receipts, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(receipts[i].receipt().duplicate(), i < 2);
    EXPECT_EQ(receipts[i].receipt().position().offset(), static_cast<int64_t>(19 + i));
    EXPECT_EQ(receipts[i].receipt().position().epoch(), EpochOf("x"));
  }
  EXPECT_EQ(Accepted(), 1);
}

TEST_F(PublishRestartTest, WhatTheEngineRefusedIsPublishedWhenItComesAgain) {
  slow_->Delay({.appends = true});
  {
    StreamPublisher publisher(stub_.get());
    publisher.Greet("me");
    publisher.SendMany(1, 3, 3);
    EXPECT_TRUE(WaitFor([&] { return slow_->waiting(FakeEngine::Kind::kAppend) == 3; }));
    slow_->FailAppend(1, absl::UnavailableError("no space"));
    slow_->Settle();
  }
  Restart();
  slow_->Delay({});
  StreamPublisher publisher(stub_.get());
  EXPECT_EQ(publisher.Greet("me").last_accepted_seq(), 3u);
  publisher.Send({1, 2, 3});
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(3);
  ASSERT_THAT(receipts, SizeIs(3));
  EXPECT_EQ(receipts[0].receipt().position().offset(), 1);
  EXPECT_EQ(receipts[1].receipt().position().offset(), 3);
  EXPECT_FALSE(receipts[1].receipt().duplicate());
  EXPECT_EQ(receipts[2].receipt().position().offset(), 2);
}

}  // namespace
}  // namespace fanwire::control
