#include "control/publish/stream_order.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "control/publish/publisher_seqs.h"

namespace fanwire::control {

absl::StatusOr<uint64_t> StreamOrder::Begin(const std::string& publisher_id) {
  if (publisher_id.empty()) return 0;
  auto log = publishers_->Open(publisher_id);
  if (!log.ok()) return log.status();
  publisher_id_ = publisher_id;
  log_ = *std::move(log);
  uint64_t last_accepted = 0;
  owner_ = log_->Begin(&last_accepted);
  return last_accepted;
}

void StreamOrder::End() {
  if (named()) publishers_->Close(publisher_id_);
}

absl::Status StreamOrder::Refusal(PublisherLog::Claim claim, uint64_t seq) const {
  switch (claim) {
    case PublisherLog::Claim::kConflict:
      return absl::AlreadyExistsError(absl::StrCat(
          "seq ", seq, " belongs to another event of this publisher_id; count seq up"));
    case PublisherLog::Claim::kStale:
      return absl::FailedPreconditionError(absl::StrCat(
          "publisher_id \"", publisher_id_,
          "\": another stream has said hello with it later; only that one may publish"));
    default:
      return absl::AlreadyExistsError(absl::StrCat("seq ", seq, ": not above ", log_->last(),
                                                   ", the last one of this publisher_id"));
  }
}

}  // namespace fanwire::control
