// Acknowledgements counts what was applied of control's batches, and tells control, so that control
// can send more.
//
// An acknowledgement is a message of its own, which costs a turn here and work in control: it is
// sent when enough items or bytes have been applied, else a short while later.  It is held back
// while too much is still on its way to the clients; control's window then stays shut.
//
// Threading: loop-confined.
// Ownership: borrows loop and link.
// Cost:      two additions per item; a timer or a message per batch at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "fanout/control_link.h"
#include "fanout/net/event_loop.h"

namespace fanwire::fanout {

class Acknowledgements {
 public:
  // `pending_bytes` tells how many bytes were applied but not handed to all their clients yet.
  Acknowledgements(EventLoop* loop, ControlLink* link, std::function<size_t()> pending_bytes);
  ~Acknowledgements();
  Acknowledgements(const Acknowledgements&) = delete;
  Acknowledgements& operator=(const Acknowledgements&) = delete;

  // An item with so many bytes of envelopes was applied.
  void Count(uint64_t bytes) {
    ++applied_.items;
    applied_.bytes += bytes;
  }
  // The item that was counted last has so many bytes more.
  void CountBytes(uint64_t bytes) { applied_.bytes += bytes; }

  // Sends an acknowledgement of what was counted, or arranges for a later one.  Call after each
  // batch.
  void OnTurn();

  // From now on, whatever was counted is acknowledged in its turn: the worker drains.
  void AcknowledgeEachTurn() { each_turn_ = true; }

  // Counts from 0 again: the counts belong to an attachment.
  void Restart() { applied_ = acknowledged_ = {}; }

 private:
  struct Counts {
    uint64_t items = 0;
    uint64_t bytes = 0;
  };

  void Send();
  // Whether so little is on its way to the clients that control may send more.
  bool MaySend() const;

  EventLoop* const loop_;
  ControlLink* const link_;
  const std::function<size_t()> pending_bytes_;
  Counts applied_;
  Counts acknowledged_;
  bool each_turn_ = false;
  EventLoop::TimerId timer_ = 0;  // set: an acknowledgement will be sent later
  bool held_back_ = false;        // it is due, and waits until less is on its way
};

}  // namespace fanwire::fanout
