// QueryAllWorkers asks all attached workers and succeeds only if all of them answer, because a sum
// over some of the workers would be wrong.
//
// If a worker detaches before it has answered, the query is repeated once, with the workers that
// are attached by then.  A worker that is still away cannot be asked.  Then workers_answered is
// less than workers_total in the result, and the caller must tell its own caller.
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

// Calls `done` with the answers of all attached workers, which may be none.  Errors:
//   UNAVAILABLE  "1 of 2 workers did not answer within 2s"
void QueryAllWorkers(WorkerRegistry* registry, const v1::Query& query,
                     std::function<void(absl::StatusOr<QueryResult>)> done);

}  // namespace fanwire::control
