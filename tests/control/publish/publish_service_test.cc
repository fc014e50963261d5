#include "control/publish/publish_service.h"

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/wrappers.pb.h"
#include "tests/control/publish/publish_fixture.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;

using PublishServiceTest = PublishEnginesFixture;

INSTANTIATE_TEST_SUITE_P(Engines, PublishServiceTest, AllEngines(), EngineName);

// ------------------------------------------------------------------------------- Publish

TEST_P(PublishServiceTest, AReceiptSaysWhereTheEventStands) {
  v1::Event event = MakeEvent("x", R"({"n": 1})");
  event.set_id("mine");
  const auto receipt = PublishEvent(event);
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->id(), "mine");
  EXPECT_EQ(receipt->position().offset(), 1);
  EXPECT_EQ(receipt->position().epoch(), EpochOf("x"));
  EXPECT_EQ(receipt->level(), v1::RECEIPT_LEVEL_ACCEPTED);
  EXPECT_FALSE(receipt->has_delivery());
  EXPECT_FALSE(receipt->has_status());
  EXPECT_GT(receipt->stage_times().accepted_us(), 0);
  EXPECT_EQ(receipt->stage_times().routed_us(), 0);
  EXPECT_EQ(Data(), Json({{"n", 1}}));
  // No level is ACCEPTED.
  EXPECT_EQ(PublishEvent(event, v1::RECEIPT_LEVEL_UNSPECIFIED)->level(),
            v1::RECEIPT_LEVEL_ACCEPTED);
}

TEST_P(PublishServiceTest, RoutedSaysToHowManyWorkers) {
  Want(*worker_, "x");
  const auto receipt = PublishEvent(MakeEvent(), v1::RECEIPT_LEVEL_ROUTED);
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->level(), v1::RECEIPT_LEVEL_ROUTED);
  EXPECT_EQ(receipt->delivery().workers_total(), 1);
  EXPECT_GT(receipt->stage_times().routed_us(), 0);
}

TEST_P(PublishServiceTest, WrittenComesWithTheWorkersCounts) {
  Want(*worker_, "x");
  absl::StatusOr<v1::Receipt> receipt;
  std::thread publisher([&] { receipt = PublishEvent(MakeEvent(), v1::RECEIPT_LEVEL_WRITTEN); });
  EXPECT_TRUE(WaitFor([&] { return ReportAll() == 1; }));
  publisher.join();
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->level(), v1::RECEIPT_LEVEL_WRITTEN);
  EXPECT_EQ(receipt->delivery().matched(), 2);
  EXPECT_EQ(receipt->delivery().written(), 1);
  ASSERT_THAT(receipt->delivery().dropped(), SizeIs(1));
  EXPECT_EQ(receipt->delivery().dropped(0).reason(), v1::DROP_REASON_SLOW_CLOSED);
  EXPECT_EQ(receipt->delivery().dropped(0).count(), 1);
  EXPECT_EQ(receipt->delivery().workers_total(), 1);
  EXPECT_EQ(receipt->delivery().workers_reported(), 1);
  EXPECT_GT(receipt->stage_times().first_written_us(), receipt->stage_times().routed_us());
  EXPECT_FALSE(receipt->timed_out());
}

TEST_P(PublishServiceTest, WrittenThatTakesTooLongIsTimedOutAndNoError) {
  Want(*worker_, "x");
  absl::StatusOr<v1::Receipt> receipt;
  std::thread publisher([&] {
    v1::PublishRequest request;
    *request.mutable_event() = MakeEvent();
    request.set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
    request.mutable_wait()->set_seconds(2);
    receipt = Call(request);
  });
  EXPECT_TRUE(WaitFor([&] { return timers_.size() > 0; }));
  Pass(absl::Seconds(2));
  publisher.join();
  ASSERT_OK(receipt);
  EXPECT_TRUE(receipt->timed_out());
  EXPECT_EQ(receipt->level(), v1::RECEIPT_LEVEL_ROUTED);
  EXPECT_EQ(receipt->delivery().workers_reported(), 0);
}

