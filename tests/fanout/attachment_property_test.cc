// A worker's sessions, hub, interest and batches beside control's router and subscriptions, all of
// them real, over a stream that the test lets flow, freezes and breaks: whatever the sequence, a
// session gets nothing that was published before it subscribed, everything that came after its
// confirmation, and nothing twice; and in the end the worker keeps no channel.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/engine/memory_engine.h"
#include "control/routing/interest_view.h"
#include "fanout/acknowledgements.h"
#include "fanout/batch_applier.h"
#include "fanout/batch_reader.h"
#include "fanout/interest.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"
#include "tests/fakes/fake_link.h"
#include "tests/fanout/ports_fixture.h"
#include "tests/testing/link_message.h"
#include "tests/testing/routing.h"
#include "tests/testing/status.h"

namespace fanwire::fanout {

namespace {

// The sessions' Upstream, without slots.
class PropertyUpstream final : public Upstream {
 public:
  explicit PropertyUpstream(Interest* interest) : interest_(interest) {}

  void Want(Channel* channel) override { interest_->Want(channel); }
  void Unwant(Channel* channel) override { interest_->Unwant(channel); }
  void Want(PatternTable* table) override { interest_->Want(table); }
  void Unwant(PatternTable* table) override { interest_->Unwant(table); }
  uint64_t Ask(Session* session, const SubscribeAsk& ask) override {
    return interest_->Ask(session, ask);
  }
  uint64_t Request(Session*, const RequestAsk&) override { return 0; }
  void Forget(uint64_t ask) override { interest_->Forget(ask); }
  void WaitForSlot(Session* /*session*/) override {}
  void StopWaiting(Session* /*session*/) override {}
  void SlotsChanged(Service* /*service*/) override {}

 private:
  Interest* const interest_;
};

// Control's end of the stream: one write is in flight until the test takes it.
class Pipe final : public control::LinkTransport {
 public:
  void Write(control::LinkMessage message) override { in_flight = std::move(message); }
  void Finish(const absl::Status& /*status*/) override {}

  std::optional<control::LinkMessage> in_flight;
};

class IgnoredReceipts final : public control::ReceiptSink {
 public:
  void OnReceipt(uint64_t /*tag*/, const control::PublishOutcome& outcome) override {
    EXPECT_OK(outcome.status);
    position = outcome.position;
  }
  control::Position position;
};

// What a client asked for and got, in the order of all that happens (the numbers).
struct Client {
  struct Wish {
    std::string name;
    uint64_t asked = 0;
    uint64_t confirmed = 0;  // 0: not yet
    bool ended = false;      // the client has unsubscribed
    uint64_t left = 0;       // when that was confirmed; 0: not yet
  };

  PairClient* pair = nullptr;
  std::vector<Wish> wishes;
  std::deque<std::pair<size_t, bool>> replies;  // awaited: of which wish; true: its subscribe
  std::map<std::string, std::set<int64_t>> got;
  bool open = true;
};

bool Matches(const std::string& name, const std::string& channel) {
  return ChannelPattern::Parse(name)->Matches(channel);
}

class AttachmentPropertyTest : public PortsFixture, public ::testing::WithParamInterface<int> {
 protected:
  struct Attachment {
    Pipe pipe;
    std::shared_ptr<control::WorkerLink> link;
  };

  AttachmentPropertyTest()
      : interest_(&link_, [this] { return ports_->services(); }),
        upstream_of_all_(&interest_),
        acknowledgements_(&loop_, &link_, [] { return size_t{0}; }),
        applier_(&hub_, &tracks_, ports_.get(), &interest_, &acknowledgements_),
        random_(static_cast<uint32_t>(GetParam())) {
    context_.upstream = &upstream_of_all_;
    acknowledgements_.AcknowledgeEachTurn();
    const control::LoadedConfig loaded =
        control::LoadConfig("services: [{name: mahavishnu, port: 8690}]\n", "test.yaml", {});
    EXPECT_TRUE(loaded.errors.empty());
    routing_ = std::make_unique<control::Routing>(control::Router::Options(), engine_.get(),
                                                  &control_clock_, &timers_,
                                                  control::ServiceTable::Make(*loaded.config));
  }
  ~AttachmentPropertyTest() override { ports_ = nullptr; }  // the sessions leave

