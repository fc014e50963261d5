#include "control/reload.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/metrics.h"
#include "control/config/service_table.h"
#include "fanwire/v1/admin.pb.h"
#include "fanwire/v1/config.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A process with one worker, which acknowledges what is pushed once the test says so.
class FakeTarget final : public ReloadTarget {
 public:
  explicit FakeTarget(const std::string& yaml) {
    LoadedConfig loaded = LoadConfig(yaml, "start.yaml", {});
    EXPECT_THAT(loaded.errors, IsEmpty());
    config_ = std::move(loaded.config);
    catalog_files_ = std::move(loaded.catalog_files);
  }

  ConfigInForce config() const override {
    MutexLock lock(&mu_);
    return {.config = config_,
            .catalog_files = catalog_files_,
            .services = ServiceTable::Make(*config_, *catalog_files_),
            .file = "",
            .version = version_};
  }
  void PushConfig(const ConfigInForce& config) override {
    MutexLock lock(&mu_);
    pushed_.push_back(config.version);
    pending_ = !acknowledges_;
    error_ = config.config->limits().max_batch() == 666 ? "taken" : "";
    pusher_ = std::this_thread::get_id();
  }
  std::vector<v1::WorkerConfigState> ConfigStates() const override {
    MutexLock lock(&mu_);
    v1::WorkerConfigState state;
    state.set_id("worker-0");
    state.set_pending(pending_);
    if (!pending_) state.set_error(error_);
    return {state};
  }
  void AdmitServices(std::shared_ptr<const ServiceTable> services) override {
    MutexLock lock(&mu_);
    admitted_.clear();
    for (const auto& service : services->services()) admitted_.push_back(service->name);
  }
  void PutInForce(const ConfigInForce& config) override {
    MutexLock lock(&mu_);
    config_ = config.config;
    catalog_files_ = config.catalog_files;
    version_ = config.version;
  }
  void SetVersion(uint64_t version) override {
    MutexLock lock(&mu_);
    version_ = version;
  }

  void set_acknowledges(bool acknowledges) {
    MutexLock lock(&mu_);
    acknowledges_ = acknowledges;
    if (acknowledges) pending_ = false;
  }
  std::vector<uint64_t> pushed() const {
    MutexLock lock(&mu_);
    return pushed_;
  }
  std::vector<std::string> admitted() const {
    MutexLock lock(&mu_);
    return admitted_;
  }
  std::thread::id pusher() const {
    MutexLock lock(&mu_);
    return pusher_;
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<const v1::Config> config_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const CatalogFiles> catalog_files_ ABSL_GUARDED_BY(mu_);
  uint64_t version_ ABSL_GUARDED_BY(mu_) = 1;
  std::vector<uint64_t> pushed_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> admitted_ ABSL_GUARDED_BY(mu_);
  bool acknowledges_ ABSL_GUARDED_BY(mu_) = true;
  bool pending_ ABSL_GUARDED_BY(mu_) = false;
  std::string error_ ABSL_GUARDED_BY(mu_);
  std::thread::id pusher_ ABSL_GUARDED_BY(mu_);
};

// The answers to requests, in their order.
class Answers {
 public:
  Reload::Done Add() {
    return [this](const Reload::Response& response) {
      MutexLock lock(&mu_);
      responses_.push_back(response);
      thread_ = std::this_thread::get_id();
    };
  }
  size_t count() const {
    MutexLock lock(&mu_);
    return responses_.size();
  }
  Reload::Response Await(size_t index) const {
    EXPECT_TRUE(WaitFor([&] { return count() > index; }));
    MutexLock lock(&mu_);
    return index < responses_.size() ? responses_[index] : absl::UnknownError("no answer");
  }
  std::thread::id thread() const {
    MutexLock lock(&mu_);
    return thread_;
  }

