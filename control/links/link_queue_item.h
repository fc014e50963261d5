// LinkQueueItem is one item of a LinkQueue: a delivery, an introduction or release of a channel, a
// gap, or an answer to a subscribe.  BatchWriter encodes it when it is sent.
//
// Threading: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "control/events/publication.h"
#include "control/links/subscribe.h"
#include "proto/policies.h"

namespace fanwire::control {

// A ChannelIntroduction that owns its strings.
struct OwnedIntroduction {
  std::string service;
  std::string channel;
  Dialect dialect = Dialect::kCommon;
  Epoch epoch;
  int backlog_policy = 0;
  int gap_policy = 0;
  int64_t offset = 0;
};

struct LinkGap {
  int64_t from = 0;
  int64_t to = 0;
  const char* reason = "";  // a literal
  Epoch epoch;
};

struct LinkQueueItem {
  enum class Kind : uint8_t { kDeliver, kIntroduce, kRelease, kGap, kAnswer };

  Kind kind = Kind::kDeliver;
  uint32_t handle = 0;
  PublicationPtr publication = {};  // kDeliver
  // The other kinds are rare.  They are held by pointer, so that a delivery stays small.
  std::unique_ptr<OwnedIntroduction> introduction = nullptr;
  std::unique_ptr<LinkGap> gap = nullptr;
  std::unique_ptr<SubscribeAnswer> answer = nullptr;
  size_t bytes = 0;  // of envelopes
  // kDeliver: the publication's received_at(); other kinds: InfiniteDuration.
  absl::Duration received = absl::InfiniteDuration();
};

}  // namespace fanwire::control
