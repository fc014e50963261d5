// ChannelFeed routes what other controls have published, as the engine that they share tells it.
//
// Threading: as EngineFeed says.  Lock order as Router's.
// Ownership: borrows directory, tracker, links' owner and clock.
#pragma once

#include <memory>

#include "common/clock.h"
#include "common/log.h"
#include "control/engine/engine.h"
#include "control/links/worker_link.h"
#include "control/routing/fan_out.h"

namespace fanwire::control {

class ChannelDirectory;
class ReceiptTracker;

class ChannelFeed final : public EngineFeed {
 public:
  // `owner` repairs links, as when they have room again.
  ChannelFeed(ChannelDirectory* directory, ReceiptTracker* tracker, LinkOwner* owner,
              const Clock* clock)
      : directory_(directory), owner_(owner), clock_(clock), fan_out_(directory, tracker) {}

  void OnPublication(const FedPublication& fed) override;
  void OnMissed(absl::string_view service, absl::string_view channel) override;
  void OnEpochChanged(absl::string_view service, absl::string_view channel) override;
  void OnUnopened(absl::string_view service, absl::string_view channel) override;

 private:
  // Calls `change` with the state of the channel, its shard locked, then repairs its links.  Does
  // nothing if there is no state.
  void Change(absl::string_view service, absl::string_view channel,
              absl::FunctionRef<void(const std::shared_ptr<ChannelState>&)> change);

  ChannelDirectory* const directory_;
  LinkOwner* const owner_;
  const Clock* const clock_;
  FanOut fan_out_;
  LogLimiter refused_{absl::Minutes(1)};
};

}  // namespace fanwire::control
