#include "control/publish/publish_reader.h"

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/proto_time.h"
#include "fanwire/v1/publish.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "proto/wire/wire_writer.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Event FullEvent() {
  v1::Event event;
  event.set_service("mahavishnu");
  event.set_channel("workflow:wf_1");
  event.set_event("workflow.started");
  event.set_json(R"({"n": 1})");
  event.set_id("id-1");
  event.set_idempotency_key("key-1");
  (*event.mutable_tags())["a"] = "b";
  event.mutable_occurred_at()->set_seconds(1700000000);
  event.mutable_occurred_at()->set_nanos(5000);
  event.mutable_ttl()->set_seconds(3);
  event.mutable_ttl()->set_nanos(500000000);
  event.set_skip_history(true);
  event.set_traceparent("00-0-0-00");
  event.set_exclude_connection("c-1");
  return event;
}

void ExpectFull(const Event& view) {
  EXPECT_EQ(view.service, "mahavishnu");
  EXPECT_EQ(view.channel, "workflow:wf_1");
  EXPECT_EQ(view.event, "workflow.started");
  EXPECT_EQ(view.json, R"({"n": 1})");
  EXPECT_EQ(view.id, "id-1");
  EXPECT_EQ(view.idempotency_key, "key-1");
  EXPECT_EQ(view.occurred_at, absl::FromUnixMicros(1700000000000005));
  EXPECT_EQ(view.ttl, absl::Milliseconds(3500));
  EXPECT_TRUE(view.skip_history);
  EXPECT_EQ(view.exclude_connection, "c-1");
}

TEST(EventReaderTest, EveryFieldIsRead) {
  const std::string bytes = FullEvent().SerializeAsString();
  EventReader reader;
  ASSERT_OK(reader.Read(bytes));
  ExpectFull(reader.event());
  EXPECT_GE(reader.event().json.data(), bytes.data()) << "copied";
  EXPECT_LT(reader.event().json.data(), bytes.data() + bytes.size()) << "copied";
}

TEST(EventReaderTest, NothingOfOneEventIsLeftInTheNext) {
  EventReader reader;
  const std::string full = FullEvent().SerializeAsString();
  ASSERT_OK(reader.Read(full));
  ASSERT_OK(reader.Read(""));
  const Event& view = reader.event();
  for (const absl::string_view text : {view.service, view.channel, view.event, view.json, view.id,
                                       view.idempotency_key, view.exclude_connection}) {
    EXPECT_EQ(text, "");
  }
  EXPECT_EQ(view.occurred_at, absl::InfinitePast());
  EXPECT_EQ(view.ttl, absl::InfiniteDuration());
  EXPECT_FALSE(view.skip_history);
}

TEST(EventReaderTest, AnEventInPartsIsOne) {
  const v1::Event whole = FullEvent();
  v1::Event first = whole, second = whole;
  first.set_channel("another");
  first.clear_event();
  first.clear_occurred_at();
  first.mutable_ttl()->clear_nanos();
  second.clear_service();
  second.clear_id();
  second.mutable_ttl()->clear_seconds();
  const std::string parts[] = {first.SerializeAsString(), "", second.SerializeAsString()};
  EventReader reader;
  for (int i = 0; i < 2; ++i) {
    reader.Begin();
    for (const std::string& part : parts) reader.Add(part);
    ASSERT_OK(reader.Read());
    ExpectFull(reader.event());
  }
}

TEST(EventReaderTest, OfTwoPayloadsTheLastCounts) {
  google::protobuf::Struct object;
  (*object.mutable_fields())["typed"].set_bool_value(true);
  v1::Event typed, json;
  typed.mutable_typed()->PackFrom(object);
  json.set_json(R"({"json":true})");
  EventReader reader;
  std::string bytes = json.SerializeAsString() + typed.SerializeAsString();
  ASSERT_OK(reader.Read(bytes));
  EXPECT_EQ(reader.event().json, R"({"typed":true})");
  bytes = typed.SerializeAsString() + json.SerializeAsString();
  ASSERT_OK(reader.Read(bytes));
  EXPECT_EQ(reader.event().json, R"({"json":true})");
  // Nothing of the type before the JSON is left.
  v1::Event only_value;
  only_value.mutable_typed()->set_value(typed.typed().value());
  bytes = typed.SerializeAsString() + json.SerializeAsString() + only_value.SerializeAsString();
  EXPECT_THAT(reader.Read(bytes), StatusIs(kInvalid, HasSubstr("with an object, found \"\"")));
}

