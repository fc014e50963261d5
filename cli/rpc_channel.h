// RpcChannel is a gRPC channel to one control.  It adds credentials and deadlines to calls, and
// turns gRPC's errors into messages that tell an operator what to do.
//
// Threading: safe from every thread.
// Cost:      makes no connection before the first call.
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

// The address of a control and the credentials for it.
struct ServerTarget {
  std::string address;  // "127.0.0.1:8701", "unix:/run/fanwire/control.sock"
  std::string source;   // where the address comes from: "--server", "the default" …; for messages
  std::string token = {};  // sent as `authorization: Bearer`; empty: none
  bool tls = false;
  std::string ca_file = {};    // PEM; empty: the system's authorities
  std::string cert_file = {};  // PEM, with key_file: mutual TLS
  std::string key_file = {};
  // Whether messages advise an agent, which has no command line, and not who runs wsctl.
  bool for_agent = false;
};

class RpcChannel {
 public:
  // Makes a channel to `target`.  `timeout` limits calls with a single answer; streams have no
  // limit unless `stream_timeout` is set.
  //   INVALID_ARGUMENT     the address is malformed
  //   NOT_FOUND            a file cannot be read
  //   FAILED_PRECONDITION  the token would leave this machine unencrypted
  static absl::StatusOr<std::shared_ptr<RpcChannel>> Make(
      const ServerTarget& target, absl::Duration timeout,
      std::optional<absl::Duration> stream_timeout);

  const std::shared_ptr<grpc::Channel>& grpc_channel() const { return channel_; }

  // Sets deadline and credentials of a call with a single answer.  The deadline is the timeout plus
  // `extra`, the time that control itself may wait before it answers.
  void PrepareCall(grpc::ClientContext* context, absl::Duration extra = absl::ZeroDuration()) const;
  // Sets deadline, if any, and credentials of a stream.  The deadline is the stream timeout or
  // `max_time`, whichever is shorter.
  void PrepareStream(grpc::ClientContext* context,
                     absl::Duration max_time = absl::InfiniteDuration()) const;

  // Converts the outcome of a call.  Messages of connection failures, timeouts and unknown calls
  // tell the operator what to do.
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
