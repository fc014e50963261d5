#include "control/engine/rocksdb_engine.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "control/engine/disk_channel.h"
#include "control/engine/disk_engine_channel.h"
#include "control/engine/history_cache.h"
#include "control/engine/history_fetcher.h"
#include "control/engine/rocksdb_store.h"
#include "control/engine/store_folder.h"
#include "control/engine/store_writer.h"

namespace fanwire::control {

namespace {

std::string ReadBootId(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return std::string(absl::StripAsciiWhitespace(line));
}

class StoredHistory final : public HistorySource {
 public:
  explicit StoredHistory(RocksDbStore* store) : store_(store) {}

  absl::Status Read(
      const DiskChannel& /*channel*/, Epoch epoch, int64_t first, int64_t last,
      absl::FunctionRef<bool(int64_t offset, absl::string_view value)> visit) override {
    return store_->Read(epoch, first, last, visit);
  }

 private:
  RocksDbStore* const store_;
};

class RocksDbEngine final : public Engine {
 public:
  RocksDbEngine(const RocksDbOptions& options, const Clock* clock)
      : options_(options), clock_(clock), cache_(options.cache_bytes) {}
  ~RocksDbEngine() override { RocksDbEngine::Close(); }

  absl::string_view name() const override { return "rocksdb"; }

  absl::Status Start() override;
  void Close() override;

  std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                      const HistoryPolicy& policy,
                                      absl::FunctionRef<OpenedCallback()> make_opened) override {
    const DiskChannelPtr disk(new DiskChannel(
        absl::StrCat(service, absl::string_view("\0", 1), channel), policy, cache_.use()));
    if (writer_ != nullptr) {
      writer_->Open(disk, make_opened);
    } else {
      make_opened();  // it never opens
    }
    return std::make_unique<DiskEngineChannel>(disk, policy, &fetcher_);
  }

  void Forget(std::unique_ptr<EngineChannel> channel) override {
    if (writer_ != nullptr) writer_->Forget(static_cast<DiskEngineChannel*>(channel.get())->disk());
  }

  AppendOutcome Append(absl::Span<const EngineAppend> appends, const EventRecord& record,
                       absl::Duration now, absl::FunctionRef<EngineCallback()> make_done) override {
    if (writer_ == nullptr) return AppendOutcome::kFull;
    StoreWriter::Items items;
    for (const EngineAppend& append : appends) {
      items.push_back({.channel = static_cast<DiskEngineChannel*>(append.channel)->disk().get(),
                       .publication = append.publication,
                       .keep = append.keep});
    }
    return writer_->Append(std::move(items), record, now, make_done);
  }

  absl::Status VisitRecords(absl::FunctionRef<void(const KeptRecord&)> visit) override {
    if (store_ == nullptr) return absl::UnavailableError("the rocksdb engine has not started");
    const absl::Duration now = clock_->Now();
    const absl::Duration wall_zero = clock_->WallNow() - absl::UnixEpoch() - now;
    return store_->VisitRecords(
        [&](const EventRecord& event, const Position& position, int64_t received_us) {
          visit({.event = event,
                 .position = position,
                 .received = std::min(now, absl::Microseconds(received_us) - wall_zero)});
        });
  }

  int64_t history_bytes() const override {
    return writer_ == nullptr ? 0 : writer_->history_bytes();
  }
  int64_t excess_bytes() const override { return 0; }
  bool is_crowded() const override { return false; }

  absl::Status Health() const override {
    if (writer_ == nullptr) return absl::UnavailableError("the rocksdb engine has not started");
    if (absl::Status status = writer_->Health(); !status.ok()) return status;
    return fetcher_->Health();
  }

