#include "control/event_records.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
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

using Key = IdempotencyWindow::Restored;
using Seq = PublisherLog::Restored;

struct Publisher {
  PublisherSeqs::Restored kept;
  absl::Duration used = -absl::InfiniteDuration();
};

// Keeps the `count` latest.
void KeepLatest(size_t count, std::vector<Key>* keys) {
  if (keys->size() <= count) return;
  std::nth_element(keys->begin(), keys->begin() + static_cast<std::ptrdiff_t>(count), keys->end(),
                   [](const Key& a, const Key& b) { return a.settled > b.settled; });
  keys->resize(count);
}
void KeepLatest(size_t count, std::vector<Seq>* seqs) {
  if (seqs->size() <= count) return;
  std::nth_element(seqs->begin(), seqs->begin() + static_cast<std::ptrdiff_t>(count), seqs->end(),
                   [](const Seq& a, const Seq& b) { return a.seq > b.seq; });
  seqs->resize(count);
}

// Collects publishers and their seqs, about twice as many as are remembered.
class Publishers {
 public:
  explicit Publishers(const EventRecordLimits& limits) : limits_(limits) {}

  void Add(const KeptRecord& record) {
    const EventRecord& event = record.event;
    Publisher& publisher = by_id_[event.publisher_id];
    publisher.used = std::max(publisher.used, record.received);
    std::vector<Seq>& seqs = publisher.kept.seqs;
    seqs.push_back({.seq = event.seq,
                    .fingerprint = event.seq_fingerprint,
                    .position = record.position,
                    .id = std::string(event.id)});
    ++count_;
    if (seqs.size() >= 2 * limits_.seqs) Trim(limits_.seqs, &publisher);
    if (by_id_.size() < 2 * limits_.publishers && count_ < 2 * limits_.all_seqs) return;
    std::vector<Publisher> latest = Take();
    const size_t each = std::max<size_t>(1, limits_.all_seqs / latest.size());
    for (Publisher& kept : latest) {
      count_ += kept.kept.seqs.size();
      Trim(each, &kept);
      const std::string id = kept.kept.id;
      by_id_[id] = std::move(kept);
    }
  }

  // Returns the publishers, the one that was unused for the longest time first.
  std::vector<Publisher> Take() {
    std::vector<Publisher> publishers;
    publishers.reserve(by_id_.size());
    for (auto& [id, publisher] : by_id_) {
      publisher.kept.id = id;
      publishers.push_back(std::move(publisher));
    }
    by_id_.clear();
    count_ = 0;
    std::sort(publishers.begin(), publishers.end(),
              [](const Publisher& a, const Publisher& b) { return a.used < b.used; });
    if (publishers.size() > limits_.publishers) {
      publishers.erase(publishers.begin(),
                       publishers.end() - static_cast<std::ptrdiff_t>(limits_.publishers));
    }
    return publishers;
  }

 private:
  void Trim(size_t count, Publisher* publisher) {
    count_ -= publisher->kept.seqs.size();
    KeepLatest(count, &publisher->kept.seqs);
    count_ += publisher->kept.seqs.size();
  }

  const EventRecordLimits limits_;
  absl::flat_hash_map<std::string, Publisher> by_id_;
  size_t count_ = 0;  // of seqs
};

}  // namespace

absl::Status RestoreEventRecords(Engine* engine, ChannelDirectory* directory,
                                 PublishService* publishers, const Clock* clock,
                                 const EventRecordLimits& limits) {
  absl::flat_hash_map<ServiceState*, std::vector<Key>> keys;
  Publishers found(limits);
  absl::Status status = engine->VisitRecords([&](const KeptRecord& record) {
    const EventRecord& event = record.event;
    if (!event.publisher_id.empty()) found.Add(record);
    if (event.idempotency_key.empty()) return;
    ServiceState* const service = directory->FindService(event.service);
    if (service == nullptr) return;
    std::vector<Key>& of_service = keys[service];
    of_service.push_back({.key = std::string(event.idempotency_key),
                          .fingerprint = event.fingerprint,
                          .channel = std::string(event.channel),
                          .id = std::string(event.id),
                          .position = record.position,
                          .settled = record.received});
    if (of_service.size() >= 2 * limits.keys) KeepLatest(limits.keys, &of_service);
  });
  if (!status.ok()) return status;

  const absl::Duration now = clock->Now();
  size_t restored_keys = 0;
  for (auto& [service, of_service] : keys) {
    KeepLatest(limits.keys, &of_service);
    std::sort(of_service.begin(), of_service.end(),
              [](const Key& a, const Key& b) { return a.settled < b.settled; });
    for (const Key& key : of_service) service->idempotency.Restore(key, now);
    restored_keys += of_service.size();
  }

  std::vector<PublisherSeqs::Restored> restored;
  for (Publisher& publisher : found.Take()) {
    std::vector<Seq>& seqs = publisher.kept.seqs;
    std::sort(seqs.begin(), seqs.end(), [](const Seq& a, const Seq& b) { return a.seq < b.seq; });
    // Of those further below the newest one the engine may have dropped some already.
    const uint64_t newest = seqs.back().seq;
    std::erase_if(seqs, [&](const Seq& seq) { return seq.seq + limits.seqs <= newest; });
    restored.push_back(std::move(publisher.kept));
  }
  publishers->Restore(restored);
  if (restored_keys > 0 || !restored.empty()) {
    LogInfo("engine.restored",
            {{"idempotency_keys", restored_keys}, {"publishers", restored.size()}});
  }
  return absl::OkStatus();
}

}  // namespace fanwire::control
