// The gRPC service that workers call.  Each worker has one Attach stream.  Its messages are passed
// to WorkerRegistry, Subscriptions and ReceiptTracker; its WorkerLink writes to it.
//
// Threading: safe from every thread; messages of one worker are handled in order on gRPC's callback
//            threads, without blocking.
// Ownership: borrows its arguments.
#pragma once

#include <memory>

#include "common/clock.h"
#include "control/links/worker_link.h"

namespace grpc {
class Service;
}

namespace fanwire::control {

class ReceiptTracker;
class Subscriptions;
class WorkerRegistry;

std::unique_ptr<grpc::Service> MakeWorkerService(const WorkerLink::Options& link_options,
                                                 Subscriptions* subscriptions,
                                                 ReceiptTracker* receipts, WorkerRegistry* registry,
                                                 const Clock* clock);

}  // namespace fanwire::control
