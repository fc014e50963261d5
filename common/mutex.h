// std::mutex with clang's thread-safety annotations, which g++ ignores.
//
// Not absl::Mutex: the prebuilt one makes TSan report races that are not there.
//
// Debug builds, among them those with sanitizers, die when a thread takes mutexes in another order
// than LockRank says, and keep the owner's thread for AssertHeld().
//
// Cost: that of std::mutex in a release build.
#pragma once

#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "common/check.h"
#include "common/lock_rank.h"
#ifndef NDEBUG
#include <atomic>
#include <thread>
#endif

namespace fanwire {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() : Mutex(LockRank::kLeaf) {}
#ifndef NDEBUG
  explicit Mutex(LockRank rank) : rank_(rank) {}
#else
  explicit Mutex(LockRank) {}
#endif
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    CheckRank();
    mu_.lock();
    SetOwner();
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    ClearOwner();
    mu_.unlock();
  }
  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    if (!mu_.try_lock()) return false;
    SetOwner();
    return true;
  }

  // Tells the analysis that the calling thread holds this mutex, where it cannot see that.  Debug
  // builds die if it does not; others check nothing.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {
#ifndef NDEBUG
    FANWIRE_CHECK(owner_.load(std::memory_order_relaxed) == std::this_thread::get_id(),
                  "the calling thread does not hold this mutex");
#endif
  }

 private:
  friend class CondVar;

#ifndef NDEBUG
  // How many mutexes of each rank the calling thread holds.
  static int* Held() {
    static thread_local int held[kLockRanks] = {};
    return held;
  }
  void CheckRank() const {
    const int own = static_cast<int>(rank_);
    for (int rank = rank_ == LockRank::kShard ? own + 1 : own; rank < kLockRanks; ++rank) {
      FANWIRE_CHECK(Held()[rank] == 0,
                    "the calling thread holds a mutex of the same or a later rank");
    }
  }
  void SetOwner() {
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    ++Held()[static_cast<int>(rank_)];
  }
  void ClearOwner() {
    owner_.store(std::thread::id(), std::memory_order_relaxed);
    --Held()[static_cast<int>(rank_)];
  }
#else
  void CheckRank() const {}
  void SetOwner() {}
  void ClearOwner() {}
#endif

  std::mutex mu_;
#ifndef NDEBUG
  const LockRank rank_;
  std::atomic<std::thread::id> owner_{};
#endif
};

// Holds a Mutex for a scope.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// Wakes may be spurious: wait in a loop.
class CondVar {
 public:
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    mu->ClearOwner();
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    cv_.wait(lock);
    lock.release();
    mu->SetOwner();
  }

  // Returns whether it was woken before `timeout`.
  bool WaitWithTimeout(Mutex* mu, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    mu->ClearOwner();
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    const bool woken =
        cv_.wait_for(lock, absl::ToChronoNanoseconds(timeout)) == std::cv_status::no_timeout;
    lock.release();
    mu->SetOwner();
    return woken;
  }

  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace fanwire
