// SubscribeRequest is a worker's request when one of its sessions subscribes to a channel.
// SubscribeAnswer is control's answer.
//
// Threading: values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "control/events/publication.h"
#include "control/links/link_handle.h"
#include "proto/policies.h"

namespace fanwire::control {

struct SubscribeRequest {
  uint64_t query_id = 0;
  std::string service = {};
  std::string channel = {};
  bool pattern = false;
  Dialect dialect = Dialect::kCommon;
  bool recover = false;
  std::string recover_epoch = {};  // as the client sent it, unchecked
  int64_t recover_offset = 0;
  uint64_t page_bytes = 0;   // 0: 256 KiB
  std::string address = {};  // the client's host; empty: not known
  // The status request whose answer is to follow, and its data; empty: none.
  std::string state_request = {};
  std::string state_data = {};
  absl::Duration asked = {};  // when control received it, monotonic
};

// One page of the answer to a SubscribeRequest.
struct SubscribeAnswer {
  uint64_t query_id = 0;
  LinkHandle handle;  // number 0: there is no channel.  The lane is always set
  Position head;
  bool recovered = false;
  const char* reason = "";  // a literal
  std::vector<PublicationPtr> publications;
  bool last_page = true;
  Position next;
  int64_t recover_count = 0;
  bool state_follows = false;  // as a reply with the number query_id
  absl::Status status;
};

}  // namespace fanwire::control
