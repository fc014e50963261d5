// RedisConnection is a connection to a Redis server over which one thread sends commands and waits
// for the answers.
//
// After an error of the connection it is closed, and everything returns UNAVAILABLE until Connect()
// has succeeded.  An error that the server answers is a reply.
//
// Threading: one thread at a time, except Interrupt().
// Source:    https://redis.io/docs/reference/protocol-spec/, RESP2
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/mutex.h"

struct redisContext;
struct redisReply;

namespace fanwire::control {

// An answer, or a part of one, which it borrows.  Asked for something that it is not, it is empty:
// 0, "", no elements.
class RedisReply {
 public:
  explicit RedisReply(const redisReply* reply) : reply_(reply) {}

  bool is_nil() const;
  bool is_error() const;
  // A text, a status or an error.
  absl::string_view text() const;
  // An integer, or a text that is one.
  int64_t integer() const;
  size_t size() const;
  RedisReply at(size_t index) const;

 private:
  const redisReply* reply_;  // null: empty
};

class RedisConnection {
 public:
  struct Options {
    std::string server;  // HOST:PORT
    absl::Duration connect_timeout = absl::Seconds(2);
    absl::Duration response_timeout = absl::Seconds(5);
  };
  // An answer.  The reply is valid as long as this.
  class Answer {
   public:
    explicit Answer(redisReply* reply) : reply_(reply) {}
    RedisReply operator*() const { return RedisReply(reply_.get()); }

   private:
    struct Free {
      void operator()(redisReply* reply) const;
    };
    std::unique_ptr<redisReply, Free> reply_;
  };

  explicit RedisConnection(Options options);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // Connects if there is no connection.  Blocks, also while the host's name is looked up.
  absl::Status Connect();
  bool connected() const { return context_ != nullptr; }
  void Close();
  // Closes the connection while another thread uses it; what that thread waits for fails.
  void Interrupt();

  // Sends a command and waits for its answer.
  absl::StatusOr<Answer> Call(absl::Span<const absl::string_view> command);

  // For subscribing: sends a command without waiting.
  absl::Status Send(absl::Span<const absl::string_view> command);
  // Waits until something arrives, for at most `wait`.  Appends all complete messages.
  absl::Status Receive(absl::Duration wait, std::vector<Answer>* messages);

 private:
  absl::Status Fail(absl::string_view what);

  const Options options_;
  redisContext* context_ = nullptr;
  Mutex mu_;  // a leaf
  int fd_ ABSL_GUARDED_BY(mu_) = -1;
  bool interrupted_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fanwire::control
