#include "control/workers/request_handlers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "control/links/worker_link.h"
#include "control/workers/worker_registry.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

std::function<void(v1::ClientReply)> RequestHandlers::ReplyThrough(
    const std::shared_ptr<WorkerLink>& link, uint64_t request_id) {
  return [weak = std::weak_ptr<WorkerLink>(link), id = request_id](v1::ClientReply reply) {
    const std::shared_ptr<WorkerLink> link = weak.lock();
    if (link == nullptr) return;
    reply.set_request_id(id);
    auto message = std::make_unique<v1::ControlMessage>();
    *message->mutable_client_replies()->add_replies() = std::move(reply);
    if (link->Send(std::move(message)) || link->closed()) return;
    static LogLimiter limiter(absl::Seconds(10));
    if (int64_t left_out = 0; limiter.Admit(&left_out)) {
      LogWarning("worker.reply_dropped", {{"link", link->id()}, {"left_out", left_out}});
    }
  };
}

void RequestHandlers::Handle(const std::shared_ptr<WorkerLink>& link,
                             const v1::ClientRequest& request) const {
  ClientRequestHandler::Reply reply = ReplyThrough(link, request.request_id());
  const auto it = handlers_.find(request.request());
  if (it != handlers_.end()) {
    it->second->Handle(request, std::move(reply));
  } else if (default_ != nullptr) {
    default_->Handle(link->id(), request, std::move(reply));
  } else {
    v1::ClientReply unknown;
    unknown.set_error_code("UNKNOWN_REQUEST");
    unknown.set_error_message(absl::StrCat("Unknown request event: ", request.request()));
    reply(std::move(unknown));
  }
}

void RequestHandlers::Cancel(uint64_t link, const v1::ClientCancel& cancel) const {
  if (default_ != nullptr) default_->Cancel(link, cancel);
}

void RequestHandlers::LinkGone(uint64_t link) const {
  if (default_ != nullptr) default_->LinkGone(link);
}

}  // namespace fanwire::control
