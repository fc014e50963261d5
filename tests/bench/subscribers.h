// Subscribers holds many WebSocket client connections to one server and counts what they get.
//
// A publication of the benchmark has `"q":SEQ,"t":NANOSECONDS` somewhere in its text: its number on
// its channel and when it was sent (CLOCK_MONOTONIC).  With a ChannelMix of many channels SEQ
// counts over all of them, and the mix tells channel and number.  Everything else is replies and
// notices.
//
// Threading: none; Poll() does all the work.
// Cost:      one recv() per readable connection and turn into one shared buffer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/bench/channel_mix.h"
#include "tests/bench/histogram.h"
#include "tests/bench/socket_memory.h"

namespace fanwire::bench {

struct Target {
  std::string host = "127.0.0.1";
  int port = 0;
  std::string path = "/";
};

struct Received {
  int64_t deliveries = 0;
  int64_t gaps = 0;        // numbers that were jumped over
  int64_t duplicates = 0;  // numbers at or below the last
  int64_t bytes = 0;       // from the server, frame headers included
  int64_t other = 0;       // replies, welcomes, notices
  int64_t pings = 0;
  int64_t closed = 0;  // connections that ended, also before StartMeasuring()
  int64_t min_per_connection = 0;
  int64_t max_per_connection = 0;
};

struct ConnectOptions {
  int connections = 0;
  int in_flight = 128;  // handshakes under way at once
  int never_read = 0;   // so many of the connections, the last ones, stop reading once open
  int never_read_buffer_bytes = 0;  // SO_RCVBUF of these; 0: the kernel's choice
  // Text message sent after the handshake; "%d" stands for the connection's number.  Empty: none.
  std::string subscribe;
  // Instead: subscribes each connection to its channels of the mix, which outlives the Subscribers.
  const ChannelMix* mix = nullptr;
  // Looks for further publications behind the first in a frame; for servers that join them so.
  bool many_per_frame = false;
  // Frames to await after the handshake before a connection counts as ready.
  int frames_before_ready = 0;
  double timeout_seconds = 60;
};

class Subscribers {
 public:
  Subscribers();
  ~Subscribers();

  // Opens all connections; set-up times go to setup().  Empty text: done, else what went wrong.
  std::string Connect(const Target& target, const ConnectOptions& options);

  // Waits up to `timeout_ms` and takes what has arrived; returns how many connections were
  // readable.
  int Poll(int timeout_ms);

  // Starts the counts and latencies anew.
  void StartMeasuring();

  // Deliveries since StartMeasuring().
  int64_t deliveries() const { return deliveries_; }
  Received received() const;
  // The addresses of those that never read.
  std::vector<Endpoint> never_reading() const;
  const Histogram& latency() const { return latency_; }
  const Histogram& setup() const { return setup_; }
  int64_t max_latency_ns() const { return max_latency_; }

 private:
  struct Client;

  bool StartConnect(const Target& target, const ConnectOptions& options, size_t index);
  void OnReady(Client& client);
  void OnMessage(Client& client, uint8_t opcode, absl::string_view payload);
  // Counts the publication at the front of `payload`; returns what is behind it, empty if none.
  absl::string_view TakePublication(Client& client, absl::string_view payload);
  // Compares with the number that came before it.
  void CheckOrder(Client& client, int64_t seq);
  void Fail(Client& client);

  int epoll_ = -1;
  std::vector<std::unique_ptr<Client>> clients_;
  std::string request_;
  std::string subscribe_;
  const ChannelMix* mix_ = nullptr;
  int frames_before_ready_ = 0;
  bool many_per_frame_ = false;
  size_t ready_ = 0;
  size_t under_way_ = 0;
  std::string error_;
  Histogram latency_;
  Histogram setup_;
  int64_t deliveries_ = 0;
  int64_t gaps_ = 0;
  int64_t duplicates_ = 0;
  int64_t bytes_ = 0;
  int64_t other_ = 0;
  int64_t pings_ = 0;
  int64_t closed_ = 0;
  int64_t max_latency_ = 0;
  size_t hint_ = 0;  // where the marker stood in the last message
  std::vector<char> buffer_;
};

// One masked client text frame.
std::string ClientFrame(absl::string_view payload);

}  // namespace fanwire::bench
