#include "control/workers/query_all_workers.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

using Done = std::function<void(absl::StatusOr<QueryResult>)>;

void Ask(WorkerRegistry* registry, std::shared_ptr<const v1::Query> query, int tries, Done done) {
  const v1::Query& asked = *query;
  registry->QueryAll(
      asked, kQueryTimeout,
      [registry, query = std::move(query), tries, done = std::move(done)](QueryResult result) {
        if (result.workers_answered >= result.workers_asked) return done(std::move(result));
        if (tries > 1) return Ask(registry, query, tries - 1, done);
        done(absl::UnavailableError(absl::StrCat(
            result.workers_asked - result.workers_answered, " of ", result.workers_asked,
            " workers did not answer within ", absl::FormatDuration(kQueryTimeout))));
      });
}

}  // namespace

void QueryAllWorkers(WorkerRegistry* registry, const v1::Query& query, Done done) {
  Ask(registry, std::make_shared<v1::Query>(query), /*tries=*/2, std::move(done));
}

}  // namespace fanwire::control
