// Reads the batches that control sends: publications straight from the bytes, with their frames
// made ready, and every other kind of item as its protobuf message.
//
// Threading: pure functions; called on the thread of the stream from control.
// Ownership: a LinkItem owns all it holds and refers to none of the bytes.
// Cost:      one pass over the bytes; for a publication one allocation, its frame.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "fanout/net/frame.h"

namespace fanwire::v1 {
class Batch;
class BatchItem;
}  // namespace fanwire::v1

namespace fanwire::fanout {

// One item of a Batch: a publication (v1::Deliver) with its frame, or an item of another kind.
struct LinkItem {
  LinkItem();
  LinkItem(LinkItem&&) noexcept;
  LinkItem& operator=(LinkItem&&) noexcept;
  ~LinkItem();

  // Fields of v1::Deliver.
  uint32_t handle = 0;
  uint32_t event = 0;
  int64_t offset = 0;
  uint64_t conflate_key = 0;
  int64_t ttl_ms = 0;
  uint64_t publication_id = 0;
  int64_t received_us = 0;
  FramePtr frame;
  uint32_t envelope_bytes = 0;
  std::string exclude_connection;

  std::unique_ptr<v1::BatchItem> other;  // set: an item of another kind, and the rest is unset
};

// Appends the items of a serialized v1::ControlMessage whose only field is a Batch, as control
// writes it.  `pieces` are the message's bytes in order; they are not put together first.
// Returns false if the message is anything else, well formed or not: `items` may then hold a part
// of it, and only protobuf's own parser can tell what it is.
bool ReadBatch(std::vector<absl::string_view> pieces, std::vector<LinkItem>* items);

// Appends the items of a batch that protobuf has parsed.  Returns false if one of them is
// malformed.
bool ReadBatch(const v1::Batch& batch, std::vector<LinkItem>* items);

}  // namespace fanwire::fanout
