// What the tests of the publishers' calls share: a real server on a socket, before a real Router.
#pragma once

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc_status.h"
#include "control/publish/publish_service.h"
#include "control/routing/delivery_report.h"
#include "fanwire/v1/publish.grpc.pb.h"
#include "tests/control/routing/router_fixture.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

class PublishFixture : public RouterFixture {
 protected:
  explicit PublishFixture(EngineKind kind = EngineKind::kMemory) : RouterFixture(kind) {}

  void SetUp() override { Serve({}); }
  void TearDown() override {
    // Who still waits for a receipt gets it, as when control's links are closed; also for what a
    // cancelled stream had read before the server knew.
    routing_->router->StopPublishing();
    routing_->receipts.WorkerGone(worker_->link->id());
    StopServer();
    routing_->receipts.WorkerGone(worker_->link->id());
  }

  struct Sizes {
    size_t max_batch = 100;
    size_t stream_credit = 1000;
    size_t max_publishers = 10;
    absl::Duration keep_idle = absl::InfiniteDuration();
  };
  void Serve(const Sizes& sizes) {
    StopServer();
    char folder[] = "/tmp/fanwire-publish-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    const std::string address = absl::StrCat("unix:", folder_, "/s");
    service_ = PublishService::Make({.max_batch = [sizes] { return sizes.max_batch; },
                                     .stream_credit = sizes.stream_credit,
                                     .max_publishers = sizes.max_publishers,
                                     .keep_idle = sizes.keep_idle,
                                     .serve_requests = nullptr},
                                    routing_->router.get());
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(service_->service());
    server_ = builder.BuildAndStart();
    stub_ =
        v1::Publisher::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    worker_ = MakeWorker();
  }
  void StopServer() {
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
    server_->Wait();
    server_ = nullptr;
    service_ = nullptr;
    unlink((folder_ + "/s").c_str());
    rmdir(folder_.c_str());
  }

  static v1::Event MakeEvent(const std::string& channel = "x", const std::string& json = "{}") {
    v1::Event event;
    event.set_service("s");
    event.set_channel(channel);
    event.set_event("thing.happened");
    event.set_json(json);
    return event;
  }
  absl::StatusOr<v1::Receipt> Call(const v1::PublishRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    v1::PublishResponse response;
    const grpc::Status status = stub_->Publish(&context, request, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response.receipt();
  }
  absl::StatusOr<v1::Receipt> PublishEvent(const v1::Event& event,
                                           v1::ReceiptLevel level = v1::RECEIPT_LEVEL_ACCEPTED) {
    v1::PublishRequest request;
    *request.mutable_event() = event;
    request.set_receipt_level(level);
    return Call(request);
  }
  absl::StatusOr<v1::PublishBatchResponse> PublishBatch(const v1::PublishBatchRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    v1::PublishBatchResponse response;
    const grpc::Status status = stub_->PublishBatch(&context, request, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response;
  }
  // Data of the newest event of `channel`.
  nlohmann::json Data(const std::string& channel = "x") {
    const auto slice =
        ReadHistory({.service = "s", .channel = channel, .limit = 1, .reverse = true});
    EXPECT_OK(slice);
    if (!slice.ok() || slice->publications.empty()) return {};
    const absl::string_view data = slice->publications[0]->data();
    return nlohmann::json::parse(data.begin(), data.end());
  }
  // Everything tracked that the worker has got is reported: one session each.
  int ReportAll() {
    int reported = 0;
    for (const v1::Deliver& deliver : worker_->TakeDeliveries()) {
      if (deliver.publication_id() == 0) continue;
      DeliveryReport report;
      report.tracking_id = deliver.publication_id();
      report.counts.matched = 2;
      report.counts.written = 1;
      report.counts.dropped[3] = 1;
      report.first_written_us = report.last_written_us = 10;
      report.final = true;
      routing_->receipts.OnReport(worker_->link->id(), report);
      ++reported;
    }
    return reported;
  }
  int64_t Accepted() { return routing_->queries->Counts("s").accepted; }

  std::string folder_;
  std::unique_ptr<PublishService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Publisher::Stub> stub_;
  std::unique_ptr<FakeWorker> worker_;
};

// Runs over an engine that works at once, and over one that works on a thread of its own.
class PublishEnginesFixture : public PublishFixture,
                              public ::testing::WithParamInterface<EngineKind> {
 protected:
  PublishEnginesFixture() : PublishFixture(GetParam()) {
    if (slow_ != nullptr) pump_ = std::make_unique<EnginePump>(slow_);
  }
  // The pump's thread ends before the server does: ThreadSanitizer does not see that gRPC orders
  // the receipts that this thread has given before the server's end.
  void TearDown() override {
    routing_->router->StopPublishing();
    pump_ = nullptr;
    if (slow_ != nullptr) slow_->Delay({});
    Settle();
    PublishFixture::TearDown();
  }

 private:
  std::unique_ptr<EnginePump> pump_;
};

}  // namespace fanwire::control
