// The stream to control: attaching, what it carries both ways, and coming back.
#include "fanout/control_link.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_workers_server.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class ControlLinkTest : public ::testing::Test, public ControlLinkHandler {
 protected:
  ControlLinkTest() {
    link_ = Make(server_.address());
    // Only the tests about silence end by it, and they say after how long.
    on_attached_ = [this] { link_->SetHeartbeatInterval(absl::Minutes(1)); };
  }
  ~ControlLinkTest() override { link_ = nullptr; }

  std::unique_ptr<ControlLink> Make(const std::string& address,
                                    size_t max_queued_bytes = 256 << 20) {
    return ControlLink::Make({.address = address,
                              .first_retry = absl::Milliseconds(5),
                              .last_retry = absl::Milliseconds(50),
                              .max_queued_bytes = max_queued_bytes},
                             &loop_, this);
  }

  bool RunUntil(const std::function<bool()>& condition) {
    const absl::Time give_up = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > give_up) return false;
      loop_.RunTurn(absl::Milliseconds(2));
    }
    return true;
  }

  bool Attach() {
    link_->Start();
    return RunUntil([&] { return attached_ == 1; });
  }

  // One item that can be told from others.
  void SendAck(uint64_t seq) {
    auto item = std::make_unique<v1::WorkerItem>();
    item->mutable_ack()->set_seq(seq);
    link_->Send(std::move(item));
    loop_.Post([] {});  // a turn, at whose end it leaves
  }
  std::vector<uint64_t> AcksOfServer() const {
    std::vector<uint64_t> acks;
    for (const v1::WorkerItem& item : server_.items()) {
      if (item.has_ack()) acks.push_back(item.ack().seq());
    }
    return acks;
  }

  // ---- ControlLinkHandler

  void FillHello(v1::Hello* hello) override { hello->set_worker_id("worker-7"); }
  void OnAttached(const v1::ControlMessage& welcome) override {
    EXPECT_TRUE(welcome.has_welcome());
    EXPECT_TRUE(link_->attached());
    ++attached_;
    if (on_attached_) on_attached_();
  }
  void OnItem(LinkItem&& item) override { items_.push_back(std::move(item)); }
  void OnControlMessage(const v1::ControlMessage& message) override { other_.push_back(message); }
  void OnTurn() override { ++turns_; }
  void OnDetached(const absl::Status& status) override {
    EXPECT_FALSE(link_->attached());
    EXPECT_FALSE(status.ok());
    ++detached_;
  }
  void OnFenced(const absl::Status& status) override { fenced_ = std::string(status.message()); }

  FakeWorkersServer server_;
  EventLoop loop_;
  std::unique_ptr<ControlLink> link_;
  std::function<void()> on_attached_;
  std::vector<LinkItem> items_;
  std::vector<v1::ControlMessage> other_;
  int attached_ = 0;
  int detached_ = 0;
  int turns_ = 0;
  std::string fenced_;
};

// ------------------------------------------------------------------------------- attaching

TEST_F(ControlLinkTest, SaysHelloAndIsAttachedByTheWelcome) {
  server_.set_welcomes(false);
  link_->Start();
  ASSERT_TRUE(RunUntil([&] { return server_.attachments() == 1; }));
  EXPECT_FALSE(link_->attached());
  const std::vector<v1::WorkerItem> items = server_.items();
  ASSERT_THAT(items, SizeIs(1));
  EXPECT_EQ(items[0].hello().worker_id(), "worker-7");
  v1::ControlMessage welcome;
  welcome.mutable_welcome();
  ASSERT_TRUE(server_.Send(welcome));
  ASSERT_TRUE(RunUntil([&] { return attached_ == 1; }));
}

TEST_F(ControlLinkTest, TriesAgainUntilControlIsThere) {
  server_.Stop();
  link_->Start();
  int turns = 0;
  ASSERT_TRUE(RunUntil([&] { return ++turns > 20; }));
  EXPECT_EQ(attached_, 0);
  EXPECT_EQ(detached_, 0);  // it never was
  server_.Start();
  ASSERT_TRUE(RunUntil([&] { return attached_ == 1; }));
}

TEST_F(ControlLinkTest, ComesBackWhenItsStreamBreaks) {
  ASSERT_TRUE(Attach());
  server_.Drop();
  ASSERT_TRUE(RunUntil([&] { return attached_ == 2; }));
  EXPECT_EQ(detached_, 1);
  EXPECT_EQ(server_.attachments(), 2);
  EXPECT_EQ(server_.items()[0].hello().worker_id(), "worker-7");
}