TEST(EventReaderTest, AFieldOfAnotherTypeThanItsOwnIsNoneOfOurs) {
  const std::string bytes("\x08\x05\x12\x01x", 5);  // `service` as a number, `channel` as a text
  EventReader reader;
  ASSERT_OK(reader.Read(bytes));
  EXPECT_EQ(reader.event().service, "");
  EXPECT_EQ(reader.event().channel, "x");
}

TEST(EventReaderTest, TextsThatAreNoUtf8AreRefusedByName) {
  const std::string bad = "a\xff";
  const auto refusal = [&](auto set) {
    v1::Event event = FullEvent();
    set(event);
    EventReader reader;
    // Debug builds of protobuf write a complaint; the bytes are what a careless publisher sends.
    const std::string bytes = event.SerializePartialAsString();
    const absl::Status status = reader.Read(bytes);
    return std::make_pair(status, std::string(reader.event().id));
  };
  const auto [service, service_id] = refusal([&](v1::Event& event) { event.set_service(bad); });
  EXPECT_THAT(service, StatusIs(kInvalid, "service: not UTF-8"));
  EXPECT_EQ(service_id, "id-1");
  EXPECT_THAT(refusal([&](v1::Event& event) { event.set_idempotency_key(bad); }).first,
              StatusIs(kInvalid, "idempotency_key: not UTF-8"));
  EXPECT_THAT(refusal([&](v1::Event& event) { event.mutable_typed()->set_type_url(bad); }).first,
              StatusIs(kInvalid, "typed: not UTF-8"));
  // A receipt could not repeat it.
  const auto [id, id_id] = refusal([&](v1::Event& event) { event.set_id(bad); });
  EXPECT_THAT(id, StatusIs(kInvalid, "id: not UTF-8"));
  EXPECT_EQ(id_id, "");
}

TEST(EventReaderTest, MalformedBytesAreRefusedAndLeaveNoId) {
  EventReader reader;
  const std::string full = FullEvent().SerializeAsString();
  for (size_t size = 0; size < full.size(); ++size) {
    const std::string cut = full.substr(0, size);
    v1::Event parsed;
    if (parsed.ParseFromString(cut)) {
      EXPECT_OK(reader.Read(cut)) << size;
    } else {
      EXPECT_THAT(reader.Read(cut), StatusIs(kInvalid, "not a fanwire.v1.Event: malformed bytes"));
      EXPECT_EQ(reader.event().id, "");
    }
  }
}

// What protobuf reads, of random fields in random order, some of them twice.
TEST(EventReaderTest, ReadsWhatProtobufReads) {
  std::mt19937 random(7);
  const auto text = [&] {
    return std::string(random() % 4, static_cast<char>('a' + random() % 3));
  };
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int field = static_cast<int>(random() % 8); field > 0; --field) {
      v1::Event part;
      switch (random() % 10) {
        case 0:
          part.set_service(text());
          break;
        case 1:
          part.set_channel(text());
          break;
        case 2:
          part.set_event(text());
          break;
        case 3:
          part.set_json(text());
          break;
        case 4:
          part.set_id(text());
          break;
        case 5:
          part.set_idempotency_key(text());
          break;
        case 6:
          part.mutable_occurred_at()->set_seconds(static_cast<int64_t>(random() % 5));
          break;
        case 7:
          part.mutable_ttl()->set_nanos(static_cast<int32_t>(random() % 5) - 2);
          break;
        case 8:
          part.set_skip_history(random() % 2 == 0);
          break;
        case 9:
          part.set_exclude_connection(text());
          break;
      }
      bytes += part.SerializeAsString();
    }
    v1::Event expected;
    ASSERT_TRUE(expected.ParseFromString(bytes));
    EventReader reader;
    ASSERT_OK(reader.Read(bytes));
    const Event& view = reader.event();
    EXPECT_EQ(view.service, expected.service());
    EXPECT_EQ(view.channel, expected.channel());
    EXPECT_EQ(view.event, expected.event());
    EXPECT_EQ(view.json, expected.json());
    EXPECT_EQ(view.id, expected.id());
    EXPECT_EQ(view.idempotency_key, expected.idempotency_key());
    EXPECT_EQ(view.occurred_at,
              expected.has_occurred_at() ? ToTime(expected.occurred_at()) : absl::InfinitePast());
    EXPECT_EQ(view.ttl, expected.has_ttl() ? ToDuration(expected.ttl()) : absl::InfiniteDuration());
    EXPECT_EQ(view.skip_history, expected.skip_history());
    EXPECT_EQ(view.exclude_connection, expected.exclude_connection());
  }
}

