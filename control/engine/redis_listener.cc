#include "control/engine/redis_listener.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "control/engine/redis_message.h"
#include "control/engine/redis_scripts.h"
#include "control/engine/stored_publication.h"

namespace fanwire::control {

RedisListener::RedisListener(const RedisOptions& options, std::string node,
                             FeedSequencer* sequencer, const Clock* clock)
    : options_(options),
      node_(std::move(node)),
      sequencer_(sequencer),
      clock_(clock),
      connection_({.server = options.server,
                   .connect_timeout = options.connect_timeout,
                   .response_timeout = options.response_timeout}) {}

RedisListener::~RedisListener() { Stop(); }

absl::Status RedisListener::Start() {
  if (absl::Status status = Subscribe(); !status.ok()) return status;
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void RedisListener::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.SignalAll();
  }
  connection_.Interrupt();
  if (thread_.joinable()) thread_.join();
}

absl::Status RedisListener::Health() const {
  MutexLock lock(&mu_);
  return failure_;
}

bool RedisListener::stopped() const {
  MutexLock lock(&mu_);
  return stopped_;
}

absl::Status RedisListener::Subscribe() {
  if (absl::Status status = connection_.Connect(); !status.ok()) return status;
  const auto call = [this](std::initializer_list<absl::string_view> command) -> absl::Status {
    const auto answer = connection_.Call(command);
    if (!answer.ok()) return answer.status();
    const RedisReply reply = **answer;
    if (!reply.is_error()) return absl::OkStatus();
    absl::Status status = absl::UnavailableError(absl::StrCat(
        "Redis at ", options_.server, " refuses ", *command.begin(), ": ", reply.text()));
    connection_.Close();
    return status;
  };
  absl::Status status;
  if (!options_.password.empty()) {
    status = options_.username.empty() ? call({"AUTH", options_.password})
                                       : call({"AUTH", options_.username, options_.password});
  }
  if (status.ok()) status = call({"SUBSCRIBE", kFeedTopic});
  return status;
}

void RedisListener::Run() {
  const Clock& real = *Clock::Real();
  absl::Duration heard = real.Now();
  bool asked = false;
  while (!stopped()) {
    absl::Status status;
    if (!connection_.connected()) {
      status = Subscribe();
      heard = real.Now();
      asked = false;
      if (status.ok()) sequencer_->CheckAll();
    }
    std::vector<RedisConnection::Answer> answers;
    if (status.ok()) status = connection_.Receive(options_.response_timeout / 4, &answers);
    if (!answers.empty()) {
      heard = real.Now();
      asked = false;
      Take(answers);
    } else if (status.ok() && real.Now() - heard > options_.response_timeout) {
      status = absl::UnavailableError(
          absl::StrCat("Redis at ", options_.server, " has not answered within ",
                       absl::FormatDuration(options_.response_timeout)));
      connection_.Close();
    } else if (status.ok() && !std::exchange(asked, true)) {
      status = connection_.Send({"PING"});
    }
    MutexLock lock(&mu_);
    if (stopped_) return;
    if (!status.ok() && failure_.ok()) {
      LogWarning("engine.redis_deaf", {{"reason", status.message()}});
    }
    failure_ = status;
    if (!status.ok()) changed_.WaitWithTimeout(&mu_, options_.retry_pause);
  }
}

void RedisListener::Take(const std::vector<RedisConnection::Answer>& answers) {
  const absl::Duration now = clock_->Now();
  const absl::Duration wall_zero = clock_->WallNow() - absl::UnixEpoch() - now;
  std::vector<FeedSequencer::Message> messages;
  for (const RedisConnection::Answer& answer : answers) {
    const RedisReply reply = *answer;
    if (reply.at(0).text() != "message") continue;
    RedisMessage message;
    if (!ParseRedisMessage(reply.at(2).text(), &message) ||
        message.name.find(':') == absl::string_view::npos) {
      LogWarning("engine.bad_message", {{"bytes", reply.at(2).text().size()}});
      continue;
    }
    if (message.node == node_) continue;
    const bool keep = message.mode != 'p';
    PublicationPtr publication =
        ReadStored(message.value, {.epoch = message.epoch, .offset = keep ? message.offset : 0},
                   std::min(now, absl::Microseconds(StoredReceivedUs(message.value)) - wall_zero));
    if (!publication) {
      LogWarning("engine.bad_message", {{"bytes", message.value.size()}});
      continue;
    }
    messages.push_back({.name = std::string(message.name),
                        .epoch = message.epoch,
                        .offset = message.offset,
                        .keep = keep,
                        .mirror = message.mirror,
                        .publication = std::move(publication)});
  }
  if (!messages.empty()) sequencer_->Add(std::move(messages));
}

}  // namespace fanwire::control
