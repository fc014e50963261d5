#include "control/engine/store_writer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/log.h"

namespace fanwire::control {

namespace {

// How many names one Upkeep() looks at.
constexpr size_t kWalkedNames = 4096;

// So many heads are written at once when floors have risen.
constexpr size_t kHeadsInBatch = 4096;

}  // namespace

StoreWriter::StoreWriter(const RocksDbOptions& options, uint32_t generation, RocksDbStore* store,
                         HistoryCache* cache, const Clock* clock)
    : options_(options),
      generation_(generation),
      store_(store),
      cache_(cache),
      clock_(clock),
      batch_(store->MakeBatch()) {}

StoreWriter::~StoreWriter() { Stop(); }

void StoreWriter::Start() {
  thread_ = std::thread([this] { Run(); });
}

void StoreWriter::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void StoreWriter::Open(const DiskChannelPtr& channel,
                       absl::FunctionRef<OpenedCallback()> make_opened) {
  OpenedCallback opened = make_opened();
  MutexLock lock(&mu_);
  if (stopped_) return;
  tasks_.push_back({.opening = channel, .opened = std::move(opened)});
  changed_.Signal();
}

void StoreWriter::Forget(const DiskChannelPtr& channel) {
  MutexLock lock(&mu_);
  if (stopped_) return;
  tasks_.push_back({.forgotten = channel});
  changed_.Signal();
}

AppendOutcome StoreWriter::Append(Items items, const EventRecord& record, absl::Duration now,
                                  absl::FunctionRef<EngineCallback()> make_done) {
  bool waits = !record.empty();
  size_t bytes = 0;
  for (const Item& item : items) {
    bytes += item.publication->memory_bytes();
    waits = waits || item.keep || !item.channel->announced.load(std::memory_order_acquire) ||
            item.channel->under_way.load(std::memory_order_acquire) > 0;
  }
  // What is not kept waits only for what was appended to its channel before.
  if (!waits) return AppendOutcome::kDone;
  std::unique_ptr<OwnedRecord> owned;
  if (!record.empty()) {
    owned = std::make_unique<OwnedRecord>(record);
    bytes += sizeof(OwnedRecord) + record.idempotency_key.size() + record.publisher_id.size();
  }
  MutexLock lock(&mu_);
  if (stopped_) return AppendOutcome::kFull;
  if (waiting_ > 0 && (waiting_ + items.size() > options_.max_waiting_publications ||
                       waiting_bytes_ + bytes > options_.max_waiting_bytes)) {
    return AppendOutcome::kFull;
  }
  waiting_ += items.size();
  waiting_bytes_ += bytes;
  for (const Item& item : items) item.channel->under_way.fetch_add(1, std::memory_order_relaxed);
  tasks_.push_back({.items = std::move(items),
                    .record = std::move(owned),
                    .done = make_done(),
                    .bytes = bytes,
                    .since = now});
  changed_.Signal();
  return AppendOutcome::kPending;
}

absl::Status StoreWriter::Health() const {
  MutexLock lock(&mu_);
  return failure_;
}

int64_t StoreWriter::waiting_publications() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(waiting_);
}

absl::Duration StoreWriter::waiting_since() const {
  MutexLock lock(&mu_);
  if (writing_since_ < absl::InfiniteDuration()) return writing_since_;
  for (const Task& task : tasks_) {
    if (!task.items.empty()) return task.since;
  }
  return absl::InfiniteDuration();
}

void StoreWriter::Run() {
  const Clock& real = *Clock::Real();
  for (;;) {
    Tasks tasks;
    bool stopped = false;
    {
      MutexLock lock(&mu_);
      while (tasks_.empty() && !stopped_) {
        absl::Duration wait = next_upkeep_ - real.Now();
        if (!broken_.ok()) wait = std::min(wait, next_try_ - real.Now());
        if (!opening_.empty()) wait = std::min(wait, next_open_ - real.Now());
        if (wait <= absl::ZeroDuration()) break;
        changed_.WaitWithTimeout(&mu_, wait);
      }
      tasks.swap(tasks_);
      stopped = stopped_;
      for (const Task& task : tasks) {
        if (task.items.empty()) continue;
        writing_since_ = task.since;
        break;
      }
    }
    if (!broken_.ok() && real.Now() >= next_try_) Heal();
    TakeTasks(&tasks);
    OpenChannels();
    Append(&tasks);
    if (stopped && tasks.empty()) return;
    if (!stopped && real.Now() >= next_upkeep_) {
      Upkeep();
      next_upkeep_ = real.Now() + options_.upkeep_interval;
    }
  }
}

