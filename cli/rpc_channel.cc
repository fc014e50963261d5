#include "cli/rpc_channel.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "cli/server_address.h"
#include "common/rpc_status.h"
#include "common/version.h"

namespace fanwire::cli {
namespace {

// A history answer may hold 1000 events of 1 MiB.  Control sends nothing larger.
constexpr int kMaxReceiveBytes = 1 << 30;

absl::StatusOr<std::string> ReadPem(const std::string& file) {
  if (file.empty()) return std::string();
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) return absl::NotFoundError(absl::StrCat("cannot read \"", file, "\""));
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ServerTarget& target) {
  if (!target.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  for (const auto& [file, pem] : {std::pair(&target.ca_file, &options.pem_root_certs),
                                  std::pair(&target.cert_file, &options.pem_cert_chain),
                                  std::pair(&target.key_file, &options.pem_private_key)}) {
    absl::StatusOr<std::string> text = ReadPem(*file);
    if (!text.ok()) return text.status();
    *pem = *std::move(text);
  }
  return grpc::SslCredentials(options);
}

std::chrono::system_clock::time_point DeadlineIn(absl::Duration duration) {
  return absl::ToChronoTime(absl::Now() + duration);
}

// `address` as gRPC takes it, which reads the path of a unix socket as part of a URI.
std::string TargetOf(const Address& address) {
  if (!address.is_unix()) return address.ToString();
  std::string target = "unix:";
  for (const char c : address.unix_path) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("/-._~", c)) {
      target += c;
    } else {
      absl::StrAppendFormat(&target, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return target;
}

// Whether gRPC itself, not control, reported this error: it could not connect, or the connection
// broke.
bool IsConnectionFailure(const std::string& message) {
  for (const char* words :
       {"failed to connect", "connections to all backends", "Connection re", "Socket closed",
        "Broken pipe", "Endpoint read failed", "GOAWAY received", "Stream removed",
        "Transport closed", "keepalive", "DNS resolution failed"}) {
    if (absl::StrContains(message, words)) return true;
  }
  return false;
}

// The last error in gRPC's message, which repeats each attempt.
absl::string_view Cause(absl::string_view message) {
  const size_t last = message.rfind("last error: ");
  if (last != absl::string_view::npos) message.remove_prefix(last + strlen("last error: "));
  return absl::StripPrefix(message, "UNKNOWN: ");
}

}  // namespace

absl::StatusOr<std::shared_ptr<RpcChannel>> RpcChannel::Make(
    const ServerTarget& target, absl::Duration timeout,
    std::optional<absl::Duration> stream_timeout) {
  const absl::StatusOr<Address> address = ParseServerAddress(target.address);
  if (!address.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("server address of ", target.source, ": ", address.status().message()));
  }
  const bool local = address->is_unix() || IsLoopback(address->host);
  if (!target.token.empty() && !target.tls && !local) {
    return absl::FailedPreconditionError(absl::StrCat("the token would travel in the clear to ",
                                                      target.address,
                                                      ": set `tls: true` for this server"));
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = Credentials(target);
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  // Control is on the internal network, so the web proxy that the environment names does not apply.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // `wsctl tail` and `wsctl publish --batch -` may be idle for long: notice that control is gone,
  // and keep proxies from forgetting the connection.  Control accepts a ping every 10 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetUserAgentPrefix("wsctl");
  ServerTarget exact = target;
  exact.address = address->ToString();
  return std::shared_ptr<RpcChannel>(
      new RpcChannel(exact, grpc::CreateCustomChannel(TargetOf(*address), *credentials, arguments),
                     timeout, stream_timeout));
}

RpcChannel::RpcChannel(const ServerTarget& target, std::shared_ptr<grpc::Channel> channel,
                       absl::Duration timeout, std::optional<absl::Duration> stream_timeout)
    : target_(target),
      channel_(std::move(channel)),
      timeout_(timeout),
      stream_timeout_(stream_timeout) {}

void RpcChannel::PrepareCall(grpc::ClientContext* context, absl::Duration extra) const {
  context->set_deadline(DeadlineIn(timeout_ + extra));
  AddToken(context);
}

void RpcChannel::PrepareStream(grpc::ClientContext* context, absl::Duration max_time) const {
  const absl::Duration limit =
      std::min(max_time, stream_timeout_.value_or(absl::InfiniteDuration()));
  if (limit < absl::InfiniteDuration()) context->set_deadline(DeadlineIn(limit));
  AddToken(context);
}

void RpcChannel::AddToken(grpc::ClientContext* context) const {
  if (!target_.token.empty()) {
    context->AddMetadata("authorization", absl::StrCat("Bearer ", target_.token));
  }
}

absl::Status RpcChannel::ToStatus(const grpc::Status& status) const {
  absl::Status plain = FromGrpcStatus(status);
  if (absl::IsUnavailable(plain) && IsConnectionFailure(status.error_message())) {
    return absl::UnavailableError(absl::StrCat(
        "control is not reachable at ", target_.address, " (", target_.source, "): ",
        target_.for_agent
            ? "ask the user whether fanwire-control runs; `wsctl mcp --server ADDR` names another"
            : "is fanwire-control running? Try `fanwire-control --config FILE`, or name another "
              "with --server ADDR",
        " [", Cause(status.error_message()), "]"));
  }
  if (absl::IsDeadlineExceeded(plain)) {
    return absl::DeadlineExceededError(
        absl::StrCat("no answer in time from control at ", target_.address, ": ",
                     target_.for_agent ? "ask for less, or call again" : "try a longer --timeout",
                     " [", status.error_message(), "]"));
  }
  if (absl::IsUnimplemented(plain)) {
    return absl::UnimplementedError(absl::StrCat(
        "control at ", target_.address, " does not know this call: ",
        target_.for_agent ? absl::StrCat("it is of another version than this wsctl, ", kVersion)
                          : "compare `wsctl version`",
        " [", status.error_message(), "]"));
  }
  return plain;
}

}  // namespace fanwire::cli
