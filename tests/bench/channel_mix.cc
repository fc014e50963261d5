#include "tests/bench/channel_mix.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace fanwire::bench {

ChannelMix::ChannelMix(const Options& options, int64_t connections)
    : options_(options), connections_(connections) {
  if (!many()) {
    names_ = {options.channel};
    subscribers_ = {connections};
    return;
  }
  for (int64_t i = 0; i < options.total; ++i) {
    names_.push_back(absl::StrCat(options.channel, ":", i));
  }
  subscribers_.assign(names_.size(), options.pattern ? connections : 0);
  for (int64_t connection = 0; connection < connections && !options.pattern; ++connection) {
    for (int64_t i = 0; i < options.each; ++i) {
      ++subscribers_[static_cast<size_t>((First(connection) + i) % options.total)];
    }
  }
  // The golden section keeps neighbours far apart.
  stride_ = std::max<int64_t>(1, options.total * 618 / 1000);
  while (std::gcd(stride_, options.total) != 1) ++stride_;
}

int64_t ChannelMix::First(int64_t connection) const {
  return connection * options_.each % options_.total;
}

size_t ChannelMix::PlaceOf(int64_t connection, int64_t seq) const {
  if (!many()) return 0;
  const auto index = static_cast<int64_t>(Index(seq));
  if (options_.pattern) return static_cast<size_t>(index);
  return static_cast<size_t>((index - First(connection) + options_.total) % options_.total);
}

size_t ChannelMix::places() const {
  if (!many()) return 1;
  return static_cast<size_t>(options_.pattern ? options_.total : options_.each);
}

std::string ChannelMix::SubscribeText(int64_t connection) const {
  const std::string filter =
      options_.events.empty() ? "" : absl::StrCat(",\"events\":[\"", options_.events, "\"]");
  std::string text = R"({"type":"request","id":"s","event":"subscribe","data":{)";
  if (!many() || options_.pattern) {
    absl::StrAppend(&text, "\"channel\":\"", options_.channel, options_.pattern ? ":*\"" : "\"",
                    filter, "}}");
    return text;
  }
  for (int64_t i = 0; i < options_.each; ++i) {
    const auto index = static_cast<size_t>((First(connection) + i) % options_.total);
    text += i == 0 ? "\"channels\":[" : ",";
    if (filter.empty()) {
      absl::StrAppend(&text, "\"", names_[index], "\"");
    } else {
      absl::StrAppend(&text, "{\"channel\":\"", names_[index], "\"", filter, "}");
    }
  }
  return text + "]}}";
}

int64_t ChannelMix::subscriptions() const {
  return connections_ * (many() && !options_.pattern ? options_.each : 1);
}

}  // namespace fanwire::bench
