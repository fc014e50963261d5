#include "cli/publish_client.h"

#include <unistd.h>

#include "cli/rpc_channel.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/cli_runner.h"
#include "tests/cli/fake_control.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;

// Records the calls of a stream.
class Listener : public PublishStreamHandler {
 public:
  void OnCredit(uint32_t credit) override {
    MutexLock lock(&mu_);
    credits_.push_back(credit);
  }
  void OnReceipts(std::vector<std::pair<uint64_t, Receipt>> receipts) override {
    MutexLock lock(&mu_);
    for (auto& receipt : receipts) receipts_.push_back(std::move(receipt));
  }
  void OnGoAway(absl::string_view reason) override {
    MutexLock lock(&mu_);
    reason_ = std::string(reason);
  }
  void OnEnd(const absl::Status& status) override {
    MutexLock lock(&mu_);
    end_ = status;
  }

  std::vector<uint32_t> credits() {
    MutexLock lock(&mu_);
    return credits_;
  }
  std::vector<std::pair<uint64_t, Receipt>> receipts() {
    MutexLock lock(&mu_);
    return receipts_;
  }
  std::string reason() {
    MutexLock lock(&mu_);
    return reason_;
  }
  absl::Status WaitForEnd() {
    EXPECT_TRUE(WaitFor([&] {
      MutexLock lock(&mu_);
      return end_.has_value();
    }));
    MutexLock lock(&mu_);
    return end_.value_or(absl::InternalError("it did not end"));
  }

 private:
  Mutex mu_;
  std::vector<uint32_t> credits_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<uint64_t, Receipt>> receipts_ ABSL_GUARDED_BY(mu_);
  std::string reason_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

class PublishClientTest : public testing::Test {
 protected:
  PublishClientTest() {
    auto channel = RpcChannel::Make({.address = control_.address(), .source = "--server"},
                                    absl::Seconds(20), std::nullopt);
    EXPECT_OK(channel);
    client_ = MakePublishClient(*std::move(channel));
  }

