// PublishStream: order, credit, and every way in which a stream can end.
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/control/publish/publish_fixture.h"
#include "tests/control/publish/stream_publisher.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using PublishStreamTest = PublishEnginesFixture;

INSTANTIATE_TEST_SUITE_P(Engines, PublishStreamTest, AllEngines(), EngineName);

// What holds only if the engine keeps a publication at once: with others the receipts of refused
// and repeated items come before those of earlier ones.
using PublishStreamAtOnceTest = PublishFixture;

TEST_P(PublishStreamTest, EveryItemGetsItsReceiptAndItsPositionInOrder) {
  StreamPublisher publisher(stub_.get());
  const v1::PublisherWelcome welcome = publisher.Greet();
  EXPECT_EQ(welcome.last_accepted_seq(), 0u);
  EXPECT_EQ(welcome.credit(), 1000u);
  std::thread sending([&] {
    publisher.SendMany(1, 3000, 7);
    publisher.HalfClose();
  });
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(3000);
  sending.join();
  ASSERT_THAT(receipts, SizeIs(3000));
  for (size_t i = 0; i < receipts.size(); ++i) {
    ASSERT_EQ(receipts[i].seq(), i + 1);
    ASSERT_EQ(receipts[i].receipt().position().offset(), static_cast<int64_t>(i) + 1);
    ASSERT_FALSE(receipts[i].receipt().has_status());
  }
  EXPECT_EQ(publisher.Read(), std::nullopt);
  EXPECT_OK(publisher.Finish());
}

TEST_F(PublishStreamAtOnceTest, TheReceiptsOfAMessageComeTogether) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet();
  publisher.SendMany(1, 50, 50);
  const std::optional<v1::PublishStreamResponse> response = publisher.Read();
  ASSERT_TRUE(response.has_value());
  EXPECT_THAT(response->receipts().receipts(), SizeIs(50));
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
}

TEST_P(PublishStreamTest, ItemsOfEverySizeAreReadAcrossTheEndsOfGrpcsPieces) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet();
  v1::PublishStreamRequest request;
  for (uint64_t seq = 1; seq <= 100; ++seq) {
    v1::PublishItem* const item = request.mutable_items()->add_items();
    item->set_seq(seq);
    *item->mutable_event() = MakeEvent(
        "x",
        absl::StrCat(R"({"n":)", seq, R"(,"text":")", std::string(seq * 397 % 9000, 'x'), "\"}"));
  }
  publisher.stream().Write(request);
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(100);
  ASSERT_THAT(receipts, SizeIs(100));
  for (const v1::ItemReceipt& receipt : receipts) {
    EXPECT_EQ(receipt.receipt().position().offset(), static_cast<int64_t>(receipt.seq()));
  }
  const auto history =
      ReadHistory({.service = "s", .channel = "x", .limit = 1000, .max_bytes = 100 << 20});
  ASSERT_OK(history);
  ASSERT_THAT(history->publications, SizeIs(100));
  for (size_t i = 0; i < 100; ++i) {
    const absl::string_view data = history->publications[i]->data();
    const auto json = nlohmann::json::parse(data.begin(), data.end());
    EXPECT_EQ(json["n"], i + 1);
    EXPECT_EQ(json["text"].get<std::string>().size(), (i + 1) * 397 % 9000);
  }
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
}

TEST_F(PublishStreamAtOnceTest, ARefusedItemRefusesNoneOfTheOthersAndMayBeSentAgainLater) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  publisher.Send({1});
  publisher.Send({2}, "oops");
  publisher.Send({3});
  publisher.Send({4}, "[]");
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(4);
  ASSERT_THAT(receipts, SizeIs(4));
  EXPECT_EQ(receipts[1].seq(), 2u);
  EXPECT_EQ(receipts[1].receipt().status().code(), 3);
  EXPECT_THAT(receipts[1].receipt().status().message(), HasSubstr("data: "));
  EXPECT_EQ(receipts[2].receipt().position().offset(), 2);
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
  StreamPublisher again(stub_.get());
  EXPECT_EQ(again.Greet("me").last_accepted_seq(), 3u);
  again.Send({4});
  EXPECT_EQ(again.ReadReceipts(1)[0].receipt().position().offset(), 3);
  again.HalfClose();
  EXPECT_OK(again.Finish());
}

