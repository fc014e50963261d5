// FrameReader takes a server's WebSocket byte stream apart, as cheaply as a client can: it copies
// nothing but the part of a message that a read cut off.
//
// Threading: none.  Ownership: by value, one per connection; 40 bytes while nothing is cut off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace fanwire::bench {

class FrameReader {
 public:
  // Calls `on_message(opcode, payload)` for each whole frame in what was left and `bytes`.
  void Feed(absl::string_view bytes,
            absl::FunctionRef<void(uint8_t opcode, absl::string_view payload)> on_message);

 private:
  // Takes whole frames off the front of `bytes`; returns how many bytes they were.
  static size_t Take(absl::string_view bytes,
                     absl::FunctionRef<void(uint8_t, absl::string_view)> on_message);

  std::string rest_;
};

}  // namespace fanwire::bench
