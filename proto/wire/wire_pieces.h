// WirePieces reads a protobuf message that lies in several buffers, without joining them.
//
// Threading: belongs to one thread.
// Ownership: borrows the buffers, which must outlive it.
// Cost:      copies only values that extend over the end of a buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace fanwire {

class WirePieces {
 public:
  explicit WirePieces(std::vector<absl::string_view> pieces) : pieces_(std::move(pieces)) {
    for (const absl::string_view piece : pieces_) left_ += piece.size();
    NextPiece();
  }

  size_t left() const { return left_; }

  // Reads a tag or a size: a varint of at most 32 bits.  False at the end, and if malformed.
  bool ReadHead(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 7 * kMaxBytes && left_ > 0; shift += 7) {
      const auto byte = static_cast<unsigned char>(piece_.front());
      Advance(1);
      *value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  // Returns the next `size` bytes, at most left().  They are valid until the next call.
  absl::string_view Read(size_t size) {
    if (size <= piece_.size()) {
      const absl::string_view bytes = piece_.substr(0, size);
      Advance(size);
      return bytes;
    }
    joined_.clear();
    while (joined_.size() < size) {
      const absl::string_view part = piece_.substr(0, size - joined_.size());
      joined_.append(part.data(), part.size());
      Advance(part.size());
    }
    return joined_;
  }

  // Skips the next `size` bytes; `size` is at most left().
  void Skip(size_t size) {
    while (size > 0) {
      const size_t part = size < piece_.size() ? size : piece_.size();
      Advance(part);
      size -= part;
    }
  }

 private:
  static constexpr int kMaxBytes = 5;  // longest varint that protobuf accepts as a tag or size

  void Advance(size_t size) {
    piece_.remove_prefix(size);
    left_ -= size;
    if (piece_.empty()) NextPiece();
  }
  void NextPiece() {
    while (piece_.empty() && next_ < pieces_.size()) piece_ = pieces_[next_++];
  }

  std::vector<absl::string_view> pieces_;
  size_t next_ = 0;
  absl::string_view piece_;
  size_t left_ = 0;
  std::string joined_;
};

}  // namespace fanwire
