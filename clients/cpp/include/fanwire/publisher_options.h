// PublisherOptions configures a Publisher.  Every default is good for a service on control's
// machine.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "fanwire/receipt.h"
#include "fanwire/status.h"

namespace fanwire::client {

// What Publish() does when the buffer is full.
enum class WhenFull {
  kBlock,       // waits up to block_timeout, then refuses the event
  kRefuse,      // refuses the event at once
  kDropOldest,  // drops the oldest event that has not been sent; its receipt says so
};

struct PublisherOptions {
  // Control's address: HOST:PORT, HOST (port 8701) or unix:PATH.  Empty: as wsctl chooses it, which
  // is $FANWIRE_SERVER, else the local socket if there is one, else 127.0.0.1:8701.
  std::string target = {};
  // TLS, with the system's authorities or those of ca_file (PEM).
  bool tls = false;
  std::string ca_file = {};
  // PEM files of a client certificate, for mutual TLS.
  std::string cert_file = {};
  std::string key_file = {};
  // Sent as `authorization: Bearer`; not over a network without TLS.  Empty: $FANWIRE_TOKEN.
  std::string token = {};

  // Events wait in a buffer until their receipt has come.  Its limits, and what happens beyond.
  size_t max_buffered_events = 100'000;
  size_t max_buffered_bytes = size_t{64} << 20;
  WhenFull when_full = WhenFull::kBlock;
  std::chrono::milliseconds block_timeout{5'000};

  // A message to control has at most so many events (control takes limits.max_batch) and, unless
  // a single one is larger, so many bytes.
  size_t max_batch_events = 256;
  size_t max_batch_bytes = size_t{256} << 10;
  // So many events may be sent and have no receipt yet; control's credit (10,000) limits them too.
  // Enough where control is near.  More only help where a round trip takes milliseconds: what is
  // under way falls out of the processors' caches.
  size_t max_in_flight_events = 2'048;

  ReceiptLevel receipt_level = ReceiptLevel::kAccepted;
  // For kWritten: after this time the receipt comes with the counts reached.
  std::chrono::milliseconds receipt_wait{5'000};

  // Waits between attempts to connect: random, up to a bound that grows from the first to the last.
  std::chrono::milliseconds reconnect_first{50};
  std::chrono::milliseconds reconnect_last{5'000};

  // How long the destructor waits for receipts.
  std::chrono::milliseconds close_timeout{5'000};

  // Called with OK after connecting, and with the reason when the connection is lost or the first
  // attempt to connect fails.  On the publisher's thread: return soon.
  std::function<void(const Status&)> on_connection = {};
};

}  // namespace fanwire::client
