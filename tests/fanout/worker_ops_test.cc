// What operators are told over HTTP.
#include "fanout/worker_ops.h"

#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/ws_client.h"

namespace fanwire::fanout {

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class WorkerOpsTest : public ::testing::Test {
 protected:
  WorkerOpsTest() : ops_(&loop_, [this] { return Snapshot(); }) {}
  ~WorkerOpsTest() override { End(); }

  void Begin() {
    thread_ = std::thread([this] { loop_.Run(); });
  }
  void End() {
    ops_.Stop();
    loop_.Stop();
    if (thread_.joinable()) thread_.join();
  }

  WorkerSnapshot Snapshot() {
    loop_.AssertOnLoop();
    WorkerSnapshot snapshot = next_;
    snapshot.attachments = ++taken_;
    return snapshot;
  }

  uint16_t Port() const {
    const std::string& address = ops_.address();
    return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  std::string Get(const std::string& path) {
    WsClient client(Port());
    client.SendRaw(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    return client.ReadToEnd();
  }

  EventLoop loop_;
  WorkerSnapshot next_;  // the next answer tells it
  int64_t taken_ = 0;    // of the loop
  WorkerOps ops_;
  std::thread thread_;
};

TEST_F(WorkerOpsTest, ReadinessTellsItsReasons) {
  next_.ready = true;
  next_.attached = true;
  ops_.Start("127.0.0.1:0", 0);
  Begin();
  const std::string answer = Get("/readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr(R"({"ready":true,"control":true,"draining":false,"services":{}})"));
}

TEST_F(WorkerOpsTest, AWorkerThatIsNotReadyAnswers503) {
  next_.draining = true;
  ops_.Start("127.0.0.1:0", 0);
  Begin();
  const std::string answer = Get("/readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(answer,
              HasSubstr(R"({"ready":false,"control":false,"draining":true,"services":{}})"));
}

TEST_F(WorkerOpsTest, ReadinessTellsOfEachConfiguredService) {
  next_.attached = true;
  next_.services.resize(3);
  next_.services[0].name = "akosha";
  next_.services[0].configured = true;
  next_.services[0].port_error = "taken";
  next_.services[1].name = "dhruva";
  next_.services[1].configured = true;
  next_.services[2].name = "removed";
  ops_.Start("127.0.0.1:0", 0);
  Begin();
  EXPECT_THAT(Get("/readyz"), HasSubstr(R"("services":{"akosha":{"ready":false,"error":"taken"},)"
                                        R"("dhruva":{"ready":true}}})"));
}

TEST_F(WorkerOpsTest, TheLimitsOfAHeadMayChange) {
  ops_.Start("127.0.0.1:0", 0);
  Begin();
  const std::string path = absl::StrCat("/healthz?", std::string(2000, 'x'));
  EXPECT_THAT(Get(path), StartsWith("HTTP/1.1 200"));
  ops_.SetHeadLimits({.max_bytes = 1000, .max_lines = 100});
  EXPECT_THAT(Get(path), StartsWith("HTTP/1.1 431"));
}

TEST_F(WorkerOpsTest, MetricsAreOfTheMomentAndOfTheProcess) {
  ops_.Start("127.0.0.1:0", 0);
  Begin();
  EXPECT_THAT(Get("/metrics"), HasSubstr("process_resident_memory_bytes"));
  EXPECT_THAT(Get("/metrics"), HasSubstr("fanwire_worker_link_connected 0"));
  EXPECT_THAT(Get("/healthz"), StartsWith("HTTP/1.1 200"));
  End();
  EXPECT_EQ(taken_, 2);  // one for each answer with metrics, none for /healthz
}

TEST_F(WorkerOpsTest, ALoopThatIsStuckDoesNotHoldUpTheAnswer) {
  ops_.Start("127.0.0.1:0", 0);  // and the loop never runs
  EXPECT_THAT(Get("/readyz"), StartsWith("HTTP/1.1 503"));
}

TEST_F(WorkerOpsTest, ListensAtThePortOfItsSlotAndOnce) {
  ops_.Start("127.0.0.1:0", 0);
  const uint16_t port = Port();
  ops_.Start("127.0.0.1:0", 0);
  EXPECT_EQ(Port(), port);
  // Slot 1 of the port before is this very port, which is taken: the next free one is used.
  WorkerOps other(&loop_, [this] { return Snapshot(); });
  other.Start(absl::StrCat("127.0.0.1:", port - 1), 1);
  EXPECT_NE(other.address(), "");
  EXPECT_NE(other.address(), ops_.address());
  EXPECT_NE(other.address(), absl::StrCat("127.0.0.1:", port - 1));
}

TEST_F(WorkerOpsTest, WithoutAnAddressItDoesNotListen) {
  ops_.Start("", 0);
  EXPECT_EQ(ops_.address(), "");
}

}  // namespace
}  // namespace fanwire::fanout
