// RedisWriter is the thread of the redis engine that appends: it takes everything that waits at
// once, sends it as one script, and hands the answers to the FeedSequencer.
//
// If the server cannot be reached, what waits is refused, and what comes after it, until a try to
// connect succeeds.  What was sent and not answered is refused too, although the server may have
// kept it; then it is told as if another control had published it.
//
// Threading: safe from every thread.
// Ownership: borrows the sequencer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/mutex.h"
#include "control/engine/engine.h"
#include "control/engine/feed_sequencer.h"
#include "control/engine/redis_options.h"
#include "control/engine/redis_session.h"

namespace fanwire::control {

class RedisWriter {
 public:
  // `node` is this control's name in messages.
  RedisWriter(const RedisOptions& options, std::string node, FeedSequencer* sequencer);
  ~RedisWriter();
  RedisWriter(const RedisWriter&) = delete;
  RedisWriter& operator=(const RedisWriter&) = delete;

  void Start();
  // Sends what waits, and ends the thread.
  void Stop();

  AppendOutcome Append(std::vector<OwnAppend::Item> items, absl::Duration now,
                       absl::FunctionRef<EngineCallback()> make_done);

  absl::Status Health() const;
  int64_t waiting_publications() const;
  // When the oldest append that waits was made; InfiniteDuration if none waits.
  absl::Duration waiting_since() const;

 private:
  struct Task {
    OwnAppendPtr append;  // without `done`: nobody waits for it
    size_t bytes = 0;
    absl::Duration since = {};
  };

  void Run();
  void Send(absl::Span<const Task> tasks);
  // `status` ends the tasks, which had no answer.
  void Fail(absl::Span<const Task> tasks, const absl::Status& status);

  const RedisOptions options_;
  const std::string node_;
  FeedSequencer* const sequencer_;
  RedisSession session_;
  std::thread thread_;

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mu_);
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;        // publications, those being sent too
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of them
  absl::Duration sending_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  absl::Status failure_ ABSL_GUARDED_BY(mu_);

  absl::Duration next_try_ = {};  // of Clock::Real(); only touched by the thread
};

}  // namespace fanwire::control
