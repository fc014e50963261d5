#include "cli/batch.h"

#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/batch_line.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/line_reader.h"
#include "cli/text.h"
#include "common/mutex.h"

namespace fanwire::cli {
namespace {

// Limits of one message to control; control's own batches are no larger.
constexpr size_t kMaxItems = 256;
constexpr size_t kMaxMessageBytes = 256 << 10;

// The receipt of a refused line also says which line that is.
std::string ReceiptLine(const Receipt& receipt, uint64_t number, const Output& out) {
  nlohmann::ordered_json json = ToJson(receipt);
  if (!receipt.status.ok()) json["line"] = number;
  return absl::StrCat(out.SafeJson(CompactJson(json)), "\n");
}

enum class Room { kNow, kLater, kNever };

// Keeps the lines whose receipts are not written yet, in order, and control's credit.
class Ledger : public PublishStreamHandler {
 public:
  Ledger(const BatchOptions& options, LineReader* reader, Output* out)
      : options_(options), reader_(reader), out_(out) {}

  void OnCredit(uint32_t credit) override {
    MutexLock lock(&mu_);
    credit_ = credit;
    welcomed_ = true;
    changed_.SignalAll();
  }

  void OnReceipts(std::vector<std::pair<uint64_t, Receipt>> receipts) override {
    MutexLock lock(&mu_);
    for (const auto& [seq, receipt] : receipts) {
      const auto found = lines_by_seq_.find(seq);
      if (found == lines_by_seq_.end()) continue;  // a second receipt for one event is ignored
      Line& line = lines_[found->second - first_line_];
      line.receipt = ReceiptLine(receipt, line.number, *out_);
      unanswered_bytes_ -= line.bytes;
      if (!receipt.status.ok()) CountRefusal(line.number, receipt.status);
      lines_by_seq_.erase(found);
    }
    WriteAnswered();
  }

  void OnGoAway(absl::string_view reason) override {
    {
      MutexLock lock(&mu_);
      going_away_ = true;
      go_away_reason_ = std::string(reason);
      changed_.SignalAll();
    }
    reader_->Wake();
  }

  void OnEnd(const absl::Status& status) override {
    {
      MutexLock lock(&mu_);
      ended_ = true;
      end_ = status;
      changed_.SignalAll();
    }
    reader_->Wake();
  }

  // Whether a line may be accepted now.  `bytes` is the size of its event; 0 if it has none.
  Room RoomFor(size_t bytes) {
    MutexLock lock(&mu_);
    return RoomForLocked(bytes);
  }

  // As RoomFor(), but waits while the answer is kLater.
  Room WaitForRoom(size_t bytes) {
    MutexLock lock(&mu_);
    while (RoomForLocked(bytes) == Room::kLater) changed_.Wait(&mu_);
    return RoomForLocked(bytes);
  }

  // Whether events may still be sent.
  bool open() {
    MutexLock lock(&mu_);
    return !Stopping();
  }

  // Whether the receipts cannot be written any more.
  bool broken() {
    MutexLock lock(&mu_);
    return out_->broken();
  }

  // Records that the line with this number is an event, and returns the event's seq.
  uint64_t AddEvent(uint64_t number, size_t bytes) {
    MutexLock lock(&mu_);
    lines_by_seq_[++last_seq_] = first_line_ + lines_.size();
    lines_.push_back({.receipt = "", .bytes = bytes, .number = number});
    unanswered_bytes_ += bytes;
    return last_seq_;
  }

  // Records that the line with this number is refused without asking control.
  void AddRefusal(uint64_t number, const absl::Status& status) {
    MutexLock lock(&mu_);
    Receipt receipt;
    receipt.status = status;
    lines_.push_back(
        {.receipt = ReceiptLine(receipt, number, *out_), .bytes = 0, .number = number});
    CountRefusal(number, status);
    WriteAnswered();
  }

