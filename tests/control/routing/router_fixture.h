// What the tests of Router, Subscriptions and ChannelQueries share: these over a real
// MemoryEngine, and workers whose links are real and whose streams are not.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/mutex.h"
#include "common/timer_queue.h"
#include "control/config/config_loader.h"
#include "control/config/service_table.h"
#include "control/engine/memory_engine.h"
#include "control/links/worker_link.h"
#include "fanwire/v1/config.pb.h"
#include "fanwire/v1/worker.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_engine.h"
#include "tests/testing/link_message.h"
#include "tests/testing/routing.h"
#include "tests/testing/status.h"

namespace fanwire::control {

// A worker's end of its stream.  Writes stay in flight until Complete(); then what they say is
// checked for what every worker relies on (handles are introduced, never reused, and each channel's
// offsets go on by one or say why not) and noted in short:
//
//   def x@4              a channel of which all up to 4 is history
//   x#5                  a delivery
//   x~event              one without position
//   gap x 6-8 expired    what cannot be had
//   drop x               a released handle
//   answer 7 x@9         a subscribe's last page; "recovered 4,5" or its reason, "more" if not last
//
// Threading: safe from every thread.
class FakeWorker final : public LinkTransport {
 public:
  FakeWorker(uint64_t id, const WorkerLink::Options& options, const Clock* clock, LinkOwner* owner)
      : link(std::make_shared<WorkerLink>(id, options, clock, this, owner)) {}
  // An engine may still hold publications for the link.
  ~FakeWorker() override { link->Close(absl::CancelledError("the worker is gone")); }

  const std::shared_ptr<WorkerLink> link;
  bool acks = true;  // acknowledges what it applies

  void Write(LinkMessage message) override {
    MutexLock lock(&mu_);
    EXPECT_FALSE(in_flight_.has_value()) << "two writes at once";
    EXPECT_FALSE(finished_) << "a write after the end";
    in_flight_ = Parse(message);
  }
  void Finish(const absl::Status& status) override {
    MutexLock lock(&mu_);
    EXPECT_FALSE(in_flight_.has_value()) << "finished during a write";
    EXPECT_FALSE(finished_) << "finished twice";
    finished_ = true;
    finish_status_ = status;
  }

  // Ends the write in flight; false if there is none.
  bool Complete(bool ok = true) {
    uint64_t items = 0, bytes = 0;
    {
      MutexLock lock(&mu_);
      if (!in_flight_.has_value()) return false;
      if (ok) Apply(*in_flight_);
      in_flight_.reset();
      items = items_;
      bytes = bytes_;
    }
    link->OnWriteDone(ok);
    if (ok && acks) link->OnAck(items, bytes);
    return true;
  }
  // Ends writes until there is none.
  void Drain() {
    do {
      while (Complete()) {
      }
      if (settle != nullptr) settle();
    } while (Complete());
  }
  void Ack() {
    uint64_t items = 0, bytes = 0;
    {
      MutexLock lock(&mu_);
      items = items_;
      bytes = bytes_;
    }
    link->OnAck(items, bytes);
  }

  // Everything that was noted since the last call, after Drain().
  std::vector<std::string> Take() {
    Drain();
    return TakeNotes();
  }
  // Without ending writes.
  std::vector<std::string> TakeNotes() {
    MutexLock lock(&mu_);
    return std::exchange(notes_, {});
  }
  // Deliveries as they came on the wire, since the last call.
  std::vector<v1::Deliver> TakeDeliveries() {
    Drain();
    MutexLock lock(&mu_);
    return std::exchange(deliveries_, {});
  }
  v1::ChannelDef LastDef() const {
    MutexLock lock(&mu_);
    return last_def_;
  }
  v1::SubscribeResult LastResult() const {
    MutexLock lock(&mu_);
    return last_result_;
  }
  // The last offset of a channel that came, by delivery, gap or recovery.
  int64_t LastOffset(const std::string& channel) const {
    MutexLock lock(&mu_);
    const auto it = offsets_.find(channel);
    return it == offsets_.end() ? 0 : it->second;
  }
  int64_t delivered() const {
    MutexLock lock(&mu_);
    return delivered_;
  }
  bool writing() const {
    MutexLock lock(&mu_);
    return in_flight_.has_value();
  }
  bool finished() const {
    MutexLock lock(&mu_);
    return finished_;
  }
  absl::Status finish_status() const {
    MutexLock lock(&mu_);
    return finish_status_;
  }
  uint64_t items() const {
    MutexLock lock(&mu_);
    return items_;
  }
  uint64_t bytes() const {
    MutexLock lock(&mu_);
    return bytes_;
  }

