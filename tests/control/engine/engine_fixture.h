// What the tests of engines share: publications, and an engine whose callbacks come later.
#pragma once

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "control/engine/engine.h"
#include "control/engine/rocksdb_engine.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing/wait_for.h"

namespace fanwire::control {

inline constexpr HistoryPolicy kKeepAll{.size = 1'000'000, .ttl = absl::InfiniteDuration()};

// A folder that is deleted with the object.
class TestFolder {
 public:
  TestFolder() {
    path_ = testing::TempDir() + "engine-XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string path(const std::string& name = "data") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// An unsealed publication whose data is `{"n":N}`, padded to about `bytes`.
inline PublicationPtr MakePublication(const Clock& clock, int64_t n, size_t bytes = 100,
                                      absl::Duration lifetime = absl::InfiniteDuration()) {
  const std::string data = absl::StrCat("{\"n\":", n, "}");
  std::string envelope = absl::StrCat("{\"data\":", data, ",\"pad\":\"");
  if (envelope.size() + 2 < bytes) envelope.append(bytes - envelope.size() - 2, 'x');
  envelope += "\"}";
  PublicationPtr publication =
      Publication::Make({.event = "test.event",
                         .exclude_connection = n % 2 == 0 ? "" : "session",
                         .max_envelope_bytes = envelope.size() + Publication::kSealBytes,
                         .received_us = absl::ToUnixMicros(clock.WallNow()),
                         .received_at = clock.Now(),
                         .expires_at = clock.Now() + lifetime,
                         .conflate_key = static_cast<uint64_t>(n)});
  std::copy(envelope.begin(), envelope.end(), publication->buffer());
  publication->SetEnvelope(envelope.size(), 8, data.size());
  return publication;
}

// An engine's user.  Channels are looked at by the test's thread alone.
class EngineUser {
 public:
  EngineUser(Engine* engine, const Clock* clock, std::function<void()> settle = nullptr)
      : engine_(engine), clock_(clock), settle_(std::move(settle)) {}

  Engine* engine() { return engine_; }

  bool Wait(const std::function<bool()>& condition) {
    const auto settled = [&] {
      if (settle_ != nullptr) settle_();
      return condition();
    };
    // Mostly it takes less than WaitFor() sleeps.
    for (int i = 0; i < 200; ++i) {
      if (settled()) return true;
      std::this_thread::yield();
    }
    return WaitFor(settled);
  }

  // Opens without waiting.  Adds "open NAME" to log().
  std::unique_ptr<EngineChannel> BeginOpen(const std::string& name,
                                           const HistoryPolicy& policy = kKeepAll) {
    bool at_once = true;
    auto channel = engine_->Open("service", name, policy, [&]() -> OpenedCallback {
      at_once = false;
      return [this, name] { Note("open " + name); };
    });
    if (at_once) Note("open " + name);
    return channel;
  }
  std::unique_ptr<EngineChannel> Open(const std::string& name,
                                      const HistoryPolicy& policy = kKeepAll) {
    const size_t before = Count("open " + name);
    auto channel = BeginOpen(name, policy);
    EXPECT_TRUE(Wait([&] { return Count("open " + name) > before; })) << name;
    return channel;
  }

  // Appends without waiting.  Adds `label` to log() when it is kept or refused: then with the
  // reason.
  AppendOutcome BeginAppend(const std::vector<EngineAppend>& appends, const std::string& label) {
    const AppendOutcome outcome =
        engine_->Append(appends, {}, clock_->Now(), [&]() -> EngineCallback {
          return [this, label](const absl::Status& status) {
            Note(status.ok() ? label : absl::StrCat(label, ": ", status.message()));
          };
        });
    if (outcome == AppendOutcome::kDone || outcome == AppendOutcome::kDoneCrowded) Note(label);
    return outcome;
  }
  // Appends and waits.  Returns how it ended.
  absl::Status Append(EngineChannel* channel, const PublicationPtr& publication, bool keep = true,
                      const EventRecord& record = {}) {
    absl::Status result = absl::UnknownError("no answer");
    bool done = false;
    const AppendOutcome outcome = engine_->Append(
        std::vector<EngineAppend>{{.channel = channel, .publication = publication, .keep = keep}},
        record, clock_->Now(), [&]() -> EngineCallback {
          return [&](const absl::Status& status) {
            MutexLock lock(&mu_);
            result = status;
            done = true;
          };
        });
    if (outcome == AppendOutcome::kFull) return absl::ResourceExhaustedError("full");
    if (outcome != AppendOutcome::kPending) return absl::OkStatus();
    EXPECT_TRUE(Wait([&] {
      MutexLock lock(&mu_);
      return done;
    }));
    return result;
  }
  // Appends `count` publications, numbered from the head's offset + 1 on.
  void Fill(EngineChannel* channel, int count, size_t bytes = 100) {
    for (int i = 0; i < count; ++i) {
      const absl::Status status =
          Append(channel, MakePublication(*clock_, channel->head().offset + 1, bytes));
      ASSERT_TRUE(status.ok()) << status;
    }
  }

  // Reads the offsets up to `until`, and fetches as often as it takes.  {-1}: they are gone.
  std::vector<PublicationPtr> ReadPublications(EngineChannel* channel, int64_t after, int64_t until,
                                               size_t max_bytes, bool* gone) {
    std::vector<PublicationPtr> page;
    *gone = false;
    for (;;) {
      bool ready = false;
      switch (channel->ReadAfter(after, until, max_bytes, clock_->Now(), &page,
                                 [&]() -> EngineCallback {
                                   return [&](const absl::Status&) {
                                     MutexLock lock(&mu_);
                                     ready = true;
                                   };
                                 })) {
        case ReadOutcome::kOk:
          return page;
        case ReadOutcome::kGone:
          *gone = true;
          return page;
        case ReadOutcome::kClosed:
          ADD_FAILURE() << "the engine is closed";
          return page;
        case ReadOutcome::kFetching:
          ++fetches_;
          if (!Wait([&] {
                MutexLock lock(&mu_);
                return ready;
              })) {
            ADD_FAILURE() << "a fetch does not end";
            return page;
          }
      }
    }
  }
  std::vector<int64_t> Read(EngineChannel* channel, int64_t after, int64_t until,
                            size_t max_bytes = 1 << 20) {
    std::vector<int64_t> offsets;
    while (after < until) {
      bool gone = false;
      const std::vector<PublicationPtr> page =
          ReadPublications(channel, after, until, max_bytes, &gone);
      if (gone) {
        offsets.push_back(-1);
        return offsets;
      }
      if (page.empty()) return offsets;
      for (const PublicationPtr& publication : page) {
        EXPECT_EQ(publication->epoch(), channel->head().epoch);
        EXPECT_EQ(publication->offset(), ++after);
        offsets.push_back(publication->offset());
      }
    }
    return offsets;
  }
  int fetches() const { return fetches_; }

  std::vector<std::string> log() const {
    MutexLock lock(&mu_);
    return log_;
  }
  size_t Count(const std::string& line) const {
    MutexLock lock(&mu_);
    return static_cast<size_t>(std::count(log_.begin(), log_.end(), line));
  }

 private:
  void Note(const std::string& line) {
    MutexLock lock(&mu_);
    log_.push_back(line);
  }

  Engine* const engine_;
  const Clock* const clock_;
  const std::function<void()> settle_;
  int fetches_ = 0;
  mutable Mutex mu_;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fanwire::control