// ------------------------------------------------------------------------------- requests

TEST(PublishReaderTest, AStreamsMessageIsTheLastOfHelloAndItems) {
  v1::PublishStreamRequest hello, items;
  hello.mutable_hello()->set_publisher_id("me");
  hello.mutable_hello()->set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
  hello.mutable_hello()->mutable_wait()->set_seconds(2);
  for (const uint64_t seq : {5, 6}) {
    v1::PublishItem* const item = items.mutable_items()->add_items();
    item->set_seq(seq);
    *item->mutable_event() = FullEvent();
  }
  PublishStreamMessage message;
  const std::string both = items.SerializeAsString() + hello.SerializeAsString();
  ASSERT_OK(ReadPublishStreamRequest(both, 10, &message));
  EXPECT_EQ(message.kind, PublishStreamMessage::Kind::kHello);
  EXPECT_EQ(message.publisher_id, "me");
  EXPECT_EQ(message.params.level, ReceiptLevel::kWritten);
  EXPECT_EQ(message.params.wait, absl::Seconds(2));
  EXPECT_THAT(message.items, IsEmpty());

  const std::string other = hello.SerializeAsString() + items.SerializeAsString();
  ASSERT_OK(ReadPublishStreamRequest(other, 10, &message));
  EXPECT_EQ(message.kind, PublishStreamMessage::Kind::kItems);
  EXPECT_EQ(message.publisher_id, "");
  ASSERT_EQ(message.items.size(), 2u);
  EventReader event;
  uint64_t seq = 0;
  ASSERT_OK(ReadPublishItem(message.items[1], &seq, &event));
  EXPECT_EQ(seq, 6u);
  ExpectFull(event.event());

  // Items come together, a hello's parts, too.
  const std::string twice = items.SerializeAsString() + items.SerializeAsString();
  ASSERT_OK(ReadPublishStreamRequest(twice, 10, &message));
  EXPECT_EQ(message.items.size(), 4u);
  v1::PublishStreamRequest level, name;
  level.mutable_hello()->set_receipt_level(v1::RECEIPT_LEVEL_ROUTED);
  name.mutable_hello()->set_publisher_id("you");
  const std::string parts = level.SerializeAsString() + name.SerializeAsString();
  ASSERT_OK(ReadPublishStreamRequest(parts, 10, &message));
  EXPECT_EQ(message.publisher_id, "you");
  EXPECT_EQ(message.params.level, ReceiptLevel::kRouted);

  ASSERT_OK(ReadPublishStreamRequest("", 10, &message));
  EXPECT_EQ(message.kind, PublishStreamMessage::Kind::kNone);
}

std::vector<absl::string_view> Cut(absl::string_view bytes, size_t size) {
  std::vector<absl::string_view> pieces;
  for (size_t at = 0; at < bytes.size(); at += size) pieces.push_back(bytes.substr(at, size));
  return pieces;
}

TEST(PublishReaderTest, ItemsAreReadFromPiecesWhereverTheyEnd) {
  v1::PublishStreamRequest request;
  for (const uint64_t seq : {5, 6, 7}) {
    v1::PublishItem* const item = request.mutable_items()->add_items();
    item->set_seq(seq);
    *item->mutable_event() = FullEvent();
  }
  const std::string bytes = request.SerializeAsString();
  for (size_t size = 1; size <= bytes.size(); ++size) {
    ItemsReader items;
    ASSERT_TRUE(items.Open(Cut(bytes, size)));
    ASSERT_EQ(items.size(), 3u);
    for (const uint64_t wanted : {5, 6, 7}) {
      EventReader event;
      uint64_t seq = 0;
      ASSERT_OK(ReadPublishItem(items.Next(), &seq, &event));
      EXPECT_EQ(seq, wanted);
      ExpectFull(event.event());
    }
  }
}

