#include "control/engine/rocksdb_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/mutex.h"
#include "control/engine/history_filter.h"
#include "control/engine/store_keys.h"
#include "control/engine/stored_publication.h"

namespace fanwire::control {

namespace {

using rocksdb::ColumnFamilyHandle;
using rocksdb::Slice;

constexpr char kHistory[] = "history";
constexpr char kChannels[] = "channels";
constexpr char kHeads[] = "heads";
constexpr char kRecords[] = "records";
constexpr char kMeta[] = "meta";
constexpr char kProbe[] = "probe";

// Room for the files that RocksDB writes when it opens a database.
constexpr size_t kProbeBytes = size_t{1} << 20;

constexpr uint64_t kHalfDaySeconds = uint64_t{12} * 3600;

Slice ToSlice(absl::string_view text) { return {text.data(), text.size()}; }
Slice ToSlice(const HeadKey& key) { return {key.bytes, sizeof(key.bytes)}; }
Slice ToSlice(const HistoryKey& key) { return {key.bytes, sizeof(key.bytes)}; }
absl::string_view ToView(const Slice& slice) { return {slice.data(), slice.size()}; }

rocksdb::CompressionType Compression() {
  const std::vector<rocksdb::CompressionType> known = rocksdb::GetSupportedCompressions();
  for (const auto type : {rocksdb::kLZ4Compression, rocksdb::kZSTD, rocksdb::kSnappyCompression}) {
    if (std::find(known.begin(), known.end(), type) != known.end()) return type;
  }
  return rocksdb::kNoCompression;
}

// RocksDB's own log, as far as it warns, for whoever sets log.level to debug.  Not a file beside
// the database: when the disk is full, RocksDB ends the process at the second line that it cannot
// write (Debian builds it with its assertions).
class Logger final : public rocksdb::Logger {
 public:
  Logger() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    if (!LogEnabled(LogLevel::kDebug)) return;
    char line[kMaxLine];
    std::vsnprintf(line, sizeof(line), format, arguments);
    LogDebug("engine.rocksdb", {{"line", line}});
  }

 private:
  static constexpr size_t kMaxLine = 1000;
};

class Batch final : public StoreBatch {
 public:
  Batch(ColumnFamilyHandle* const* history, ColumnFamilyHandle* const* channels,
        ColumnFamilyHandle* const* heads, ColumnFamilyHandle* const* records, uint32_t generation)
      : history_(history),
        channels_(channels),
        heads_(heads),
        records_(records),
        generation_(generation) {}

  int64_t PutPublication(Epoch epoch, int64_t offset, const Publication& publication) override {
    buffer_.clear();
    WriteStoredHead(publication, &buffer_);
    const HistoryKey key(epoch, offset);
    const Slice keys[] = {ToSlice(key)};
    const Slice values[] = {Slice(buffer_), ToSlice(publication.envelope())};
    Check(batch_.Put(*history_, {keys, 1}, {values, 2}));
    return static_cast<int64_t>(sizeof(key.bytes) + values[0].size() + values[1].size());
  }
  void PutHead(Epoch epoch, const ChannelHead& head) override {
    WriteHead(head, &buffer_);
    Check(batch_.Put(*heads_, ToSlice(HeadKey(epoch)), buffer_));
  }
  void PutChannel(absl::string_view name, Epoch epoch) override {
    Check(batch_.Put(*channels_, ToSlice(name), WriteEpoch(epoch)));
  }
  void DeleteChannel(absl::string_view name, Epoch epoch) override {
    Check(batch_.Delete(*channels_, ToSlice(name)));
    Check(batch_.Delete(*heads_, ToSlice(HeadKey(epoch))));
  }
  void PutRecord(const EventRecord& event, const Position& position, int64_t received_us) override {
    VisitRecordKeys(event, [&](absl::string_view key, bool is_seq) {
      WriteRecordValue({.channel = std::string(event.channel),
                        .id = std::string(event.id),
                        .fingerprint = is_seq ? event.seq_fingerprint : event.fingerprint,
                        .position = position,
                        .received_us = received_us,
                        .generation = generation_},
                       &buffer_);
      Check(batch_.Put(*records_, ToSlice(key), buffer_));
    });
  }
  void DeleteRecord(const EventRecord& event) override {
    VisitRecordKeys(event, [&](absl::string_view key, bool /*is_seq*/) {
      Check(batch_.Delete(*records_, ToSlice(key)));
    });
  }
  bool empty() const override { return batch_.Count() == 0; }
  void Clear() override {
    // A batch that was large gives its memory back.
    if (batch_.GetDataSize() > kKeptBytes) {
      batch_ = rocksdb::WriteBatch();
    } else {
      batch_.Clear();
    }
    failed_ = rocksdb::Status::OK();
  }

