// Router takes publications in and puts them on the queues of the workers that want them.
//
//   publish    check -> idempotency -> engine append (origin and mirrors) -> links with interest
//              -> receipt
//   subscribe  answered from the same channel state, so that what a session recovers and what it
//              then gets live meet without gap and without duplicate
//
// Every channel has a state (channel_state.h) in one of many shards, each with its own mutex, held
// for microseconds and never across I/O or a callback.  Appending and queueing happen in one
// critical section, which is what keeps the order of a channel from end to end.
//
// Threading: safe from every thread.  Lock order: WorkerRegistry, then shards (of origins, then of
//            mirror targets, in ascending order), then PatternTable, then WorkerLink.
// Ownership: borrows engine and clock; shares the service table's snapshots and the links.
// Cost:      Publish() is about a microsecond and one allocation per copy, plus a queue entry per
//            worker with interest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "control/engine/engine.h"
#include "control/events/event.h"
#include "control/events/publication.h"
#include "control/links/subscribe.h"
#include "control/routing/channel_info.h"
#include "control/routing/delivery_report.h"
#include "control/routing/interest_view.h"
#include "control/routing/publication_observer.h"
#include "control/routing/publish_counts.h"
#include "control/routing/router_options.h"
#include "proto/policies.h"

namespace fanwire {
class TimerQueue;
}  // namespace fanwire

namespace fanwire::control {

class LinkOwner;
class PublishScratch;
class ServiceTable;
class WorkerLink;

class Router {
 public:
  // What an operator's or publisher's question would do, without doing it.
  struct Validation {
    std::vector<std::string> channels;  // its own, then mirrors
    std::vector<std::string> warnings;
  };

  static std::unique_ptr<Router> Make(RouterOptions options, Engine* engine, const Clock* clock,
                                      TimerQueue* timers,
                                      std::shared_ptr<const ServiceTable> services);

  virtual ~Router() = default;

  // ------------------------------------------------------------------ publishing (see PublishRun)

  // As Publish would; same errors.
  virtual absl::StatusOr<Validation> Validate(const Event& event) = 0;

  // From now on every publication is refused with UNAVAILABLE; those under way are finished.
  virtual void StopPublishing() = 0;

  // Sends `frame`, a complete WebSocket message, to the subscribers of a dialect's channel.  It has
  // no position and is kept nowhere.  Does nothing if nobody wants it.
  virtual void PublishFrame(absl::string_view service, Dialect dialect, absl::string_view channel,
                            absl::string_view frame) = 0;

  // Channels of this dialect that some worker wants by their exact name.
  virtual std::vector<std::string> InterestedChannels(absl::string_view service,
                                                      Dialect dialect) = 0;

  // ------------------------------------------------------------------ workers' interest

  virtual void AddInterest(const std::shared_ptr<WorkerLink>& link,
                           const InterestView& interest) = 0;
  virtual void RemoveInterest(const std::shared_ptr<WorkerLink>& link,
                              const InterestView& interest) = 0;
  // Forgets all interest of the link: it is gone.
  virtual void ClearInterest(const std::shared_ptr<WorkerLink>& link) = 0;
  // A snapshot of all the link's interest begins and ends.  In between nothing is sent on channels:
  // what the worker missed comes before what is live.
  virtual void BeginSnapshot(const std::shared_ptr<WorkerLink>& link) = 0;
  virtual void EndSnapshot(const std::shared_ptr<WorkerLink>& link) = 0;

  // Whom the links call.
  virtual LinkOwner* link_owner() = 0;

  // The worker has applied `position` of the channel and has subscribers: queues what it missed, or
  // a ChannelGap.  An epoch that is not the channel's is "epoch_changed".
  virtual void Resume(const std::shared_ptr<WorkerLink>& link, absl::string_view service,
                      absl::string_view channel, absl::string_view epoch, int64_t offset) = 0;

  // Queues the answer on the link, now or when the channel is repaired and the queue has room.
  virtual void Subscribe(const std::shared_ptr<WorkerLink>& link, SubscribeRequest request) = 0;

  // Continues what waits for room in the link's queue: repairs, then subscribes.
  virtual void Repair(const std::shared_ptr<WorkerLink>& link) = 0;

  // ------------------------------------------------------------------ receipts

  virtual void OnReport(uint64_t link_id, const DeliveryReport& report) = 0;
  // The worker's attachment ended: receipts do not wait for it any longer.
  virtual void WorkerGone(uint64_t link_id) = 0;

  // ------------------------------------------------------------------ questions

  // Channels with state, in no order.  An empty service or pattern means all.
  //   INVALID_ARGUMENT  malformed pattern
  virtual absl::StatusOr<std::vector<ChannelSummary>> ListChannels(absl::string_view service,
                                                                   absl::string_view pattern) = 0;
  //   NOT_FOUND  it has no state
  virtual absl::StatusOr<ChannelSummary> GetChannel(absl::string_view service,
                                                    absl::string_view channel) = 0;
  //   NOT_FOUND         no such service
  //   INVALID_ARGUMENT  malformed name
  // A channel without state has an empty history and a head without epoch.
  virtual absl::StatusOr<HistorySlice> ReadHistory(const HistoryRequest& request) = 0;

  // Of a service; all 0 if nothing was ever published to it.
  virtual PublishCounts Counts(absl::string_view service) = 0;

  // ------------------------------------------------------------------ the rest

  // `observer` must stay until RemoveObserver() has returned.
  virtual void AddObserver(PublicationObserver* observer) = 0;
  virtual void RemoveObserver(PublicationObserver* observer) = 0;

  // Puts another configuration in force; channels take their new rules when they are next used.
  virtual void SetServices(std::shared_ptr<const ServiceTable> services) = 0;

  // Housekeeping, once a second: trims history by age, forgets idle channels and idempotency keys.
  virtual void Sweep() = 0;

 private:
  friend class PublishRun;

  virtual std::unique_ptr<PublishScratch> MakeScratch() = 0;
  virtual void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink,
                       uint64_t tag, PublishScratch* scratch) = 0;
};

// Publishes one event, or several of one caller in their order: looks the configuration up once and
// wakes each worker's writer once.
//
//   PublishRun run(router);
//   run.Publish(event, {ReceiptLevel::kRouted}, &sink, 0);
//
// Threading: of the thread that made it.
class PublishRun {
 public:
  explicit PublishRun(Router* router);
  ~PublishRun();  // flushes
  PublishRun(const PublishRun&) = delete;
  PublishRun& operator=(const PublishRun&) = delete;

  // The outcome goes to `sink`:
  //   INVALID_ARGUMENT    bad channel or event name, data that is no JSON object or too long, or
  //                       what the catalog does not allow
  //   NOT_FOUND           no such service
  //   RESOURCE_EXHAUSTED  the service's channels are at their limit
  //   UNAVAILABLE         control is stopping, or the engine cannot take it
  void Publish(const Event& event, const PublishParams& params, ReceiptSink* sink, uint64_t tag);

  // Says that something else was done since the last publication: it is none of the next one's
  // time.
  void Interrupted();

  // Lets workers have what was published so far.
  void Flush();

 private:
  Router* const router_;
  std::unique_ptr<PublishScratch> scratch_;
};

}  // namespace fanwire::control