  EngineStatus status() const override {
    EngineStatus status{.path = options_.path};
    if (writer_ == nullptr) return status;
    status.history_bytes = writer_->history_bytes();
    status.disk_bytes = writer_->disk_bytes();
    status.waiting_publications = writer_->waiting_publications();
    const absl::Duration since = writer_->waiting_since();
    if (since < absl::InfiniteDuration()) {
      status.lag = std::max(absl::ZeroDuration(), clock_->Now() - since);
    }
    return status;
  }

  bool survives_restart() const override { return true; }

 private:
  const RocksDbOptions options_;
  const Clock* const clock_;
  HistoryCache cache_;
  // Made by Start(), and not changed until the engine is deleted.
  std::unique_ptr<StoreFolder> folder_;
  std::unique_ptr<RocksDbStore> store_;
  std::unique_ptr<StoreWriter> writer_;
  std::unique_ptr<StoredHistory> history_;
  std::unique_ptr<HistoryFetcher> fetcher_;
  bool closed_ = false;  // only touched by the thread that calls Start() and Close()
};

absl::Status RocksDbEngine::Start() {
  const std::string boot_id = ReadBootId(options_.boot_id_file);
  if (boot_id.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot read ", options_.boot_id_file,
        ", which tells whether the machine was started again: mount /proc, or use the engine "
        "\"memory\""));
  }
  absl::StatusOr<std::unique_ptr<StoreFolder>> folder = StoreFolder::Take(options_.path);
  if (!folder.ok()) return folder.status();
  StoreHeader header = (*folder)->header();
  // What was written and not synced is lost if the machine has stopped since.  Positions that were
  // given out may be among it, so that they must not be given out again.
  const bool lost = !header.clean && !header.sync && header.boot_id != boot_id;
  if (lost) {
    ++header.generation;
    LogWarning("engine.generation", {{"generation", header.generation},
                                     {"reason", "the machine has stopped without engine.sync"}});
  }
  absl::StatusOr<std::unique_ptr<RocksDbStore>> store =
      RocksDbStore::Open({.folder = (*folder)->database(),
                          .sync = options_.sync,
                          .generation = header.generation,
                          .log_may_have_holes = lost,
                          .write_buffer_bytes = options_.write_buffer_bytes,
                          .records = {.key_ttl = options_.key_ttl,
                                      .seq_ttl = options_.seq_ttl,
                                      .seq_window = options_.seq_window},
                          .clock = clock_,
                          .file_system = options_.file_system});
  if (!store.ok()) return store.status();
  header.boot_id = boot_id;
  header.sync = options_.sync;
  header.clean = false;
  if (absl::Status status = (*folder)->Write(header); !status.ok()) return status;
  folder_ = *std::move(folder);
  store_ = *std::move(store);
  history_ = std::make_unique<StoredHistory>(store_.get());
  fetcher_ = std::make_unique<HistoryFetcher>(
      HistoryFetcher::Options{.retry_pause = options_.retry_pause}, history_.get(), clock_);
  writer_ =
      std::make_unique<StoreWriter>(options_, header.generation, store_.get(), &cache_, clock_);
  fetcher_->Start();
  writer_->Start();
  return absl::OkStatus();
}

void RocksDbEngine::Close() {
  if (writer_ == nullptr || std::exchange(closed_, true)) return;
  writer_->Stop();
  fetcher_->Stop();
  const absl::Status closed = store_->Close();
  if (closed.ok()) {
    StoreHeader header = folder_->header();
    header.clean = true;
    if (absl::Status status = folder_->Write(header); !status.ok()) {
      LogWarning("engine.close_failed", {{"reason", status.message()}});
    }
  } else {
    LogWarning("engine.close_failed", {{"reason", closed.message()}});
  }
  folder_ = nullptr;  // gives up the lock
}

}  // namespace

std::unique_ptr<Engine> MakeRocksDbEngine(const RocksDbOptions& options, const Clock* clock) {
  return std::make_unique<RocksDbEngine>(options, clock);
}

absl::Status CheckRocksDbFolder(const std::string& path) { return StoreFolder::Check(path); }

}  // namespace fanwire::control