 private:
  struct Channel {
    std::string name;
    std::string epoch;
    int64_t last = 0;
  };

  void Apply(const v1::ControlMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    EXPECT_LE(message.batch().items_size(), 2 * 256 + 64);
    for (const v1::BatchItem& item : message.batch().items()) {
      ++items_;
      switch (item.item_case()) {
        case v1::BatchItem::kDeliver:
          Apply(item.deliver());
          break;
        case v1::BatchItem::kChannelDef:
          last_def_ = item.channel_def();
          EXPECT_TRUE(handles_.insert(item.channel_def().handle()).second) << "a handle used again";
          channels_[item.channel_def().handle()] = {.name = item.channel_def().channel(),
                                                    .epoch = item.channel_def().epoch(),
                                                    .last = item.channel_def().offset()};
          Note(
              absl::StrCat("def ", item.channel_def().channel(), "@", item.channel_def().offset()));
          break;
        case v1::BatchItem::kChannelRelease:
          Note(absl::StrCat("drop ", Find(item.channel_release().handle()).name));
          channels_.erase(item.channel_release().handle());
          break;
        case v1::BatchItem::kChannelGap:
          Apply(item.channel_gap());
          break;
        case v1::BatchItem::kSubscribeResult:
          Apply(item.subscribe_result());
          break;
        case v1::BatchItem::kEventDef:
          EXPECT_GT(item.event_def().handle(), last_event_) << "an event's handle used again";
          last_event_ = item.event_def().handle();
          events_[last_event_] = item.event_def().name();
          break;
        case v1::BatchItem::ITEM_NOT_SET:
          ADD_FAILURE() << "an empty item";
      }
    }
  }

  void Apply(const v1::Deliver& deliver) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Channel& channel = Find(deliver.handle());
    bytes_ += deliver.envelope().size();
    ++delivered_;
    if (deliver.event() != 0) {
      EXPECT_TRUE(events_.contains(deliver.event())) << "an event without a name";
    }
    if (keep_deliveries) deliveries_.push_back(deliver);
    if (deliver.offset() == 0) {
      Note(absl::StrCat(channel.name, "~", events_[deliver.event()]));
      return;
    }
    EXPECT_EQ(deliver.offset(), channel.last + 1) << channel.name;
    EXPECT_TRUE(absl::EndsWith(
        deliver.envelope(),
        absl::StrCat(",\"offset\":", deliver.offset(), ",\"epoch\":\"", channel.epoch, "\"}")))
        << deliver.envelope();
    Reach(&channel, deliver.offset());
    Note(absl::StrCat(channel.name, "#", deliver.offset()));
  }

  void Apply(const v1::ChannelGap& gap) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Channel& channel = Find(gap.handle());
    Note(absl::StrCat("gap ", channel.name, " ", gap.from(), "-", gap.to(), " ", gap.reason()));
    EXPECT_EQ(gap.epoch(), channel.epoch);
    if (gap.reason() != "epoch_changed") {
      EXPECT_EQ(gap.from(), channel.last + 1);
    }
    Reach(&channel, gap.to());
  }

  void Apply(const v1::SubscribeResult& result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    last_result_ = result;
    std::string note = absl::StrCat("answer ", result.query_id());
    if (result.has_status()) {
      absl::StrAppend(&note, " refused ", result.status().code());
    } else if (result.handle() != 0) {
      const Channel& channel = Find(result.handle());
      absl::StrAppend(&note, " ", channel.name, "@", result.head().offset());
      // The cut: what comes after is live.
      EXPECT_EQ(result.head().offset(), channel.last);
      EXPECT_EQ(result.head().epoch(), channel.epoch);
    }
    std::vector<std::string> recovered;
    for (const v1::RecoveredPublication& publication : result.publications()) {
      bytes_ += publication.envelope().size();
      recovered.push_back(
          absl::StrCat(publication.envelope().empty() ? "-" : "", publication.offset()));
    }
    if (result.recovered()) {
      absl::StrAppend(&note, " recovered ", absl::StrJoin(recovered, ","));
    }
    if (!result.reason().empty()) absl::StrAppend(&note, " ", result.reason());
    if (!result.last_page()) absl::StrAppend(&note, " more after ", result.next().offset());
    Note(note);
  }

  Channel& Find(uint32_t handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto it = channels_.find(handle);
    EXPECT_NE(it, channels_.end()) << "handle " << handle << " is not known";
    return it == channels_.end() ? nowhere_ : it->second;
  }
  void Reach(Channel* channel, int64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    channel->last = offset;
    offsets_[channel->name] = offset;
  }
  void Note(std::string note) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (keep_notes) notes_.push_back(std::move(note));
  }

 public:
  std::function<void()> settle;  // called when nothing is left to write; null: nothing is
  bool keep_notes = true;
  bool keep_deliveries = true;

 private:
  mutable Mutex mu_;
  std::optional<v1::ControlMessage> in_flight_ ABSL_GUARDED_BY(mu_);
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status finish_status_ ABSL_GUARDED_BY(mu_);
  std::map<uint32_t, Channel> channels_ ABSL_GUARDED_BY(mu_);
  Channel nowhere_ ABSL_GUARDED_BY(mu_);
  std::map<uint32_t, std::string> events_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int64_t> offsets_ ABSL_GUARDED_BY(mu_);
  std::set<uint32_t> handles_ ABSL_GUARDED_BY(mu_);  // all that ever were
  uint32_t last_event_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::string> notes_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::Deliver> deliveries_ ABSL_GUARDED_BY(mu_);
  v1::ChannelDef last_def_ ABSL_GUARDED_BY(mu_);
  v1::SubscribeResult last_result_ ABSL_GUARDED_BY(mu_);
  int64_t delivered_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t items_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

