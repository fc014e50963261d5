#include "control/requests/request_dispatcher.h"

#include <algorithm>
#include <tuple>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/log.h"
#include "common/proto_time.h"
#include "common/timer_queue.h"
#include "common/utf8.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/publish.pb.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

namespace {

// How long a client waits if its worker does not say.
constexpr absl::Duration kDefaultTimeout = absl::Seconds(10);

// A request that so many responders had when they died is given to no further one: it may be what
// kills them.
constexpr int kMaxDeaths = 3;

constexpr double kSecondsBounds[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                     0.5,   1,     2,     5,    10,   30,   60};

v1::ClientReply ErrorReply(const char* code, std::string message) {
  v1::ClientReply reply;
  reply.set_error_code(code);
  reply.set_error_message(std::move(message));
  return reply;
}

v1::ClientReply Unavailable(absl::string_view request, absl::string_view why) {
  return ErrorReply("UNAVAILABLE", absl::StrCat(request, ": ", why));
}

size_t BytesOf(const v1::ClientRequest& request) {
  size_t bytes = request.data().size() + request.request().size() + request.user_id().size() +
                 request.connection_id().size();
  for (const std::string& permission : request.permissions()) bytes += permission.size();
  return bytes;
}

absl::Status CheckHello(const v1::ResponderHello& hello) {
  if (hello.responder_id().size() > RequestDispatcher::kMaxResponderIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("responder_id: ", hello.responder_id().size(), " bytes, at most ",
                     RequestDispatcher::kMaxResponderIdBytes, " allowed"));
  }
  if (hello.requests().empty()) {
    return absl::InvalidArgumentError(
        "requests: empty; list the names of the requests that this process answers");
  }
  if (hello.requests_size() > RequestDispatcher::kMaxNames) {
    return absl::InvalidArgumentError(absl::StrCat("requests: ", hello.requests_size(),
                                                   " names, at most ", RequestDispatcher::kMaxNames,
                                                   " allowed; a last '*' makes a pattern"));
  }
  for (int i = 0; i < hello.requests_size(); ++i) {
    if (const absl::Status status = CheckRequestName(hello.requests(i)); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("requests[", i, "]: ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

struct RequestDispatcher::Open {
  uint64_t id = 0;
  Service* service = nullptr;
  SourceKey source;
  v1::ClientRequest request;
  Reply reply;
  absl::Duration asked;
  absl::Duration deadline;
  size_t bytes = 0;
  ResponderPool::Entry* at = nullptr;  // null: it waits for one
  std::vector<uint64_t> tried;         // responders that died or answered UNAVAILABLE
  int deaths = 0;                      // of responders that had it
  std::string excuse;                  // the last UNAVAILABLE's message
};

struct RequestDispatcher::Service {
  std::string name;
  bool configured = false;
  RequestNames served;                               // of the configuration
  absl::flat_hash_set<std::string> status_requests;  // likewise
  ResponderPool pool;
  std::set<uint64_t> waiting;  // requests, as they came
  size_t open = 0;
  size_t bytes = 0;  // of open requests
  std::array<int64_t, kServedResults> by_result = {};
  int64_t given_again = 0;
  int64_t ignored_answers = 0;
  Histogram seconds{kSecondsBounds};
};

// Must be declared before the lock, so that it outlives it.
class RequestDispatcher::After {
 public:
  explicit After(RequestDispatcher* owner) : owner_(owner) {}
  After(const After&) = delete;
  After& operator=(const After&) = delete;
  ~After() {
    for (auto& [reply, answer] : replies_) reply(std::move(answer));
    for (auto& [request, reply] : to_retained_) {
      owner_->retained_->Handle(request, std::move(reply));
    }
    for (const std::shared_ptr<Responder>& stream : touched_) stream->Flush();
    if (registered_ != nullptr) owner_->on_registered_(version_, std::move(registered_));
  }

  void Answer(Reply reply, v1::ClientReply answer) {
    replies_.emplace_back(std::move(reply), std::move(answer));
  }
  void AskRetained(v1::ClientRequest request, Reply reply) {
    to_retained_.emplace_back(std::move(request), std::move(reply));
  }
  void Flush(const std::shared_ptr<Responder>& stream) {
    if (touched_.empty() || touched_.back() != stream) touched_.push_back(stream);
  }
  void Register(uint64_t version, std::shared_ptr<const v1::RegisteredRequests> registered) {
    version_ = version;
    registered_ = std::move(registered);
  }

 private:
  RequestDispatcher* const owner_;
  std::vector<std::pair<Reply, v1::ClientReply>> replies_;
  std::vector<std::pair<v1::ClientRequest, Reply>> to_retained_;
  std::vector<std::shared_ptr<Responder>> touched_;
  uint64_t version_ = 0;
  std::shared_ptr<const v1::RegisteredRequests> registered_;
};

RequestDispatcher::RequestDispatcher(const v1::Config& config, ClientRequestHandler* retained,
                                     const Clock* clock, TimerQueue* timers,
                                     OnRegistered on_registered)
    : retained_(retained),
      clock_(clock),
      timers_(timers),
      on_registered_(std::move(on_registered)) {
  SetServices(config);
}

RequestDispatcher::~RequestDispatcher() = default;

void RequestDispatcher::SetServices(const v1::Config& config) {
  After after(this);
  MutexLock lock(&mu_);
  const v1::LimitsConfig& limits = config.limits();
  max_responders_ = limits.max_responders();
  max_concurrent_ = limits.max_concurrent_requests();
  max_open_ = limits.max_open_requests();
  max_open_bytes_ = limits.max_open_request_bytes();
  for (const auto& [name, service] : services_) service->configured = false;
  for (const v1::ServiceConfig& configured : config.services()) {
    std::unique_ptr<Service>& service = services_[configured.name()];
    if (service == nullptr) service = std::make_unique<Service>();
    service->name = configured.name();
    service->configured = true;
    service->served = RequestNames();
    for (const v1::ServedRequest& request : configured.served_requests()) {
      service->served.Add(request.request());
    }
    service->status_requests.clear();
    for (const v1::StatusRequest& request : configured.status_requests()) {
      service->status_requests.insert(request.request());
    }
  }
  for (const auto& [name, service] : services_) {
    if (service->configured) continue;
    for (const auto& entry : service->pool.entries()) {
      if (!entry->leaving) entry->stream->QueueGoAway("the service was removed");
      BeginLeaving(entry.get(), &after);
    }
    AssignWaiting(service.get(), &after);
  }
  TellRegistered(&after);
}

RequestDispatcher::Service* RequestDispatcher::FindService(absl::string_view name) const {
  const auto it = services_.find(name);
  return it == services_.end() ? nullptr : it->second.get();
}

// ------------------------------------------------------------------------------- clients' requests

void RequestDispatcher::Handle(uint64_t link, const v1::ClientRequest& request, Reply reply) {
  After after(this);
  MutexLock lock(&mu_);
  const std::string& name = request.request();
  Service* const service = FindService(request.service());
  const bool known = service != nullptr;
  if (stopping_ && known && service->pool.Serves(name, /*leaving=*/true)) {
    return after.Answer(std::move(reply), Unavailable(name, "control is stopping: try again"));
  }
  if (!known || !service->pool.Serves(name)) {
    if (known && !service->status_requests.contains(name) && service->served.Matches(name)) {
      ++service->by_result[static_cast<size_t>(ServedResult::kUnavailable)];
      return after.Answer(std::move(reply),
                          Unavailable(name, "no process that answers it is connected: try again"));
    }
    return after.AskRetained(request, std::move(reply));
  }
  const size_t bytes = BytesOf(request);
  if (service->open >= max_open_ ||
      (service->open > 0 && service->bytes + bytes > max_open_bytes_)) {
    ++service->by_result[static_cast<size_t>(ServedResult::kUnavailable)];
    return after.Answer(
        std::move(reply),
        Unavailable(name, absl::StrCat(service->open, " requests with ", service->bytes,
                                       " bytes wait already: try again later")));
  }
  auto open = std::make_unique<Open>();
  open->id = next_request_++;
  open->service = service;
  open->source = {link, request.request_id()};
  open->request = request;
  open->reply = std::move(reply);
  open->asked = clock_->Now();
  open->deadline =
      open->asked +
      (request.timeout_ms() > 0 ? absl::Milliseconds(request.timeout_ms()) : kDefaultTimeout);
  open->bytes = bytes;
  ++service->open;
  service->bytes += bytes;
  by_source_[open->source] = open->id;
  deadlines_.emplace(open->deadline, open->id);
  Open* const added = open.get();
  open_[added->id] = std::move(open);
  Assign(added, &after);
  ArmTimer();
}

void RequestDispatcher::Assign(Open* open, After* after) {
  Service* const service = open->service;
  const ResponderPool::Choice choice = service->pool.Choose(open->request.request(), open->tried);
  if (choice.entry == nullptr) {
    if (!choice.later) return Fail(open, after);
    service->waiting.insert(open->id);
    return;
  }
  service->waiting.erase(open->id);
  service->pool.Give(choice.entry, open->id);
  open->at = choice.entry;
  if (!open->tried.empty()) ++service->given_again;
  v1::IncomingRequest given;
  given.set_request_id(open->id);
  given.set_request(open->request.request());
  given.set_data(open->request.data());
  SetDuration(std::max(open->deadline - clock_->Now(), absl::ZeroDuration()),
              given.mutable_remaining());
  given.set_connection_id(open->request.connection_id());
  given.set_user_id(open->request.user_id());
  *given.mutable_permissions() = open->request.permissions();
  given.set_attempt(static_cast<uint32_t>(open->tried.size() + 1));
  choice.entry->stream->QueueRequest(std::move(given));
  after->Flush(choice.entry->stream);
}

void RequestDispatcher::Fail(Open* open, After* after) {
  Service* const service = open->service;
  const std::string name = open->request.request();
  if (!stopping_ && !service->pool.Serves(name) && service->status_requests.contains(name)) {
    // As for a request that comes now.
    after->AskRetained(std::move(open->request), std::move(open->reply));
  } else if (open->deaths >= kMaxDeaths) {
    LogWarning("responder.deadly_request",
               {{"service", service->name}, {"request", name}, {"deaths", open->deaths}});
    after->Answer(
        std::move(open->reply),
        Unavailable(name,
                    absl::StrCat(open->deaths, " processes have gone while they had the request")));
  } else if (!open->excuse.empty()) {
    after->Answer(std::move(open->reply), ErrorReply("UNAVAILABLE", std::move(open->excuse)));
  } else {
    after->Answer(std::move(open->reply),
                  Unavailable(name, stopping_ ? "control is stopping: try again"
                                              : "the process that was asked has gone and no other "
                                                "one can answer: try again"));
  }
  End(open, ServedResult::kUnavailable);
}

void RequestDispatcher::End(Open* open, ServedResult result) {
  Service* const service = open->service;
  --service->open;
  service->bytes -= open->bytes;
  ++service->by_result[static_cast<size_t>(result)];
  service->waiting.erase(open->id);
  deadlines_.erase({open->deadline, open->id});
  const auto source = by_source_.find(open->source);
  if (source != by_source_.end() && source->second == open->id) by_source_.erase(source);
  open_.erase(open->id);
}

void RequestDispatcher::Drop(Open* open, ServedResult result, After* after) {
  if (open->at != nullptr) {
    // It stays outstanding until the responder answers it: so long it may be at work.
    open->at->stream->QueueCancel(open->id);
    after->Flush(open->at->stream);
  }
  End(open, result);
}

void RequestDispatcher::Cancel(uint64_t link, const v1::ClientCancel& cancel) {
  After after(this);
  MutexLock lock(&mu_);
  const auto source = by_source_.find({link, cancel.request_id()});
  if (source == by_source_.end()) return;
  Drop(open_.at(source->second).get(),
       cancel.late() ? ServedResult::kLate : ServedResult::kCancelled, &after);
}

void RequestDispatcher::LinkGone(uint64_t link) {
  After after(this);
  MutexLock lock(&mu_);
  while (true) {
    const auto source = by_source_.lower_bound({link, 0});
    if (source == by_source_.end() || source->first.first != link) return;
    Drop(open_.at(source->second).get(), ServedResult::kCancelled, &after);
  }
}

// ------------------------------------------------------------------------------- time

void RequestDispatcher::ArmTimer() {
  if (deadlines_.empty() || deadlines_.begin()->first >= armed_) return;
  armed_ = deadlines_.begin()->first;
  timers_->At(armed_, [this] { OnTimer(); });
}

void RequestDispatcher::OnTimer() {
  After after(this);
  MutexLock lock(&mu_);
  const absl::Duration now = clock_->Now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Open* const open = open_.at(deadlines_.begin()->second).get();
    // The worker tells the client, and it does not wait for this.
    after.Answer(std::move(open->reply),
                 ErrorReply("UNAVAILABLE", "the service did not answer in time: try again"));
    Drop(open, ServedResult::kLate, &after);
  }
  if (now >= armed_) armed_ = absl::InfiniteDuration();
  ArmTimer();
}

// ------------------------------------------------------------------------------- responders

absl::StatusOr<uint64_t> RequestDispatcher::Join(const v1::ResponderHello& hello,
                                                 std::shared_ptr<Responder> stream) {
  if (absl::Status status = CheckHello(hello); !status.ok()) return status;
  After after(this);
  MutexLock lock(&mu_);
  if (stopping_) return absl::UnavailableError("control is stopping");
  Service* const service = FindService(hello.service());
  if (service == nullptr || !service->configured) {
    return absl::NotFoundError(absl::StrCat("service ", QuotedText(hello.service()),
                                            ": not configured; wsctl services list names them"));
  }
  if (service->pool.size() >= max_responders_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("service \"", service->name, "\" has ", service->pool.size(),
                     " responders: let some leave, or raise limits.max_responders"));
  }
  size_t max_concurrent = max_concurrent_;
  if (hello.max_concurrent() > 0) {
    max_concurrent = std::min<size_t>(max_concurrent, hello.max_concurrent());
  }
  ResponderPool::Entry* const entry =
      service->pool.Add({.number = next_responder_++,
                         .id = hello.responder_id(),
                         .listed = {hello.requests().begin(), hello.requests().end()},
                         .names = {},
                         .max_concurrent = max_concurrent,
                         .stream = std::move(stream)});
  by_responder_[entry->number] = service;
  entry->stream->QueueWelcome(static_cast<uint32_t>(max_concurrent));
  after.Flush(entry->stream);
  LogInfo("responder.joined", {{"service", service->name},
                               {"responder", entry->number},
                               {"id", entry->id},
                               {"requests", absl::StrJoin(entry->listed, ",")},
                               {"max_concurrent", max_concurrent}});
  FillUp(service, entry, &after);
  TellRegistered(&after);
  return entry->number;
}

void RequestDispatcher::OnAnswer(uint64_t responder, uint64_t request_id, ServedAnswer answer) {
  After after(this);
  MutexLock lock(&mu_);
  const auto it = by_responder_.find(responder);
  if (it == by_responder_.end()) return;
  Service* const service = it->second;
  ResponderPool::Entry* const entry = service->pool.Find(responder);
  if (entry->outstanding.erase(request_id) == 0) {
    ++service->ignored_answers;
    return;
  }
  const auto found = open_.find(request_id);
  if (found != open_.end()) {
    Open* const open = found->second.get();
    if (!answer.fault.ok()) {
      static LogLimiter limiter(absl::Seconds(10));
      if (int64_t left_out = 0; limiter.Admit(&left_out)) {
        LogWarning("responder.fault", {{"service", service->name},
                                       {"id", entry->id},
                                       {"request", open->request.request()},
                                       {"reason", answer.fault},
                                       {"left_out", left_out}});
      }
    }
    if (answer.result == ServedResult::kBadAnswer) {
      entry->stream->QueueRefusal(request_id, answer.fault);
      after.Flush(entry->stream);
    }
    open->at = nullptr;
    if (answer.result == ServedResult::kUnavailable) {
      open->tried.push_back(responder);
      open->excuse = std::move(answer.error_message);
      if (open->excuse.empty()) {
        open->excuse = absl::StrCat(open->request.request(), ": not available: try again");
      }
      Assign(open, &after);
    } else {
      v1::ClientReply reply;
      reply.set_data(std::move(answer.json));
      reply.set_error_code(std::move(answer.error_code));
      reply.set_error_message(std::move(answer.error_message));
      after.Answer(std::move(open->reply), std::move(reply));
      if (answer.result == ServedResult::kAnswered) {
        service->seconds.Observe(absl::ToDoubleSeconds(clock_->Now() - open->asked));
      }
      End(open, answer.result);
    }
  }
  FillUp(service, entry, &after);
  EndIfDone(entry, &after);
}

void RequestDispatcher::FillUp(Service* service, ResponderPool::Entry* entry, After* after) {
  for (auto it = service->waiting.begin(); it != service->waiting.end();) {
    if (entry->leaving || entry->outstanding.size() >= entry->max_concurrent) return;
    Open* const open = open_.at(*it++).get();
    if (entry->names.Matches(open->request.request())) Assign(open, after);
  }
}

void RequestDispatcher::AssignWaiting(Service* service, After* after) {
  const std::vector<uint64_t> waiting(service->waiting.begin(), service->waiting.end());
  for (const uint64_t id : waiting) Assign(open_.at(id).get(), after);
}

void RequestDispatcher::OnGoAway(uint64_t responder, const std::string& reason) {
  After after(this);
  MutexLock lock(&mu_);
  const auto it = by_responder_.find(responder);
  if (it == by_responder_.end()) return;
  Service* const service = it->second;
  ResponderPool::Entry* const entry = service->pool.Find(responder);
  if (entry->leaving) return;
  LogInfo("responder.leaving", {{"service", service->name}, {"id", entry->id}, {"reason", reason}});
  BeginLeaving(entry, &after);
  AssignWaiting(service, &after);
  TellRegistered(&after);
}

void RequestDispatcher::BeginLeaving(ResponderPool::Entry* entry, After* after) {
  entry->leaving = true;
  after->Flush(entry->stream);
  EndIfDone(entry, after);
}

void RequestDispatcher::EndIfDone(ResponderPool::Entry* entry, After* after) {
  if (!entry->leaving || !entry->outstanding.empty()) return;
  entry->stream->QueueEnd();
  after->Flush(entry->stream);
}

void RequestDispatcher::OnGone(uint64_t responder, const absl::Status& reason) {
  After after(this);
  MutexLock lock(&mu_);
  const auto it = by_responder_.find(responder);
  if (it == by_responder_.end()) return;
  Service* const service = it->second;
  const ResponderPool::Entry* const entry = service->pool.Find(responder);
  std::vector<uint64_t> left(entry->outstanding.begin(), entry->outstanding.end());
  std::sort(left.begin(), left.end());  // as they came
  LogInfo("responder.gone", {{"service", service->name},
                             {"responder", responder},
                             {"id", entry->id},
                             {"requests_left", left.size()},
                             {"reason", reason}});
  by_responder_.erase(it);
  service->pool.Remove(responder);
  for (const uint64_t id : left) {
    const auto open = open_.find(id);
    if (open == open_.end()) continue;  // cancelled
    open->second->at = nullptr;
    open->second->tried.push_back(responder);
    if (++open->second->deaths < kMaxDeaths) {
      Assign(open->second.get(), &after);
    } else {
      Fail(open->second.get(), &after);
    }
  }
  AssignWaiting(service, &after);
  TellRegistered(&after);
}

void RequestDispatcher::TellRegistered(After* after) {
  // While control stops, workers keep what they know: clients are told UNAVAILABLE then.
  if (stopping_) return;
  std::map<std::string, std::set<std::string>> names;
  for (const auto& [name, service] : services_) {
    std::set<std::string> of_service = service->pool.Names();
    if (!of_service.empty()) names[name] = std::move(of_service);
  }
  if (names == registered_) return;
  registered_ = std::move(names);
  auto registered = std::make_shared<v1::RegisteredRequests>();
  for (const auto& [service, requests] : registered_) {
    v1::ServiceRequestNames* const of_service = registered->add_services();
    of_service->set_service(service);
    for (const std::string& request : requests) of_service->add_requests(request);
  }
  after->Register(++registered_version_, std::move(registered));
}

// ------------------------------------------------------------------------------- the end

void RequestDispatcher::GoAway(const std::string& reason) {
  After after(this);
  MutexLock lock(&mu_);
  stopping_ = true;
  for (const auto& [name, service] : services_) {
    for (const auto& entry : service->pool.entries()) {
      if (!entry->leaving) entry->stream->QueueGoAway(reason);
      BeginLeaving(entry.get(), &after);
    }
    AssignWaiting(service.get(), &after);
  }
}

void RequestDispatcher::Close() {
  After after(this);
  MutexLock lock(&mu_);
  stopping_ = true;
  while (!open_.empty()) {
    Open* const open = open_.begin()->second.get();
    after.Answer(std::move(open->reply),
                 Unavailable(open->request.request(), "control is stopping: try again"));
    Drop(open, ServedResult::kUnavailable, &after);
  }
}

// ------------------------------------------------------------------------------- for operators

RequestDispatcher::Counts RequestDispatcher::CountsOf(absl::string_view name) const {
  MutexLock lock(&mu_);
  Counts counts;
  const Service* const service = FindService(name);
  if (service == nullptr) {
    counts.seconds = Histogram(kSecondsBounds).snapshot();
    return counts;
  }
  counts.responders = static_cast<int64_t>(service->pool.size());
  counts.open = static_cast<int64_t>(service->open);
  counts.waiting = static_cast<int64_t>(service->waiting.size());
  counts.by_result = service->by_result;
  counts.given_again = service->given_again;
  counts.ignored_answers = service->ignored_answers;
  counts.seconds = service->seconds.snapshot();
  return counts;
}

std::vector<RequestDispatcher::ResponderInfo> RequestDispatcher::Responders() const {
  MutexLock lock(&mu_);
  std::vector<ResponderInfo> infos;
  for (const auto& [responder, service] : by_responder_) {
    const ResponderPool::Entry* const entry = service->pool.Find(responder);
    infos.push_back({.service = service->name,
                     .id = entry->id,
                     .requests = entry->listed,
                     .outstanding = static_cast<int64_t>(entry->outstanding.size()),
                     .max_concurrent = static_cast<int64_t>(entry->max_concurrent),
                     .leaving = entry->leaving});
  }
  std::sort(infos.begin(), infos.end(), [](const ResponderInfo& a, const ResponderInfo& b) {
    return std::tie(a.service, a.id) < std::tie(b.service, b.id);
  });
  return infos;
}

}  // namespace fanwire::control
