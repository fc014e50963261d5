// Routing holds the parts that a publication passes, wired as server.cc does, for tests and
// benchmarks.
//
// Ownership: borrows engine, clock, timers and states.
#pragma once

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/timer_queue.h"
#include "control/config/service_table.h"
#include "control/engine/engine.h"
#include "control/routing/channel_directory.h"
#include "control/routing/channel_feed.h"
#include "control/routing/channel_queries.h"
#include "control/routing/receipt_tracker.h"
#include "control/routing/router.h"
#include "control/routing/subscriptions.h"

namespace fanwire::control {

struct Routing {
  Routing(const Router::Options& options, Engine* engine, const Clock* clock, TimerQueue* timers,
          std::shared_ptr<const ServiceTable> services, StateSource* states = nullptr)
      : directory({}, engine, clock),
        receipts(clock, timers),
        subscriptions(Subscriptions::Make(&directory, &receipts, states, clock)),
        queries(ChannelQueries::Make(&directory, clock)),
        router(Router::Make(options, &directory, &receipts, engine, clock)),
        feed(&directory, &receipts, subscriptions.get(), clock) {
    directory.SetServices(std::move(services));
    engine->SetFeed(&feed);
  }

  // Of an engine that answers at once.
  absl::StatusOr<HistorySlice> ReadHistory(HistoryRequest request) {
    absl::StatusOr<HistorySlice> slice = absl::DeadlineExceededError("it was not read at once");
    queries->ReadHistory(std::move(request),
                         [&slice](absl::StatusOr<HistorySlice> read) { slice = std::move(read); });
    return slice;
  }

  ChannelDirectory directory;
  ReceiptTracker receipts;
  const std::unique_ptr<Subscriptions> subscriptions;
  const std::unique_ptr<ChannelQueries> queries;
  const std::unique_ptr<Router> router;
  ChannelFeed feed;
};

}  // namespace fanwire::control