TEST(PublishReaderTest, WhatIsNotItemsAloneIsNotReadFromPieces) {
  v1::PublishStreamRequest items, hello;
  items.mutable_items()->add_items()->set_seq(1);
  hello.mutable_hello()->set_publisher_id("me");
  const std::string good = items.SerializeAsString();
  ItemsReader reader;
  EXPECT_TRUE(reader.Open({good}));
  EXPECT_EQ(reader.size(), 1u);
  v1::PublishStreamRequest none;
  none.mutable_items();
  const std::string empty = none.SerializeAsString();
  EXPECT_TRUE(reader.Open({empty}));
  EXPECT_EQ(reader.size(), 0u);
  for (const std::string& bytes :
       {std::string(), hello.SerializeAsString(), good + hello.SerializeAsString(), good + good,
        good.substr(0, good.size() - 1), std::string("\x12\x02\x10\x01", 4),
        std::string("\x12\x02\x0a\x09", 4)}) {
    EXPECT_FALSE(reader.Open({bytes})) << bytes.size();
  }
}

TEST(PublishReaderTest, AMalformedItemIsRefusedWithItsSeqAndAMalformedMessageAsAWhole) {
  EventReader event;
  uint64_t seq = 0;
  EXPECT_THAT(ReadPublishItem(std::string("\x08\x07\x12\x09", 4), &seq, &event),
              StatusIs(kInvalid, "not a fanwire.v1.PublishItem: malformed bytes"));
  EXPECT_EQ(seq, 7u);
  EXPECT_EQ(event.event().id, "");
  PublishStreamMessage message;
  for (const std::string& bytes :
       {std::string("\x12\x09", 2), std::string("\x12\x02\x0a\x09", 4),
        std::string("\x0a\x02\x0a\x09", 4), std::string("\x0a\x03\x0a\x01\xff", 5)}) {
    EXPECT_THAT(ReadPublishStreamRequest(bytes, 10, &message),
                StatusIs(kInvalid, "not a fanwire.v1.PublishStreamRequest: malformed bytes"));
  }
}

TEST(PublishReaderTest, ParametersAreReadAndChecked) {
  v1::PublishRequest request;
  *request.mutable_event() = FullEvent();
  request.set_receipt_level(v1::RECEIPT_LEVEL_ROUTED);
  request.mutable_wait()->set_nanos(5000);
  EventReader event;
  PublishParams params;
  std::string bytes = request.SerializeAsString();
  ASSERT_OK(ReadPublishRequest(bytes, &event, &params));
  ExpectFull(event.event());
  EXPECT_EQ(params.level, ReceiptLevel::kRouted);
  EXPECT_EQ(params.wait, absl::Microseconds(5));
  // Nothing is left of it.
  ASSERT_OK(ReadPublishRequest("", &event, &params));
  EXPECT_EQ(params.level, ReceiptLevel::kAccepted);
  EXPECT_EQ(params.wait, absl::ZeroDuration());
  EXPECT_EQ(event.event().service, "");

  request.set_receipt_level(static_cast<v1::ReceiptLevel>(-1));
  bytes = request.SerializeAsString();
  EXPECT_THAT(ReadPublishRequest(bytes, &event, &params),
              StatusIs(kInvalid, "receipt_level: expected 0 to 3, found -1"));
  request.clear_receipt_level();
  request.mutable_wait()->set_seconds(-1);
  bytes = request.SerializeAsString();
  EXPECT_THAT(ReadPublishRequest(bytes, &event, &params), StatusIs(kInvalid, "wait: negative"));
  EXPECT_THAT(ReadPublishRequest("\x0a\x09", &event, &params),
              StatusIs(kInvalid, "not a fanwire.v1.PublishRequest: malformed bytes"));
  EXPECT_THAT(ReadPublishRequest(std::string("\x1a\x01\x08", 3), &event, &params),
              StatusIs(kInvalid, "not a fanwire.v1.PublishRequest: malformed bytes"));
}

