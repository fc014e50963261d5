// FakeMcpControl stands for control behind any number of clients that call it at the same time: a
// test holds calls back, releases them in any order, and sees which of them were cancelled.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/invocation.h"
#include "common/mutex.h"
#include "tests/cli/fake_admin_client.h"
#include "tests/cli/fake_publish_client.h"

namespace fanwire::cli {

class FakeMcpControl {
 public:
  // What the clients answer.  A client copies it when it is made, and copies it back, with what it
  // was asked, when it is destroyed.
  FakeAdminClient admin;
  FakePublishClient publisher;

  // Every call fails with this from now on; OK: no more.
  void Fail(absl::Status status) {
    MutexLock lock(&mu_);
    failure_ = std::move(status);
  }

  // Makes calls called `name` wait: the service of a tool, "workers", "tail", "drain".
  void Hold(const std::string& name) {
    MutexLock lock(&mu_);
    held_.insert(name);
  }
  void Release(const std::string& name) {
    MutexLock lock(&mu_);
    held_.erase(name);
    changed_.SignalAll();
  }
  // How many calls of this name have begun, and how many were cancelled while they waited.
  int begun(const std::string& name) const { return Count(begun_, name); }
  int cancelled(const std::string& name) const { return Count(cancelled_, name); }
  int clients_made() const {
    MutexLock lock(&mu_);
    return clients_made_;
  }

  absl::StatusOr<Clients> Connect() {
    MutexLock lock(&mu_);
    ++clients_made_;
    return Clients{.admin = std::make_unique<Client>(this),
                   .publish = std::make_unique<Publisher>(this)};
  }

 private:
  class Client : public FakeAdminClient {
   public:
    explicit Client(FakeMcpControl* control) : FakeAdminClient(control->admin), control_(control) {}
    ~Client() override {
      MutexLock lock(&control_->mu_);
      control_->admin = *this;
    }

    absl::StatusOr<std::string> CallTool(Tool tool, const ToolRequest& request) override {
      absl::Status status = Wait(request.service);
      if (!status.ok()) return status;
      return FakeAdminClient::CallTool(tool, request);
    }
    absl::StatusOr<WorkerList> ListWorkers() override {
      absl::Status status = Wait("workers");
      if (!status.ok()) return status;
      return FakeAdminClient::ListWorkers();
    }
    // Gives its updates, then waits as a tail waits for more: a cancelled one ends well.
    absl::Status Tail(const TailRequest& request,
                      const std::function<bool(const TailUpdate&)>& on_update) override {
      tail_request = request;
      for (const TailUpdate& update : tail_updates) {
        if (!on_update(update)) return absl::OkStatus();
      }
      Wait("tail").IgnoreError();
      return failure;
    }
    absl::Status DrainWorker(const DrainRequest& request,
                             const std::function<void(int64_t)>& on_remaining) override {
      absl::Status status = FakeAdminClient::DrainWorker(request, on_remaining);
      return status.ok() ? Wait("drain") : status;
    }
    void Cancel() override {
      MutexLock lock(&control_->mu_);
      ended_ = true;
      control_->changed_.SignalAll();
    }

   private:
    absl::Status Wait(const std::string& name) {
      MutexLock lock(&control_->mu_);
      ++control_->begun_[name];
      while (!ended_ && control_->held_.count(name) > 0) control_->changed_.Wait(&control_->mu_);
      if (!ended_) return control_->failure_;
      ++control_->cancelled_[name];
      return absl::CancelledError("cancelled");
    }

    FakeMcpControl* const control_;
    bool ended_ = false;  // guarded by control_->mu_
  };

  class Publisher : public FakePublishClient {
   public:
    explicit Publisher(FakeMcpControl* control)
        : FakePublishClient(control->publisher), control_(control) {}
    ~Publisher() override {
      MutexLock lock(&control_->mu_);
      control_->publisher = *this;
    }

   private:
    FakeMcpControl* const control_;
  };

  int Count(const std::map<std::string, int>& counts, const std::string& name) const {
    MutexLock lock(&mu_);
    const auto found = counts.find(name);
    return found == counts.end() ? 0 : found->second;
  }

  mutable Mutex mu_;
  CondVar changed_;
  std::set<std::string> held_;
  std::map<std::string, int> begun_;
  std::map<std::string, int> cancelled_;
  int clients_made_ = 0;
  absl::Status failure_;
};

}  // namespace fanwire::cli
