// StoreFolder is the folder of the rocksdb engine: it is locked for one process, and its header
// says how the last run ended.
//
//   PATH/lock    locked as long as a process uses the folder
//   PATH/store   the header
//   PATH/db/     the database
//
// The header is a file of its own because it is needed before the database is opened: a database of
// another format must not be touched, and how the log is read depends on the last run.
//
// Threading: belongs to one thread.
// Ownership: holds the lock until it is deleted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fanwire::control {

// As v1.StoreHeader, which says what the fields mean.
struct StoreHeader {
  uint32_t format = 0;
  std::string boot_id = {};
  bool sync = false;
  bool clean = true;
  uint32_t generation = 1;
};

class StoreFolder {
 public:
  // The format that this version writes, and the highest that it reads.
  static constexpr uint32_t kFormat = 1;

  // Makes the folder if there is none, locks it, and reads its header.
  //   FAILED_PRECONDITION  the folder cannot be used; the text says what to do
  static absl::StatusOr<std::unique_ptr<StoreFolder>> Take(const std::string& path);
  // Returns what Take() would refuse, except the lock, and changes nothing.
  static absl::Status Check(const std::string& path);

  ~StoreFolder();
  StoreFolder(const StoreFolder&) = delete;
  StoreFolder& operator=(const StoreFolder&) = delete;

  const StoreHeader& header() const { return header_; }
  // Writes the header, and syncs it.
  absl::Status Write(const StoreHeader& header);

  std::string database() const { return path_ + "/db"; }

 private:
  StoreFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  const std::string path_;
  const int lock_;  // a file descriptor
  StoreHeader header_;
};

}  // namespace fanwire::control
