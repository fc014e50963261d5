// Presence tells who is on the channels that the configuration tracks (`presence` of a service): it
// takes the workers' reports, keeps the members in a PresenceStore, tells the channels' subscribers
// of members that come and go, and answers the clients' request `presence`.
//
// What members cause is sent in the order in which the store changed, after its mutex is released.
// A report of an attachment whose end is known is ignored.
//
// Threading: safe from every thread.  Events are sent on the thread that brought the change, or on
//            one that is sending already.
// Ownership: owns the store; borrows router and clock.
// Cost:      for each change some map lookups, and a routed event where the configuration says so.
//            Memory is bounded by the sessions that workers may have and the channels that each may
//            subscribe to.
// Source:    docs/protocol.md "Presence"
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/outbox.h"
#include "control/events/event.h"
#include "control/requests/presence_store.h"
#include "control/workers/presence_handler.h"
#include "control/workers/worker_registry.h"

namespace fanwire::control {

class PublishRun;
class Router;
class ServiceTable;

class Presence final : public PresenceHandler, public ClientRequestHandler {
 public:
  // `grace`: how long the members of a lost worker stay.
  Presence(std::unique_ptr<PresenceStore> store, Router* router, const Clock* clock,
           std::shared_ptr<const ServiceTable> services, absl::Duration grace);
  ~Presence() override;

  // Puts another configuration in force.  It does not hold for what is away already.
  void SetServices(std::shared_ptr<const ServiceTable> services, absl::Duration grace);

  // ---- PresenceHandler

  void OnPresence(const WorkerProcess& process, uint64_t link,
                  const v1::PresenceUpdate& update) override;
  void LinkGone(uint64_t link) override;

  // ---- ClientRequestHandler: `presence`

  // Replies with {channel, members, total}, and with `more: true` if there are more connections
  // than presence_max_members or than a message can hold.  The worker has checked that the session
  // may subscribe to the channel.  Errors:
  //   INVALID_CHANNEL  channel is missing, is not a text, or is not the name of one channel
  //   INVALID_REQUEST  the channel's members are not tracked
  void Handle(const v1::ClientRequest& request, Reply reply) override;

  // Removes members whose time to return is over.  Call it several times a second.
  void Tick();

  // Returns a page of a channel's connections.
  //   NOT_FOUND            no such service
  //   INVALID_ARGUMENT     not the name of one channel
  //   FAILED_PRECONDITION  the channel's members are not tracked; the message says what to do
  absl::StatusOr<PresencePage> List(absl::string_view service, absl::string_view channel,
                                    const PresencePlace& place, size_t limit) const;

  PresenceCounts Counts(absl::string_view service) const;

 private:
  // Logs what could not be published.
  class FailureLog final : public ReceiptSink {
   public:
    void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override;
  };

  // Has the events sent when mu_ is released.
  void SendLater(PresenceEvents events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Send(const PresenceEvents& events, const ServiceTable& services);

  Router* const router_;
  const Clock* const clock_;
  FailureLog failures_;
  Outbox outbox_;

  mutable Mutex mu_{LockRank::kRegistry};
  const std::unique_ptr<PresenceStore> store_ ABSL_PT_GUARDED_BY(mu_);
  // The attachments whose snapshot has begun.
  absl::flat_hash_map<uint64_t, WorkerProcess> links_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ServiceTable> services_ ABSL_GUARDED_BY(mu_);
  absl::Duration grace_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
