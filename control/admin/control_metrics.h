// The metrics of the control process.
//
// Threading: called on the scraping thread; the parts are safe from every thread.
#pragma once

#include <functional>
#include <memory>

#include "common/metrics.h"

namespace fanwire::control {

class ChannelQueries;
class Engine;
class Ledger;
class Presence;
class RequestDispatcher;
class StatusRequests;
class ServiceTable;
class TailHub;
class WorkerRegistry;

struct MetricsParts {
  ChannelQueries* queries = nullptr;
  WorkerRegistry* registry = nullptr;
  const Ledger* ledger = nullptr;
  const Engine* engine = nullptr;
  const TailHub* tail = nullptr;
  const StatusRequests* retained = nullptr;
  const RequestDispatcher* dispatcher = nullptr;
  const Presence* presence = nullptr;
  std::function<std::shared_ptr<const ServiceTable>()> services;
};

void CollectControl(const MetricsParts& parts, MetricSink& sink);

}  // namespace fanwire::control
