#include "control/grpc_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"

namespace fanwire::control {

namespace {

using ::testing::HasSubstr;

constexpr char kServing[] = "\x08\x01";  // HealthCheckResponse{status: SERVING}, as bytes

class GrpcServerTest : public ::testing::Test {
 protected:
  GrpcServerTest() {
    char folder[] = "/tmp/fanwire-grpc-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    config_.set_socket(folder_ + "/control.sock");
    config_.set_grpc_listen("off");
    config_.set_grpc_max_connections(10);
  }
  ~GrpcServerTest() override {
    server_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  void Start() {
    auto server = GrpcServer::Start(config_, {});
    ASSERT_OK(server);
    server_ = *std::move(server);
  }

  // What grpc.health.v1 answers for a service over the unix socket, on a connection of its own.
  std::string Health(const std::string& service) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    grpc::GenericStub stub(grpc::CreateCustomChannel(
        absl::StrCat("unix:", config_.socket()), grpc::InsecureChannelCredentials(), arguments));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    context.set_wait_for_ready(true);
    grpc::CompletionQueue queue;
    // HealthCheckRequest{service}, as bytes.
    const std::string size(1, static_cast<char>(service.size()));
    const grpc::Slice slice(service.empty() ? "" : absl::StrCat("\n", size, service));
    const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                            grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return "NOT_FOUND";
    if (!status.ok()) return status.error_message();
    grpc::Slice bytes;
    EXPECT_TRUE(answer.DumpToSingleSlice(&bytes).ok());
    return std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }

  std::string folder_;
  v1::ControlConfig config_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(GrpcServerTest, HealthIsAnsweredForEachServiceAsForAll) {
  Start();
  for (const char* service :
       {"", "fanwire.v1.Publisher", "fanwire.v1.Admin", "fanwire.v1.Workers"}) {
    EXPECT_EQ(Health(service), kServing) << service;
  }
  EXPECT_EQ(Health("fanwire.v1.Other"), "NOT_FOUND");
}

TEST_F(GrpcServerTest, ASocketWhoseFileWasDeletedCanBeMadeAgain) {
  Start();
  std::filesystem::remove(config_.socket());
  ASSERT_OK(server_->ListenAgain(config_.socket()));
  EXPECT_EQ(Health(""), kServing);
  server_->Stop();
  EXPECT_FALSE(std::filesystem::exists(config_.socket()));
}

TEST_F(GrpcServerTest, AnAddressThatCannotBeListenedOnIsNamedWithItsKey) {
  config_.set_socket(folder_ + "/none/control.sock");
  EXPECT_THAT(GrpcServer::Start(config_, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("control.socket: cannot listen on " + folder_ + "/none")));
  config_.set_socket(folder_ + "/control.sock");
  config_.set_grpc_listen("192.0.2.1:0");  // no address of any machine
  EXPECT_THAT(GrpcServer::Start(config_, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("control.grpc_listen: cannot listen on 192.0.2.1:0")));
}

}  // namespace
}  // namespace fanwire::control
