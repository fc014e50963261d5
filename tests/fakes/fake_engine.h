// FakeEngine keeps everything in the memory engine, and takes time for it, as an engine on a disk
// or behind a network does: it opens channels later, keeps publications later, and fetches history
// before it can be read.  Channels survive the parts above the engine, as over a restart.
//
// What it is told to delay becomes a task.  A test ends the tasks one by one (End(), EndFirst()),
// or all of them in an order that the seed gives (Settle()).  Tasks of one channel end in the order
// in which they began, except fetches, which may end in any order.  A task has ended when its
// callback has returned.
//
// It can also play another control that shares the engine (PublishElsewhere()).
//
// Threading: safe from every thread.  Callbacks run on the thread that ends the task.
// Ownership: must outlive its channels.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/check.h"
#include "common/mutex.h"
#include "control/engine/engine.h"
#include "control/engine/memory_engine.h"
#include "control/engine/owned_record.h"

namespace fanwire::control {

class FakeEngine : public Engine {
 public:
  // What takes time from now on.
  struct Delays {
    bool opens = false;
    bool appends = false;
    bool fetches = false;
    bool times = false;  // so FirstSince() returns where history begins, if any of it is new enough
  };
  static constexpr Delays kAll = {.opens = true, .appends = true, .fetches = true, .times = true};

  enum class Kind { kOpen, kAppend, kFetch, kFeed };

  // A read gets so many publications of those that were fetched.
  static constexpr int64_t kFetchedAtOnce = 50;

  // Settle() ends one of so many tasks that began first.
  static constexpr size_t kReordered = 32;

  explicit FakeEngine(uint64_t max_history_bytes = 64 << 20, uint32_t seed = 1)
      : memory_(MakeMemoryEngine(max_history_bytes)), random_(seed) {}
  ~FakeEngine() override { FANWIRE_CHECK(tasks_.empty()); }

  void Delay(const Delays& delays) {
    MutexLock lock(&mu_);
    delays_ = delays;
  }
  // At most so many publications wait; further ones are kFull.
  void SetMaxWaiting(size_t publications) {
    MutexLock lock(&mu_);
    max_waiting_ = publications;
  }
  // The append after the next `after` ones that end is refused with `status`.
  void FailAppend(size_t after, absl::Status status) {
    MutexLock lock(&mu_);
    fail_after_ = after;
    failure_ = std::move(status);
  }

  // Tasks of this kind that have not ended.
  size_t waiting(Kind kind) const {
    MutexLock lock(&mu_);
    return WaitingLocked(kind);
  }
  // Ends the `index`th of the tasks of this kind that nobody is ending, counted from the one that
  // began first.  An append is kept only if `status` is OK.  Of an open channel or a fetch `status`
  // must be OK.
  void End(Kind kind, size_t index, const absl::Status& status = absl::OkStatus()) {
    std::function<void()> end;
    {
      MutexLock lock(&mu_);
      auto task = tasks_.begin();
      while (task != tasks_.end() && (task->kind != kind || task->ending || index-- > 0)) ++task;
      FANWIRE_CHECK(task != tasks_.end());
      end = Take(task, status);
    }
    end();
  }
  // Does the work of the task that began first and has not ended.  What it returns calls the
  // callback.
  std::function<void()> BeginEnd(Kind kind) {
    MutexLock lock(&mu_);
    auto task = tasks_.begin();
    while (task != tasks_.end() && (task->kind != kind || task->ending)) ++task;
    FANWIRE_CHECK(task != tasks_.end());
    return Take(task, absl::OkStatus());
  }
  void EndFirst(Kind kind, const absl::Status& status = absl::OkStatus()) { End(kind, 0, status); }

  // Ends all tasks, and those that begin meanwhile.  One thread at a time does so.
  void Settle() {
    const std::lock_guard<std::mutex> settling(settling_);
    for (;;) {
      std::function<void()> end;
      {
        MutexLock lock(&mu_);
        std::vector<Tasks::iterator> ready;
        size_t seen = 0;
        for (auto task = tasks_.begin(); task != tasks_.end() && seen < kReordered; ++task) {
          ++seen;
          if (!task->ending && IsFirst(task)) ready.push_back(task);
        }
        if (ready.empty()) return;
        end = Take(ready[random_() % ready.size()], absl::OkStatus());
      }
      end();
    }
  }

