#include "fanout/client_publishing.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/log.h"
#include "fanout/publish_rules.h"
#include "fanout/session.h"
#include "proto/channel_name.h"

namespace fanwire::fanout {

namespace {

constexpr absl::string_view kPublish = "publish";

}  // namespace

ClientPublishing::ClientPublishing(Session* session, ClientRequests* requests)
    : session_(session),
      requests_(requests),
      pacer_(session->settings().client_publish_burst, session->Now()) {}

ClientPublishing::~ClientPublishing() { session_->context().loop->Cancel(timer_); }

PublishPacer::Rate ClientPublishing::rate() const {
  const ServiceSettings& settings = session_->settings();
  return {.limit = settings.client_publish_rate, .burst = settings.client_publish_burst};
}

PublishResult ClientPublishing::ResultOf(const RequestReply& reply) {
  if (reply.error_code.empty()) return PublishResult::kPublished;
  if (reply.error_code == "UNAVAILABLE") return PublishResult::kUnavailable;
  if (reply.error_code == "LIMIT_EXCEEDED") return PublishResult::kLimited;
  if (reply.error_code == "INVALID_REQUEST") return PublishResult::kInvalid;
  return PublishResult::kFailed;
}

void ClientPublishing::Refuse(Session* session, const PublishPacer::Item& item,
                              PublishResult result, absl::string_view code,
                              absl::string_view message) {
  session->service()->counts().Count(result);
  LogDebug("publish.refused", {{"session", session->id()}, {"code", code}, {"reason", message}});
  if (!item.quiet && session->active()) session->ReplyError(item.context, code, message);
}

void ClientPublishing::OnPublication(ClientPublication publication, ReplyContext context) {
  Session* const session = session_;
  const ServiceSettings& settings = session->settings();
  const PublishRules& rules = settings.publishing;
  PublishPacer::Item item{.event = {.event = std::move(publication.event)},
                          .context = std::move(context),
                          .quiet = publication.itself};
  const auto refuse = [&](PublishResult result, absl::string_view code, absl::string_view message) {
    Refuse(session, item, result, code, message);
  };
  if (!publication.fault.empty()) {
    return refuse(PublishResult::kInvalid, "INVALID_REQUEST", publication.fault);
  }
  PublishAsk& event = item.event;
  if (publication.channel.has_value()) {
    event.channel = *std::move(publication.channel);
  } else if (publication.itself) {
    event.channel = rules.ChannelOf(event.event, publication.data);
  }
  if (event.channel.empty()) {
    return refuse(PublishResult::kInvalid, "INVALID_CHANNEL",
                  "publish: data.channel is missing, empty or not a text");
  }
  if (const absl::Status status = CheckChannelName(event.channel, settings.max_channel_bytes);
      !status.ok()) {
    return refuse(PublishResult::kInvalid, "INVALID_CHANNEL", status.message());
  }
  const PublishRules::Rule* const rule = rules.Find(event.channel, event.event);
  if (rule == nullptr || !session->MayPublish(*rule)) {
    return refuse(PublishResult::kForbidden, "FORBIDDEN",
                  absl::StrCat("Not authorized to publish ", event.event, " to ", event.channel));
  }
  if (publication.data.size() > settings.max_client_event_bytes) {
    return refuse(PublishResult::kTooLarge, "LIMIT_EXCEEDED",
                  absl::StrCat("data: ", publication.data.size(), " bytes, at most ",
                               settings.max_client_event_bytes, " allowed for a client's event"));
  }
  event.copies = PublishRules::CopiesOf(*rule, event.channel);
  event.skip_history = rule->skip_history;
  event.exclude_publisher = !publication.echo;
  item.data = std::move(publication.data);

  PublishPacer::Outcome outcome =
      pacer_.Offer(std::move(item), rule->conflate_interval, rate(), session->Now());
  Arm();
  const double retry_after = outcome.refused.has_value() ? pacer_.SecondsToNext(rate()) : 0;
  // From here on a reply may close the session.
  if (outcome.replaced.has_value()) {
    session->service()->counts().Count(PublishResult::kConflated);
    if (!outcome.replaced->quiet) {
      std::string data = "{\"status\":\"conflated\",\"channel\":";
      AppendJsonText(outcome.replaced->event.channel, &data);
      data.push_back('}');
      session->Respond(outcome.replaced->context, kPublish, data);
      if (!session->active()) return;
    }
  }
  if (!outcome.send.empty()) {
    Send(std::move(outcome.send));
    if (!session->active()) return;
  }
  if (outcome.refused.has_value()) {
    Refuse(session, *outcome.refused, PublishResult::kRateLimited, "RATE_LIMIT_EXCEEDED",
           absl::StrFormat("Publish rate limit exceeded. Retry after %.3f seconds.", retry_after));
  }
}

void ClientPublishing::Send(std::vector<PublishPacer::Item> items) {
  Session* const session = session_;
  ClientRequests* const requests = requests_;
  for (PublishPacer::Item& item : items) {
    const size_t bytes = item.data.size();
    if (const absl::Status room = requests->CheckRoom(bytes); !room.ok()) {
      const bool active = session->active();
      Refuse(session, item, PublishResult::kLimited, "LIMIT_EXCEEDED", room.message());
      if (active && !session->active()) return;
      continue;
    }
    const absl::Duration deadline = session->Now() + session->settings().control_wait;
    const uint64_t ask = session->context().upstream->Request(
        session,
        {.request = kPublish, .data = item.data, .deadline = deadline, .publish = &item.event});
    requests->Add(ask, {.context = std::move(item.context),
                        .event = std::string(kPublish),
                        .bytes = bytes,
                        .asked = session->Now(),
                        .deadline = deadline,
                        .publish = true,
                        .quiet = item.quiet});
  }
}

void ClientPublishing::SendAll() {
  session_->context().loop->Cancel(std::exchange(timer_, 0));
  armed_ = absl::InfiniteDuration();
  Send(pacer_.TakeAll());
}

void ClientPublishing::Arm() {
  const absl::Duration deadline = pacer_.deadline();
  if (deadline == armed_) return;
  EventLoop* const loop = session_->context().loop;
  loop->Cancel(std::exchange(timer_, 0));
  armed_ = deadline;
  if (deadline == absl::InfiniteDuration()) return;
  timer_ = loop->RunAfter(std::max(deadline - session_->Now(), absl::ZeroDuration()),
                          [this] { OnTimer(); });
}

void ClientPublishing::OnTimer() {
  timer_ = 0;
  armed_ = absl::InfiniteDuration();
  Session* const session = session_;
  std::vector<PublishPacer::Item> due = pacer_.TakeDue(rate(), session->Now());
  Arm();
  Send(std::move(due));
  if (session->active()) session->Rearm();
}

}  // namespace fanwire::fanout
