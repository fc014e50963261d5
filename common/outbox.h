// Outbox runs functions one after another in the order they were added, on whichever thread
// calls Run() first: how a class whose state has a mutex does things outside, in the state's order.
//
// Threading: safe from every thread; its mutex is a leaf, so that Add() may be called with others
//            held.  Functions run without it.
#pragma once

#include <deque>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "common/mutex.h"

namespace fanwire {

class Outbox {
 public:
  using Function = absl::AnyInvocable<void()>;

  void Add(Function function) {
    MutexLock lock(&mu_);
    waiting_.push_back(std::move(function));
  }

  // Runs what waits.  If another thread does so already, or a function of this queue calls it, the
  // work is left to that run and this call returns at once.
  void Run() {
    {
      MutexLock lock(&mu_);
      if (running_) return;
      running_ = true;
    }
    while (true) {
      std::deque<Function> functions;
      {
        MutexLock lock(&mu_);
        if (waiting_.empty()) {
          running_ = false;
          return;
        }
        functions.swap(waiting_);
      }
      for (Function& function : functions) function();
    }
  }

 private:
  Mutex mu_;
  std::deque<Function> waiting_ ABSL_GUARDED_BY(mu_);
  bool running_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace fanwire
