// TimerWheel keeps the deadlines of an EventLoop in 512 lists, one for each tick of the near
// future, so that ten thousand sessions with a deadline each cost ten thousand links and no timer.
// A Deadline is such a link, inside its owner; EventLoop::Arm() arms it.
//
// Threading: loop-confined; only EventLoop uses the wheel itself.
// Ownership: borrows deadlines.
// Cost:      Add() O(1); Advance() O(ticks passed + deadlines in their slots); 4 kB a wheel, 32
//            bytes a deadline.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace fanwire::fanout {

// A coarse deadline inside its owner, without a timer object of its own: it fires not before its
// time and up to one tick after it.  Destroying it disarms it.
class Deadline {
 public:
  Deadline() = default;
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  bool armed() const { return previous_ != nullptr; }

 protected:
  ~Deadline() { Disarm(); }

  // Called when the time has come; the deadline is disarmed by then.  May arm it again, and destroy
  // anything.
  virtual void OnDeadline() = 0;

  void Disarm() {
    if (previous_ == nullptr) return;
    *previous_ = next_;
    if (next_ != nullptr) next_->previous_ = previous_;
    previous_ = nullptr;
  }

 private:
  friend class TimerWheel;

  Deadline** previous_ = nullptr;  // the pointer that points here; null when disarmed
  Deadline* next_ = nullptr;
  uint64_t tick_ = 0;
};

class TimerWheel {
 public:
  static constexpr uint64_t kNever = ~uint64_t{0};

  TimerWheel() = default;
  ~TimerWheel();  // disarms what is left
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Arms `deadline` for `tick`, but for the tick after the last Advance() at the earliest.  Moves a
  // deadline that is armed.
  void Add(Deadline* deadline, uint64_t tick);

  // Fires every deadline due up to and including `tick`, earliest first.
  void Advance(uint64_t tick);

  // The tick that an armed `deadline` is set to.
  static uint64_t TickOf(const Deadline& deadline) { return deadline.tick_; }

  // The tick by which Advance() must be called next: that of the nearest slot in use, or kNever.
  // May be too early for a deadline that is further away than one turn of the wheel.
  uint64_t NextTick() const;

 private:
  static constexpr size_t kSlots = 512;

  static void Link(Deadline* deadline, Deadline** list);

  uint64_t now_ = 0;
  std::array<Deadline*, kSlots> slots_{};
};

}  // namespace fanwire::fanout