  void WaitForEnd() {
    MutexLock lock(&mu_);
    while (!ended_) changed_.Wait(&mu_);
  }

  // Returns the batch's status.  Call after WaitForEnd().
  absl::Status Outcome(bool all_read) {
    MutexLock lock(&mu_);
    absl::Status refusals;
    if (refused_ > 0) {
      refusals = absl::InvalidArgumentError(
          absl::StrCat(refused_, " of ", first_line_ + lines_.size(), " refused, first at line ",
                       first_refused_, ": ", first_refusal_));
      out_->Note(EscapeControls(refusals.message()));
      refusals = Told(refusals);
    }
    const size_t unanswered = lines_by_seq_.size();
    // Every line has its receipt, so the stream's own status does not matter.
    if (all_read && unanswered == 0 && welcomed_ && !out_->broken()) return refusals;
    const std::string without =
        unanswered == 0
            ? std::string()
            : absl::StrCat("\n", unanswered, unanswered == 1 ? " event has" : " events have",
                           " no receipt; publishing again is safe with an idempotency_key");
    if (IsBrokenPipe(out_->written())) {
      return absl::CancelledError(absl::StrCat("nobody reads the receipts any more", without));
    }
    if (out_->broken()) {
      return absl::Status(out_->written().code(), absl::StrCat(out_->written().message(), without));
    }
    if (!end_.ok()) return absl::Status(end_.code(), absl::StrCat(end_.message(), without));
    return absl::UnavailableError(
        going_away_ ? absl::StrCat("control is stopping: ", go_away_reason_, without)
                    : absl::StrCat("control ended the stream", without));
  }

 private:
  struct Line {
    std::string receipt;  // empty: not received yet
    size_t bytes;         // size of the event that waits for the receipt
    uint64_t number;      // of the input's lines, from 1 on
  };

  void CountRefusal(uint64_t number, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++refused_;
    if (first_refused_ != 0 && first_refused_ < number) return;
    first_refused_ = number;
    first_refusal_ = std::string(status.message());
  }

  bool Stopping() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return ended_ || going_away_ || receipts_unwanted_;
  }

  Room RoomForLocked(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (Stopping()) return Room::kNever;
    if (lines_.size() >= options_.max_waiting_lines) return Room::kLater;
    if (bytes == 0) return Room::kNow;
    // A single event always fits, so that a limit below its size does not block the batch.
    const bool fits =
        lines_by_seq_.size() < credit_ &&
        (lines_by_seq_.empty() || unanswered_bytes_ + bytes <= options_.max_unanswered_bytes);
    return fits ? Room::kNow : Room::kLater;
  }

  void WriteAnswered() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    std::string text;
    while (!lines_.empty() && !lines_.front().receipt.empty()) {
      text += lines_.front().receipt;
      lines_.pop_front();
      ++first_line_;
    }
    if (!text.empty()) out_->Raw(text);
    if (out_->broken()) {
      receipts_unwanted_ = true;
      reader_->Wake();
    }
    changed_.SignalAll();
  }

  const BatchOptions options_;
  LineReader* const reader_;
  Output* const out_;

  Mutex mu_;
  CondVar changed_;
  std::deque<Line> lines_ ABSL_GUARDED_BY(mu_);  // lines read whose receipt is not written
  uint64_t first_line_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<uint64_t, uint64_t> lines_by_seq_ ABSL_GUARDED_BY(mu_);  // unanswered
  uint64_t last_seq_ ABSL_GUARDED_BY(mu_) = 0;
  size_t unanswered_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint32_t credit_ ABSL_GUARDED_BY(mu_) = 0;
  bool welcomed_ ABSL_GUARDED_BY(mu_) = false;
  int64_t refused_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t first_refused_ ABSL_GUARDED_BY(mu_) = 0;  // its line; 0: none
  std::string first_refusal_ ABSL_GUARDED_BY(mu_);
  bool receipts_unwanted_ ABSL_GUARDED_BY(mu_) = false;
  bool going_away_ ABSL_GUARDED_BY(mu_) = false;
  std::string go_away_reason_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mu_);
};