// ------------------------------------------------------------------------------- opening

void StoreWriter::TakeTasks(Tasks* tasks) {
  for (Task& task : *tasks) {
    if (task.forgotten) {
      DiskChannel& channel = *task.forgotten;
      channel.Forget();
      open_.erase(channel.name());
      if (channel.writing.named) forgotten_[channel.name()] = channel.writing.epoch;
    } else if (task.opening) {
      opening_.push_back(std::move(task));
      next_open_ = {};
      task = {};
    }
  }
}

void StoreWriter::OpenChannels() {
  if (opening_.empty() || Clock::Real()->Now() < next_open_) return;
  Tasks opening;
  opening.swap(opening_);
  std::vector<absl::string_view> names;
  names.reserve(opening.size());
  for (const Task& task : opening) names.push_back(task.opening->name());
  std::vector<std::optional<StoredChannel>> found;
  absl::Status failure = store_->Find(names, &found);
  if (failure.ok()) {
    for (size_t i = 0; i < opening.size(); ++i) OpenChannel(*opening[i].opening, found[i]);
  } else {
    // One by one, so that a damaged place does not keep others from opening.
    failure = absl::OkStatus();
    for (Task& task : opening) {
      absl::Status status = store_->Find({task.opening->name()}, &found);
      if (status.ok()) {
        OpenChannel(*task.opening, found[0]);
      } else {
        failure = std::move(status);
        opening_.push_back(std::move(task));
        task = {};
      }
    }
    next_open_ = Clock::Real()->Now() + options_.retry_pause;
  }
  if (!failure.ok() && open_failure_.ok()) {
    LogError("engine.open_failed", {{"reason", failure.message()}});
  }
  open_failure_ = std::move(failure);
  TellHealth();
  for (const Task& task : opening) {
    if (!task.opening) continue;
    task.opened();
    task.opening->announced.store(true, std::memory_order_release);
  }
}

void StoreWriter::OpenChannel(DiskChannel& channel, const std::optional<StoredChannel>& stored) {
  DiskChannelPtr& known = open_[channel.name()];
  // Otherwise two channels would give out the same positions.
  FANWIRE_CHECK(!known || known->released.load(std::memory_order_acquire),
                "a channel is opened twice");
  known = DiskChannelPtr(&channel);
  const absl::Duration now = clock_->Now();
  DiskChannel::Writing& writing = channel.writing;
  writing.open = true;
  if (stored.has_value() && stored->over) forgotten_.emplace(channel.name(), stored->epoch);
  if (!stored.has_value() || forgotten_.contains(channel.name())) {
    writing.epoch = Epoch::Random();
    return channel.Open({.epoch = writing.epoch}, now);
  }
  const ChannelHead& head = stored->head;
  writing.epoch = stored->epoch;
  writing.named = true;
  writing.head = head.offset;
  writing.total_bytes = head.total_bytes;
  writing.floor = head.floor;
  writing.floor_bytes = head.floor_bytes;
  writing.newest_us = head.newest_us;
  writing.policy = head.policy;
  const absl::Duration wall_zero = clock_->WallNow() - absl::UnixEpoch() - now;
  channel.Open({.epoch = writing.epoch,
                .head = head.offset,
                .total_bytes = head.total_bytes,
                .floor = head.floor,
                .floor_bytes = head.floor_bytes,
                .newest = std::min(now, absl::Microseconds(head.newest_us) - wall_zero)},
               now);
}

// ------------------------------------------------------------------------------- writing

void StoreWriter::Append(Tasks* tasks) {
  batch_->Clear();
  for (const auto& [name, epoch] : forgotten_) batch_->DeleteChannel(name, epoch);
  for (Task& task : *tasks) {
    if (!task.items.empty()) AddToBatch(&task);
  }
  AddHeads();
  absl::Status written = broken_;
  if (!batch_->empty() && written.ok()) {
    written = store_->Write(batch_.get());
    if (!written.ok()) Fail(written);
  }
  EndBatch(written.ok());
  EndRecords(written, tasks);
  const absl::Duration now = clock_->Now();
  size_t publications = 0;
  size_t bytes = 0;
  for (Task& task : *tasks) {
    publications += task.items.size();
    bytes += task.bytes;
    for (Item& item : task.items) {
      if (!item.keep || !task.status.ok()) continue;
      if (!written.ok()) {
        task.status = written;
        break;
      }
      item.publication->Seal(item.channel->writing.epoch, item.offset);
      item.channel->Keep(item.publication, item.bytes, item.stored, now);
      if (item.stored) cache_->Add(item.channel, item.offset);
    }
  }
  if (publications > 0) {
    MutexLock lock(&mu_);
    waiting_ -= publications;
    waiting_bytes_ -= bytes;
    writing_since_ = absl::InfiniteDuration();
  }
  CallBack(tasks);
}