 private:
  mutable Mutex mu_;
  std::vector<Reload::Response> responses_ ABSL_GUARDED_BY(mu_);
  std::thread::id thread_ ABSL_GUARDED_BY(mu_);
};

constexpr char kService[] = "services: [{name: a, port: 1}]\n";

// Happens once.
class Notification {
 public:
  void Notify() {
    MutexLock lock(&mu_);
    done_ = true;
  }
  void Wait() const {
    EXPECT_TRUE(WaitFor([&] {
      MutexLock lock(&mu_);
      return done_;
    }));
  }

 private:
  mutable Mutex mu_;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
};

class ReloadTest : public ::testing::Test {
 protected:
  ReloadTest() : target_(kService) {
    char folder[] = "/tmp/fanwire-reload-XXXXXX";
    folder_ = mkdtemp(folder);
    Write(kService);
  }
  ~ReloadTest() override {
    reload_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  std::string file() const { return folder_ + "/fanwire.yaml"; }
  void Write(const std::string& text) { std::ofstream(file()) << text; }
  void Start(absl::Duration worker_wait = absl::Seconds(60)) {
    reload_ = std::make_unique<Reload>(
        Reload::Options{.config_file = file(), .overrides = overrides_, .worker_wait = worker_wait},
        &target_, Clock::Real());
  }

  // The metrics as /metrics shows them.
  std::string Metrics() const {
    MetricsRegistry metrics;
    metrics.Add([this](MetricSink& sink) { reload_->CollectMetrics(sink); });
    return metrics.Text();
  }

  std::string folder_;
  ConfigOverrides overrides_;
  FakeTarget target_;
  Answers answers_;
  std::unique_ptr<Reload> reload_;
};

TEST_F(ReloadTest, WhatChangedIsPushedAndPutInForce) {
  Start();
  Write(absl::StrCat("limits: {max_batch: 7}\ncontrol: {heartbeat_interval: 9s}\n", kService));
  reload_->Request(answers_.Add());
  const auto response = answers_.Await(0);
  ASSERT_OK(response);
  EXPECT_EQ(response->version(), 2u);
  EXPECT_THAT(response->applied(), ElementsAre("limits.max_batch"));
  EXPECT_THAT(response->needs_restart(), ElementsAre("control.heartbeat_interval"));
  ASSERT_EQ(response->workers_size(), 1);
  EXPECT_THAT(target_.pushed(), ElementsAre(2u));
  EXPECT_EQ(target_.config().version, 2u);
  EXPECT_EQ(target_.config().config->limits().max_batch(), 7u);
  EXPECT_EQ(target_.config().config->control().heartbeat_interval().seconds(), 1);
}

TEST_F(ReloadTest, TheSameFileChangesNothing) {
  Start();
  reload_->Request(answers_.Add());
  const auto response = answers_.Await(0);
  ASSERT_OK(response);
  EXPECT_EQ(response->version(), 1u);
  EXPECT_EQ(response->workers_size(), 1);
  EXPECT_THAT(target_.pushed(), IsEmpty());
}

TEST_F(ReloadTest, FilesAreReadAndWorkersAwaitedOnAThreadOfItsOwn) {
  // A file whose variable is slow to look up.
  Notification looked_up, go_on;
  overrides_.environment = [&](const std::string&) {
    looked_up.Notify();
    go_on.Wait();
    return "7";
  };
  Write(absl::StrCat("limits: {max_batch: \"${SLOW}\"}\n", kService));
  Start();
  reload_->Request(answers_.Add());
  looked_up.Wait();
  EXPECT_EQ(answers_.count(), 0u);  // the caller did not wait
  go_on.Notify();
  ASSERT_OK(answers_.Await(0));
  EXPECT_NE(answers_.thread(), std::this_thread::get_id());
  EXPECT_EQ(answers_.thread(), target_.pusher());
}

TEST_F(ReloadTest, RequestsDuringAReloadAreServedByTheNextOneWhichReadsTheFileAgain) {
  target_.set_acknowledges(false);
  Start();
  Write(absl::StrCat("limits: {max_batch: 7}\n", kService));
  Answers first;
  reload_->Request(first.Add());
  ASSERT_TRUE(WaitFor([&] { return target_.pushed().size() == 1; }));
  reload_->Request(answers_.Add());
  reload_->Request(answers_.Add());
  Write(absl::StrCat("limits: {max_batch: 8}\n", kService));
  EXPECT_THAT(target_.pushed(), ElementsAre(2u));
  EXPECT_EQ(first.count() + answers_.count(), 0u);
  target_.set_acknowledges(true);
  ASSERT_OK(first.Await(0));
  EXPECT_EQ(first.Await(0)->version(), 2u);
  for (const size_t index : {size_t{0}, size_t{1}}) {
    const auto response = answers_.Await(index);
    ASSERT_OK(response);
    EXPECT_EQ(response->version(), 3u);
  }
  EXPECT_THAT(target_.pushed(), ElementsAre(2u, 3u));
  EXPECT_EQ(target_.config().config->limits().max_batch(), 8u);
}

TEST_F(ReloadTest, AFileWithFaultsOrNoneAtAllChangesNothing) {
  Start();
  Write(absl::StrCat("limits: {max_batch: 0}\n", kService));
  reload_->Request(answers_.Add());
  EXPECT_THAT(answers_.Await(0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       absl::StrCat(file(),
                                    ":1:10: limits.max_batch: 0 is not between 1 and "
                                    "1000000")));
  unlink(file().c_str());
  reload_->Request(answers_.Add());
  EXPECT_THAT(answers_.Await(1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(file())));
  EXPECT_THAT(target_.pushed(), IsEmpty());
  EXPECT_EQ(target_.config().version, 1u);
}

TEST_F(ReloadTest, AFileThatIsNotAConfigurationIsRefusedAsAtAStart) {
  Start();
  size_t next = 0;
  const auto refusal = [&](const std::string& text) {
    Write(text);
    reload_->Request(answers_.Add());
    return std::string(answers_.Await(next++).status().message());
  };
  EXPECT_THAT(refusal(absl::StrCat(kService, "x: &x {a: *x}\n")),
              HasSubstr("contains the alias itself"));
  EXPECT_THAT(refusal(absl::StrCat(kService, "---\nb: 1\n")), HasSubstr("a second YAML document"));
  EXPECT_THAT(refusal("services: [{name: a, port: 1, welcome_message: \"caf\xe9\"}]\n"),
              HasSubstr(file() + ":1:52: byte 0xE9 is not UTF-8"));
  EXPECT_THAT(refusal(""), HasSubstr("the file is empty"));
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  EXPECT_THAT(refusal(""), HasSubstr("this is a directory"));
  EXPECT_THAT(target_.pushed(), IsEmpty());
  EXPECT_EQ(target_.config().version, 1u);
}

TEST_F(ReloadTest, OfManyFaultsTheFirstAreAnswered) {
  Start();
  std::string text = kService;
  for (int i = 0; i < 90; ++i) absl::StrAppend(&text, "an_unknown_key_", i, ": 1\n");
  Write(text);
  reload_->Request(answers_.Add());
  const std::string answer(answers_.Await(0).status().message());
  // gRPC sends a status of at most 8 KB.
  EXPECT_LT(answer.size(), 2400u);
  EXPECT_THAT(answer, HasSubstr("an_unknown_key_0: unknown key"));
  EXPECT_THAT(answer, HasSubstr(" more faults, which `wsctl config check` shows"));
}

TEST_F(ReloadTest, MetricsTellTheLastReloadsTimeAndSuccess) {
  const double before = absl::ToDoubleSeconds(Clock::Real()->WallNow() - absl::UnixEpoch());
  Start();
  const std::string success = "fanwire_config_last_reload_success ";
  EXPECT_THAT(Metrics(), HasSubstr(success + "1\n"));
  const auto ended = [&] {
    const std::string name = "\nfanwire_config_last_reload_timestamp_seconds ";
    const std::string text = Metrics();
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size()));
  };
  const double started = ended();
  EXPECT_GE(started, before - 1);
  Write("limits: {max_batch: 0}\n");
  reload_->Request(answers_.Add());
  EXPECT_FALSE(answers_.Await(0).ok());
  EXPECT_THAT(Metrics(), HasSubstr(success + "0\n"));
  EXPECT_GE(ended(), started);
  Write("limits: {max_batch: 666}\nservices: [{name: a, port: 1}]\n");  // workers refuse it
  reload_->Request(answers_.Add());
  EXPECT_FALSE(answers_.Await(1).ok());
  EXPECT_THAT(Metrics(), HasSubstr(success + "0\n"));
  Write(kService);
  reload_->Request(answers_.Add());
  EXPECT_OK(answers_.Await(2));
  EXPECT_THAT(Metrics(), HasSubstr(success + "1\n"));
}

