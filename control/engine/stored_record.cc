#include "control/engine/stored_record.h"

#include <rocksdb/compaction_filter.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/mutex.h"
#include "control/engine/store_keys.h"
#include "fanwire/v1/store.pb.h"

namespace fanwire::control {

namespace {

constexpr char kKey = 'k';
constexpr char kSeq = 'p';
constexpr size_t kSeqBytes = 8;

// Splits the key of a seq.
bool SplitSeqKey(absl::string_view key, absl::string_view* publisher_id, uint64_t* seq) {
  if (key.size() < 2 + kSeqBytes || key[0] != kSeq) return false;
  const size_t zero = key.size() - kSeqBytes - 1;
  if (key[zero] != '\0') return false;
  *publisher_id = key.substr(1, zero - 1);
  *seq = ReadBigEndian(key.data() + zero + 1);
  return true;
}

}  // namespace

void VisitRecordKeys(const EventRecord& event,
                     absl::FunctionRef<void(absl::string_view, bool)> visit) {
  std::string key;
  if (!event.idempotency_key.empty()) {
    key.push_back(kKey);
    key.append(event.service.data(), event.service.size());
    key.push_back('\0');
    key.append(event.idempotency_key.data(), event.idempotency_key.size());
    visit(key, /*is_seq=*/false);
  }
  if (!event.publisher_id.empty()) {
    key.assign(1, kSeq);
    key.append(event.publisher_id.data(), event.publisher_id.size());
    key.push_back('\0');
    char seq[kSeqBytes];
    WriteBigEndian(event.seq, seq);
    key.append(seq, sizeof(seq));
    visit(key, /*is_seq=*/true);
  }
}

void WriteRecordValue(const StoredRecordValue& value, std::string* bytes) {
  v1::StoredRecord stored;
  stored.set_channel(value.channel);
  stored.set_id(value.id);
  stored.set_fingerprint(value.fingerprint);
  stored.set_epoch(value.position.epoch.value);
  stored.set_offset(value.position.offset);
  stored.set_received_us(value.received_us);
  stored.set_generation(value.generation);
  stored.SerializeToString(bytes);
}

bool ReadRecordValue(absl::string_view bytes, StoredRecordValue* value) {
  v1::StoredRecord stored;
  if (!stored.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  *value = {.channel = std::move(*stored.mutable_channel()),
            .id = std::move(*stored.mutable_id()),
            .fingerprint = stored.fingerprint(),
            .position = {.epoch = Epoch{stored.epoch()}, .offset = stored.offset()},
            .received_us = stored.received_us(),
            .generation = stored.generation()};
  return true;
}

bool ReadRecord(absl::string_view key, const StoredRecordValue& value, EventRecord* event) {
  *event = {.channel = value.channel, .id = value.id};
  if (SplitSeqKey(key, &event->publisher_id, &event->seq)) {
    event->seq_fingerprint = value.fingerprint;
    return true;
  }
  const size_t zero = key.find('\0');
  if (key.empty() || key[0] != kKey || zero == absl::string_view::npos) return false;
  event->service = key.substr(1, zero - 1);
  event->idempotency_key = key.substr(zero + 1);
  event->fingerprint = value.fingerprint;
  return true;
}

struct RecordFilters::State {
  struct Newest {
    uint64_t seq = 0;
    int64_t received_us = 0;
  };

  bool IsOver(absl::string_view key, int64_t received_us) {
    absl::string_view publisher_id;
    uint64_t seq = 0;
    const bool is_seq = SplitSeqKey(key, &publisher_id, &seq);
    if (absl::Microseconds(received_us) + (is_seq ? options.seq_ttl : options.key_ttl) <=
        clock->WallNow() - absl::UnixEpoch()) {
      return true;
    }
    if (!is_seq) return false;
    MutexLock lock(&mu);
    const auto it = newest.find(publisher_id);
    return it != newest.end() && it->second.seq >= options.seq_window &&
           seq <= it->second.seq - options.seq_window;
  }

  Options options;
  const Clock* clock = nullptr;
  Mutex mu;  // a leaf
  absl::flat_hash_map<std::string, Newest> newest ABSL_GUARDED_BY(mu);
};

namespace {

template <class State>
class RecordFilter final : public rocksdb::CompactionFilter {
 public:
  explicit RecordFilter(std::shared_ptr<State> state) : state_(std::move(state)) {}

  Decision FilterV2(int /*level*/, const rocksdb::Slice& key, ValueType /*type*/,
                    const rocksdb::Slice& bytes, std::string* /*new_value*/,
                    std::string* /*skip_until*/) const override {
    StoredRecordValue value;
    if (!ReadRecordValue({bytes.data(), bytes.size()}, &value)) return Decision::kKeep;
    return state_->IsOver({key.data(), key.size()}, value.received_us) ? Decision::kRemove
                                                                       : Decision::kKeep;
  }

  const char* Name() const override { return "fanwire.RecordFilter"; }

 private:
  const std::shared_ptr<State> state_;
};

template <class State>
class RecordFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  explicit RecordFilterFactory(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& /*context*/) override {
    return std::make_unique<RecordFilter<State>>(state_);
  }
  const char* Name() const override { return "fanwire.RecordFilters"; }

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace

RecordFilters::RecordFilters(const Options& options, const Clock* clock)
    : state_(std::make_shared<State>()),
      factory_(std::make_shared<RecordFilterFactory<State>>(state_)) {
  state_->options = options;
  state_->clock = clock;
}

void RecordFilters::NoteSeq(absl::string_view publisher_id, uint64_t seq, int64_t received_us) {
  MutexLock lock(&state_->mu);
  auto it = state_->newest.find(publisher_id);
  if (it == state_->newest.end()) {
    it = state_->newest.emplace(std::string(publisher_id), State::Newest()).first;
  }
  it->second.seq = std::max(it->second.seq, seq);
  it->second.received_us = std::max(it->second.received_us, received_us);
}

void RecordFilters::Expire() {
  const absl::Duration wall = state_->clock->WallNow() - absl::UnixEpoch();
  MutexLock lock(&state_->mu);
  absl::erase_if(state_->newest, [&](const auto& publisher) {
    return absl::Microseconds(publisher.second.received_us) + state_->options.seq_ttl <= wall;
  });
}

bool RecordFilters::IsOver(absl::string_view key, int64_t received_us) const {
  return state_->IsOver(key, received_us);
}

}  // namespace fanwire::control
