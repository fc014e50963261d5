// BatchWriter encodes queued items as one ControlMessage with a Batch.  Deliveries, which are
// nearly all of them, are encoded straight to the wire format, without protobuf's objects.
//
// It also assigns the handles of event names.  An item that introduces a name stands in the batch
// before the first delivery that uses its handle.
//
// Threading: one thread at a time, the one that writes.
// Cost:      one copy of each envelope and one allocation for a batch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/links/link_queue_item.h"
#include "control/links/link_transport.h"
#include "control/links/subscribe.h"

namespace fanwire::v1 {
class BatchItem;
}  // namespace fanwire::v1

namespace fanwire::control {

class BatchWriter {
 public:
  struct Written {
    LinkMessage message;
    // As the worker will count them in its acknowledgements.
    uint64_t items = 0;
    uint64_t envelope_bytes = 0;
    // Tracking ids of publications that expired before they were sent.
    std::vector<uint64_t> expired;
  };

  // Encodes `items`, then clears them.
  Written Write(std::vector<LinkQueueItem>* items, absl::Duration now);

 private:
  void AddDeliver(const LinkQueueItem& item, absl::Duration now);
  void AddAnswer(const SubscribeAnswer& answer, absl::Duration now);
  void AddGap(uint32_t handle, const LinkGap& gap);
  void Add(const v1::BatchItem& item);
  uint32_t EventHandle(absl::string_view name);

  Written written_;
  absl::flat_hash_map<std::string, uint32_t> event_handles_;
  uint32_t next_event_handle_ = 1;
};

}  // namespace fanwire::control
