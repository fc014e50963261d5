// IntrusivePtr<T> is a shared pointer to an object that holds its own count of references: it is as
// large as a plain pointer, and sharing an object allocates nothing.
//
// A type T that it can point to has
//   - a member `references_`, a PlainCount or an AtomicCount; mutable where T is used as const,
//   - a function `static void Destroy(T*)`, which frees the object (`delete`, if `new` made it),
//   - `friend class IntrusivePtr<T>` (and of IntrusivePtr<const T>), if those two are private.
//
// Threading: with PlainCount, all pointers to one object belong to one thread at a time.  With
//            AtomicCount they may be copied and dropped on any thread; what one thread wrote to the
//            object before it dropped its pointer is visible to the thread that destroys it.
//            Either way one pointer object must not be used by two threads at once.
// Ownership: shared; the last pointer destroys the object.
// Cost:      a copy is one increment, with AtomicCount a relaxed atomic one; a move is free.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace fanwire {

// The number of pointers to an object whose pointers stay on one thread.
class PlainCount {
 public:
  void SetToOne() { count_ = 1; }
  void Increment() { ++count_; }
  // Returns whether that was the last reference.
  bool Decrement() { return --count_ == 0; }
  uint32_t value() const { return count_; }

 private:
  uint32_t count_ = 0;
};

// The number of pointers to an object that threads share.
class AtomicCount {
 public:
  // Not atomic with others' changes: only while no other thread knows the object.
  void SetToOne() { count_.store(1, std::memory_order_relaxed); }
  void Increment() { count_.fetch_add(1, std::memory_order_relaxed); }
  // Returns whether that was the last reference.
  bool Decrement() { return count_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  uint32_t value() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> count_{0};
};

template <typename T>
class IntrusivePtr {
 public:
  IntrusivePtr() = default;
  IntrusivePtr(std::nullptr_t) {}  // NOLINT(google-explicit-constructor): as std's pointers
  // Adds a reference to `object`, which may be null.
  explicit IntrusivePtr(T* object) : object_(object) {
    if (object_ != nullptr) object_->references_.Increment();
  }
  // The first pointer to `object`, which was just made and is not null.  Cheaper than the
  // constructor, because it needs no atomic addition.
  static IntrusivePtr First(T* object) {
    object->references_.SetToOne();
    IntrusivePtr first;
    first.object_ = object;
    return first;
  }

  IntrusivePtr(const IntrusivePtr& other) : IntrusivePtr(other.object_) {}
  IntrusivePtr(IntrusivePtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  IntrusivePtr& operator=(IntrusivePtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~IntrusivePtr() {
    if (object_ != nullptr && object_->references_.Decrement()) T::Destroy(object_);
  }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  friend bool operator==(const IntrusivePtr&, const IntrusivePtr&) = default;

 private:
  T* object_ = nullptr;
};

}  // namespace fanwire
