// The admin calls that answer with a stream: a drain, a restart, a tail.
//
// What an operator has ordered goes on when the operator hangs up.
//
// Threading: as admin_service.h.
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

// Of a worker with a slot the last message comes when its process is gone; of another, when it is
// drained or not attached any more.
//   NOT_FOUND         no slot of this id, and no such worker is attached
//   INVALID_ARGUMENT  a negative window, a deadline before the window's end
grpc::ServerWriteReactor<v1::DrainWorkerProgress>* StartDrain(
    const AdminParts& parts, const v1::DrainWorkerRequest& request);

// As Supervisor::Restart().
grpc::ServerWriteReactor<v1::RestartWorkersProgress>* StartRestart(
    const AdminParts& parts, const v1::RestartWorkersRequest& request);

//   NOT_FOUND         no such service
//   INVALID_ARGUMENT  malformed pattern
//   UNAVAILABLE       control is stopping
grpc::ServerWriteReactor<v1::TailResponse>* StartTail(const AdminParts& parts,
                                                      const v1::TailRequest& request);

}  // namespace fanwire::control
