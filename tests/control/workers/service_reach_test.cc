#include "control/workers/service_reach.h"

#include <string>
#include <vector>

#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gtest/gtest.h"

namespace fanwire::control {

namespace {

class ServiceReachTest : public ::testing::Test {
 protected:
  v1::WorkerInfo& Worker(const std::string& id, v1::WorkerState state = v1::WORKER_STATE_READY) {
    v1::WorkerInfo& worker = workers_.emplace_back();
    worker.set_id(id);
    worker.set_state(state);
    return worker;
  }
  static void Port(v1::WorkerInfo* worker, const std::string& service, uint32_t port,
                   const std::string& error = "", const std::string& host = "127.0.0.1") {
    v1::BoundListener* const listener = worker->add_listeners();
    listener->set_service(service);
    listener->set_host(host);
    listener->set_configured_port(port);
    listener->set_port(error.empty() ? port : 0);
    listener->set_error(error);
  }
  ServiceReach Of(const std::string& service) const { return ServiceReach::Of(service, workers_); }

  std::vector<v1::WorkerInfo> workers_;
};

TEST_F(ServiceReachTest, EachServiceIsToldByItself) {
  v1::WorkerInfo& worker = Worker("worker-0");
  Port(&worker, "a", 1);
  Port(&worker, "b", 2, "taken");
  EXPECT_TRUE(Of("a").open);
  EXPECT_EQ(Of("a").error, "");
  EXPECT_FALSE(Of("b").open);
  EXPECT_EQ(Of("b").error, "127.0.0.1:2 is not open in worker-0: taken");
}

TEST_F(ServiceReachTest, APortThatOneWorkerHasOpenIsOpen) {
  Port(&Worker("worker-0"), "a", 1, "taken");
  Port(&Worker("worker-1"), "a", 1);
  Port(&Worker("worker-2"), "a", 1, "taken");
  EXPECT_TRUE(Of("a").open);
}

TEST_F(ServiceReachTest, EveryPortOfAServiceMustBeOpen) {
  v1::WorkerInfo& worker = Worker("worker-0");
  Port(&worker, "a", 1);
  Port(&worker, "a", 1, "taken", "::1");
  EXPECT_EQ(Of("a").error, "[::1]:1 is not open in worker-0: taken");
}

TEST_F(ServiceReachTest, WorkersThatDoNotServeDoNotCount) {
  Port(&Worker("worker-0", v1::WORKER_STATE_DRAINING), "a", 1);
  Port(&Worker("worker-1", v1::WORKER_STATE_DEAD), "a", 1);
  EXPECT_EQ(Of("a").error, "no worker serves clients; see the list of workers");
  Worker("worker-2", v1::WORKER_STATE_CATCHING_UP);
  EXPECT_EQ(Of("a").error, "no worker has opened its ports; see the list of workers");
}

}  // namespace
}  // namespace fanwire::control
