// WirePieces goes through a message that lies in several pieces, as a network library has it,
// without putting them together.
//
// Threading: of its user.  The pieces must outlive it.
// Cost:      copies what lies across the end of a piece, nothing else.
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

  // A tag, or the size of what follows.  False at the end, or where there is none.
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

  // The next `size` bytes, no more than are left; valid until the next call.
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

  // Passes by so many bytes, no more than are left.
  void Skip(size_t size) {
    while (size > 0) {
      const size_t part = size < piece_.size() ? size : piece_.size();
      Advance(part);
      size -= part;
    }
  }

 private:
  static constexpr int kMaxBytes = 5;  // as protobuf takes them

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