TEST_F(ControlLinkTest, ComesBackWhenControlRestarts) {
  ASSERT_TRUE(Attach());
  server_.Stop();
  ASSERT_TRUE(RunUntil([&] { return detached_ == 1; }));
  server_.Start();
  ASSERT_TRUE(RunUntil([&] { return attached_ == 2; }));
}

TEST_F(ControlLinkTest, LeavesAControlThatIsSilent) {
  server_.set_heartbeat_interval_ms(20);
  on_attached_ = [this] { link_->SetHeartbeatInterval(absl::Milliseconds(20)); };
  const absl::Duration began = loop_.Now();
  ASSERT_TRUE(Attach());
  ASSERT_TRUE(RunUntil([&] { return detached_ == 1; }));
  EXPECT_GE(loop_.Now() - began, absl::Milliseconds(60));
  ASSERT_TRUE(RunUntil([&] { return attached_ == 2; }));
}

TEST_F(ControlLinkTest, StaysWithAControlThatSaysSomethingNowAndThen) {
  // It is left after three silent intervals, which is longer than this process is ever held up.
  static constexpr absl::Duration kInterval = absl::Seconds(1);
  on_attached_ = [this] { link_->SetHeartbeatInterval(kInterval); };
  ASSERT_TRUE(Attach());
  const absl::Duration began = loop_.Now();
  v1::ControlMessage beat;
  beat.mutable_heartbeat();
  server_.Send(beat);
  absl::Duration last = began;
  size_t heard = 0;
  ASSERT_TRUE(RunUntil([&] {
    if (other_.size() > heard && loop_.Now() - last > kInterval / 2) {
      heard = other_.size();
      last = loop_.Now();
      server_.Send(beat);
    }
    return loop_.Now() - began > 4 * kInterval;
  }));
  EXPECT_EQ(detached_, 0);
}

TEST_F(ControlLinkTest, OneWhosePlaceIsTakenEndsAndDoesNotTryAgain) {
  server_.set_refusal(absl::FailedPreconditionError("worker-7 was replaced"));
  link_->Start();
  ASSERT_TRUE(RunUntil([&] { return !fenced_.empty(); }));
  EXPECT_EQ(fenced_, "worker-7 was replaced");
  bool later = false;
  loop_.RunAfter(absl::Milliseconds(150), [&] { later = true; });
  ASSERT_TRUE(RunUntil([&] { return later; }));
  EXPECT_EQ(server_.attachments(), 1);
  EXPECT_EQ(attached_, 0);
}

TEST_F(ControlLinkTest, AnotherRefusalIsNotForEver) {
  server_.set_refusal(absl::InvalidArgumentError("protocol version 2 is wanted"));
  link_->Start();
  ASSERT_TRUE(RunUntil([&] { return server_.attachments() >= 2; }));
  EXPECT_EQ(fenced_, "");
  server_.set_refusal(absl::OkStatus());
  ASSERT_TRUE(RunUntil([&] { return attached_ == 1; }));
}

// ------------------------------------------------------------------------------- to control

TEST_F(ControlLinkTest, WhatATurnSendsLeavesAsOneMessage) {
  ASSERT_TRUE(Attach());
  loop_.Post([&] {
    for (uint64_t i = 1; i <= 100; ++i) SendAck(i);
  });
  ASSERT_TRUE(RunUntil([&] { return AcksOfServer().size() == 100; }));
  const std::vector<v1::WorkerMessage> messages = server_.messages();
  ASSERT_THAT(messages, SizeIs(2));  // the Hello, and this
  EXPECT_EQ(messages[1].items_size(), 100);
}

TEST_F(ControlLinkTest, AllThatWasSentArrivesInOrder) {
  ASSERT_TRUE(Attach());
  std::vector<uint64_t> sent;
  for (uint64_t i = 1; i <= 500; ++i) {
    sent.push_back(i);
    SendAck(i);
    if (i % 7 == 0) loop_.RunTurn(absl::ZeroDuration());
  }
  ASSERT_TRUE(RunUntil([&] { return AcksOfServer().size() == 500; }));
  EXPECT_EQ(AcksOfServer(), sent);
}

