// HistoryFetcher reads history from the disk, or from a server, on a thread of its own, page by
// page, and keeps the pages in memory for the reads that asked for them.
//
// A page is dropped when all pages are over their bound: first those that a read has had, oldest
// first.  Others are dropped only when all are far over the bound, so a read that is tried again
// finds what was fetched for it, whatever others fetch.
//
// A page that cannot be read is tried again for a while, beside the others, and then given up.
//
// Threading: safe from every thread.  Callbacks run on its thread, without locks.
// Ownership: borrows the source and the clock, and shares the channels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/engine/disk_channel.h"
#include "control/engine/engine.h"

namespace fanwire::control {

// Where history lies.
class HistorySource {
 public:
  virtual ~HistorySource() = default;

  // Visits the stored publications of an epoch of the channel from offset `first` to `last`, in
  // order, until `visit` returns false.  May block.
  virtual absl::Status Read(
      const DiskChannel& channel, Epoch epoch, int64_t first, int64_t last,
      absl::FunctionRef<bool(int64_t offset, absl::string_view value)> visit) = 0;
};

class HistoryFetcher {
 public:
  struct Options {
    size_t max_page_bytes = size_t{1} << 20;
    size_t max_bytes = size_t{16} << 20;         // of all pages
    size_t max_unread_bytes = size_t{64} << 20;  // of all pages, if nobody has read them yet
    absl::Duration retry_pause = absl::Seconds(1);
    absl::Duration give_up_after = absl::Seconds(30);  // calls back with the reason
  };

  HistoryFetcher(const Options& options, HistorySource* source, const Clock* clock);
  ~HistoryFetcher();
  HistoryFetcher(const HistoryFetcher&) = delete;
  HistoryFetcher& operator=(const HistoryFetcher&) = delete;

  void Start();
  // Calls back for everything that waits, and ends the thread.
  void Stop();

  // Fetches the publications from offset `first` on, up to `last`, at least one and about
  // `max_bytes`.  Returns false, without a callback, if it has been stopped.
  bool Fetch(const DiskChannelPtr& channel, int64_t first, int64_t last, size_t max_bytes,
             absl::FunctionRef<EngineCallback()> make_ready);

  // OK, or why the disk cannot be read.
  absl::Status Health() const;

 private:
  struct Task {
    DiskChannelPtr channel;
    int64_t first;
    int64_t last;
    size_t max_bytes;
    EngineCallback ready;
    absl::Duration give_up = absl::InfiniteDuration();  // finite: it has failed
  };

  void Run();
  // Takes the next task, waiting for it; false: it has been stopped, and there is none left.
  bool NextTask(Task* task, bool* stopped);
  // The task's page was read, or could not be.
  void End(Task task, const absl::Status& status);
  absl::Status ReadPage(const Task& task);
  void DropPages();

  const Options options_;
  HistorySource* const source_;
  const Clock* const clock_;
  std::thread thread_;

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mu_);
  absl::Status failure_ ABSL_GUARDED_BY(mu_);

  // Only touched by the thread.  Times of Clock::Real().
  std::deque<Task> failed_;  // to be tried again
  absl::Duration next_try_ = absl::InfiniteDuration();
  size_t failing_ = 0;  // tasks that have failed and are not ended
  struct Kept {
    DiskChannelPtr channel;
    std::shared_ptr<HistoryPage> page;
  };
  std::deque<Kept> pages_;
  size_t page_bytes_ = 0;
};

}  // namespace fanwire::control
