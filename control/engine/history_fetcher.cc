#include "control/engine/history_fetcher.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "control/engine/stored_publication.h"

namespace fanwire::control {

namespace {

constexpr size_t kMaxPagePublications = 1024;

}  // namespace

HistoryFetcher::HistoryFetcher(const Options& options, HistorySource* source, const Clock* clock)
    : options_(options), source_(source), clock_(clock) {}

HistoryFetcher::~HistoryFetcher() { Stop(); }

void HistoryFetcher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void HistoryFetcher::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool HistoryFetcher::Fetch(const DiskChannelPtr& channel, int64_t first, int64_t last,
                           size_t max_bytes, absl::FunctionRef<EngineCallback()> make_ready) {
  MutexLock lock(&mu_);
  if (stopped_) return false;
  tasks_.push_back({.channel = channel,
                    .first = first,
                    .last = last,
                    .max_bytes = std::min(max_bytes, options_.max_page_bytes),
                    .ready = make_ready()});
  changed_.Signal();
  return true;
}

absl::Status HistoryFetcher::Health() const {
  MutexLock lock(&mu_);
  return failure_;
}

void HistoryFetcher::Run() {
  Task task;
  bool stopped = false;
  while (NextTask(&task, &stopped)) {
    absl::Status status = stopped ? absl::UnavailableError("control is stopping") : ReadPage(task);
    End(std::move(task), status);
    task = {};
    DropPages();
  }
}

bool HistoryFetcher::NextTask(Task* task, bool* stopped) {
  const Clock& real = *Clock::Real();
  MutexLock lock(&mu_);
  while (tasks_.empty() && !stopped_ && real.Now() < next_try_) {
    if (next_try_ == absl::InfiniteDuration()) {
      changed_.Wait(&mu_);
    } else {
      changed_.WaitWithTimeout(&mu_, std::max(next_try_ - real.Now(), absl::ZeroDuration()));
    }
  }
  *stopped = stopped_;
  if (stopped_ || real.Now() >= next_try_) {
    while (!failed_.empty()) {
      tasks_.push_back(std::move(failed_.front()));
      failed_.pop_front();
    }
    next_try_ = absl::InfiniteDuration();
  }
  if (tasks_.empty()) return false;
  *task = std::move(tasks_.front());
  tasks_.pop_front();
  return true;
}

void HistoryFetcher::End(Task task, const absl::Status& status) {
  const absl::Duration now = Clock::Real()->Now();
  const bool had_failed = task.give_up < absl::InfiniteDuration();
  bool stopped = false;
  {
    MutexLock lock(&mu_);
    stopped = stopped_;
    if (!status.ok() && !stopped) {
      if (failure_.ok()) LogError("engine.read_failed", {{"reason", status.message()}});
      failure_ = status;
    }
    if (status.ok() && failing_ == (had_failed ? 1 : 0)) failure_ = absl::OkStatus();
  }
  if (!status.ok() && !stopped && now < task.give_up) {
    if (!had_failed) {
      ++failing_;
      task.give_up = now + options_.give_up_after;
    }
    next_try_ = std::min(next_try_, now + options_.retry_pause);
    failed_.push_back(std::move(task));
    return;
  }
  if (had_failed) --failing_;
  task.ready(status);
}

absl::Status HistoryFetcher::ReadPage(const Task& task) {
  DiskChannel& channel = *task.channel;
  // Many readers want the same page.
  if (channel.forgotten() || channel.KeepInMemory(task.first)) return absl::OkStatus();
  const Epoch epoch = channel.head().epoch;
  const absl::Duration now = clock_->Now();
  const absl::Duration wall_zero = clock_->WallNow() - absl::UnixEpoch() - now;
  auto page = std::make_shared<HistoryPage>();
  int64_t next = task.first;
  int64_t found = task.last + 1;
  absl::Status status = source_->Read(
      channel, epoch, task.first, task.last, [&](int64_t offset, absl::string_view value) {
        const absl::Duration received = channel.ReceivedAt(
            offset, std::min(now, absl::Microseconds(StoredReceivedUs(value)) - wall_zero));
        PublicationPtr publication;
        if (offset == next) {
          publication = ReadStored(value, {.epoch = epoch, .offset = offset}, received);
        }
        if (!publication) {
          // A hole.  If nothing was read yet, history begins behind it.
          found = offset == next ? offset + 1 : offset;
          return false;
        }
        page->bytes += publication->memory_bytes();
        page->publications.push_back(std::move(publication));
        ++next;
        return page->bytes < task.max_bytes && page->publications.size() < kMaxPagePublications;
      });
  if (!status.ok()) return status;
  if (page->publications.empty()) {
    // It may have left history while it was waited for.  Otherwise the database is damaged.
    if (!channel.Trim(now) && channel.Describe(now).oldest_offset <= task.first) {
      LogError("engine.history_lost",
               {{"epoch", epoch.ToText()}, {"from", task.first}, {"to", found - 1}});
      channel.Lost(found);
    }
    return absl::OkStatus();
  }
  page_bytes_ += page->bytes;
  channel.AddPage(page);
  pages_.push_back({.channel = task.channel, .page = std::move(page)});
  return absl::OkStatus();
}

void HistoryFetcher::DropPages() {
  const auto drop = [this](const std::deque<Kept>::iterator& at) {
    page_bytes_ -= at->page->bytes;
    at->channel->DropPage(at->page.get());
    return pages_.erase(at);
  };
  for (auto at = pages_.begin(); at != pages_.end() && page_bytes_ > options_.max_bytes;) {
    at = at->channel->IsUsed(*at->page) ? drop(at) : std::next(at);
  }
  while (!pages_.empty() && page_bytes_ > options_.max_unread_bytes) drop(pages_.begin());
}

}  // namespace fanwire::control
