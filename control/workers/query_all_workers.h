// QueryAllWorkers asks all attached workers and succeeds only if all of them answer, because a sum
// over some of the workers would be wrong.
//
// If a worker detaches while it is asked, the query is repeated once, with the workers that are
// attached then.  A worker that is still absent then cannot be asked: the result says so by
// workers_answered, which is less than workers_total, and the caller must pass that on.
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

// How long each of the two attempts may take.
inline constexpr absl::Duration kQueryTimeout = absl::Seconds(2);

// Calls `done` with all answers; without any attached worker there are none.  Errors:
//   UNAVAILABLE  "1 of 2 workers did not answer within 2s"
void QueryAllWorkers(WorkerRegistry* registry, const v1::Query& query,
                     std::function<void(absl::StatusOr<QueryResult>)> done);

}  // namespace fanwire::control