  FakeControl control_;
  std::unique_ptr<PublishClient> client_;
  Listener listener_;
};

TEST_F(PublishClientTest, AnEventArrivesWhole) {
  ASSERT_OK(client_->Publish({.service = "s",
                              .channel = "c",
                              .event = "a.b",
                              .json = "{\"n\": 1.50}",
                              .id = "i",
                              .idempotency_key = "k",
                              .ttl = absl::Milliseconds(1500),
                              .skip_history = true},
                             {.level = ReceiptLevel::kWritten, .wait = absl::Seconds(7)}));
  const auto asked = control_.Asked<v1::PublishRequest>().back();
  EXPECT_EQ(asked.event().service(), "s");
  EXPECT_EQ(asked.event().channel(), "c");
  EXPECT_EQ(asked.event().event(), "a.b");
  EXPECT_EQ(asked.event().json(), "{\"n\": 1.50}");
  EXPECT_EQ(asked.event().id(), "i");
  EXPECT_EQ(asked.event().idempotency_key(), "k");
  EXPECT_EQ(asked.event().ttl().seconds(), 1);
  EXPECT_EQ(asked.event().ttl().nanos(), 500'000'000);
  EXPECT_TRUE(asked.event().skip_history());
  EXPECT_EQ(asked.receipt_level(), v1::RECEIPT_LEVEL_WRITTEN);
  EXPECT_EQ(asked.wait().seconds(), 7);
}

TEST_F(PublishClientTest, WhatIsNotSetIsNotSent) {
  ASSERT_OK(client_->Publish({.service = "s"}, {}));
  const auto asked = control_.Asked<v1::PublishRequest>().back();
  EXPECT_EQ(asked.event().payload_case(), v1::Event::PAYLOAD_NOT_SET);
  EXPECT_FALSE(asked.event().has_ttl());
  EXPECT_FALSE(asked.has_wait());
  EXPECT_EQ(asked.receipt_level(), v1::RECEIPT_LEVEL_ACCEPTED);
}

TEST_F(PublishClientTest, AReceiptThatWaitsGetsTheTimeForIt) {
  ASSERT_OK(client_->Publish({}, {.level = ReceiptLevel::kRouted, .wait = absl::Hours(1)}));
  EXPECT_LE(*control_.patience(), absl::Seconds(21));
  ASSERT_OK(client_->Publish({}, {.level = ReceiptLevel::kWritten, .wait = absl::Hours(1)}));
  EXPECT_GT(*control_.patience(), absl::Minutes(59));
  ASSERT_OK(client_->Publish({}, {.level = ReceiptLevel::kWritten}));
  EXPECT_GT(*control_.patience(), absl::Seconds(21));  // control's default wait is 5 s
}

TEST_F(PublishClientTest, AReceiptIsReadWhole) {
  v1::PublishResponse response;
  v1::Receipt* receipt = response.mutable_receipt();
  receipt->set_id("i");
  receipt->mutable_position()->set_epoch("e1");
  receipt->mutable_position()->set_offset(42);
  receipt->set_level(v1::RECEIPT_LEVEL_WRITTEN);
  receipt->mutable_delivery()->set_matched(9);
  receipt->mutable_delivery()->set_written(3);
  v1::DropCount* drop = receipt->mutable_delivery()->add_dropped();
  drop->set_reason(v1::DROP_REASON_SLOW_CLOSED);
  drop->set_count(1);
  receipt->mutable_delivery()->set_lost_connection(2);
  receipt->mutable_delivery()->set_expired(3);
  receipt->mutable_delivery()->set_workers_total(5);
  receipt->mutable_delivery()->set_workers_reported(4);
  receipt->set_duplicate(true);
  receipt->set_timed_out(true);
  receipt->mutable_stage_times()->set_accepted_us(1);
  receipt->mutable_stage_times()->set_routed_us(2);
  receipt->mutable_stage_times()->set_first_written_us(3);
  receipt->mutable_stage_times()->set_last_written_us(4);
  control_.Answer(response);
  const auto got = client_->Publish({}, {});
  ASSERT_OK(got);
  EXPECT_EQ(got->id, "i");
  EXPECT_EQ(got->position.epoch, "e1");
  EXPECT_EQ(got->position.offset, 42);
  EXPECT_EQ(got->level, ReceiptLevel::kWritten);
  ASSERT_TRUE(got->delivery.has_value());
  EXPECT_EQ(got->delivery->matched, 9);
  EXPECT_EQ(got->delivery->written, 3);
  EXPECT_THAT(got->delivery->dropped, ElementsAre(Pair("slow_closed", 1)));
  EXPECT_EQ(got->delivery->lost_connection, 2);
  EXPECT_EQ(got->delivery->expired, 3);
  EXPECT_EQ(got->delivery->workers_total, 5);
  EXPECT_EQ(got->delivery->workers_reported, 4);
  EXPECT_TRUE(got->duplicate);
  EXPECT_TRUE(got->timed_out);
  ASSERT_TRUE(got->stage_times.has_value());
  EXPECT_EQ(got->stage_times->accepted_us, 1);
  EXPECT_EQ(got->stage_times->last_written_us, 4);
}

TEST_F(PublishClientTest, ARefusalKeepsItsCodeAndWords) {
  control_.Fail({grpc::StatusCode::INVALID_ARGUMENT, "channel \"a b \": space at the end"});
  EXPECT_THAT(client_->Publish({}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "channel \"a b \": space at the end"));
}

TEST_F(PublishClientTest, AStreamSaysHelloSendsItemsAndEndsWell) {
  const auto stream =
      client_->OpenStream({.level = ReceiptLevel::kRouted, .wait = absl::Seconds(3)}, &listener_);
  EXPECT_TRUE(WaitFor([&] { return !listener_.credits().empty(); }));
  EXPECT_THAT(listener_.credits(), ElementsAre(100));
  EXPECT_TRUE(stream->Send({{.seq = 1, .event = {.service = "s", .channel = "c", .event = "e"}},
                            {.seq = 2, .event = {.service = "t"}}}));
  EXPECT_TRUE(WaitFor([&] { return listener_.receipts().size() == 2; }));
  EXPECT_EQ(listener_.receipts()[1].first, 2u);
  EXPECT_EQ(listener_.receipts()[1].second.position.offset, 2);
  stream->CloseSending();
  EXPECT_OK(listener_.WaitForEnd());
  const auto asked = control_.Asked<v1::PublishStreamRequest>();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0].hello().receipt_level(), v1::RECEIPT_LEVEL_ROUTED);
  EXPECT_EQ(asked[0].hello().wait().seconds(), 3);
  ASSERT_EQ(asked[1].items().items_size(), 2);
  EXPECT_EQ(asked[1].items().items(0).event().channel(), "c");
  EXPECT_EQ(asked[1].items().items(1).event().service(), "t");
  EXPECT_FALSE(control_.patience().has_value());
}