// ------------------------------------------------------------------------------- credit

TEST_P(PublishStreamTest, WithoutReceiptsReadingStopsAtTheCreditAndGoesOnWithThem) {
  Serve({.stream_credit = 10});
  Want(*worker_, "x");
  StreamPublisher publisher(stub_.get());
  EXPECT_EQ(publisher.Greet("", v1::RECEIPT_LEVEL_WRITTEN).credit(), 10u);
  publisher.SendMany(1, 100, 5);
  EXPECT_TRUE(WaitFor([&] { return Accepted() == 10; }));
  // What else the server does goes on, and no item is read in between.
  for (int i = 0; i < 20; ++i) EXPECT_OK(PublishEvent(MakeEvent("other")));
  EXPECT_EQ(Accepted(), 30);
  publisher.HalfClose();
  std::vector<v1::ItemReceipt> receipts;
  std::thread reading([&] { receipts = publisher.ReadReceipts(100); });
  int reported = 0;
  EXPECT_TRUE(WaitFor([&] {
    reported += ReportAll();
    const int64_t open = Accepted() - 20 - reported;
    EXPECT_LE(open, 10);
    return reported == 100;
  }));
  reading.join();
  ASSERT_THAT(receipts, SizeIs(100));
  EXPECT_OK(publisher.Finish());
}

TEST_P(PublishStreamTest, AMessageMayExceedTheCreditOnce) {
  Serve({.stream_credit = 3});
  StreamPublisher publisher(stub_.get());
  publisher.Greet();
  for (uint64_t first = 1; first < 50; first += 10) publisher.SendMany(first, first + 9, 10);
  EXPECT_THAT(publisher.ReadReceipts(50), SizeIs(50));
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
}

TEST_P(PublishStreamTest, ReceiptsThatWaitForASlowReaderLeaveTogetherHoweverSmallTheMessages) {
  // Some 600 receipts fill the window of who does not read; 1000 may wait behind them.
  grpc::ChannelArguments window;
  window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  window.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
  const auto stub = v1::Publisher::NewStub(grpc::CreateCustomChannel(
      absl::StrCat("unix:", folder_, "/s"), grpc::InsecureChannelCredentials(), window));
  StreamPublisher publisher(stub.get());
  publisher.Greet();
  std::thread sending([&] {
    publisher.SendMany(1, 3000, 1);
    publisher.HalfClose();
  });
  EXPECT_TRUE(WaitFor([&] { return Accepted() >= 1400; }));
  int most = 0;
  uint64_t next = 1;
  while (const std::optional<v1::PublishStreamResponse> response = publisher.Read()) {
    most = std::max(most, response->receipts().receipts_size());
    for (const v1::ItemReceipt& receipt : response->receipts().receipts()) {
      ASSERT_EQ(receipt.seq(), next++);
    }
  }
  sending.join();
  EXPECT_EQ(next, 3001u);
  EXPECT_GT(most, 300);
  EXPECT_OK(publisher.Finish());
}

// ------------------------------------------------------------------------------- faults

TEST_P(PublishStreamTest, TheFirstMessageIsHelloAndTheOthersAreItems) {
  StreamPublisher hasty(stub_.get());
  hasty.Send({1});
  EXPECT_EQ(hasty.Read(), std::nullopt);
  EXPECT_THAT(hasty.Finish(), StatusIs(kInvalid, HasSubstr("must be hello")));
  StreamPublisher polite(stub_.get());
  polite.Greet();
  v1::PublishStreamRequest request;
  request.mutable_hello();
  polite.stream().Write(request);
  EXPECT_EQ(polite.Read(), std::nullopt);
  EXPECT_THAT(
      polite.Finish(),
      StatusIs(kInvalid, "hello: this stream has had one; only its first message may be hello"));
  StreamPublisher vague(stub_.get());
  vague.Greet();
  vague.stream().Write({});
  EXPECT_EQ(vague.Read(), std::nullopt);
  EXPECT_THAT(vague.Finish(),
              StatusIs(kInvalid, "message: expected hello or items, found neither"));
  StreamPublisher empty(stub_.get());
  empty.stream().Write({});
  EXPECT_THAT(empty.Finish(), StatusIs(kInvalid, HasSubstr("must be hello")));
  EXPECT_EQ(Accepted(), 0);
}

