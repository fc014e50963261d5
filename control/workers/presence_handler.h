// PresenceHandler hears from the workers who is present on which channels.
//
// Threading: calls come on gRPC threads and must not block.  The updates of one attachment (`link`,
//            a WorkerLink's id) come in order, but LinkGone() may come in between.
#pragma once

#include <cstdint>
#include <string>

namespace fanwire::v1 {
class PresenceUpdate;
}  // namespace fanwire::v1

namespace fanwire::control {

// A process of a worker.  It keeps its connections over several attachments.
struct WorkerProcess {
  std::string worker_id;  // "worker-0"
  uint64_t incarnation = 0;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 means the 0 in the comparison that is made
  friend auto operator<=>(const WorkerProcess&, const WorkerProcess&) = default;
};

class PresenceHandler {
 public:
  virtual ~PresenceHandler() = default;

  virtual void OnPresence(const WorkerProcess& process, uint64_t link,
                          const v1::PresenceUpdate& update) = 0;
  // The attachment has ended.  May be called more than once.
  virtual void LinkGone(uint64_t link) = 0;
};

}  // namespace fanwire::control