TEST_F(PublishClientTest, RefusalsCreditAndGoAwayReachTheHandler) {
  control_.OnPublishStream([](FakeControl::PublishStreamServer* stream) {
    v1::PublishStreamRequest request;
    stream->Read(&request);
    v1::PublishStreamResponse response;
    response.mutable_welcome()->set_credit(5);
    stream->Write(response);
    stream->Write(v1::PublishStreamResponse());  // a kind of message that only newer controls send
    response.mutable_credit()->set_credit(7);
    stream->Write(response);
    v1::ItemReceipt* receipt = response.mutable_receipts()->add_receipts();
    receipt->set_seq(1);
    receipt->mutable_receipt()->mutable_status()->set_code(5);
    receipt->mutable_receipt()->mutable_status()->set_message("no service");
    stream->Write(response);
    response.mutable_go_away()->set_reason("restart");
    stream->Write(response);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "control is stopping");
  });
  const auto stream = client_->OpenStream({}, &listener_);
  EXPECT_THAT(listener_.WaitForEnd(),
              StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
  EXPECT_THAT(listener_.credits(), ElementsAre(5, 7));
  EXPECT_EQ(listener_.reason(), "restart");
  ASSERT_THAT(listener_.receipts(), SizeIs(1));
  EXPECT_THAT(listener_.receipts()[0].second.status,
              StatusIs(absl::StatusCode::kNotFound, "no service"));
  EXPECT_FALSE(stream->Send({{.seq = 1, .event = {}}}));
}

TEST_F(PublishClientTest, CancelEndsAStreamNow) {
  const auto stream = client_->OpenStream({}, &listener_);
  EXPECT_TRUE(WaitFor([&] { return !listener_.credits().empty(); }));
  stream->Cancel();
  EXPECT_THAT(listener_.WaitForEnd(), StatusIs(absl::StatusCode::kCancelled, testing::_));
}

TEST_F(PublishClientTest, AStreamThatIsDroppedEndsFirst) {
  client_->OpenStream({}, &listener_).reset();
  EXPECT_FALSE(listener_.WaitForEnd().ok());
}

TEST_F(PublishClientTest, WithoutControlAStreamEndsAndSaysWhy) {
  control_.Stop();
  const auto stream = client_->OpenStream({}, &listener_);
  EXPECT_THAT(listener_.WaitForEnd(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("control is not reachable")));
  EXPECT_FALSE(stream->Send({{.seq = 1, .event = {}}}));
}

// Runs the whole program, from its arguments to the wire and back.
class WholeTest : public testing::Test {
 protected:
  WholeTest() {
    wsctl_.UseGrpc();
    wsctl_.environment["FANWIRE_SERVER"] = control_.address();
  }

  FakeControl control_;
  CliRunner wsctl_;
};

constexpr char kLine[] = R"({"service": "s", "channel": "c", "event": "e"})"
                         "\n";

TEST_F(WholeTest, ACallGoesThereAndBack) {
  v1::ListServicesResponse response;
  response.add_services()->set_name("mahavishnu");
  control_.Answer(response);
  const Outcome outcome = wsctl_.Run({"services", "list"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("mahavishnu"));
}

TEST_F(WholeTest, ABatchGoesThereAndBack) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += kLine;
  const Outcome outcome = wsctl_.RunWithInput({"publish", "--batch", "-"}, text);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 500);
  EXPECT_THAT(outcome.out, testing::StartsWith(R"({"position":{"epoch":"e1","offset":1})"));
  EXPECT_THAT(outcome.out, HasSubstr("\"offset\":500}"));
}

TEST_F(WholeTest, ABatchFailsWhenControlGoesAwayThoughItsInputStaysOpen) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  control_.OnPublishStream([](FakeControl::PublishStreamServer* stream) {
    v1::PublishStreamRequest request;
    stream->Read(&request);
    v1::PublishStreamResponse response;
    response.mutable_welcome()->set_credit(5);
    stream->Write(response);
    stream->Read(&request);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "control is stopping");
  });
  ASSERT_EQ(write(ends[1], kLine, strlen(kLine)), static_cast<ssize_t>(strlen(kLine)));
  wsctl_.stdin_fd = ends[0];
  const Outcome outcome = wsctl_.Run({"publish", "--batch", "-"});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("1 event has no receipt"));
  close(ends[0]);
  close(ends[1]);
}

TEST_F(WholeTest, WithoutControlEveryCommandSaysSoAndExitsWith78) {
  control_.Stop();
  for (const std::vector<std::string>& words : {std::vector<std::string>{"health-check"},
                                                {"websocket_get_metrics"},
                                                {"services", "list"},
                                                {"tail", "s"},
                                                {"publish", "s", "c", "e"},
                                                {"workers", "drain", "worker-0"},
                                                {"version"}}) {
    const Outcome outcome = wsctl_.Run(words);
    EXPECT_EQ(outcome.code, 78);
    EXPECT_THAT(outcome.err, HasSubstr("is fanwire-control running?"));
  }
  EXPECT_EQ(wsctl_.RunWithInput({"publish", "--batch", "-"}, kLine).code, 78);
}

TEST_F(WholeTest, ABadAddressIsSaidWithoutACall) {
  EXPECT_EQ(wsctl_.Run({"services", "list", "--server", "http://nonsense"}).code, 67);
}

}  // namespace
}  // namespace fanwire::cli
