#include "control/requests/client_publish.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "control/events/envelope.h"
#include "control/events/event.h"
#include "control/routing/router.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// Answers the client with what has become of its event; deletes itself then.
class ClientReceipt final : public ReceiptSink {
 public:
  ClientReceipt(const v1::ClientRequest& request, ClientRequestHandler::Reply reply)
      : service_(request.service()),
        channel_(request.publish().channel()),
        reply_(std::move(reply)) {
    answer_.set_request_id(request.request_id());
  }

  void OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) override {
    if (outcome.status.ok()) {
      answer_.set_data(Text(outcome));
    } else {
      Refuse(outcome.status);
    }
    reply_(std::move(answer_));
    delete this;
  }

 private:
  std::string Text(const PublishOutcome& outcome) const {
    std::string text = "{\"status\":\"published\",\"channel\":";
    AppendJsonText(channel_, &text);
    if (outcome.position.offset > 0) {
      absl::StrAppend(&text, ",\"epoch\":\"", outcome.position.epoch.ToText(),
                      "\",\"offset\":", outcome.position.offset);
    }
    text.push_back('}');
    return text;
  }

  void Refuse(const absl::Status& status) {
    answer_.set_error_message(std::string(status.message()));
    switch (status.code()) {
      case absl::StatusCode::kInvalidArgument:
        return answer_.set_error_code("INVALID_REQUEST");
      case absl::StatusCode::kNotFound:
        return answer_.set_error_code("NOT_FOUND");
      case absl::StatusCode::kResourceExhausted:
        return answer_.set_error_code("LIMIT_EXCEEDED");
      case absl::StatusCode::kUnavailable:
        // What it says is meant for publishers with idempotency keys.
        answer_.set_error_message("the event cannot be taken at present: try again");
        return answer_.set_error_code("UNAVAILABLE");
      default:
        break;
    }
    // What is wrong in here is not for clients.
    static LogLimiter limiter(absl::Seconds(10));
    if (int64_t left_out; limiter.Admit(&left_out)) {
      LogError("client_publish.failed",
               {{"service", service_}, {"reason", status}, {"left_out", left_out}});
    }
    answer_.set_error_code("INTERNAL_ERROR");
    answer_.set_error_message("Internal server error");
  }

  const std::string service_;
  const std::string channel_;
  const ClientRequestHandler::Reply reply_;
  v1::ClientReply answer_;
};

// {"connection_id":…,"user_id":…}; the user is null if the client has no token.
std::string PublisherOf(const v1::ClientRequest& request) {
  std::string text = "{\"connection_id\":";
  AppendJsonText(request.connection_id(), &text);
  text += ",\"user_id\":";
  if (request.user_id().empty()) {
    text += "null";
  } else {
    AppendJsonText(request.user_id(), &text);
  }
  text.push_back('}');
  return text;
}

class ClientPublishHandler final : public ClientRequestHandler {
 public:
  explicit ClientPublishHandler(Router* router) : router_(router) {}

  void Handle(const v1::ClientRequest& request, Reply reply) override {
    if (!request.has_publish()) {
      v1::ClientReply answer;
      answer.set_request_id(request.request_id());
      answer.set_error_code("INVALID_REQUEST");
      answer.set_error_message("publish: there is no event");
      return reply(std::move(answer));
    }
    const v1::ClientPublish& publish = request.publish();
    const std::vector<std::string> copies(publish.copies().begin(), publish.copies().end());
    const std::string publisher = PublisherOf(request);
    Event event;
    event.service = request.service();
    event.channel = publish.channel();
    event.event = publish.event();
    event.json = publish.data();
    event.copies = copies;
    event.publisher = publisher;
    event.skip_history = publish.skip_history();
    if (publish.exclude_publisher()) event.exclude_connection = request.connection_id();
    // Deletes itself.
    auto* const receipt = new ClientReceipt(request, std::move(reply));
    router_->MakeRun()->Publish(event, {.level = ReceiptLevel::kAccepted}, receipt, 0);
  }

 private:
  Router* const router_;
};

}  // namespace

std::unique_ptr<ClientRequestHandler> MakeClientPublishHandler(Router* router) {
  return std::make_unique<ClientPublishHandler>(router);
}

}  // namespace fanwire::control
