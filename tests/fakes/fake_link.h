// FakeLink is a ControlLink without a stream: it keeps what the worker sends.
//
// Threading: the test's thread.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "fanout/control_link.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

class FakeLink final : public ControlLink {
 public:
  bool is_attached = true;
  std::vector<v1::WorkerItem> sent;
  absl::Duration heartbeat_interval;  // the last that was set

  // Takes out what was sent.
  std::vector<v1::WorkerItem> Take() { return std::exchange(sent, {}); }

  void Start() override {}
  void Stop(absl::Duration /*timeout*/, absl::AnyInvocable<void()> done) override { done(); }
  bool attached() const override { return is_attached; }
  void Send(std::unique_ptr<v1::WorkerItem> item) override {
    if (is_attached) sent.push_back(std::move(*item));
  }
  void SetHeartbeatInterval(absl::Duration interval) override { heartbeat_interval = interval; }
};

}  // namespace fanwire::fanout
