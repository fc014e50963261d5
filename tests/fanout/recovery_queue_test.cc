// RecoveryQueue by itself: one recovery after the other, and whose fault a standstill is.
// subscribe_queue_test.cc has the ways by which recoveries begin and end.
#include "fanout/recovery_queue.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"

namespace fanwire::fanout {

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kBacklogBytes = 1000;

// Counts what is wanted, and remembers what was forgotten.
class PageUpstream final : public Upstream {
 public:
  void Want(Channel*) override { ++wanted; }
  void Unwant(Channel*) override { --wanted; }
  void Want(PatternTable*) override {}
  void Unwant(PatternTable*) override {}
  void Forget(uint64_t ask) override { forgotten.push_back(ask); }
  uint64_t Ask(Session*, const SubscribeAsk&) override { return 0; }
  uint64_t Request(Session*, const RequestAsk&) override { return 0; }
  void WaitForSlot(Session*) override {}
  void StopWaiting(Session*) override {}
  void SlotsChanged(Service*) override {}

  int wanted = 0;
  std::vector<uint64_t> forgotten;
};

// Writes down what it is told to do.
class RecordingHost final : public SubscribeHost {
 public:
  bool active() const override { return true; }
  bool MaySubscribe(absl::string_view) const override { return true; }
  absl::StatusOr<RequestAccess::StateRequest> FindState(absl::string_view) const override {
    return absl::InvalidArgumentError("none");
  }
  bool Passes(const EventFilter*, const RecoveredEvent& event) const override {
    return event.exclude_connection.empty();
  }
  uint64_t Ask(const SubscribeAsk& ask) override {
    log.push_back(absl::StrCat("ask ", ask.channel->name, " after ", ask.offset));
    return ++last_ask;
  }
  void Subscribe(Channel* channel, PatternTable*, std::shared_ptr<const EventFilter>) override {
    log.push_back(absl::StrCat("live ", channel->name));
  }
  void Join(Channel*, std::shared_ptr<const std::string>) override {}
  void Leave(Channel*) override {}
  void Reply(const std::string&) override {}
  void FlushTurn() override {}
  void Settle() override {}
  void SetPaused(bool) override {}
  void Append(Backlog::Item item) override {
    log.push_back(item.kind == Backlog::Kind::kNotice
                      ? absl::StrCat("skipped ", item.channel->name)
                      : absl::StrCat(item.channel->name, " ", item.offset));
  }
  void Flush() override { queue->RequestNextPage(); }
  size_t waiting_bytes() const override { return waiting; }
  uint64_t bytes_sent() const override { return sent; }
  int64_t FirstWaiting(const Channel*) const override { return 0; }
  void DropWaiting(const Channel*) override {}
  void DropForbidden() override {}

  std::vector<std::string> Log() { return std::exchange(log, {}); }

  RecoveryQueue* queue = nullptr;
  std::vector<std::string> log;
  uint64_t last_ask = 0;
  size_t waiting = 0;
  uint64_t sent = 0;
};

class RecoveryQueueTest : public ::testing::Test {
 protected:
  RecoveryQueueTest() : service_(Settings()), queue_(&context_) { host_.queue = &queue_; }
  ~RecoveryQueueTest() override {
    queue_.CancelAll();
    EXPECT_FALSE(subscriptions_.recovering());
  }

  static std::shared_ptr<const ServiceSettings> Settings() {
    v1::WorkerService service;
    service.mutable_limits()->set_session_backlog_bytes(kBacklogBytes);
    service.mutable_limits()->mutable_recovery_timeout()->set_seconds(30);
    return std::make_shared<ServiceSettings>(service);
  }

  void Add(const char* name, int64_t after) {
    Channel* const channel = service_.FindOrMakeChannel(Dialect::kCommon, name);
    upstream_.Want(channel);
    queue_.Add({.channel = ChannelRef(channel), .filter = {}, .epoch = "e1", .offset = after});
    host_.Flush();
    queue_.OnProgress();
  }

  // The page after `after` up to `to`, of `head` publications, as the answer to `ask`.
  bool Page(uint64_t ask, int64_t after, int64_t to, int64_t head) {
    SubscribeReply reply;
    reply.epoch = "e1";
    reply.offset = head;
    reply.recovered = true;
    for (int64_t offset = after + 1; offset <= to; ++offset) {
      reply.events.push_back(
          {.offset = offset, .frame = Frame::Text("{}"), .event = 1, .exclude_connection = ""});
    }
    reply.last_page = to == head;
    reply.next_offset = to;
    return queue_.OnReply(ask, &reply);
  }

