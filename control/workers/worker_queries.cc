#include "control/workers/worker_queries.h"

#include <utility>

#include "common/check.h"
#include "common/timer_queue.h"
#include "fanwire/v1/worker.pb.h"

namespace fanwire::control {

WorkerQueries::WorkerQueries(const Clock* clock, TimerQueue* timers)
    : clock_(clock), timers_(timers) {}

WorkerQueries::~WorkerQueries() = default;

uint64_t WorkerQueries::Open(std::set<uint64_t> links, int32_t absent, absl::Duration timeout,
                             Done done) {
  FANWIRE_CHECK(!links.empty());
  uint64_t id = 0;
  {
    MutexLock lock(&mu_);
    id = next_id_++;
    Question& question = questions_[id];
    question.result.workers_asked = static_cast<int32_t>(links.size());
    question.result.workers_total = question.result.workers_asked + absent;
    question.links = std::move(links);
    question.done = std::move(done);
  }
  timers_->At(clock_->Now() + timeout, [this, id] { TimeOut(id); });
  return id;
}

bool WorkerQueries::TakeIfComplete(uint64_t id, Question* out) {
  const auto it = questions_.find(id);
  if (it == questions_.end() || !it->second.links.empty()) return false;
  *out = std::move(it->second);
  questions_.erase(it);
  return true;
}

void WorkerQueries::OnReply(uint64_t link, const v1::QueryReply& reply) {
  Question ended;
  {
    MutexLock lock(&mu_);
    const auto it = questions_.find(reply.query_id());
    if (it == questions_.end() || !it->second.links.contains(link)) return;
    Question& question = it->second;
    question.result.replies.push_back(reply);
    if (!reply.last()) return;
    ++question.result.workers_answered;
    question.links.erase(link);
    if (!TakeIfComplete(reply.query_id(), &ended)) return;
  }
  ended.done(std::move(ended.result));
}

void WorkerQueries::LinkGone(uint64_t link) {
  std::vector<Question> ended;
  {
    MutexLock lock(&mu_);
    std::vector<uint64_t> touched;
    for (auto& [id, question] : questions_) {
      if (question.links.erase(link) > 0) touched.push_back(id);
    }
    for (const uint64_t id : touched) {
      Question question;
      if (TakeIfComplete(id, &question)) ended.push_back(std::move(question));
    }
  }
  for (Question& question : ended) question.done(std::move(question.result));
}

void WorkerQueries::TimeOut(uint64_t id) {
  Question ended;
  {
    MutexLock lock(&mu_);
    const auto it = questions_.find(id);
    if (it == questions_.end()) return;
    ended = std::move(it->second);
    questions_.erase(it);
  }
  ended.done(std::move(ended.result));
}

int64_t WorkerQueries::open() const {
  MutexLock lock(&mu_);
  return static_cast<int64_t>(questions_.size());
}

}  // namespace fanwire::control