  size_t Random(size_t below) { return random_() % below; }
  std::string RandomChannel() { return absl::StrCat(Random(2) == 0 ? "a:" : "b:", Random(4)); }
  // One more thing happens, a while after the last.
  uint64_t Next() {
    control_clock_.Advance(absl::Milliseconds(1));
    return ++now_;
  }

  // ---- the stream

  bool attached() const { return attachment_ != nullptr; }
  // Control takes the worker for dead, which notices nothing before it attaches again.
  void Detach() {
    control::WorkerLink& link = *attachment_->link;
    link.Close(absl::UnavailableError("frozen"));
    missed_since_ = link.unapplied_since();
    pattern_times_ = link.TakePatternTimes();
    routing_->subscriptions->ClearInterest(attachment_->link);
    former_.push_back(std::move(attachment_));
  }
  void Attach() {
    attachment_ = std::make_unique<Attachment>();
    attachment_->link = std::make_shared<control::WorkerLink>(
        ++last_link_, control::WorkerLink::Options{.max_queued_items = 12}, &control_clock_,
        &attachment_->pipe, routing_->subscriptions.get());
    attachment_->link->SetMissedSince(missed_since_);
    if (last_link_ > 1) attachment_->link->SetPatternTimes(std::exchange(pattern_times_, {}));
    link_.Take();  // what the broken stream had not taken
    applier_.Restart();
    interest_.TellInterest();
    interest_.AskAgain();
  }

  // What the worker has to say reaches control.
  bool ToControl() {
    if (!attached()) return false;
    const std::vector<v1::WorkerItem> items = link_.Take();
    for (const v1::WorkerItem& item : items) Say(item);
    return !items.empty();
  }
  void Say(const v1::WorkerItem& item) {
    control::Subscriptions& subscriptions = *routing_->subscriptions;
    const std::shared_ptr<control::WorkerLink>& link = attachment_->link;
    const auto view = [](const v1::Interest& interest) {
      return control::InterestView{.service = interest.service(),
                                   .channel = interest.channel(),
                                   .pattern = interest.pattern()};
    };
    if (item.has_interest_snapshot()) {
      const v1::InterestSnapshot& snapshot = item.interest_snapshot();
      if (snapshot.first()) subscriptions.BeginSnapshot(link);
      for (const v1::Interest& one : snapshot.interests())
        subscriptions.AddInterest(link, view(one));
      for (const v1::ChannelPosition& at : snapshot.positions()) {
        subscriptions.Resume(link, at.service(), at.channel(), at.position().epoch(),
                             at.position().offset());
      }
      if (snapshot.last()) subscriptions.EndSnapshot(link);
    }
    for (const v1::Interest& one : item.interest_delta().add()) {
      subscriptions.AddInterest(link, view(one));
    }
    for (const v1::Interest& one : item.interest_delta().remove()) {
      subscriptions.RemoveInterest(link, view(one));
    }
    if (item.has_subscribe_query()) {
      const v1::SubscribeQuery& query = item.subscribe_query();
      subscriptions.Subscribe(link, {.query_id = query.query_id(),
                                     .service = query.service(),
                                     .channel = query.channel(),
                                     .pattern = query.pattern(),
                                     .page_bytes = query.page_bytes(),
                                     .address = query.address()});
    }
    if (item.has_ack()) link->OnAck(item.ack().seq(), item.ack().bytes());
  }
  // One batch reaches the worker.
  bool ToWorker() {
    if (!attached() || !attachment_->pipe.in_flight.has_value()) return false;
    const v1::ControlMessage message =
        control::Parse(*std::exchange(attachment_->pipe.in_flight, std::nullopt));
    std::vector<LinkItem> items;
    EXPECT_TRUE(ReadBatch(message.batch(), &items));
    for (LinkItem& item : items) applier_.Apply(std::move(item));
    hub_.CommitAll();
    hub_.Run();
    hub_.Drain();
    acknowledgements_.OnTurn();
    attachment_->link->OnWriteDone(true);
    return true;
  }

