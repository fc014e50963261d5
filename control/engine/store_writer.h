// StoreWriter is the writer thread of the rocksdb engine: it opens channels, writes publications in
// batches, forgets channels, and looks after the database when nothing else is to be done.
//
// It takes everything that waits at once.  First it opens channels.  Then it writes all appends in
// one batch, together with the heads of their channels.  When the batch is written, the
// publications are sealed, so that one whose write failed never has a position, and the callbacks
// run in the order of the appends.
//
// After a failure nothing of the batch counts: no head has moved, and the next batch uses the same
// positions.  The writer refuses what comes in until the database takes a write again, which it
// tries after each pause.
//
// Threading: safe from every thread.  Callbacks run on its thread, without locks.
// Ownership: borrows store, cache and clock, and shares the channels.  Appends borrow their
//            channels.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "control/engine/disk_channel.h"
#include "control/engine/engine.h"
#include "control/engine/history_cache.h"
#include "control/engine/owned_record.h"
#include "control/engine/rocksdb_options.h"
#include "control/engine/rocksdb_store.h"

namespace fanwire::control {

class StoreWriter {
 public:
  StoreWriter(const RocksDbOptions& options, uint32_t generation, RocksDbStore* store,
              HistoryCache* cache, const Clock* clock);
  ~StoreWriter();
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;

  void Start();
  // Finishes what waits, and ends the thread.
  void Stop();

  // After Stop() the channel never opens.
  void Open(const DiskChannelPtr& channel, absl::FunctionRef<OpenedCallback()> make_opened);
  void Forget(const DiskChannelPtr& channel);

  struct Item {
    DiskChannel* channel = nullptr;
    PublicationPtr publication;
    bool keep = true;
    // Set as the batch is made.
    int64_t offset = 0;
    int64_t bytes = 0;
    bool stored = false;
  };
  using Items = absl::InlinedVector<Item, 2>;
  AppendOutcome Append(Items items, const EventRecord& record, absl::Duration now,
                       absl::FunctionRef<EngineCallback()> make_done);

  // OK, or why publications are refused.
  absl::Status Health() const;
  int64_t waiting_publications() const;
  // When the oldest append that waits was made; InfiniteDuration if none waits.
  absl::Duration waiting_since() const;
  int64_t history_bytes() const { return history_bytes_.load(std::memory_order_relaxed); }
  int64_t disk_bytes() const { return disk_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Task {
    // Exactly one of the three is set.
    DiskChannelPtr opening = {};
    DiskChannelPtr forgotten = {};
    Items items = {};

    std::unique_ptr<OwnedRecord> record = nullptr;  // null: it has none
    OpenedCallback opened = nullptr;
    EngineCallback done = nullptr;
    size_t bytes = 0;
    absl::Duration since = {};
    absl::Status status = {};  // of an append
  };
  using Tasks = std::vector<Task>;

  void Run();
  // Forgets channels, and moves those that are to be opened to opening_.
  void TakeTasks(Tasks* tasks);
  void OpenChannels();
  void OpenChannel(DiskChannel& channel, const std::optional<StoredChannel>& stored);
  void Append(Tasks* tasks);
  // Puts an append into the batch, or sets why it cannot be.
  void AddToBatch(Task* task);
  void AddToBatch(Item* item);
  void AddHeads();
  void EndBatch(bool written);
  void EndRecords(const absl::Status& written, Tasks* tasks);
  void CallBack(Tasks* tasks);

  void Fail(absl::Status reason);
  void TellHealth();
  void Heal();
  // As the database has it, or should.
  ChannelHead HeadOf(const DiskChannel::Writing& writing) const;
  // What is done now and then: heads whose floor has risen are written, sizes are looked at, and
  // channels that nobody has opened and whose history has expired are forgotten.
  void Upkeep();
  void WriteFloors();
  void ForgetExpired();

  const RocksDbOptions options_;
  const uint32_t generation_;
  RocksDbStore* const store_;
  HistoryCache* const cache_;
  const Clock* const clock_;
  std::thread thread_;

  mutable Mutex mu_;  // a leaf
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  Tasks tasks_ ABSL_GUARDED_BY(mu_);
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;        // publications, those being written too
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of them
  absl::Duration writing_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
  absl::Status failure_ ABSL_GUARDED_BY(mu_);

  std::atomic<int64_t> history_bytes_{0};
  std::atomic<int64_t> disk_bytes_{0};

  // Only touched by the thread.
  const std::unique_ptr<StoreBatch> batch_;
  // Channels that are open, by name.  They keep the channels of appends alive.
  absl::flat_hash_map<std::string, DiskChannelPtr> open_;
  Tasks opening_;  // also those that could not be opened yet
  // Names and epochs that were forgotten, but are still in the database.
  absl::flat_hash_map<std::string, Epoch> forgotten_;
  std::vector<DiskChannel*> changed_channels_;  // of the batch
  // Of batches whose write failed.
  std::vector<DiskChannelPtr> doubtful_;
  std::vector<std::unique_ptr<OwnedRecord>> doubtful_records_;
  absl::Status broken_;        // why nothing can be written
  absl::Status open_failure_;  // why channels cannot be opened
  // Times of Clock::Real().
  absl::Duration next_try_ = {};
  absl::Duration next_open_ = {};
  absl::Duration next_upkeep_ = {};
  std::string walked_;  // how far ForgetExpired() has come
};

}  // namespace fanwire::control