// Keeps every receipt, by tag.
//
// Threading: safe from every thread.
class FakeReceiptSink final : public ReceiptSink {
 public:
  struct Receipt {
    uint64_t tag = 0;
    std::string id;
    PublishOutcome outcome;  // without its id
  };

  void OnReceipt(uint64_t tag, const PublishOutcome& outcome) override {
    MutexLock lock(&mu_);
    receipts_.push_back({.tag = tag, .id = std::string(outcome.id), .outcome = outcome});
    receipts_.back().outcome.id = {};
  }
  void OnAccepted(uint64_t tag, const PublishOutcome& outcome) override {
    MutexLock lock(&mu_);
    accepted_.push_back({.tag = tag, .id = std::string(outcome.id), .outcome = outcome});
    accepted_.back().outcome.id = {};
  }

  // What OnAccepted() was told.
  std::vector<Receipt> accepted() const {
    MutexLock lock(&mu_);
    return accepted_;
  }
  size_t count() const {
    MutexLock lock(&mu_);
    return receipts_.size();
  }
  std::vector<Receipt> receipts() const {
    MutexLock lock(&mu_);
    return receipts_;
  }
  Receipt last() const {
    MutexLock lock(&mu_);
    return receipts_.empty() ? Receipt() : receipts_.back();
  }

 private:
  mutable Mutex mu_;
  std::vector<Receipt> receipts_ ABSL_GUARDED_BY(mu_);
  std::vector<Receipt> accepted_ ABSL_GUARDED_BY(mu_);
};

// The engine below the parts under test.
enum class EngineKind {
  kMemory,
  kSlow,  // a FakeEngine that opens, keeps and fetches later, in an order of its own
};

class RouterFixture : public ::testing::Test {
 protected:
  // Service `s` with these lines beside name and port, then these.
  static std::shared_ptr<const ServiceTable> Services(const std::string& lines = "",
                                                      const std::string& globals = "") {
    const LoadedConfig loaded = LoadConfig(
        absl::StrCat("services:\n- name: s\n  port: 8690\n", lines, globals), "test.yaml", {});
    EXPECT_THAT(loaded.errors, ::testing::IsEmpty());
    return ServiceTable::Make(*loaded.config);
  }
  // Begins with another service and engine.
  void Use(const std::string& lines, uint64_t max_history_bytes = 64 << 20,
           const Router::Options& options = {}) {
    if (engine_ != nullptr) engine_->Close();
    routing_ = nullptr;
    slow_ = nullptr;
    if (kind_ == EngineKind::kSlow) {
      auto slow = std::make_unique<FakeEngine>(max_history_bytes);
      slow->Delay(FakeEngine::kAll);
      slow_ = slow.get();
      engine_ = std::move(slow);
    } else {
      engine_ = MakeMemoryEngine(max_history_bytes);
    }
    routing_ = std::make_unique<Routing>(options, engine_.get(), &clock_, &timers_, Services(lines),
                                         state_source_);
  }

  explicit RouterFixture(EngineKind kind = EngineKind::kMemory) : kind_(kind) { Use(""); }
  ~RouterFixture() override { engine_->Close(); }

  // Lets a slow engine end what it has begun.  The functions below do so, unless `settles_` is
  // false.
  void Settle() {
    if (slow_ != nullptr && settles_) slow_->Settle();
  }

