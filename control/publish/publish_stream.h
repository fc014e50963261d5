// PublishStreams serves the PublishStream calls of publishers, and knows those that are open.
//
// A call reads messages of items, publishes the items in the order in which they came, and writes
// their receipts.  It stops reading while too many items wait for their receipt.  StreamOrder
// decides which seqs a call takes; ReceiptStream gathers its receipts.
//
// Threading: safe from every thread; calls run on gRPC's callback threads and never block them.
// Ownership: borrows the router.  A call lives until gRPC is done with it and its last receipt has
//            come.  gRPC must be done with all calls before this is destroyed; receipts may come
//            later.
// Source:    proto/fanwire/v1/publish.proto
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/mutex.h"
#include "control/publish/publisher_seqs.h"

namespace grpc {
class ByteBuffer;
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace fanwire::control {

class Router;

class PublishStreams {
 public:
  struct Options {
    // Items that one message may hold, as configured now.
    std::function<size_t()> max_batch;
    // Items of one stream that may wait for their receipt; reading stops there.
    size_t credit = 0;
    // Publishers that are known at once.
    size_t max_publishers = 0;
    // How long the seqs of an open stream are remembered on which nothing is sent.
    absl::Duration keep_idle = absl::InfiniteDuration();
  };

  PublishStreams(const Options& options, Router* router);
  ~PublishStreams();
  PublishStreams(const PublishStreams&) = delete;
  PublishStreams& operator=(const PublishStreams&) = delete;

  // Begins a call.
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Open();

  // Tells every stream, and those that come later, to send no more and to expect the receipts of
  // what it has sent.
  void GoAway(const std::string& reason);

  // See PublisherSeqs.
  void ReleaseIdle(absl::Duration now) { publishers_.ReleaseIdle(now); }
  void Restore(absl::Span<const PublisherSeqs::Restored> publishers) {
    publishers_.Restore(publishers);
  }

 private:
  class Call;

  // Returns why the call should go away at once; empty: it should not.
  std::string Add(Call* call);
  void Remove(Call* call);

  const Options options_;
  Router* const router_;
  PublisherSeqs publishers_;
  Mutex mu_{LockRank::kStreams};
  std::set<Call*> calls_ ABSL_GUARDED_BY(mu_);
  std::string go_away_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
