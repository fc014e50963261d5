#include "control/requests/status_requests.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/log.h"
#include "control/config/service_table.h"
#include "control/requests/status_table.h"
#include "control/workers/request_handlers.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "google/protobuf/util/message_differencer.h"

namespace fanwire::control {

namespace {

// Events wait until so much has come together, or somebody asks: a thread that is woken for each
// would cost publishers more than the push.
constexpr size_t kDueEvents = 512;
constexpr size_t kDueBytes = 1 << 20;

v1::ClientReply Refusal(uint64_t request_id, const char* code, std::string message) {
  v1::ClientReply reply;
  reply.set_request_id(request_id);
  reply.set_error_code(code);
  reply.set_error_message(std::move(message));
  return reply;
}

}  // namespace

struct StatusRequests::Question {
  v1::ClientRequest request;
  Reply reply;
  bool missed = false;  // the state that it asks for lacks events
};

struct StatusRequests::Definitions {
  absl::flat_hash_map<std::string, std::vector<v1::StatusRequest>> by_service;
};

bool StatusRequests::Filter::Admits(absl::string_view event) const {
  if (exact.contains(event)) return true;
  for (const std::string& pattern : patterns) {
    if (EventMatches(pattern, event)) return true;
  }
  return false;
}

StatusRequests::StatusRequests(const v1::Config& config, const Clock* clock) : clock_(clock) {
  SetServices(config);
  thread_ = std::thread([this] { Run(); });
}

StatusRequests::~StatusRequests() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    wake_.Signal();
  }
  thread_.join();
  std::vector<Item> left;
  {
    MutexLock lock(&mu_);
    left.swap(queue_);
  }
  for (const Item& item : left) {
    const auto* question = std::get_if<std::unique_ptr<Question>>(&item);
    if (question == nullptr) continue;
    (*question)->reply(
        Refusal((*question)->request.request_id(), "UNAVAILABLE", "control is stopping"));
  }
}

void StatusRequests::SetServices(const v1::Config& config) {
  auto filters = std::make_unique<Filters>();
  auto definitions = std::make_unique<Definitions>();
  for (const v1::ServiceConfig& service : config.services()) {
    if (service.status_requests().empty()) continue;
    Filter& filter = (*filters)[service.name()];
    const auto feed = [&](const std::string& event) {
      if (absl::EndsWith(event, "*")) {
        filter.patterns.push_back(event);
      } else {
        filter.exact.insert(event);
      }
    };
    for (const v1::StatusRequest& request : service.status_requests()) {
      for (const v1::StatusRule& rule : request.events()) feed(rule.event());
      for (const std::string& event : request.recent().events()) feed(event);
      definitions->by_service[service.name()].push_back(request);
    }
  }
  MutexLock lock(&mu_);
  // First the tables, then what feeds them.
  queue_.emplace_back(std::move(definitions));
  due_ = true;
  if (all_filters_.empty() || *all_filters_.back() != *filters) {
    filters_.store(filters.get(), std::memory_order_release);
    all_filters_.push_back(std::move(filters));
  }
  wake_.Signal();
}

void StatusRequests::OnPublication(const ObservedPublication& observed) {
  if (observed.mirror) return;
  const Filters& filters = *filters_.load(std::memory_order_acquire);
  const auto filter = filters.find(observed.service);
  if (filter == filters.end() || !filter->second.Admits(observed.publication->event())) return;
  Event event{.service = std::string(observed.service),
              .channel = std::string(observed.channel),
              .publication = observed.publication};
  const size_t bytes = event.publication->memory_bytes() + sizeof(Item);
  MutexLock lock(&mu_);
  if (queued_events_ >= kMaxQueuedEvents || queued_bytes_ + bytes > kMaxQueuedBytes) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return Miss(observed.service, observed.channel);
  }
  ++queued_events_;
  queued_bytes_ += bytes;
  queue_.emplace_back(std::move(event));
  if (due_ || (queued_events_ < kDueEvents && queued_bytes_ < kDueBytes)) return;
  due_ = true;
  wake_.Signal();
}

