#include "control/engine/redis_message.h"

#include "absl/strings/str_cat.h"
#include "control/engine/store_keys.h"

namespace fanwire::control {

namespace {

constexpr size_t kNodeBytes = 16;
constexpr size_t kFixedBytes = Epoch::kTextBytes + 8 + kNodeBytes + 2 + 2;

}  // namespace

void AppendMessageHead(absl::string_view node, absl::string_view mode, bool mirror,
                       absl::string_view name, std::string* out) {
  absl::StrAppend(out, node, mode);
  out->push_back(mirror ? 'm' : '-');
  out->push_back(static_cast<char>(name.size() >> 8 & 0xff));
  out->push_back(static_cast<char>(name.size() & 0xff));
  absl::StrAppend(out, name);
}

bool ParseRedisMessage(absl::string_view text, RedisMessage* message) {
  if (text.size() < kFixedBytes) return false;
  message->epoch = {};
  const absl::string_view epoch = text.substr(0, Epoch::kTextBytes);
  if (epoch != "0000000000000000" && !Epoch::Parse(epoch, &message->epoch)) return false;
  text.remove_prefix(Epoch::kTextBytes);
  message->offset = static_cast<int64_t>(ReadBigEndian(text.data()));
  message->node = text.substr(8, kNodeBytes);
  text.remove_prefix(8 + kNodeBytes);
  message->mode = text[0];
  message->mirror = text[1] == 'm';
  const size_t size = static_cast<size_t>(static_cast<unsigned char>(text[2])) << 8 |
                      static_cast<unsigned char>(text[3]);
  text.remove_prefix(4);
  if (text.size() < size || message->offset < 0) return false;
  message->name = text.substr(0, size);
  message->value = text.substr(size);
  return message->mode == 'k' || message->mode == 'o' || message->mode == 'p';
}

}  // namespace fanwire::control
