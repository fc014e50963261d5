#include "fanout/net/timer_wheel.h"

#include <algorithm>

namespace fanwire::fanout {

TimerWheel::~TimerWheel() {
  for (Deadline* first : slots_) {
    while (first != nullptr) {
      Deadline* next = first->next_;
      first->previous_ = nullptr;
      first = next;
    }
  }
}

void TimerWheel::Link(Deadline* deadline, Deadline** list) {
  deadline->next_ = *list;
  if (*list != nullptr) (*list)->previous_ = &deadline->next_;
  *list = deadline;
  deadline->previous_ = list;
}

void TimerWheel::Add(Deadline* deadline, uint64_t tick) {
  deadline->Disarm();
  deadline->tick_ = std::max(tick, now_ + 1);
  Link(deadline, &slots_[deadline->tick_ % kSlots]);
}

void TimerWheel::Advance(uint64_t tick) {
  if (tick <= now_) return;
  const uint64_t first = now_ + 1;
  const uint64_t last = std::min(tick, now_ + kSlots);  // one round meets every slot
  now_ = tick;
  for (uint64_t slot = first; slot <= last; ++slot) {
    // The due ones move to a list of their own first: what fires may arm, disarm or destroy any
    // other, and each finds its way out of whichever list it is in.
    Deadline* due = nullptr;
    for (Deadline* deadline = slots_[slot % kSlots]; deadline != nullptr;) {
      Deadline* next = deadline->next_;
      if (deadline->tick_ <= tick) {
        deadline->Disarm();
        Link(deadline, &due);
      }
      deadline = next;
    }
    while (due != nullptr) {
      Deadline* deadline = due;
      deadline->Disarm();
      deadline->OnDeadline();
    }
  }
}

uint64_t TimerWheel::NextTick() const {
  for (uint64_t tick = now_ + 1; tick <= now_ + kSlots; ++tick) {
    if (slots_[tick % kSlots] != nullptr) return tick;
  }
  return kNever;
}

}  // namespace fanwire::fanout