  // ---- clients

  // Everything that a client has said is handled, and everything that was sent to it has come.
  void Sync(Client* client) {
    client->pair->SayJson({{"type", "ping"}, {"id", "p"}});
    bool pong = false;
    ASSERT_TRUE(RunUntil([&] {
      for (const Json& message : std::exchange(client->pair->messages, {})) {
        pong |= message.value("type", Json()) == Json("pong");
        Take(client, message);
      }
      return pong || client->pair->ended;
    }));
    ASSERT_FALSE(client->pair->ended);
  }
  void Take(Client* client, const Json& message) {
    const Json event = message.value("event", Json());
    ASSERT_FALSE(message.value("type", Json()) == Json("error")) << message;
    if (event == Json("subscribe") || event == Json("unsubscribe")) {
      ASSERT_FALSE(client->replies.empty());
      const auto [wish, subscribe] = client->replies.front();
      client->replies.pop_front();
      EXPECT_EQ(event == Json("subscribe"), subscribe);
      (subscribe ? client->wishes[wish].confirmed : client->wishes[wish].left) = Next();
      return;
    }
    if (event == Json("channel.skipped")) {
      const std::string channel = message["data"]["channel"];
      const int64_t to = message["data"]["to"];
      EXPECT_TRUE(MayGet(*client, channel, to)) << message;
      for (int64_t offset = message["data"]["from"]; offset <= to; ++offset) {
        client->got[channel].insert(offset);
      }
      return;
    }
    if (!message.contains("offset")) return;
    const std::string channel = message["room"];
    const int64_t offset = message["offset"];
    EXPECT_TRUE(MayGet(*client, channel, offset)) << "too old: " << message;
    EXPECT_TRUE(client->got[channel].insert(offset).second) << "twice: " << message;
  }
  // Whether it was published after the client had asked for it, and before it had left.
  bool MayGet(const Client& client, const std::string& channel, int64_t offset) {
    const auto published = published_.find({channel, offset});
    if (published == published_.end()) return false;
    return std::any_of(client.wishes.begin(), client.wishes.end(), [&](const Client::Wish& wish) {
      return wish.asked < published->second && (wish.left == 0 || published->second < wish.left) &&
             Matches(wish.name, channel);
    });
  }

  // Until nothing moves any more.
  void Settle() {
    bool moves = true;
    for (int round = 0; moves && round < 1000; ++round) {
      moves = false;
      for (Client& client : people_) {
        if (client.open) Sync(&client);
        if (HasFatalFailure()) return;
      }
      moves |= ToControl();
      while (ToWorker()) moves = true;
    }
    EXPECT_FALSE(moves);
  }

  void Publish(const std::string& channel) {
    const std::unique_ptr<control::PublishRun> run = routing_->router->MakeRun();
    control::Event event;
    event.service = "mahavishnu";
    event.channel = channel;
    event.event = "thing.happened";
    event.json = "{}";
    const uint64_t now = Next();
    run->Publish(event, {}, &receipts_, 0);
    run->Flush();
    published_[{channel, receipts_.position.offset}] = now;
  }

