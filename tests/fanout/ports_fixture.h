// PortsFixture is a worker without control's stream: services on real ports of this machine, and
// clients over TCP, all turned by the test.
//
// Threading: everything on the test's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fanout/hub.h"
#include "fanout/service_ports.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fanout/session_fixture.h"

namespace fanwire::fanout {

// Grants every subscribe in the next turn, without positions.
class GrantingUpstream : public Upstream {
 public:
  explicit GrantingUpstream(EventLoop* loop) : loop_(loop) {}

  void Want(Channel* channel) override { ++channel->interest; }
  void Unwant(Channel* channel) override {
    if (--channel->interest == 0) channel->service->ForgetIfIdle(channel);
  }
  void Want(PatternTable* table) override { ++table->interest; }
  void Unwant(PatternTable* table) override {
    if (--table->interest == 0) table->service->ForgetIfIdle(table);
  }
  uint64_t Ask(Session* session, const SubscribeAsk& /*ask*/) override {
    asked_[++last_] = session;
    loop_->Post([this, ask = last_] {
      const auto it = asked_.find(ask);
      if (it == asked_.end()) return;
      Session* const waiting = it->second;
      asked_.erase(it);
      waiting->OnSubscribeReply(ask, {});
    });
    return last_;
  }
  uint64_t Request(Session*, const RequestAsk&) override { return ++last_; }
  void Forget(uint64_t ask) override { asked_.erase(ask); }
  void WaitForSlot(Session* /*session*/) override {}
  void StopWaiting(Session* /*session*/) override {}
  void SlotsChanged(Service* /*service*/) override {}

 private:
  EventLoop* const loop_;
  std::map<uint64_t, Session*> asked_;
  uint64_t last_ = 0;
};

class PortsFixture : public ::testing::Test {
 protected:
  PortsFixture();
  ~PortsFixture() override;

  // One service on one port that the kernel chooses.
  static v1::WorkerConfig Config();
  // One more service on such a port.
  static v1::WorkerService* AddService(v1::WorkerConfig* config, const std::string& name);
  static v1::ListenerConfig* AddListener(v1::WorkerService* service, uint32_t port = 0);

  // Applies it and, if that went well, grants slots to every service.
  absl::Status Apply(const v1::WorkerConfig& config,
                     ServicePorts::Opening opening = ServicePorts::Opening::kAllOrNone);
  // Ports bound by the last Apply(), in the order of the configuration.
  std::vector<uint16_t> ports() const;

  // A connection to the port that says nothing by itself.
  PairClient* Dialled(uint16_t port);
  // A client of the port, upgraded; its session has said welcome.
  PairClient* Connect(uint16_t port, absl::string_view target = "/",
                      absl::string_view headers = "");
  // The same, subscribed.
  PairClient* Subscribed(uint16_t port, absl::string_view channel);
  // Whether anybody listens there.
  static bool Listens(uint16_t port);
  // All that the port answers to these bytes, up to the end of the connection.
  std::string Answer(uint16_t port, absl::string_view request);
  // The whole answer to "METHOD target".
  std::string Http(uint16_t port, absl::string_view target, absl::string_view method = "GET");

  // Runs until the condition holds; false after 5 s.
  bool RunUntil(const std::function<bool()>& condition);
  void RunFor(absl::Duration time);

  Service* service(absl::string_view name = "mahavishnu") { return ports_->Find(name); }

  EventLoop loop_;
  SendTable sockets_;
  FakeClock clock_;
  TrackTable tracks_;
  Hub hub_;
  GrantingUpstream upstream_;
  SessionContext context_;
  ServicePorts::Health health_;
  std::unique_ptr<ServicePorts> ports_;
  v1::ConfigAck ack_;  // of the last Apply()
  std::vector<std::unique_ptr<PairClient>> clients_;
};

}  // namespace fanwire::fanout
