// `wsctl channels list|show|history`: channels with state, and what they hold.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/admin_client.h"
#include "cli/output.h"

namespace fanwire::cli {

struct ChannelListOptions {
  std::string service;
  std::string pattern;
  ChannelSort sort = ChannelSort::kName;
  uint32_t limit = 1000;  // 0: all
};

absl::Status RunChannelsList(const ChannelListOptions& options, AdminClient& admin, Output& out);

struct ChannelShowOptions {
  std::string service;
  std::string channel;
};

absl::Status RunChannelsShow(const ChannelShowOptions& options, AdminClient& admin, Output& out);

struct ChannelHistoryOptions {
  std::string service;
  std::string channel;
  uint32_t limit = 100;
  std::string since;  // "EPOCH:OFFSET", or an offset of the epoch in force
  bool reverse = false;
};

absl::Status RunChannelsHistory(const ChannelHistoryOptions& options, AdminClient& admin,
                                Output& out);

// "9f86d081884c7d65:42"; without an epoch, "42", the epoch stays empty.
//   a usage error if it is neither
absl::StatusOr<Position> ParsePosition(absl::string_view text);

}  // namespace fanwire::cli