TEST_F(ControlLinkTest, ALongTurnIsCutIntoMessagesThatControlTakes) {
  ASSERT_TRUE(Attach());
  loop_.Post([&] {
    for (int i = 0; i < 20; ++i) {
      auto item = std::make_unique<v1::WorkerItem>();
      item->mutable_client_request()->set_request_id(static_cast<uint64_t>(i));
      item->mutable_client_request()->set_data(std::string(300 << 10, 'd'));
      link_->Send(std::move(item));
    }
  });
  ASSERT_TRUE(RunUntil([&] {
    return server_.Count([](const v1::WorkerItem& item) { return item.has_client_request(); }) ==
           20;
  }));
  uint64_t next = 0;
  for (const v1::WorkerMessage& message : server_.messages()) {
    EXPECT_LT(message.ByteSizeLong(), 1u << 20);
    for (const v1::WorkerItem& item : message.items()) {
      if (item.has_client_request()) {
        EXPECT_EQ(item.client_request().request_id(), next++);
      }
    }
  }
  EXPECT_EQ(next, 20u);
}

TEST_F(ControlLinkTest, AControlThatReadsTooSlowlyIsLeftAndToldEverythingAnew) {
  const auto send = [this](bool snapshot, size_t bytes) {
    auto item = std::make_unique<v1::WorkerItem>();
    if (snapshot) {
      item->mutable_interest_snapshot()->add_interests()->set_channel(std::string(bytes, 'c'));
    } else {
      item->mutable_client_request()->set_data(std::string(bytes, 'd'));
    }
    link_->Send(std::move(item));
  };
  link_ = nullptr;
  link_ = Make(server_.address(), 4 << 20);
  server_.set_reads(false);
  // What an attachment begins with may be larger, and so may all interest.
  on_attached_ = [&] {
    for (int i = 0; i < 20; ++i) send(/*snapshot=*/false, 300 << 10);
  };
  ASSERT_TRUE(Attach());
  on_attached_ = nullptr;
  for (int i = 0; i < 20; ++i) send(/*snapshot=*/true, 300 << 10);
  for (int i = 0; i < 10; ++i) send(/*snapshot=*/false, 300 << 10);
  loop_.RunTurn(absl::ZeroDuration());
  EXPECT_EQ(detached_, 0);
  for (int i = 0; i < 10; ++i) send(/*snapshot=*/false, 300 << 10);
  ASSERT_TRUE(RunUntil([&] { return attached_ == 2; }));
  EXPECT_EQ(detached_, 1);
  // And it goes on as if nothing had been.
  server_.set_reads(true);
  server_.Drop();
  ASSERT_TRUE(RunUntil([&] { return attached_ == 3; }));
  SendAck(7);
  ASSERT_TRUE(RunUntil([&] { return AcksOfServer().size() == 1; }));
}

TEST_F(ControlLinkTest, WhatIsSentWhileDetachedIsDropped) {
  SendAck(1);
  ASSERT_TRUE(Attach());
  SendAck(2);
  ASSERT_TRUE(RunUntil([&] { return AcksOfServer().size() == 1; }));
  server_.Drop();
  ASSERT_TRUE(RunUntil([&] { return detached_ == 1; }));
  SendAck(3);
  ASSERT_TRUE(RunUntil([&] { return attached_ == 2; }));
  SendAck(4);
  ASSERT_TRUE(RunUntil([&] { return !AcksOfServer().empty(); }));
  EXPECT_THAT(AcksOfServer(), ElementsAre(4));
}

// ------------------------------------------------------------------------------- from control

TEST_F(ControlLinkTest, ABatchIsTakenApartInItsOrder) {
  ASSERT_TRUE(Attach());
  v1::ControlMessage message;
  v1::Batch& batch = *message.mutable_batch();
  batch.add_items()->mutable_channel_def()->set_handle(5);
  v1::Deliver& deliver = *batch.add_items()->mutable_deliver();
  deliver.set_handle(5);
  deliver.set_offset(42);
  deliver.set_envelope(R"({"type":"event"})");
  deliver.set_event(3);
  deliver.set_conflate_key(99);
  deliver.set_ttl_ms(1500);
  deliver.set_publication_id(7);
  deliver.set_received_us(1234);
  deliver.set_exclude_connection("c1");
  batch.add_items()->mutable_channel_release()->set_handle(5);
  ASSERT_TRUE(server_.Send(message));
  ASSERT_TRUE(RunUntil([&] { return items_.size() == 3; }));
  EXPECT_TRUE(items_[0].other->has_channel_def());
  EXPECT_EQ(items_[1].other, nullptr);
  EXPECT_EQ(items_[1].handle, 5u);
  EXPECT_EQ(items_[1].offset, 42);
  EXPECT_EQ(items_[1].event, 3u);
  EXPECT_EQ(items_[1].conflate_key, 99u);
  EXPECT_EQ(items_[1].ttl_ms, 1500);
  EXPECT_EQ(items_[1].publication_id, 7u);
  EXPECT_EQ(items_[1].received_us, 1234);
  EXPECT_EQ(items_[1].exclude_connection, "c1");
  EXPECT_EQ(items_[1].envelope_bytes, 16u);
  const FramePtr wanted = Frame::Text(R"({"type":"event"})");
  EXPECT_EQ(std::string(items_[1].frame->data(), items_[1].frame->size()),
            std::string(wanted->data(), wanted->size()));
  EXPECT_TRUE(items_[2].other->has_channel_release());
  EXPECT_GT(turns_, 0);
}