  EventLoop loop_;
  FakeClock clock_;
  Service service_;
  PageUpstream upstream_;
  SubscriptionSet subscriptions_;
  RecordingHost host_;
  const SubscribeContext context_{.host = &host_,
                                  .subscriptions = &subscriptions_,
                                  .service = &service_,
                                  .upstream = &upstream_,
                                  .loop = &loop_,
                                  .clock = &clock_};
  RecoveryQueue queue_;
};

TEST_F(RecoveryQueueTest, TheSecondBeginsWhenTheFirstIsLive) {
  Add("a", 3);
  Add("b", 0);
  EXPECT_TRUE(subscriptions_.recovering());
  EXPECT_THAT(host_.Log(), ElementsAre("ask a after 3"));
  EXPECT_FALSE(Page(7, 3, 4, 5));  // nobody's answer
  EXPECT_TRUE(Page(1, 3, 4, 5));
  EXPECT_THAT(host_.Log(), ElementsAre("a 4", "ask a after 4"));
  EXPECT_TRUE(Page(2, 4, 5, 5));
  EXPECT_THAT(host_.Log(), ElementsAre("a 5", "live a", "ask b after 0"));
  EXPECT_TRUE(Page(3, 0, 1, 1));
  EXPECT_THAT(host_.Log(), ElementsAre("b 1", "live b"));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(RecoveryQueueTest, OnlyAClientThatMustMakeRoomHasADeadline) {
  EXPECT_EQ(queue_.deadline(), absl::InfiniteDuration());
  host_.waiting = kBacklogBytes;
  Add("a", 0);
  EXPECT_THAT(host_.Log(), IsEmpty());  // no room
  EXPECT_LE(queue_.deadline(), loop_.Now() + absl::Seconds(30));
  host_.waiting = 0;
  queue_.RequestNextPage();
  EXPECT_THAT(host_.Log(), ElementsAre("ask a after 0"));
  EXPECT_EQ(queue_.deadline(), absl::InfiniteDuration());  // control's turn
  host_.waiting = kBacklogBytes;
  Page(1, 0, 1, 2);
  EXPECT_LE(queue_.deadline(), loop_.Now() + absl::Seconds(30));
  ++host_.sent;
  EXPECT_FALSE(queue_.Stands(queue_.deadline()));  // part of a page has left
  EXPECT_TRUE(queue_.Stands(queue_.deadline()));
}

TEST_F(RecoveryQueueTest, APageThatIsMissingIsToldAndTheChannelGoesLive) {
  Add("a", 3);
  SubscribeReply gone;
  gone.epoch = "e1";
  gone.offset = 9;
  gone.reason = "history_expired";
  EXPECT_TRUE(queue_.OnReply(1, &gone));
  EXPECT_THAT(host_.Log(), ElementsAre("ask a after 3", "skipped a", "live a"));
}

TEST_F(RecoveryQueueTest, APageThatCannotBeHadIsNotToldIfNothingIsMissing) {
  Add("a", 3);
  SubscribeReply refused;
  refused.error_code = "UNAVAILABLE";
  EXPECT_TRUE(queue_.OnReply(1, &refused));
  EXPECT_THAT(host_.Log(), ElementsAre("ask a after 3", "live a"));
}

TEST_F(RecoveryQueueTest, CancellingTheFirstLetsTheNextBegin) {
  Add("a", 3);
  Add("b", 0);
  host_.Log();
  const Channel* const a = service_.FindChannel(Dialect::kCommon, "a");
  ASSERT_NE(queue_.Find(a), nullptr);
  queue_.Cancel(a);
  EXPECT_THAT(upstream_.forgotten, ElementsAre(1));
  EXPECT_EQ(upstream_.wanted, 1);
  EXPECT_EQ(queue_.Find(a), nullptr);
  EXPECT_THAT(host_.Log(), ElementsAre("ask b after 0"));
  EXPECT_TRUE(subscriptions_.recovering());
}

}  // namespace
}  // namespace fanwire::fanout
