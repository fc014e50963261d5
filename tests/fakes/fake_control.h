// FakeControl is control as a worker's sessions see it: it gives publications their positions,
// keeps them all, and answers subscribes.  What it has for the worker waits in one ordered queue
// until the test applies it, item by item or all of it.
//
// Threading: the test's thread.
// Ownership: borrows hub, loop and service.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "fanout/hub.h"
#include "fanout/net/event_loop.h"
#include "fanout/service.h"
#include "fanout/session.h"
#include "fanout/upstream.h"
#include "proto/policies.h"

namespace fanwire::fanout {

struct FakePublication {
  std::string event = "happened";
  std::string exclude = {};  // connection_id
  uint64_t conflate_key = 0;
  absl::Duration ttl = absl::ZeroDuration();  // zero: does not expire
  uint64_t track = 0;                         // publication_id; 0: nobody waits for WRITTEN
  bool position = true;                       // false: as with skip_history
  size_t padding = 0;                         // bytes more
};

class FakeControl final : public Upstream {
 public:
  // A subscribe without an answer.
  struct Asked {
    uint64_t id = 0;
    Session* session = nullptr;
    SubscribeAsk ask = {};
    ChannelRef channel = {};
  };
  struct Requested {
    uint64_t id = 0;
    Session* session = nullptr;
    std::string request = {};
    std::string data = {};
    bool served = false;
    absl::Duration deadline = {};
    bool publish = false;
  };
  // An event that a client published.
  struct Published {
    uint64_t id = 0;
    PublishAsk event = {};
    std::string data = {};
  };
  // A channel as control knows it.
  struct Log {
    std::string epoch = "e1";
    std::vector<std::pair<FakePublication, std::string>> events;  // with their envelopes
    int64_t trimmed = 0;  // offsets up to this are not in history any more
    BacklogPolicy backlog = BacklogPolicy::kClose;
    GapPolicy gap = GapPolicy::kNotify;
    uint32_t handle = 0;
    int64_t head() const { return static_cast<int64_t>(events.size()); }
  };

  FakeControl(EventLoop* loop, Hub* hub, TrackTable* tracks, Service* service)
      : loop_(loop), hub_(hub), tracks_(tracks), service_(service) {}

  // ---- what the test does

  Log& log(absl::string_view channel) { return logs_[std::string(channel)]; }

  // Returns the offset; 0 if it has none.
  int64_t Publish(absl::string_view channel, const FakePublication& publication = {}) {
    Log& log = this->log(channel);
    const int64_t offset = publication.position ? log.head() + 1 : 0;
    std::string envelope =
        absl::StrCat(R"({"type":"event","event":")", publication.event, R"(","room":")", channel,
                     R"(","number":)", ++published_, R"(,"offset":)", offset, R"(,"pad":")",
                     std::string(publication.padding, '.'), "\"}");
    if (publication.position) log.events.emplace_back(publication, envelope);
    if (!Wanted(channel)) return offset;
    queue_.push_back([this, name = std::string(channel), publication, envelope, offset] {
      Deliver(name, publication, envelope, offset);
    });
    return offset;
  }

  // The channel's series begins anew, as after a restart without storage.
  void NewEpoch(absl::string_view channel, const std::string& epoch) {
    Log& log = this->log(channel);
    log.epoch = epoch;
    log.events.clear();
    log.trimmed = 0;
  }

  // Puts the answers to all that was asked into the queue.
  void Answer() {
    while (!asks.empty()) AnswerNext();
  }
  void AnswerNext() {
    const Asked asked = asks.front();
    asks.pop_front();
    answering_.push_back(asked.id);
    queue_.push_back([this, asked, reply = ReplyTo(asked.ask)]() mutable {
      if (std::erase(answering_, asked.id) == 0) return;  // forgotten
      if (asked.channel) Introduce(asked.channel.get(), reply.offset);
      asked.session->OnSubscribeReply(asked.id, std::move(reply));
    });
  }
  // The same with an answer of the test's own.
  void AnswerNext(SubscribeReply reply) {
    const Asked asked = asks.front();
    asks.pop_front();
    answering_.push_back(asked.id);
    queue_.push_back([this, asked, reply = std::move(reply)]() mutable {
      if (std::erase(answering_, asked.id) == 0) return;
      asked.session->OnSubscribeReply(asked.id, std::move(reply));
    });
  }

  // Applies so many items of the queue, then ends the turn.
  void Apply(size_t items = SIZE_MAX) {
    for (; items > 0 && !queue_.empty(); --items) {
      auto item = std::move(queue_.front());
      queue_.pop_front();
      item();
    }
    hub_->CommitAll();
    hub_->Run();
  }
  size_t queued() const { return queue_.size(); }

  // What control holds without an answer, oldest first.
  std::deque<Asked> asks;
  std::vector<Requested> requests;
  // All that clients ever published, oldest first.
  std::vector<Published> published;
  std::vector<Session*> waiting_for_slot;
  int slot_changes = 0;
  // How often control was told: +1 interest gained, -1 lost, by name.
  std::map<std::string, int> interest;

  // Whether the worker wants the channel, by name or by pattern.
  bool Wanted(absl::string_view channel) {
    Channel* const known = service_->FindChannel(Dialect::kCommon, channel);
    if (known != nullptr && known->interest > 0) return true;
    for (const auto& [text, table] : service_->patterns(Dialect::kCommon)) {
      if (table->interest > 0 && table->pattern.Matches(channel)) return true;
    }
    return false;
  }

  // ---- Upstream

