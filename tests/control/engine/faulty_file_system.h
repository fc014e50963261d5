// FaultyFileSystem is the machine's file system as RocksDB sees it, with the faults that a test
// tells: writes fail, reads fail, or the power goes and what was not synced is lost.
//
// Threading: safe from every thread.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "common/mutex.h"

namespace fanwire::control {

class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  FaultyFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}

  enum class Fault { kNone, kDiskFull, kIoError };
  // Every write fails so from now on.
  void FailWrites(Fault fault) { writes_ = fault; }
  // Only syncs fail.
  void FailSyncs(bool fail) { fail_syncs_ = fail; }
  // Only tables, which are written in the background, cannot be written.
  void FailTables(bool fail) { fail_tables_ = fail; }
  void FailReads(bool fail) { fail_reads_ = fail; }

  // From now on nothing reaches the disk.
  void PowerOff() { off_ = true; }
  // Drops what was not synced when the power went.  No database may be open.
  void LoseUnsynced();

  const char* Name() const override { return "FaultyFileSystem"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* result,
                                    rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* result,
                                       rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus NewRandomAccessFile(const std::string& name,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                                        rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override;
  rocksdb::IOStatus DeleteFile(const std::string& name, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* dbg) override;

  // For its files.
  rocksdb::IOStatus WriteFault(const std::string& name) const;
  rocksdb::IOStatus SyncFault() const;
  rocksdb::IOStatus ReadFault() const;
  void Synced(const std::string& name, uint64_t size);

 private:
  rocksdb::IOStatus Wrap(const std::string& name, uint64_t size, rocksdb::IOStatus made,
                         std::unique_ptr<rocksdb::FSWritableFile>* result);

  std::atomic<Fault> writes_{Fault::kNone};
  std::atomic<bool> fail_syncs_{false};
  std::atomic<bool> fail_tables_{false};
  std::atomic<bool> fail_reads_{false};
  std::atomic<bool> off_{false};
  Mutex mu_;
  std::map<std::string, uint64_t> synced_ ABSL_GUARDED_BY(mu_);  // bytes of each file
};

}  // namespace fanwire::control
