// WsClient is a WebSocket client for tests: blocking, on a plain socket, and able to send bytes
// that no well-behaved client sends.
//
// Threading: one thread at a time.
// Ownership: owns its socket.
// Every wait gives up after 5 s, and says so by an empty result: a test fails and does not hang.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace fanwire {

struct ClientFrame {
  uint8_t opcode = 1;
  std::string payload;
  bool fin = true;
  uint8_t reserved_bits = 0;  // RSV1 = 4, RSV2 = 2, RSV3 = 1
  bool masked = true;
  // Bytes of the extended length: 0, 2 or 8; -1 for the shortest.
  int length_bytes = -1;
  // What the header claims instead of the payload's size.
  std::optional<uint64_t> claimed_size;
};

// `frame` as a client puts it on the wire.
std::string Encode(const ClientFrame& frame);

struct ServerFrame {
  uint8_t opcode = 0;
  std::string payload;
  bool fin = true;

  // Of a close frame: 1005 if it has none.
  uint16_t close_code() const;
  std::string close_reason() const { return payload.size() > 2 ? payload.substr(2) : ""; }
};

class WsClient {
 public:
  // Connects at once; connected() tells.  `receive_buffer_bytes` bounds SO_RCVBUF, 0 leaves it.
  explicit WsClient(uint16_t port, int receive_buffer_bytes = 0, const char* host = "127.0.0.1");
  ~WsClient();
  WsClient(WsClient&& other) noexcept;
  WsClient& operator=(WsClient&&) = delete;

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // A valid upgrade request for `target`, with `extra_headers` (each ending in CRLF).
  static std::string UpgradeRequest(absl::string_view target = "/",
                                    absl::string_view extra_headers = "");

  // Sends UpgradeRequest() and reads the response; returns whether it was a 101.
  bool Handshake(absl::string_view target = "/", absl::string_view extra_headers = "");
  const std::string& response_head() const { return response_head_; }

  // Returns false if the server has closed.
  bool SendRaw(absl::string_view bytes);
  bool Send(const ClientFrame& frame) { return SendRaw(Encode(frame)); }
  bool SendText(absl::string_view payload);
  bool SendClose(uint16_t code, absl::string_view reason = "");

  // Reads an HTTP response's head, up to its empty line.
  std::string ReadHead();

  // The next frame; nothing if the server closes or is silent.
  std::optional<ServerFrame> ReadFrame();

  // The next message's payload, skipping pings, joined from its fragments.
  std::optional<std::string> ReadText();

  // Reads to the end of the stream, and returns what was left.
  std::string ReadToEnd();

  // Whether the server has ended the stream by FIN or reset, after what was read.
  bool ReadEnd();

  void ShutdownSend();
  void Close();
  void Reset();  // closes with RST

 private:
  bool Fill();  // reads more into buffer_; false at the end, on error, after 5 s

  int fd_ = -1;
  bool ended_ = false;
  std::string buffer_;
  std::string response_head_;
};

}  // namespace fanwire