  // Another control publishes.  If tasks of the channel are under way, this is one as well.
  void PublishElsewhere(const std::string& service, const std::string& channel,
                        const PublicationPtr& publication, bool keep = true) {
    const Key key{service, channel};
    bool known;
    {
      MutexLock lock(&mu_);
      known = live_.contains(key);
    }
    if (!known) feed_->OnUnopened(service, channel);
    std::function<void()> end;
    {
      MutexLock lock(&mu_);
      const auto live = live_.find(key);
      Task task;
      task.kind = Kind::kFeed;
      task.fed = key;
      task.publication = publication;
      task.keep = keep;
      if (live != live_.end()) task.channels = {live->second};
      tasks_.push_back(std::move(task));
      if (!IsFirst(std::prev(tasks_.end()))) return;
      end = Take(std::prev(tasks_.end()), absl::OkStatus());
    }
    end();
  }
  // Another control publishes `count` times, and nothing of it comes here.
  void MissElsewhere(const std::string& service, const std::string& channel, int count) {
    {
      MutexLock lock(&mu_);
      const std::shared_ptr<EngineChannel>& log = LogOf({service, channel});
      for (int i = 0; i < count; ++i) {
        KeepElsewhere(log.get(), Publication::Make({.max_envelope_bytes = 100}), true);
      }
      while (log->Describe(now_).publications > 0) log->DropOldest();
    }
    feed_->OnMissed(service, channel);
  }
  // The channel loses its history and has another epoch, which another control has noticed.
  void ChangeEpoch(const std::string& service, const std::string& channel) {
    {
      MutexLock lock(&mu_);
      logs_.erase({service, channel});
      LogOf({service, channel});
    }
    feed_->OnEpochChanged(service, channel);
  }
  // The position of the newest publication.
  Position HeadOf(const std::string& service, const std::string& channel) {
    MutexLock lock(&mu_);
    return LogOf({service, channel})->head();
  }

  absl::string_view name() const override { return "fake"; }
  absl::Status Start() override { return absl::OkStatus(); }
  void Close() override {
    {
      MutexLock lock(&mu_);
      closed_ = true;
    }
    Settle();
  }

  void SetFeed(EngineFeed* feed) override { feed_ = feed; }

  std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                      const HistoryPolicy& policy,
                                      absl::FunctionRef<OpenedCallback()> make_opened) override {
    MutexLock lock(&mu_);
    const Key key{service, channel};
    const std::shared_ptr<EngineChannel>& log = LogOf(key);
    log->SetPolicy(policy, now_);
    auto opened = std::make_unique<Channel>(this, key, log);
    live_[key] = opened.get();
    if (delays_.opens || closed_) opened->open = false;
    if (delays_.opens && !closed_) {
      tasks_.push_back({.kind = Kind::kOpen, .channels = {opened.get()}, .opened = make_opened()});
    }
    return opened;
  }

  void Reopen(EngineChannel* channel, absl::FunctionRef<OpenedCallback()> make_opened) override {
    MutexLock lock(&mu_);
    auto* const reopened = static_cast<Channel*>(channel);
    reopened->inner = LogOf(reopened->key);
    reopened->open = false;
    tasks_.push_back({.kind = Kind::kOpen, .channels = {reopened}, .opened = make_opened()});
  }

  void Forget(std::unique_ptr<EngineChannel> channel) override {
    MutexLock lock(&mu_);
    auto* const forgotten = static_cast<Channel*>(channel.get());
    for (Task& task : tasks_) {
      if (!Share(task.channels, {forgotten})) continue;
      FANWIRE_CHECK(task.kind == Kind::kFetch);  // nothing else may be under way
      task.channels.clear();
    }
    readable_.erase(forgotten);
    std::erase_if(logs_, [&](const auto& log) { return log.second == forgotten->inner; });
  }

  AppendOutcome Append(absl::Span<const EngineAppend> appends, const EventRecord& record,
                       absl::Duration now, absl::FunctionRef<EngineCallback()> make_done) override {
    MutexLock lock(&mu_);
    if (closed_) return AppendOutcome::kFull;
    now_ = std::max(now_, now);
    std::vector<Channel*> channels;
    bool wait = delays_.appends;
    for (const EngineAppend& append : appends) {
      channels.push_back(static_cast<Channel*>(append.channel));
    }
    wait = wait || std::any_of(tasks_.begin(), tasks_.end(), [&](const Task& task) {
             return task.kind != Kind::kFetch && Share(task.channels, channels);
           });
    if (!wait) return Keep(appends, OwnedRecord(record), now);
    if (WaitingLocked(Kind::kAppend) >= max_waiting_) return AppendOutcome::kFull;
    tasks_.push_back({.kind = Kind::kAppend,
                      .channels = std::move(channels),
                      .appends = {appends.begin(), appends.end()},
                      .record = OwnedRecord(record),
                      .now = now,
                      .done = make_done()});
    return AppendOutcome::kPending;
  }

