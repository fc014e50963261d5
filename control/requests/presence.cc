#include "control/requests/presence.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/json_parse.h"
#include "common/log.h"
#include "common/time_format.h"
#include "control/config/service_table.h"
#include "control/events/envelope.h"
#include "control/routing/publish_run.h"
#include "control/routing/router.h"
#include "fanwire/v1/worker.pb.h"
#include "proto/channel_name.h"
#include "proto/event_name.h"

namespace fanwire::control {

namespace {

// The worker puts the answer into an envelope; clients take 1 MiB in all.
constexpr size_t kMaxPresenceBytes = (1 << 20) - (8 << 10);

void AppendMember(absl::string_view connection_id, absl::string_view user_id,
                  absl::string_view info, std::string* out) {
  out->append("\"connection_id\":");
  AppendJsonText(connection_id, out);
  out->append(",\"user_id\":");
  if (user_id.empty()) {
    out->append("null");
  } else {
    AppendJsonText(user_id, out);
  }
  absl::StrAppend(out, ",\"info\":", info.empty() ? "{}" : info);
}

// The data of presence.joined and presence.left.
std::string NoticeData(const PresentConnection& member) {
  std::string data = "{\"channel\":";
  AppendJsonText(member.channel, &data);
  data.push_back(',');
  AppendMember(member.connection_id, member.user_id, member.info, &data);
  data.push_back('}');
  return data;
}

// Whether the member is somebody to show: a user, or a client that says something of itself.
// Others only watch.
bool SaysWho(const PresentConnection& member) {
  return !member.user_id.empty() || (!member.info.empty() && member.info != "{}");
}

// The data of the service's own event; `id` is that of the channel.
std::string PublishedData(const PresenceRule::Publish& rule, const PresenceEvent& event,
                          absl::string_view id, absl::Time now) {
  const PresentConnection& member = event.connection;
  std::string data = "{";
  AppendJsonText(rule.id_field, &data);
  data.push_back(':');
  AppendJsonText(id, &data);
  data.append(",\"user_id\":");
  AppendJsonText(member.user_id.empty() ? member.connection_id : member.user_id, &data);
  if (event.joined && !rule.info_field.empty()) {
    data.push_back(',');
    AppendJsonText(rule.info_field, &data);
    absl::StrAppend(&data, ":", member.info.empty() ? "{}" : member.info);
  }
  absl::StrAppend(&data, ",\"timestamp\":\"", FormatIso8601(now), "\"}");
  return data;
}

std::string NotTracked(absl::string_view service, absl::string_view channel) {
  return absl::StrCat(
      "presence: the members of channel \"", channel,
      "\" are not tracked: add a pattern that matches it to `presence` of service \"", service,
      "\" in the configuration");
}

}  // namespace

Presence::Presence(std::unique_ptr<PresenceStore> store, Router* router, const Clock* clock,
                   std::shared_ptr<const ServiceTable> services, absl::Duration grace)
    : router_(router),
      clock_(clock),
      store_(std::move(store)),
      services_(std::move(services)),
      grace_(grace) {}

Presence::~Presence() = default;

void Presence::SetServices(std::shared_ptr<const ServiceTable> services, absl::Duration grace) {
  MutexLock lock(&mu_);
  services_ = std::move(services);
  grace_ = grace;
}

void Presence::OnPresence(const WorkerProcess& process, uint64_t link,
                          const v1::PresenceUpdate& update) {
  {
    MutexLock lock(&mu_);
    if (update.snapshot_first()) {
      // The later one of two attachments of a process counts, even if the other one's end is not
      // known yet.
      for (const auto& [other, whose] : links_) {
        if (whose == process && other > link) return;
      }
      absl::erase_if(links_, [&](const auto& known) { return known.second == process; });
      links_.emplace(link, process);
      store_->BeginSnapshot(process);
    }
    if (!links_.contains(link)) return;
    const Telling telling = update.restored() ? Telling::kSilent : Telling::kTell;
    const absl::Duration return_by = clock_->Now() + grace_;
    PresenceEvents events;
    for (const v1::PresenceChange& change : update.changes()) {
      if (change.left()) {
        store_->Leave(process, change.service(), change.channel(), change.connection_id(),
                      change.may_return() ? return_by : absl::ZeroDuration(), &events);
      } else {
        store_->Join(process,
                     {.service = change.service(),
                      .channel = change.channel(),
                      .connection_id = change.connection_id(),
                      .user_id = change.user_id(),
                      .info = change.info()},
                     telling, &events);
      }
    }
    if (update.snapshot_last()) {
      PresenceEvents left;
      store_->EndSnapshot(process, &left);
      if (telling == Telling::kTell)
        std::move(left.begin(), left.end(), std::back_inserter(events));
    }
    SendLater(std::move(events));
  }
  outbox_.Run();
}

void Presence::LinkGone(uint64_t link) {
  MutexLock lock(&mu_);
  const auto it = links_.find(link);
  if (it == links_.end()) return;
  store_->Lose(it->second, clock_->Now() + grace_);
  links_.erase(it);
}

void Presence::Tick() {
  {
    MutexLock lock(&mu_);
    PresenceEvents events;
    store_->Expire(clock_->Now(), &events);
    SendLater(std::move(events));
  }
  outbox_.Run();
}

void Presence::SendLater(PresenceEvents events) {
  if (events.empty()) return;
  outbox_.Add(
      [this, events = std::move(events), services = services_] { Send(events, *services); });
}

void Presence::Send(const PresenceEvents& events, const ServiceTable& services) {
  std::unique_ptr<PublishRun> run;
  for (const PresenceEvent& event : events) {
    const PresentConnection& member = event.connection;
    const ServiceSpec* const service = services.Find(member.service);
    const PresenceRule* const rule =
        service == nullptr ? nullptr : service->PresenceFor(member.channel);
    if (rule == nullptr) continue;
    if (rule->events) {
      // What a slow subscriber needs of a member is the newest.
      router_->PublishNotice({.service = member.service,
                              .channel = member.channel,
                              .event = event.joined ? kPresenceJoinedEvent : kPresenceLeftEvent,
                              .data = NoticeData(member),
                              .exclude_connection = member.connection_id,
                              .conflate_key = absl::HashOf(
                                  member.user_id.empty() ? member.connection_id : member.user_id)});
    }
    if (!rule->publish.has_value() || !SaysWho(member)) continue;
    const PresenceRule::Publish& publish = *rule->publish;
    const size_t colon = member.channel.find(':');
    const absl::string_view id = colon == std::string::npos
                                     ? absl::string_view(member.channel)
                                     : absl::string_view(member.channel).substr(colon + 1);
    absl::string_view prefix = publish.channel;
    std::string channel = publish.channel;
    if (absl::EndsWith(prefix, "*")) {
      prefix.remove_suffix(1);
      channel = absl::StrCat(prefix, id);
    }
    const std::string data = PublishedData(publish, event, id, clock_->WallNow());
    if (run == nullptr) run = router_->MakeRun();
    Event published;
    published.service = member.service;
    published.channel = channel;
    published.event = event.joined ? publish.joined_event : publish.left_event;
    published.json = data;
    run->Publish(published, {}, &failures_, 0);
  }
}

void Presence::FailureLog::OnReceipt(uint64_t /*tag*/, const PublishOutcome& outcome) {
  if (outcome.status.ok()) return;
  static LogLimiter limiter(absl::Seconds(10));
  if (int64_t left_out; limiter.Admit(&left_out)) {
    LogWarning("presence.publish_failed", {{"reason", outcome.status}, {"left_out", left_out}});
  }
}

absl::StatusOr<PresencePage> Presence::List(absl::string_view service, absl::string_view channel,
                                            const PresencePlace& place, size_t limit) const {
  if (absl::Status status = CheckChannelName(channel); !status.ok()) return status;
  MutexLock lock(&mu_);
  const ServiceSpec* const spec = services_->Find(service);
  if (spec == nullptr) return services_->NoSuchService(service);
  if (spec->PresenceFor(channel) == nullptr) {
    return absl::FailedPreconditionError(NotTracked(service, channel));
  }
  return store_->List(service, channel, place, limit);
}

PresenceCounts Presence::Counts(absl::string_view service) const {
  MutexLock lock(&mu_);
  return store_->Counts(service);
}

void Presence::Handle(const v1::ClientRequest& request, Reply reply) {
  v1::ClientReply answer;
  const auto refuse = [&](absl::string_view code, absl::string_view message) {
    answer.set_error_code(std::string(code));
    answer.set_error_message(std::string(message));
    reply(std::move(answer));
  };
  // With the parser of the workers: of two keys of one name both must mean the same one.
  const nlohmann::json data = ParseJson(request.data());
  const auto field = data.is_object() ? data.find("channel") : data.end();
  if (!data.is_object() || field == data.end() || !field->is_string()) {
    return refuse("INVALID_CHANNEL", "presence: data.channel is missing or not a text");
  }
  const std::string& channel = field->get_ref<const std::string&>();
  size_t limit = 0;
  {
    MutexLock lock(&mu_);
    const ServiceSpec* const spec = services_->Find(request.service());
    if (spec != nullptr) limit = spec->presence_max_members;
  }
  const absl::StatusOr<PresencePage> page = List(request.service(), channel, {}, limit);
  if (!page.ok()) {
    return refuse(absl::IsInvalidArgument(page.status()) ? "INVALID_CHANNEL" : "INVALID_REQUEST",
                  page.status().message());
  }
  std::string text = "{\"channel\":";
  AppendJsonText(channel, &text);
  text.append(",\"members\":[");
  bool more = page->more;
  size_t written = 0;
  for (const PresencePage::Entry& entry : page->entries) {
    const size_t before = text.size();
    text.append(written++ > 0 ? ",{" : "{");
    AppendMember(entry.connection_id, entry.user_id, entry.info, &text);
    text.push_back('}');
    if (text.size() <= kMaxPresenceBytes) continue;
    text.resize(before);
    more = true;
    break;
  }
  absl::StrAppend(&text, "],\"total\":", page->total, more ? ",\"more\":true}" : "}");
  answer.set_data(std::move(text));
  reply(std::move(answer));
}

}  // namespace fanwire::control
