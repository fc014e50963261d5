// Frame is an immutable run of bytes ready for the wire: one or more whole WebSocket frames (RFC
// 6455 section 5.2, as a server sends them: unmasked, unfragmented), built once and shared by every
// session that gets it.  FramePtr is the counted reference to it.
//
// Threading: a Frame may be made on any thread and moved (not copied) to the loop; once there, its
//            count is touched by the loop alone, so it needs no atomic.
// Ownership: shared; freed with the last FramePtr.
// Cost:      one allocation for count, header and payload together; a copy of FramePtr is one
//            increment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/intrusive_ptr.h"

namespace fanwire::fanout {

enum class Opcode : uint8_t { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

class Frame;

// A counted reference to a Frame, or null.
using FramePtr = IntrusivePtr<const Frame>;

class Frame {
 public:
  // One text message.  `payload` must be UTF-8; that is the caller's word, it is not checked here.
  static FramePtr Text(absl::string_view payload) { return Make(Opcode::kText, payload, 1); }

  // One frame of any kind; a control frame's payload is at most 125 bytes.  `messages` is what it
  // counts for in messages(): 1 for an application message, 0 for a control frame.
  static FramePtr Make(Opcode opcode, absl::string_view payload, uint32_t messages);

  // Bytes that are on the wire as they stand, such as an HTTP response.  messages() is 0.
  static FramePtr Raw(absl::string_view bytes);

  // All of `frames` (none null) in one buffer, in order, so that one send() carries them.
  static FramePtr Join(absl::Span<const FramePtr> frames);

  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  absl::string_view bytes() const { return absl::string_view(data(), size_); }
  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  size_t size() const { return size_; }

  // How many application messages these bytes are; sums over a Join().
  uint32_t messages() const { return messages_; }

 private:
  friend FramePtr;

  static constexpr size_t kMaxHeader = 10;

  Frame(size_t size, uint32_t messages) : size_(size), messages_(messages) {}
  ~Frame() = default;

  static Frame* Allocate(size_t size, uint32_t messages) {
    void* memory = ::operator new(sizeof(Frame) + size);
    return new (memory) Frame(size, messages);
  }
  static void Destroy(const Frame* frame) {
    frame->~Frame();
    ::operator delete(const_cast<Frame*>(frame));
  }
  char* mutable_data() { return reinterpret_cast<char*>(this + 1); }

  // Writes the header of an unmasked final frame; returns its length, at most kMaxHeader.
  static size_t PutHeader(Opcode opcode, size_t payload_size, char* out);

  size_t size_;
  mutable PlainCount references_;
  uint32_t messages_;
};

inline size_t Frame::PutHeader(Opcode opcode, size_t payload_size, char* out) {
  out[0] = static_cast<char>(0x80 | static_cast<uint8_t>(opcode));  // FIN
  size_t length_bytes = 0;
  if (payload_size < 126) {
    out[1] = static_cast<char>(payload_size);
  } else if (payload_size < 65536) {
    out[1] = 126;
    length_bytes = 2;
  } else {
    out[1] = 127;
    length_bytes = 8;
  }
  for (size_t i = 0; i < length_bytes; ++i) {
    out[2 + i] = static_cast<char>(payload_size >> (8 * (length_bytes - 1 - i)));
  }
  return 2 + length_bytes;
}

inline FramePtr Frame::Make(Opcode opcode, absl::string_view payload, uint32_t messages) {
  char header[kMaxHeader];
  const size_t header_size = PutHeader(opcode, payload.size(), header);
  Frame* frame = Allocate(header_size + payload.size(), messages);
  std::memcpy(frame->mutable_data(), header, header_size);
  if (!payload.empty()) {
    std::memcpy(frame->mutable_data() + header_size, payload.data(), payload.size());
  }
  return FramePtr::First(frame);
}

inline FramePtr Frame::Raw(absl::string_view bytes) {
  Frame* frame = Allocate(bytes.size(), 0);
  if (!bytes.empty()) std::memcpy(frame->mutable_data(), bytes.data(), bytes.size());
  return FramePtr::First(frame);
}

inline FramePtr Frame::Join(absl::Span<const FramePtr> frames) {
  size_t size = 0;
  uint32_t messages = 0;
  for (const FramePtr& frame : frames) {
    size += frame->size();
    messages += frame->messages();
  }
  Frame* joined = Allocate(size, messages);
  char* out = joined->mutable_data();
  for (const FramePtr& frame : frames) {
    std::memcpy(out, frame->data(), frame->size());
    out += frame->size();
  }
  return FramePtr::First(joined);
}

}  // namespace fanwire::fanout
