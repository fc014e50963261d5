#include "fanout/backlog.h"

#include <algorithm>
#include <cstring>

#include "absl/container/flat_hash_set.h"
#include "proto/policies.h"

namespace fanwire::fanout {

void Backlog::Append(Item item) {
  bytes_ += item.frame->size();
  ++count_;
  items_.push_back(std::move(item));
}

Backlog::PushOutcome Backlog::Push(Item item, size_t budget, Dropped dropped) {
  const size_t size = item.frame->size();
  if (item.kind == Kind::kEvent && item.channel->backlog == BacklogPolicy::kLatest) {
    if (newest_ == nullptr) newest_ = std::make_unique<absl::flat_hash_map<Key, uint64_t>>();
    const uint64_t number = first_ + items_.size();
    const auto [it, fresh] = newest_->try_emplace({item.channel.get(), item.conflate_key}, number);
    if (!fresh) {
      const uint64_t older = std::exchange(it->second, number);
      if (older >= first_ && older - first_ < items_.size()) {
        Item& superseded = items_[older - first_];
        // The number may be of an item that has left, and its place another's.
        if (superseded.frame && superseded.channel.get() == item.channel.get() &&
            superseded.conflate_key == item.conflate_key && superseded.kind == Kind::kEvent) {
          dropped(superseded, DropReason::kConflated);
          if (superseded.offset > 0) {
            Skip(superseded.channel, superseded.offset, superseded.offset, "conflated");
          }
          Forget(&superseded);
        }
      }
    }
  }
  while (bytes_ + size > budget && count_ > 0) {
    if (item.channel->backlog == BacklogPolicy::kClose && item.kind == Kind::kEvent) {
      return PushOutcome::kTooSlow;
    }
    if (!DropOldest(dropped)) return PushOutcome::kTooSlow;
  }
  Append(std::move(item));
  Compact();
  return PushOutcome::kKept;
}

bool Backlog::DropOldest(Dropped dropped) {
  for (uint64_t number = std::max(first_, droppable_); number - first_ < items_.size(); ++number) {
    Item& item = items_[number - first_];
    if (!item.frame || item.kind != Kind::kEvent ||
        item.channel->backlog == BacklogPolicy::kClose) {
      continue;
    }
    droppable_ = number + 1;
    dropped(item, DropReason::kDropOldest);
    if (item.offset > 0) Skip(item.channel, item.offset, item.offset, "slow_subscriber");
    Forget(&item);
    while (!items_.empty() && !items_.front().frame) PopFront();
    return true;
  }
  return false;
}

void Backlog::Forget(Item* item) {
  bytes_ -= item->frame->size();
  --count_;
  *item = Item();
}

void Backlog::PopFront() {
  items_.pop_front();
  ++first_;
}

void Backlog::Compact() {
  constexpr size_t kFew = 64;
  const bool holes = items_.size() > 2 * count_ + kFew;
  if (!holes && (newest_ == nullptr || newest_->size() <= 2 * count_ + kFew)) return;
  std::erase_if(items_, [](const Item& item) { return !item.frame; });
  droppable_ = 0;
  if (newest_ == nullptr) return;
  newest_->clear();
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (item.kind != Kind::kEvent || item.channel->backlog != BacklogPolicy::kLatest) continue;
    newest_->insert_or_assign(Key(item.channel.get(), item.conflate_key), first_ + i);
  }
}

void Backlog::Extend(Stretch* stretch, const Stretch& later) {
  stretch->from = std::min(stretch->from, later.from);
  stretch->to = std::max(stretch->to, later.to);
  // Of several reasons the client's own slowness says most.
  if (std::strcmp(stretch->reason, "expired") == 0) stretch->reason = later.reason;
}

void Backlog::Skip(const ChannelRef& channel, int64_t from, int64_t to, const char* reason) {
  // The dialect of session-buddy knows no notices.
  if (channel->dialect != Dialect::kCommon) return;
  const Stretch added{.from = from, .to = to, .reason = reason};
  const auto known = std::find_if(skipped_.begin(), skipped_.end(), [&](const Skipped& skipped) {
    return skipped.channel.get() == channel.get();
  });
  if (known == skipped_.end()) {
    skipped_.push_back({.channel = channel, .stretches = {added}});
    return;
  }
  auto& stretches = known->stretches;
  // The first that is adjacent to it, or behind it.
  auto at = std::lower_bound(stretches.begin(), stretches.end(), from - 1,
                             [](const Stretch& one, int64_t offset) { return one.to < offset; });
  if (at == stretches.end() || at->from > to + 1) {
    stretches.insert(at, added);
  } else {
    Extend(&*at, added);
    const auto next = at + 1;
    if (next != stretches.end() && next->from <= at->to + 1) {
      Extend(&*at, *next);
      stretches.erase(next);
    }
  }
  if (stretches.size() > kMaxStretches) {
    Extend(&stretches[0], stretches[1]);
    stretches.erase(stretches.begin() + 1);
  }
}

