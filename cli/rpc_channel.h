// RpcChannel is the way to one control: its address, credentials and deadline, and the words for
// what can go wrong on it.
//
// Threading: safe from every thread.
// Cost:      nothing is dialled before the first call.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace fanwire::cli {

// Where a control is, and what it wants to see.
struct ServerTarget {
  std::string address;     // "127.0.0.1:8701", "unix:/run/fanwire/control.sock"
  std::string source;      // why this one: "--server", "the default" …; for messages
  std::string token = {};  // sent as `authorization: Bearer`; empty: none
  bool tls = false;
  std::string ca_file = {};    // PEM; empty: the system's
  std::string cert_file = {};  // PEM, with key_file: mutual TLS
  std::string key_file = {};
};

class RpcChannel {
 public:
  // `timeout` is for calls that answer once.  Streams have one only if `stream_timeout` is set.
  //   INVALID_ARGUMENT     a malformed address
  //   NOT_FOUND            a file that cannot be read
  //   FAILED_PRECONDITION  a token that would travel in the clear beyond this machine
  static absl::StatusOr<std::shared_ptr<RpcChannel>> Make(
      const ServerTarget& target, absl::Duration timeout,
      std::optional<absl::Duration> stream_timeout);

  const std::shared_ptr<grpc::Channel>& grpc_channel() const { return channel_; }

  // Deadline and credentials of a call that answers once; `extra` for what it may wait for.
  void PrepareCall(grpc::ClientContext* context, absl::Duration extra = absl::ZeroDuration()) const;
  void PrepareStream(grpc::ClientContext* context) const;

  // The call's outcome, said so that the reader knows what to do.
  absl::Status ToStatus(const grpc::Status& status) const;

 private:
  RpcChannel(const ServerTarget& target, std::shared_ptr<grpc::Channel> channel,
             absl::Duration timeout, std::optional<absl::Duration> stream_timeout);

  void AddToken(grpc::ClientContext* context) const;

  const ServerTarget target_;
  const std::shared_ptr<grpc::Channel> channel_;
  const absl::Duration timeout_;
  const std::optional<absl::Duration> stream_timeout_;
};

}  // namespace fanwire::cli