TEST_P(PublishServiceTest, ACallThatIsCancelledBeforeItsReceiptHarmsNobody) {
  Want(*worker_, "x");
  grpc::ClientContext context;
  std::thread publisher([&] {
    v1::PublishRequest request;
    *request.mutable_event() = MakeEvent();
    request.set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
    v1::PublishResponse response;
    EXPECT_EQ(stub_->Publish(&context, request, &response).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  EXPECT_TRUE(WaitFor([&] { return Accepted() == 1; }));
  context.TryCancel();
  publisher.join();
  EXPECT_TRUE(WaitFor([&] { return ReportAll() == 1; }));
  EXPECT_OK(PublishEvent(MakeEvent()));
}

TEST_P(PublishServiceTest, ARefusedEventIsAFailedCall) {
  EXPECT_THAT(PublishEvent(MakeEvent("x", "[]")), StatusIs(kInvalid, "data: not a JSON object"));
  EXPECT_THAT(PublishEvent(MakeEvent("x", R"({"a":NaN})")), StatusIs(kInvalid, HasSubstr("data")));
  EXPECT_THAT(PublishEvent(MakeEvent("a:*")), StatusIs(kInvalid, HasSubstr("channel")));
  EXPECT_THAT(PublishEvent(MakeEvent("x", "{\"a\":\"" + std::string(1'000'000, 'x') + "\"}")),
              StatusIs(kInvalid, HasSubstr("at most 1000000 allowed")));
  v1::Event elsewhere = MakeEvent();
  elsewhere.set_service("none");
  EXPECT_THAT(PublishEvent(elsewhere),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"none\" is not configured")));
  routing_->router->StopPublishing();
  EXPECT_THAT(PublishEvent(MakeEvent()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("control is stopping")));
}

TEST_P(PublishServiceTest, RequestsThatMeanNothingAreRefused) {
  EXPECT_THAT(PublishEvent(MakeEvent(), static_cast<v1::ReceiptLevel>(9)),
              StatusIs(kInvalid, "receipt_level: expected 0 to 3, found 9"));
  v1::PublishRequest request;
  *request.mutable_event() = MakeEvent();
  request.mutable_wait()->set_seconds(-1);
  EXPECT_THAT(Call(request), StatusIs(kInvalid, "wait: negative"));
  v1::Event event = MakeEvent();
  event.mutable_occurred_at()->set_seconds(300'000'000'000);
  EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("occurred_at")));
  event.mutable_occurred_at()->set_seconds(0);
  event.mutable_occurred_at()->set_nanos(-1);
  EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("occurred_at")));
  event = MakeEvent();
  event.mutable_ttl();
  EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, "ttl: not positive"));
  EXPECT_EQ(Accepted(), 0);
}

TEST_P(PublishServiceTest, EveryFieldOfAnEventCounts) {
  Want(*worker_, "x");
  v1::Event event = MakeEvent();
  event.set_skip_history(true);
  event.set_exclude_connection("conn");
  event.mutable_ttl()->set_seconds(3);
  event.set_idempotency_key("key");
  event.mutable_occurred_at()->set_seconds(-62135596800);
  const auto receipt = PublishEvent(event);
  ASSERT_OK(receipt);
  EXPECT_FALSE(receipt->has_position());
  const std::vector<v1::Deliver> deliveries = worker_->TakeDeliveries();
  ASSERT_THAT(deliveries, SizeIs(1));
  EXPECT_EQ(deliveries[0].exclude_connection(), "conn");
  EXPECT_EQ(deliveries[0].ttl_ms(), 3000);
  EXPECT_THAT(deliveries[0].envelope(), HasSubstr("0001-01-01T00:00:00"));
  EXPECT_TRUE(PublishEvent(event)->duplicate());
}