void StoreWriter::EndRecords(const absl::Status& written, Tasks* tasks) {
  for (Task& task : *tasks) {
    if (task.record == nullptr || !task.status.ok()) continue;
    if (written.ok()) {
      store_->NoteRecord(task.record->view(), task.items.front().publication->received_us());
      continue;
    }
    // An event that skips history goes on without its record.
    if (task.items.front().keep) task.status = written;
    doubtful_records_.push_back(std::move(task.record));
  }
}

void StoreWriter::AddToBatch(Task* task) {
  for (const Item& item : task->items) {
    if (item.keep && !broken_.ok()) {
      task->status = broken_;
      return;
    }
    if (!item.channel->writing.open) {
      task->status = open_failure_;
      return;
    }
  }
  for (Item& item : task->items) {
    if (item.keep) AddToBatch(&item);
  }
  if (task->record == nullptr || !broken_.ok()) return;
  const Item& origin = task->items.front();
  Position position;
  if (origin.keep) position = {.epoch = origin.channel->writing.epoch, .offset = origin.offset};
  batch_->PutRecord(task->record->view(), position, origin.publication->received_us());
}

void StoreWriter::AddToBatch(Item* item) {
  DiskChannel::Writing& writing = item->channel->writing;
  if (!writing.in_batch) {
    writing.in_batch = true;
    writing.next_head = writing.head;
    writing.next_total = writing.total_bytes;
    writing.next_newest_us = writing.newest_us;
    // One answer for the whole batch: history has no holes.
    writing.stores = item->channel->policy().size > 0;
    changed_channels_.push_back(item->channel);
  }
  item->offset = ++writing.next_head;
  item->stored = writing.stores;
  if (item->stored) {
    item->bytes = batch_->PutPublication(writing.epoch, item->offset, *item->publication);
    writing.next_total += item->bytes;
  }
  writing.next_newest_us = std::max(writing.next_newest_us, item->publication->received_us());
}

void StoreWriter::AddHeads() {
  const absl::Duration now = changed_channels_.empty() ? absl::ZeroDuration() : clock_->Now();
  for (DiskChannel* const channel : changed_channels_) {
    DiskChannel::Writing& writing = channel->writing;
    const DiskChannel::Floor floor = channel->FloorFor(writing.next_head, now);
    writing.next_floor = writing.stores ? floor.offset : writing.next_head + 1;
    writing.next_floor_bytes = floor.bytes;
    writing.next_policy = floor.policy;
    batch_->PutHead(writing.epoch, {.offset = writing.next_head,
                                    .total_bytes = writing.next_total,
                                    .floor = writing.next_floor,
                                    .floor_bytes = floor.bytes,
                                    .generation = generation_,
                                    .policy = floor.policy,
                                    .newest_us = writing.next_newest_us});
    if (!writing.named) batch_->PutChannel(channel->name(), writing.epoch);
  }
}

void StoreWriter::EndBatch(bool written) {
  for (DiskChannel* const channel : changed_channels_) {
    DiskChannel::Writing& writing = channel->writing;
    writing.in_batch = false;
    if (!written) {
      doubtful_.emplace_back(channel);
      continue;
    }
    writing.named = true;
    writing.head = writing.next_head;
    writing.total_bytes = writing.next_total;
    writing.floor = writing.next_floor;
    writing.floor_bytes = writing.next_floor_bytes;
    writing.newest_us = writing.next_newest_us;
    writing.policy = writing.next_policy;
  }
  changed_channels_.clear();
  if (written && broken_.ok()) forgotten_.clear();
}

void StoreWriter::CallBack(Tasks* tasks) {
  for (const Task& task : *tasks) {
    if (task.items.empty()) continue;
    task.done(task.status);
    for (const Item& item : task.items) {
      item.channel->under_way.fetch_sub(1, std::memory_order_release);
    }
  }
}

// ------------------------------------------------------------------------------- failures

void StoreWriter::Fail(absl::Status reason) {
  next_try_ = Clock::Real()->Now() + options_.retry_pause;
  if (broken_.ok()) LogError("engine.failed", {{"reason", reason.message()}});
  broken_ = std::move(reason);
  TellHealth();
}

