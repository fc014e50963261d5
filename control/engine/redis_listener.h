// RedisListener is the thread of the redis engine that hears what other controls append, and hands
// it to the FeedSequencer.
//
// If the connection is lost, it connects and subscribes again, and lets the sequencer look for what
// was missed meanwhile.  A server that does not answer within the response timeout is lost too.
//
// Threading: safe from every thread.
// Ownership: borrows sequencer and clock.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/engine/feed_sequencer.h"
#include "control/engine/redis_connection.h"
#include "control/engine/redis_options.h"

namespace fanwire::control {

class RedisListener {
 public:
  // What the node itself has appended is not handed on.
  RedisListener(const RedisOptions& options, std::string node, FeedSequencer* sequencer,
                const Clock* clock);
  ~RedisListener();
  RedisListener(const RedisListener&) = delete;
  RedisListener& operator=(const RedisListener&) = delete;

  // Subscribes, and begins to listen.
  absl::Status Start();
  void Stop();

  absl::Status Health() const;

 private:
  absl::Status Subscribe();
  void Run();
  void Take(const std::vector<RedisConnection::Answer>& answers);
  bool stopped() const;

  const RedisOptions options_;
  const std::string node_;
  FeedSequencer* const sequencer_;
  const Clock* const clock_;
  RedisConnection connection_;
  std::thread thread_;

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
