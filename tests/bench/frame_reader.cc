#include "tests/bench/frame_reader.h"

namespace fanwire::bench {

size_t FrameReader::Take(absl::string_view bytes,
                         absl::FunctionRef<void(uint8_t, absl::string_view)> on_message) {
  size_t taken = 0;
  while (bytes.size() - taken >= 2) {
    const auto* head = reinterpret_cast<const uint8_t*>(bytes.data()) + taken;
    size_t header = 2;
    uint64_t length = head[1] & 0x7f;
    if (length == 126) {
      header = 4;
      if (bytes.size() - taken < header) break;
      length = static_cast<uint64_t>(head[2]) << 8 | head[3];
    } else if (length == 127) {
      header = 10;
      if (bytes.size() - taken < header) break;
      length = 0;
      for (int i = 2; i < 10; ++i) length = length << 8 | head[i];
    }
    if (bytes.size() - taken < header + length) break;
    on_message(head[0] & 0x0f, bytes.substr(taken + header, length));
    taken += header + length;
  }
  return taken;
}

void FrameReader::Feed(absl::string_view bytes,
                       absl::FunctionRef<void(uint8_t, absl::string_view)> on_message) {
  if (!rest_.empty()) {
    rest_.append(bytes.data(), bytes.size());
    const size_t taken = Take(rest_, on_message);
    if (taken == rest_.size()) {
      std::string().swap(rest_);
    } else {
      rest_.erase(0, taken);
    }
    return;
  }
  const size_t taken = Take(bytes, on_message);
  if (taken < bytes.size()) rest_.assign(bytes.data() + taken, bytes.size() - taken);
}

}  // namespace fanwire::bench
