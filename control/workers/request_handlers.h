// RequestHandlers passes clients' requests to the handler of their name, and sends the replies to
// the worker that asked.
//
// Threading: set the handlers before the start.  Handle() is safe from every thread and calls the
//            handler on the caller's thread.
// Ownership: borrows the handlers.  The function that a handler replies with shares the link and
//            uses nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire::v1 {
class ClientCancel;
class ClientReply;
class ClientRequest;
}  // namespace fanwire::v1

namespace fanwire::control {

class ClientRequestHandler;
class DefaultRequestHandler;
class WorkerLink;

class RequestHandlers {
 public:
  void Set(absl::string_view request, ClientRequestHandler* handler) {
    handlers_[std::string(request)] = handler;
  }
  // Sets the handler of all requests that have no handler of their own.
  void SetDefault(DefaultRequestHandler* handler) { default_ = handler; }

  // A function that sends a reply to the worker, as that to request number `request_id`.
  static std::function<void(v1::ClientReply)> ReplyThrough(const std::shared_ptr<WorkerLink>& link,
                                                           uint64_t request_id);

  // Handles a request.  If there is no handler for it, replies with UNKNOWN_REQUEST.
  void Handle(const std::shared_ptr<WorkerLink>& link, const v1::ClientRequest& request) const;
  // Nobody waits for the request, or for any of the attachment's, any more.
  void Cancel(uint64_t link, const v1::ClientCancel& cancel) const;
  void LinkGone(uint64_t link) const;

 private:
  std::map<std::string, ClientRequestHandler*, std::less<>> handlers_;
  DefaultRequestHandler* default_ = nullptr;
};

}  // namespace fanwire::control
