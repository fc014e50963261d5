// RocksDbOptions says where and how the rocksdb engine keeps its data.
//
// Threading: a value.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/time/time.h"

namespace rocksdb {
class FileSystem;
}  // namespace rocksdb

namespace fanwire::control {

struct RocksDbOptions {
  // The folder, which belongs to the engine alone.  It is made if its parent exists.
  std::string path;
  // Whether a publication is on the disk, and not only handed to the operating system, when it is
  // acknowledged.
  bool sync = false;
  // Of publications in memory, which need not be read from the disk.
  size_t cache_bytes = size_t{64} << 20;
  // Appends over one of these bounds are kFull.
  size_t max_waiting_publications = 65'536;
  size_t max_waiting_bytes = size_t{64} << 20;
  // A channel that nobody has opened since the start is forgotten when its history has expired and
  // its last publication is older than this.
  absl::Duration channel_idle_ttl = absl::Hours(24);
  // For how long idempotency keys and publishers' seqs are kept, and how many of the latest seqs of
  // one publisher.
  absl::Duration key_ttl = absl::Minutes(10);
  absl::Duration seq_ttl = absl::Hours(1);
  uint64_t seq_window = 10'000;

  // For tests.
  std::string boot_id_file = "/proc/sys/kernel/random/boot_id";
  absl::Duration retry_pause = absl::Seconds(1);       // after a failure of the disk
  absl::Duration upkeep_interval = absl::Seconds(30);  // see StoreWriter::Upkeep()
  size_t write_buffer_bytes = size_t{64} << 20;        // of history, before a table is written
  std::shared_ptr<rocksdb::FileSystem> file_system = nullptr;  // null: the machine's
};

}  // namespace fanwire::control
