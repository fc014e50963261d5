// FakeResponder is a responder's stream that keeps what it is to send, and sends nothing before
// Flush().
//
// Threading: the test's thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "control/requests/responder_pool.h"
#include "fanwire/v1/publish.pb.h"
#include "gtest/gtest.h"

namespace fanwire::control {

class FakeResponder final : public Responder {
 public:
  void QueueWelcome(uint32_t max_concurrent) override { welcome = max_concurrent; }
  void QueueRequest(v1::IncomingRequest request) override {
    EXPECT_GT(welcome, 0u) << "a request before the welcome";
    queued_.push_back(std::move(request));
  }
  void QueueCancel(uint64_t request_id) override { cancelled.push_back(request_id); }
  void QueueRefusal(uint64_t request_id, const absl::Status& fault) override {
    refused.emplace_back(request_id, fault);
  }
  void QueueGoAway(const std::string& reason) override { go_away = reason; }
  void QueueEnd() override { ended_ = true; }
  void Flush() override {
    for (v1::IncomingRequest& request : queued_) requests.push_back(std::move(request));
    queued_.clear();
    ended = ended_;
  }

  // The id of the oldest request that was not taken yet.
  uint64_t Take() {
    if (requests.empty()) {
      ADD_FAILURE() << "it has no request";
      return 0;
    }
    const uint64_t id = requests.front().request_id();
    requests.erase(requests.begin());
    return id;
  }

  uint32_t welcome = 0;
  std::vector<v1::IncomingRequest> requests;  // sent
  std::vector<uint64_t> cancelled;
  std::vector<std::pair<uint64_t, absl::Status>> refused;
  std::string go_away;
  bool ended = false;

 private:
  std::vector<v1::IncomingRequest> queued_;
  bool ended_ = false;
};

}  // namespace fanwire::control
