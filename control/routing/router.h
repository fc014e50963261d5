// Router accepts publications and queues them on the links of the workers that want them.
//
//   check -> idempotency -> engine append (origin and mirrors) -> links with interest -> receipt
//
// Every channel has a state (channel_state.h) in one of many shards.  Each shard has its own mutex,
// which is held for microseconds and never across I/O or a callback.  A publication is appended and
// queued in one critical section; this keeps the order of a channel from end to end.  Subscriptions
// answers subscribes under the same lock, so that the live events of a session follow the recovered
// ones without gap and without duplicate.
//
// Threading: safe from every thread.  Lock order: WorkerRegistry, then shards (of origins, then of
//            mirror targets, in ascending order), then PatternTable, then WorkerLink.
// Ownership: borrows directory, receipts, engine and clock.
// Cost:      PublishRun::Publish() is about a microsecond and one allocation per copy, plus a queue
//            entry per worker with interest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "control/events/event.h"
#include "control/routing/publication_observer.h"
#include "control/routing/publish_run.h"
#include "proto/policies.h"

namespace fanwire::control {

class ChannelDirectory;
class Engine;
class ReceiptTracker;

class Router {
 public:
  struct Options {
    absl::Duration max_receipt_wait = absl::Seconds(30);
  };

  // The result of Validate(): what publishing the event would do.
  struct Validation {
    std::vector<std::string> channels;  // the event's own, then those of its mirrors
    std::vector<std::string> warnings;
  };

  static std::unique_ptr<Router> Make(const Options& options, ChannelDirectory* directory,
                                      ReceiptTracker* receipts, Engine* engine, const Clock* clock);

  virtual ~Router() = default;

  // Begins a run of publications under the configuration in force.
  virtual std::unique_ptr<PublishRun> MakeRun() = 0;

  // Checks an event as PublishRun::Publish() does, and publishes nothing.  The errors are the same.
  virtual absl::StatusOr<Validation> Validate(const Event& event) = 0;

  // Counts the refusal of a whole message of events.  `service` may be empty or unknown.
  virtual void CountRefusal(absl::string_view service, const absl::Status& status) = 0;

  // Refuses every later publication with UNAVAILABLE.  Publications that have begun are finished.
  virtual void StopPublishing() = 0;

  // Sends `frame`, a complete WebSocket message, to the subscribers of a dialect's channel.  The
  // frame has no position and does not enter history.  Does nothing if no worker wants the channel.
  virtual void PublishFrame(absl::string_view service, Dialect dialect, absl::string_view channel,
                            absl::string_view frame) = 0;

  // Sends an event of Fanwire itself (presence.joined) to the subscribers of a channel of the
  // common protocol.  It has no position, does not enter history, and observers do not see it.
  // Does nothing if no worker wants the channel.  While the engine opens the channel, the notice
  // waits.
  struct Notice {
    absl::string_view service;
    absl::string_view channel;
    absl::string_view event;
    absl::string_view data;                // one JSON object
    absl::string_view exclude_connection;  // may be empty
    uint64_t conflate_key = 0;             // of a channel that keeps the newest only
  };
  virtual void PublishNotice(const Notice& notice) = 0;

  // `observer` must live until RemoveObserver() has returned.
  virtual void AddObserver(PublicationObserver* observer) = 0;
  virtual void RemoveObserver(PublicationObserver* observer) = 0;
};

}  // namespace fanwire::control