TEST_F(ControlLinkTest, ABatchOfManyPiecesIsReadWhereverTheyEnd) {
  ASSERT_TRUE(Attach());
  // gRPC's frames have 16 KiB: items of every size lie across their ends somewhere.
  v1::ControlMessage message;
  std::vector<std::string> envelopes;
  for (size_t i = 0; i < 700; ++i) {
    envelopes.push_back(std::string(i * 7 % 1500, static_cast<char>('a' + i % 26)));
    v1::Deliver& deliver = *message.mutable_batch()->add_items()->mutable_deliver();
    deliver.set_handle(static_cast<uint32_t>(i));
    deliver.set_offset(int64_t{1} << (i % 50));
    deliver.set_envelope(envelopes.back());
    deliver.set_received_us(static_cast<int64_t>(i));
  }
  message.mutable_batch()->add_items()->mutable_deliver()->set_envelope(std::string(200000, 'z'));
  ASSERT_TRUE(server_.Send(message));
  ASSERT_TRUE(RunUntil([&] { return items_.size() == 701; }));
  for (size_t i = 0; i < 700; ++i) {
    EXPECT_EQ(items_[i].handle, i);
    EXPECT_EQ(items_[i].offset, int64_t{1} << (i % 50));
    EXPECT_EQ(items_[i].received_us, static_cast<int64_t>(i));
    EXPECT_EQ(items_[i].frame->bytes(), Frame::Text(envelopes[i])->bytes()) << i;
  }
  EXPECT_EQ(items_[700].envelope_bytes, 200000u);
}

TEST_F(ControlLinkTest, FieldsOfALaterVersionAreLeftOut) {
  ASSERT_TRUE(Attach());
  v1::ControlMessage message;
  v1::Batch& batch = *message.mutable_batch();
  batch.GetReflection()->MutableUnknownFields(&batch)->AddVarint(15, 1);
  v1::BatchItem* const item = batch.add_items();
  item->mutable_deliver()->set_handle(5);
  item->mutable_deliver()
      ->GetReflection()
      ->MutableUnknownFields(item->mutable_deliver())
      ->AddLengthDelimited(1000, "later");
  // Another kind of item behind the delivery takes its place.
  v1::BatchItem* const two = batch.add_items();
  two->mutable_deliver()->set_handle(6);
  v1::ChannelRelease release;
  release.set_handle(9);
  two->GetReflection()->MutableUnknownFields(two)->AddLengthDelimited(
      v1::BatchItem::kChannelReleaseFieldNumber, release.SerializeAsString());
  // Something beside a delivery leaves it one.
  v1::BatchItem* const beside = batch.add_items();
  beside->mutable_deliver()->set_handle(7);
  beside->mutable_deliver()->set_envelope("{}");
  beside->GetReflection()->MutableUnknownFields(beside)->AddVarint(1000, 1);
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(1000, 1);
  ASSERT_TRUE(server_.Send(message));
  ASSERT_TRUE(RunUntil([&] { return items_.size() == 3; }));
  EXPECT_EQ(items_[2].other, nullptr);
  EXPECT_EQ(items_[2].handle, 7u);
  EXPECT_EQ(items_[2].envelope_bytes, 2u);
  EXPECT_EQ(items_[0].handle, 5u);
  EXPECT_EQ(items_[0].other, nullptr);
  ASSERT_NE(items_[1].other, nullptr);
  EXPECT_EQ(items_[1].other->channel_release().handle(), 9u);
}

