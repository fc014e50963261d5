#include "tests/control/engine/faulty_file_system.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"

namespace fanwire::control {

namespace {

using rocksdb::FSRandomAccessFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class WritableFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(std::unique_ptr<FSWritableFile> file, FaultyFileSystem* system, std::string name,
               uint64_t size)
      : FSWritableFileOwnerWrapper(std::move(file)),
        system_(system),
        name_(std::move(name)),
        size_(size) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* dbg) override {
    if (IOStatus fault = system_->WriteFault(name_); !fault.ok()) return fault;
    IOStatus status = FSWritableFileOwnerWrapper::Append(data, options, dbg);
    if (status.ok()) size_ += data.size();
    return status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& /*info*/, IODebugContext* dbg) override {
    return Append(data, options, dbg);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* dbg) override {
    if (IOStatus fault = system_->SyncFault(); !fault.ok()) return fault;
    const uint64_t size = size_;
    IOStatus status = FSWritableFileOwnerWrapper::Flush(options, dbg);  // a test needs no more
    if (status.ok()) system_->Synced(name_, size);
    return status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* dbg) override {
    return Sync(options, dbg);
  }

 private:
  FaultyFileSystem* const system_;
  const std::string name_;
  std::atomic<uint64_t> size_;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  RandomAccessFile(std::unique_ptr<FSRandomAccessFile> file, FaultyFileSystem* system)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), system_(system) {}

  IOStatus Read(uint64_t offset, size_t size, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* dbg) const override {
    if (IOStatus fault = system_->ReadFault(); !fault.ok()) return fault;
    return FSRandomAccessFileOwnerWrapper::Read(offset, size, options, result, scratch, dbg);
  }
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count, const IOOptions& options,
                     IODebugContext* dbg) override {
    if (IOStatus fault = system_->ReadFault(); !fault.ok()) return fault;
    return FSRandomAccessFileOwnerWrapper::MultiRead(requests, count, options, dbg);
  }

 private:
  FaultyFileSystem* const system_;
};

}  // namespace

IOStatus FaultyFileSystem::WriteFault(const std::string& name) const {
  if (fail_tables_ && absl::EndsWith(name, ".sst")) {
    return IOStatus::NoSpace("no space left on the test's device");
  }
  if (off_) return IOStatus::IOError("the power is off");
  switch (writes_.load()) {
    case Fault::kNone:
      return IOStatus::OK();
    case Fault::kDiskFull:
      return IOStatus::NoSpace("no space left on the test's device");
    case Fault::kIoError:
      return IOStatus::IOError("the test's device fails");
  }
  return IOStatus::OK();
}

IOStatus FaultyFileSystem::SyncFault() const {
  if (fail_syncs_) return IOStatus::IOError("the test's device does not sync");
  return WriteFault("");
}

IOStatus FaultyFileSystem::ReadFault() const {
  return fail_reads_ ? IOStatus::IOError("the test's device cannot be read") : IOStatus::OK();
}

void FaultyFileSystem::Synced(const std::string& name, uint64_t size) {
  MutexLock lock(&mu_);
  synced_[name] = size;
}

void FaultyFileSystem::LoseUnsynced() {
  MutexLock lock(&mu_);
  for (const auto& [name, size] : synced_) {
    std::error_code gone;
    const std::uintmax_t now = std::filesystem::file_size(name, gone);
    if (!gone && now > size) std::filesystem::resize_file(name, size);
  }
  off_ = false;
}

IOStatus FaultyFileSystem::Wrap(const std::string& name, uint64_t size, IOStatus made,
                                std::unique_ptr<FSWritableFile>* result) {
  if (!made.ok()) return made;
  {
    MutexLock lock(&mu_);
    synced_[name] = size;
  }
  *result = std::make_unique<WritableFile>(std::move(*result), this, name, size);
  return made;
}

IOStatus FaultyFileSystem::NewWritableFile(const std::string& name,
                                           const rocksdb::FileOptions& options,
                                           std::unique_ptr<FSWritableFile>* result,
                                           IODebugContext* dbg) {
  if (IOStatus fault = WriteFault(name); !fault.ok()) return fault;
  return Wrap(name, 0, FileSystemWrapper::NewWritableFile(name, options, result, dbg), result);
}

IOStatus FaultyFileSystem::ReopenWritableFile(const std::string& name,
                                              const rocksdb::FileOptions& options,
                                              std::unique_ptr<FSWritableFile>* result,
                                              IODebugContext* dbg) {
  if (IOStatus fault = WriteFault(name); !fault.ok()) return fault;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(name, error);
  return Wrap(name, error ? 0 : size,
              FileSystemWrapper::ReopenWritableFile(name, options, result, dbg), result);
}

IOStatus FaultyFileSystem::NewRandomAccessFile(const std::string& name,
                                               const rocksdb::FileOptions& options,
                                               std::unique_ptr<FSRandomAccessFile>* result,
                                               IODebugContext* dbg) {
  IOStatus status = FileSystemWrapper::NewRandomAccessFile(name, options, result, dbg);
  if (status.ok()) *result = std::make_unique<RandomAccessFile>(std::move(*result), this);
  return status;
}

IOStatus FaultyFileSystem::RenameFile(const std::string& from, const std::string& to,
                                      const IOOptions& options, IODebugContext* dbg) {
  if (IOStatus fault = WriteFault(from); !fault.ok()) return fault;
  IOStatus status = FileSystemWrapper::RenameFile(from, to, options, dbg);
  if (status.ok()) {
    MutexLock lock(&mu_);
    synced_[to] = synced_[from];
    synced_.erase(from);
  }
  return status;
}

IOStatus FaultyFileSystem::DeleteFile(const std::string& name, const IOOptions& options,
                                      IODebugContext* dbg) {
  // What cannot be written cannot be deleted, but a full disk gives room.
  if (off_) return IOStatus::IOError("the power is off");
  {
    MutexLock lock(&mu_);
    synced_.erase(name);
  }
  return FileSystemWrapper::DeleteFile(name, options, dbg);
}

}  // namespace fanwire::control
