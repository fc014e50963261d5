// HistoryFilters drops from the column `history`, in compactions, what is out of history: what lies
// below its channel's floor, and all of epochs that are over.  Nothing that a read may return is
// below a floor, because channels only raise it, and the floor is written before a filter sees it.
//
// Threading: safe from every thread.  The filters run on RocksDB's threads.
// Cost:      one lookup of a head for each epoch in a compaction.
#pragma once

#include <cstdint>
#include <memory>

namespace rocksdb {
class ColumnFamilyHandle;
class CompactionFilterFactory;
class DB;
}  // namespace rocksdb

namespace fanwire::control {

class HistoryFilters {
 public:
  HistoryFilters();

  // For the options of the column.
  const std::shared_ptr<rocksdb::CompactionFilterFactory>& factory() const { return factory_; }

  // Before it is armed, and after it is disarmed, everything is kept.
  void Arm(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* heads, uint32_t generation);
  // Filters that run go on.  RocksDB waits for them before it closes the database.
  void Disarm();

 private:
  struct State;

  const std::shared_ptr<State> state_;
  const std::shared_ptr<rocksdb::CompactionFilterFactory> factory_;
};

}  // namespace fanwire::control