TEST_P(PublishStreamTest, AHelloThatMeansNothingIsRefused) {
  const auto greet = [this](const v1::PublisherHello& hello) {
    StreamPublisher publisher(stub_.get());
    v1::PublishStreamRequest request;
    *request.mutable_hello() = hello;
    publisher.stream().Write(request);
    EXPECT_EQ(publisher.Read(), std::nullopt);
    return publisher.Finish();
  };
  v1::PublisherHello hello;
  hello.set_publisher_id(std::string(257, 'x'));
  EXPECT_THAT(greet(hello), StatusIs(kInvalid, "publisher_id: 257 bytes, at most 256 allowed"));
  hello.clear_publisher_id();
  hello.set_receipt_level(static_cast<v1::ReceiptLevel>(7));
  EXPECT_THAT(greet(hello), StatusIs(kInvalid, "receipt_level: expected 0 to 3, found 7"));
  hello.clear_receipt_level();
  hello.mutable_wait()->set_seconds(-1);
  EXPECT_THAT(greet(hello), StatusIs(kInvalid, "wait: negative"));
}

TEST_P(PublishStreamTest, TooManyItemsInOneMessageEndTheStreamAndPublishNothingOfIt) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet();
  publisher.SendMany(1, 101, 101);
  EXPECT_THAT(publisher.Finish(),
              StatusIs(kInvalid, "items: 101, at most 100 in one message (limits.max_batch)"));
  EXPECT_EQ(Accepted(), 0);
}

TEST_P(PublishStreamTest, WhatIsRefusedIsCounted) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  publisher.Send({1}, "[]");  // by the router
  v1::PublishStreamRequest unreadable;
  v1::PublishItem* const item = unreadable.mutable_items()->add_items();
  *item->mutable_event() = MakeEvent();
  item->mutable_event()->mutable_typed()->set_type_url("none");
  publisher.stream().Write(unreadable);
  publisher.Send({0});  // a seq that cannot be
  EXPECT_THAT(publisher.ReadReceipts(3), SizeIs(3));
  const RefusalTotals refused = routing_->queries->Counts("s").refused;
  EXPECT_EQ(refused.of(RefusalReason::kInvalid), 2);
  EXPECT_EQ(refused.of(RefusalReason::kConflict), 1);
  publisher.SendMany(1, 101, 101);  // a message
  publisher.Drain();
  EXPECT_THAT(publisher.Finish(), StatusIs(kInvalid, HasSubstr("items: 101")));
  EXPECT_EQ(routing_->queries->RefusedElsewhere().of(RefusalReason::kInvalid), 1);
}

TEST_F(PublishStreamAtOnceTest, AnEventOfMalformedBytesIsRefusedAndAMalformedMessageEndsTheStream) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet("me");
  v1::PublishStreamRequest request;
  for (const uint64_t seq : {1, 2, 3}) {
    v1::PublishItem* const item = request.mutable_items()->add_items();
    item->set_seq(seq);
    if (seq == 2) {
      // An event that ends inside of a field.
      item->GetReflection()->MutableUnknownFields(item)->AddLengthDelimited(
          v1::PublishItem::kEventFieldNumber, "\x0a\x09");
    } else {
      *item->mutable_event() = MakeEvent();
    }
  }
  publisher.stream().Write(request);
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(3);
  ASSERT_THAT(receipts, SizeIs(3));
  EXPECT_EQ(receipts[0].receipt().position().offset(), 1);
  EXPECT_EQ(receipts[1].seq(), 2u);
  EXPECT_EQ(receipts[1].receipt().status().code(), 3);
  EXPECT_EQ(receipts[1].receipt().status().message(), "not a fanwire.v1.Event: malformed bytes");
  EXPECT_EQ(receipts[2].receipt().position().offset(), 2);

  v1::PublishStreamRequest malformed;
  malformed.GetReflection()
      ->MutableUnknownFields(&malformed)
      ->AddLengthDelimited(v1::PublishStreamRequest::kItemsFieldNumber, "\x0a\x09");
  publisher.stream().Write(malformed);
  EXPECT_EQ(publisher.Read(), std::nullopt);
  EXPECT_THAT(publisher.Finish(),
              StatusIs(kInvalid, "not a fanwire.v1.PublishStreamRequest: malformed bytes"));
  EXPECT_EQ(Accepted(), 2);
}

