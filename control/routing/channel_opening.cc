#include "control/routing/channel_opening.h"

#include <algorithm>
#include <utility>

namespace fanwire::control {

bool ChannelOpening::Attach(const std::shared_ptr<WorkerLink>& link,
                            std::optional<WorkerPosition> position) {
  for (Attached& known : attached_) {
    if (known.link != link) continue;
    if (position.has_value()) known.position = std::move(position);
    return false;
  }
  attached_.push_back({.link = link, .position = std::move(position)});
  return true;
}

bool ChannelOpening::IsAttachedByPattern(const WorkerLink* link) const {
  return std::any_of(attached_.begin(), attached_.end(), [&](const Attached& known) {
    return known.link.get() == link && !known.position.has_value();
  });
}

void ChannelOpening::Detach(const WorkerLink* link) {
  std::erase_if(attached_, [&](const Attached& known) { return known.link.get() == link; });
}

bool ChannelOpening::Wait(Waiting waiting) {
  if (waiting.kind == Kind::kNotice) {
    if (notices_ >= kMaxNotices) return false;
    ++notices_;
  }
  waiting_.push_back(std::move(waiting));
  return true;
}

std::deque<ChannelOpening::Waiting> ChannelOpening::Take() {
  notices_ = 0;
  return std::exchange(waiting_, {});
}

void ChannelOpening::TakeExpired(absl::Duration now, std::vector<Waiting>* expired) {
  std::erase_if(waiting_, [&](Waiting& waiting) {
    if (waiting.kind == Kind::kRepair || waiting.since + kMaxWait > now) return false;
    if (waiting.kind == Kind::kNotice) --notices_;
    expired->push_back(std::move(waiting));
    return true;
  });
}

void ChannelOpening::Drop(const WorkerLink* link) {
  std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.link == link; });
}

}  // namespace fanwire::control