bool IsBlank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

// Reads lines and sends their events until the input or the stream ends.
class Sender {
 public:
  Sender(const BatchOptions& options, LineReader* reader, Ledger* ledger, PublishStream* stream)
      : options_(options), reader_(reader), ledger_(ledger), stream_(stream) {}

  // Sets `all_read` if it stopped at the end of the input rather than at the end of the stream.
  absl::Status Run(bool* all_read) {
    std::string line;
    while (true) {
      switch (reader_->Next(&line, /*wait=*/items_.empty())) {
        case LineReader::Result::kLine:
          ++number_;
          if (!IsBlank(line) && !TakeLine(line)) return absl::OkStatus();
          break;
        case LineReader::Result::kTooLong:
          ++number_;
          if (!Refuse(absl::InvalidArgumentError(
                  absl::StrCat("line longer than ", options_.max_line_bytes, " bytes")))) {
            return absl::OkStatus();
          }
          break;
        case LineReader::Result::kNothing:
          if (!Flush()) return absl::OkStatus();
          break;
        case LineReader::Result::kWoken:
          return absl::OkStatus();
        case LineReader::Result::kEnd:
          *all_read = Flush();
          return absl::OkStatus();
        case LineReader::Result::kFailed: {
          absl::Status status =
              absl::NotFoundError(absl::StrCat("cannot read the input: ", std::strerror(errno)));
          Flush();
          return status;
        }
      }
    }
  }

 private:
  // Each of these functions returns false if nothing can be sent any more.
  bool TakeLine(const std::string& line) {
    absl::StatusOr<Event> event = parser_.Parse(line);
    if (!event.ok()) return Refuse(event.status());
    const size_t bytes = line.size();
    if (item_bytes_ + bytes > kMaxMessageBytes && !Flush()) return false;
    if (!MakeRoom(bytes)) return false;
    items_.push_back({.seq = ledger_->AddEvent(number_, bytes), .event = *std::move(event)});
    item_bytes_ += bytes;
    return items_.size() < kMaxItems || Flush();
  }

  bool Refuse(const absl::Status& status) {
    if (!MakeRoom(0)) return false;
    ledger_->AddRefusal(number_, status);
    return true;
  }

  bool MakeRoom(size_t bytes) {
    Room room = ledger_->RoomFor(bytes);
    if (room == Room::kLater) {
      // Events that have not been sent may take up the room; their receipts free it.
      if (!Flush()) return false;
      room = ledger_->WaitForRoom(bytes);
    }
    return room == Room::kNow;
  }

  bool Flush() {
    if (items_.empty()) return true;
    const bool sent = ledger_->open() && stream_->Send(items_);
    items_.clear();
    item_bytes_ = 0;
    return sent;
  }

  const BatchOptions& options_;
  LineReader* const reader_;
  Ledger* const ledger_;
  PublishStream* const stream_;
  BatchLineParser parser_;
  uint64_t number_ = 0;  // lines read, empty ones included
  std::vector<StreamItem> items_;
  size_t item_bytes_ = 0;
};

}  // namespace

absl::Status RunBatch(const BatchOptions& options, int input_fd, PublishClient& client,
                      Output& out) {
  LineReader reader(input_fd, options.max_line_bytes);
  Ledger ledger(options, &reader, &out);
  const std::unique_ptr<PublishStream> stream = client.OpenStream(options.receipt, &ledger);
  bool all_read = false;
  absl::Status input = Sender(options, &reader, &ledger, stream.get()).Run(&all_read);
  if (ledger.broken()) {
    stream->Cancel();
  } else {
    stream->CloseSending();
  }
  ledger.WaitForEnd();
  if (!input.ok()) return input;
  return ledger.Outcome(all_read);
}

}  // namespace fanwire::cli
