// Publisher sends the benchmark's publications to one kind of server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "tests/bench/channel_mix.h"
#include "tests/bench/subscribers.h"

namespace fanwire::bench {

class Publisher {
 public:
  virtual ~Publisher() = default;

  // Sends `count` publications whose JSON text is made by `PublicationText(first_seq + i, bytes)`.
  // Returns false, after telling why on stderr, if the server is gone or has refused one.
  virtual bool Publish(int64_t first_seq, int count, size_t bytes) = 0;
};

// The benchmark's publication: `{"q":SEQ,"t":NOW,"pad":"xx…"}`, exactly `bytes` long if that is
// enough to hold the rest.
std::string PublicationText(int64_t seq, size_t bytes);

// One text message per publication on a WebSocket of its own: the floor and the simple peers.
std::unique_ptr<Publisher> MakeWebSocketPublisher(const Target& target);

// HTTP POST per publication on one connection: nchan.  `burst` publications are pipelined.
std::unique_ptr<Publisher> MakeHttpPublisher(const Target& target);

// Text "PUB subject N" over plain NATS.
std::unique_ptr<Publisher> MakeNatsPublisher(const Target& target, const std::string& subject);

// Fanwire's PublishStream; each burst is one message.  Receipts are not awaited, unless the server
// grants no more without them.  `mix` outlives it.
std::unique_ptr<Publisher> MakeStreamPublisher(const std::string& server,
                                               const std::string& service, const ChannelMix* mix);

// Fanwire's unary Publish, one after another.  `mix` outlives it.
std::unique_ptr<Publisher> MakeUnaryPublisher(const std::string& server, const std::string& service,
                                              const ChannelMix* mix);

}  // namespace fanwire::bench
