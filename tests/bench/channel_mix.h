// ChannelMix says which channels a benchmark's publications go to and which connection subscribes
// to which of them.
//
//   one channel   "bench": every connection subscribes to it
//   a mix         "bench:0" to "bench:N-1": each connection subscribes to `each` of them, beginning
//                 where the connection before it ended; one after the other gets a publication, in
//                 an order in which neighbours seldom have subscribers in common
//   a pattern     the same channels, and every connection subscribes to "bench:*"
//
// Threading: immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fanwire::bench {

class ChannelMix {
 public:
  struct Options {
    std::string channel = "bench";
    int64_t total = 0;  // 0: one channel
    int64_t each = 1;   // at most `total`
    bool pattern = false;
    std::string events;  // only events of this name, if set
  };

  ChannelMix(const Options& options, int64_t connections);

  bool many() const { return options_.total > 0; }

  // ---- of publication `seq` (1, 2, 3 …)

  const std::string& ChannelOf(int64_t seq) const { return names_[Index(seq)]; }
  // Connections that get it.
  int64_t SubscribersOf(int64_t seq) const { return subscribers_[Index(seq)]; }
  // Its number on its channel, from 1 on.
  int64_t NumberOnChannel(int64_t seq) const {
    return (seq - 1) / static_cast<int64_t>(names_.size()) + 1;
  }
  // Which of the connection's channels it came by.
  size_t PlaceOf(int64_t connection, int64_t seq) const;

  // ---- of connection 0, 1, 2 …

  // Channels that it gets publications of.
  size_t places() const;
  // The request that subscribes to them, in Fanwire's protocol.
  std::string SubscribeText(int64_t connection) const;
  // Of all connections.
  int64_t subscriptions() const;
  int64_t channels() const { return static_cast<int64_t>(names_.size()); }

 private:
  size_t Index(int64_t seq) const {
    return static_cast<size_t>((seq - 1) * stride_ % static_cast<int64_t>(names_.size()));
  }
  int64_t First(int64_t connection) const;

  const Options options_;
  const int64_t connections_;
  std::vector<std::string> names_;
  std::vector<int64_t> subscribers_;
  int64_t stride_ = 1;  // without a common factor with the number of channels
};

}  // namespace fanwire::bench
