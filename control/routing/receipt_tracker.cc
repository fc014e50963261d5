#include "control/routing/receipt_tracker.h"

#include <algorithm>

#include "common/timer_queue.h"
#include "control/routing/delivery_report.h"
#include "proto/policies.h"

namespace fanwire::control {

uint64_t ReceiptTracker::Open() {
  MutexLock lock(&mu_);
  const uint64_t id = next_;
  next_ += kMaxCopies;
  records_.try_emplace(id);
  return id;
}

void ReceiptTracker::AddPart(uint64_t tracking_id, uint64_t link_id) {
  MutexLock lock(&mu_);
  const auto it = records_.find(RecordOf(tracking_id));
  if (it == records_.end()) return;
  it->second.parts.push_back({.tracking_id = tracking_id, .link_id = link_id, .report = {}});
}

void ReceiptTracker::RemovePart(uint64_t tracking_id, uint64_t link_id) {
  MutexLock lock(&mu_);
  const auto it = records_.find(RecordOf(tracking_id));
  if (it == records_.end()) return;
  std::erase_if(it->second.parts, [&](const Part& part) {
    return part.tracking_id == tracking_id && part.link_id == link_id;
  });
}

void ReceiptTracker::Await(uint64_t record, absl::Duration deadline, Done done) {
  Ended ended;
  bool arm = false;
  {
    MutexLock lock(&mu_);
    const auto it = records_.find(record);
    if (it == records_.end()) return;
    it->second.done = std::move(done);
    it->second.deadline = deadline;
    deadlines_.emplace(deadline, record);
    EndIfComplete(record, &ended);
    arm = ended.empty() && deadline < armed_;
    if (arm) armed_ = deadline;
  }
  if (arm) timers_->At(deadline, [this, deadline] { Expire(deadline); });
  Tell(&ended);
}

void ReceiptTracker::Cancel(uint64_t record) {
  MutexLock lock(&mu_);
  records_.erase(record);
}

void ReceiptTracker::OnReport(uint64_t link_id, const DeliveryReport& report) {
  Ended ended;
  {
    MutexLock lock(&mu_);
    const uint64_t id = RecordOf(report.tracking_id);
    const auto it = records_.find(id);
    if (it == records_.end()) return;  // its receipt has been given already
    for (Part& part : it->second.parts) {
      if (part.link_id != link_id || part.tracking_id != report.tracking_id) continue;
      part.report = report;
      part.over |= report.final;
    }
    EndIfComplete(id, &ended);
  }
  Tell(&ended);
}

void ReceiptTracker::WorkerGone(uint64_t link_id) {
  Ended ended;
  {
    MutexLock lock(&mu_);
    std::vector<uint64_t> touched;
    for (auto& [id, record] : records_) {
      bool any = false;
      for (Part& part : record.parts) {
        if (part.link_id != link_id || part.over) continue;
        part.over = true;
        any = true;
      }
      if (any) touched.push_back(id);
    }
    for (const uint64_t id : touched) EndIfComplete(id, &ended);
  }
  Tell(&ended);
}

void ReceiptTracker::Expire(absl::Duration armed) {
  Ended ended;
  absl::Duration next = absl::InfiniteDuration();
  {
    MutexLock lock(&mu_);
    const absl::Duration now = clock_->Now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      End(deadlines_.begin()->second, /*timed_out=*/true, &ended);
    }
    // Otherwise a timer for an earlier time was set after this one, and sets the next timer.
    if (armed == armed_) {
      if (!deadlines_.empty()) next = deadlines_.begin()->first;
      armed_ = next;
    }
  }
  if (next != absl::InfiniteDuration()) timers_->At(next, [this, next] { Expire(next); });
  Tell(&ended);
}

int64_t ReceiptTracker::open() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(records_.size());
}

ReceiptTracker::Result ReceiptTracker::Sum(const Record& record) {
  Result result;
  absl::flat_hash_map<uint64_t, bool> workers;  // by link: whether all of its reports are final
  for (const Part& part : record.parts) {
    const DeliveryReport& report = part.report;
    result.counts.matched += report.counts.matched;
    result.counts.written += report.counts.written;
    for (size_t i = 0; i < kDropReasons; ++i) {
      result.counts.dropped[i] += report.counts.dropped[i];
    }
    result.counts.lost_connection += report.counts.lost_connection;
    result.counts.expired += report.counts.expired;
    if (report.first_written_us > 0 &&
        (result.first_written_us == 0 || report.first_written_us < result.first_written_us)) {
      result.first_written_us = report.first_written_us;
    }
    result.last_written_us = std::max(result.last_written_us, report.last_written_us);
    workers.try_emplace(part.link_id, true).first->second &= report.final;
  }
  result.counts.workers_total = static_cast<int32_t>(workers.size());
  for (const auto& [link_id, reported] : workers) result.counts.workers_reported += reported;
  return result;
}

void ReceiptTracker::EndIfComplete(uint64_t id, Ended* ended) {
  const auto it = records_.find(id);
  if (it == records_.end() || it->second.done == nullptr) return;
  const std::vector<Part>& parts = it->second.parts;
  if (std::all_of(parts.begin(), parts.end(), [](const Part& part) { return part.over; })) {
    End(id, /*timed_out=*/false, ended);
  }
}

void ReceiptTracker::End(uint64_t id, bool timed_out, Ended* ended) {
  const auto it = records_.find(id);
  deadlines_.erase({it->second.deadline, id});
  Result result = Sum(it->second);
  result.timed_out = timed_out;
  ended->emplace_back(std::move(it->second.done), result);
  records_.erase(it);
}

void ReceiptTracker::Tell(Ended* ended) {
  for (auto& [done, result] : *ended) done(result);
}

}  // namespace fanwire::control