void StoreWriter::TellHealth() {
  MutexLock lock(&mu_);
  failure_ = broken_.ok() ? open_failure_ : broken_;
}

void StoreWriter::Heal() {
  if (absl::Status status = store_->Heal(); !status.ok()) return Fail(std::move(status));
  // A batch whose write failed may be in the log all the same, as a whole.  What was refused must
  // not come back after a restart.
  batch_->Clear();
  for (const DiskChannelPtr& channel : doubtful_) {
    const DiskChannel::Writing& writing = channel->writing;
    if (writing.named) {
      batch_->PutHead(writing.epoch, HeadOf(writing));
    } else {
      batch_->DeleteChannel(channel->name(), writing.epoch);
    }
  }
  for (const std::unique_ptr<OwnedRecord>& record : doubtful_records_) {
    batch_->DeleteRecord(record->view());
  }
  if (!batch_->empty()) {
    if (absl::Status status = store_->Write(batch_.get()); !status.ok()) {
      return Fail(std::move(status));
    }
  }
  doubtful_.clear();
  doubtful_records_.clear();
  LogInfo("engine.healed");
  broken_ = absl::OkStatus();
  TellHealth();
}

ChannelHead StoreWriter::HeadOf(const DiskChannel::Writing& writing) const {
  return {.offset = writing.head,
          .total_bytes = writing.total_bytes,
          .floor = writing.floor,
          .floor_bytes = writing.floor_bytes,
          .generation = generation_,
          .policy = writing.policy,
          .newest_us = writing.newest_us};
}

// ------------------------------------------------------------------------------- upkeep

void StoreWriter::Upkeep() {
  if (!broken_.ok()) return;
  WriteFloors();
  ForgetExpired();
  store_->ExpireRecords();
  const RocksDbStore::Sizes sizes = store_->sizes();
  history_bytes_.store(sizes.history_bytes, std::memory_order_relaxed);
  disk_bytes_.store(sizes.disk_bytes, std::memory_order_relaxed);
}

void StoreWriter::WriteFloors() {
  const absl::Duration now = clock_->Now();
  batch_->Clear();
  size_t heads = 0;
  for (const auto& [name, channel] : open_) {
    DiskChannel::Writing& writing = channel->writing;
    if (!writing.named) continue;
    const DiskChannel::Floor floor = channel->FloorFor(writing.head, now);
    if (floor.offset == writing.floor && floor.policy == writing.policy) continue;
    // If the write fails, the database has a lower floor, which does no harm.
    writing.floor = floor.offset;
    writing.floor_bytes = floor.bytes;
    writing.policy = floor.policy;
    batch_->PutHead(writing.epoch, HeadOf(writing));
    if (++heads % kHeadsInBatch != 0) continue;
    if (absl::Status status = store_->Write(batch_.get()); !status.ok()) {
      return Fail(std::move(status));
    }
    batch_->Clear();
  }
  if (batch_->empty()) return;
  if (absl::Status status = store_->Write(batch_.get()); !status.ok()) Fail(std::move(status));
}

void StoreWriter::ForgetExpired() {
  if (!broken_.ok()) return;
  const absl::Duration wall = clock_->WallNow() - absl::UnixEpoch();
  batch_->Clear();
  std::vector<std::pair<std::string, Epoch>> expired;
  std::string last;
  const absl::StatusOr<bool> more = store_->Walk(
      walked_, kWalkedNames, [&](absl::string_view name, Epoch epoch, const ChannelHead* head) {
        last.assign(name.data(), name.size());
        if (open_.contains(name) || forgotten_.contains(name)) return;
        if (head != nullptr) {
          absl::Duration idle = options_.channel_idle_ttl;
          if (head->policy.size > 0) idle = std::max(idle, head->policy.ttl);
          if (absl::Microseconds(head->newest_us) + idle > wall) return;
        }
        batch_->DeleteChannel(name, epoch);
        expired.emplace_back(name, epoch);
      });
  if (!more.ok()) return LogWarning("engine.upkeep_failed", {{"reason", more.status()}});
  walked_ = *more ? last : "";
  if (batch_->empty()) return;
  if (absl::Status status = store_->Write(batch_.get()); !status.ok()) {
    // They may be deleted all the same, so nobody may find them any more.
    for (const auto& [name, epoch] : expired) forgotten_[name] = epoch;
    Fail(std::move(status));
  }
}

}  // namespace fanwire::control