// ------------------------------------------------------------------------------- ending

TEST_P(PublishStreamTest, AHalfClosedStreamEndsWithItsLastReceipt) {
  Want(*worker_, "x");
  StreamPublisher publisher(stub_.get());
  publisher.Greet("", v1::RECEIPT_LEVEL_WRITTEN);
  publisher.SendMany(1, 20, 20);
  publisher.HalfClose();
  EXPECT_TRUE(WaitFor([&] { return Accepted() == 20; }));
  std::vector<v1::ItemReceipt> receipts;
  std::thread reading([&] { receipts = publisher.ReadReceipts(21); });
  int reported = 0;
  EXPECT_TRUE(WaitFor([&] { return (reported += ReportAll()) == 20; }));
  reading.join();
  ASSERT_THAT(receipts, SizeIs(20));
  EXPECT_EQ(receipts[0].receipt().delivery().written(), 1);
  EXPECT_OK(publisher.Finish());
}

TEST_P(PublishStreamTest, AStreamWithoutAWordEndsWell) {
  StreamPublisher publisher(stub_.get());
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
  StreamPublisher greeted(stub_.get());
  greeted.Greet();
  greeted.HalfClose();
  EXPECT_OK(greeted.Finish());
}

TEST_P(PublishStreamTest, ACancelledStreamsReceiptsComeLaterAndHarmNobody) {
  Want(*worker_, "x");
  {
    StreamPublisher publisher(stub_.get());
    publisher.Greet("me", v1::RECEIPT_LEVEL_WRITTEN);
    publisher.SendMany(1, 50, 10);
    EXPECT_TRUE(WaitFor([&] { return Accepted() == 50; }));
    publisher.Cancel();
    EXPECT_THAT(publisher.Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
  }
  // Part of them while gRPC may still be busy with the end, the rest with the worker's end.
  ReportAll();
  StreamPublisher again(stub_.get());
  EXPECT_EQ(again.Greet("me").last_accepted_seq(), 50u);
  again.HalfClose();
  EXPECT_OK(again.Finish());
  routing_->receipts.WorkerGone(worker_->link->id());
}

// Calls back at the publication with this number.
class AtPublication final : public PublicationObserver {
 public:
  AtPublication(int number, std::function<void()> call) : number_(number), call_(std::move(call)) {}

  void OnPublication(const ObservedPublication& /*observed*/) override {
    if (++seen_ >= number_) call_();
  }

 private:
  const int number_;
  const std::function<void()> call_;
  int seen_ = 0;
};

TEST_F(PublishStreamAtOnceTest, OfAMessageWhoseStreamIsCancelledTheRestIsNotPublished) {
  StreamPublisher publisher(stub_.get());
  publisher.Greet();
  AtPublication observer(3, [&] {
    publisher.Cancel();
    // The server has read of the cancellation before it answers this.
    StreamPublisher(stub_.get()).Greet();
  });
  routing_->router->AddObserver(&observer);
  publisher.SendMany(1, 100, 100);
  EXPECT_THAT(publisher.Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
  // A run shares the configuration with the directory for as long as it publishes.
  EXPECT_TRUE(WaitFor([&] { return routing_->directory.snapshot().use_count() == 2; }));
  EXPECT_GE(Accepted(), 3);
  EXPECT_LT(Accepted(), 100);
  routing_->router->RemoveObserver(&observer);
}

TEST_P(PublishStreamTest, AStreamThatIsCancelledForWantOfCreditEnds) {
  Serve({.stream_credit = 5});
  Want(*worker_, "x");
  StreamPublisher publisher(stub_.get());
  publisher.Greet("", v1::RECEIPT_LEVEL_WRITTEN);
  publisher.SendMany(1, 20, 5);
  EXPECT_TRUE(WaitFor([&] { return Accepted() == 5; }));
  publisher.Cancel();
  EXPECT_THAT(publisher.Finish(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("")));
  EXPECT_EQ(Accepted(), 5);
}

TEST_P(PublishStreamTest, StreamsThatComeAndGoByCancellationLeaveNothingBehind) {
  Want(*worker_, "x");
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 30; ++i) {
        StreamPublisher publisher(stub_.get());
        publisher.Greet(absl::StrCat("publisher-", t), v1::RECEIPT_LEVEL_WRITTEN);
        publisher.Send({1, 2, 3});
        if (i % 3 == 0) publisher.HalfClose();
        publisher.Cancel();
        publisher.Finish().IgnoreError();
      }
    });
  }
  std::atomic<bool> over{false};
  std::thread reporting([&] {
    while (!over) {
      ReportAll();
      std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  over = true;
  reporting.join();
  EXPECT_OK(PublishEvent(MakeEvent()));
}

// ------------------------------------------------------------------------------- go-away

TEST_P(PublishStreamTest, GoAwayComesAfterTheReceiptsAndTheStreamGoesOnUntilTheyAreAllThere) {
  Want(*worker_, "x");
  StreamPublisher publisher(stub_.get());
  publisher.Greet("", v1::RECEIPT_LEVEL_WRITTEN);
  publisher.SendMany(1, 10, 10);
  EXPECT_TRUE(WaitFor([&] { return Accepted() == 10; }));
  service_->GoAway("control is stopping");
  const std::optional<v1::PublishStreamResponse> response = publisher.Read();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->go_away().reason(), "control is stopping");
  std::vector<v1::ItemReceipt> receipts;
  std::thread reading([&] { receipts = publisher.ReadReceipts(10); });
  int reported = 0;
  EXPECT_TRUE(WaitFor([&] { return (reported += ReportAll()) == 10; }));
  reading.join();
  EXPECT_THAT(receipts, SizeIs(10));
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
}

TEST_P(PublishStreamTest, AStreamThatComesAfterTheGoAwayIsToldAtOnce) {
  service_->GoAway("control is stopping");
  StreamPublisher publisher(stub_.get());
  publisher.Greet();
  const std::optional<v1::PublishStreamResponse> response = publisher.Read();
  ASSERT_TRUE(response.has_value());
  EXPECT_TRUE(response->has_go_away());
  routing_->router->StopPublishing();
  publisher.Send({1});
  const std::vector<v1::ItemReceipt> receipts = publisher.ReadReceipts(1);
  ASSERT_THAT(receipts, SizeIs(1));
  EXPECT_EQ(receipts[0].receipt().status().code(), 14);
  publisher.HalfClose();
  EXPECT_OK(publisher.Finish());
}

TEST_P(PublishStreamTest, GoAwayMayMeetStreamsThatEnd) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        StreamPublisher publisher(stub_.get());
        publisher.Greet();
        publisher.Send({1});
        if (i % 2 == 0) {
          publisher.HalfClose();
          // What is not read would hold the status back.
          while (publisher.Read().has_value()) {
          }
          EXPECT_OK(publisher.Finish());
        } else {
          publisher.Cancel();
          publisher.Finish().IgnoreError();
        }
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    service_->GoAway("again");
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(PublishStreamTest, TwoStreamsIntoOneChannelShareItsPositionsAndEachKeepsItsOrder) {
  std::vector<std::thread> threads;
  std::vector<std::vector<int64_t>> offsets(2);
  for (size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      StreamPublisher publisher(stub_.get());
      publisher.Greet();
      std::thread sending([&] {
        publisher.SendMany(1, 1000, 10);
        publisher.HalfClose();
      });
      for (const v1::ItemReceipt& receipt : publisher.ReadReceipts(1000)) {
        offsets[t].push_back(receipt.receipt().position().offset());
      }
      sending.join();
      EXPECT_OK(publisher.Finish());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<int64_t> all;
  for (const std::vector<int64_t>& each : offsets) {
    ASSERT_THAT(each, SizeIs(1000));
    EXPECT_TRUE(std::is_sorted(each.begin(), each.end()));
    all.insert(all.end(), each.begin(), each.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
  EXPECT_EQ(all.back(), 2000);
}

}  // namespace
}  // namespace fanwire::control