TEST_P(PublishServiceTest, AStructAndAnObjectOfAValueAreDataToo) {
  google::protobuf::Struct object;
  (*object.mutable_fields())["n"].set_number_value(1.5);
  (*object.mutable_fields())["t"].set_string_value("ä\"");
  v1::Event event = MakeEvent();
  event.mutable_typed()->PackFrom(object);
  ASSERT_OK(PublishEvent(event));
  EXPECT_EQ(Data(), Json({{"n", 1.5}, {"t", "ä\""}}));
  google::protobuf::Value value;
  (*value.mutable_struct_value()->mutable_fields())["v"].set_bool_value(true);
  event.mutable_typed()->PackFrom(value);
  ASSERT_OK(PublishEvent(event));
  EXPECT_EQ(Data(), Json({{"v", true}}));
  event.mutable_typed()->PackFrom(google::protobuf::Struct());
  ASSERT_OK(PublishEvent(event));
  EXPECT_EQ(Data(), Json::object());
}

TEST_P(PublishServiceTest, OtherTypesAndNumbersThatJsonDoesNotHaveAreRefused) {
  v1::Event event = MakeEvent();
  google::protobuf::Value list;
  list.mutable_list_value();
  event.mutable_typed()->PackFrom(list);
  EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("typed: ")));
  google::protobuf::StringValue text;
  event.mutable_typed()->PackFrom(text);
  EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("google.protobuf.StringValue")));
  event.mutable_typed()->PackFrom(google::protobuf::Struct());
  event.mutable_typed()->set_value("\xff\xff\xff");
  EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("typed: ")));
  for (const double number : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    google::protobuf::Struct object;
    (*object.mutable_fields())["n"].set_number_value(number);
    event.mutable_typed()->PackFrom(object);
    EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("\"n\" has a number")));
    google::protobuf::Struct nested;
    (*(*nested.mutable_fields())["outer"]
          .mutable_list_value()
          ->add_values()
          ->mutable_struct_value()
          ->mutable_fields())["n"]
        .set_number_value(number);
    event.mutable_typed()->PackFrom(nested);
    EXPECT_THAT(PublishEvent(event), StatusIs(kInvalid, HasSubstr("\"outer\" has a number")));
  }
  EXPECT_EQ(Accepted(), 0);
}

TEST_P(PublishServiceTest, MalformedBytesAreRefusedAndRefuseNoOtherEventOfABatch) {
  v1::PublishRequest single;
  // An event that ends inside of a field.
  single.GetReflection()->MutableUnknownFields(&single)->AddLengthDelimited(
      v1::PublishRequest::kEventFieldNumber, "\x0a\x09");
  EXPECT_THAT(Call(single), StatusIs(kInvalid, "not a fanwire.v1.Event: malformed bytes"));
  v1::PublishBatchRequest batch;
  *batch.add_events() = MakeEvent();
  batch.GetReflection()->MutableUnknownFields(&batch)->AddLengthDelimited(
      v1::PublishBatchRequest::kEventsFieldNumber, "\x0a\x09");
  const auto response = PublishBatch(batch);
  ASSERT_OK(response);
  ASSERT_THAT(response->receipts(), SizeIs(2));
  EXPECT_EQ(response->receipts(0).position().offset(), 1);
  EXPECT_EQ(response->receipts(1).status().message(), "not a fanwire.v1.Event: malformed bytes");
}

TEST_P(PublishServiceTest, AMessageOfManyPiecesIsReadAsOne) {
  // gRPC's frames have 16 KiB.
  const std::string json = absl::StrCat(R"({"text":")", std::string(60000, 'x'), "\"}");
  v1::PublishBatchRequest request;
  for (int i = 0; i < 20; ++i) *request.add_events() = MakeEvent("x", json);
  const auto response = PublishBatch(request);
  ASSERT_OK(response);
  EXPECT_EQ(response->receipts(19).position().offset(), 20);
  EXPECT_EQ(Data()["text"], std::string(60000, 'x'));
}

