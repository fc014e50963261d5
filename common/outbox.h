// Outbox runs functions one at a time, in the order in which they were added.  A class uses it to
// act after it has released its mutex, in the order in which its state changed.
//
// Threading: safe from every thread.  Its mutex is a leaf, so Add() may be called while other
//            mutexes are held.  Functions run on a thread that calls Run(), without that mutex.
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

  // Runs the waiting functions.  If another call of Run() is in progress, on another thread or
  // because one of the functions calls it, that call runs them, and this one returns at once.
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