  rocksdb::WriteBatch* batch() { return &batch_; }
  const rocksdb::Status& failed() const { return failed_; }

 private:
  static constexpr size_t kKeptBytes = size_t{4} << 20;

  void Check(const rocksdb::Status& status) {
    if (!status.ok() && failed_.ok()) failed_ = status;
  }

  // The store's handles, which change when it opens the database again.
  ColumnFamilyHandle* const* const history_;
  ColumnFamilyHandle* const* const channels_;
  ColumnFamilyHandle* const* const heads_;
  ColumnFamilyHandle* const* const records_;
  const uint32_t generation_;
  rocksdb::WriteBatch batch_;
  rocksdb::Status failed_;  // e.g. over 4 GiB
  std::string buffer_;
};

class Store final : public RocksDbStore {
 public:
  explicit Store(const Params& params)
      : params_(params),
        record_filters_(params.records, params.clock),
        env_(params.file_system == nullptr ? nullptr
                                           : rocksdb::NewCompositeEnv(params.file_system)) {}
  ~Store() override { (void)Store::Close(); }

  // `again`: this process has had it open before.
  absl::Status OpenDatabase(bool again) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status OpenFirst() {
    MutexLock lock(&mu_);
    return OpenDatabase(/*again=*/false);
  }

  std::unique_ptr<StoreBatch> MakeBatch() override {
    return std::make_unique<Batch>(&history_, &channels_, &heads_, &records_, params_.generation);
  }
  absl::Status Write(StoreBatch* batch) override;
  absl::Status Heal() override;
  absl::Status Find(const std::vector<absl::string_view>& names,
                    std::vector<std::optional<StoredChannel>>* found) override;
  absl::StatusOr<bool> Walk(
      const std::string& after, size_t limit,
      absl::FunctionRef<void(absl::string_view, Epoch, const ChannelHead*)> visit) override;
  absl::Status Read(Epoch epoch, int64_t first, int64_t last,
                    absl::FunctionRef<bool(int64_t, absl::string_view)> visit) override;
  absl::Status VisitRecords(
      absl::FunctionRef<void(const EventRecord&, const Position&, int64_t)> visit) override;
  void NoteRecord(const EventRecord& event, int64_t received_us) override {
    if (event.publisher_id.empty()) return;
    record_filters_.NoteSeq(event.publisher_id, event.seq, received_us);
  }
  void ExpireRecords() override { record_filters_.Expire(); }
  Sizes sizes() override;
  absl::Status Compact() override;
  absl::Status Close() override;

 private:
  rocksdb::DBOptions DatabaseOptions();
  std::vector<rocksdb::ColumnFamilyDescriptor> Columns(const rocksdb::DBOptions& options);
  // Whether a small file can be written.
  absl::Status ProbeDisk();
  absl::Status CloseDatabase(bool sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // As errors are told to publishers and operators.
  absl::Status Tell(const rocksdb::Status& status);
  // The same for reads, which leave it to writes whether the database must be opened again.
  absl::Status TellRead(const rocksdb::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat("the rocksdb engine (", params_.folder, ") cannot read: ", status.ToString()));
  }
  static absl::Status Closed() {
    return absl::UnavailableError("the rocksdb engine's database is closed");
  }
  rocksdb::WriteOptions write_options() const {
    rocksdb::WriteOptions options;
    options.sync = params_.sync;
    return options;
  }

