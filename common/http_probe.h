// HttpProbe is the small HTTP/1.1 server for operators: GET and HEAD of /metrics, /healthz and
// /readyz, and OPTIONS.
//
// /healthz answers 200 while the process can answer at all.  /readyz answers 200 or 503, as `ready`
// returns.  OPTIONS of any path answers 200, because balancers check with it by default.  Other
// requests get 404 or 405, and requests that common/http_head.h refuses get 400 or 431.  Each
// connection serves one request, for which it has 5 s; 64 connections are served at a time.
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
  std::string json = "{}";  // one object; sent with 200 and with 503
};

class HttpProbe {
 public:
  struct Options {
    Address listen;        // port 0: any free one
    int ports_to_try = 1;  // the port, then the next ones, until one is free
    std::function<std::string()> metrics;
    std::function<Readiness()> ready;
    std::function<HttpHeadLimits()> head_limits;  // called for each connection; null: the defaults
  };

  // Starts listening.
  //   UNAVAILABLE  no port is free, or the address is not this machine's
  static absl::StatusOr<std::unique_ptr<HttpProbe>> Start(Options options);

  virtual ~HttpProbe() = default;

  // Returns the address with the port on which it listens.
  virtual const Address& address() const = 0;
};

}  // namespace fanwire
