// The bytes of an EventRecord in the database (v1.StoredRecord), and what drops them again.
//
// An event with a key and a seq has two entries in the column `records`:
//
//   key                                                       dropped
//   "k", service, a zero byte, idempotency key                after `key_ttl`
//   "p", publisher_id, a zero byte, seq (8 bytes, big-endian) after `seq_ttl`, and if it is
//                                                             `seq_window` below the newest one
//
// Threading: RecordFilters is safe from every thread, by one mutex; the rest are pure functions.
// Cost:      RecordFilters holds one entry for each publisher that published within `seq_ttl`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "control/engine/engine.h"

namespace rocksdb {
class CompactionFilterFactory;
}  // namespace rocksdb

namespace fanwire::control {

// Call `visit` with each key of the record.
void VisitRecordKeys(const EventRecord& event,
                     absl::FunctionRef<void(absl::string_view key, bool is_seq)> visit);

// What the database holds of a record.
struct StoredRecordValue {
  std::string channel = {};
  std::string id = {};
  uint64_t fingerprint = 0;
  Position position = {};
  int64_t received_us = 0;  // since 1970
  uint32_t generation = 0;
};
void WriteRecordValue(const StoredRecordValue& value, std::string* bytes);
// False if `bytes` are malformed.
bool ReadRecordValue(absl::string_view bytes, StoredRecordValue* value);

// Fills in the part of the record that the key has, and the fingerprint and texts of `value`, to
// which it refers.  False if the key is malformed.
bool ReadRecord(absl::string_view key, const StoredRecordValue& value, EventRecord* event);

class RecordFilters {
 public:
  struct Options {
    absl::Duration key_ttl;
    absl::Duration seq_ttl;
    uint64_t seq_window;
  };
  RecordFilters(const Options& options, const Clock* clock);

  // For the options of the column.
  const std::shared_ptr<rocksdb::CompactionFilterFactory>& factory() const { return factory_; }

  // The publisher's seq was kept.
  void NoteSeq(absl::string_view publisher_id, uint64_t seq, int64_t received_us);
  // Forgets publishers that have published nothing for `seq_ttl`.
  void Expire();
  // Whether a compaction would drop it.
  bool IsOver(absl::string_view key, int64_t received_us) const;

 private:
  struct State;

  const std::shared_ptr<State> state_;
  const std::shared_ptr<rocksdb::CompactionFilterFactory> factory_;
};

}  // namespace fanwire::control
