#include "fanout/publish_pacer.h"

#include <algorithm>
#include <utility>

namespace fanwire::fanout {

namespace {

// What waits for the rate is not tried more often than this.
constexpr absl::Duration kLeastWait = absl::Milliseconds(1);

}  // namespace

bool PublishPacer::TakeToken(const Rate& rate, absl::Duration now) {
  return rate.limit <= 0 || bucket_.Take(rate.limit, AtLeastOne(rate.burst), now);
}

PublishPacer::Slot* PublishPacer::FindSlot(const PublishAsk& event) {
  const auto it = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.event == event.event && slot.channel == event.channel;
  });
  return it == slots_.end() ? nullptr : &*it;
}

PublishPacer::Slot* PublishPacer::AddSlot(const PublishAsk& event, absl::Duration now) {
  std::erase_if(slots_,
                [now](const Slot& slot) { return !slot.waiting.has_value() && slot.due <= now; });
  if (slots_.size() >= kMaxSlots) return nullptr;
  slots_.push_back({.channel = event.channel,
                    .event = event.event,
                    .interval = absl::ZeroDuration(),
                    .due = now,
                    .waiting = std::nullopt});
  return &slots_.back();
}

bool PublishPacer::HasRoom(const Slot& slot, const Item& item) const {
  const size_t own = slot.waiting.has_value() ? slot.waiting->data.size() : 0;
  return waiting_bytes_ - own + item.data.size() <= kMaxWaitingBytes;
}

std::optional<PublishPacer::Item> PublishPacer::Wait(Slot* slot, Item item) {
  std::optional<Item> replaced = std::exchange(slot->waiting, std::move(item));
  if (replaced.has_value()) waiting_bytes_ -= replaced->data.size();
  waiting_bytes_ += slot->waiting->data.size();
  slot->seq = ++last_seq_;
  return replaced;
}

PublishPacer::Item PublishPacer::Take(Slot* slot, absl::Duration now) {
  Item item = *std::exchange(slot->waiting, std::nullopt);
  waiting_bytes_ -= item.data.size();
  slot->due = now + slot->interval;
  return item;
}

bool PublishPacer::SendWaiting(absl::string_view channel, uint64_t seq, const Rate& rate,
                               absl::Duration now, std::vector<Item>* send) {
  while (true) {
    Slot* first = nullptr;
    for (Slot& slot : slots_) {
      if (slot.waiting.has_value() && slot.seq < seq && slot.channel == channel &&
          (first == nullptr || slot.seq < first->seq)) {
        first = &slot;
      }
    }
    if (first == nullptr) return true;
    if (!TakeToken(rate, now)) return false;
    send->push_back(Take(first, now));
  }
}

PublishPacer::Outcome PublishPacer::Offer(Item item, absl::Duration interval, const Rate& rate,
                                          absl::Duration now) {
  Outcome outcome;
  Slot* slot = nullptr;
  if (interval > absl::ZeroDuration()) {
    slot = FindSlot(item.event);
    if (slot == nullptr) slot = AddSlot(item.event, now);
    if (slot != nullptr) {
      slot->interval = interval;
      if (!HasRoom(*slot, item)) {
        slot = nullptr;
      } else if (slot->waiting.has_value() || now < slot->due) {
        outcome.replaced = Wait(slot, std::move(item));
        return outcome;
      }
    }
  }
  if (SendWaiting(item.event.channel, last_seq_ + 1, rate, now, &outcome.send) &&
      TakeToken(rate, now)) {
    if (slot != nullptr) slot->due = now + interval;
    outcome.send.push_back(std::move(item));
  } else if (slot != nullptr) {
    slot->due = now + std::max(absl::Seconds(SecondsToNext(rate)), kLeastWait);
    Wait(slot, std::move(item));
  } else {
    outcome.refused = std::move(item);
  }
  return outcome;
}

std::vector<PublishPacer::Item> PublishPacer::TakeDue(const Rate& rate, absl::Duration now) {
  std::vector<Item> send;
  while (true) {
    Slot* first = nullptr;
    for (Slot& slot : slots_) {
      if (slot.waiting.has_value() && slot.due <= now &&
          (first == nullptr || slot.seq < first->seq)) {
        first = &slot;
      }
    }
    if (first == nullptr) return send;
    if (SendWaiting(first->channel, first->seq + 1, rate, now, &send)) continue;
    const absl::Duration next = now + std::max(absl::Seconds(SecondsToNext(rate)), kLeastWait);
    for (Slot& slot : slots_) {
      if (slot.waiting.has_value()) slot.due = std::max(slot.due, next);
    }
    return send;
  }
}

std::vector<PublishPacer::Item> PublishPacer::TakeAll() {
  std::erase_if(slots_, [](const Slot& slot) { return !slot.waiting.has_value(); });
  std::sort(slots_.begin(), slots_.end(),
            [](const Slot& a, const Slot& b) { return a.seq < b.seq; });
  std::vector<Item> all;
  for (Slot& slot : slots_) all.push_back(*std::move(slot.waiting));
  slots_.clear();
  waiting_bytes_ = 0;
  return all;
}

absl::Duration PublishPacer::deadline() const {
  absl::Duration first = absl::InfiniteDuration();
  for (const Slot& slot : slots_) {
    if (slot.waiting.has_value()) first = std::min(first, slot.due);
  }
  return first;
}

}  // namespace fanwire::fanout