TEST_F(ControlLinkTest, MalformedBytesEndTheAttachmentAndNothingOfThemIsApplied) {
  ASSERT_TRUE(Attach());
  const auto malformed = [](int field, const std::string& bytes) {
    v1::ControlMessage message;
    message.mutable_batch()->add_items()->mutable_event_def()->set_handle(1);
    message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(field, bytes);
    return message;
  };
  v1::ControlMessage message;
  message.mutable_batch()->add_items()->mutable_event_def()->set_handle(1);
  // A delivery that ends inside of a field.
  message.mutable_batch()
      ->GetReflection()
      ->MutableUnknownFields(message.mutable_batch())
      ->AddLengthDelimited(v1::Batch::kItemsFieldNumber, std::string("\x0a\x02\x1a\x09", 4));
  ASSERT_TRUE(server_.Send(message));
  ASSERT_TRUE(RunUntil([&] { return attached_ == 2; }));
  // A message that is none, behind a batch.
  ASSERT_TRUE(server_.Send(malformed(v1::ControlMessage::kQueryFieldNumber, "\x0a\x09")));
  ASSERT_TRUE(RunUntil([&] { return attached_ == 3; }));
  EXPECT_EQ(detached_, 2);
  EXPECT_THAT(items_, SizeIs(0));
}

TEST_F(ControlLinkTest, WhatIsNoBatchComesAsItIsInItsPlace) {
  ASSERT_TRUE(Attach());
  v1::ControlMessage config;
  config.mutable_config()->set_version(8);
  v1::ControlMessage batch;
  batch.mutable_batch()->add_items()->mutable_event_def()->set_handle(1);
  ASSERT_TRUE(server_.Send(config));
  ASSERT_TRUE(server_.Send(batch));
  ASSERT_TRUE(RunUntil([&] { return items_.size() == 1; }));
  ASSERT_THAT(other_, SizeIs(1));
  EXPECT_EQ(other_[0].config().version(), 8u);
}

TEST_F(ControlLinkTest, ManyMessagesAreHandedOverTogether) {
  ASSERT_TRUE(Attach());
  turns_ = 0;
  v1::ControlMessage batch;
  batch.mutable_batch()->add_items()->mutable_event_def()->set_handle(1);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(server_.Send(batch));
  ASSERT_TRUE(RunUntil([&] { return items_.size() == 200; }));
  EXPECT_LE(turns_, 200);
  EXPECT_GE(turns_, 1);
}

// ------------------------------------------------------------------------------- the end

TEST_F(ControlLinkTest, BeforeItStopsAllThatWasSentLeaves) {
  ASSERT_TRUE(Attach());
  for (uint64_t i = 1; i <= 50; ++i) SendAck(i);
  bool stopped = false;
  link_->Stop(absl::Seconds(20), [&] { stopped = true; });
  ASSERT_TRUE(RunUntil([&] { return stopped; }));
  ASSERT_TRUE(RunUntil([&] { return AcksOfServer().size() == 50; }));
}

TEST_F(ControlLinkTest, WithoutAnAttachmentItStopsAtOnce) {
  bool stopped = false;
  link_->Stop(absl::Seconds(20), [&] { stopped = true; });
  EXPECT_TRUE(stopped);
}

TEST_F(ControlLinkTest, WhileItTriesItStopsAtOnceAndTriesNoMore) {
  server_.Stop();
  link_->Start();
  int turns = 0;
  ASSERT_TRUE(RunUntil([&] { return ++turns > 10; }));
  bool stopped = false;
  link_->Stop(absl::Seconds(20), [&] { stopped = true; });
  EXPECT_TRUE(stopped);
  server_.Start();
  bool later = false;
  loop_.RunAfter(absl::Milliseconds(150), [&] { later = true; });
  ASSERT_TRUE(RunUntil([&] { return later; }));
  EXPECT_EQ(attached_, 0);
}

TEST_F(ControlLinkTest, AControlThatDoesNotReadHoldsItUpNoLongerThanItsTimeout) {
  server_.set_reads(false);
  ASSERT_TRUE(Attach());
  for (int i = 0; i < 40; ++i) {
    auto item = std::make_unique<v1::WorkerItem>();
    item->mutable_client_request()->set_data(std::string(300 << 10, 'd'));
    link_->Send(std::move(item));
  }
  bool stopped = false;
  const absl::Duration began = loop_.Now();
  link_->Stop(absl::Milliseconds(100), [&] { stopped = true; });
  EXPECT_FALSE(stopped);
  ASSERT_TRUE(RunUntil([&] { return stopped; }));
  EXPECT_GE(loop_.Now() - began, absl::Milliseconds(95));
  link_ = nullptr;
}

}  // namespace
}  // namespace fanwire::fanout