  void Step() {
    switch (Random(12)) {
      case 0:
        if (people_.size() < 12) {
          people_.emplace_back();
          people_.back().pair = Connect(ports()[0]);
        }
        break;
      case 1:
      case 2:
      case 3:
        return Subscribe();
      case 4:
        return Unsubscribe();
      case 5:
        if (Random(3) == 0) Leave();
        break;
      case 6:
      case 7:
        for (size_t n = Random(6); n > 0; --n) Publish(RandomChannel());
        break;
      case 8:
        ToControl();
        break;
      case 9:
        ToWorker();
        break;
      case 10:
        if (Random(2) == 0) {
          routing_->directory.Sweep();
        } else if (attached() && Random(3) == 0) {
          interest_.TellInterest();  // as after a drift
        }
        break;
      default:
        if (!attached()) {
          Attach();
        } else if (Random(3) == 0) {
          Detach();
        } else {
          Settle();
        }
    }
  }
  Client* Somebody() {
    std::vector<Client*> open;
    for (Client& client : people_) {
      if (client.open) open.push_back(&client);
    }
    return open.empty() ? nullptr : open[Random(open.size())];
  }
  void Subscribe() {
    Client* const client = Somebody();
    if (client == nullptr) return;
    static constexpr const char* kPatterns[] = {"a:*", "b:*", "**", "*:1"};
    const std::string name = Random(2) == 0 ? RandomChannel() : kPatterns[Random(4)];
    for (const Client::Wish& wish : client->wishes) {
      if (wish.name == name && !wish.ended) return;
    }
    client->replies.emplace_back(client->wishes.size(), true);
    client->wishes.push_back({.name = name, .asked = Next()});
    client->pair->Subscribe(name);
    Sync(client);
  }
  void Unsubscribe() {
    Client* const client = Somebody();
    if (client == nullptr || client->wishes.empty()) return;
    const size_t number = Random(client->wishes.size());
    Client::Wish& wish = client->wishes[number];
    if (std::exchange(wish.ended, true)) return;
    Next();
    client->replies.emplace_back(number, false);
    client->pair->Unsubscribe(wish.name);
    Sync(client);
  }
  void Leave() {
    Client* const client = Somebody();
    if (client == nullptr) return;
    client->open = false;
    const std::string id = client->pair->id;
    client->pair->Close();
    ASSERT_TRUE(RunUntil([&] { return service()->FindSession(id) == nullptr; }));
  }

  FakeClock control_clock_;
  TimerQueue timers_{&control_clock_};
  std::unique_ptr<control::Engine> engine_ = control::MakeMemoryEngine(64 << 20);
  std::unique_ptr<control::Routing> routing_;
  IgnoredReceipts receipts_;
  std::vector<std::unique_ptr<Attachment>> former_;
  std::unique_ptr<Attachment> attachment_;  // null: control takes the worker for dead
  absl::Duration missed_since_ = absl::InfiniteDuration();
  control::PatternTimes pattern_times_;
  uint64_t last_link_ = 0;

  FakeLink link_;
  Interest interest_;
  PropertyUpstream upstream_of_all_;
  Acknowledgements acknowledgements_;
  BatchApplier applier_;

  std::mt19937 random_;
  uint64_t now_ = 0;
  std::deque<Client> people_;
  std::map<std::pair<std::string, int64_t>, uint64_t> published_;
};

TEST_P(AttachmentPropertyTest, SessionsGetAllThatCameAfterTheirSubscribeAndNothingOlder) {
  ASSERT_OK(Apply(Config()));
  Attach();
  for (int step = 0; step < 300; ++step) {
    Step();
    if (HasFatalFailure()) return;
  }
  if (!attached()) Attach();
  Settle();
  for (const char* const kind : {"a:", "b:"}) {
    for (int i = 0; i < 4; ++i) Publish(absl::StrCat(kind, i));
  }
  Settle();
  for (Client& client : people_) {
    if (!client.open) continue;
    EXPECT_TRUE(client.replies.empty());
    for (const Client::Wish& wish : client.wishes) {
      if (wish.ended) continue;
      EXPECT_NE(wish.confirmed, 0u) << wish.name;
      for (const auto& [at, published] : published_) {
        if (published < wish.confirmed || !Matches(wish.name, at.first)) continue;
        EXPECT_TRUE(client.got[at.first].contains(at.second))
            << wish.name << " lacks " << at.first << " " << at.second;
      }
    }
  }

  // When everybody has left, the worker keeps nothing, and control no interest.
  while (Somebody() != nullptr) {
    Leave();
    if (HasFatalFailure()) return;
  }
  Settle();
  routing_->directory.Sweep();
  attachment_->link->Flush();
  Settle();
  service()->ForgetOldPositions(loop_.Now());  // as each second
  EXPECT_TRUE(service()->channels(Dialect::kCommon).empty());
  EXPECT_TRUE(service()->patterns(Dialect::kCommon).empty());
  EXPECT_EQ(attachment_->link->interest_digest().value().count, 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AttachmentPropertyTest, ::testing::Range(1, 13));

}  // namespace
}  // namespace fanwire::fanout
