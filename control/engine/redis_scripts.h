// The scripts that the redis engine runs in the server, and the names of its keys.
//
//   fanwire:generation       hash {g: generation, i: the server's identity}
//   fanwire:c:GEN:NAME       hash of a channel {e: epoch, o: last offset, t: its time of reception}
//   fanwire:h:EPOCH:NAME     stream of its history: OFFSET-0 {v: StoredPublication, n: node, flags}
//   fanwire:log              stream of what was published lately
//   fanwire:feed             Pub/Sub topic of all publications (redis_message.h)
//
// NAME is "service:channel".  GEN names one life of the server's data: while it holds, no offset of
// an epoch is given out twice.  Each script refuses a caller that knows another generation.
//
// Threading: constants.
#pragma once

#include "absl/strings/string_view.h"

namespace fanwire::control {

inline constexpr absl::string_view kFeedTopic = "fanwire:feed";
inline constexpr absl::string_view kLogKey = "fanwire:log";

// How a publication is appended.
inline constexpr absl::string_view kModeKeep = "k";  // with history
inline constexpr absl::string_view kModePosition =
    "o";                                             // only a position: the channel has no history
inline constexpr absl::string_view kModePass = "p";  // neither: it is only passed on

// ARGV: identity, a new generation.  Returns the generation: the one that holds, or the new one if
// the server's identity is another than it was.
inline constexpr absl::string_view kGenerationScript = R"(
local known = redis.call('HMGET', 'fanwire:generation', 'g', 'i')
if known[1] and known[2] == ARGV[1] then return known[1] end
redis.call('HSET', 'fanwire:generation', 'g', ARGV[2], 'i', ARGV[1])
return ARGV[2]
)";

// ARGV: generation, for how many ms a channel's hash is kept at least; then for each channel its
// name and a new epoch.  Makes what does not exist; a channel that nothing was published to is kept
// for 10 minutes.  Returns for each channel: epoch, last offset, its time of reception, the first
// offset of history ("0": there is none).
inline constexpr absl::string_view kOpenScript = R"(
local g = ARGV[1]
if redis.call('HGET', 'fanwire:generation', 'g') ~= g then
  return redis.error_reply('STALE another generation')
end
local out = {}
for i = 3, #ARGV, 2 do
  local key = 'fanwire:c:' .. g .. ':' .. ARGV[i]
  local c = redis.call('HMGET', key, 'e', 'o', 't')
  local first = '0'
  if not c[1] then
    c = {ARGV[i + 1], '0', '0'}
    redis.call('HSET', key, 'e', c[1], 'o', '0', 't', '0')
  else
    local entry = redis.call('XRANGE', 'fanwire:h:' .. c[1] .. ':' .. ARGV[i], '-', '+', 'COUNT', 1)
    if entry[1] then first = string.match(entry[1][1], '^%d+') end
  end
  if c[2] == '0' then
    redis.call('PEXPIRE', key, 600000)
  else
    redis.call('PEXPIRE', key, ARGV[2], 'GT')
  end
  out[#out + 1] = c[1]
  out[#out + 1] = c[2]
  out[#out + 1] = c[3]
  out[#out + 1] = first
end
return out
)";

// ARGV: generation, for how many ms a channel's hash is kept at least; then for each publication:
// its channel's name, its mode, history's size and TTL in ms (0: no limit), a new epoch, its time
// of reception, the head of its message, its StoredPublication.  Returns for each publication its
// epoch ("" if it has none) and offset; of one that is only passed on, the channel's last offset.
inline constexpr absl::string_view kAppendScript = R"(
local g = ARGV[1]
if redis.call('HGET', 'fanwire:generation', 'g') ~= g then
  return redis.error_reply('STALE another generation')
end
local idle = tonumber(ARGV[2])
local out, expires, log = {}, {}, {}
for i = 3, #ARGV, 8 do
  local name, mode, ttl = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3])
  local head, value = ARGV[i + 6], ARGV[i + 7]
  local key = 'fanwire:c:' .. g .. ':' .. name
  local c = redis.call('HMGET', key, 'e', 'o')
  local epoch, offset = c[1], tonumber(c[2] or '0')
  if mode == 'p' then
    epoch = epoch or ''
  else
    epoch = epoch or ARGV[i + 4]
    offset = offset + 1
    local text = string.format('%.0f', offset)
    if mode == 'k' then
      local stream = 'fanwire:h:' .. epoch .. ':' .. name
      redis.call('XADD', stream, 'MAXLEN', '~', ARGV[i + 2], text .. '-0', 'v', value, 'n',
                 string.sub(head, 1, 18))
      if ttl > 0 then expires[stream] = ttl end
    end
    redis.call('HSET', key, 'e', epoch, 'o', text, 't', ARGV[i + 5])
    expires[key] = math.max(idle, ttl)
    log[#log + 1] = struct.pack('>I2', #name) .. name .. epoch .. struct.pack('>I8', offset)
  end
  redis.call('PUBLISH', 'fanwire:feed',
             string.sub(epoch .. '0000000000000000', 1, 16) .. struct.pack('>I8', offset) .. head ..
             value)
  out[#out + 1] = epoch
  out[#out + 1] = offset
end
if #log > 0 then
  redis.call('XADD', 'fanwire:log', 'MAXLEN', '~', 10000, '*', 'd', table.concat(log))
end
for key, ttl in pairs(expires) do redis.call('PEXPIRE', key, string.format('%.0f', ttl)) end
return out
)";

}  // namespace fanwire::control