  absl::Status VisitRecords(absl::FunctionRef<void(const KeptRecord&)> visit) override {
    std::vector<Record> records;
    {
      MutexLock lock(&mu_);
      records = records_;
    }
    for (const Record& record : records) {
      visit(
          {.event = record.event.view(), .position = record.position, .received = record.received});
    }
    return absl::OkStatus();
  }

  int64_t history_bytes() const override { return memory_->history_bytes(); }
  int64_t excess_bytes() const override { return memory_->excess_bytes(); }
  bool is_crowded() const override { return memory_->is_crowded(); }
  bool survives_restart() const override { return true; }
  absl::Status Health() const override { return absl::OkStatus(); }
  EngineStatus status() const override {
    return {.history_bytes = history_bytes(),
            .waiting_publications = static_cast<int64_t>(waiting(Kind::kAppend))};
  }

 private:
  using Key = std::pair<std::string, std::string>;  // service and channel

  struct Channel final : EngineChannel {
    Channel(FakeEngine* owner, Key name, std::shared_ptr<EngineChannel> of)
        : engine(owner), key(std::move(name)), inner(std::move(of)) {}
    ~Channel() override {
      MutexLock lock(&engine->mu_);
      const auto live = engine->live_.find(key);
      if (live != engine->live_.end() && live->second == this) engine->live_.erase(live);
    }

    Position head() const override {
      MutexLock lock(&engine->mu_);
      return open ? inner->head() : Position();
    }
    HistoryState Describe(absl::Duration now) override {
      MutexLock lock(&engine->mu_);
      return open ? inner->Describe(now) : HistoryState();
    }
    const HistoryPolicy& policy() const override {
      MutexLock lock(&engine->mu_);
      return inner->policy();
    }
    void SetPolicy(const HistoryPolicy& policy, absl::Duration now) override {
      MutexLock lock(&engine->mu_);
      inner->SetPolicy(policy, now);
    }
    ReadOutcome ReadAfter(int64_t after, int64_t until, size_t max_bytes, absl::Duration now,
                          std::vector<PublicationPtr>* page,
                          absl::FunctionRef<EngineCallback()> make_ready) override {
      MutexLock lock(&engine->mu_);
      FANWIRE_CHECK(open);
      if (engine->delays_.fetches && engine->readable_.erase(this) == 0) {
        if (engine->closed_) return ReadOutcome::kClosed;
        engine->tasks_.push_back({.kind = Kind::kFetch, .channels = {this}, .done = make_ready()});
        return ReadOutcome::kFetching;
      }
      const int64_t last = engine->delays_.fetches ? after + kFetchedAtOnce : until;
      return inner->ReadAfter(after, std::min(until, last), max_bytes, now, page, make_ready);
    }
    int64_t FirstSince(absl::Duration received) const override {
      MutexLock lock(&engine->mu_);
      if (!open) return 1;
      const int64_t first = inner->FirstSince(received);
      if (!engine->delays_.times || first > inner->head().offset) return first;
      return inner->Describe(received).oldest_offset;
    }
    bool Trim(absl::Duration now) override {
      MutexLock lock(&engine->mu_);
      return !open || inner->Trim(now);
    }
    absl::Duration oldest_received_at() const override {
      MutexLock lock(&engine->mu_);
      return open ? inner->oldest_received_at() : absl::InfiniteDuration();
    }
    void DropOldest() override {
      MutexLock lock(&engine->mu_);
      inner->DropOldest();
    }

    FakeEngine* const engine;
    const Key key;
    std::shared_ptr<EngineChannel> inner;
    bool open = true;
  };

  struct Record {
    OwnedRecord event;
    Position position = {};
    absl::Duration received = {};
  };

  struct Task {
    Kind kind = Kind::kOpen;
    bool ending = false;             // its work is done, and its callback runs
    std::vector<Channel*> channels;  // those of an append; else one
    OpenedCallback opened = nullptr;
    std::vector<EngineAppend> appends = {};
    OwnedRecord record = {};
    absl::Duration now = {};
    EngineCallback done = nullptr;
    Key fed = {};
    PublicationPtr publication = {};  // of a feed
    bool keep = true;
  };
  using Tasks = std::list<Task>;

  static bool Share(const std::vector<Channel*>& a, const std::vector<Channel*>& b) {
    return std::any_of(a.begin(), a.end(), [&](const Channel* channel) {
      return std::find(b.begin(), b.end(), channel) != b.end();
    });
  }

