#include "control/events/idempotency.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "common/check.h"
#include "control/events/delivery_counts.h"

namespace fanwire::control {

namespace {

constexpr size_t kUsualIdBytes = 36;  // of a UUID

}  // namespace

IdempotencyWindow::IdempotencyWindow(absl::Duration window, uint32_t max_keys)
    : window_(window), max_keys_(std::max<int64_t>(1, max_keys)) {}

IdempotencyWindow::Part& IdempotencyWindow::PartOf(absl::string_view key) {
  return parts_[PartIndex(absl::HashOf(key))];
}

IdempotencyWindow::Claim IdempotencyWindow::Begin(absl::string_view key, const Content& content,
                                                  absl::Duration now, const Waiter& waiter,
                                                  PublishOutcome* outcome, std::string* id,
                                                  std::string* earlier_channel) {
  Part& part = PartOf(key);
  MutexLock lock(&part.mu);
  ExpirePart(&part, now);
  const auto [it, fresh] = part.entries.try_emplace(std::string(key));
  Entry& entry = it->second;
  if (fresh) {
    entry.fingerprint = content.fingerprint;
    entry.channel_bytes = static_cast<uint32_t>(content.channel.size());
    entry.texts.reserve(content.channel.size() + kUsualIdBytes);
    entry.texts.assign(content.channel.data(), content.channel.size());
    return Claim::kNew;
  }
  if (entry.fingerprint != content.fingerprint) {
    earlier_channel->assign(entry.channel().data(), entry.channel().size());
    return Claim::kConflict;
  }
  if (!entry.settled) {
    entry.waiters.push_back(waiter);
    return Claim::kWaiting;
  }
  id->assign(entry.id().data(), entry.id().size());
  outcome->id = *id;
  outcome->position = entry.position;
  outcome->level = entry.level;
  outcome->timed_out = entry.timed_out;
  outcome->stages = entry.stages;
  if (entry.delivery != nullptr) outcome->delivery = *entry.delivery;
  outcome->duplicate = true;
  return Claim::kSettled;
}

std::vector<IdempotencyWindow::Waiter> IdempotencyWindow::Settle(absl::string_view key,
                                                                 const PublishOutcome& outcome,
                                                                 absl::Duration now) {
  Part& part = PartOf(key);
  std::vector<Waiter> waiters;
  {
    MutexLock lock(&part.mu);
    const auto it = part.entries.find(key);
    FANWIRE_CHECK(it != part.entries.end() && !it->second.settled, "a key settled twice");
    Entry& entry = it->second;
    entry.settled = true;
    entry.texts.append(outcome.id.data(), outcome.id.size());
    entry.position = outcome.position;
    entry.level = outcome.level;
    entry.timed_out = outcome.timed_out;
    entry.stages = outcome.stages;
    if (outcome.level != ReceiptLevel::kAccepted) {
      entry.delivery = std::make_unique<DeliveryCounts>(outcome.delivery);
    }
    waiters = std::exchange(entry.waiters, {});
    const uint64_t order = next_order_.fetch_add(1, std::memory_order_relaxed);
    part.settled.push_back({.order = order, .at = now, .key = std::string(key)});
    if (part.settled.size() == 1) part.oldest.store(order, std::memory_order_relaxed);
    settled_.fetch_add(1, std::memory_order_relaxed);
    ExpirePart(&part, now);
  }
  EvictOverflow(now);
  return waiters;
}

std::vector<IdempotencyWindow::Waiter> IdempotencyWindow::Release(absl::string_view key) {
  Part& part = PartOf(key);
  MutexLock lock(&part.mu);
  const auto it = part.entries.find(key);
  FANWIRE_CHECK(it != part.entries.end() && !it->second.settled, "a settled key released");
  std::vector<Waiter> waiters = std::move(it->second.waiters);
  part.entries.erase(it);
  return waiters;
}

void IdempotencyWindow::Restore(const Restored& kept, absl::Duration now) {
  if (kept.settled + window_ <= now) return;
  PublishOutcome outcome;
  std::string id, channel;
  if (Begin(kept.key, {.fingerprint = kept.fingerprint, .channel = kept.channel}, now, {}, &outcome,
            &id, &channel) != Claim::kNew) {
    return;
  }
  outcome.id = kept.id;
  outcome.position = kept.position;
  Settle(kept.key, outcome, kept.settled);
}

void IdempotencyWindow::Expire(absl::Duration now) {
  for (Part& part : parts_) {
    MutexLock lock(&part.mu);
    ExpirePart(&part, now);
  }
}

int64_t IdempotencyWindow::size() const {
  int64_t keys = 0;
  for (const Part& part : parts_) {
    MutexLock lock(&part.mu);
    keys += static_cast<int64_t>(part.entries.size());
  }
  return keys;
}

void IdempotencyWindow::ExpirePart(Part* part, absl::Duration now) {
  while (!part->settled.empty() && part->settled.front().at + window_ <= now) {
    settled_.fetch_sub(1, std::memory_order_relaxed);
    PopOldest(part);
  }
}

void IdempotencyWindow::PopOldest(Part* part) {
  part->entries.erase(part->settled.front().key);
  part->settled.pop_front();
  part->oldest.store(part->settled.empty() ? kNoKey : part->settled.front().order,
                     std::memory_order_relaxed);
}

void IdempotencyWindow::EvictOverflow(absl::Duration now) {
  while (settled_.load(std::memory_order_relaxed) > max_keys_) {
    Part* oldest_part = nullptr;
    uint64_t oldest = kNoKey;
    for (Part& part : parts_) {
      const uint64_t order = part.oldest.load(std::memory_order_relaxed);
      if (order >= oldest) continue;
      oldest = order;
      oldest_part = &part;
    }
    if (oldest_part == nullptr) return;  // others are forgetting them
    MutexLock lock(&oldest_part->mu);
    if (oldest_part->settled.empty()) continue;
    // Others may evict from other parts at the same time: each takes its key off the count first,
    // so that together they forget no more than is too many.
    int64_t settled = settled_.load(std::memory_order_relaxed);
    while (settled > max_keys_ &&
           !settled_.compare_exchange_weak(settled, settled - 1, std::memory_order_relaxed)) {
    }
    if (settled <= max_keys_) return;
    // A key whose time is over would have been forgotten with the next look at its part.
    const bool in_time = oldest_part->settled.front().at + window_ > now;
    PopOldest(oldest_part);
    if (in_time) evicted_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace fanwire::control
