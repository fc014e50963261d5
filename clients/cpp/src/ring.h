// Ring is a double-ended queue in one block of memory.
//
// Threading: none.
// Cost:      no allocation once it has its largest size; it does not shrink.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace fanwire::client {

template <typename T>
class Ring {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // `i` counts from the front.
  T& operator[](size_t i) { return items_[(first_ + i) & (items_.size() - 1)]; }
  const T& operator[](size_t i) const { return items_[(first_ + i) & (items_.size() - 1)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }

  void push_back(T item) {
    if (size_ == items_.size()) Grow();
    (*this)[size_++] = std::move(item);
  }
  void push_front(T item) {
    if (size_ == items_.size()) Grow();
    first_ = (first_ - 1) & (items_.size() - 1);
    ++size_;
    front() = std::move(item);
  }
  T pop_front() {
    T item = std::move(front());
    front() = T();
    first_ = (first_ + 1) & (items_.size() - 1);
    --size_;
    return item;
  }

 private:
  static constexpr size_t kFirstSize = 64;  // a power of two, as all sizes are

  void Grow() {
    std::vector<T> larger(std::max(kFirstSize, 2 * items_.size()));
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    items_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> items_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace fanwire::client
