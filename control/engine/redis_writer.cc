#include "control/engine/redis_writer.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "control/engine/redis_message.h"
#include "control/engine/redis_scripts.h"
#include "control/engine/stored_publication.h"

namespace fanwire::control {

namespace {

// One script blocks the server for about 10 us for each publication.
constexpr size_t kMaxPublications = 200;
constexpr size_t kMaxBytes = size_t{1} << 20;

absl::string_view ModeOf(const OwnAppend::Item& item) {
  if (!item.keep) return kModePass;
  return item.channel->policy().size > 0 ? kModeKeep : kModePosition;
}

}  // namespace

RedisWriter::RedisWriter(const RedisOptions& options, std::string node, FeedSequencer* sequencer)
    : options_(options), node_(std::move(node)), sequencer_(sequencer), session_(options) {}

RedisWriter::~RedisWriter() { Stop(); }

void RedisWriter::Start() {
  thread_ = std::thread([this] { Run(); });
}

void RedisWriter::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

AppendOutcome RedisWriter::Append(std::vector<OwnAppend::Item> items, absl::Duration now,
                                  absl::FunctionRef<EngineCallback()> make_done) {
  bool waits = false;
  size_t bytes = 0;
  for (const OwnAppend::Item& item : items) {
    bytes += item.publication->memory_bytes();
    waits = waits || item.keep || !item.channel->announced.load(std::memory_order_acquire) ||
            item.channel->under_way.load(std::memory_order_acquire) > 0;
  }
  MutexLock lock(&mu_);
  if (stopped_) return AppendOutcome::kFull;
  if (waiting_ > 0 && (waiting_ + items.size() > options_.max_waiting_publications ||
                       waiting_bytes_ + bytes > options_.max_waiting_bytes)) {
    return AppendOutcome::kFull;
  }
  waiting_ += items.size();
  waiting_bytes_ += bytes;
  auto append = std::make_shared<OwnAppend>();
  append->items = std::move(items);
  if (waits) {
    for (const OwnAppend::Item& item : append->items) {
      item.channel->under_way.fetch_add(1, std::memory_order_relaxed);
    }
    append->done = make_done();
  }
  tasks_.push_back({.append = std::move(append), .bytes = bytes, .since = now});
  changed_.Signal();
  // What is not kept is told here at once if nothing of its channel is under way.
  return waits ? AppendOutcome::kPending : AppendOutcome::kDone;
}

absl::Status RedisWriter::Health() const {
  MutexLock lock(&mu_);
  return failure_;
}

int64_t RedisWriter::waiting_publications() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(waiting_);
}

absl::Duration RedisWriter::waiting_since() const {
  MutexLock lock(&mu_);
  if (sending_since_ < absl::InfiniteDuration()) return sending_since_;
  return tasks_.empty() ? absl::InfiniteDuration() : tasks_.front().since;
}

void RedisWriter::Run() {
  const Clock& real = *Clock::Real();
  for (;;) {
    std::vector<Task> tasks;
    {
      MutexLock lock(&mu_);
      sending_since_ = absl::InfiniteDuration();
      while (tasks_.empty() && !stopped_) {
        if (failure_.ok()) {
          changed_.Wait(&mu_);
        } else if (const absl::Duration wait = next_try_ - real.Now();
                   wait > absl::ZeroDuration()) {
          changed_.WaitWithTimeout(&mu_, wait);
        } else {
          break;
        }
      }
      if (tasks_.empty() && stopped_) return;
      tasks.swap(tasks_);
      if (!tasks.empty()) sending_since_ = tasks.front().since;
    }
    if ((tasks.empty() || !session_.connected()) && real.Now() >= next_try_) {
      const absl::Status status = session_.Probe();
      if (!status.ok()) next_try_ = real.Now() + options_.retry_pause;
      MutexLock lock(&mu_);
      failure_ = status;
    }
    for (size_t begin = 0; begin < tasks.size();) {
      size_t end = begin, publications = 0, bytes = 0;
      while (end < tasks.size() &&
             (end == begin || (publications + tasks[end].append->items.size() <= kMaxPublications &&
                               bytes + tasks[end].bytes <= kMaxBytes))) {
        publications += tasks[end].append->items.size();
        bytes += tasks[end].bytes;
        ++end;
      }
      Send(absl::MakeConstSpan(tasks).subspan(begin, end - begin));
      MutexLock lock(&mu_);
      waiting_ -= publications;
      waiting_bytes_ -= bytes;
      begin = end;
    }
  }
}

void RedisWriter::Send(absl::Span<const Task> tasks) {
  if (!session_.connected()) return Fail(tasks, Health());
  std::deque<std::string> texts;
  std::vector<RedisSession::Appended> appended;
  for (const Task& task : tasks) {
    for (size_t i = 0; i < task.append->items.size(); ++i) {
      OwnAppend::Item& item = task.append->items[i];
      const HistoryPolicy policy = item.channel->policy();
      const absl::string_view mode = ModeOf(item);
      std::string& head = texts.emplace_back();
      AppendMessageHead(node_, mode, i > 0, item.in_keys, &head);
      std::string& value = texts.emplace_back();
      WriteStoredHead(*item.publication, &value);
      absl::StrAppend(&value, item.publication->envelope());
      item.bytes = static_cast<int64_t>(value.size());
      appended.push_back({.name = item.in_keys,
                          .mode = mode,
                          .history_size = policy.size,
                          .history_ttl = policy.ttl,
                          .received_us = item.publication->received_us(),
                          .head = head,
                          .value = value});
    }
  }
  absl::StatusOr<std::vector<RedisSession::Placed>> placed = session_.Append(appended);
  if (absl::IsAborted(placed.status())) {
    sequencer_->CheckAll();
    placed = session_.Append(appended);
  }
  if (!placed.ok()) {
    next_try_ =
        Clock::Real()->Now() + (session_.connected() ? options_.retry_pause : absl::ZeroDuration());
    if (!session_.connected()) sequencer_->CheckAll();
    return Fail(tasks, placed.status());
  }
  std::vector<OwnAppendPtr> done;
  size_t next = 0;
  for (const Task& task : tasks) {
    for (OwnAppend::Item& item : task.append->items) {
      item.epoch = (*placed)[next].epoch;
      item.offset = (*placed)[next].offset;
      ++next;
    }
    if (task.append->done != nullptr) done.push_back(task.append);
  }
  if (!done.empty()) sequencer_->Add(std::move(done));
  MutexLock lock(&mu_);
  failure_ = absl::OkStatus();
}

void RedisWriter::Fail(absl::Span<const Task> tasks, const absl::Status& status) {
  std::vector<OwnAppendPtr> refused;
  for (const Task& task : tasks) {
    if (task.append->done != nullptr) refused.push_back(task.append);
  }
  if (!refused.empty()) {
    sequencer_->Refuse(std::move(refused),
                       absl::UnavailableError(absl::StrCat(
                           status.message(), "; try again, with the same idempotency_key")));
  }
  MutexLock lock(&mu_);
  failure_ = status;
}

}  // namespace fanwire::control