TEST(PublishReaderTest, ABatchIsItsEvents) {
  v1::PublishBatchRequest request;
  for (int i = 0; i < 3; ++i) request.add_events()->set_id(absl::StrCat(i));
  request.set_receipt_level(v1::RECEIPT_LEVEL_WRITTEN);
  std::string bytes = request.SerializeAsString();
  std::vector<absl::string_view> events;
  PublishParams params;
  ASSERT_OK(ReadPublishBatchRequest(bytes, 3, &events, &params));
  EXPECT_EQ(params.level, ReceiptLevel::kWritten);
  std::vector<std::string> ids;
  for (const absl::string_view part : events) {
    EventReader event;
    ASSERT_OK(event.Read(part));
    ids.emplace_back(event.event().id);
  }
  EXPECT_THAT(ids, ElementsAre("0", "1", "2"));
  EXPECT_THAT(ReadPublishBatchRequest("\x0a\x09", 3, &events, &params),
              StatusIs(kInvalid, "not a fanwire.v1.PublishBatchRequest: malformed bytes"));
}

// ------------------------------------------------------------------------------- bounds

std::string Repeat(absl::string_view bytes, size_t times) {
  std::string out;
  out.reserve(bytes.size() * times);
  for (size_t i = 0; i < times; ++i) out.append(bytes.data(), bytes.size());
  return out;
}

// `bytes` as field `number`, a text or message.
std::string Field(int number, const std::string& bytes) {
  std::string out;
  AppendWireBytes(number, bytes, &out);
  return out;
}