// ------------------------------------------------------------------------------- PublishBatch

TEST_P(PublishServiceTest, ABatchHasAReceiptPerEventInTheirOrder) {
  v1::PublishBatchRequest request;
  for (int i = 0; i < 100; ++i) *request.add_events() = MakeEvent(i % 2 == 0 ? "even" : "odd");
  const auto response = PublishBatch(request);
  ASSERT_OK(response);
  ASSERT_THAT(response->receipts(), SizeIs(100));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(response->receipts(i).position().offset(), i / 2 + 1);
}

TEST_P(PublishServiceTest, ARefusedEventOfABatchRefusesNoneOfTheOthers) {
  v1::PublishBatchRequest request;
  *request.add_events() = MakeEvent();
  *request.add_events() = MakeEvent("x", "oops");
  request.mutable_events(1)->set_id("bad");
  *request.add_events() = MakeEvent();
  request.mutable_events(2)->mutable_typed()->set_type_url("none");
  *request.add_events() = MakeEvent();
  const auto response = PublishBatch(request);
  ASSERT_OK(response);
  EXPECT_EQ(response->receipts(0).position().offset(), 1);
  EXPECT_EQ(response->receipts(1).status().code(), 3);
  EXPECT_THAT(response->receipts(1).status().message(), HasSubstr("data: "));
  EXPECT_EQ(response->receipts(1).id(), "bad");
  EXPECT_FALSE(response->receipts(1).has_position());
  EXPECT_EQ(response->receipts(2).status().code(), 3);
  EXPECT_EQ(response->receipts(3).position().offset(), 2);
}

TEST_P(PublishServiceTest, AnEmptyBatchIsAnsweredAndATooLargeOneRefusedWhole) {
  EXPECT_OK(PublishBatch({}));
  v1::PublishBatchRequest request;
  for (int i = 0; i < 101; ++i) *request.add_events() = MakeEvent();
  EXPECT_THAT(PublishBatch(request),
              StatusIs(kInvalid, "events: 101, at most 100 in one message (limits.max_batch)"));
  request.clear_events();
  request.set_receipt_level(static_cast<v1::ReceiptLevel>(9));
  EXPECT_THAT(PublishBatch(request), StatusIs(kInvalid, HasSubstr("receipt_level")));
  EXPECT_EQ(Accepted(), 0);
}

TEST_P(PublishServiceTest, ABatchIsAnsweredWhenAllOfItIsWritten) {
  Want(*worker_, "x");
  v1::PublishBatchRequest request;
  for (int i = 0; i < 10; ++i) *request.add_events() = MakeEvent(i == 3 ? "a:*" : "x");
  request.set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
  absl::StatusOr<v1::PublishBatchResponse> response;
  std::thread publisher([&] { response = PublishBatch(request); });
  int reported = 0;
  EXPECT_TRUE(WaitFor([&] { return (reported += ReportAll()) == 9; }));
  publisher.join();
  ASSERT_OK(response);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(response->receipts(i).delivery().written(), i == 3 ? 0 : 1);
    EXPECT_EQ(response->receipts(i).has_status(), i == 3);
  }
}

TEST_P(PublishServiceTest, DuplicatesWithinABatchGetTheFirstOnesReceipt) {
  v1::PublishBatchRequest request;
  for (int i = 0; i < 3; ++i) {
    *request.add_events() = MakeEvent();
    request.mutable_events(i)->set_idempotency_key("key");
  }
  request.set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
  const auto response = PublishBatch(request);
  ASSERT_OK(response);
  EXPECT_FALSE(response->receipts(0).duplicate());
  for (int i : {1, 2}) {
    EXPECT_TRUE(response->receipts(i).duplicate());
    EXPECT_EQ(response->receipts(i).position().offset(), 1);
    EXPECT_EQ(response->receipts(i).id(), response->receipts(0).id());
  }
}

