#include "control/engine/redis_connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/address.h"

namespace fanwire::control {

namespace {

bool IsText(const redisReply* reply) {
  return reply != nullptr &&
         (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
          reply->type == REDIS_REPLY_ERROR);
}

}  // namespace

bool RedisReply::is_nil() const { return reply_ == nullptr || reply_->type == REDIS_REPLY_NIL; }

bool RedisReply::is_error() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ERROR; }

absl::string_view RedisReply::text() const {
  if (!IsText(reply_)) return {};
  return {reply_->str, reply_->len};
}

int64_t RedisReply::integer() const {
  if (reply_ != nullptr && reply_->type == REDIS_REPLY_INTEGER) return reply_->integer;
  int64_t value = 0;
  return absl::SimpleAtoi(text(), &value) ? value : 0;
}

size_t RedisReply::size() const {
  return reply_ != nullptr && reply_->type == REDIS_REPLY_ARRAY ? reply_->elements : 0;
}

RedisReply RedisReply::at(size_t index) const {
  return RedisReply(index < size() ? reply_->element[index] : nullptr);
}

void RedisConnection::Answer::Free::operator()(redisReply* reply) const { freeReplyObject(reply); }

RedisConnection::RedisConnection(Options options) : options_(std::move(options)) {}

RedisConnection::~RedisConnection() { Close(); }

absl::Status RedisConnection::Connect() {
  if (context_ != nullptr) return absl::OkStatus();
  const absl::StatusOr<Address> address = ParseAddress(options_.server);
  if (!address.ok()) return address.status();
  redisContext* const context = redisConnectWithTimeout(address->host.c_str(), address->port,
                                                        absl::ToTimeval(options_.connect_timeout));
  if (context == nullptr) return absl::ResourceExhaustedError("out of memory");
  {
    MutexLock lock(&mu_);
    context_ = context;
    fd_ = context->fd;
    if (interrupted_) return absl::CancelledError("the connection was interrupted");
  }
  if (context->err != 0) return Fail(context->errstr);
  redisSetTimeout(context, absl::ToTimeval(options_.response_timeout));
  redisEnableKeepAlive(context);
  return absl::OkStatus();
}

void RedisConnection::Close() {
  MutexLock lock(&mu_);
  fd_ = -1;
  if (context_ != nullptr) redisFree(context_);
  context_ = nullptr;
}

void RedisConnection::Interrupt() {
  MutexLock lock(&mu_);
  interrupted_ = true;
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
}

absl::Status RedisConnection::Fail(absl::string_view what) {
  absl::Status status =
      absl::UnavailableError(absl::StrCat("Redis at ", options_.server, " cannot be used: ", what));
  Close();
  return status;
}

absl::StatusOr<RedisConnection::Answer> RedisConnection::Call(
    absl::Span<const absl::string_view> command) {
  if (absl::Status status = Send(command); !status.ok()) return status;
  void* reply = nullptr;
  if (redisGetReply(context_, &reply) != REDIS_OK) {
    const bool late = context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EINTR);
    return Fail(
        late ? absl::StrCat("no answer within ", absl::FormatDuration(options_.response_timeout))
             : std::string(context_->errstr));
  }
  return Answer(static_cast<redisReply*>(reply));
}

absl::Status RedisConnection::Send(absl::Span<const absl::string_view> command) {
  if (context_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("Redis at ", options_.server, " is not connected"));
  }
  std::vector<const char*> texts(command.size());
  std::vector<size_t> sizes(command.size());
  for (size_t i = 0; i < command.size(); ++i) {
    texts[i] = command[i].data() == nullptr ? "" : command[i].data();
    sizes[i] = command[i].size();
  }
  if (redisAppendCommandArgv(context_, static_cast<int>(command.size()), texts.data(),
                             sizes.data()) != REDIS_OK) {
    return Fail(context_->errstr);
  }
  int done = 0;
  while (done == 0) {
    if (redisBufferWrite(context_, &done) != REDIS_OK) return Fail(context_->errstr);
  }
  return absl::OkStatus();
}

absl::Status RedisConnection::Receive(absl::Duration wait, std::vector<Answer>* messages) {
  if (context_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("Redis at ", options_.server, " is not connected"));
  }
  pollfd ready{.fd = context_->fd, .events = POLLIN, .revents = 0};
  const int64_t ms = absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)));
  const int count = poll(&ready, 1, static_cast<int>(std::clamp<int64_t>(ms, 0, 60'000)));
  if (count < 0 && errno != EINTR) return Fail("poll failed");
  if (count <= 0) return absl::OkStatus();
  if (redisBufferRead(context_) != REDIS_OK) return Fail(context_->errstr);
  for (;;) {
    void* reply = nullptr;
    if (redisGetReplyFromReader(context_, &reply) != REDIS_OK) return Fail(context_->errstr);
    if (reply == nullptr) return absl::OkStatus();
    messages->emplace_back(static_cast<redisReply*>(reply));
  }
}

}  // namespace fanwire::control
