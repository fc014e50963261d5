// PresenceTracker tells control which sessions are on the channels that the configuration tracks
// (ServiceSettings::TracksPresence).  A session is a member of a channel to which it subscribes by
// name; subscriptions to patterns do not count.
//
// Changes leave in batches, at the latest in the next turn of the loop.  While the worker is not
// attached nothing is sent; after each attachment a snapshot tells all members.
//
// Threading: loop-confined.
// Ownership: borrows loop, link and sessions.  A session calls SessionEnds() before its end.
// Cost:      nothing for channels that are not tracked; else some 100 bytes for each session and
//            its channel, and an item of a message for each change.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "fanout/channel.h"
#include "fanout/control_link.h"
#include "fanout/net/event_loop.h"

namespace fanwire::v1 {
class PresenceUpdate;
class WorkerItem;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class Service;
class Session;

// The info of a member, a JSON object.  Null: none.
using PresenceInfo = std::shared_ptr<const std::string>;

class PresenceTracker {
 public:
  PresenceTracker(EventLoop* loop, ControlLink* link);
  ~PresenceTracker();
  PresenceTracker(const PresenceTracker&) = delete;
  PresenceTracker& operator=(const PresenceTracker&) = delete;

  // The session is subscribed to the channel, as it may have been before.  `info` is the
  // subscribe's; null: it has none, and an earlier one stays.
  void Join(Session* session, Channel* channel, PresenceInfo info);
  // The session is not subscribed to the channel any more.
  void Leave(Session* session, const Channel* channel);
  // The session has left everything.  `may_return`: the worker has sent its client away, to another
  // worker.
  void SessionEnds(Session* session, bool may_return);
  // The session has another token.
  void TokenChanged(Session* session);

  // The services may have other settings: tracks what they say.
  void Review(const std::vector<Service*>& services);

  // The worker is attached: sends all members.  `restored`: to another control than before.
  void SendSnapshot(bool restored);
  // The attachment has ended.
  void OnDetached();

  // Sends the changes that wait.
  void Flush();

  // How many sessions are members of channels.
  size_t sessions() const { return members_.size(); }

 private:
  struct Membership {
    ChannelRef channel;
    PresenceInfo info;  // the subscribe's
  };
  // The patterns of a service, as they were last looked at.
  using Patterns = std::vector<std::string>;

  bool attached() const;
  // The update that is being filled, and a further one if that is long enough.
  v1::PresenceUpdate* Batch();
  void TellJoined(const Session& session, const Membership& membership);
  void TellLeft(const Session& session, const Membership& membership, bool may_return);
  void PostFlush();

  EventLoop* const loop_;
  ControlLink* const link_;
  absl::flat_hash_map<Session*, std::vector<Membership>> members_;
  absl::flat_hash_map<std::string, Patterns> patterns_;  // by service
  std::unique_ptr<v1::WorkerItem> batch_;                // null: nothing waits
  size_t batch_bytes_ = 0;
  bool posted_ = false;
  bool told_ = false;  // a snapshot was sent in this attachment
};

}  // namespace fanwire::fanout