// ------------------------------------------------------------------------------- keys

TEST_P(PublishServiceTest, AKeyOfAnotherEventIsRefusedWithTheFirstOnesChannelInEveryWay) {
  v1::Event first = MakeEvent("a:1", R"({"n":1})");
  first.set_idempotency_key("key");
  ASSERT_OK(PublishEvent(first));
  const std::string why =
      "idempotency_key \"key\" belongs to another event, on channel \"a:1\"; use a new key for "
      "each "
      "event";
  v1::Event channel = first, name = first, payload = first, typed = first;
  channel.set_channel("a:2");
  name.set_event("thing.ended");
  payload.set_json(R"({"n":2})");
  google::protobuf::Struct object;
  (*object.mutable_fields())["n"].set_number_value(1);
  typed.mutable_typed()->PackFrom(object);
  for (const v1::Event& other : {channel, name, payload, typed}) {
    EXPECT_THAT(PublishEvent(other), StatusIs(absl::StatusCode::kAlreadyExists, why));
    v1::PublishBatchRequest batch;
    *batch.add_events() = other;
    *batch.add_events() = first;
    const auto response = PublishBatch(batch);
    ASSERT_OK(response);
    EXPECT_EQ(response->receipts(0).status().code(), 6);
    EXPECT_EQ(response->receipts(0).status().message(), why);
    EXPECT_TRUE(response->receipts(1).duplicate());
    EXPECT_EQ(response->receipts(1).position().offset(), 1);
  }
  EXPECT_EQ(Accepted(), 1);
  EXPECT_EQ(routing_->queries->Counts("s").duplicates, 4);
  EXPECT_EQ(routing_->queries->Counts("s").refused.of(RefusalReason::kConflict), 8);
}

TEST_P(PublishServiceTest, OnlyChannelNameAndPayloadMakeAKeysEvent) {
  v1::Event event = MakeEvent();
  event.set_idempotency_key("key");
  const auto first = PublishEvent(event);
  ASSERT_OK(first);
  event.set_id("mine");
  event.mutable_ttl()->set_seconds(5);
  event.mutable_occurred_at()->set_seconds(5);
  (*event.mutable_tags())["a"] = "b";
  const auto again = PublishEvent(event);
  ASSERT_OK(again);
  EXPECT_TRUE(again->duplicate());
  EXPECT_EQ(again->id(), first->id());
}

// Protobuf writes the fields of a Struct in another order each time it serializes it, and each time
// it makes JSON of it.
TEST_P(PublishServiceTest, ARetryOfATypedPayloadIsTheSameEvent) {
  const auto make = [](int first) {
    google::protobuf::Struct object;
    google::protobuf::Struct& inner = *(*object.mutable_fields())["inner"]
                                           .mutable_list_value()
                                           ->add_values()
                                           ->mutable_struct_value();
    for (int i = 0; i < 100; ++i) {
      const std::string name = absl::StrCat("field", (first + i) % 100);
      (*object.mutable_fields())[name].set_number_value((first + i) % 100);
      (*inner.mutable_fields())[name].set_string_value(name);
    }
    v1::Event event = MakeEvent();
    event.set_idempotency_key("key");
    event.mutable_typed()->PackFrom(object);
    return event;
  };
  ASSERT_OK(PublishEvent(make(0)));
  const std::string first = make(0).typed().value();
  bool differs = false;
  for (int i = 0; i < 20; ++i) {
    const v1::Event event = make(5 * i);
    differs = differs || event.typed().value() != first;
    const auto again = PublishEvent(event);
    ASSERT_OK(again);
    EXPECT_TRUE(again->duplicate());
  }
  EXPECT_TRUE(differs);
  v1::Event other = make(0);
  google::protobuf::Struct object;
  ASSERT_TRUE(other.typed().UnpackTo(&object));
  (*object.mutable_fields())["field7"].set_number_value(8);
  other.mutable_typed()->PackFrom(object);
  EXPECT_THAT(PublishEvent(other), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("key")));
}