TEST(PublishReaderBoundsTest, ABatchOfTooManyEventsIsRefusedWhileItIsReadWithoutKeepingThem) {
  constexpr size_t kEvents = 31 << 20;  // 62 MiB
  constexpr absl::string_view kEmptyEvent("\x0a\x00", 2);
  const std::string bytes = Repeat(kEmptyEvent, kEvents);
  std::vector<absl::string_view> events;
  PublishParams params;
  EXPECT_THAT(
      ReadPublishBatchRequest(bytes, 10'000, &events, &params),
      StatusIs(kInvalid, "events: 32505856, at most 10000 in one message (limits.max_batch)"));
  EXPECT_LE(events.capacity(), 20'000u);
}

TEST(PublishReaderBoundsTest, TooManyItemsAreRefusedWithoutKeepingThemInWhateverForm) {
  constexpr size_t kItems = 1 << 20;
  const std::string items = Field(2, Repeat(absl::string_view("\x0a\x00", 2), kItems));
  PublishStreamMessage message;
  // One list; many lists; beside a field of a later version, which the quick reader does not take.
  for (const std::string& bytes :
       {items, Repeat(Field(2, std::string("\x0a\x00", 2)), kItems), items + "\x38\x01"}) {
    EXPECT_THAT(
        ReadPublishStreamRequest(bytes, 100, &message),
        StatusIs(kInvalid, "items: 1048576, at most 100 in one message (limits.max_batch)"));
    EXPECT_LE(message.items.capacity(), 200u);
  }
  // Items that a later hello replaces do not count.
  EXPECT_OK(ReadPublishStreamRequest(items + Field(1, ""), 100, &message));
}

// A line of /proc/self/status, in bytes.
int64_t StatusBytes(absl::string_view name) {
  std::ifstream file("/proc/self/status");
  std::string line;
  while (std::getline(file, line)) {
    if (!absl::StartsWith(line, name)) continue;
    int64_t kilobytes = 0;
    EXPECT_TRUE(absl::SimpleAtoi(line.substr(name.size() + 1, line.rfind(' ') - name.size() - 1),
                                 &kilobytes))
        << line;
    return kilobytes << 10;
  }
  ADD_FAILURE() << name;
  return 0;
}

// The most memory that `work` took at once.
int64_t PeakOf(absl::FunctionRef<void()> work) {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew: proc(5)
  const int64_t before = StatusBytes("VmRSS:");
  work();
  return StatusBytes("VmHWM:") - before;
}

// Fields that no message has, two bytes each: protobuf's objects keep 16 bytes of each.
TEST(PublishReaderBoundsTest, UnknownFieldsAreKeptNowhere) {
  const std::string unknown = Repeat("\x38\x01", 4 << 20);  // 8 MiB
  const std::string hello = Field(1, unknown), wait = Field(3, unknown);
  const std::string hello_wait = Field(1, wait);
  const std::string event = Field(1, Field(9, unknown) + Field(8, unknown) + unknown);
  PublishStreamMessage message;
  EventReader reader;
  PublishParams params;
  std::vector<absl::string_view> events;
  EXPECT_LT(PeakOf([&] {
              EXPECT_OK(ReadPublishStreamRequest(hello, 10, &message));
              EXPECT_OK(ReadPublishStreamRequest(hello_wait, 10, &message));
              EXPECT_OK(ReadPublishRequest(wait, &reader, &params));
              EXPECT_OK(ReadPublishRequest(event, &reader, &params));
              EXPECT_OK(ReadPublishBatchRequest(wait, 10, &events, &params));
            }),
            20 << 20);
}

// A typed payload of small parts, which become large objects.
TEST(PublishReaderBoundsTest, ATypedPayloadThatNoEventCanHoldIsRefusedBeforeObjectsAreMadeOfIt) {
  constexpr size_t kParts = 4 << 20;
  const std::string empty_values = Repeat(absl::string_view("\x0a\x00", 2), kParts);
  const std::string list = Field(6, empty_values);  // a Value
  const std::string key = Field(1, "k");
  const auto in_struct = [&](const std::string& value) { return Field(1, key + Field(2, value)); };
  const std::pair<absl::string_view, std::string> payloads[] = {
      {"Struct", in_struct(list)},
      {"Struct", in_struct(Field(5, in_struct(list)))},
      {"Struct", empty_values},
      {"Struct", in_struct(Field(3, std::string(8 << 20, '\1')))},
      {"Struct", Field(1, Field(1, std::string(8 << 20, '\1')))},
      {"Struct", Repeat("\x38\x01", kParts)},
      {"Value", Field(5, in_struct(list))},
      {"Value", list},
      {"Value", Repeat("\x38\x01", kParts)},
  };
  for (const auto& [type, bytes] : payloads) {
    const std::string event = Field(
        5, Field(1, absl::StrCat("type.googleapis.com/google.protobuf.", type)) + Field(2, bytes));
    EventReader reader;
    EXPECT_LT(PeakOf([&] {
                EXPECT_THAT(
                    reader.Read(event),
                    StatusIs(kInvalid,
                             "typed: more fields or text than an event of 1048576 bytes can hold"));
              }),
              20 << 20);
  }
}

TEST(PublishReaderBoundsTest, ATypedPayloadAsLargeAsAnEventMayBeIsTaken) {
  google::protobuf::Struct object;
  google::protobuf::ListValue* const list = (*object.mutable_fields())["n"].mutable_list_value();
  for (int i = 0; i < 400'000; ++i) list->add_values()->set_number_value(1);
  v1::Event event;
  event.mutable_typed()->PackFrom(object);
  const std::string bytes = event.SerializeAsString();
  EventReader reader;
  ASSERT_OK(reader.Read(bytes));
  EXPECT_GT(reader.event().json.size(), 800'000u);
}

TEST(PublishReaderBoundsTest, AnErrorRepeatsNoLongText) {
  v1::Event event;
  event.mutable_typed()->set_type_url(Repeat("ä", 1 << 20));
  const std::string bytes = event.SerializeAsString();
  EventReader reader;
  const absl::Status status = reader.Read(bytes);
  EXPECT_EQ(status.message(), absl::StrCat("typed: expected google.protobuf.Struct, or "
                                           "google.protobuf.Value with an object, found \"",
                                           Repeat("ä", 50), "\""));
}

TEST(PublishReaderTest, AValidateRequestIsItsEvent) {
  v1::ValidateRequest request;
  *request.mutable_event() = FullEvent();
  const std::string bytes = request.SerializeAsString();
  EventReader event;
  ASSERT_OK(ReadValidateRequest(bytes, &event));
  ExpectFull(event.event());
  EXPECT_THAT(ReadValidateRequest("\x0a\x09", &event),
              StatusIs(kInvalid, "not a fanwire.v1.ValidateRequest: malformed bytes"));
}

}  // namespace
}  // namespace fanwire::control
