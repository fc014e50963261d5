// The state that comes with a subscribe: it is that of the channel's head, whatever is published
// meanwhile.
#include <atomic>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/requests/status_requests.h"
#include "tests/control/routing/router_fixture.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using Json = nlohmann::json;

constexpr char kJobService[] = R"(
  status_requests:
  - request: get
    argument: id
    kind: job
    initial: {last: 0}
    events:
    - {event: thing.happened, key: $id, set: {last: $n}}
)";

// A worker that keeps the answers to its subscribes and the states.
class StateWorker final : public LinkTransport {
 public:
  StateWorker(const Clock* clock, LinkOwner* owner)
      : link(std::make_shared<WorkerLink>(1, WorkerLink::Options(), clock, this, owner)) {}

  void Write(LinkMessage message) override {
    MutexLock lock(&mu_);
    writes_.push_back(control::Parse(message));
  }
  void Finish(const absl::Status& /*status*/) override {}

  // Ends the writes that are in flight.
  void Drain() {
    while (true) {
      {
        MutexLock lock(&mu_);
        if (writes_.empty()) return;
        const v1::ControlMessage message = std::move(writes_.front());
        writes_.erase(writes_.begin());
        Keep(message);
      }
      link->OnWriteDone(true);
      link->OnAck(items_, bytes_);
    }
  }

  std::map<uint64_t, int64_t> heads;           // by query
  std::map<uint64_t, v1::ClientReply> states;  // by query
  const std::shared_ptr<WorkerLink> link;

 private:
  void Keep(const v1::ControlMessage& message) {
    for (const v1::BatchItem& item : message.batch().items()) {
      ++items_;
      bytes_ += item.deliver().envelope().size();
      if (!item.has_subscribe_result()) continue;
      EXPECT_TRUE(item.subscribe_result().state_follows());
      heads[item.subscribe_result().query_id()] = item.subscribe_result().head().offset();
    }
    for (const v1::ClientReply& reply : message.client_replies().replies()) {
      states[reply.request_id()] = reply;
    }
  }

  Mutex mu_;
  std::vector<v1::ControlMessage> writes_ ABSL_GUARDED_BY(mu_);
  uint64_t items_ = 0;
  uint64_t bytes_ = 0;
};

class StatusStateTest : public RouterFixture {
 protected:
  StatusStateTest() {
    const LoadedConfig loaded = LoadConfig(
        absl::StrCat("services:\n- name: s\n  port: 8690\n", kJobService), "test.yaml", {});
    EXPECT_THAT(loaded.errors, ::testing::IsEmpty());
    states_ = std::make_unique<StatusRequests>(*loaded.config, &clock_);
    routing_ = nullptr;
    routing_ = std::make_unique<Routing>(Router::Options(), engine_.get(), &clock_, &timers_,
                                         ServiceTable::Make(*loaded.config), states_.get());
    routing_->router->AddObserver(states_.get());
    worker_ = std::make_unique<StateWorker>(&clock_, routing_->subscriptions.get());
    Want("job:1");
  }
  ~StatusStateTest() override {
    routing_->router->RemoveObserver(states_.get());
    states_ = nullptr;  // its thread uses the link
  }

  void Want(const std::string& channel) {
    routing_->subscriptions->AddInterest(worker_->link, {.service = "s", .channel = channel});
  }
  void Say(int64_t n) { Publish(MakeEvent("job:1", absl::StrCat(R"({"id":1,"n":)", n, "}"))); }
  void Subscribe(uint64_t query) {
    routing_->subscriptions->Subscribe(worker_->link, {.query_id = query,
                                                       .service = "s",
                                                       .channel = "job:1",
                                                       .state_request = "get",
                                                       .state_data = R"({"id":"1"})"});
  }
  bool HasStates(size_t count) {
    return WaitFor([&] {
      worker_->Drain();
      return worker_->states.size() == count && worker_->heads.size() == count;
    });
  }

  std::unique_ptr<StatusRequests> states_;
  std::unique_ptr<StateWorker> worker_;
};

TEST_F(StatusStateTest, TheStateIsThatOfTheHeadWhileOthersPublish) {
  constexpr int64_t kEvents = 3000;
  constexpr uint64_t kQueries = 200;
  std::atomic<bool> done = false;
  std::thread publisher([&] {
    for (int64_t n = 1; n <= kEvents; ++n) Say(n);
    done = true;
  });
  uint64_t asked = 0;
  while (asked < kQueries || !done) {
    if (asked < kQueries) Subscribe(++asked);
    worker_->Drain();
  }
  publisher.join();
  ASSERT_TRUE(HasStates(asked));
  for (const auto& [query, reply] : worker_->states) {
    ASSERT_EQ(reply.error_code(), "") << reply.error_message();
    // Before the first event the job is not known.
    EXPECT_EQ(Json::parse(reply.data()).value("last", int64_t{0}), worker_->heads[query]);
  }
}

TEST_F(StatusStateTest, AfterALostEventTheChannelHasNoState) {
  // The queue takes no more: nobody is woken for fewer than its due number of events, and these are
  // too large for it.
  const std::string filler(StatusRequests::kMaxQueuedBytes / 100, 'x');
  std::string json = absl::StrCat(R"({"id":2,"n":1,"filler":")", filler, "\"}");
  EXPECT_EQ(states_->dropped(), 0);
  const PublicationPtr publication = [&] {
    PublicationPtr made;
    class Keep final : public PublicationObserver {
     public:
      explicit Keep(PublicationPtr* out) : out_(out) {}
      void OnPublication(const ObservedPublication& observed) override {
        *out_ = observed.publication;
      }

     private:
      PublicationPtr* const out_;
    } keep(&made);
    routing_->router->AddObserver(&keep);
    Publish(MakeEvent("job:2", json));
    routing_->router->RemoveObserver(&keep);
    return made;
  }();
  ASSERT_NE(publication, nullptr);
  while (states_->dropped() == 0) {
    states_->OnPublication(
        {.service = "s", .channel = "job:1", .mirror = false, .publication = publication});
  }
  Subscribe(1);
  ASSERT_TRUE(HasStates(1));
  EXPECT_EQ(worker_->states[1].error_code(), "EVENTS_MISSED");
}

TEST_F(StatusStateTest, ARequestThatTheServiceDoesNotHaveIsUnknown) {
  routing_->subscriptions->Subscribe(worker_->link, {.query_id = 1,
                                                     .service = "s",
                                                     .channel = "job:1",
                                                     .state_request = "other",
                                                     .state_data = "{}"});
  ASSERT_TRUE(HasStates(1));
  EXPECT_EQ(worker_->states[1].error_code(), "UNKNOWN_REQUEST");
}

}  // namespace

}  // namespace fanwire::control