  // Whether nothing that began earlier must end before the task.
  bool IsFirst(Tasks::const_iterator task) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (task->kind == Kind::kFetch) return true;
    return std::none_of(tasks_.begin(), task, [&](const Task& earlier) {
      return earlier.kind != Kind::kFetch && Share(earlier.channels, task->channels);
    });
  }

  size_t WaitingLocked(Kind kind) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return static_cast<size_t>(std::count_if(tasks_.begin(), tasks_.end(),
                                             [&](const Task& task) { return task.kind == kind; }));
  }

  const std::shared_ptr<EngineChannel>& LogOf(const Key& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::shared_ptr<EngineChannel>& log = logs_[key];
    if (log == nullptr) {
      log = memory_->Open(key.first, key.second, {.size = 100},
                          []() -> OpenedCallback { return nullptr; });
    }
    return log;
  }

  void KeepElsewhere(EngineChannel* log, const PublicationPtr& publication, bool keep)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const EngineAppend append{.channel = log, .publication = publication, .keep = keep};
    memory_->Append({&append, 1}, {}, now_, []() -> EngineCallback { return nullptr; });
  }

  AppendOutcome Keep(absl::Span<const EngineAppend> appends, OwnedRecord record, absl::Duration now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::vector<EngineAppend> inner(appends.begin(), appends.end());
    for (EngineAppend& append : inner) {
      append.channel = static_cast<Channel*>(append.channel)->inner.get();
    }
    const AppendOutcome outcome =
        memory_->Append(inner, {}, now, []() -> EngineCallback { return nullptr; });
    if (!record.view().empty()) {
      const Publication& origin = *appends.front().publication;
      records_.push_back({.event = std::move(record),
                          .position = {.epoch = origin.epoch(), .offset = origin.offset()},
                          .received = origin.received_at()});
    }
    return outcome;
  }

  // Does the task's work.  Returns what calls its callback and then removes the task, to be called
  // without the mutex.
  std::function<void()> Take(Tasks::iterator task, absl::Status status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    FANWIRE_CHECK(IsFirst(task));
    task->ending = true;
    switch (task->kind) {
      case Kind::kOpen:
        task->channels.front()->open = true;
        break;
      case Kind::kFetch:
        if (!task->channels.empty()) readable_.insert(task->channels.front());
        break;
      case Kind::kAppend:
        if (!failure_.ok() && fail_after_-- == 0) status = std::exchange(failure_, {});
        if (status.ok()) Keep(task->appends, std::move(task->record), task->now);
        break;
      case Kind::kFeed:
        KeepElsewhere(LogOf(task->fed).get(), task->publication, task->keep);
        return [this, task] {
          feed_->OnPublication({.service = task->fed.first,
                                .channel = task->fed.second,
                                .publication = task->publication});
          MutexLock lock(&mu_);
          tasks_.erase(task);
        };
    }
    return [this, task, status, opened = std::move(task->opened), done = std::move(task->done)] {
      opened != nullptr ? opened() : done(status);
      MutexLock lock(&mu_);
      tasks_.erase(task);
    };
  }

  const std::unique_ptr<Engine> memory_;
  std::mutex settling_;  // before all locks
  mutable Mutex mu_;     // a leaf
  Delays delays_ ABSL_GUARDED_BY(mu_);
  size_t max_waiting_ ABSL_GUARDED_BY(mu_) = SIZE_MAX;
  size_t fail_after_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  std::mt19937 random_ ABSL_GUARDED_BY(mu_);
  Tasks tasks_ ABSL_GUARDED_BY(mu_);
  std::vector<Record> records_ ABSL_GUARDED_BY(mu_);
  absl::Duration now_ ABSL_GUARDED_BY(mu_);  // of the newest append
  std::map<Key, std::shared_ptr<EngineChannel>> logs_ ABSL_GUARDED_BY(mu_);
  std::map<Key, Channel*> live_ ABSL_GUARDED_BY(mu_);  // those that were opened
  EngineFeed* feed_ = nullptr;
  std::set<const Channel*> readable_ ABSL_GUARDED_BY(mu_);  // once
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

// Ends an engine's tasks on a thread of its own.
class EnginePump {
 public:
  explicit EnginePump(FakeEngine* engine)
      : thread_([this, engine] {
          while (!over_) {
            engine->Settle();
            std::this_thread::sleep_for(std::chrono::microseconds(200));
          }
        }) {}
  ~EnginePump() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace fanwire::control
