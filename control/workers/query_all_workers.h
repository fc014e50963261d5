// QueryAllWorkers asks all attached workers and insists on hearing all of them: sums over some of
// the workers are no true numbers.
//
// A worker that went away, or was noticed to be dead, while it was asked leaves the question open:
// it is asked once more, of those that are attached then.
//
// Threading: safe from every thread; `done` runs once, on any thread, without locks.
// Ownership: borrows the registry until `done` has run.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fanwire::v1 {
class Query;
}  // namespace fanwire::v1

namespace fanwire::control {

class WorkerRegistry;
struct QueryResult;

// How long each of the two questions may take.
inline constexpr absl::Duration kQueryTimeout = absl::Seconds(2);

//   UNAVAILABLE  "1 of 2 workers did not answer within 2s"
// Without any worker the result is empty.
void QueryAllWorkers(WorkerRegistry* registry, const v1::Query& query,
                     std::function<void(absl::StatusOr<QueryResult>)> done);

}  // namespace fanwire::control
