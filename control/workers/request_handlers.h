// RequestHandlers hands clients' requests to those who answer them, and sends the answers to the
// worker that asked.
//
// Threading: the handlers are set before the start; Handle() is safe from every thread and calls
//            the handler on the caller's.
// Ownership: borrows the handlers.  A reply that comes late holds the link alone.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire::v1 {
class ClientRequest;
}  // namespace fanwire::v1

namespace fanwire::control {

class ClientRequestHandler;
class WorkerLink;

class RequestHandlers {
 public:
  void Set(absl::string_view request, ClientRequestHandler* handler) {
    handlers_[std::string(request)] = handler;
  }
  // Answers what no other handler does.
  void SetDefault(ClientRequestHandler* handler) { default_ = handler; }

  // Without a handler the answer is UNKNOWN_REQUEST.
  void Handle(const std::shared_ptr<WorkerLink>& link, const v1::ClientRequest& request) const;

 private:
  std::map<std::string, ClientRequestHandler*, std::less<>> handlers_;
  ClientRequestHandler* default_ = nullptr;
};

}  // namespace fanwire::control
