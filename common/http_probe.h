// HttpProbe is the small HTTP/1.1 server for operators: GET and HEAD of /metrics, /healthz and
// /readyz, and OPTIONS.
//
// /healthz answers 200 while the process can answer at all; /readyz answers 200 or 503, as `ready`
// says; OPTIONS of anything answers 200, because that is the check of a balancer that nobody has
// told another one.  One request per connection; a request takes at most 5 s, and 64 connections
// are served at a time.  Everything else gets 404, 405 or, where common/http_head.h refuses the
// request, 400 or 431.
//
// Threading: a thread of its own; the callbacks run there and must not block for long.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/address.h"
#include "common/http_head.h"

namespace fanwire {

struct Readiness {
  bool ready = true;
  std::string json = "{}";  // told in either case: one object
};

class HttpProbe {
 public:
  struct Options {
    Address listen;        // port 0: any free one
    int ports_to_try = 1;  // the port, then the next ones, until one is free
    std::function<std::string()> metrics;
    std::function<Readiness()> ready;
    std::function<HttpHeadLimits()> head_limits;  // asked for each connection; null: the defaults
  };

  // Starts listening.
  //   UNAVAILABLE  no port is free, or the address is not this machine's
  static absl::StatusOr<std::unique_ptr<HttpProbe>> Start(Options options);

  virtual ~HttpProbe() = default;

  // Where it really listens.
  virtual const Address& address() const = 0;
};

}  // namespace fanwire
