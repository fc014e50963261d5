#include "control/publish/publisher_log.h"

#include <algorithm>
#include <cstring>

#include "common/uuid.h"

namespace fanwire::control {

namespace {

constexpr size_t kFirstRing = 16;

}  // namespace

PublisherLog::PublisherLog(size_t window) : window_(std::max<size_t>(window, 1)) {}

uint64_t PublisherLog::Begin(uint64_t* last_accepted) {
  MutexLock lock(&mu_);
  ++uses_;
  *last_accepted = accepted_before_;
  for (size_t i = 0; i < count_ && At(i).state != State::kInFlight; ++i) {
    if (At(i).state == State::kAccepted) *last_accepted = At(i).seq;
  }
  return ++owner_;
}

PublisherLog::Claim PublisherLog::Take(uint64_t owner, uint64_t seq, uint64_t fingerprint,
                                       const Waiter& waiter, Earlier* earlier) {
  MutexLock lock(&mu_);
  if (owner != owner_) return Claim::kStale;
  ++uses_;
  if (seq > last_) {
    MakeRoom();
    Record& record = At(count_++);
    record.seq = seq;
    record.fingerprint = fingerprint;
    record.state = State::kInFlight;
    record.id_form = IdForm::kNotKept;
    last_ = seq;
    return Claim::kNew;
  }
  Record* const record = Find(seq);
  if (record == nullptr) {
    if (seq <= restored_after_ || seq >= restored_before_) return Claim::kUnknown;
    if (count_ >= window_ && seq < At(0).seq) return Claim::kUnknown;  // there is no room for it
    Insert(seq).fingerprint = fingerprint;
    return Claim::kNew;
  }
  if (record->state == State::kRefused) {
    record->fingerprint = fingerprint;
    record->state = State::kInFlight;
    return Claim::kNew;
  }
  if (record->fingerprint != fingerprint) return Claim::kConflict;
  if (record->state == State::kInFlight) {
    waiters_.emplace_back(seq, waiter);
    return Claim::kWaiting;
  }
  earlier->position = {.epoch = record->epoch, .offset = record->offset};
  GetId(*record, &earlier->id);
  return Claim::kRepeated;
}

std::vector<PublisherLog::Waiter> PublisherLog::Settle(uint64_t seq,
                                                       const PublishOutcome& outcome) {
  std::vector<Waiter> waiting;
  MutexLock lock(&mu_);
  Record* const record = Find(seq);
  if (record == nullptr || record->state != State::kInFlight) return waiting;
  if (outcome.status.ok()) {
    record->state = State::kAccepted;
    record->epoch = outcome.position.epoch;
    record->offset = outcome.position.offset;
    SetId(outcome.id, record);
  } else {
    record->state = State::kRefused;
  }
  if (waiters_.empty()) return waiting;
  std::erase_if(waiters_, [&](const std::pair<uint64_t, Waiter>& each) {
    if (each.first != seq) return false;
    waiting.push_back(each.second);
    return true;
  });
  return waiting;
}

void PublisherLog::Restore(absl::Span<const Restored> kept) {
  if (kept.size() > window_) kept.remove_prefix(kept.size() - window_);
  if (kept.empty()) return;
  MutexLock lock(&mu_);
  ring_.assign(kept.size(), Record());
  first_ = 0;
  count_ = kept.size();
  for (size_t i = 0; i < kept.size(); ++i) {
    Record& record = ring_[i];
    record.seq = kept[i].seq;
    record.fingerprint = kept[i].fingerprint;
    record.state = State::kAccepted;
    record.epoch = kept[i].position.epoch;
    record.offset = kept[i].position.offset;
    SetId(kept[i].id, &record);
  }
  last_ = restored_before_ = kept.back().seq;
  restored_after_ = kept.front().seq;
}

uint64_t PublisherLog::last() const {
  MutexLock lock(&mu_);
  return last_;
}

size_t PublisherLog::capacity() const {
  MutexLock lock(&mu_);
  return ring_.size();
}

uint64_t PublisherLog::uses() const {
  MutexLock lock(&mu_);
  return uses_;
}

void PublisherLog::Release() {
  MutexLock lock(&mu_);
  for (size_t i = 0; i < count_; ++i) {
    if (At(i).state == State::kInFlight) return;
  }
  for (size_t i = 0; i < count_; ++i) {
    if (At(i).state == State::kAccepted) accepted_before_ = At(i).seq;
  }
  restored_before_ = 0;
  ring_ = {};
  first_ = count_ = 0;
}

void PublisherLog::SetId(absl::string_view id, Record* record) {
  record->id_form = IdForm::kNotKept;
  if (UuidToBytes(id, &record->id)) {
    record->id_form = IdForm::kUuid;
  } else if (!id.empty() && id.size() <= kIdBytes) {
    record->id_form = IdForm::kText;
    record->id = {};
    std::memcpy(record->id.data(), id.data(), id.size());
  }
}

void PublisherLog::GetId(const Record& record, std::string* id) {
  id->clear();
  switch (record.id_form) {
    case IdForm::kNotKept:
      break;
    case IdForm::kUuid:
      AppendUuidOf(record.id, id);
      break;
    case IdForm::kText:
      id->assign(record.id.begin(), std::find(record.id.begin(), record.id.end(), 0));
      break;
  }
}

PublisherLog::Record* PublisherLog::Find(uint64_t seq) {
  if (count_ == 0) return nullptr;
  // Most outcomes are those of the seq that was taken last.
  if (Record& newest = At(count_ - 1); newest.seq == seq) return &newest;
  size_t begin = 0, end = count_;
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    if (At(middle).seq < seq) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin < count_ && At(begin).seq == seq ? &At(begin) : nullptr;
}

PublisherLog::Record& PublisherLog::Insert(uint64_t seq) {
  MakeRoom();
  size_t at = count_++;
  for (; at > 0 && At(at - 1).seq > seq; --at) At(at) = At(at - 1);
  Record& record = At(at);
  record = Record();
  record.seq = seq;
  return record;
}

void PublisherLog::MakeRoom() {
  // What is in flight must be found when it is settled: then the ring grows beyond the window.
  while (count_ >= window_ && At(0).state != State::kInFlight) {
    if (At(0).state == State::kAccepted) accepted_before_ = At(0).seq;
    restored_after_ = std::max(restored_after_, At(0).seq);
    if (++first_ == ring_.size()) first_ = 0;
    --count_;
  }
  if (count_ < ring_.size()) return;
  size_t size = std::max(kFirstRing, 2 * ring_.size());
  if (ring_.size() < window_) size = std::min(size, window_);
  std::vector<Record> larger(size);
  for (size_t i = 0; i < count_; ++i) larger[i] = At(i);
  ring_ = std::move(larger);
  first_ = 0;
}

}  // namespace fanwire::control
