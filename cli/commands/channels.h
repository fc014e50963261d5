// `wsctl channels list|show|history`: the channels that control has state of, and their recent
// publications.
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
  std::string since;   // "EPOCH:OFFSET", or an offset in the current epoch
  std::string before;  // the same
  bool reverse = false;
};

absl::Status RunChannelsHistory(const ChannelHistoryOptions& options, AdminClient& admin,
                                Output& out);

// Parses "9f86d081884c7d65:42", or "42", which gives a position with an empty epoch.
//   a usage error  `text` is neither; it names the option that has it
absl::StatusOr<Position> ParsePosition(absl::string_view option, absl::string_view text);

}  // namespace fanwire::cli