  const Params params_;
  HistoryFilters filters_;
  RecordFilters record_filters_;
  const std::unique_ptr<rocksdb::Env> env_;  // null: the machine's
  // Against threads that read.  The writer's thread alone opens and closes, and so needs no mutex
  // to look at db_.
  Mutex mu_{LockRank::kLink};
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<ColumnFamilyHandle*> handles_;
  ColumnFamilyHandle* history_ = nullptr;
  ColumnFamilyHandle* channels_ = nullptr;
  ColumnFamilyHandle* heads_ = nullptr;
  ColumnFamilyHandle* records_ = nullptr;
  ColumnFamilyHandle* meta_ = nullptr;
  bool log_may_have_holes_ = params_.log_may_have_holes;
  bool failed_ = false;    // the last write failed
  bool reopened_ = false;  // there may be older logs, which were not synced
  bool arm_ = false;       // the filters are armed after the next write
};

absl::Status Store::Tell(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsNoSpace()) {
    return absl::UnavailableError(
        absl::StrCat("the disk of engine.path (", params_.folder, ") is full: free some space"));
  }
  return absl::UnavailableError(
      absl::StrCat("the rocksdb engine (", params_.folder, "): ", status.ToString()));
}

rocksdb::DBOptions Store::DatabaseOptions() {
  rocksdb::DBOptions options;
  if (env_ != nullptr) options.env = env_.get();
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.max_open_files = 512;
  options.max_total_wal_size = uint64_t{64} << 20;  // all of it is read at the start
  options.max_background_jobs = 2;
  options.bytes_per_sync = uint64_t{1} << 20;
  options.wal_recovery_mode = log_may_have_holes_
                                  ? rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords
                                  : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // Heal() does it, so that there is one place that decides when.
  options.max_bgerror_resume_count = 0;
  options.info_log = std::make_shared<Logger>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> Store::Columns(const rocksdb::DBOptions& options) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(size_t{32} << 20);
  table.cache_index_and_filter_blocks = true;
  rocksdb::ColumnFamilyOptions small;
  small.write_buffer_size = size_t{16} << 20;
  small.compression = Compression();
  rocksdb::ColumnFamilyOptions history = small;
  table.block_size = size_t{16} << 10;
  history.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  history.write_buffer_size = params_.write_buffer_bytes;
  history.compaction_filter_factory = filters_.factory();
  history.periodic_compaction_seconds = kHalfDaySeconds;
  table.block_size = size_t{4} << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  small.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocksdb::ColumnFamilyOptions records = small;
  records.compaction_filter_factory = record_filters_.factory();
  records.periodic_compaction_seconds = kHalfDaySeconds;
  std::map<std::string, rocksdb::ColumnFamilyOptions> columns = {
      {rocksdb::kDefaultColumnFamilyName, small},
      {kHistory, history},
      {kChannels, small},
      {kHeads, small},
      {kRecords, records},
      {kMeta, small}};
  // Later versions may have added some: RocksDB opens a database only with all of them.
  std::vector<std::string> present;
  if (rocksdb::DB::ListColumnFamilies(options, params_.folder, &present).ok()) {
    for (const std::string& name : present) columns.emplace(name, small);
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.reserve(columns.size());
  for (const auto& [name, column] : columns) descriptors.emplace_back(name, column);
  return descriptors;
}

absl::Status Store::OpenDatabase(bool again) {
  rocksdb::DBOptions options = DatabaseOptions();
  // Otherwise what is in the log is written to a table, which makes it safe from a loss of power,
  // but needs room on a disk that may still be nearly full.
  options.avoid_flush_during_recovery = again;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(options, params_.folder, Columns(options), &handles_, &db);
  if (!status.ok()) return Tell(status);
  db_.reset(db);
  for (ColumnFamilyHandle* const handle : handles_) {
    if (handle->GetName() == kHistory) history_ = handle;
    if (handle->GetName() == kChannels) channels_ = handle;
    if (handle->GetName() == kHeads) heads_ = handle;
    if (handle->GetName() == kRecords) records_ = handle;
    if (handle->GetName() == kMeta) meta_ = handle;
  }
  // What was refused may be in the log all the same, a floor as well: a filter may only see it when
  // the next write has put the heads right.
  if (!again) filters_.Arm(db, heads_, params_.generation);
  reopened_ = arm_ = again;
  failed_ = false;
  log_may_have_holes_ = false;  // the log was replaced
  return absl::OkStatus();
}

absl::Status Store::CloseDatabase(bool sync) {
  if (db_ == nullptr) return absl::OkStatus();
  filters_.Disarm();
  absl::Status result;
  if (failed_) {
    // RocksDB does not allow its log to be touched any more.
    result = absl::UnavailableError("the last write failed");
  } else if (sync) {
    result = Tell(db_->FlushWAL(true));
    // RocksDB syncs only the log that it writes.
    if (result.ok() && reopened_) result = Tell(db_->Flush(rocksdb::FlushOptions(), handles_));
  }
  rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
  for (ColumnFamilyHandle* const handle : handles_) {
    db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  handles_.clear();
  history_ = channels_ = heads_ = records_ = meta_ = nullptr;
  const rocksdb::Status closed = db_->Close();
  if (sync && result.ok()) result = Tell(closed);
  db_ = nullptr;
  return result;
}

absl::Status Store::Close() {
  MutexLock lock(&mu_);
  if (db_ == nullptr) return Closed();
  return CloseDatabase(/*sync=*/true);
}

absl::Status Store::Write(StoreBatch* batch) {
  if (db_ == nullptr) return Closed();
  auto* const own = static_cast<Batch*>(batch);
  if (!own->failed().ok()) return Tell(own->failed());
  const rocksdb::Status status = db_->Write(write_options(), own->batch());
  failed_ = !status.ok();
  if (status.ok() && std::exchange(arm_, false)) {
    filters_.Arm(db_.get(), heads_, params_.generation);
  }
  return Tell(status);
}

absl::Status Store::ProbeDisk() {
  rocksdb::Env* const env = env_ == nullptr ? rocksdb::Env::Default() : env_.get();
  const std::string file = params_.folder + ".probe";
  // A database that is opened again may have to write what is in its log to a table.
  uint64_t free_bytes = 0;
  const uint64_t needed = 2 * params_.write_buffer_bytes;
  if (env->GetFreeSpace(params_.folder, &free_bytes).ok() && free_bytes < needed) {
    return Tell(rocksdb::Status::NoSpace());
  }
  const rocksdb::Status status =
      rocksdb::WriteStringToFile(env, std::string(kProbeBytes, '\0'), file, /*should_sync=*/true);
  env->DeleteFile(file).PermitUncheckedError();
  return Tell(status);
}

absl::Status Store::Heal() {
  // As long as the disk takes nothing, the database stays open for reads.
  if (absl::Status status = ProbeDisk(); !status.ok()) return status;
  LogWarning("engine.reopening", {{"path", params_.folder}});
  {
    // Not by DB::Resume(): RocksDB takes most failures of its log for fatal, and after a full disk
    // it waits for more room than it needs.
    MutexLock lock(&mu_);
    // What was not synced is in the log all the same: it was handed to the operating system.
    (void)CloseDatabase(/*sync=*/false);
    if (absl::Status status = OpenDatabase(/*again=*/true); !status.ok()) return status;
  }
  const rocksdb::Status status = db_->Put(write_options(), meta_, kProbe, "");
  failed_ = !status.ok();
  return Tell(status);
}

absl::Status Store::Find(const std::vector<absl::string_view>& names,
                         std::vector<std::optional<StoredChannel>>* found) {
  if (db_ == nullptr) return Closed();
  found->assign(names.size(), std::nullopt);
  std::vector<Slice> keys;
  keys.reserve(names.size());
  for (const absl::string_view name : names) keys.push_back(ToSlice(name));
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  db_->MultiGet(rocksdb::ReadOptions(), channels_, keys.size(), keys.data(), values.data(),
                statuses.data());
  std::vector<size_t> known;  // indices of `names`
  std::vector<HeadKey> head_keys;
  for (size_t i = 0; i < names.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    if (!statuses[i].ok()) return Tell(statuses[i]);
    Epoch epoch;
    if (!ReadEpoch(ToView(values[i]), &epoch)) {
      return Tell(rocksdb::Status::Corruption("a value of the column channels is malformed"));
    }
    (*found)[i] = StoredChannel{.epoch = epoch};
    known.push_back(i);
    head_keys.emplace_back(epoch);
  }
  if (known.empty()) return absl::OkStatus();
  keys.clear();
  for (const HeadKey& key : head_keys) keys.push_back(ToSlice(key));
  std::vector<rocksdb::PinnableSlice> heads(keys.size());
  statuses.assign(keys.size(), {});
  db_->MultiGet(rocksdb::ReadOptions(), heads_, keys.size(), keys.data(), heads.data(),
                statuses.data());
  for (size_t i = 0; i < known.size(); ++i) {
    std::optional<StoredChannel>& channel = (*found)[known[i]];
    if (statuses[i].IsNotFound()) {
      channel->over = true;
      continue;
    }
    if (!statuses[i].ok()) return Tell(statuses[i]);
    if (!ReadHead(ToView(heads[i]), &channel->head)) {
      return Tell(rocksdb::Status::Corruption("a value of the column heads is malformed"));
    }
    channel->over = channel->head.generation != params_.generation;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Store::Walk(
    const std::string& after, size_t limit,
    absl::FunctionRef<void(absl::string_view, Epoch, const ChannelHead*)> visit) {
  if (db_ == nullptr) return Closed();
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options, channels_));
  at->Seek(after + '\0');
  for (; at->Valid() && limit > 0; at->Next(), --limit) {
    Epoch epoch;
    if (!ReadEpoch(ToView(at->value()), &epoch)) continue;
    std::string value;
    ChannelHead head;
    const rocksdb::Status status = db_->Get(options, heads_, ToSlice(HeadKey(epoch)), &value);
    if (!status.ok() && !status.IsNotFound()) return Tell(status);
    const bool current =
        status.ok() && ReadHead(value, &head) && head.generation == params_.generation;
    visit(ToView(at->key()), epoch, current ? &head : nullptr);
  }
  if (!at->status().ok()) return Tell(at->status());
  return at->Valid();
}

absl::Status Store::Read(Epoch epoch, int64_t first, int64_t last,
                         absl::FunctionRef<bool(int64_t, absl::string_view)> visit) {
  MutexLock lock(&mu_);
  if (db_ == nullptr) return Closed();
  const HistoryKey begin(epoch, first);
  const HistoryKey end(epoch, last + 1);
  const Slice upper = ToSlice(end);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options, history_));
  for (at->Seek(ToSlice(begin)); at->Valid(); at->Next()) {
    const Slice key = at->key();
    if (key.size() != HistoryKey::kBytes) continue;
    const auto offset = static_cast<int64_t>(ReadBigEndian(key.data() + 8));
    if (!visit(offset, ToView(at->value()))) break;
  }
  return TellRead(at->status());
}

