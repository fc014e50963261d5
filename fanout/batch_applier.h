// BatchApplier applies what control sends of channels: publications go to Hub, and the channels'
// handles and positions are kept.
//
// Control gives each channel a handle for the time of an attachment, and names it so.
//
// Threading: loop-confined.
// Ownership: holds references to the channels that have handles; borrows all else.
// Cost:      per publication one lookup by handle; no allocation.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "fanout/acknowledgements.h"
#include "fanout/batch_reader.h"
#include "fanout/channel.h"
#include "fanout/hub.h"
#include "fanout/interest.h"
#include "fanout/service_ports.h"
#include "fanout/track.h"

namespace fanwire::v1 {
class BatchItem;
class ChannelDef;
class ChannelGap;
}  // namespace fanwire::v1

namespace fanwire::fanout {

class BatchApplier {
 public:
  BatchApplier(Hub* hub, TrackTable* tracks, ServicePorts* ports, Interest* interest,
               Acknowledgements* acknowledgements);
  BatchApplier(const BatchApplier&) = delete;
  BatchApplier& operator=(const BatchApplier&) = delete;

  // Applies one item and counts it.  Items of services or channels that are gone have no effect.
  void Apply(LinkItem&& item);

  // An attachment begins: delivers what is left of the former one, and forgets its handles, counts,
  // and the channels that nobody needs any more.
  void Restart();

 private:
  void ApplyOther(const v1::BatchItem& item);
  void DefineChannel(const v1::ChannelDef& def);
  void ReleaseChannel(uint32_t handle);
  // The channel has no handle any more: forgets its position, unless somebody subscribes to it.
  void LoseHandle(Channel* channel);
  void ApplyGap(const v1::ChannelGap& gap);
  // Tells the channel's subscribers that positions `from` to `to` do not come, or closes them, as
  // its policy wants it.
  void TellGap(Channel* channel, int64_t from, int64_t to, absl::string_view reason);
  // Closes the sessions that subscribe to the channel, by name or by pattern.
  void CloseSubscribers(Channel* channel);

  Hub* const hub_;
  TrackTable* const tracks_;
  ServicePorts* const ports_;
  Interest* const interest_;
  Acknowledgements* const acknowledgements_;
  absl::flat_hash_map<uint32_t, ChannelRef> handles_;
};

}  // namespace fanwire::fanout
