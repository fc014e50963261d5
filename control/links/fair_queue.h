// FairQueue is a queue of several lanes.  A lane is first in, first out.  The lanes take turns by
// bytes, so that a long lane delays the others only by its equal share.
//
// Threading: guarded by its owner's lock.
// Cost:      O(1) an item.  Pop() and AnyFor() are O(lanes) if may_go() refuses lanes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace fanwire::control {

// `Item` has a size_t `bytes`.
template <typename Item>
class FairQueue {
 public:
  // An item costs kItemCost more than its bytes.  A lane may send kTurnCost in one turn.
  static constexpr int64_t kItemCost = 64;
  static constexpr int64_t kTurnCost = 16 << 10;

  // `lane` is a small number.
  void Push(uint32_t lane, Item item) {
    Lane& to = At(lane);
    if (to.items.empty()) {
      to.credit = kTurnCost;
      turns_.push_back(lane);
    }
    to.bytes += item.bytes;
    bytes_ += item.bytes;
    ++size_;
    to.items.push_back(std::move(item));
  }

  // Takes the next item of the lanes for which `may_go(lane)` is true.  Returns false if there is
  // none.
  template <typename MayGo>
  bool Pop(MayGo may_go, uint32_t* lane, Item* item) {
    for (size_t held = 0; held < turns_.size();) {
      *lane = turns_.front();
      Lane& from = lanes_[*lane];
      if (!may_go(*lane)) {
        ++held;
        Rotate();
        continue;
      }
      if (from.credit <= 0) {
        from.credit += kTurnCost;
        held = 0;
        Rotate();
        continue;
      }
      *item = std::move(from.items.front());
      from.items.pop_front();
      from.credit -= kItemCost + static_cast<int64_t>(item->bytes);
      from.bytes -= item->bytes;
      bytes_ -= item->bytes;
      --size_;
      if (from.items.empty()) turns_.pop_front();
      return true;
    }
    return false;
  }

  // Returns whether there is an item in a lane for which `may_go(lane)` is true.
  template <typename MayGo>
  bool AnyFor(MayGo may_go) const {
    for (const uint32_t lane : turns_) {
      if (may_go(lane)) return true;
    }
    return false;
  }

  void Clear() {
    lanes_.clear();
    turns_.clear();
    size_ = bytes_ = 0;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t bytes() const { return bytes_; }
  size_t lane_size(uint32_t lane) const {
    return lane < lanes_.size() ? lanes_[lane].items.size() : 0;
  }
  size_t lane_bytes(uint32_t lane) const { return lane < lanes_.size() ? lanes_[lane].bytes : 0; }
  // Number of lanes that are not empty.
  size_t lanes() const { return turns_.size(); }

  template <typename Fn>
  void ForEach(Fn fn) const {
    for (const Lane& lane : lanes_) {
      for (const Item& item : lane.items) fn(item);
    }
  }

 private:
  struct Lane {
    std::deque<Item> items;
    size_t bytes = 0;
    int64_t credit = 0;  // the cost that the lane may still send in this turn
  };

  Lane& At(uint32_t lane) {
    while (lane >= lanes_.size()) lanes_.emplace_back();
    return lanes_[lane];
  }
  void Rotate() {
    turns_.push_back(turns_.front());
    turns_.pop_front();
  }

  std::deque<Lane> lanes_;
  std::deque<uint32_t> turns_;  // lanes that are not empty, in the order of their turns
  size_t size_ = 0;
  size_t bytes_ = 0;
};

}  // namespace fanwire::control
