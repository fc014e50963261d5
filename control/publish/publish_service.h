// The gRPC face for publishers: reads requests, calls Router, writes receipts.
//
// Threading: safe from every thread; calls are handled on gRPC's callback threads without blocking.
// Ownership: borrows the router.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace grpc {
class Service;
}

namespace fanwire::control {

class Router;

class PublishService {
 public:
  struct Options {
    // Publications that one batch or stream message may hold, as configured now.
    std::function<size_t()> max_batch;
    // Items of one stream that may be without a receipt; reading stops there.
    size_t stream_credit = 10000;
    // Publishers whose last accepted seq is remembered; the longest unused goes first.
    size_t max_publishers = 10000;
  };

  static std::unique_ptr<PublishService> Make(const Options& options, Router* router);

  virtual ~PublishService() = default;

  virtual grpc::Service* service() = 0;

  // Tells every PublishStream to send no more and to expect the receipts of what it has sent.
  virtual void GoAway(const std::string& reason) = 0;
};

}  // namespace fanwire::control
