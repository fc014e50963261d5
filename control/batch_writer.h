// BatchWriter turns queued items into one ControlMessage with a Batch, again and again with the
// same objects: BatchItems of deliveries are kept and overwritten, never cleared, because clearing
// a oneof would free the texts that the next batch needs again.
//
// It also gives event names their handles, since these are introduced in the order of writing.
//
// Threading: of the one thread that writes.
// Cost:      one copy of each envelope; in the steady state no allocation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "control/link_item.h"

namespace fanwire {

namespace v1 {
class BatchItem;
class ControlMessage;
}  // namespace v1

class BatchWriter {
 public:
  BatchWriter();
  ~BatchWriter();

  struct Written {
    uint64_t items = 0;           // in the batch; what the worker counts
    uint64_t envelope_bytes = 0;  // what the worker counts, too
    // Tracked publications whose time was over before they left: the worker never hears of them.
    std::vector<uint64_t> expired;
  };

  // Makes message() out of `items`.
  Written Fill(std::vector<WorkerLink::Item>* items, absl::Duration now);

  const v1::ControlMessage& message() const { return *message_; }

 private:
  void AddDeliver(const WorkerLink::Item& item, absl::Duration now, Written* written);
  void AddAnswer(const SubscribeAnswer& answer, absl::Duration now, Written* written);
  void AddGap(uint32_t handle, const LinkGap& gap);
  uint32_t EventHandle(absl::string_view name);
  v1::BatchItem* NewItem();
  void Recycle();

  std::unique_ptr<v1::ControlMessage> message_;
  std::vector<std::unique_ptr<v1::BatchItem>> deliveries_;  // to be used again
  absl::flat_hash_map<std::string, uint32_t> event_handles_;
  uint32_t next_event_handle_ = 1;
};

}  // namespace fanwire