void StatusRequests::Handle(const v1::ClientRequest& request, Reply reply) {
  auto question =
      std::make_unique<Question>(Question{.request = request, .reply = std::move(reply)});
  {
    MutexLock lock(&mu_);
    if (queued_requests_ < kMaxQueuedRequests) {
      ++queued_requests_;
      queue_.emplace_back(std::move(question));
      due_ = true;
      wake_.Signal();
      return;
    }
  }
  question->reply(Refusal(request.request_id(), "UNAVAILABLE",
                          absl::StrCat(kMaxQueuedRequests, " requests wait already")));
}

void StatusRequests::Miss(absl::string_view service, absl::string_view channel) {
  if (missed_.contains({std::string(service), std::string()})) return;
  if (missed_.size() >= kMaxMissed) {
    channel = {};
    absl::erase_if(missed_, [&](const auto& missed) { return missed.first == service; });
  }
  missed_.emplace(service, channel);
}

void StatusRequests::AskState(const std::shared_ptr<WorkerLink>& link,
                              const SubscribeRequest& subscribe) {
  auto question = std::make_unique<Question>();
  question->request.set_request_id(subscribe.query_id);
  question->request.set_service(subscribe.service);
  question->request.set_request(subscribe.state_request);
  question->request.set_data(subscribe.state_data);
  question->reply = RequestHandlers::ReplyThrough(link, subscribe.query_id);
  MutexLock lock(&mu_);
  question->missed = missed_.contains({subscribe.service, subscribe.channel}) ||
                     missed_.contains({subscribe.service, std::string()});
  // Each session waits for one state at a time, so their number needs no bound of its own.
  queue_.emplace_back(std::move(question));
  due_ = true;
  wake_.Signal();
}

void StatusRequests::Run() {
  std::vector<Item> items;
  while (true) {
    {
      MutexLock lock(&mu_);
      while (!due_ && !stopping_) wake_.Wait(&mu_);
      if (stopping_) return;
      items.swap(queue_);
      queued_events_ = queued_bytes_ = queued_requests_ = 0;
      due_ = false;
    }
    for (const Item& item : items) {
      std::visit([this](const auto& what) { Perform(what); }, item);
    }
    items.clear();
    TellDropped();
  }
}

void StatusRequests::Perform(const Event& event) {
  const auto tables = tables_.find(event.service);
  if (tables == tables_.end()) return;
  const Publication& publication = *event.publication;
  const StatusEvent seen{.event = publication.event(),
                         .channel = event.channel,
                         .data = publication.data(),
                         .received_us = publication.received_us()};
  for (const auto& [request, table] : tables->second) table->Apply(seen);
}

void StatusRequests::Perform(const std::unique_ptr<Question>& question) {
  const v1::ClientRequest& request = question->request;
  if (question->missed) {
    return question->reply(Refusal(request.request_id(), "EVENTS_MISSED",
                                   "events were dropped because too many came at once"));
  }
  const auto tables = tables_.find(request.service());
  if (tables != tables_.end()) {
    const auto table = tables->second.find(request.request());
    if (table != tables->second.end()) {
      v1::ClientReply reply;
      reply.set_request_id(request.request_id());
      table->second->Answer(request.data(), clock_->WallNow(), &reply);
      question->reply(std::move(reply));
      return;
    }
  }
  question->reply(Refusal(request.request_id(), "UNKNOWN_REQUEST",
                          absl::StrCat("Unknown request event: ", request.request())));
}

void StatusRequests::Perform(const std::unique_ptr<Definitions>& definitions) {
  absl::flat_hash_map<std::string, Tables> before = std::move(tables_);
  tables_.clear();
  for (const auto& [service, requests] : definitions->by_service) {
    for (const v1::StatusRequest& request : requests) {
      std::unique_ptr<StatusTable>& old = before[service][request.request()];
      const bool same = old != nullptr &&
                        google::protobuf::util::MessageDifferencer::Equals(old->request(), request);
      tables_[service][request.request()] = same ? std::move(old) : StatusTable::Make(request);
    }
  }
}

void StatusRequests::TellDropped() {
  static LogLimiter limiter(absl::Seconds(10));
  const int64_t dropped = dropped_.load(std::memory_order_relaxed);
  if (dropped == told_dropped_) return;
  if (int64_t left_out; !limiter.Admit(&left_out)) return;
  LogWarning("retained_state.dropped", {{"events", dropped - told_dropped_},
                                        {"queue_events", kMaxQueuedEvents},
                                        {"queue_bytes", kMaxQueuedBytes}});
  told_dropped_ = dropped;
}

}  // namespace fanwire::control