// ------------------------------------------------------------------------------- refusals

TEST_P(PublishServiceTest, EveryRefusalIsCountedWithItsReason) {
  v1::Event unreadable = MakeEvent();
  unreadable.mutable_typed()->set_type_url("none");
  EXPECT_FALSE(PublishEvent(unreadable).ok());            // by the reader
  EXPECT_FALSE(PublishEvent(MakeEvent("x", "[]")).ok());  // by the router
  v1::Event elsewhere = MakeEvent();
  elsewhere.set_service("none");
  EXPECT_FALSE(PublishEvent(elsewhere).ok());
  elsewhere.mutable_typed()->set_type_url("none");
  EXPECT_FALSE(PublishEvent(elsewhere).ok());
  v1::PublishBatchRequest batch;
  *batch.add_events() = unreadable;
  *batch.add_events() = MakeEvent();
  EXPECT_OK(PublishBatch(batch));
  for (int i = 0; i < 100; ++i) *batch.add_events() = MakeEvent();
  EXPECT_FALSE(PublishBatch(batch).ok());  // too many
  routing_->router->StopPublishing();
  EXPECT_FALSE(PublishEvent(MakeEvent()).ok());

  const RefusalTotals refused = routing_->queries->Counts("s").refused;
  EXPECT_EQ(refused.of(RefusalReason::kInvalid), 3);
  EXPECT_EQ(refused.of(RefusalReason::kUnavailable), 1);
  EXPECT_EQ(refused.total(), 4);
  const RefusalTotals nowhere = routing_->queries->RefusedElsewhere();
  EXPECT_EQ(nowhere.of(RefusalReason::kUnknownService), 1);
  EXPECT_EQ(nowhere.of(RefusalReason::kInvalid), 2);
  EXPECT_EQ(nowhere.total(), 3);
}

TEST_P(PublishServiceTest, AReceiptRepeatsNoIdThatCannotBeOne) {
  v1::PublishBatchRequest batch;
  for (const char* json : {"{}", "[]"}) {
    for (const size_t bytes : {256, 257, 1 << 20}) {
      *batch.add_events() = MakeEvent("x", json);
      batch.mutable_events()->rbegin()->set_id(std::string(bytes, 'i'));
    }
  }
  const auto response = PublishBatch(batch);
  ASSERT_OK(response);
  for (int i = 0; i < 6; ++i) {
    const v1::Receipt& receipt = response->receipts(i);
    EXPECT_EQ(receipt.has_status(), i != 0) << i;
    EXPECT_EQ(receipt.id(), i % 3 == 0 ? std::string(256, 'i') : "") << i;
  }
  EXPECT_EQ(response->receipts(1).status().message(), "id: 257 bytes, at most 256 allowed");
}

TEST_P(PublishServiceTest, ALongNameOfAServiceIsNotRepeatedWhole) {
  v1::Event event = MakeEvent();
  event.set_service(std::string(2 << 20, 'x'));
  const absl::Status status = PublishEvent(event).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_LT(status.message().size(), 500u);
  EXPECT_THAT(status.message(), HasSubstr("is not configured"));
}

// ------------------------------------------------------------------------------- Validate

TEST_P(PublishServiceTest, ValidateAnswersAndPublishesNothing) {
  grpc::ClientContext context, refused;
  v1::ValidateRequest request;
  *request.mutable_event() = MakeEvent();
  v1::ValidateResponse response;
  ASSERT_TRUE(stub_->Validate(&context, request, &response).ok());
  EXPECT_THAT(response.channels(), ElementsAre("x"));
  EXPECT_THAT(response.warnings(), IsEmpty());
  request.mutable_event()->set_json("[]");
  EXPECT_EQ(stub_->Validate(&refused, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Accepted(), 0);
}

}  // namespace
}  // namespace fanwire::control