absl::Status Store::VisitRecords(
    absl::FunctionRef<void(const EventRecord&, const Position&, int64_t)> visit) {
  MutexLock lock(&mu_);
  if (db_ == nullptr) return Closed();
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options, records_));
  StoredRecordValue value;
  EventRecord event;
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const absl::string_view key = ToView(at->key());
    if (!ReadRecordValue(ToView(at->value()), &value) || value.generation != params_.generation ||
        record_filters_.IsOver(key, value.received_us) || !ReadRecord(key, value, &event)) {
      continue;
    }
    NoteRecord(event, value.received_us);
    visit(event, value.position, value.received_us);
  }
  return TellRead(at->status());
}

RocksDbStore::Sizes Store::sizes() {
  Sizes sizes;
  if (db_ == nullptr) return sizes;
  uint64_t value = 0;
  for (const char* const property :
       {"rocksdb.estimate-live-data-size", "rocksdb.cur-size-all-mem-tables"}) {
    if (db_->GetIntProperty(history_, property, &value)) {
      sizes.history_bytes += static_cast<int64_t>(value);
    }
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(params_.folder, error)) {
    std::error_code gone;  // RocksDB deletes files meanwhile
    const std::uintmax_t size = entry.file_size(gone);
    if (!gone) sizes.disk_bytes += static_cast<int64_t>(size);
  }
  return sizes;
}

absl::Status Store::Compact() {
  if (db_ == nullptr) return Closed();
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  if (absl::Status status = Tell(db_->CompactRange(options, records_, nullptr, nullptr));
      !status.ok()) {
    return status;
  }
  return Tell(db_->CompactRange(options, history_, nullptr, nullptr));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksDbStore>> RocksDbStore::Open(const Params& params) {
  auto store = std::make_unique<Store>(params);
  if (absl::Status status = store->OpenFirst(); !status.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot open the database: ", status.message()));
  }
  return store;
}

}  // namespace fanwire::control
