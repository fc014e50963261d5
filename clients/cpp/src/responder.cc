#include "fanwire/responder.h"

#include <grpcpp/channel.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <map>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "clients/cpp/src/request_wire.h"
#include "clients/cpp/src/stream_link.h"
#include "clients/cpp/src/target.h"
#include "common/check.h"
#include "common/mutex.h"

namespace fanwire::client {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Answers of so many bytes leave in one message; a single one may be longer.
constexpr size_t kMessageBytes = size_t{256} << 10;

}  // namespace

// What a handler's request shares with the responder.
struct Request::Shared {
  std::atomic<bool> cancelled{false};
};

bool Request::cancelled() const {
  return shared_ != nullptr && shared_->cancelled.load(std::memory_order_relaxed);
}

class Responder::Core final : public StreamHandler {
 public:
  Core(std::string service, ResponderOptions options)
      : service_(std::move(service)), options_(std::move(options)) {}

  const ResponderOptions& options() const { return options_; }
  // Whether this is a thread that Stop() waits for.
  bool OnThread() const { return running == this || (link_ != nullptr && link_->OnThread()); }

  void Serve(std::string name, RequestHandler handler) {
    FANWIRE_CHECK(link_ == nullptr, "Serve() comes before Start()");
    handlers_[std::move(name)] = std::move(handler);
  }
  Status Start();
  Status WaitUntilServing(milliseconds timeout);
  Status Stop(milliseconds timeout);

  void MakeHello(OutMessage* message) override;
  Status OnMessage(std::string_view message) override;
  bool MakeMessage(OutMessage* message) override;
  void OnWake() override {}
  void OnEnd(const Status& status) override;

 private:
  // A request that waits for a thread.
  struct Task {
    uint64_t stream = 0;
    uint64_t id = 0;
    Request request = {};
  };

  // Whose handlers this thread runs.
  static thread_local const Core* running;

  void Run();
  Response Handle(const Request& request) const;
  const RequestHandler* FindHandler(const std::string& name) const;
  void TakeRequests(std::vector<RequestReader> requests);

  const std::string service_;
  const ResponderOptions options_;
  std::map<std::string, RequestHandler> handlers_;  // not changed after Start()
  std::unique_ptr<StreamLink> link_;
  std::vector<std::thread> threads_;
  bool told_ = false;  // of the link's thread: on_connection() has been called

  Mutex mu_;  // a leaf
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  // What was sent to this responder on the current stream and is not answered, by id.
  std::map<uint64_t, std::shared_ptr<Request::Shared>> here_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> answers_ ABSL_GUARDED_BY(mu_);  // of the current stream
  uint64_t stream_ ABSL_GUARDED_BY(mu_) = 0;              // counts streams
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool leaving_ ABSL_GUARDED_BY(mu_) = false;    // Stop() was called
  bool told_away_ ABSL_GUARDED_BY(mu_) = false;  // go_away was sent
  bool over_ ABSL_GUARDED_BY(mu_) = false;       // threads end
  Status last_error_ ABSL_GUARDED_BY(mu_);
};

thread_local const Responder::Core* Responder::Core::running = nullptr;

Status Responder::Core::Start() {
  if (link_ != nullptr) return {Code::kFailedPrecondition, "Start() was called before"};
  if (handlers_.empty()) return {Code::kFailedPrecondition, "call Serve() first"};
  std::shared_ptr<grpc::Channel> channel;
  PublisherOptions connection;
  connection.target = options_.target;
  connection.tls = options_.tls;
  connection.ca_file = options_.ca_file;
  connection.cert_file = options_.cert_file;
  connection.key_file = options_.key_file;
  connection.token = ChooseToken(options_.token);
  connection.reconnect_first = options_.reconnect_first;
  if (Status status = MakeChannel(connection, &channel); !status.ok()) return status;
  link_ = std::make_unique<StreamLink>(
      StreamLink::Options{.channel = std::move(channel),
                          .address = ChooseAddress(options_.target),
                          .method = "/fanwire.v1.Publisher/ServeRequests",
                          .token = ChooseToken(options_.token),
                          .reconnect_first = options_.reconnect_first,
                          .reconnect_last = options_.reconnect_last},
      this);
  for (int i = 0; i < std::max(options_.threads, 1); ++i) {
    threads_.emplace_back([this] { Run(); });
  }
  link_->Start();
  return {};
}

Status Responder::Core::WaitUntilServing(milliseconds timeout) {
  const steady_clock::time_point end = steady_clock::now() + timeout;
  MutexLock lock(&mu_);
  while (!serving_) {
    const auto left = end - steady_clock::now();
    if (left <= left.zero()) {
      return last_error_.ok() ? Status(Code::kDeadlineExceeded, "control has not answered yet")
                              : last_error_;
    }
    changed_.WaitWithTimeout(&mu_, absl::FromChrono(left));
  }
  return {};
}

