// RocksDbStore is the database of the rocksdb engine: what is written, read and dropped, without
// threads of its own.  RocksDB's own threads flush and compact; a compaction drops what is out of
// history (history_filter.h).
//
// A channel is found by its name, and from then on by its epoch: history and the head are filed
// under the epoch, which is a random number of 64 bits.  A channel that begins again has another
// epoch, and so nothing in common with its earlier history.
//
// Threading: Read() and VisitRecords() are safe from every thread.  Everything else belongs to the
//            writer's thread.
// Cost:      Read() holds a mutex while it reads the disk, against Reopen() and Close() alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "control/config/history_policy.h"
#include "control/engine/rocksdb_options.h"
#include "control/engine/stored_record.h"
#include "control/events/publication.h"

namespace fanwire::control {

// As v1.StoredHead, which says what the fields mean.
struct ChannelHead {
  int64_t offset = 0;
  int64_t total_bytes = 0;
  int64_t floor = 1;
  int64_t floor_bytes = 0;
  uint32_t generation = 0;
  HistoryPolicy policy = {};
  int64_t newest_us = 0;
};

// A channel as the database knows it.
struct StoredChannel {
  Epoch epoch;
  // The epoch is over: the channel begins again, and what is left of the epoch may be deleted.
  bool over = false;
  ChannelHead head = {};
};

// What goes into the database as a whole or not at all.
class StoreBatch {
 public:
  virtual ~StoreBatch() = default;

  // Returns the bytes that the publication takes.
  virtual int64_t PutPublication(Epoch epoch, int64_t offset, const Publication& publication) = 0;
  virtual void PutHead(Epoch epoch, const ChannelHead& head) = 0;
  virtual void PutChannel(absl::string_view name, Epoch epoch) = 0;
  virtual void DeleteChannel(absl::string_view name, Epoch epoch) = 0;

  virtual void PutRecord(const EventRecord& event, const Position& position,
                         int64_t received_us) = 0;
  virtual void DeleteRecord(const EventRecord& event) = 0;

  virtual bool empty() const = 0;
  virtual void Clear() = 0;
};

class RocksDbStore {
 public:
  struct Params {
    std::string folder;
    bool sync = false;
    uint32_t generation = 1;
    // The last run was lost without a sync: what its log holds may have holes, and no channel of it
    // goes on.
    bool log_may_have_holes = false;
    size_t write_buffer_bytes = size_t{64} << 20;
    RecordFilters::Options records = {};
    const Clock* clock = nullptr;
    std::shared_ptr<rocksdb::FileSystem> file_system = nullptr;
  };

  static absl::StatusOr<std::unique_ptr<RocksDbStore>> Open(const Params& params);

  virtual ~RocksDbStore() = default;

  virtual std::unique_ptr<StoreBatch> MakeBatch() = 0;
  // UNAVAILABLE: nothing of the batch counts, and Heal() must be called before the next one.
  virtual absl::Status Write(StoreBatch* batch) = 0;
  // Tries to make the database write again after a failure, and returns whether it does.
  virtual absl::Status Heal() = 0;

  // Looks the names up; nothing for those that are not known.
  virtual absl::Status Find(const std::vector<absl::string_view>& names,
                            std::vector<std::optional<StoredChannel>>* found) = 0;
  // Visits up to `limit` names behind `after`, in order, also those whose epoch is over: they have
  // no head.  Returns whether there are more.
  virtual absl::StatusOr<bool> Walk(
      const std::string& after, size_t limit,
      absl::FunctionRef<void(absl::string_view name, Epoch epoch, const ChannelHead* head)>
          visit) = 0;

  // Visits the publications of the epoch from offset `first` to `last`, in order, until `visit`
  // returns false.
  virtual absl::Status Read(
      Epoch epoch, int64_t first, int64_t last,
      absl::FunctionRef<bool(int64_t offset, absl::string_view value)> visit) = 0;

  // Visits the records that count, in no order, with the times of their events' reception.
  virtual absl::Status VisitRecords(
      absl::FunctionRef<void(const EventRecord&, const Position&, int64_t received_us)> visit) = 0;
  // The record was written.
  virtual void NoteRecord(const EventRecord& event, int64_t received_us) = 0;
  // What is done now and then.
  virtual void ExpireRecords() = 0;

  struct Sizes {
    int64_t history_bytes = 0;
    int64_t disk_bytes = 0;
  };
  // An estimate.
  virtual Sizes sizes() = 0;
  // Drops what is out of history now, instead of some time.  For tests.
  virtual absl::Status Compact() = 0;

  // Syncs what was written and closes the database.  OK: all that was acknowledged is on the disk.
  virtual absl::Status Close() = 0;
};

}  // namespace fanwire::control
