// Instance tells workers of one control from those of another on the same machine.
//
// Two workers belong together if they were started with the same address of control, or are
// attached to the same control process.  The second is told by a mark among a worker's descriptors,
// which other processes of the user can see.
//
// Threading: loop-confined.
// Ownership: owns the mark.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace fanwire::fanout {

class Instance {
 public:
  // `control` is the address as in WorkerFlags.
  explicit Instance(std::string control);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // This worker is attached to the control process of that incarnation.
  void Attached(uint64_t control_incarnation);

  // Whether process `pid` is a worker of the same control.
  bool Includes(pid_t pid) const;

 private:
  const std::string control_;
  std::string mark_name_;  // empty: not attached yet
  int mark_ = -1;
};

}  // namespace fanwire::fanout
