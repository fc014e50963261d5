#include "control/engine/redis_engine.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/engine/disk_channel.h"
#include "control/engine/disk_engine_channel.h"
#include "control/engine/feed_sequencer.h"
#include "control/engine/history_cache.h"
#include "control/engine/history_fetcher.h"
#include "control/engine/redis_listener.h"
#include "control/engine/redis_session.h"
#include "control/engine/redis_writer.h"

namespace fanwire::control {

namespace {

// A page that is fetched has at most so many publications.
constexpr size_t kFetchedAtOnce = 1024;

class RedisHistory final : public HistorySource {
 public:
  explicit RedisHistory(const RedisOptions& options) : session_(options) {}

  absl::Status Read(
      const DiskChannel& channel, Epoch epoch, int64_t first, int64_t last,
      absl::FunctionRef<bool(int64_t offset, absl::string_view value)> visit) override {
    const absl::string_view name = channel.name();
    const size_t zero = name.find('\0');
    return session_.Read(RedisName(name.substr(0, zero), name.substr(zero + 1)), epoch, first, last,
                         kFetchedAtOnce,
                         [&](int64_t offset, absl::string_view value, absl::string_view) {
                           return visit(offset, value);
                         });
  }

 private:
  RedisSession session_;
};

// Where nobody listens.
class NoFeed final : public EngineFeed {
 public:
  void OnPublication(const FedPublication& /*fed*/) override {}
  void OnMissed(absl::string_view /*service*/, absl::string_view /*channel*/) override {}
  void OnEpochChanged(absl::string_view /*service*/, absl::string_view /*channel*/) override {}
  void OnUnopened(absl::string_view /*service*/, absl::string_view /*channel*/) override {}
};

class RedisChannel final : public DiskEngineChannel {
 public:
  RedisChannel(DiskChannelPtr disk, std::string in_keys, const HistoryPolicy& policy,
               const std::unique_ptr<HistoryFetcher>* fetcher)
      : DiskEngineChannel(std::move(disk), policy, fetcher), in_keys_(std::move(in_keys)) {}

  const std::string& in_keys() const { return in_keys_; }

 private:
  const std::string in_keys_;
};

class RedisEngine final : public Engine {
 public:
  RedisEngine(const RedisOptions& options, const Clock* clock)
      : options_(options), clock_(clock), cache_(options.cache_bytes) {}
  ~RedisEngine() override { RedisEngine::Close(); }

  absl::string_view name() const override { return "redis"; }
  void SetFeed(EngineFeed* feed) override { feed_ = feed; }

  absl::Status Start() override;
  void Close() override;

  std::unique_ptr<EngineChannel> Open(absl::string_view service, absl::string_view channel,
                                      const HistoryPolicy& policy,
                                      absl::FunctionRef<OpenedCallback()> make_opened) override {
    const DiskChannelPtr memory(new DiskChannel(
        absl::StrCat(service, absl::string_view("\0", 1), channel), policy, cache_.use()));
    OpenedCallback opened = make_opened();
    if (sequencer_ != nullptr) sequencer_->Open(memory, std::move(opened));
    return std::make_unique<RedisChannel>(memory, RedisName(service, channel), policy, &fetcher_);
  }

  void Reopen(EngineChannel* channel, absl::FunctionRef<OpenedCallback()> make_opened) override {
    OpenedCallback opened = make_opened();
    if (sequencer_ == nullptr) return;
    sequencer_->Reopen(static_cast<RedisChannel*>(channel)->disk(), std::move(opened));
  }

  void Forget(std::unique_ptr<EngineChannel> channel) override {
    if (sequencer_ != nullptr)
      sequencer_->Forget(static_cast<RedisChannel*>(channel.get())->disk());
  }

