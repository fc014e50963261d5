// Writes structs of cli/model.h as the JSON of --output json: keys in snake_case, offsets and
// counts as numbers, times as RFC 3339 or null, positions as {"epoch", "offset"} or absent, status
// codes by name.  docs/cli.md documents it.
//
// Threading: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/model.h"

namespace fanwire::cli {

// Writes `value` on one line.  Bytes that are not UTF-8 become U+FFFD, so that one bad string does
// not lose the whole result.
std::string CompactJson(const nlohmann::ordered_json& value);

nlohmann::ordered_json ToJson(const Position& position);
nlohmann::ordered_json ToJson(const ServiceInfo& service);
nlohmann::ordered_json ToJson(const ChannelInfo& channel);
nlohmann::ordered_json ToJson(const ConnectionInfo& connection);
nlohmann::ordered_json ToJson(const PresenceMember& member);
nlohmann::ordered_json ToJson(const WorkerInfo& worker);
nlohmann::ordered_json ToJson(const LedgerEntry& entry);
nlohmann::ordered_json ToJson(const EngineStatus& engine);
nlohmann::ordered_json ToJson(const ReloadResult& result);

// {"position": {"epoch", "offset"}, "level", "id", …} or {"status": {"code", "message"}}.
nlohmann::ordered_json ToJson(const Receipt& receipt);

// The array of `values`.
template <typename Value>
nlohmann::ordered_json ToJsonArray(const std::vector<Value>& values);

// Returns `publication` as one line of JSON without a newline.  The envelope is copied byte for
// byte, so that numbers keep all their digits; only line breaks in it, which JSON allows between
// its parts, become spaces.
std::string PublicationLine(const Publication& publication);

absl::string_view LevelName(ReceiptLevel level);

// "4 conflated, 1 slow_closed"; "0" if nothing was dropped.
std::string DropsText(const DropCounts& drops);
int64_t Sum(const DropCounts& drops);

}  // namespace fanwire::cli
