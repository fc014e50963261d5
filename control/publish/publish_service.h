// PublishService is the gRPC service of publishers.  It reads their requests, publishes the events
// with Router and answers with receipts.  Calls with one request are served here, PublishStream by
// PublishStreams, ServeRequests by whom the options name.
//
// Threading: safe from every thread; calls run on gRPC's callback threads and never block them.
// Ownership: borrows the router.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/publish/publisher_seqs.h"

namespace grpc {
class ByteBuffer;
class Service;
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace fanwire::control {

class Router;

class PublishService {
 public:
  struct Options {
    // Publications that one batch or stream message may hold, as configured now.
    std::function<size_t()> max_batch;
    // Items of one stream that may wait for their receipt; reading stops there.
    size_t stream_credit = 10000;
    // Publishers (`publisher_id` of a stream) that are known at once.  Those without an open stream
    // are forgotten first; if all have one, a further one is refused.
    size_t max_publishers = 0;
    // How long the seqs of an open stream are remembered on which nothing is sent.
    absl::Duration keep_idle = absl::InfiniteDuration();
    // Begins a call of ServeRequests.
    std::function<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*()> serve_requests =
        {};
  };

  static std::unique_ptr<PublishService> Make(const Options& options, Router* router);

  virtual ~PublishService() = default;

  virtual grpc::Service* service() = 0;

  // Tells every PublishStream to send no more and to expect the receipts of what it has sent.
  virtual void GoAway(const std::string& reason) = 0;

  // See PublisherSeqs.
  virtual void Restore(absl::Span<const PublisherSeqs::Restored> publishers) = 0;

  // Gives back memory of streams that are idle; see Options::keep_idle.  Call it now and then.
  virtual void ReleaseIdle(absl::Duration now) = 0;
};

}  // namespace fanwire::control
