// Chunk is memory for the bytes of consecutive events, shared by the buffer and the messages that
// are being sent.
//
// Threading: Ref() and Unref() are safe from every thread; the bytes belong to whoever appends them
//            and are not changed afterwards.
// Ownership: counted; New() returns the first reference.
#pragma once

#include <atomic>
#include <cstddef>
#include <new>

namespace fanwire::client {

class Chunk {
 public:
  static Chunk* New(size_t capacity) {
    return new (::operator new(sizeof(Chunk) + capacity)) Chunk(capacity);
  }

  void Ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    this->~Chunk();
    ::operator delete(this);
  }

  char* data() { return reinterpret_cast<char*>(this + 1); }
  size_t capacity() const { return capacity_; }

 private:
  explicit Chunk(size_t capacity) : capacity_(capacity) {}
  ~Chunk() = default;

  std::atomic<size_t> refs_{1};
  const size_t capacity_;
};

}  // namespace fanwire::client
