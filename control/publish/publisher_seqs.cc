#include "control/publish/publisher_seqs.h"

#include <iterator>

namespace fanwire::control {

std::shared_ptr<PublisherLog> PublisherSeqs::Open(const std::string& id) {
  MutexLock lock(&mu_);
  const auto [it, fresh] = by_id_.try_emplace(id);
  Entry& entry = it->second;
  if (fresh) {
    entry.log = std::make_shared<PublisherLog>(options_.window);
  } else if (entry.streams == 0) {
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
  if (entry.log->last() == 0) {
    by_id_.erase(it);  // it has sent nothing that could come again
    return;
  }
  entry.counted = entry.log->capacity();
  unused_seqs_ += entry.counted;
  unused_.push_back(id);
  entry.place = std::prev(unused_.end());
  ForgetUnused();
}

size_t PublisherSeqs::size() const {
  MutexLock lock(&mu_);
  return by_id_.size();
}

void PublisherSeqs::ForgetUnused() {
  while (!unused_.empty() &&
         (by_id_.size() > options_.max_publishers || unused_seqs_ > options_.max_seqs)) {
    const auto it = by_id_.find(unused_.front());
    unused_seqs_ -= it->second.counted;
    by_id_.erase(it);
    unused_.pop_front();
  }
}

}  // namespace fanwire::control
