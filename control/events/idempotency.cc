#include "control/events/idempotency.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "common/check.h"
#include "control/events/delivery_counts.h"

namespace fanwire::control {

namespace {

// Fewer keys than this in all are kept in one part, so that a small bound is exact.
constexpr uint32_t kSplitFrom = 1024;

}  // namespace

IdempotencyWindow::IdempotencyWindow(absl::Duration window, uint32_t max_keys)
    : window_(window),
      parts_in_use_(max_keys < kSplitFrom ? 1 : kMaxParts),
      max_keys_per_part_(std::max<size_t>(1, max_keys / parts_in_use_)) {}

IdempotencyWindow::Part& IdempotencyWindow::PartOf(absl::string_view key) {
  return parts_[absl::HashOf(key) % parts_in_use_];
}

IdempotencyWindow::Claim IdempotencyWindow::Begin(absl::string_view key, absl::Duration now,
                                                  const Waiter& waiter, PublishOutcome* outcome,
                                                  std::string* id) {
  Part& part = PartOf(key);
  MutexLock lock(&part.mu);
  ExpirePart(&part, now);
  const auto [it, fresh] = part.entries.try_emplace(std::string(key));
  if (fresh) return Claim::kNew;
  Entry& entry = it->second;
  if (!entry.settled) {
    entry.waiters.push_back(waiter);
    return Claim::kWaiting;
  }
  *id = entry.id;
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
  MutexLock lock(&part.mu);
  const auto it = part.entries.find(key);
  FANWIRE_CHECK(it != part.entries.end() && !it->second.settled, "a key settled twice");
  Entry& entry = it->second;
  entry.settled = true;
  entry.id = std::string(outcome.id);
  entry.position = outcome.position;
  entry.level = outcome.level;
  entry.timed_out = outcome.timed_out;
  entry.stages = outcome.stages;
  if (outcome.level != ReceiptLevel::kAccepted) {
    entry.delivery = std::make_unique<DeliveryCounts>(outcome.delivery);
  }
  std::vector<Waiter> waiters = std::exchange(entry.waiters, {});
  part.order.emplace_back(now, std::string(key));
  ExpirePart(&part, now);
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
  while (!part->order.empty() &&
         (part->order.front().first + window_ <= now || part->order.size() > max_keys_per_part_)) {
    part->entries.erase(part->order.front().second);
    part->order.pop_front();
  }
}

}  // namespace fanwire::control