  void Want(Channel* channel) override {
    if (channel->interest++ == 0) ++interest[channel->name];
  }
  void Unwant(Channel* channel) override {
    if (--channel->interest > 0) return;
    --interest[channel->name];
    if (Wanted(channel->name)) return service_->ForgetIfIdle(channel);
    Release(channel);
  }
  void Want(PatternTable* table) override {
    if (table->interest++ == 0) ++interest[table->pattern.text()];
  }
  void Unwant(PatternTable* table) override {
    if (--table->interest > 0) return;
    --interest[table->pattern.text()];
    std::vector<ChannelRef> unwanted;
    for (const auto& [name, channel] : service_->channels(table->dialect)) {
      if (table->pattern.Matches(name) && !Wanted(name)) unwanted.push_back(channel);
    }
    service_->ForgetIfIdle(table);
    for (const ChannelRef& channel : unwanted) Release(channel.get());
  }
  uint64_t Ask(Session* session, const SubscribeAsk& ask) override {
    asks.push_back(
        {.id = ++last_id_, .session = session, .ask = ask, .channel = ChannelRef(ask.channel)});
    return last_id_;
  }
  uint64_t Request(Session* session, const RequestAsk& ask) override {
    requests.push_back({.id = ++last_id_,
                        .session = session,
                        .request = std::string(ask.request),
                        .data = std::string(ask.data),
                        .served = ask.served,
                        .deadline = ask.deadline,
                        .publish = ask.publish != nullptr});
    if (ask.publish != nullptr) {
      published.push_back({.id = last_id_, .event = *ask.publish, .data = std::string(ask.data)});
    }
    return last_id_;
  }
  void Forget(uint64_t ask) override {
    std::erase_if(asks, [ask](const Asked& one) { return one.id == ask; });
    std::erase_if(requests, [ask](const Requested& one) { return one.id == ask; });
    std::erase(answering_, ask);
  }
  void WaitForSlot(Session* session) override { waiting_for_slot.push_back(session); }
  void StopWaiting(Session* session) override { std::erase(waiting_for_slot, session); }
  void SlotsChanged(Service* /*service*/) override { ++slot_changes; }

 private:
  // As ChannelDef does.
  void Introduce(Channel* channel, int64_t offset) {
    Log& log = this->log(channel->name);
    if (channel->handle != 0) return;
    channel->handle = ++last_handle_;
    channel->epoch = log.epoch;
    channel->offset = offset;
    if (channel->dialect == Dialect::kCommon) {
      channel->backlog = log.backlog;
      channel->gap = log.gap;
    }
  }

  // As ChannelRelease does.
  void Release(Channel* channel) {
    channel->handle = 0;
    channel->epoch.clear();
    channel->offset = 0;
    service_->ForgetIfIdle(channel);
  }

  void Deliver(const std::string& name, const FakePublication& publication,
               const std::string& envelope, int64_t offset) {
    if (!Wanted(name)) return;  // its handle was released
    Channel* const channel = service_->FindOrMakeChannel(Dialect::kCommon, name);
    Introduce(channel, offset > 0 ? offset - 1 : 0);
    if (offset > 0) channel->offset = offset;
    Delivery delivery{.frame = Frame::Text(envelope),
                      .offset = offset,
                      .conflate_key = publication.conflate_key,
                      .event = EventHandle(publication.event)};
    if (publication.ttl > absl::ZeroDuration()) {
      delivery.expires_at = loop_->Now() + publication.ttl;
    }
    if (publication.track != 0) delivery.track = tracks_->Open(publication.track);
    if (!publication.exclude.empty()) {
      delivery.excluded = service_->FindSession(publication.exclude);
    }
    hub_->Deliver(channel, std::move(delivery));
  }

  uint32_t EventHandle(const std::string& event) {
    const auto [it, fresh] = events_.try_emplace(event, static_cast<uint32_t>(events_.size() + 1));
    if (fresh) hub_->DefineEvent(it->second, event);
    return it->second;
  }

  SubscribeReply ReplyTo(const SubscribeAsk& ask) {
    SubscribeReply reply;
    if (ask.channel == nullptr) return reply;
    const Log& log = this->log(ask.channel->name);
    reply.epoch = log.epoch;
    reply.offset = log.head();
    if (!ask.recover) return reply;
    if (ask.epoch != log.epoch) {
      reply.reason = "epoch_changed";
      return reply;
    }
    if (ask.offset < log.trimmed) {
      reply.reason = "history_expired";
      return reply;
    }
    reply.recovered = true;
    reply.recover_count = log.head() - ask.offset;
    uint64_t bytes = 0;
    int64_t offset = ask.offset;
    while (offset < log.head() && (bytes == 0 || bytes < ask.page_bytes)) {
      const auto& [publication, envelope] = log.events[static_cast<size_t>(offset)];
      ++offset;
      reply.events.push_back({.offset = offset,
                              .frame = Frame::Text(envelope),
                              .event = EventHandle(publication.event),
                              .exclude_connection = publication.exclude});
      bytes += envelope.size();
    }
    reply.last_page = offset >= log.head();
    reply.next_offset = offset;
    return reply;
  }

  EventLoop* const loop_;
  Hub* const hub_;
  TrackTable* const tracks_;
  Service* const service_;
  std::map<std::string, Log> logs_;
  std::map<std::string, uint32_t> events_;
  std::deque<std::function<void()>> queue_;
  std::vector<uint64_t> answering_;  // asks whose answers are in the queue
  uint64_t last_id_ = 0;
  uint32_t last_handle_ = 0;
  int64_t published_ = 0;
};

}  // namespace fanwire::fanout
