// The admin calls that answer with a stream: a drain, a restart, a tail.  If the operator's call
// ends early, a drain or restart still goes on.
//
// Threading: see admin_service.h.
// Ownership: each call deletes itself when gRPC is done with it.
#pragma once

#include "control/admin/admin_service.h"

namespace grpc {
template <class Response>
class ServerWriteReactor;
}

namespace fanwire::v1 {
class DrainWorkerProgress;
class DrainWorkerRequest;
class RestartWorkersProgress;
class RestartWorkersRequest;
class TailRequest;
class TailResponse;
}  // namespace fanwire::v1

namespace fanwire::control {

// Drains a worker.  The last message is sent when the process of a local worker has ended, or when
// another worker is drained or no longer attached.
//   NOT_FOUND         no local worker has this id, and none is attached under it
//   INVALID_ARGUMENT  a negative window, a deadline before the window's end
grpc::ServerWriteReactor<v1::DrainWorkerProgress>* StartDrain(
    const AdminParts& parts, const v1::DrainWorkerRequest& request);

// Restarts local workers: see Supervisor::Restart().
grpc::ServerWriteReactor<v1::RestartWorkersProgress>* StartRestart(
    const AdminParts& parts, const v1::RestartWorkersRequest& request);

// Streams publications as they are accepted.
//   NOT_FOUND         no such service
//   INVALID_ARGUMENT  malformed pattern
//   UNAVAILABLE       control is stopping
grpc::ServerWriteReactor<v1::TailResponse>* StartTail(const AdminParts& parts,
                                                      const v1::TailRequest& request);

}  // namespace fanwire::control
