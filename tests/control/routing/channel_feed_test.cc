// Publications of other controls that share the engine.
#include "control/routing/channel_feed.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/routing/publication_observer.h"
#include "tests/control/engine/engine_fixture.h"
#include "tests/control/routing/router_fixture.h"

namespace fanwire::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ChannelFeedTest : public RouterFixture {
 protected:
  ChannelFeedTest() : RouterFixture(EngineKind::kSlow) {}
  ~ChannelFeedTest() override { Settle(); }

  void Elsewhere(const std::string& channel, int count = 1, bool keep = true) {
    for (int i = 0; i < count; ++i) {
      slow_->PublishElsewhere("s", channel, control::MakePublication(clock_, 1), keep);
    }
  }
  std::unique_ptr<FakeWorker> MakeSubscriber(const std::string& channel) {
    auto worker = MakeWorker();
    Want(*worker, channel);
    Subscribe(*worker, 1, channel);
    worker->Take();
    return worker;
  }

  FakeReceiptSink sink_;
};

class Watcher final : public PublicationObserver {
 public:
  void OnPublication(const ObservedPublication& observed) override {
    seen.push_back(
        absl::StrCat(observed.service, "/", observed.channel, "#", observed.publication->offset()));
  }
  std::vector<std::string> seen;
};

TEST_F(ChannelFeedTest, SubscribersGetWhatOthersPublishInOrderWithTheirOwn) {
  const auto worker = MakeSubscriber("x");
  Elsewhere("x");
  Publish("x");
  Elsewhere("x", 1, /*keep=*/false);
  Elsewhere("x");
  EXPECT_THAT(worker->Take(), ElementsAre("x#1", "x#2", "x~test.event", "x#3"));
}

TEST_F(ChannelFeedTest, AWorkerCanRecoverWhatOthersPublished) {
  const auto worker = MakeSubscriber("x");
  Elsewhere("x", 3);
  worker->Take();
  const auto other = MakeWorker();
  Want(*other, "x");
  Recover(*other, 7, "x", slow_->HeadOf("s", "x").epoch.ToText(), 1);
  EXPECT_THAT(other->Take(), ElementsAre("def x@3", "answer 7 x@3 recovered 2,3"));
}

TEST_F(ChannelFeedTest, APatternGetsTheFirstPublicationOfAChannelThatIsNewHere) {
  const auto worker = MakeWorker();
  WantPattern(*worker, "a:*");
  slow_->Delay({.opens = true});
  Elsewhere("a:b", 2);
  EXPECT_THAT(worker->TakeNotes(), IsEmpty());
  Settle();
  EXPECT_THAT(worker->Take(), ElementsAre("def a:b@0", "a:b#1", "a:b#2"));
}

TEST_F(ChannelFeedTest, AChannelThatNobodyWantsHereIsNotOpened) {
  const auto worker = MakeWorker();
  WantPattern(*worker, "b:*");
  Elsewhere("a:b", 2);
  EXPECT_EQ(routing_->queries->Counts("s").channels, 0);
  Elsewhere("not a channel's name");
  slow_->PublishElsewhere("unknown", "b", control::MakePublication(clock_, 1));
  EXPECT_THAT(worker->Take(), IsEmpty());
}

TEST_F(ChannelFeedTest, ObserversSeeAllThatComes) {
  Watcher watcher;
  routing_->router->AddObserver(&watcher);
  Elsewhere("x");
  const auto worker = MakeSubscriber("x");
  Elsewhere("x");
  EXPECT_THAT(watcher.seen, ElementsAre("s/x#1", "s/x#2"));
  routing_->router->RemoveObserver(&watcher);
}

TEST_F(ChannelFeedTest, WhatCannotBeHadIsAGap) {
  const auto worker = MakeSubscriber("x");
  Elsewhere("x", 2);
  slow_->MissElsewhere("s", "x", 3);
  Elsewhere("x");
  EXPECT_THAT(worker->Take(), ElementsAre("x#1", "x#2", "gap x 3-5 history_expired", "x#6"));
}

TEST_F(ChannelFeedTest, AnotherEpochIsToldAndLosesNothingOfIt) {
  const auto worker = MakeSubscriber("x");
  Elsewhere("x", 2);
  EXPECT_THAT(worker->Take(), ElementsAre("x#1", "x#2"));
  slow_->ChangeEpoch("s", "x");
  Elsewhere("x", 2);
  Settle();
  EXPECT_THAT(worker->Take(),
              ElementsAre("drop x", "def x@0", "gap x 1-0 epoch_changed", "x#1", "x#2"));
}

TEST_F(ChannelFeedTest, WhatIsPublishedWhileAnEpochChangesComesInTheNewOne) {
  const auto worker = MakeSubscriber("x");
  worker->settle = nullptr;
  Publish("x");
  worker->Take();
  slow_->ChangeEpoch("s", "x");
  routing_->router->MakeRun()->Publish(MakeEvent("x"), {}, &sink_, 1);
  EXPECT_EQ(sink_.count(), 0);
  Settle();
  EXPECT_EQ(sink_.last().outcome.position, slow_->HeadOf("s", "x"));
  worker->settle = [this] { Settle(); };
  EXPECT_THAT(worker->Take(), ElementsAre("drop x", "def x@0", "gap x 1-0 epoch_changed", "x#1"));
}

TEST_F(ChannelFeedTest, AnotherEpochWithHistoryIsReadFromItsBeginning) {
  const auto worker = MakeSubscriber("x");
  Elsewhere("x", 2);
  worker->Take();
  slow_->ChangeEpoch("s", "x");
  slow_->Delay(FakeEngine::kAll);
  EXPECT_THAT(worker->Take(), ElementsAre("drop x", "def x@0", "gap x 1-0 epoch_changed"));
  Elsewhere("x", 2);
  EXPECT_THAT(worker->Take(), ElementsAre("x#1", "x#2"));
}

}  // namespace
}  // namespace fanwire::control