  std::unique_ptr<FakeWorker> MakeWorker(const WorkerLink::Options& options = {}) {
    auto worker =
        std::make_unique<FakeWorker>(++last_link_, options, &clock_, routing_->subscriptions.get());
    worker->settle = [this] { Settle(); };
    return worker;
  }
  void Want(const FakeWorker& worker, const std::string& channel) {
    routing_->subscriptions->AddInterest(worker.link, {.service = "s", .channel = channel});
  }
  void Unwant(const FakeWorker& worker, const std::string& channel) {
    routing_->subscriptions->RemoveInterest(worker.link, {.service = "s", .channel = channel});
  }
  void WantPattern(const FakeWorker& worker, const std::string& pattern) {
    routing_->subscriptions->AddInterest(worker.link,
                                         {.service = "s", .channel = pattern, .pattern = true});
  }
  void UnwantPattern(const FakeWorker& worker, const std::string& pattern) {
    routing_->subscriptions->RemoveInterest(worker.link,
                                            {.service = "s", .channel = pattern, .pattern = true});
  }
  void Subscribe(const FakeWorker& worker, uint64_t query_id, const std::string& channel) {
    routing_->subscriptions->Subscribe(worker.link,
                                       {.query_id = query_id, .service = "s", .channel = channel});
    Settle();
  }
  void Recover(const FakeWorker& worker, uint64_t query_id, const std::string& channel,
               const std::string& epoch, int64_t offset, uint64_t page_bytes = 0) {
    routing_->subscriptions->Subscribe(worker.link, {.query_id = query_id,
                                                     .service = "s",
                                                     .channel = channel,
                                                     .recover = true,
                                                     .recover_epoch = epoch,
                                                     .recover_offset = offset,
                                                     .page_bytes = page_bytes});
    Settle();
  }

  // Refers to its texts.
  static Event MakeEvent(absl::string_view channel, absl::string_view json = "{}") {
    Event event;
    event.service = "s";
    event.channel = channel;
    event.event = "thing.happened";
    event.json = json;
    return event;
  }
  // Publishes at once; the receipt must come within.
  FakeReceiptSink::Receipt Publish(const Event& event,
                                   ReceiptLevel level = ReceiptLevel::kAccepted) {
    FakeReceiptSink sink;
    {
      const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
      run->Publish(event, {.level = level}, &sink, 1);
    }
    Settle();
    EXPECT_EQ(sink.count(), 1u);
    return sink.last();
  }
  // As many events; the last one's position.
  Position Publish(const std::string& channel, int count = 1) {
    Position last;
    const std::unique_ptr<PublishRun> run = routing_->router->MakeRun();
    FakeReceiptSink sink;
    for (int i = 0; i < count; ++i) run->Publish(MakeEvent(channel), {}, &sink, 0);
    Settle();
    for (const FakeReceiptSink::Receipt& receipt : sink.receipts()) {
      EXPECT_OK(receipt.outcome.status);
      last = receipt.outcome.position;
    }
    EXPECT_EQ(sink.count(), static_cast<size_t>(count));
    return last;
  }

  absl::StatusOr<HistorySlice> ReadHistory(const HistoryRequest& request) {
    absl::StatusOr<HistorySlice> slice = absl::DeadlineExceededError("not answered");
    routing_->queries->ReadHistory(
        request, [&slice](absl::StatusOr<HistorySlice> read) { slice = std::move(read); });
    Settle();
    return slice;
  }

  std::string EpochOf(const std::string& channel) {
    const auto summary = routing_->queries->GetChannel("s", channel);
    EXPECT_OK(summary);
    return summary.ok() ? summary->history.head.epoch.ToText() : "";
  }

  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }

  FakeClock clock_;
  TimerQueue timers_{&clock_};
  const EngineKind kind_;
  StateSource* state_source_ = nullptr;  // for the next Use()
  std::unique_ptr<Engine> engine_;
  FakeEngine* slow_ = nullptr;  // engine_, if it is slow
  bool settles_ = true;
  std::unique_ptr<Routing> routing_;
  uint64_t last_link_ = 0;
};

// For INSTANTIATE_TEST_SUITE_P: the suite runs over each engine.
inline auto AllEngines() { return ::testing::Values(EngineKind::kMemory, EngineKind::kSlow); }
inline std::string EngineName(const ::testing::TestParamInfo<EngineKind>& kind) {
  return kind.param == EngineKind::kMemory ? "Memory" : "Slow";
}

}  // namespace fanwire::control
