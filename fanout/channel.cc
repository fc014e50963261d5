#include "fanout/channel.h"

#include "common/check.h"
#include "fanout/session.h"

namespace fanwire::fanout {

uint32_t SubscriberTable::Add(const Subscriber& subscriber) {
  entries_.push_back(subscriber);
  return static_cast<uint32_t>(entries_.size() - 1);
}

void SubscriberTable::Remove(uint32_t index) {
  FANWIRE_CHECK(index < entries_.size() && entries_[index].session != nullptr);
  if (walks_ > 0) {
    entries_[index] = Subscriber();
    ++holes_;
    return;
  }
  MoveLastTo(index);
}

void SubscriberTable::MoveLastTo(uint32_t index) {
  if (index + 1 < entries_.size()) {
    entries_[index] = entries_.back();
    entries_[index].session->OnSubscriberMoved(entries_[index].subscription, index);
  }
  entries_.pop_back();
  // A table that was large for a while gives its memory back.
  if (entries_.capacity() > 64 && entries_.size() < entries_.capacity() / 4) {
    entries_.shrink_to_fit();
  }
}

void SubscriberTable::EndWalk() {
  if (--walks_ > 0 || holes_ == 0) return;
  for (size_t i = 0; i < entries_.size();) {
    if (entries_[i].session != nullptr) {
      ++i;
      continue;
    }
    while (!entries_.empty() && entries_.back().session == nullptr) entries_.pop_back();
    if (i < entries_.size()) MoveLastTo(static_cast<uint32_t>(i));
  }
  holes_ = 0;
}

}  // namespace fanwire::fanout