  AppendOutcome Append(absl::Span<const EngineAppend> appends, const EventRecord& /*record*/,
                       absl::Duration now, absl::FunctionRef<EngineCallback()> make_done) override {
    if (writer_ == nullptr) return AppendOutcome::kFull;
    std::vector<OwnAppend::Item> items(appends.size());
    for (size_t i = 0; i < appends.size(); ++i) {
      const auto* const channel = static_cast<const RedisChannel*>(appends[i].channel);
      items[i].channel = channel->disk();
      items[i].in_keys = channel->in_keys();
      items[i].publication = appends[i].publication;
      items[i].keep = appends[i].keep;
    }
    return writer_->Append(std::move(items), now, make_done);
  }

  absl::Status VisitRecords(absl::FunctionRef<void(const KeptRecord&)> /*visit*/) override {
    return absl::OkStatus();
  }

  int64_t history_bytes() const override { return 0; }
  int64_t excess_bytes() const override { return 0; }
  bool is_crowded() const override { return false; }

  absl::Status Health() const override {
    if (writer_ == nullptr) return absl::UnavailableError("the redis engine has not started");
    if (absl::Status status = writer_->Health(); !status.ok()) return status;
    if (absl::Status status = listener_->Health(); !status.ok()) return status;
    if (absl::Status status = sequencer_->Health(); !status.ok()) return status;
    return fetcher_->Health();
  }

  EngineStatus status() const override {
    EngineStatus status{.path = options_.server};
    if (writer_ == nullptr) return status;
    status.waiting_publications = writer_->waiting_publications();
    const absl::Duration since = writer_->waiting_since();
    if (since < absl::InfiniteDuration()) {
      status.lag = std::max(absl::ZeroDuration(), clock_->Now() - since);
    }
    return status;
  }

  bool survives_restart() const override { return true; }

 private:
  const RedisOptions options_;
  const Clock* const clock_;
  HistoryCache cache_;
  NoFeed no_feed_;
  EngineFeed* feed_ = &no_feed_;
  // Made by Start(), and not changed until the engine is deleted.
  std::unique_ptr<FeedSequencer> sequencer_;
  std::unique_ptr<RedisWriter> writer_;
  std::unique_ptr<RedisListener> listener_;
  std::unique_ptr<RedisHistory> history_;
  std::unique_ptr<HistoryFetcher> fetcher_;
  bool closed_ = false;  // only touched by the thread that calls Start() and Close()
};

absl::Status RedisEngine::Start() {
  if (absl::Status status = CheckRedisServer(options_); !status.ok()) return status;
  // Of one life of this process: what an earlier one has appended is not its own.
  const std::string node = Epoch::Random().ToText();
  auto sequencer = std::make_unique<FeedSequencer>(options_, node, feed_, &cache_, clock_);
  auto listener = std::make_unique<RedisListener>(options_, node, sequencer.get(), clock_);
  if (absl::Status status = listener->Start(); !status.ok()) return status;
  sequencer_ = std::move(sequencer);
  listener_ = std::move(listener);
  writer_ = std::make_unique<RedisWriter>(options_, node, sequencer_.get());
  history_ = std::make_unique<RedisHistory>(options_);
  fetcher_ = std::make_unique<HistoryFetcher>(
      HistoryFetcher::Options{.retry_pause = options_.retry_pause}, history_.get(), clock_);
  sequencer_->Start();
  writer_->Start();
  fetcher_->Start();
  return absl::OkStatus();
}

void RedisEngine::Close() {
  if (writer_ == nullptr || std::exchange(closed_, true)) return;
  writer_->Stop();
  listener_->Stop();
  sequencer_->Stop();
  fetcher_->Stop();
}

}  // namespace

std::unique_ptr<Engine> MakeRedisEngine(const RedisOptions& options, const Clock* clock) {
  return std::make_unique<RedisEngine>(options, clock);
}

absl::Status CheckRedisServer(const RedisOptions& options) {
  RedisSession session(options);
  if (absl::Status status = session.Connect(); !status.ok()) return status;
  return options.durable ? session.CheckDurable() : absl::OkStatus();
}

}  // namespace fanwire::control
