// HttpProbe is the small HTTP/1.1 server for operators: GET /metrics, /healthz and /readyz.
//
// /healthz answers 200 while the process can answer at all; /readyz 200 or 503 by what `ready`
// says.  One request per connection; a request is at most 8 KiB and takes at most 5 s, and 64
// connections are served at a time.  Everything else gets 404, 405 or, where common/http_head.h
// refuses the request, 400 or 431.
//
// Threading: a thread of its own; the callbacks run there and must not block for long.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/address.h"

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
  };

  // Starts listening.
  //   UNAVAILABLE  no port is free, or the address is not this machine's
  static absl::StatusOr<std::unique_ptr<HttpProbe>> Start(Options options);

  virtual ~HttpProbe() = default;

  // Where it really listens.
  virtual const Address& address() const = 0;
};

}  // namespace fanwire
