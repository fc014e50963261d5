// Worker is the fan-out process: an event loop on a thread of its own, and on it everything that
// serves clients.
//
// Threading: Start(), Stop(), finished() and the destructor belong to the thread that made it.
#pragma once

#include <functional>
#include <memory>

#include "fanout/flags.h"

namespace fanwire::fanout {

class Worker {
 public:
  // Starts the loop and the attachment.  `on_finished` is called on the loop when the worker has
  // ended by itself or after Stop().
  static std::unique_ptr<Worker> Start(const WorkerFlags& flags, std::function<void()> on_finished);

  // Waits for the loop's end; what is still open is cut off.
  virtual ~Worker() = default;

  // Drains all sessions, then ends.
  virtual void Stop() = 0;

  virtual bool finished() const = 0;
  // 0: drained; 1: another process has taken its place.
  virtual int exit_code() const = 0;
};

}  // namespace fanwire::fanout
