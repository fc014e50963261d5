#include "control/publish/stream_order.h"

#include "absl/strings/str_cat.h"
#include "control/publish/publisher_seqs.h"

namespace fanwire::control {

uint64_t StreamOrder::Begin(std::string publisher_id) {
  publisher_id_ = std::move(publisher_id);
  last_seq_ = publisher_id_.empty() ? 0 : publishers_->LastAccepted(publisher_id_);
  return last_seq_;
}

absl::Status StreamOrder::Take(uint64_t seq) {
  if (publisher_id_.empty()) return absl::OkStatus();
  if (seq <= last_seq_) {
    return absl::AlreadyExistsError(absl::StrCat("seq ", seq, ": not above ", last_seq_,
                                                 ", the last one of this publisher_id"));
  }
  last_seq_ = seq;
  return absl::OkStatus();
}

void StreamOrder::Remember() { publishers_->Accepted(publisher_id_, last_seq_); }

}  // namespace fanwire::control
