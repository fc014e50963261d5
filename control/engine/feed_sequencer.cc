#include "control/engine/feed_sequencer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "control/engine/stored_publication.h"

namespace fanwire::control {

namespace {

// Messages of other controls that wait to be told, about.
constexpr size_t kMaxTasks = 100'000;
constexpr size_t kHeadsAtOnce = 200;
constexpr size_t kFilledAtOnce = 500;
// What is missing of a channel is read although answers to own appends are due, after this.
constexpr absl::Duration kMaxPatience = absl::Seconds(2);
// The server keeps a channel that was published to for an hour at least.
constexpr absl::Duration kFullRefresh = absl::Minutes(20);

std::string InKeys(const DiskChannel& channel) {
  const absl::string_view name = channel.name();
  const size_t zero = name.find('\0');
  return RedisName(name.substr(0, zero), name.substr(zero + 1));
}

}  // namespace

FeedSequencer::FeedSequencer(const RedisOptions& options, std::string node, EngineFeed* feed,
                             HistoryCache* cache, const Clock* clock)
    : options_(options),
      node_(std::move(node)),
      feed_(feed),
      cache_(cache),
      clock_(clock),
      session_(options) {}

FeedSequencer::~FeedSequencer() { Stop(); }

void FeedSequencer::Start() {
  thread_ = std::thread([this] { Run(); });
}

void FeedSequencer::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.SignalAll();
    taken_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void FeedSequencer::Post(Task task) {
  MutexLock lock(&mu_);
  tasks_.push_back(std::move(task));
  changed_.Signal();
}

void FeedSequencer::Open(const DiskChannelPtr& channel, OpenedCallback opened) {
  Post(Opening{.channel = channel, .opened = std::move(opened)});
}

void FeedSequencer::Reopen(const DiskChannelPtr& channel, OpenedCallback opened) {
  channel->Close();
  Post(Opening{.channel = channel, .opened = std::move(opened), .again = true});
}

void FeedSequencer::Forget(const DiskChannelPtr& channel) { Post(Forgotten{.channel = channel}); }

void FeedSequencer::Add(std::vector<OwnAppendPtr> appends) {
  MutexLock lock(&mu_);
  for (OwnAppendPtr& append : appends) tasks_.emplace_back(std::move(append));
  changed_.Signal();
}

void FeedSequencer::Refuse(std::vector<OwnAppendPtr> appends, const absl::Status& status) {
  MutexLock lock(&mu_);
  for (OwnAppendPtr& append : appends) {
    tasks_.emplace_back(Refused{.append = std::move(append), .status = status});
  }
  changed_.Signal();
}

void FeedSequencer::Add(std::vector<Message> messages) {
  MutexLock lock(&mu_);
  while (tasks_.size() > kMaxTasks && !stopped_) taken_.Wait(&mu_);
  for (Message& message : messages) tasks_.emplace_back(std::move(message));
  changed_.Signal();
}

void FeedSequencer::CheckAll() { Post(CheckTask{}); }

absl::Status FeedSequencer::Health() const {
  MutexLock lock(&mu_);
  return health_;
}

void FeedSequencer::Tell(absl::Status health) {
  const absl::Duration now = Clock::Real()->Now();
  if (!health.ok()) next_try_ = now + options_.retry_pause;
  MutexLock lock(&mu_);
  if (!health.ok() && health_.ok()) LogError("engine.redis_failed", {{"reason", health.message()}});
  if (health.ok() && !health_.ok()) LogInfo("engine.redis_healed", {{"server", options_.server}});
  health_ = std::move(health);
}

// ------------------------------------------------------------------------------- the thread

absl::Duration FeedSequencer::NextTime() const {
  absl::Duration next = std::min(next_look_, std::max(next_refresh_, next_try_));
  if (!opening_.empty() || check_) next = std::min(next, next_try_);
  for (const NodePtr& node : filling_) next = std::min(next, std::max(node->fill_at, next_try_));
  return next;
}

void FeedSequencer::Run() {
  const Clock& real = *Clock::Real();
  LookAtLog();  // what is logged from now on concerns channels that are opened
  next_look_ = real.Now() + options_.look_interval;
  next_refresh_ = real.Now() + options_.refresh_interval;
  next_full_refresh_ = real.Now() + kFullRefresh;
  for (;;) {
    std::deque<Task> tasks;
    bool stopped = false;
    {
      MutexLock lock(&mu_);
      while (tasks_.empty() && !stopped_) {
        const absl::Duration wait = NextTime() - real.Now();
        if (wait <= absl::ZeroDuration()) break;
        changed_.WaitWithTimeout(&mu_, wait);
      }
      tasks.swap(tasks_);
      stopped = stopped_;
      taken_.SignalAll();
    }
    for (Task& task : tasks) Do(&task);
    if (stopped && tasks.empty()) break;
    if (real.Now() >= next_try_) {
      OpenNodes();
      if (check_) Check();
      Refresh();
      Fill();
    }
    if (real.Now() >= next_look_) {
      if (real.Now() >= next_try_) LookAtLog();
      next_look_ = real.Now() + options_.look_interval;
    }
  }
  for (const auto& [name, node] : nodes_) {
    const auto end = [this](const Arrival& arrival) {
      if (arrival.own != nullptr) {
        End(arrival.own, absl::UnavailableError("control is stopping: try again, with the same "
                                                "idempotency_key"));
      }
    };
    for (const auto& [place, arrival] : node->early) end(arrival);
    for (const Arrival& arrival : node->held) end(arrival);
  }
}

FeedSequencer::NodePtr FeedSequencer::Find(const std::string& in_keys) const {
  const auto it = nodes_.find(in_keys);
  return it == nodes_.end() ? nullptr : it->second;
}

void FeedSequencer::Do(Task* task) {
  if (auto* const opening = std::get_if<Opening>(task)) {
    if (opening->channel) Register(std::move(*opening));
  } else if (const auto* const forgotten = std::get_if<Forgotten>(task)) {
    DiskChannel& channel = *forgotten->channel;
    channel.Forget();
    std::erase_if(filling_, [&](const NodePtr& node) { return node->channel.get() == &channel; });
    std::erase_if(opening_, [&](const NodePtr& node) { return node->channel.get() == &channel; });
    const auto it = nodes_.find(InKeys(channel));
    if (it != nodes_.end() && it->second->channel.get() == &channel) nodes_.erase(it);
  } else if (auto* const own = std::get_if<OwnAppendPtr>(task)) {
    const OwnAppendPtr append = std::move(*own);
    for (size_t i = 0; i < append->items.size(); ++i) {
      const OwnAppend::Item& item = append->items[i];
      const NodePtr node = Find(item.in_keys);
      if (node == nullptr) continue;  // it was forgotten, which cannot be
      ++node->own_here;
      Arrive(node, {.epoch = item.epoch,
                    .offset = item.offset,
                    .keep = item.keep,
                    .mirror = i > 0,
                    .publication = item.publication,
                    .own = append,
                    .item = i});
    }
  } else if (const auto* const refused = std::get_if<Refused>(task)) {
    End(refused->append, refused->status);
  } else if (auto* const message = std::get_if<Message>(task)) {
    NodePtr node = Find(message->name);
    const size_t colon = message->name.find(':');
    const std::string service = message->name.substr(0, colon);
    const std::string channel = message->name.substr(colon + 1);
    if (node == nullptr) {
      feed_->OnUnopened(service, channel);
      TakeOpenings();
      node = Find(message->name);
    }
    if (node != nullptr) {
      Arrive(node, {.epoch = message->epoch,
                    .offset = message->offset,
                    .keep = message->keep,
                    .mirror = message->mirror,
                    .publication = std::move(message->publication)});
    } else {
      feed_->OnPublication({.service = service,
                            .channel = channel,
                            .mirror = message->mirror,
                            .publication = message->publication});
    }
  } else {
    check_ = true;
  }
}

// ------------------------------------------------------------------------------- opening

void FeedSequencer::TakeOpenings() {
  std::vector<Opening> openings;
  {
    MutexLock lock(&mu_);
    for (Task& task : tasks_) {
      auto* const opening = std::get_if<Opening>(&task);
      if (opening == nullptr || opening->again) continue;
      openings.push_back(std::move(*opening));
      opening->channel = nullptr;
    }
  }
  for (Opening& opening : openings) Register(std::move(opening));
}

void FeedSequencer::Register(Opening opening) {
  const std::string& name = opening.channel->name();
  const size_t zero = name.find('\0');
  const std::string in_keys = InKeys(*opening.channel);
  NodePtr& node = nodes_[in_keys];
  if (node == nullptr || node->channel.get() != opening.channel.get()) {
    node = std::make_shared<Node>();
    node->channel = opening.channel;
    node->service = name.substr(0, zero);
    node->name = name.substr(zero + 1);
    node->in_keys = in_keys;
  }
  node->state = Node::State::kOpening;
  node->opened = std::move(opening.opened);
  opening_.push_back(node);
}

void FeedSequencer::OpenNodes() {
  while (!opening_.empty()) {
    std::vector<NodePtr> nodes;
    std::vector<std::string> names;
    const size_t count = std::min(opening_.size(), kHeadsAtOnce);
    for (size_t i = 0; i < count; ++i) {
      nodes.push_back(opening_[i]);
      names.push_back(opening_[i]->in_keys);
    }
    const auto heads = session_.Open(names);
    Tell(heads.status());
    if (!heads.ok()) return;
    opening_.erase(opening_.begin(), opening_.begin() + static_cast<int64_t>(count));
    for (size_t i = 0; i < count; ++i) OpenNode(nodes[i], (*heads)[i]);
  }
}

void FeedSequencer::OpenNode(const NodePtr& node, const RedisSession::Head& head) {
  // What is here already is told after the callback, so history ends before it.
  int64_t told = head.offset;
  for (const Arrival& arrival : node->held) {
    if (arrival.keep && arrival.epoch == head.epoch) told = std::min(told, arrival.offset - 1);
  }
  const absl::Duration now = clock_->Now();
  const absl::Duration wall_zero = clock_->WallNow() - absl::UnixEpoch() - now;
  node->channel->Open({.epoch = head.epoch,
                       .head = told,
                       .floor = head.first == 0 ? told + 1 : head.first,
                       .newest = std::min(now, absl::Microseconds(head.received_us) - wall_zero)},
                      now);
  node->state = Node::State::kOpen;
  node->epoch = head.epoch;
  node->told = node->target = told;
  const OpenedCallback opened = std::move(node->opened);
  opened();
  node->channel->announced.store(true, std::memory_order_release);
  std::deque<Arrival> held;
  held.swap(node->held);
  for (Arrival& arrival : held) Arrive(node, std::move(arrival));
  Expect(node, head.offset, options_.fill_after);
}

// ------------------------------------------------------------------------------- checking

void FeedSequencer::Check() {
  if (!CheckWhere([](const Node& /*node*/) { return true; })) return;
  check_ = false;
  next_full_refresh_ = Clock::Real()->Now() + kFullRefresh;
}

void FeedSequencer::Refresh() {
  const absl::Duration now = Clock::Real()->Now();
  if (now < next_refresh_) return;
  next_refresh_ = now + options_.refresh_interval;
  // The server keeps the others for long.
  CheckWhere([](const Node& node) { return node.told == 0; });
  if (now >= next_full_refresh_) check_ = true;
}

bool FeedSequencer::CheckWhere(absl::FunctionRef<bool(const Node& node)> wanted) {
  std::vector<NodePtr> nodes;
  for (const auto& [name, node] : nodes_) {
    if (node->state == Node::State::kOpen && wanted(*node)) nodes.push_back(node);
  }
  for (size_t begin = 0; begin < nodes.size(); begin += kHeadsAtOnce) {
    const size_t end = std::min(nodes.size(), begin + kHeadsAtOnce);
    std::vector<std::string> names;
    for (size_t i = begin; i < end; ++i) names.push_back(nodes[i]->in_keys);
    const auto heads = session_.Open(names);
    Tell(heads.status());
    if (!heads.ok()) return false;
    for (size_t i = begin; i < end; ++i) {
      if (nodes[i]->state != Node::State::kOpen) continue;
      const RedisSession::Head& head = (*heads)[i - begin];
      if (head.epoch != nodes[i]->epoch) {
        Leave(nodes[i], head.epoch);
      } else {
        Expect(nodes[i], head.offset, options_.fill_after);
      }
    }
  }
  return true;
}

void FeedSequencer::LookAtLog() {
  const absl::Status status =
      session_.ReadLog(&log_, [this](absl::string_view name, Epoch epoch, int64_t offset) {
        const auto node = nodes_.find(name);
        if (node == nodes_.end() || node->second->state != Node::State::kOpen) return;
        if (epoch != node->second->epoch) {
          check_ = true;  // it is of an earlier epoch, or of a later one
        } else if (offset > node->second->told) {
          Expect(node->second, offset, options_.look_interval);
        }
      });
  Tell(status);
}

void FeedSequencer::Expect(const NodePtr& node, int64_t offset, absl::Duration patience) {
  node->target = std::max(node->target, offset);
  if (node->target <= node->told) {
    node->fill_at = absl::InfiniteDuration();
    return;
  }
  if (std::exchange(node->hole, node->told + 1) != node->told + 1) {
    node->hole_since = Clock::Real()->Now();
  }
  if (node->fill_at < absl::InfiniteDuration()) return;
  node->fill_at = Clock::Real()->Now() + patience;
  filling_.push_back(node);
}

void FeedSequencer::Fill() {
  const absl::Duration now = Clock::Real()->Now();
  std::vector<NodePtr> due;
  std::erase_if(filling_, [&](const NodePtr& node) {
    if (node->fill_at == absl::InfiniteDuration()) return true;
    if (node->fill_at > now) return false;
    node->fill_at = absl::InfiniteDuration();
    due.push_back(node);
    return true;
  });
  for (const NodePtr& node : due) Fill(node);
}

void FeedSequencer::Fill(const NodePtr& node) {
  if (node->state != Node::State::kOpen || node->target <= node->told) return;
  // Answers of this control's own appends that are on their way.
  int64_t due = node->channel->under_way.load(std::memory_order_acquire) - node->own_here;
  if (Clock::Real()->Now() - node->hole_since > kMaxPatience) due = 0;
  int64_t until = node->target;
  for (const auto& [place, arrival] : node->early) {
    if (!arrival.keep) continue;
    until = arrival.offset - 1;
    break;
  }
  if (until <= node->told) return Drain(node);
  int64_t next = node->told + 1;
  bool own = false;
  std::vector<Arrival> found;
  const absl::Duration now = clock_->Now();
  const absl::Duration wall_zero = clock_->WallNow() - absl::UnixEpoch() - now;
  const absl::Status status = session_.Read(
      node->in_keys, node->epoch, next, until, kFilledAtOnce,
      [&](int64_t offset, absl::string_view value, absl::string_view tag) {
        own = due > 0 && tag.substr(0, node_.size()) == node_;
        if (own) return false;
        PublicationPtr publication =
            ReadStored(value, {.epoch = node->epoch, .offset = offset},
                       std::min(now, absl::Microseconds(StoredReceivedUs(value)) - wall_zero));
        if (!publication) return true;
        found.push_back({.epoch = node->epoch,
                         .offset = offset,
                         .mirror = tag.size() > node_.size() + 1 && tag[node_.size() + 1] == 'm',
                         .publication = std::move(publication)});
        return true;
      });
  Tell(status);
  if (!status.ok() || (own && found.empty())) {
    return Expect(node, node->target, options_.retry_pause);
  }
  if (due > 0 && found.empty()) {
    // The server has nothing there: it may be one without history.
    return Expect(node, node->target, options_.retry_pause);
  }
  const int64_t first = found.empty() ? until + 1 : found.front().offset;
  if (first > next) {
    LogWarning(
        "engine.feed_gap",
        {{"service", node->service}, {"channel", node->name}, {"from", next}, {"to", first - 1}});
    node->told = first - 1;
    node->channel->Skip(node->told);
    feed_->OnMissed(node->service, node->name);
  }
  const bool more = found.size() == kFilledAtOnce;
  for (Arrival& arrival : found) Arrive(node, std::move(arrival));
  Drain(node);
  if (more && node->fill_at < absl::InfiniteDuration()) node->fill_at = Clock::Real()->Now();
}

void FeedSequencer::Leave(const NodePtr& node, Epoch epoch) {
  LogWarning("engine.epoch_changed", {{"service", node->service},
                                      {"channel", node->name},
                                      {"from", node->epoch.ToText()},
                                      {"to", epoch.ToText()}});
  node->state = Node::State::kOver;
  node->fill_at = absl::InfiniteDuration();
  std::map<Place, Arrival> early;
  early.swap(node->early);
  for (const auto& [place, arrival] : early) Lose(node, arrival);
  feed_->OnEpochChanged(node->service, node->name);
}

// ------------------------------------------------------------------------------- telling

void FeedSequencer::Lose(const NodePtr& node, const Arrival& arrival) {
  if (arrival.own == nullptr) return;
  --node->own_here;
  End(arrival.own, absl::UnavailableError("Redis has lost the publication: try again, with the "
                                          "same idempotency_key"));
  // Its other channels need not wait for this one any more.
  for (const OwnAppend::Item& item : arrival.own->items) {
    const NodePtr other = Find(item.in_keys);
    if (other != nullptr && other != node) Drain(other);
  }
}

void FeedSequencer::Arrive(const NodePtr& node, Arrival arrival) {
  if (node->state != Node::State::kOpen) {
    node->held.push_back(std::move(arrival));
    return;
  }
  if (arrival.epoch != node->epoch && (arrival.keep || arrival.epoch != Epoch())) {
    const auto heads = session_.Open({&node->in_keys, 1});
    if (heads.ok() && (*heads)[0].epoch == node->epoch) {
      // It is of an earlier epoch, and of no use any more.
      return Lose(node, arrival);
    }
    const Epoch epoch = arrival.epoch;
    node->held.push_back(std::move(arrival));
    return Leave(node, epoch);
  }
  if (arrival.keep && arrival.offset <= node->told) {
    if (arrival.own == nullptr) return;  // it came twice
    // It was read from history before its answer came.
    OwnAppend::Item& item = arrival.own->items[arrival.item];
    if (item.publication->offset() == 0) item.publication->Seal(arrival.epoch, arrival.offset);
    --node->own_here;
    item.ready = true;
    if (++arrival.own->ready < arrival.own->items.size()) return;
    std::vector<NodePtr> touched;
    Complete(arrival.own, &touched);
    for (const NodePtr& other : touched) Drain(other);
    return;
  }
  const Place place{arrival.offset, arrival.keep ? 0 : 1, arrival.keep ? 0 : ++next_place_};
  if (arrival.keep) node->target = std::max(node->target, arrival.offset);
  const auto [at, added] = node->early.try_emplace(place, arrival);
  if (!added && arrival.own != nullptr && at->second.own == nullptr) at->second = arrival;
  Drain(node);
}

void FeedSequencer::Drain(NodePtr node) {
  std::vector<NodePtr> touched = {std::move(node)};
  while (!touched.empty()) {
    const NodePtr next = touched.back();
    touched.pop_back();
    while (next->state == Node::State::kOpen && !next->early.empty()) {
      const auto first = next->early.begin();
      const Arrival& arrival = first->second;
      if (arrival.keep ? arrival.offset != next->told + 1 : arrival.offset > next->told) break;
      // An append that has ended with an error may be kept in some of its channels.
      if (arrival.own == nullptr || arrival.own->done == nullptr) {
        const Arrival taken = std::move(first->second);
        next->early.erase(first);
        if (taken.own != nullptr) {
          --next->own_here;
          if (taken.keep) taken.publication->Seal(taken.epoch, taken.offset);
        }
        TellOther(next, taken);
        continue;
      }
      OwnAppend::Item& item = arrival.own->items[arrival.item];
      if (std::exchange(item.ready, true)) break;  // it waits for its other channels
      if (++arrival.own->ready < arrival.own->items.size()) break;
      const OwnAppendPtr own = arrival.own;
      Complete(own, &touched);
    }
    if (next->state == Node::State::kOpen) Expect(next, next->told, options_.fill_after);
  }
}

void FeedSequencer::Complete(const OwnAppendPtr& append, std::vector<NodePtr>* touched) {
  const absl::Duration now = clock_->Now();
  for (OwnAppend::Item& item : append->items) {
    const NodePtr node = Find(item.in_keys);
    if (node == nullptr) continue;
    for (auto at = node->early.begin(); at != node->early.end(); ++at) {
      if (at->second.own != append || &append->items[at->second.item] != &item) continue;
      node->early.erase(at);
      --node->own_here;
      if (item.keep) {
        item.publication->Seal(item.epoch, item.offset);
        const bool stored = node->channel->policy().size > 0;
        node->channel->Keep(item.publication, item.bytes, stored, now);
        if (stored) cache_->Add(node->channel.get(), item.offset);
        node->told = item.offset;
      }
      if (std::find(touched->begin(), touched->end(), node) == touched->end()) {
        touched->push_back(node);
      }
      break;
    }
  }
  End(append, absl::OkStatus());
}

void FeedSequencer::TellOther(const NodePtr& node, const Arrival& arrival) {
  if (arrival.keep) {
    const bool stored = node->channel->policy().size > 0;
    node->channel->Keep(arrival.publication,
                        static_cast<int64_t>(arrival.publication->memory_bytes()), stored,
                        clock_->Now());
    if (stored) cache_->Add(node->channel.get(), arrival.offset);
    node->told = arrival.offset;
  }
  feed_->OnPublication({.service = node->service,
                        .channel = node->name,
                        .mirror = arrival.mirror,
                        .publication = arrival.publication});
}

void FeedSequencer::End(const OwnAppendPtr& append, const absl::Status& status) {
  const EngineCallback done = std::exchange(append->done, nullptr);
  if (done == nullptr) return;
  done(status);
  for (const OwnAppend::Item& item : append->items) {
    item.channel->under_way.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace fanwire::control
