#include "fanout/presence_tracker.h"

#include <algorithm>
#include <utility>

#include "fanout/service.h"
#include "fanout/session.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::fanout {

namespace {

// Bytes of one message.
constexpr size_t kUpdateBytes = 256 << 10;

}  // namespace

PresenceTracker::PresenceTracker(EventLoop* loop, ControlLink* link) : loop_(loop), link_(link) {}

PresenceTracker::~PresenceTracker() = default;

// Before the snapshot nothing need be told: it tells all.
bool PresenceTracker::attached() const { return told_ && link_->attached(); }

v1::PresenceUpdate* PresenceTracker::Batch() {
  if (batch_ != nullptr && batch_bytes_ >= kUpdateBytes) Flush();
  if (batch_ == nullptr) {
    batch_ = std::make_unique<v1::WorkerItem>();
    batch_bytes_ = 0;
  }
  return batch_->mutable_presence();
}

void PresenceTracker::Flush() {
  if (batch_ != nullptr) link_->Send(std::move(batch_));
}

void PresenceTracker::PostFlush() {
  if (std::exchange(posted_, true)) return;
  loop_->Post([this] {
    posted_ = false;
    Flush();
  });
}

void PresenceTracker::TellJoined(const Session& session, const Membership& membership) {
  v1::PresenceChange* const change = Batch()->add_changes();
  change->set_service(session.service()->name());
  change->set_channel(membership.channel->name);
  change->set_connection_id(std::string(session.id()));
  change->set_user_id(std::string(session.user()));
  // What the token says of the user counts before what the client says.
  if (!session.presence_info().empty()) {
    change->set_info(std::string(session.presence_info()));
  } else if (membership.info != nullptr) {
    change->set_info(*membership.info);
  }
  batch_bytes_ += change->ByteSizeLong();
}

void PresenceTracker::TellLeft(const Session& session, const Membership& membership,
                               bool may_return) {
  v1::PresenceChange* const change = Batch()->add_changes();
  change->set_service(session.service()->name());
  change->set_channel(membership.channel->name);
  change->set_connection_id(std::string(session.id()));
  change->set_left(true);
  change->set_may_return(may_return);
  batch_bytes_ += change->ByteSizeLong();
}

void PresenceTracker::Join(Session* session, Channel* channel, PresenceInfo info) {
  if (!session->service()->settings().TracksPresence(channel->name)) return;
  std::vector<Membership>& memberships = members_[session];
  auto known = std::find_if(
      memberships.begin(), memberships.end(),
      [&](const Membership& membership) { return membership.channel.get() == channel; });
  if (known == memberships.end()) {
    known = memberships.insert(known, {.channel = ChannelRef(channel), .info = std::move(info)});
  } else if (info == nullptr || (known->info != nullptr && *known->info == *info)) {
    return;
  } else {
    known->info = std::move(info);
  }
  if (!attached()) return;
  TellJoined(*session, *known);
  PostFlush();
}

void PresenceTracker::Leave(Session* session, const Channel* channel) {
  const auto it = members_.find(session);
  if (it == members_.end()) return;
  std::vector<Membership>& memberships = it->second;
  const auto known = std::find_if(
      memberships.begin(), memberships.end(),
      [&](const Membership& membership) { return membership.channel.get() == channel; });
  if (known == memberships.end()) return;
  if (attached()) {
    TellLeft(*session, *known, /*may_return=*/false);
    PostFlush();
  }
  if (memberships.size() == 1) {
    members_.erase(it);
  } else {
    *known = std::move(memberships.back());
    memberships.pop_back();
  }
}

void PresenceTracker::SessionEnds(Session* session, bool may_return) {
  const auto it = members_.find(session);
  if (it == members_.end()) return;
  if (attached()) {
    for (const Membership& membership : it->second) TellLeft(*session, membership, may_return);
    PostFlush();
  }
  members_.erase(it);
}

void PresenceTracker::TokenChanged(Session* session) {
  const auto it = members_.find(session);
  if (it == members_.end() || !attached()) return;
  for (const Membership& membership : it->second) TellJoined(*session, membership);
  PostFlush();
}

void PresenceTracker::Review(const std::vector<Service*>& services) {
  bool changed = false;
  for (Service* const service : services) {
    Patterns wanted;
    for (const ChannelPattern& pattern : service->settings().presence) {
      wanted.push_back(pattern.text());
    }
    Patterns& known = patterns_[service->name()];
    if (known == wanted) continue;
    known = std::move(wanted);
    changed = true;
    for (const auto& [id, subscriber] : service->sessions()) {
      Session* const session = subscriber;
      if (const auto it = members_.find(session); it != members_.end()) {
        std::erase_if(it->second, [&](const Membership& membership) {
          return !service->settings().TracksPresence(membership.channel->name);
        });
        if (it->second.empty()) members_.erase(it);
      }
      session->ForEachNamedChannel(
          [&](Channel* channel) { Join(session, channel, /*info=*/nullptr); });
    }
  }
  // Everybody who subscribes already is a member from now on; nobody is told.
  if (changed && attached()) SendSnapshot(/*restored=*/true);
}

void PresenceTracker::SendSnapshot(bool restored) {
  batch_ = nullptr;  // the snapshot tells it
  told_ = true;
  Batch()->set_snapshot_first(true);
  for (const auto& [session, memberships] : members_) {
    for (const Membership& membership : memberships) {
      TellJoined(*session, membership);
      batch_->mutable_presence()->set_restored(restored);
    }
  }
  batch_->mutable_presence()->set_snapshot_last(true);
  Flush();
}

void PresenceTracker::OnDetached() {
  batch_ = nullptr;
  told_ = false;
}

}  // namespace fanwire::fanout
