// SessionFixture is a worker's core without listeners and without control's stream: an event loop
// that the test turns, a service, a hub, real connections over socket pairs, and FakeControl.
//
// Threading: everything on the test's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "fanout/hub.h"
#include "fanout/net/connection_group.h"
#include "fanout/service.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/policies.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_control.h"

namespace fanwire::fanout {

using Json = nlohmann::json;

// A client's end of a connection, which never blocks.
class PairClient {
 public:
  explicit PairClient(int fd) : fd_(fd) {}
  ~PairClient() { Close(); }
  PairClient(const PairClient&) = delete;
  PairClient& operator=(const PairClient&) = delete;

  // ---- what the client does

  void Say(absl::string_view text);
  void SayJson(const Json& message) { Say(message.dump()); }
  // {"type":"request","id":id,"event":…,"data":…}
  void Request(absl::string_view event, const Json& data, absl::string_view id = "r");
  void Subscribe(absl::string_view channel, const Json& more = Json::object());
  void Unsubscribe(absl::string_view channel) { Request("unsubscribe", {{"channel", channel}}); }
  void SendClose(uint16_t code);
  // The connection goes without a close frame.
  void Close();

  // While false, what comes stays with the kernel.
  bool reads = true;

  // Takes what has come; whether anything had.
  bool Pump();

  // ---- what it has got: messages, oldest first

  std::vector<Json> messages;
  std::optional<uint16_t> close_code;
  std::string close_reason;
  bool ended = false;

  // Takes out the oldest message; null if there is none.
  Json Next();
  // Forgets all messages.
  void Clear() { messages.clear(); }
  std::vector<Json> Named(absl::string_view event) const;
  // Offsets of the channel's publications, in the order in which they came.
  std::vector<int64_t> Offsets(absl::string_view channel) const;
  // Numbers of all publications, over all channels.
  std::vector<int64_t> Numbers() const;
  // Codes of the errors.
  std::vector<std::string> Errors() const;

  // Of the session; valid while it lives.
  Session* session = nullptr;
  std::string id;

 private:
  void Write(absl::string_view bytes);

  int fd_;
  std::string buffer_;
  bool upgraded_ = false;
};

// A clock that goes on by itself at each look.
class TickingClock final : public Clock {
 public:
  absl::Duration Now() const override { return now_ += step; }
  absl::Time WallNow() const override { return absl::UnixEpoch() + Now(); }

  absl::Duration step = absl::ZeroDuration();

 private:
  mutable absl::Duration now_ = absl::Seconds(1);
};

class SessionFixture : public ::testing::Test, public ConnectionHost {
 protected:
  SessionFixture();
  ~SessionFixture() override;

  // A good configuration; changed by Configure().
  static v1::WorkerService Defaults();
  void Configure(const std::function<void(v1::WorkerService*)>& change);

  // A client whose upgrade was taken; `Quiet()` has run.
  PairClient* Connect(SessionStart start = {});
  // The same, with the welcome read and checked.
  PairClient* Welcomed(SessionStart start = {});
  // The same, subscribed to `channel` and told so.
  PairClient* Subscribed(absl::string_view channel);
  // Has the client subscribe, control answer, and reads the confirmation.
  void SubscribeTo(PairClient* client, absl::string_view channel,
                   const Json& more = Json::object());

  // Runs turns until nothing happens any more.
  void Quiet();
  // Publishes, applies and runs to the end.
  int64_t Publish(absl::string_view channel, const FakePublication& publication = {});
  // Answers and applies until control has nothing left to do.
  void Settle();
  // Runs until the condition holds; false after 5 s.
  bool RunUntil(const std::function<bool()>& condition);

  Session* SessionOf(const PairClient* client) const { return service_->FindSession(client->id); }
  const ServiceCounts& counts() const { return service_->counts(); }
  int64_t dropped(DropReason reason) const { return counts().dropped[static_cast<size_t>(reason)]; }
  // Matched less all that it can have become: 0.
  int64_t LedgerError() const;

  // Bytes that the kernel takes of a client that does not read are about this.
  static constexpr int kSendBuffer = 8 << 10;

  EventLoop loop_;
  SendTable sockets_;
  FakeClock clock_;
  std::vector<std::pair<Track, bool>> reports_;  // true: final
  TrackTable tracks_;
  TickingClock slice_clock_;
  Hub hub_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<FakeControl> control_;
  SessionContext context_;
  std::unique_ptr<ConnectionGroup> group_;
  std::vector<std::unique_ptr<PairClient>> clients_;
  v1::WorkerService config_;

 private:
  ConnectionHandler* OnUpgrade(Connection* connection, const HttpRequest& request,
                               HttpResponse* refusal) override;
  bool OnHttpRequest(const HttpRequest&, HttpResponse*) override { return false; }

  // Runs a turn for all that is ready, and tells how many turns there were for it.
  int RunReady();

  EventLoop::HookId turn_hook_ = 0;
  int turns_ = 0;
  SessionStart start_;
  Session* made_ = nullptr;
};

}  // namespace fanwire::fanout
