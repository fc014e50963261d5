// McpCall is one request of an MCP client from its arrival to its answer: it can be cancelled, and
// it can tell its progress.
//
// Threading: Cancel(), Stop() and EndEarly() from any thread.  The others belong to the thread that
//            runs the call; Progress() may also be called from a thread that it started.
// Ownership: borrows its clients while it runs.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/invocation.h"
#include "common/mutex.h"

namespace fanwire::cli {

class McpCall {
 public:
  struct Settings {
    size_t max_result_bytes = 0;  // the most JSON that a tool's object may have
    absl::Duration progress_interval;
  };

  // `progress_token` is JSON; empty: the client does not want to be told.  `tell_progress` sends
  // the params of a progress notification.
  McpCall(Settings settings, std::string progress_token,
          std::function<void(const std::string& params)> tell_progress);

  const Settings& settings() const { return settings_; }

  // Lends the call its clients until TakeClients().
  void LendClients(Clients clients);
  Clients TakeClients();
  AdminClient& admin() { return *clients_.admin; }
  PublishClient& publisher() { return *clients_.publish; }

  bool wants_progress() const { return !progress_token_.empty(); }
  // `done` only grows.  Tells nothing after the call was cancelled.
  void Progress(double done, std::optional<double> total, absl::string_view message);

  // Marks a call that only collects: when the client goes it ends with what it has.
  void SetCollects();

  // Ends the call without an answer: the client does not want it any more.
  void Cancel();
  // Ends the call; what comes of it is still answered.
  void Stop();
  // As Stop(), but only a call that collects.
  void EndEarly();

  bool cancelled() const;
  // Cancelled or stopped: its clients refuse every later call.
  bool ended() const;

 private:
  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Settings settings_;
  const std::string progress_token_;
  const std::function<void(const std::string& params)> tell_progress_;
  mutable Mutex mu_{LockRank::kStreams};  // a client's own mutex is taken under it
  Clients clients_;  // set and taken under mu_; used by the call's thread in between
  bool collects_ ABSL_GUARDED_BY(mu_) = false;
  bool end_early_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fanwire::cli