void Backlog::Take(size_t max_bytes, absl::Duration now, std::vector<Item>* out,
                   MakeNotice make_notice, absl::FunctionRef<void(const Item&)> expired) {
  size_t taken = 0;
  // One notice for the stretches up to `end`.
  const auto take_notice = [&](Skipped& skipped, auto end) {
    const auto begin = skipped.stretches.begin();
    if (begin == end) return;
    Stretch whole = *begin;
    for (auto it = begin + 1; it != end; ++it) Extend(&whole, *it);
    Item notice{.frame = make_notice(*skipped.channel, whole.from, whole.to, whole.reason),
                .channel = skipped.channel,
                .kind = Kind::kNotice};
    taken += notice.frame->size();
    out->push_back(std::move(notice));
    skipped.stretches.erase(begin, end);
  };
  while (!items_.empty() && taken < max_bytes) {
    Item& item = items_.front();
    if (!item.frame) {
      PopFront();
      continue;
    }
    if (item.kind == Kind::kEvent && item.expires_at <= now) {
      expired(item);
      if (item.offset > 0) Skip(item.channel, item.offset, item.offset, "expired");
      Forget(&item);
      PopFront();
      continue;
    }
    if (!skipped_.empty() && item.offset > 0) {
      const auto it = std::find_if(skipped_.begin(), skipped_.end(), [&](const Skipped& skipped) {
        return skipped.channel.get() == item.channel.get();
      });
      if (it != skipped_.end()) {
        auto& stretches = it->stretches;
        take_notice(
            *it, std::find_if(stretches.begin(), stretches.end(),
                              [&](const Stretch& stretch) { return stretch.from > item.offset; }));
        if (stretches.empty()) skipped_.erase(it);
      }
    }
    taken += item.frame->size();
    bytes_ -= item.frame->size();
    --count_;
    out->push_back(std::move(item));
    PopFront();
  }
  if (count_ == 0) {
    first_ += items_.size();
    items_.clear();
    if (newest_ != nullptr) newest_->clear();
    // The next event of these channels need not pass here.
    for (Skipped& skipped : skipped_) take_notice(skipped, skipped.stretches.end());
    skipped_.clear();
  }
}

void Backlog::Clear(absl::FunctionRef<void(const Item&)> dropped) {
  for (const Item& item : items_) {
    if (item.frame) dropped(item);
  }
  first_ += items_.size();
  items_.clear();
  skipped_.clear();
  newest_ = nullptr;
  count_ = 0;
  bytes_ = 0;
}

void Backlog::ClearChannel(const Channel* channel, absl::FunctionRef<void(const Item&)> dropped) {
  for (Item& item : items_) {
    if (!item.frame || item.channel.get() != channel) continue;
    dropped(item);
    Forget(&item);
  }
  std::erase_if(skipped_, [&](const Skipped& skipped) { return skipped.channel.get() == channel; });
  while (!items_.empty() && !items_.front().frame) PopFront();
  Compact();
}

std::vector<ChannelRef> Backlog::Channels() const {
  std::vector<ChannelRef> channels;
  absl::flat_hash_set<const Channel*> seen;
  const auto add = [&](const ChannelRef& channel) {
    if (channel && seen.insert(channel.get()).second) channels.push_back(channel);
  };
  for (const Item& item : items_) {
    if (item.frame) add(item.channel);
  }
  for (const Skipped& skipped : skipped_) add(skipped.channel);
  return channels;
}

int64_t Backlog::FirstOffset(const Channel* channel) const {
  int64_t first = 0;
  const auto see = [&first](int64_t offset) {
    if (offset > 0 && (first == 0 || offset < first)) first = offset;
  };
  for (const Item& item : items_) {
    if (item.frame && item.channel.get() == channel) see(item.offset);
  }
  for (const Skipped& skipped : skipped_) {
    if (skipped.channel.get() == channel) see(skipped.stretches.front().from);
  }
  return first;
}

}  // namespace fanwire::fanout
