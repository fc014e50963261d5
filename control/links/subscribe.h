// What a worker asks when a session of its subscribes to a channel, and what control answers.
//
// Threading: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "control/events/publication.h"
#include "control/links/link_handle.h"
#include "proto/policies.h"

namespace fanwire::control {

// A session's subscribe, as its worker asks.
struct SubscribeRequest {
  uint64_t query_id = 0;
  std::string service = {};
  std::string channel = {};
  bool pattern = false;
  Dialect dialect = Dialect::kCommon;
  bool recover = false;
  std::string recover_epoch = {};  // as the client gave it; may be anything
  int64_t recover_offset = 0;
  uint64_t page_bytes = 0;  // 0: 256 KiB
};

// The answer to a SubscribeRequest; a page of it.
struct SubscribeAnswer {
  uint64_t query_id = 0;
  LinkHandle handle;  // the number is 0 if there is no channel; the lane counts all the same
  Position head;
  bool recovered = false;
  const char* reason = "";  // a literal
  std::vector<PublicationPtr> publications;
  bool last_page = true;
  Position next;
  int64_t recover_count = 0;
  absl::Status status;
};

}  // namespace fanwire::control