TEST_F(ReloadTest, WhatAWorkerRefusesIsTakenBack) {
  Start();
  Write("limits: {max_batch: 666}\nservices: [{name: a, port: 1}, {name: b, port: 2}]\n");
  reload_->Request(answers_.Add());
  EXPECT_THAT(
      answers_.Await(0),
      StatusIs(
          absl::StatusCode::kFailedPrecondition,
          "refused by worker-0: taken; the previous configuration stays in force, as version 3"));
  EXPECT_THAT(target_.pushed(), ElementsAre(2u, 3u));
  EXPECT_THAT(target_.admitted(), ElementsAre("a"));
  EXPECT_EQ(target_.config().version, 3u);
  EXPECT_EQ(target_.config().config->limits().max_batch(), 10'000u);
}

TEST_F(ReloadTest, AWorkerThatDoesNotAnswerIsNotAwaitedForEver) {
  target_.set_acknowledges(false);
  Start(/*worker_wait=*/absl::Milliseconds(30));
  Write(absl::StrCat("limits: {max_batch: 7}\n", kService));
  reload_->Request(answers_.Add());
  const auto response = answers_.Await(0);
  ASSERT_OK(response);
  EXPECT_TRUE(response->workers(0).pending());
  EXPECT_EQ(target_.config().config->limits().max_batch(), 7u);
}

TEST_F(ReloadTest, AStopAnswersWhatRunsAndWhatWaitsAndPutsNothingInForce) {
  target_.set_acknowledges(false);
  Start();
  Write(absl::StrCat("limits: {max_batch: 7}\n", kService));
  reload_->Request(answers_.Add());
  ASSERT_TRUE(WaitFor([&] { return target_.pushed().size() == 1; }));
  reload_->Request(answers_.Add());
  reload_->Stop();
  reload_->Request(answers_.Add());
  ASSERT_EQ(answers_.count(), 3u);
  for (const size_t index : {0, 1, 2}) {
    EXPECT_THAT(answers_.Await(index),
                StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
  }
  EXPECT_EQ(target_.config().version, 1u);
}

TEST_F(ReloadTest, AFileThatIsNotReadToItsEndHoldsNoStopUpAndPutsNothingInForceLater) {
  // The thread that reads may outlive the test.
  const auto looked_up = std::make_shared<Notification>();
  const auto go_on = std::make_shared<Notification>();
  const auto read = std::make_shared<Notification>();
  overrides_.environment = [looked_up, go_on, read](const std::string&) {
    looked_up->Notify();
    go_on->Wait();
    read->Notify();
    return "7";
  };
  Write(absl::StrCat("limits: {max_batch: \"${SLOW}\"}\n", kService));
  Start();
  reload_->Request(answers_.Add());
  looked_up->Wait();
  reload_->BeginStop();
  EXPECT_THAT(answers_.Await(0), StatusIs(absl::StatusCode::kUnavailable, "control is stopping"));
  reload_->Stop();
  go_on->Notify();
  read->Wait();
  EXPECT_THAT(target_.pushed(), IsEmpty());
  EXPECT_THAT(target_.admitted(), IsEmpty());
}

}  // namespace
}  // namespace fanwire::control
