#include "control/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/address.h"
#include "common/file_limit.h"
#include "common/log.h"
#include "common/metrics.h"
#include "control/connection_listener.h"
#include "fanwire/v1/config.pb.h"

namespace fanwire::control {

namespace {

// Largest message that a publisher or worker may send.
constexpr int kMaxReceiveBytes = 64 << 20;
// Pings that come more often than this end a connection.  Clients send them every 10 s; half of
// that is for delays on the way.
constexpr int kMinPingMs = 5000;
// How long a new connection may take to speak HTTP/2.
constexpr int kHandshakeMs = 20'000;
// Clients that are idle may not notice that they should go.
constexpr auto kLastCalls = std::chrono::milliseconds(300);
// What control needs descriptors for beside the connections over TCP.
constexpr uint64_t kOtherDescriptors = 128;

// What grpc.health.v1 answers for, as for the server as a whole, whose name is "".
constexpr const char* kServices[] = {"fanwire.v1.Publisher", "fanwire.v1.Workers",
                                     "fanwire.v1.Admin"};

// How many TCP connections are held: as configured, if the system allows it.
size_t MaxTcpConnections(const v1::ControlConfig& config) {
  const uint64_t limit = RaiseFileLimit();
  const uint64_t possible = limit > 2 * kOtherDescriptors ? limit - kOtherDescriptors : limit / 2;
  if (possible < config.grpc_max_connections()) {
    LogWarning("grpc.few_descriptors",
               {{"connections", possible},
                {"configured", config.grpc_max_connections()},
                {"open_files", limit},
                {"advice", "raise the hard limit of open files (ulimit -Hn, LimitNOFILE)"}});
  }
  return std::min<uint64_t>(possible, config.grpc_max_connections());
}

absl::Status CannotListen(absl::string_view key, absl::string_view address,
                          const absl::Status& status) {
  return absl::FailedPreconditionError(absl::StrCat(key, ": cannot listen on ", address, ": ",
                                                    status.message(),
                                                    "; is another program using it?"));
}

class GrpcServerImpl final : public GrpcServer {
 public:
  ~GrpcServerImpl() override { Stop(); }

  absl::Status Listen(const v1::ControlConfig& config,
                      const std::vector<grpc::Service*>& services) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
    // gRPC's own limit for a connection without calls is one ping in two hours.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingMs);
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    for (grpc::Service* const service : services) builder.RegisterService(service);

    listener_ = ConnectionListener::Make(MaxTcpConnections(config), [this](int fd) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.fd = fd;
      acceptor_->HandleNewConnection(&connection);
    });
    if (absl::Status status = listener_->ListenUnix(config.socket()); !status.ok()) {
      return CannotListen("control.socket", config.socket(), status);
    }
    absl::StatusOr<uint16_t> port = 0;
    if (config.grpc_listen() != kListenOff) {
      const auto address = ParseAddress(config.grpc_listen());
      if (!address.ok()) return address.status();
      port = listener_->ListenTcp(*address);
    }
    if (!port.ok()) {
      return CannotListen("control.grpc_listen", config.grpc_listen(), port.status());
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr)
      return absl::FailedPreconditionError("the gRPC server cannot be started");
    for (const char* const name : kServices) {
      server_->GetHealthCheckService()->SetServingStatus(name, true);
    }
    listener_->Start();
    LogInfo("grpc.listening", {{"address", config.grpc_listen()}, {"port", *port}});
    return absl::OkStatus();
  }

  absl::Status ListenAgain(const std::string& path) override { return listener_->ListenUnix(path); }

  void CollectMetrics(MetricSink& sink) const override {
    const ConnectionListener::Counts counts = listener_->counts();
    sink.Gauge("fanwire_control_grpc_connections",
               "TCP connections to the gRPC port, as of the last new one.",
               static_cast<double>(counts.tcp_open));
    constexpr absl::string_view kRefused = "fanwire_control_grpc_connections_refused_total";
    constexpr absl::string_view kHelp = "Connections to gRPC that were closed at once.";
    sink.Counter(kRefused, kHelp, static_cast<double>(counts.refused_limit),
                 {{"reason", "grpc_max_connections"}});
    sink.Counter(kRefused, kHelp, static_cast<double>(counts.refused_descriptors),
                 {{"reason", "descriptors"}});
  }

  void Stop() override {
    if (listener_ != nullptr) listener_->Stop();
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + kLastCalls);
    server_->Wait();
    server_ = nullptr;
  }

 private:
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<ConnectionListener> listener_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(
    const v1::ControlConfig& config, const std::vector<grpc::Service*>& services) {
  auto server = std::make_unique<GrpcServerImpl>();
  if (absl::Status status = server->Listen(config, services); !status.ok()) return status;
  return server;
}

}  // namespace fanwire::control
