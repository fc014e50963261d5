#include "control/publish/publisher_seqs.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace fanwire::control {

absl::StatusOr<std::shared_ptr<PublisherLog>> PublisherSeqs::Open(const std::string& id) {
  MutexLock lock(&mu_);
  const auto known = by_id_.find(id);
  const bool is_open = known != by_id_.end() && known->second.streams > 0;
  if (!is_open && open_ >= options_.max_publishers) {
    return absl::ResourceExhaustedError(
        absl::StrCat("publisher_id: ", options_.max_publishers,
                     " publishers have an open stream already; end a stream that is not needed, "
                     "publish without a publisher_id, or raise control.max_publishers"));
  }
  if (!is_open) ++open_;
  Entry& entry = by_id_[id];
  if (entry.log == nullptr) {
    entry.log = std::make_shared<PublisherLog>(options_.window);
  } else if (!is_open) {
    unused_.erase(entry.place);
    unused_seqs_ -= entry.counted;
  }
  ++entry.streams;
  return entry.log;
}

void PublisherSeqs::Close(const std::string& id) {
  MutexLock lock(&mu_);
  const auto it = by_id_.find(id);
  Entry& entry = it->second;
  if (--entry.streams > 0) return;
  --open_;
  if (entry.log->last() == 0) {
    by_id_.erase(it);  // it has sent nothing that could come again
    return;
  }
  AddUnused(id, &entry);
  ForgetUnused(0);
}

void PublisherSeqs::Restore(absl::Span<const Restored> publishers) {
  if (publishers.size() > options_.max_publishers) {
    publishers.remove_prefix(publishers.size() - options_.max_publishers);
  }
  if (publishers.empty()) return;
  const size_t each = std::max<size_t>(1, options_.max_seqs / publishers.size());
  MutexLock lock(&mu_);
  for (const Restored& publisher : publishers) {
    absl::Span<const PublisherLog::Restored> seqs = publisher.seqs;
    if (seqs.size() > each) seqs.remove_prefix(seqs.size() - each);
    const auto [it, fresh] = by_id_.try_emplace(publisher.id);
    if (!fresh) continue;
    it->second.log = std::make_shared<PublisherLog>(options_.window);
    it->second.log->Restore(seqs);
    AddUnused(publisher.id, &it->second);
  }
  ForgetUnused(0);
}

void PublisherSeqs::AddUnused(const std::string& id, Entry* entry) {
  entry->counted = entry->log->capacity();
  unused_seqs_ += entry->counted;
  unused_.push_back(id);
  entry->place = std::prev(unused_.end());
}

void PublisherSeqs::ReleaseIdle(absl::Duration now) {
  MutexLock lock(&mu_);
  size_t silent = 0;
  for (auto& [id, entry] : by_id_) {
    // What those without a stream remember is bounded already, and may be asked for late.
    if (entry.streams == 0) continue;
    if (entry.log->last() == 0) ++silent;
    if (const uint64_t uses = entry.log->uses(); uses != entry.uses) {
      entry.uses = uses;
      entry.idle_since = now;
    } else if (entry.idle_since + options_.keep_idle <= now) {
      entry.log->Release();
    }
  }
  ForgetUnused(silent);
}

size_t PublisherSeqs::size() const {
  MutexLock lock(&mu_);
  return by_id_.size();
}

void PublisherSeqs::ForgetUnused(size_t silent) {
  while (!unused_.empty() &&
         (by_id_.size() - silent > options_.max_publishers || unused_seqs_ > options_.max_seqs)) {
    const auto it = by_id_.find(unused_.front());
    unused_seqs_ -= it->second.counted;
    by_id_.erase(it);
    unused_.pop_front();
  }
}

}  // namespace fanwire::control
