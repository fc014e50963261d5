#include "control/engine/history_filter.h"

#include <rocksdb/compaction_filter.h>
#include <rocksdb/db.h>

#include <string>

#include "common/mutex.h"
#include "control/engine/store_keys.h"

namespace fanwire::control {

namespace {

class HistoryFilter final : public rocksdb::CompactionFilter {
 public:
  HistoryFilter(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* heads, uint32_t generation)
      : db_(db), heads_(heads), generation_(generation) {}

  Decision FilterV2(int /*level*/, const rocksdb::Slice& key, ValueType /*type*/,
                    const rocksdb::Slice& /*value*/, std::string* /*new_value*/,
                    std::string* skip_until) const override {
    if (db_ == nullptr || key.size() != HistoryKey::kBytes) return Decision::kKeep;
    const Epoch epoch{ReadBigEndian(key.data())};
    if (epoch != epoch_) LookUp(epoch);
    if (ReadBigEndian(key.data() + 8) >= floor_) return Decision::kKeep;
    HistoryKey until(epoch, 0);
    WriteBigEndian(floor_, until.bytes + 8);
    skip_until->assign(until.bytes, sizeof(until.bytes));
    return Decision::kRemoveAndSkipUntil;
  }

  const char* Name() const override { return "fanwire.HistoryFilter"; }

 private:
  static constexpr uint64_t kAll = UINT64_MAX;

  void LookUp(Epoch epoch) const {
    epoch_ = epoch;
    floor_ = 0;
    const HeadKey key(epoch);
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), heads_,
                                            rocksdb::Slice(key.bytes, sizeof(key.bytes)), &value);
    ChannelHead head;
    if (status.IsNotFound()) {
      floor_ = kAll;  // the channel was forgotten
    } else if (status.ok() && ReadHead(value, &head)) {
      floor_ = head.generation == generation_ ? static_cast<uint64_t>(head.floor) : kAll;
    }  // else nobody can tell
  }

  rocksdb::DB* const db_;
  rocksdb::ColumnFamilyHandle* const heads_;
  const uint32_t generation_;
  // A filter is used by one thread; its functions are const all the same.
  mutable Epoch epoch_;
  mutable uint64_t floor_ = 0;
};

}  // namespace

struct HistoryFilters::State final : rocksdb::CompactionFilterFactory {
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& /*context*/) override {
    MutexLock lock(&mu);
    return std::make_unique<HistoryFilter>(db, heads, generation);
  }
  const char* Name() const override { return "fanwire.HistoryFilters"; }

  Mutex mu;  // a leaf
  rocksdb::DB* db ABSL_GUARDED_BY(mu) = nullptr;
  rocksdb::ColumnFamilyHandle* heads ABSL_GUARDED_BY(mu) = nullptr;
  uint32_t generation ABSL_GUARDED_BY(mu) = 0;
};

HistoryFilters::HistoryFilters() : state_(std::make_shared<State>()), factory_(state_) {}

void HistoryFilters::Arm(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* heads, uint32_t generation) {
  MutexLock lock(&state_->mu);
  state_->db = db;
  state_->heads = heads;
  state_->generation = generation;
}

void HistoryFilters::Disarm() {
  MutexLock lock(&state_->mu);
  state_->db = nullptr;
}

}  // namespace fanwire::control
