// The generated broadcasters against control with the shipped configuration, whose catalogs are
// enforced: what each function publishes is accepted, on the channels of its event's templates.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/engine/memory_engine.h"
#include "control/publish/publish_service.h"
#include "control/routing/publication_observer.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/clients/cpp/broadcaster_calls.h"
#include "tests/testing/routing.h"
#include "tests/testing/status.h"

namespace fanwire::client {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAreArray;

constexpr std::chrono::seconds kFlushPatience{60};

// Control's part of publishing, at a socket.
class EnforcingControl : public control::PublicationObserver {
 public:
  EnforcingControl() {
    control::LoadedConfig loaded =
        control::LoadConfigFile(FANWIRE_SOURCE_DIR "/deploy/config/fanwire.yaml", {});
    EXPECT_THAT(loaded.errors, IsEmpty());
    for (v1::ServiceConfig& service : *loaded.config->mutable_services()) {
      service.set_catalog_check(v1::CATALOG_CHECK_ENFORCE);
    }
    table_ = control::ServiceTable::Make(*loaded.config, *loaded.catalog_files);
    routing_ = std::make_unique<control::Routing>(control::Router::Options{}, engine_.get(),
                                                  Clock::Real(), &timers_, table_);
    routing_->router->AddObserver(this);
    service_ = control::PublishService::Make({.max_batch = [] { return size_t{1000}; },
                                              .stream_credit = 10'000,
                                              .max_publishers = 10,
                                              .keep_idle = absl::InfiniteDuration(),
                                              .serve_requests = nullptr},
                                             routing_->router.get());
    char folder[] = "/tmp/fanwire-broadcasters-XXXXXX";
    EXPECT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(target(), grpc::InsecureServerCredentials());
    builder.RegisterService(service_->service());
    server_ = builder.BuildAndStart();
  }
  ~EnforcingControl() override {
    routing_->router->RemoveObserver(this);
    server_->Shutdown();
    server_->Wait();
    unlink((folder_ + "/s").c_str());
    rmdir(folder_.c_str());
  }

  std::string target() const { return absl::StrCat("unix:", folder_, "/s"); }

  const control::ServiceTable& table() const { return *table_; }

  // What was published since the last call: "mahavishnu workflow.started on workflow:wf_1".
  std::vector<std::string> TakePublished() {
    MutexLock lock(&mu_);
    return std::exchange(published_, {});
  }

  void OnPublication(const control::ObservedPublication& observed) override {
    if (observed.mirror) return;
    MutexLock lock(&mu_);
    published_.push_back(absl::StrCat(observed.service, " ", observed.publication->event(), " on ",
                                      observed.channel));
  }

 private:
  TimerQueue timers_{Clock::Real()};
  const std::unique_ptr<control::Engine> engine_ = control::MakeMemoryEngine(64 << 20);
  std::shared_ptr<const control::ServiceTable> table_;
  std::unique_ptr<control::Routing> routing_;
  std::unique_ptr<control::PublishService> service_;
  std::string folder_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mu_;
  std::vector<std::string> published_ ABSL_GUARDED_BY(mu_);
};

TEST(BroadcasterCatalogTest, WhatEveryFunctionPublishesIsAcceptedOnItsChannels) {
  EnforcingControl control;
  Publisher publisher({.target = control.target()});
  for (const BroadcasterCall& call : BroadcasterCalls()) {
    EXPECT_EQ(call.publish(&publisher, {}), Status()) << call.event;
    EXPECT_EQ(publisher.Flush(kFlushPatience), Status()) << call.event;
    std::vector<std::string> wanted;
    for (const std::string& channel : call.channels) {
      wanted.push_back(absl::StrCat(call.service, " ", call.event, " on ", channel));
    }
    EXPECT_THAT(wanted, Not(IsEmpty())) << call.event;
    EXPECT_THAT(control.TakePublished(), UnorderedElementsAreArray(wanted));
  }
}

TEST(BroadcasterCatalogTest, EveryEventOfTheCatalogIsCalled) {
  const EnforcingControl control;
  std::set<std::pair<std::string, std::string>> called;
  for (const BroadcasterCall& call : BroadcasterCalls()) called.emplace(call.service, call.event);
  size_t events = 0;
  for (const auto& service : control.table().services()) {
    for (const CatalogEvent& event : service->catalog.events()) {
      ++events;
      EXPECT_THAT(called, Contains(std::pair(service->name, event.name)));
    }
  }
  EXPECT_GT(events, 80u);
}

}  // namespace
}  // namespace fanwire::client