Status Responder::Core::Stop(milliseconds timeout) {
  if (link_ == nullptr) return {};
  if (OnThread()) {
    return {Code::kFailedPrecondition,
            "Stop() was called in a handler or a callback, which it waits for"};
  }
  Status status;
  {
    MutexLock lock(&mu_);
    if (std::exchange(leaving_, true)) return {};
  }
  link_->Wake();
  {
    // Control ends the stream after the last answer.
    const steady_clock::time_point end = steady_clock::now() + timeout;
    MutexLock lock(&mu_);
    while (serving_) {
      const auto left = end - steady_clock::now();
      if (left <= left.zero()) {
        status = {Code::kDeadlineExceeded,
                  std::to_string(here_.size()) + " requests were not answered"};
        break;
      }
      changed_.WaitWithTimeout(&mu_, absl::FromChrono(left));
    }
  }
  link_->Stop(milliseconds(0));
  {
    MutexLock lock(&mu_);
    over_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
  return status;
}

void Responder::Core::MakeHello(OutMessage* message) {
  std::vector<std::string> names;
  for (const auto& [name, handler] : handlers_) names.push_back(name);
  message->head = WriteResponderHello(service_, names, options_.max_concurrent, options_.id);
}

Status Responder::Core::OnMessage(std::string_view message) {
  ServeAnswer answer;
  if (!ReadServeAnswer(message, steady_clock::now(), &answer)) {
    return {Code::kInternal, "control sent a malformed message"};
  }
  switch (answer.kind) {
    case ServeAnswer::Kind::kWelcome: {
      link_->SetOpen();
      link_->ResetBackoff();
      {
        MutexLock lock(&mu_);
        serving_ = true;
        changed_.SignalAll();
      }
      told_ = true;
      if (options_.on_connection) options_.on_connection(Status());
      break;
    }
    case ServeAnswer::Kind::kRequests:
      TakeRequests(std::move(answer.requests));
      break;
    case ServeAnswer::Kind::kCancel: {
      MutexLock lock(&mu_);
      for (const uint64_t id : answer.cancelled) {
        const auto found = here_.find(id);
        if (found != here_.end()) found->second->cancelled.store(true, std::memory_order_relaxed);
      }
      break;
    }
    case ServeAnswer::Kind::kRefused:
      if (options_.on_refused_answer) options_.on_refused_answer(answer.refusal);
      break;
    case ServeAnswer::Kind::kGoAway:   // what is here is answered; then control ends the stream
    case ServeAnswer::Kind::kUnknown:  // of a later version
      break;
  }
  return {};
}

void Responder::Core::TakeRequests(std::vector<RequestReader> requests) {
  MutexLock lock(&mu_);
  for (RequestReader& each : requests) {
    auto shared = std::make_shared<Request::Shared>();
    here_[each.id] = shared;
    each.SetShared(std::move(shared));
    tasks_.push_back({.stream = stream_, .id = each.id, .request = std::move(each.request)});
  }
  changed_.SignalAll();
}

bool Responder::Core::MakeMessage(OutMessage* message) {
  MutexLock lock(&mu_);
  if (leaving_ && !std::exchange(told_away_, true)) {
    link_->SetLast();
    message->head = WriteResponderGoAway("the responder stops");
    return true;
  }
  if (answers_.empty()) return false;
  std::string bytes;
  while (!answers_.empty() &&
         (bytes.empty() || bytes.size() + answers_.front().size() <= kMessageBytes)) {
    bytes += answers_.front();
    answers_.pop_front();
  }
  message->head = WriteAnswersHead(bytes.size()) + bytes;
  return true;
}

void Responder::Core::OnEnd(const Status& status) {
  bool tell = !std::exchange(told_, true);
  {
    MutexLock lock(&mu_);
    // Control gives what is here to others; ids mean something else on the next stream.
    ++stream_;
    for (const auto& [id, shared] : here_) shared->cancelled.store(true, std::memory_order_relaxed);
    here_.clear();
    answers_.clear();
    tasks_.clear();
    last_error_ = status;
    tell = std::exchange(serving_, false) || tell;
    changed_.SignalAll();
  }
  if (tell && options_.on_connection) options_.on_connection(status);
}

void Responder::Core::Run() {
  running = this;
  while (true) {
    Task task;
    {
      MutexLock lock(&mu_);
      while (tasks_.empty() && !over_) changed_.Wait(&mu_);
      if (over_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    // Of a request that nobody waits for, control still wants to hear.
    const Response response =
        task.request.cancelled() ? Response::Json("{}") : Handle(task.request);
    {
      MutexLock lock(&mu_);
      if (task.stream != stream_ || here_.erase(task.id) == 0) continue;
      answers_.push_back(WriteAnswer(task.id, response));
    }
    link_->Wake();
  }
}

Response Responder::Core::Handle(const Request& request) const {
  const RequestHandler* const handler = FindHandler(request.name());
  if (handler == nullptr) {
    return Response::Error(RequestError::kUnavailable, "not served by this responder");
  }
  try {
    return (*handler)(request);
  } catch (const std::exception& error) {
    return Response::Error(RequestError::kInternalError, error.what());
  } catch (...) {
    return Response::Error(RequestError::kInternalError, "an exception of an unknown type");
  }
}

const RequestHandler* Responder::Core::FindHandler(const std::string& name) const {
  if (const auto exact = handlers_.find(name); exact != handlers_.end()) return &exact->second;
  for (size_t size = name.size() + 1; size > 0; --size) {
    const auto pattern = handlers_.find(name.substr(0, size - 1) + "*");
    if (pattern != handlers_.end()) return &pattern->second;
  }
  return nullptr;
}

Responder::Responder(std::string service, ResponderOptions options)
    : core_(std::make_unique<Core>(std::move(service), std::move(options))) {}

Responder::~Responder() {
  FANWIRE_CHECK(!core_->OnThread(), "a responder's handler or callback must not destroy it");
  core_->Stop(core_->options().stop_timeout);
}

void Responder::Serve(std::string name, RequestHandler handler) {
  core_->Serve(std::move(name), std::move(handler));
}
Status Responder::Start() { return core_->Start(); }
Status Responder::WaitUntilServing(milliseconds timeout) {
  return core_->WaitUntilServing(timeout);
}
Status Responder::Stop(milliseconds timeout) { return core_->Stop(timeout); }

}  // namespace fanwire::client
