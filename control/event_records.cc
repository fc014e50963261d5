#include "control/event_records.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/log.h"
#include "control/engine/engine.h"
#include "control/events/idempotency.h"
#include "control/publish/publish_service.h"
#include "control/routing/channel_directory.h"

namespace fanwire::control {

namespace {

struct Key {
  ServiceState* service = nullptr;
  IdempotencyWindow::Restored kept;
};

struct Publisher {
  std::string id;
  absl::Duration used = -absl::InfiniteDuration();
  std::vector<PublisherLog::Restored> seqs;
};

}  // namespace

absl::Status RestoreEventRecords(Engine* engine, ChannelDirectory* directory,
                                 PublishService* publishers, const Clock* clock) {
  std::vector<Key> keys;
  absl::flat_hash_map<std::string, Publisher> by_id;
  absl::Status status = engine->VisitRecords([&](const KeptRecord& record) {
    const EventRecord& event = record.event;
    if (!event.publisher_id.empty()) {
      Publisher& publisher = by_id[event.publisher_id];
      publisher.used = std::max(publisher.used, record.received);
      publisher.seqs.push_back({.seq = event.seq,
                                .fingerprint = event.seq_fingerprint,
                                .position = record.position,
                                .id = std::string(event.id)});
    }
    if (event.idempotency_key.empty()) return;
    ServiceState* const service = directory->FindService(event.service);
    if (service == nullptr) return;
    keys.push_back({.service = service,
                    .kept = {.key = std::string(event.idempotency_key),
                             .fingerprint = event.fingerprint,
                             .channel = std::string(event.channel),
                             .id = std::string(event.id),
                             .position = record.position,
                             .settled = record.received}});
  });
  if (!status.ok()) return status;

  std::sort(keys.begin(), keys.end(),
            [](const Key& a, const Key& b) { return a.kept.settled < b.kept.settled; });
  const absl::Duration now = clock->Now();
  for (const Key& key : keys) key.service->idempotency.Restore(key.kept, now);

  std::vector<Publisher> least_used_first;
  least_used_first.reserve(by_id.size());
  for (auto& [id, publisher] : by_id) {
    publisher.id = id;
    least_used_first.push_back(std::move(publisher));
  }
  std::sort(least_used_first.begin(), least_used_first.end(),
            [](const Publisher& a, const Publisher& b) { return a.used < b.used; });
  for (Publisher& publisher : least_used_first) {
    std::sort(publisher.seqs.begin(), publisher.seqs.end(),
              [](const auto& a, const auto& b) { return a.seq < b.seq; });
    publishers->Restore(publisher.id, publisher.seqs);
  }
  if (!keys.empty() || !by_id.empty()) {
    LogInfo("engine.restored", {{"idempotency_keys", keys.size()}, {"publishers", by_id.size()}});
  }
  return absl::OkStatus();
}

}  // namespace fanwire::control
